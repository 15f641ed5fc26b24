/* conn.c: the client's side of the protocols (contract in conn.h). */
#define _GNU_SOURCE 1

#include "conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "poll.h"

#define IN_CAP 16384
#define SHOWN_MAX 60 /* bytes of an unexpected packet in the message about it */

int
lg_fail(lg_shared *shared, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(shared->error, sizeof shared->error, format, args);
    va_end(args);
    return -1;
}

int
lg_fail_packet(lg_shared *shared, const char *what, const uint8_t *p, size_t n)
{
    char shown[SHOWN_MAX];
    size_t len = n < SHOWN_MAX ? n : SHOWN_MAX;
    for (size_t i = 0; i < len; i++) {
        shown[i] = p[i] >= ' ' && p[i] < 0x7f ? (char)p[i] : '?';
    }
    return lg_fail(shared, "%s: '%.*s'", what, (int)len, shown);
}

static uint32_t
next_random(lg_shared *shared)
{
    uint64_t x = shared->random; /* xorshift64*: a mask here needs speed, not secrecy */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    shared->random = x;
    return (uint32_t)(x * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static int
out_room(lg_conn *conn, lg_shared *shared, size_t n)
{
    if (conn->out_cap - conn->out_len >= n) {
        return 0;
    }
    size_t cap = 2 * conn->out_cap + n;
    uint8_t *out = realloc(conn->out, cap);
    if (out == NULL) {
        return lg_fail(shared, "out of memory");
    }
    conn->out = out;
    conn->out_cap = cap;
    return 0;
}

int
lg_conn_put(lg_conn *conn, lg_shared *shared, const void *bytes, size_t n)
{
    if (out_room(conn, shared, n) < 0) {
        return -1;
    }
    memcpy(conn->out + conn->out_len, bytes, n);
    conn->out_len += n;
    return 0;
}

static int
put_frame(lg_conn *conn, lg_shared *shared, unsigned opcode, const void *payload, size_t n)
{
    if (out_room(conn, shared, LG_FRAME_HEAD_MAX + n) < 0) {
        return -1;
    }
    conn->out_len +=
        lg_frame_put(conn->out + conn->out_len, opcode, payload, n, next_random(shared));
    return 0;
}

static int
watch(lg_conn *conn, lg_shared *shared, bool out)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = conn};
    if (epoll_ctl(shared->epoll, EPOLL_CTL_MOD, conn->fd, &event) < 0) {
        return lg_fail(shared, "epoll_ctl: %s", strerror(errno));
    }
    conn->polls_out = out;
    return 0;
}

int
lg_conn_open(lg_conn *conn, lg_shared *shared)
{
    const struct sockaddr_in *address = &shared->options->address;
    if (conn->in == NULL) {
        conn->in = malloc(IN_CAP);
    }
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->in == NULL || conn->fd < 0) {
        return lg_fail(shared, "connection: %s", strerror(errno));
    }
    int one = 1;
    if (setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
        return lg_fail(shared, "TCP_NODELAY: %s", strerror(errno));
    }
    if (connect(conn->fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
        errno != EINPROGRESS) {
        return lg_fail(shared, "connect: %s", strerror(errno));
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};
    if (epoll_ctl(shared->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0) {
        return lg_fail(shared, "epoll_ctl: %s", strerror(errno));
    }
    conn->polls_out = true;
    conn->phase = LG_CONNECTING;
    return 0;
}

static const uint8_t NORMAL[2] = {1000 >> 8, 1000 & 0xff}; /* the status of a close frame */

int
lg_conn_close(lg_conn *conn, lg_shared *shared)
{
    if (shared->options->polling) {
        return lg_conn_open(conn, shared); /* its POST follows when it is connected: poll.h */
    }
    conn->phase = LG_CLOSING;
    if (put_frame(conn, shared, LG_CLOSE, NORMAL, sizeof NORMAL) < 0) {
        return -1;
    }
    return lg_conn_flush(conn, shared);
}

void
lg_conn_free(lg_conn *conn)
{
    if (conn->fd >= 0) {
        uint8_t frame[LG_FRAME_HEAD_MAX + sizeof NORMAL];
        if (conn->phase == LG_READY && conn->out_sent == conn->out_len) {
            size_t n = lg_frame_put(frame, LG_CLOSE, NORMAL, sizeof NORMAL, 0);
            (void)!send(conn->fd, frame, n, MSG_NOSIGNAL);
        }
        close(conn->fd);
        conn->fd = -1;
    }
    free(conn->in);
    free(conn->out);
    free(conn->slots);
    conn->in = conn->out = NULL;
    conn->slots = NULL;
}

/* The connection is made, or failed: asks for the upgrade, or polls. */
static int
begin(lg_conn *conn, lg_shared *shared)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 || problem != 0) {
        return lg_fail(shared, "connect: %s", strerror(problem != 0 ? problem : errno));
    }
    if (shared->options->polling) {
        return lg_poll_begin(conn, shared);
    }
    char request[1024];
    int n = snprintf(request, sizeof request,
                     "GET %s?EIO=4&transport=websocket HTTP/1.1\r\n"
                     "Host: 127.0.0.1:%u\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dG9vbGJveHNpby1iZW5jaA==\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n",
                     shared->options->path, (unsigned)ntohs(shared->options->address.sin_port));
    if (n < 0 || (size_t)n >= sizeof request) {
        return lg_fail(shared, "--path is too long");
    }
    conn->phase = LG_UPGRADING;
    return lg_conn_put(conn, shared, request, (size_t)n);
}

