/* session.c: HTTP, WebSocket and packets with neither JSON nor handlers (contract in session.h). */
#define _GNU_SOURCE 1

#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sha1.h"

#define SEPARATOR 0x1e
#define SID_LEN 20
#define TEXT_MAX 512 /* of packets that wait for a poll, and of an answer */
#define ACK                                                                                        \
    "[{\"ok\":true,\"type\":\"progress_update\",\"ts\":\"2026-01-01T00:00:00.000000+00:00\"}]"

typedef struct session {
    size_t number;
    floor_peer *poll;  /* borrowed: whose GET waits; NULL without */
    bool is_upgrading; /* no GET waits any more */
    char text[TEXT_MAX];
    size_t len;
} session;

static struct {
    floor_mode mode;
    uint8_t *frames; /* owned: of the event, one after the other */
    size_t frame_len;
    size_t frame_count;
    session **sessions; /* owned, and each of them; NULL where one has ended */
    size_t session_count;
    size_t session_cap;
    floor_peer **members; /* owned: the WebSockets that get events */
    size_t member_count;
    size_t member_cap;
} all;

/* The head of a frame of a server. Its length. */
static size_t
put_head(uint8_t *dst, unsigned opcode, size_t n)
{
    dst[0] = (uint8_t)(0x80 | opcode);
    dst[1] = (uint8_t)(n < 126 ? n : 126);
    dst[2] = (uint8_t)(n >> 8);
    dst[3] = (uint8_t)n;
    return n < 126 ? 2 : 4;
}

/* Frames of the event for so many rounds. */
static void
make_frames(size_t count)
{
    size_t made = all.frame_count;
    if (count <= made) {
        return;
    }
    all.frames = floor_memory(all.frames, count * all.frame_len);
    for (size_t i = made; i < count; i++) {
        memcpy(all.frames + i * all.frame_len, all.frames, all.frame_len);
    }
    all.frame_count = count;
}

void
floor_session_init(floor_mode mode, const char *json, size_t n)
{
    static const char HEAD[] = "42[\"message\",";
    size_t text = sizeof HEAD - 1 + n + 1;
    all.mode = mode;
    all.frames = floor_memory(NULL, 4 + text);
    uint8_t *p = all.frames + put_head(all.frames, 1, text);
    memcpy(p, HEAD, sizeof HEAD - 1);
    memcpy(p + sizeof HEAD - 1, json, n);
    p[text - 1] = ']';
    all.frame_len = (size_t)(p - all.frames) + text;
    all.frame_count = 1;
}

static session *
begin_session(void)
{
    if (all.session_count == all.session_cap) {
        all.session_cap = 2 * all.session_cap + 1024;
        all.sessions = floor_memory(all.sessions, all.session_cap * sizeof *all.sessions);
    }
    session *made = floor_memory(NULL, sizeof *made);
    *made = (session){.number = all.session_count};
    return all.sessions[all.session_count++] = made;
}

static void
end_session(session *one)
{
    if (one->poll != NULL) {
        one->poll->session = NULL;
    }
    all.sessions[one->number] = NULL;
    free(one);
}

/* Answers a request. */
static void
put_answer(floor_peer *peer, const char *body, size_t n)
{
    char head[TEXT_MAX];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       n);
    floor_put(peer, head, (size_t)len);
    floor_put(peer, body, n);
}

/* Answers the GET that waits with the packets that wait, if there are both. */
static void
answer_poll(session *one)
{
    if (one->poll != NULL && one->len > 0) {
        put_answer(one->poll, one->text, one->len);
        floor_flush(one->poll);
        one->poll->session = NULL; /* it may outlive the session */
        one->poll = NULL;
        one->len = 0;
    }
}

/* Sends a packet by a WebSocket, or without one by a GET. */
static void
put_packet(session *one, floor_peer *ws, const char *text, size_t n)
{
    if (ws != NULL) {
        uint8_t head[4];
        floor_put(ws, head, put_head(head, 1, n));
        floor_put(ws, text, n);
        return;
    }
    if (one->len + 1 + n <= sizeof one->text) {
        if (one->len > 0) {
            one->text[one->len++] = SEPARATOR;
        }
        memcpy(one->text + one->len, text, n);
        one->len += n;
    }
    answer_poll(one);
}

