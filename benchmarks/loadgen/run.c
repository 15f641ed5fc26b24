/* run.c: the event loop and the phases of a run (contract in run.h).
 *
 * Closed loop (--in-flight): each ack is answered by the next event of its connection; what one
 * read brought is answered with one write. Open loop (--rate): event i is due at start + i / rate
 * whatever the server does, connections take turns, and latency counts from when it was due.
 */
#define _GNU_SOURCE 1

#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"

#define SECOND UINT64_C(1000000000)
#define SILENCE (10 * SECOND) /* a server that says nothing for so long has failed */
#define HANDSHAKES_MAX 128    /* at a time, less than a listener's usual backlog */
#define EVENTS_MAX 256
#define WAIT_MAX 1000 /* milliseconds in epoll_wait */

typedef enum { CONNECT, WARMUP, MEASURE, DRAIN } run_phase;

typedef struct {
    lg_shared shared;
    const lg_options *options;
    lg_result *result;
    lg_conn *conns; /* owned */
    int opened;
    int ready;
    int timer; /* owned; fires when the next event of an open loop is due */
    run_phase phase;
    clockid_t server_clock;
    uint64_t started;  /* when sending began */
    uint64_t boundary; /* end of WARMUP or MEASURE; UINT64_MAX without */
    uint64_t heard;    /* when the server was last heard, or last had nothing to answer */
    uint64_t sent;
    uint64_t waiting;
} run_state;

static uint64_t
read_clock(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0) {
        return 0;
    }
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t
now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static double
to_seconds(uint64_t ns)
{
    return (double)ns / (double)SECOND;
}

static bool
may_send(const run_state *run)
{
    uint64_t ops = run->options->ops;
    return run->phase != DRAIN && (ops == 0 || run->sent < ops);
}

static int
send_event(run_state *run, lg_conn *conn, uint64_t sent_at)
{
    if (run->waiting == 0) {
        run->heard = now_ns();
    }
    run->sent++;
    run->waiting++;
    return lg_conn_send(conn, &run->shared, sent_at);
}

/* The moment at which event i of an open loop is due. */
static uint64_t
due_at(const run_state *run, uint64_t i)
{
    return run->started + (uint64_t)((double)i / run->options->rate * (double)SECOND);
}

static int
send_due(run_state *run)
{
    uint64_t due;
    while ((due = due_at(run, run->sent)) <= now_ns()) {
        lg_conn *conn = &run->conns[run->sent % (uint64_t)run->options->connections];
        if (send_event(run, conn, due) < 0 || lg_conn_flush(conn, &run->shared) < 0) {
            return -1;
        }
    }
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(due / SECOND), .tv_nsec = (long)(due % SECOND)}};
    if (timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0) {
        return lg_fail(&run->shared, "timerfd_settime: %s", strerror(errno));
    }
    return 0;
}

/* Adds (sign 1) or takes away (-1) the present reading of the clocks. */
static void
read_clocks(run_state *run, uint64_t now, int sign)
{
    lg_result *result = run->result;
    result->seconds += sign * to_seconds(now);
    result->own_cpu += sign * to_seconds(read_clock(CLOCK_PROCESS_CPUTIME_ID));
    if (run->options->server_pid != 0) {
        result->server_cpu += sign * to_seconds(read_clock(run->server_clock));
    }
}

static void
begin_measure(run_state *run, uint64_t now)
{
    double seconds = run->options->seconds;
    run->phase = MEASURE;
    run->boundary = seconds > 0 ? now + (uint64_t)(seconds * (double)SECOND) : UINT64_MAX;
    read_clocks(run, now, -1);
}

static void
end_measure(run_state *run, uint64_t now)
{
    run->phase = DRAIN;
    run->boundary = UINT64_MAX;
    read_clocks(run, now, 1);
}

