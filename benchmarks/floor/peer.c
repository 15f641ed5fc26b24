/* peer.c: sockets and epoll (contract in peer.h). */
#define _GNU_SOURCE 1

#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256

void *
floor_memory(void *old, size_t size)
{
    void *made = realloc(old, size);
    if (made == NULL) {
        fputs("toolboxsio-floor: out of memory\n", stderr);
        exit(1);
    }
    return made;
}

static void
watch(floor_peer *peer, bool out)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = peer};
    epoll_ctl(peer->epoll, EPOLL_CTL_MOD, peer->fd, &event);
    peer->polls_out = out;
}

void
floor_put(floor_peer *peer, const void *bytes, size_t n)
{
    if (peer->out_cap - peer->out_len < n) {
        peer->out_cap = 2 * peer->out_cap + n;
        peer->out = floor_memory(peer->out, peer->out_cap);
    }
    memcpy(peer->out + peer->out_len, bytes, n);
    peer->out_len += n;
}

void
floor_flush(floor_peer *peer)
{
    if (peer->out_len == 0) {
        return;
    }
    ssize_t n = send(peer->fd, peer->out, peer->out_len, MSG_NOSIGNAL);
    if (n < 0) {
        n = errno == EAGAIN ? 0 : (ssize_t)peer->out_len; /* the end of the input follows */
    }
    peer->out_len -= (size_t)n;
    memmove(peer->out, peer->out + n, peer->out_len);
    bool waits = peer->out_len > 0;
    if (peer->polls_out != waits) {
        watch(peer, waits);
    }
}

void
floor_send(floor_peer *peer, const void *bytes, size_t n)
{
    ssize_t sent = 0;
    if (peer->out_len == 0) {
        sent = send(peer->fd, bytes, n, MSG_NOSIGNAL);
        if (sent == (ssize_t)n || (sent < 0 && errno != EAGAIN)) {
            return;
        }
        sent = sent < 0 ? 0 : sent;
    }
    floor_put(peer, (const uint8_t *)bytes + sent, n - (size_t)sent);
    if (!peer->polls_out) {
        watch(peer, true);
    }
}

static void
accept_all(int epoll, int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        floor_peer *peer = floor_memory(NULL, sizeof *peer);
        *peer = (floor_peer){.fd = fd, .epoll = epoll};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void
drop(floor_peer *peer, floor_on_close on_close)
{
    on_close(peer);
    close(peer->fd);
    free(peer->in);
    free(peer->out);
    free(peer);
}

/* Reads once. 0, or -1 when the connection is to be closed. */
static int
take(floor_peer *peer, floor_on_read on_read)
{
    static uint8_t room[FLOOR_READ_MAX];
    size_t kept = peer->in_len;
    if (kept > 0) {
        memcpy(room, peer->in, kept);
    }
    ssize_t n = recv(peer->fd, room + kept, sizeof room - kept, 0);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN ? 0 : -1;
    }
    size_t all = kept + (size_t)n;
    long used = on_read(peer, room, all);
    if (used < 0) {
        return -1;
    }
    peer->in_len = all - (size_t)used;
    if (peer->in_len > 0) {
        peer->in = floor_memory(peer->in, peer->in_len);
        memcpy(peer->in, room + used, peer->in_len);
    }
    return 0;
}

_Noreturn void
floor_serve(int listener, floor_on_read on_read, floor_on_close on_close)
{
    struct epoll_event events[EVENTS_MAX], event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            floor_peer *peer = events[i].data.ptr;
            if (peer == NULL) {
                accept_all(epoll, listener);
                continue;
            }
            bool reads = (events[i].events & ~(uint32_t)EPOLLOUT) != 0;
            bool ends = reads && take(peer, on_read) < 0;
            floor_flush(peer);
            if (ends || (peer->is_closing && peer->out_len == 0)) {
                drop(peer, on_close);
            }
        }
    }
}