static size_t
open_text(const session *one, char text[TEXT_MAX])
{
    return (size_t)snprintf(
        text, TEXT_MAX,
        "0{\"sid\":\"%0*zu\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
        "\"pingTimeout\":20000,\"maxPayload\":1000000}",
        SID_LEN, one->number);
}

static void
join(session *one, floor_peer *ws)
{
    char text[TEXT_MAX];
    int n = snprintf(text, sizeof text, "40{\"sid\":\"%0*zu\"}", SID_LEN, one->number);
    put_packet(one, ws, text, (size_t)n);
    if (ws != NULL && all.mode != FLOOR_ACKS) {
        if (all.member_count == all.member_cap) {
            all.member_cap = 2 * all.member_cap + 64;
            all.members = floor_memory(all.members, all.member_cap * sizeof *all.members);
        }
        ws->number = all.member_count;
        all.members[all.member_count++] = ws;
    }
}

static void
emit(size_t rounds)
{
    make_frames(rounds);
    if (all.mode == FLOOR_TOGETHER) {
        for (size_t i = 0; i < all.member_count && rounds > 0; i++) {
            floor_send(all.members[i], all.frames, rounds * all.frame_len);
        }
        return;
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < all.member_count; i++) {
            floor_send(all.members[i], all.frames, all.frame_len);
        }
    }
}

/* An event, `42<id>[...]`: its ack; `["next",<rounds>]` lets events go. */
static void
take_event(session *one, floor_peer *ws, const char *p, size_t n)
{
    static const char NEXT[] = "[\"next\",";
    char text[TEXT_MAX];
    size_t id = 2;
    while (id < n && p[id] >= '0' && p[id] <= '9') {
        id++;
    }
    bool is_next =
        ws != NULL && n - id >= sizeof NEXT && memcmp(p + id, NEXT, sizeof NEXT - 1) == 0;
    const char *data = is_next ? "[]" : ACK;
    size_t len = strlen(data);
    if (id + len > sizeof text) {
        return;
    }
    memcpy(text, p, id);
    text[1] = '3';
    memcpy(text + id, data, len);
    put_packet(one, ws, text, id + len);
    if (is_next) {
        floor_flush(ws);
        emit(strtoul(p + id + sizeof NEXT - 1, NULL, 10));
    }
}

static void
take_packet(session *one, floor_peer *ws, const char *p, size_t n)
{
    if (n >= 2 && p[0] == '4' && p[1] == '2') {
        take_event(one, ws, p, n);
    }
    else if (n == 2 && p[0] == '4' && p[1] == '0') {
        join(one, ws);
    }
    else if (ws != NULL && n == 6 && memcmp(p, "2probe", 6) == 0) {
        one->is_upgrading = true;
        put_packet(one, ws, "3probe", 6);
        floor_flush(ws);
        put_packet(one, NULL, "6", 1);
    }
    else if (n == 1 && p[0] == '1') {
        put_packet(one, NULL, "6", 1);
        end_session(one);
    } /* and `41`, `5` and `3` have no answer */
}

/* One frame of a WebSocket. Bytes consumed, 0 when it is not complete, -1. */
static long
take_frame(floor_peer *peer, uint8_t *p, size_t n)
{
    size_t head = 2 + 4;
    if (n < 2 || (p[1] & 0x7f) == 127) {
        return n < 2 ? 0 : -1;
    }
    size_t len = p[1] & 0x7f;
    if (len == 126) {
        head += 2;
        len = n < 4 ? 0 : (size_t)p[2] << 8 | p[3];
    }
    if (n < head || n - head < len) {
        return 0;
    }
    uint8_t *text = p + head, *key = text - 4;
    uint64_t wide, block;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&block, text + i, 8);
        block ^= wide;
        memcpy(text + i, &block, 8);
    }
    for (; i < len; i++) {
        text[i] ^= key[i & 3];
    }
    if ((p[0] & 0x0f) == 0x8) {
        uint8_t answer[4];
        floor_put(peer, answer, put_head(answer, 0x8, 0));
        peer->is_closing = true;
    }
    else {
        take_packet(peer->session, peer, (const char *)text, len);
    }
    return (long)(head + len);
}

