/* conn.c: the client's side of the protocols (contract in conn.h). */
#define _GNU_SOURCE 1

#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "frame.h"
#include "poll.h"
#include "proc.h"

#define KEY "dG9vbGJveHNpby1iZW5jaA=="
#define ACCEPT "Sec-WebSocket-Accept: ZePqfbqxX/CBF4PAT/mEG6AdUc0=" /* what is due for it */
#define HEAD_MAX 2048

static int
put_frame(lg_conn *conn, lg_shared *shared, unsigned opcode, const void *payload, size_t n)
{
    lg_sock *ws = &conn->ws;
    if (lg_sock_reserve(ws, shared, LG_FRAME_HEAD_MAX + n) < 0) {
        return -1;
    }
    ws->out_len += lg_frame_put(ws->out + ws->out_len, opcode, payload, n, lg_random(shared));
    return 0;
}

int
lg_conn_put_text(lg_conn *conn, lg_shared *shared, const char *text, size_t len)
{
    return put_frame(conn, shared, LG_TEXT, text, len);
}

int
lg_conn_open_websocket(lg_conn *conn, lg_shared *shared, const char *sid)
{
    char head[HEAD_MAX];
    const lg_options *options = shared->options;
    bool upgrades = sid[0] != '\0';
    char more[HEAD_MAX / 2] = "";
    if (upgrades && lg_poll_websocket_headers(shared, more, sizeof more) < 0) {
        return -1;
    }
    int n = snprintf(head, sizeof head,
                     "GET %s?EIO=4&transport=websocket%s%s HTTP/1.1\r\n"
                     "Host: 127.0.0.1:%u\r\n"
                     "Connection: Upgrade\r\n"
                     "Upgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: " KEY "\r\n%s\r\n",
                     options->path, upgrades ? "&sid=" : "", sid,
                     (unsigned)ntohs(options->address.sin_port), more);
    if (n < 0 || (size_t)n >= sizeof head) {
        return lg_fail(shared, "--path is too long");
    }
    if (lg_sock_open(&conn->ws, shared) < 0) {
        return -1;
    }
    return lg_sock_put(&conn->ws, shared, head, (size_t)n);
}

int
lg_conn_open(lg_conn *conn, lg_shared *shared)
{
    lg_sock_init(&conn->ws, conn);
    conn->phase = LG_OPENING;
    conn->opened_at = lg_now();
    if (shared->options->transport == LG_WEBSOCKET) {
        return lg_conn_open_websocket(conn, shared, "");
    }
    return lg_poll_open(conn, shared);
}

int
lg_conn_close(lg_conn *conn, lg_shared *shared)
{
    conn->phase = LG_CLOSING;
    if (!conn->is_websocket) {
        return lg_poll_close(conn, shared);
    }
    if (lg_conn_put_text(conn, shared, "41", 2) < 0 || /* two frames, as a browser sends them */
        put_frame(conn, shared, LG_CLOSE, "", 0) < 0) {
        return -1;
    }
    return lg_conn_flush(conn, shared);
}

void
lg_conn_free(lg_conn *conn)
{
    lg_sock *ws = &conn->ws;
    if (conn->is_websocket && conn->phase == LG_READY && ws->out_sent == ws->out_len) {
        uint8_t frame[LG_FRAME_HEAD_MAX];
        size_t n = lg_frame_put(frame, LG_CLOSE, (const uint8_t *)"", 0, 0);
        (void)!send(ws->fd, frame, n, MSG_NOSIGNAL);
    }
    if (conn->ws.conn != NULL) {
        lg_sock_free(&conn->ws);
    }
    lg_poll_free(conn);
    free(conn->slots);
    conn->slots = NULL;
}

int
lg_conn_flush(lg_conn *conn, lg_shared *shared)
{
    if (conn->ws.out_len > 0 && lg_sock_flush(&conn->ws, shared) < 0) {
        return -1;
    }
    return conn->poll != NULL ? lg_poll_flush(conn, shared) : 0;
}

/* Notes an event that is sent now, and whose ack will come. Its id, or -1. */
static int64_t
expect_ack(lg_conn *conn, lg_shared *shared, uint64_t sent_at)
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
    int64_t id = expect_ack(conn, shared, sent_at);
    char head[sizeof "424294967295"];
    if (id < 0) {
        return -1;
    }
    size_t n = (size_t)snprintf(head, sizeof head, "42%lu", (unsigned long)id);
    if (!conn->is_websocket) {
        return lg_poll_send(conn, shared, head, n, event, len);
    }
    lg_sock *ws = &conn->ws;
    if (lg_sock_reserve(ws, shared, LG_FRAME_HEAD_MAX + n + len) < 0) {
        return -1;
    }
    uint8_t *text = ws->out + ws->out_len + LG_FRAME_HEAD_MAX;
    memcpy(text, head, n);
    memcpy(text + n, event, len);
    ws->out_len += lg_frame_put(ws->out + ws->out_len, LG_TEXT, text, n + len, lg_random(shared));
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