int
lg_conn_flush(lg_conn *conn, lg_shared *shared)
{
    if (conn->phase == LG_CONNECTING && begin(conn, shared) < 0) {
        return -1;
    }
    while (conn->out_sent < conn->out_len) {
        ssize_t n = send(conn->fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent,
                         MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN) {
                return lg_fail(shared, "send: %s", strerror(errno));
            }
            return conn->polls_out ? 0 : watch(conn, shared, true);
        }
        conn->out_sent += (size_t)n;
    }
    conn->out_sent = conn->out_len = 0;
    return conn->polls_out ? watch(conn, shared, false) : 0;
}

int64_t
lg_conn_expect_ack(lg_conn *conn, lg_shared *shared, uint64_t sent_at)
{
    if (conn->slots == NULL && (conn->slots = calloc(LG_SLOTS, sizeof *conn->slots)) == NULL) {
        return lg_fail(shared, "out of memory");
    }
    lg_slot *slot = &conn->slots[conn->next_id % LG_SLOTS];
    if (slot->waiting) {
        return lg_fail(shared, "%d events of one connection wait for their ack", LG_SLOTS);
    }
    *slot = (lg_slot){.sent_at = sent_at, .id = conn->next_id, .waiting = true};
    conn->waiting++;
    return conn->next_id++;
}

int
lg_conn_send(lg_conn *conn, lg_shared *shared, const char *event, size_t len, uint64_t sent_at)
{
    int64_t id = lg_conn_expect_ack(conn, shared, sent_at);
    size_t room = sizeof "424294967295" + len;
    if (id < 0 || out_room(conn, shared, LG_FRAME_HEAD_MAX + room) < 0) {
        return -1;
    }
    uint8_t *text = conn->out + conn->out_len + LG_FRAME_HEAD_MAX;
    size_t n = (size_t)snprintf((char *)text, room, "42%lu", (unsigned long)id);
    memcpy(text + n, event, len);
    conn->out_len +=
        lg_frame_put(conn->out + conn->out_len, LG_TEXT, text, n + len, next_random(shared));
    return 0;
}

int
lg_conn_take_ack(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n, uint64_t *sent_at)
{
    uint64_t id = 0;
    size_t i = 2;
    for (; i < n && p[i] >= '0' && p[i] <= '9' && id <= UINT32_MAX; i++) {
        id = 10 * id + (uint64_t)(p[i] - '0');
    }
    lg_slot *slot = conn->slots != NULL ? &conn->slots[id % LG_SLOTS] : NULL;
    if (i == 2 || slot == NULL || !slot->waiting || slot->id != id) {
        return lg_fail_packet(shared, "ack of nothing sent", p, n);
    }
    const char *expect = shared->options->expect;
    if (expect != NULL) {
        size_t len = strlen(expect);
        if (n - i < len || memcmp(p + i, expect, len) != 0) {
            return lg_fail_packet(shared, "ack with unexpected data", p, n);
        }
    }
    slot->waiting = false;
    conn->waiting--;
    *sent_at = slot->sent_at;
    return 0;
}

/* An event, `42[...]`, of which there is one only. */
static int
take_event(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    size_t len = shared->event_len;
    if (n != 2 + len || memcmp(p + 2, shared->options->event, len) != 0) {
        return lg_fail_packet(shared, "event with unexpected data", p, n);
    }
    conn->received++;
    conn->received_now++;
    return 0;
}