/* What follows a name in a head, or NULL. */
static const char *
value_after(const char *head, size_t n, const char *name)
{
    size_t len = strlen(name);
    const char *found = memmem(head, n, name, len);
    return found != NULL ? found + len : NULL;
}

static long
take_upgrade(floor_peer *peer, const char *head, size_t n)
{
    char answer[TEXT_MAX], accept[FLOOR_ACCEPT_LEN];
    const char *key = value_after(head, n, "Sec-WebSocket-Key: ");
    if (key == NULL || (size_t)(head + n - key) < FLOOR_KEY_LEN) {
        return -1;
    }
    floor_accept(key, accept);
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n\r\n",
                       FLOOR_ACCEPT_LEN, accept);
    floor_put(peer, answer, (size_t)len);
    peer->is_websocket = true;
    if (peer->session == NULL) {
        peer->session = begin_session();
        put_packet(peer->session, peer, answer, open_text(peer->session, answer));
    }
    return (long)n;
}

/* One request. Bytes consumed, 0 when it is not complete, -1. */
static long
take_request(floor_peer *peer, const uint8_t *p, size_t n)
{
    const char *head = (const char *)p, *end = memmem(head, n, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    size_t head_len = (size_t)(end - head) + 4, body_len = 0;
    size_t line_len = (size_t)((const char *)memchr(head, '\r', n) - head);
    const char *sid = value_after(head, line_len, "&sid=");
    size_t number = sid != NULL ? strtoul(sid, NULL, 10) : 0;
    session *one = sid != NULL && number < all.session_count ? all.sessions[number] : NULL;
    if (sid != NULL && one == NULL) {
        return -1;
    }
    if (p[0] == 'P') {
        const char *length = value_after(head, head_len, "\r\nContent-Length: ");
        body_len = length != NULL ? strtoul(length, NULL, 10) : 0;
        if (one == NULL || n - head_len < body_len) {
            return one == NULL ? -1 : 0;
        }
        const char *packet = head + head_len, *last = packet + body_len;
        put_answer(peer, "ok", 2);
        while (packet < last) {
            const char *stop = memchr(packet, SEPARATOR, (size_t)(last - packet));
            stop = stop != NULL ? stop : last;
            take_packet(one, NULL, packet, (size_t)(stop - packet));
            packet = stop + 1;
        }
        return (long)(head_len + body_len);
    }
    if (value_after(head, line_len, "transport=websocket") != NULL) {
        peer->session = one;
        return take_upgrade(peer, head, head_len);
    }
    if (one == NULL) {
        char text[TEXT_MAX];
        put_answer(peer, text, open_text(begin_session(), text));
    }
    else {
        peer->session = one;
        one->poll = peer;
        if (one->is_upgrading && one->len == 0) {
            put_packet(one, NULL, "6", 1);
        }
        answer_poll(one);
    }
    return (long)head_len;
}

long
floor_session_read(floor_peer *peer, uint8_t *p, size_t n)
{
    size_t at = 0;
    while (at < n && !peer->is_closing) {
        long used = peer->is_websocket ? take_frame(peer, p + at, n - at)
                                       : take_request(peer, p + at, n - at);
        if (used <= 0) {
            return used < 0 ? -1 : (long)at;
        }
        at += (size_t)used;
    }
    return (long)n;
}

void
floor_session_close(floor_peer *peer)
{
    if (!peer->is_websocket) {
        if (peer->session != NULL && peer->session->poll == peer) {
            peer->session->poll = NULL;
        }
        return;
    }
    if (peer->number < all.member_count && all.members[peer->number] == peer) {
        floor_peer *last = all.members[--all.member_count];
        all.members[peer->number] = last;
        last->number = peer->number;
    }
    end_session(peer->session);
}