const uint8_t *
lg_sid(const char *prefix, const uint8_t *p, size_t n, size_t *len)
{
    static const char FIELD[] = "{\"sid\":\"";
    size_t head = strlen(prefix), at = head + sizeof FIELD - 1;
    if (n < at + 3 || memcmp(p, prefix, head) != 0 || p[n - 1] != '}' ||
        memcmp(p + head, FIELD, sizeof FIELD - 1) != 0) {
        return NULL;
    }
    const uint8_t *end = memchr(p + at, '"', n - at);
    *len = end != NULL ? (size_t)(end - p) - at : 0;
    return *len > 0 ? p + at : NULL;
}

int
lg_conn_take_join(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    size_t len;
    if (lg_sid("40", p, n, &len) == NULL) {
        return lg_fail_packet(shared, "unexpected answer to CONNECT", p, n);
    }
    lg_hist_add(&shared->connects, lg_now() - conn->opened_at);
    return 0;
}

int
lg_conn_start(lg_conn *conn, lg_shared *shared)
{
    const lg_options *options = shared->options;
    bool asks = options->idle >= 0 && options->event != NULL;
    conn->phase = asks ? LG_ASKING : LG_READY;
    return asks ? lg_conn_send(conn, shared, options->event, shared->event_len, 0) : 0;
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

/* One Engine.IO packet of a WebSocket. 1 for an ack, 0 for anything else that may come, -1. */
static int
take_packet(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n, uint64_t *sent_at)
{
    size_t len;
    if (conn->phase == LG_READY && n > 2 && p[0] == '4' && p[1] == '3') {
        return lg_conn_take_ack(conn, shared, p, n, sent_at) < 0 ? -1 : 1;
    }
    if (shared->options->receive > 0 && conn->phase == LG_READY && n > 2 && p[0] == '4' &&
        p[1] == '2') {
        return take_event(conn, shared, p, n);
    }
    if (n == 1 && p[0] == '2') {
        shared->eio_pings++;
        return lg_conn_put_text(conn, shared, "3", 1);
    }
    if (conn->phase == LG_OPENING && lg_sid("0", p, n, &len) != NULL) {
        conn->phase = LG_JOINING;
        return lg_conn_put_text(conn, shared, "40", 2);
    }
    if (conn->phase == LG_JOINING && n > 2 && memcmp(p, "40", 2) == 0) {
        return lg_conn_take_join(conn, shared, p, n) < 0 ? -1 : lg_conn_start(conn, shared);
    }
    if (conn->phase == LG_PROBING && n == 6 && memcmp(p, "3probe", 6) == 0) {
        return lg_poll_on_probe(conn, shared);
    }
    if (conn->phase == LG_ASKING && n > 2 && memcmp(p, "43", 2) == 0) {
        conn->phase = LG_READY;
        return lg_conn_take_ack(conn, shared, p, n, sent_at);
    }
    return lg_fail_packet(shared, "unexpected packet", p, n);
}

/* The answer to the handshake. Bytes consumed, 0 when it is not complete, -1. */
static ssize_t
take_response(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n)
{
    const uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    if (memcmp(p, "HTTP/1.1 101", 12) != 0) {
        return lg_fail_packet(shared, "the upgrade was refused", p, n);
    }
    const uint8_t *line = p;
    while ((line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL) {
        line += 2;
        if (strncasecmp((const char *)line, ACCEPT, sizeof ACCEPT - 1) == 0) {
            conn->is_websocket = true;
            bool probes = conn->phase == LG_PROBING;
            return probes && lg_conn_put_text(conn, shared, "2probe", 6) < 0 ? -1 : end + 4 - p;
        }
    }
    return lg_fail_packet(shared, "an upgrade without the accept of its key", p, n);
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
lg_conn_read(lg_conn *conn, lg_shared *shared, lg_sock *sock, uint64_t sent_at[LG_SLOTS])
{
    conn->received_now = 0;
    if (sock != &conn->ws) {
        return lg_poll_read(conn, shared, sock, sent_at);
    }
    ssize_t n = lg_sock_read(sock);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n < 0 && (errno != ECONNRESET || conn->phase != LG_CLOSED)) {
        return lg_fail(shared, "recv: %s", strerror(errno));
    }
    if (n <= 0 && conn->phase == LG_CLOSED) {
        lg_sock_close(sock);
        lg_poll_disconnect(conn);
        conn->phase = LG_GONE;
        return 0;
    }
    if (n == 0) {
        return lg_fail(shared, "the server closed a connection");
    }
    size_t at = 0;
    ssize_t acks = 0;
    while (at < sock->in_len) {
        const uint8_t *p = sock->in + at;
        size_t len = sock->in_len - at;
        ssize_t used = !conn->is_websocket ? take_response(conn, shared, p, len)
                                           : take_frame(conn, shared, p, len, sent_at, &acks);
        if (used < 0) {
            return -1;
        }
        if (used == 0) {
            break;
        }
        at += (size_t)used;
    }
    return lg_sock_consume(sock, shared, at) < 0 ? -1 : acks;
}
