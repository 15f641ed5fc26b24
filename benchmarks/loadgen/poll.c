/* poll.c: HTTP long-polling of one client (contract in poll.h). */
#define _GNU_SOURCE 1

#include "poll.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define HEAD_MAX 2048
#define SEPARATOR 0x1e
#define STAMP_LEN 8 /* of the parameter t, which no two requests of a client have in common */

#define AGENT                                                                                      \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "          \
    "Chrome/156.0.0.0 Safari/537.36\r\n"
#define BRANDS "sec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r\n"
#define ACCEPTED                                                                                   \
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"                                                 \
    "Accept-Language: en-US,en;q=0.9\r\n"
#define COOKIE                                                                                     \
    "Cookie: token=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6IjNmMWMyYjRhIiwiZXhwIjoxNzY3MjI1"  \
    "NjAwfQ.dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXk; theme=dark\r\n"

static unsigned
port_of(const lg_shared *shared)
{
    return (unsigned)ntohs(shared->options->address.sin_port);
}

int
lg_poll_websocket_headers(lg_shared *shared, char *dst, size_t size)
{
    int n = snprintf(dst, size,
                     "Pragma: no-cache\r\nCache-Control: no-cache\r\n" AGENT
                     "Origin: http://127.0.0.1:%u\r\n" ACCEPTED COOKIE,
                     port_of(shared));
    return n < 0 || (size_t)n >= size ? lg_fail(shared, "the headers are too long") : 0;
}