/* Everybody is connected: sending begins. */
static int
start(run_state *run, uint64_t now)
{
    const lg_options *options = run->options;
    run->result->connect_seconds = to_seconds(now - run->started);
    run->started = now;
    run->phase = WARMUP;
    run->boundary = now + (uint64_t)(options->warmup * (double)SECOND);
    if (options->warmup == 0) {
        begin_measure(run, now);
    }
    if (options->rate > 0) {
        return send_due(run);
    }
    for (int i = 0; i < options->connections; i++) {
        for (int k = 0; k < options->in_flight && may_send(run); k++) {
            if (send_event(run, &run->conns[i], now_ns()) < 0) {
                return -1;
            }
        }
        if (lg_conn_flush(&run->conns[i], &run->shared) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
open_some(run_state *run)
{
    while (run->opened < run->options->connections && run->opened - run->ready < HANDSHAKES_MAX) {
        if (lg_conn_open(&run->conns[run->opened++], &run->shared) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
on_readable(run_state *run, lg_conn *conn)
{
    static uint64_t sent_at[LG_SLOTS];
    bool was_ready = conn->phase == LG_READY;
    ssize_t acks = lg_conn_read(conn, &run->shared, sent_at);
    if (acks < 0) {
        return -1;
    }
    run->ready += !was_ready && conn->phase == LG_READY;
    uint64_t now = now_ns();
    run->heard = now;
    for (ssize_t i = 0; i < acks; i++) {
        run->waiting--;
        if (run->phase == MEASURE) {
            lg_hist_add(&run->result->latency, now - sent_at[i]);
        }
        if (run->options->in_flight > 0 && may_send(run) && send_event(run, conn, now_ns()) < 0) {
            return -1;
        }
    }
    return conn->out_len > 0 ? lg_conn_flush(conn, &run->shared) : 0;
}

/* What is to be done by time alone. 1 when the run is over, 0, or -1. */
static int
advance(run_state *run)
{
    uint64_t now = now_ns();
    if (run->phase == CONNECT) {
        if (run->ready == run->options->connections) {
            return start(run, now);
        }
        return open_some(run);
    }
    if (run->phase == WARMUP && now >= run->boundary) {
        begin_measure(run, now);
    }
    if (run->phase == MEASURE) {
        uint64_t ops = run->options->ops;
        if (ops > 0 ? run->result->latency.count == ops : now >= run->boundary) {
            end_measure(run, now);
        }
    }
    if (run->phase == DRAIN) {
        return run->waiting == 0;
    }
    return run->options->rate > 0 ? send_due(run) : 0;
}

static int
loop(run_state *run)
{
    struct epoll_event events[EVENTS_MAX];
    int over;
    while ((over = advance(run)) == 0) {
        uint64_t now = now_ns();
        uint64_t until = run->heard + SILENCE;
        bool expects = run->phase == CONNECT || run->waiting > 0;
        if (expects && now >= until) {
            return lg_fail(&run->shared, "silence: %d of %d connected, %llu events unanswered",
                           run->ready, run->options->connections, (unsigned long long)run->waiting);
        }
        if (!expects || until > run->boundary) {
            until = run->boundary;
        }
        uint64_t wait_ms = until <= now ? 0 : (until - now) / 1000000 + 1;
        int timeout = wait_ms < WAIT_MAX ? (int)wait_ms : WAIT_MAX;
        int n = epoll_wait(run->shared.epoll, events, EVENTS_MAX, timeout);
        if (n < 0 && errno != EINTR) {
            return lg_fail(&run->shared, "epoll_wait: %s", strerror(errno));
        }
        for (int i = 0; i < n; i++) {
            lg_conn *conn = events[i].data.ptr;
            if (conn == NULL) {
                continue; /* the timer: advance() sends what is due and sets it anew */
            }
            if ((events[i].events & EPOLLOUT) != 0 && lg_conn_flush(conn, &run->shared) < 0) {
                return -1;
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 && on_readable(run, conn) < 0) {
                return -1;
            }
        }
    }
    return over < 0 ? -1 : 0;
}

static int
set_up(run_state *run)
{
    const lg_options *options = run->options;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (options->server_pid != 0 &&
        clock_getcpuclockid(options->server_pid, &run->server_clock) != 0) {
        return lg_fail(&run->shared, "no process %d", options->server_pid);
    }
    size_t n = (size_t)options->connections;
    run->conns = calloc(n, sizeof *run->conns);
    if (run->conns == NULL) {
        return lg_fail(&run->shared, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        run->conns[i].fd = -1;
    }
    run->shared.epoll = epoll_create1(EPOLL_CLOEXEC);
    run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (run->shared.epoll < 0 || run->timer < 0 ||
        epoll_ctl(run->shared.epoll, EPOLL_CTL_ADD, run->timer, &event) < 0) {
        return lg_fail(&run->shared, "epoll: %s", strerror(errno));
    }
    run->started = run->heard = now_ns();
    return 0;
}

int
lg_run(const lg_options *options, lg_result *result)
{
    run_state run = {
        .shared = {.options = options,
                   .event_len = strlen(options->event),
                   .epoll = -1,
                   .random = UINT64_C(0x9e3779b97f4a7c15)},
        .options = options,
        .result = result,
        .timer = -1,
        .boundary = UINT64_MAX,
    };
    int status = set_up(&run) < 0 || loop(&run) < 0 ? -1 : 0;
    if (status < 0) {
        fprintf(stderr, "toolboxsio-loadgen: %s\n", run.shared.error);
    }
    for (int i = 0; run.conns != NULL && i < options->connections; i++) {
        lg_conn_free(&run.conns[i]);
    }
    free(run.conns);
    if (run.timer >= 0) {
        close(run.timer);
    }
    if (run.shared.epoll >= 0) {
        close(run.shared.epoll);
    }
    return status;
}
