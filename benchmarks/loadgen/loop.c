/* loop.c: connections and epoll (contract in loop.h). */
#define _GNU_SOURCE 1

#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define WAIT_MAX 1000      /* milliseconds in epoll_wait */
#define OTHER_FILES_MAX 16 /* that this process has open besides its connections */

int
lg_loop_init(lg_loop *loop, const lg_options *options)
{
    *loop = (lg_loop){
        .shared = {.options = options, .epoll = -1, .random = UINT64_C(0x9e3779b97f4a7c15)},
        .options = options,
        .timer = -1,
    };
    loop->shared.event_len = options->event != NULL ? strlen(options->event) : 0;
    static const size_t SOCKETS[] = {[LG_WEBSOCKET] = 1, [LG_UPGRADE] = 3, [LG_POLLING] = 2};
    size_t n = (size_t)options->connections;
    size_t needed = n * SOCKETS[options->transport] + OTHER_FILES_MAX;
    uint64_t files = lg_files_raise();
    if (files < needed) {
        return lg_fail(&loop->shared,
                       "%zu connections need %zu open files, but no more than %llu "
                       "may be open here (ulimit -Hn)",
                       n, needed, (unsigned long long)files);
    }
    if (lg_server_open(&loop->server, options->server_pid) < 0) {
        return lg_fail(&loop->shared, "no process %d", options->server_pid);
    }
    loop->conns = calloc(n, sizeof *loop->conns);
    if (loop->conns == NULL) {
        return lg_fail(&loop->shared, "out of memory");
    }
    loop->shared.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->shared.epoll < 0 || loop->timer < 0 ||
        epoll_ctl(loop->shared.epoll, EPOLL_CTL_ADD, loop->timer, &event) < 0) {
        return lg_fail(&loop->shared, "epoll: %s", strerror(errno));
    }
    loop->heard = lg_now();
    return 0;
}

void
lg_loop_free(lg_loop *loop)
{
    for (int i = 0; loop->conns != NULL && i < loop->options->connections; i++) {
        lg_conn_free(&loop->conns[i]);
    }
    free(loop->conns);
    loop->conns = NULL;
    if (loop->timer >= 0) {
        close(loop->timer);
    }
    if (loop->shared.epoll >= 0) {
        close(loop->shared.epoll);
    }
}

int
lg_loop_open_some(lg_loop *loop)
{
    const lg_options *options = loop->options;
    while (loop->opened < options->connections &&
           loop->opened - loop->ready < options->connecting) {
        if (lg_conn_open(&loop->conns[loop->opened++], &loop->shared) < 0) {
            return -1;
        }
    }
    return 0;
}

int
lg_loop_close_some(lg_loop *loop)
{
    const lg_options *options = loop->options;
    bool polls = options->transport == LG_POLLING;
    int under_way = polls ? options->connecting : options->connections;
    while (loop->leaving < options->connections && loop->leaving - loop->gone < under_way) {
        if (lg_conn_close(&loop->conns[loop->leaving++], &loop->shared) < 0) {
            return -1;
        }
    }
    return 0;
}

int
lg_loop_check_silence(lg_loop *loop, uint64_t now, uint64_t *until)
{
    uint64_t silent_at = loop->heard + (uint64_t)(loop->options->silence * (double)LG_SECOND);
    if (now >= silent_at) {
        unsigned long long waiting = 0;
        for (int i = 0; i < loop->opened; i++) {
            waiting += loop->conns[i].waiting;
        }
        return lg_fail(&loop->shared,
                       "silence: %d of %d connected, %d closed, %llu events unanswered",
                       loop->ready, loop->options->connections, loop->gone, waiting);
    }
    if (*until > silent_at) {
        *until = silent_at;
    }
    return 0;
}

int
lg_loop_set_timer(lg_loop *loop, uint64_t at)
{
    if (at == loop->timer_at) {
        return 0;
    }
    loop->timer_at = at;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / LG_SECOND), .tv_nsec = (long)(at % LG_SECOND)}};
    if (timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0) {
        return lg_fail(&loop->shared, "timerfd_settime: %s", strerror(errno));
    }
    return 0;
}

static int
on_readable(lg_loop *loop, lg_sock *sock, lg_on_read on_read, void *run)
{
    static uint64_t sent_at[LG_SLOTS];
    lg_conn *conn = sock->conn;
    lg_phase before = conn->phase;
    ssize_t acks = lg_conn_read(conn, &loop->shared, sock, sent_at);
    if (acks < 0) {
        return -1;
    }
    loop->ready += before < LG_READY && conn->phase == LG_READY;
    loop->gone += before < LG_GONE && conn->phase == LG_GONE;
    loop->heard = lg_now();
    if ((acks > 0 || conn->received_now > 0) && on_read(run, conn, sent_at, acks) < 0) {
        return -1;
    }
    return lg_conn_flush(conn, &loop->shared);
}

int
lg_loop_wait(lg_loop *loop, uint64_t until, lg_on_read on_read, void *run)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = lg_now();
    uint64_t wait_ms = until <= now ? 0 : (until - now) / 1000000 + 1;
    int timeout = wait_ms < WAIT_MAX ? (int)wait_ms : WAIT_MAX;
    int n = epoll_wait(loop->shared.epoll, events, EVENTS_MAX, timeout);
    if (n < 0 && errno != EINTR) {
        return lg_fail(&loop->shared, "epoll_wait: %s", strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        lg_sock *sock = events[i].data.ptr;
        if (sock == NULL || sock->fd < 0) {
            continue; /* the timer, which is set anew by who waits for it; or it has been closed */
        }
        if ((events[i].events & EPOLLOUT) != 0 && lg_sock_on_writable(sock, &loop->shared) < 0) {
            return -1;
        }
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 &&
            on_readable(loop, sock, on_read, run) < 0) {
            return -1;
        }
    }
    return 0;
}
