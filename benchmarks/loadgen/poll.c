/* poll.c: HTTP long-polling of one client (contract in poll.h). */
#define _GNU_SOURCE 1

#include "poll.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define REQUEST_MAX 1024
#define SEPARATOR 0x1e

/* A GET, or with a body a POST. */
static int
request(lg_conn *conn, lg_shared *shared, const char *body, size_t len)
{
    const lg_options *options = shared->options;
    bool post = body != NULL;
    char head[REQUEST_MAX];
    char length[40] = "";
    if (post) {
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", len);
    }
    int n = snprintf(head, sizeof head,
                     "%s %s?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s\r\n",
                     post ? "POST" : "GET", options->path, conn->sid[0] != '\0' ? "&sid=" : "",
                     conn->sid, (unsigned)ntohs(options->address.sin_port),
                     post ? "Content-Type: text/plain;charset=UTF-8\r\n" : "", length);
    if (n < 0 || (size_t)n >= sizeof head) {
        return lg_fail(shared, "--path is too long");
    }
    conn->posted = post;
    if (lg_conn_put(conn, shared, head, (size_t)n) < 0) {
        return -1;
    }
    return post ? lg_conn_put(conn, shared, body, len) : 0;
}

int
lg_poll_begin(lg_conn *conn, lg_shared *shared)
{
    if (conn->sid[0] == '\0') {
        conn->phase = LG_OPENING;
        return request(conn, shared, NULL, 0);
    }
    conn->phase = LG_CLOSING;
    return request(conn, shared, "1", 1);
}

static int
post_event(lg_conn *conn, lg_shared *shared)
{
    int64_t id = lg_conn_expect_ack(conn, shared, 0);
    size_t room = sizeof "424294967295" + shared->event_len;
    char *body = id < 0 ? NULL : malloc(room);
    if (body == NULL) {
        return id < 0 ? -1 : lg_fail(shared, "out of memory");
    }
    int n = snprintf(body, room, "42%lld%s", (long long)id, shared->options->event);
    int status = request(conn, shared, body, (size_t)n);
    free(body);
    return status;
}

/* Closes the connection, which is not needed any more. */
static void
hang_up(lg_conn *conn, lg_phase phase)
{
    close(conn->fd);
    conn->fd = -1;
    conn->phase = phase;
}

/* OPEN: keeps the id of the session, and joins. */
static int
take_open(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    static const char KEY[] = "\"sid\":\"";
    const uint8_t *sid = memmem(p, n, KEY, sizeof KEY - 1);
    if (n < 2 || p[0] != '0' || sid == NULL) {
        return lg_fail_packet(shared, "unexpected packet", p, n);
    }
    sid += sizeof KEY - 1;
    const uint8_t *end = memchr(sid, '"', (size_t)(p + n - sid));
    if (end == NULL || (size_t)(end - sid) >= sizeof conn->sid) {
        return lg_fail_packet(shared, "unexpected id of a session", p, n);
    }
    memcpy(conn->sid, sid, (size_t)(end - sid));
    conn->phase = LG_JOINING;
    return request(conn, shared, "40", 2);
}

/* What a GET was answered: one packet. */
static int
take_packet(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    bool asks = shared->options->event != NULL;
    uint64_t sent_at;
    if (memchr(p, SEPARATOR, n) != NULL) {
        return lg_fail_packet(shared, "more than one packet", p, n);
    }
    if (conn->phase == LG_OPENING) {
        return take_open(conn, shared, p, n);
    }
    if (conn->phase == LG_JOINING && n > 2 && memcmp(p, "40{", 3) == 0) {
        if (asks) {
            conn->phase = LG_ASKING;
            return post_event(conn, shared);
        }
        hang_up(conn, LG_READY);
        return 0;
    }
    if (conn->phase == LG_ASKING && n > 2 && memcmp(p, "43", 2) == 0) {
        hang_up(conn, LG_READY);
        return lg_conn_take_ack(conn, shared, p, n, &sent_at);
    }
    return lg_fail_packet(shared, "unexpected packet", p, n);
}

/* The value of a field of a head that ends at end, or NULL. Name with its colon. */
static const char *
field(const char *head, const char *end, const char *name)
{
    size_t len = strlen(name);
    const char *line = head;
    while ((line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL) {
        line += 2;
        if ((size_t)(end - line) >= len && strncasecmp(line, name, len) == 0) {
            return line + len;
        }
    }
    return NULL;
}

/* Puts the chunks at p together, in place. Bytes consumed, with *len of them left; 0 when the last
 * has not come; -1. */
static ssize_t
join_chunks(uint8_t *p, size_t n, size_t *len)
{
    size_t at = 0;
    *len = 0;
    for (;;) {
        const uint8_t *line = memmem(p + at, n - at, "\r\n", 2);
        if (line == NULL) {
            return 0;
        }
        char *end;
        unsigned long size = strtoul((const char *)p + at, &end, 16);
        if ((const uint8_t *)end != line || size > n) {
            return (const uint8_t *)end != line ? -1 : 0;
        }
        at = (size_t)(line - p) + 2;
        if (n - at < size + 2) {
            return 0;
        }
        memmove(p + *len, p + at, size);
        *len += size;
        at += size + 2;
        if (size == 0) {
            return (ssize_t)at;
        }
    }
}

/* The answer at the start of conn->in: its body. Bytes consumed, 0 when it is not complete, -1. */
static ssize_t
take_answer(lg_conn *conn, lg_shared *shared, uint8_t **body, size_t *len)
{
    uint8_t *head_end = memmem(conn->in, conn->in_len, "\r\n\r\n", 4);
    if (head_end == NULL) {
        return 0;
    }
    if (memcmp(conn->in, "HTTP/1.1 200", 12) != 0) {
        return lg_fail_packet(shared, "a request was refused", conn->in, conn->in_len);
    }
    const char *head = (const char *)conn->in;
    const char *last = (const char *)head_end;
    const char *length = field(head, last, "content-length:");
    *body = head_end + 4;
    size_t head_len = (size_t)(*body - conn->in), come = conn->in_len - head_len;
    if (length != NULL) {
        *len = strtoul(length, NULL, 10);
        return come < *len ? 0 : (ssize_t)(head_len + *len);
    }
    if (field(head, last, "transfer-encoding: chunked") == NULL) {
        return lg_fail_packet(shared, "an answer without a length", conn->in, conn->in_len);
    }
    if (come < 5 || memcmp(*body + come - 5, "0\r\n\r\n", 5) != 0) {
        return 0; /* no answer follows it before it has been taken */
    }
    ssize_t used = join_chunks(*body, come, len);
    if (used <= 0) {
        return lg_fail_packet(shared, "bad chunks", conn->in, conn->in_len);
    }
    return (ssize_t)head_len + used;
}

ssize_t
lg_poll_take(lg_conn *conn, lg_shared *shared)
{
    uint8_t *body = NULL;
    size_t len = 0;
    ssize_t used = take_answer(conn, shared, &body, &len);
    if (used <= 0) {
        return used;
    }
    if (conn->phase == LG_CLOSING) {
        hang_up(conn, LG_GONE);
        return used;
    }
    int status =
        conn->posted ? request(conn, shared, NULL, 0) : take_packet(conn, shared, body, len);
    return status < 0 ? -1 : used;
}
