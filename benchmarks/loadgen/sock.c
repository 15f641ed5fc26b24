/* sock.c: a TCP connection and its buffers (contract in sock.h). */
#define _GNU_SOURCE 1

#include "sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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

uint32_t
lg_random(lg_shared *shared)
{
    uint64_t x = shared->random; /* xorshift64* */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    shared->random = x;
    return (uint32_t)(x * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

void
lg_sock_init(lg_sock *sock, struct lg_conn *conn)
{
    sock->conn = conn;
    sock->fd = -1;
}

int
lg_sock_open(lg_sock *sock, lg_shared *shared)
{
    const struct sockaddr_in *address = &shared->options->address;
    if (sock->in == NULL) {
        sock->in = malloc(LG_IN_CAP);
    }
    sock->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock->in == NULL || sock->fd < 0) {
        return lg_fail(shared, "connection: %s", strerror(errno));
    }
    int one = 1;
    if (setsockopt(sock->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
        return lg_fail(shared, "TCP_NODELAY: %s", strerror(errno));
    }
    if (connect(sock->fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
        errno != EINPROGRESS) {
        return lg_fail(shared, "connect: %s", strerror(errno));
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = sock};
    if (epoll_ctl(shared->epoll, EPOLL_CTL_ADD, sock->fd, &event) < 0) {
        return lg_fail(shared, "epoll_ctl: %s", strerror(errno));
    }
    sock->is_connected = false;
    sock->polls_out = true;
    return 0;
}

void
lg_sock_close(lg_sock *sock)
{
    if (sock->fd >= 0) {
        close(sock->fd);
        sock->fd = -1;
    }
    sock->in_len = sock->out_sent = sock->out_len = 0;
}

void
lg_sock_free(lg_sock *sock)
{
    lg_sock_close(sock);
    free(sock->in);
    free(sock->out);
    sock->in = sock->out = NULL;
    sock->out_cap = 0;
}

int
lg_sock_reserve(lg_sock *sock, lg_shared *shared, size_t n)
{
    if (sock->out_cap - sock->out_len >= n) {
        return 0;
    }
    size_t cap = 2 * sock->out_cap + n;
    uint8_t *out = realloc(sock->out, cap);
    if (out == NULL) {
        return lg_fail(shared, "out of memory");
    }
    sock->out = out;
    sock->out_cap = cap;
    return 0;
}

int
lg_sock_put(lg_sock *sock, lg_shared *shared, const void *bytes, size_t n)
{
    if (lg_sock_reserve(sock, shared, n) < 0) {
        return -1;
    }
    memcpy(sock->out + sock->out_len, bytes, n);
    sock->out_len += n;
    return 0;
}

static int
watch(lg_sock *sock, lg_shared *shared, bool out)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = sock};
    if (epoll_ctl(shared->epoll, EPOLL_CTL_MOD, sock->fd, &event) < 0) {
        return lg_fail(shared, "epoll_ctl: %s", strerror(errno));
    }
    sock->polls_out = out;
    return 0;
}

int
lg_sock_on_writable(lg_sock *sock, lg_shared *shared)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    if (!sock->is_connected &&
        (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 || problem != 0)) {
        return lg_fail(shared, "connect: %s", strerror(problem != 0 ? problem : errno));
    }
    sock->is_connected = true;
    return lg_sock_flush(sock, shared);
}

int
lg_sock_flush(lg_sock *sock, lg_shared *shared)
{
    if (!sock->is_connected) {
        return 0;
    }
    while (sock->out_sent < sock->out_len) {
        ssize_t n = send(sock->fd, sock->out + sock->out_sent, sock->out_len - sock->out_sent,
                         MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN) {
                return lg_fail(shared, "send: %s", strerror(errno));
            }
            return sock->polls_out ? 0 : watch(sock, shared, true);
        }
        sock->out_sent += (size_t)n;
    }
    sock->out_sent = sock->out_len = 0;
    return sock->polls_out ? watch(sock, shared, false) : 0;
}

ssize_t
lg_sock_read(lg_sock *sock)
{
    ssize_t n;
    do {
        n = recv(sock->fd, sock->in + sock->in_len, LG_IN_CAP - sock->in_len, 0);
    } while (n < 0 && errno == EINTR);
    sock->in_len += n > 0 ? (size_t)n : 0;
    return n;
}

int
lg_sock_consume(lg_sock *sock, lg_shared *shared, size_t n)
{
    sock->in_len -= n;
    memmove(sock->in, sock->in + n, sock->in_len);
    if (sock->in_len == LG_IN_CAP) {
        return lg_fail(shared, "a frame or an answer of over %d bytes", LG_IN_CAP);
    }
    return 0;
}