static void
stamp(lg_shared *shared, char text[STAMP_LEN + 1])
{
    uint64_t number = (uint64_t)lg_random(shared) << 16;
    for (int i = 0; i < STAMP_LEN; i++) {
        text[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
        number /= 36;
    }
    text[STAMP_LEN] = '\0';
}

/* A connection on which a request can be sent: a server closes one that it has kept for long. */
static int
ready(lg_sock *sock, lg_shared *shared)
{
    char byte;
    if (sock->fd >= 0 && sock->is_connected &&
        recv(sock->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        lg_sock_close(sock);
    }
    return sock->fd >= 0 ? 0 : lg_sock_open(sock, shared);
}

/* A GET, or with a body a POST. */
static int
request(lg_conn *conn, lg_shared *shared, lg_sock *sock, const char *body, size_t len)
{
    const char *sid = conn->poll->sid;
    char head[HEAD_MAX], sent[160] = "", time[STAMP_LEN + 1];
    unsigned port = port_of(shared);
    if (body != NULL) {
        snprintf(sent, sizeof sent,
                 "Content-Length: %zu\r\nContent-type: text/plain;charset=UTF-8\r\n"
                 "Origin: http://127.0.0.1:%u\r\n",
                 len, port);
    }
    stamp(shared, time);
    int n = snprintf(head, sizeof head,
                     "%s %s?EIO=4&transport=polling&t=%s%s%s HTTP/1.1\r\n"
                     "Host: 127.0.0.1:%u\r\nConnection: keep-alive\r\n%s"
                     "sec-ch-ua-platform: \"Linux\"\r\n" AGENT "Accept: */*\r\n" BRANDS
                     "sec-ch-ua-mobile: ?0\r\nSec-Fetch-Site: same-origin\r\n"
                     "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
                     "Referer: http://127.0.0.1:%u/\r\n" ACCEPTED COOKIE "\r\n",
                     body != NULL ? "POST" : "GET", shared->options->path, time,
                     sid[0] != '\0' ? "&sid=" : "", sid, port, sent, port);
    if (n < 0 || (size_t)n >= sizeof head) {
        return lg_fail(shared, "--path is too long");
    }
    if (ready(sock, shared) < 0 || lg_sock_put(sock, shared, head, (size_t)n) < 0) {
        return -1;
    }
    return body != NULL ? lg_sock_put(sock, shared, body, len) : 0;
}

static int
get(lg_conn *conn, lg_shared *shared)
{
    conn->poll->is_getting = true;
    return request(conn, shared, &conn->poll->get, NULL, 0);
}

/* Sends the packets that wait, unless a POST is under way. */
static int
post(lg_conn *conn, lg_shared *shared)
{
    lg_poll *poll = conn->poll;
    if (poll->is_posting || poll->body_len == 0) {
        return 0;
    }
    poll->is_posting = true;
    size_t len = poll->body_len;
    poll->body_len = 0;
    return request(conn, shared, &poll->post, poll->body, len);
}

int
lg_poll_send(lg_conn *conn, lg_shared *shared, const char *head, size_t n, const char *rest,
             size_t len)
{
    lg_poll *poll = conn->poll;
    size_t needed = poll->body_len + 1 + n + len;
    if (needed > poll->body_cap) {
        char *body = realloc(poll->body, 2 * needed);
        if (body == NULL) {
            return lg_fail(shared, "out of memory");
        }
        poll->body = body;
        poll->body_cap = 2 * needed;
    }
    if (poll->body_len > 0) {
        poll->body[poll->body_len++] = SEPARATOR;
    }
    memcpy(poll->body + poll->body_len, head, n);
    memcpy(poll->body + poll->body_len + n, rest, len);
    poll->body_len += n + len;
    return post(conn, shared);
}

static int
send_text(lg_conn *conn, lg_shared *shared, const char *packet)
{
    return lg_poll_send(conn, shared, packet, strlen(packet), "", 0);
}

int
lg_poll_open(lg_conn *conn, lg_shared *shared)
{
    conn->poll = calloc(1, sizeof *conn->poll);
    if (conn->poll == NULL) {
        return lg_fail(shared, "out of memory");
    }
    lg_sock_init(&conn->poll->post, conn);
    lg_sock_init(&conn->poll->get, conn);
    conn->poll->is_posting = true;
    return request(conn, shared, &conn->poll->post, NULL, 0);
}

int
lg_poll_close(lg_conn *conn, lg_shared *shared)
{
    return send_text(conn, shared, "41") < 0 ? -1 : lg_poll_flush(conn, shared);
}

int
lg_poll_flush(lg_conn *conn, lg_shared *shared)
{
    lg_poll *poll = conn->poll;
    if (poll->post.out_len > 0 && lg_sock_flush(&poll->post, shared) < 0) {
        return -1;
    }
    return poll->get.out_len > 0 ? lg_sock_flush(&poll->get, shared) : 0;
}

void
lg_poll_disconnect(lg_conn *conn)
{
    if (conn->poll != NULL) {
        lg_sock_close(&conn->poll->post);
        lg_sock_close(&conn->poll->get);
    }
}

void
lg_poll_free(lg_conn *conn)
{
    if (conn->poll != NULL) {
        lg_sock_free(&conn->poll->post);
        lg_sock_free(&conn->poll->get);
        free(conn->poll->body);
        free(conn->poll);
        conn->poll = NULL;
    }
}

/* The WebSocket is the transport from now on. */
static int
upgrade(lg_conn *conn, lg_shared *shared)
{
    return lg_conn_put_text(conn, shared, "5", 1) < 0 ? -1 : lg_conn_start(conn, shared);
}

int
lg_poll_on_probe(lg_conn *conn, lg_shared *shared)
{
    conn->poll->is_probed = true;
    return conn->poll->is_getting ? 0 : upgrade(conn, shared);
}

/* OPEN: keeps the id of the session, and joins. */
static int
take_open(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    size_t len;
    const uint8_t *sid = lg_sid("0", p, n, &len);
    if (sid == NULL) {
        return lg_fail_packet(shared, "unexpected packet", p, n);
    }
    if (len >= LG_SID_MAX) {
        return lg_fail_packet(shared, "unexpected id of a session", p, n);
    }
    memcpy(conn->poll->sid, sid, len);
    conn->phase = LG_JOINING;
    return send_text(conn, shared, "40") < 0 ? -1 : get(conn, shared);
}

/* CONNECT was answered. */
static int
on_join(lg_conn *conn, lg_shared *shared)
{
    if (shared->options->transport != LG_UPGRADE) {
        return lg_conn_start(conn, shared);
    }
    conn->phase = LG_PROBING;
    return lg_conn_open_websocket(conn, shared, conn->poll->sid);
}

/* A packet of the answer to a GET. 1 for an ack, 0 for anything else that may come, -1. */
static int
take_packet(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n, uint64_t *sent_at)
{
    bool acks = n > 2 && memcmp(p, "43", 2) == 0;
    if (n == 1 && p[0] == '2') {
        shared->eio_pings++;
        return send_text(conn, shared, "3");
    }
    if (conn->phase == LG_JOINING && n > 2 && memcmp(p, "40", 2) == 0) {
        return lg_conn_take_join(conn, shared, p, n) < 0 ? -1 : on_join(conn, shared);
    }
    if (acks && conn->phase == LG_READY) {
        return lg_conn_take_ack(conn, shared, p, n, sent_at) < 0 ? -1 : 1;
    }
    if (acks && conn->phase == LG_ASKING) {
        conn->phase = LG_READY;
        return lg_conn_take_ack(conn, shared, p, n, sent_at);
    }
    if ((n == 1 && p[0] == '6') || conn->phase >= LG_CLOSING) {
        return 0;
    }
    return lg_fail_packet(shared, "unexpected packet", p, n);
}

/* The packets of the answer to a GET, and the next GET. The number of acks, or -1. */
static ssize_t
take_packets(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n, uint64_t *sent_at)
{
    lg_poll *poll = conn->poll;
    const uint8_t *end = p + n;
    ssize_t acks = 0;
    poll->is_getting = false;
    while (p < end) {
        const uint8_t *last = memchr(p, SEPARATOR, (size_t)(end - p));
        last = last != NULL ? last : end;
        int taken = acks < LG_SLOTS
                        ? take_packet(conn, shared, p, (size_t)(last - p), &sent_at[acks])
                        : lg_fail(shared, "more than %d acks in an answer", LG_SLOTS);
        if (taken < 0) {
            return -1;
        }
        acks += taken;
        p = last + 1;
    }
    if (n == 0 && conn->phase < LG_CLOSING) {
        return lg_fail(shared, "an answer without a packet");
    }
    if (poll->is_probed) {
        return upgrade(conn, shared) < 0 ? -1 : acks;
    }
    return !poll->is_leaving && get(conn, shared) < 0 ? -1 : acks;
}

/* The answer to a POST, and the next POST. */
static int
take_ok(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    lg_poll *poll = conn->poll;
    if (n != 2 || strncasecmp((const char *)p, "ok", 2) != 0) {
        return lg_fail_packet(shared, "unexpected answer to a POST", p, n);
    }
    poll->is_posting = false;
    if (conn->phase == LG_CLOSING && poll->body_len == 0 && !poll->is_leaving) {
        poll->is_leaving = true;
        return send_text(conn, shared, "1");
    }
    return post(conn, shared);
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

/* The answer at the start of what was read: its body, and whether the connection is kept. Bytes
 * consumed, 0 when it is not complete, -1. */
static ssize_t
take_answer(lg_sock *sock, lg_shared *shared, uint8_t **body, size_t *len, bool *kept)
{
    uint8_t *head_end = memmem(sock->in, sock->in_len, "\r\n\r\n", 4);
    if (head_end == NULL) {
        return 0;
    }
    if (memcmp(sock->in, "HTTP/1.1 200", 12) != 0) {
        return lg_fail_packet(shared, "a request was refused", sock->in, sock->in_len);
    }
    const char *head = (const char *)sock->in;
    const char *last = (const char *)head_end;
    const char *length = field(head, last, "content-length:");
    *kept = field(head, last, "connection: close") == NULL;
    *body = head_end + 4;
    size_t head_len = (size_t)(*body - sock->in), come = sock->in_len - head_len;
    if (length != NULL) {
        *len = strtoul(length, NULL, 10);
        return come < *len ? 0 : (ssize_t)(head_len + *len);
    }
    if (field(head, last, "transfer-encoding: chunked") == NULL) {
        return lg_fail_packet(shared, "an answer without a length", sock->in, sock->in_len);
    }
    if (come < 5 || memcmp(*body + come - 5, "0\r\n\r\n", 5) != 0) {
        return 0; /* no answer follows it before it has been taken */
    }
    ssize_t used = join_chunks(*body, come, len);
    if (used <= 0) {
        return lg_fail_packet(shared, "bad chunks", sock->in, sock->in_len);
    }
    return (ssize_t)head_len + used;
}

/* One answer, as its place asks for. The number of acks, or -1. */
static ssize_t
take_body(lg_conn *conn, lg_shared *shared, const lg_sock *sock, const uint8_t *p, size_t n,
          uint64_t *sent_at)
{
    lg_poll *poll = conn->poll;
    if (sock == &poll->get) {
        return take_packets(conn, shared, p, n, sent_at);
    }
    if (conn->phase == LG_OPENING) {
        poll->is_posting = false;
        return take_open(conn, shared, p, n);
    }
    return take_ok(conn, shared, p, n);
}

ssize_t
lg_poll_read(lg_conn *conn, lg_shared *shared, lg_sock *sock, uint64_t sent_at[LG_SLOTS])
{
    lg_poll *poll = conn->poll;
    bool is_due = sock == &poll->get ? poll->is_getting : poll->is_posting;
    ssize_t n = lg_sock_read(sock);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n <= 0 && !is_due) {
        lg_sock_close(sock); /* kept for too long */
        return 0;
    }
    if (n <= 0) {
        return n < 0 ? lg_fail(shared, "recv: %s", strerror(errno))
                     : lg_fail(shared, "the server closed a connection");
    }
    if (!is_due) {
        return lg_fail_packet(shared, "an answer to no request", sock->in, sock->in_len);
    }
    uint8_t *body = NULL;
    size_t len = 0;
    bool kept = true;
    ssize_t used = take_answer(sock, shared, &body, &len, &kept);
    if (used <= 0) {
        return used < 0 || lg_sock_consume(sock, shared, 0) < 0 ? -1 : 0;
    }
    if ((size_t)used != sock->in_len) {
        return lg_fail_packet(shared, "more than an answer", sock->in, sock->in_len);
    }
    sock->in_len = 0; /* the bytes stay until the next read */
    if (!kept) {
        lg_sock_close(sock);
    }
    ssize_t acks = take_body(conn, shared, sock, body, len, sent_at);
    if (acks >= 0 && poll->is_leaving && !poll->is_posting) {
        lg_sock_close(&poll->post);
        conn->phase = LG_GONE;
    }
    if (conn->phase == LG_GONE && !poll->is_getting) {
        lg_sock_close(&poll->get);
    }
    return acks;
}