/* One Engine.IO packet. 1 for an ack, 0 for anything else that may come, -1. */
static int
take_packet(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n, uint64_t *sent_at)
{
    if (conn->phase == LG_READY && n > 2 && p[0] == '4' && p[1] == '3') {
        return lg_conn_take_ack(conn, shared, p, n, sent_at) < 0 ? -1 : 1;
    }
    if (shared->options->receive > 0 && conn->phase == LG_READY && n > 2 && p[0] == '4' &&
        p[1] == '2') {
        return take_event(conn, shared, p, n);
    }
    if (n > 0 && p[0] == '2') {
        shared->eio_pings++;
        return put_frame(conn, shared, LG_TEXT, "3", 1);
    }
    if (conn->phase == LG_OPENING && n > 1 && p[0] == '0') {
        conn->phase = LG_JOINING;
        return put_frame(conn, shared, LG_TEXT, "40", 2);
    }
    if (conn->phase == LG_JOINING && n > 2 && memcmp(p, "40{", 3) == 0) {
        const lg_options *options = shared->options;
        bool asks = options->idle >= 0 && options->event != NULL;
        conn->phase = asks ? LG_ASKING : LG_READY;
        return asks ? lg_conn_send(conn, shared, options->event, shared->event_len, 0) : 0;
    }
    if (conn->phase == LG_ASKING && n > 2 && memcmp(p, "43", 2) == 0) {
        conn->phase = LG_READY;
        return lg_conn_take_ack(conn, shared, p, n, sent_at);
    }
    return lg_fail_packet(shared, "unexpected packet", p, n);
}

/* The answer to the upgrade. Bytes consumed, 0 when it is not complete, -1. */
static ssize_t
take_response(lg_conn *conn, lg_shared *shared)
{
    const uint8_t *end = memmem(conn->in, conn->in_len, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    if (memcmp(conn->in, "HTTP/1.1 101", 12) != 0) {
        return lg_fail_packet(shared, "the upgrade was refused", conn->in, conn->in_len);
    }
    conn->phase = LG_OPENING;
    return end + 4 - conn->in;
}

/* One frame; *acks counts up with an ack. Bytes consumed, 0 when it is not complete, -1. */
static ssize_t
take_frame(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n, uint64_t *sent_at,
           ssize_t *acks)
{
    lg_frame frame;
    ssize_t used = lg_frame_get(p, n, &frame);
    if (used < 0) {
        return lg_fail(shared, "bad frame: %02x %02x", p[0], p[1]);
    }
    if (used == 0) {
        return 0;
    }
    int taken;
    if (conn->phase == LG_CLOSED) {
        return lg_fail(shared, "a frame after the close frame: %02x", p[0]);
    }
    if (conn->phase == LG_CLOSING) {
        conn->phase = frame.opcode == LG_CLOSE ? LG_CLOSED : LG_CLOSING;
        return used;
    }
    switch (frame.opcode) {
    case LG_TEXT:
        taken = take_packet(conn, shared, frame.payload, frame.len, &sent_at[*acks]);
        break;
    case LG_PING:
        shared->ws_pings++;
        taken = put_frame(conn, shared, LG_PONG, frame.payload, frame.len);
        break;
    case LG_CLOSE:
        return lg_fail(shared, "the server closed a WebSocket");
    default:
        return lg_fail(shared, "frame with opcode %u", frame.opcode);
    }
    if (taken < 0) {
        return -1;
    }
    *acks += taken;
    return used;
}

ssize_t
lg_conn_read(lg_conn *conn, lg_shared *shared, uint64_t sent_at[LG_SLOTS])
{
    conn->received_now = 0;
    ssize_t n = recv(conn->fd, conn->in + conn->in_len, IN_CAP - conn->in_len, 0);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            return 0;
        }
        if (errno != ECONNRESET || conn->phase != LG_CLOSED) {
            return lg_fail(shared, "recv: %s", strerror(errno));
        }
        n = 0;
    }
    if (n == 0 && conn->phase == LG_CLOSED) {
        close(conn->fd);
        conn->fd = -1;
        conn->phase = LG_GONE;
        conn->out_sent = conn->out_len = 0;
        return 0;
    }
    if (n == 0) {
        return lg_fail(shared, "the server closed a connection");
    }
    conn->in_len += (size_t)n;
    size_t at = 0;
    ssize_t acks = 0;
    while (at < conn->in_len) {
        ssize_t used =
            shared->options->polling ? lg_poll_take(conn, shared)
            : conn->phase == LG_UPGRADING
                ? take_response(conn, shared)
                : take_frame(conn, shared, conn->in + at, conn->in_len - at, sent_at, &acks);
        if (used < 0) {
            return -1;
        }
        if (used == 0) {
            break;
        }
        at += (size_t)used;
    }
    conn->in_len -= at;
    memmove(conn->in, conn->in + at, conn->in_len);
    if (conn->in_len == IN_CAP) {
        return lg_fail(shared, "a frame of over %d bytes", IN_CAP);
    }
    return acks;
}
