/* idle.c: the phases of a measurement of idle clients (contract in idle.h).
 *
 * What a server does for a client may come after the client has got its answer (a handler of
 * "disconnect" runs when the socket is closed already), so the CPU of connecting and of leaving
 * counts until the server is quiet: QUIET_SPAN with less than QUIET_SHARE of a core.
 */
#define _GNU_SOURCE 1

#include "idle.h"

#include <stdio.h>

#include "conn.h"
#include "loop.h"
#include "poll.h"

#define QUIET_SPAN (LG_SECOND / 5)
#define QUIET_SHARE 0.1
#define QUIET_MAX (10 * LG_SECOND) /* then it does not become quiet, and that is an error */

typedef enum { CONNECT, JOINED, IDLE, CLOSE, GONE } idle_phase;

typedef struct {
    lg_loop loop;
    const lg_options *options;
    lg_idle_result *result;
    idle_phase phase;
    uint64_t boundary;  /* end of a span of JOINED or GONE, or of IDLE; UINT64_MAX without */
    uint64_t give_up;   /* end of QUIET_MAX */
    uint64_t quiet_cpu; /* the server's CPU time when the span began */
} idle_state;

/* 0, or -1 when the memory of the server cannot be read. */
static int
read_rss(idle_state *idle, long *kib)
{
    *kib = lg_server_rss(&idle->loop.server);
    return *kib < 0 ? lg_fail(&idle->loop.shared, "the memory of process %d cannot be read",
                              idle->options->server_pid)
                    : 0;
}

static void
begin_span(idle_state *idle, uint64_t now)
{
    idle->boundary = now + QUIET_SPAN;
    idle->quiet_cpu = lg_server_cpu(&idle->loop.server);
}

static void
begin_quiet(idle_state *idle, idle_phase phase, lg_usage *usage, uint64_t now)
{
    idle->phase = phase;
    idle->give_up = now + QUIET_MAX;
    lg_usage_end(usage, &idle->loop.server, now);
    begin_span(idle, now);
}

/* The server's CPU time of a span that is over goes into *usage. 1 when it is quiet, 0, or -1. */
static int
take_span(idle_state *idle, lg_usage *usage, uint64_t now)
{
    if (now < idle->boundary) {
        return 0;
    }
    double cpu = lg_seconds(lg_server_cpu(&idle->loop.server) - idle->quiet_cpu);
    double span = lg_seconds(now - idle->boundary + QUIET_SPAN);
    usage->server_cpu += cpu;
    if (cpu < QUIET_SHARE * span) {
        return 1;
    }
    if (now >= idle->give_up) {
        return lg_fail(&idle->loop.shared, "the server does not become quiet: %.0f%% of a core",
                       100 * cpu / span);
    }
    begin_span(idle, now);
    return 0;
}

static int
begin_idle(idle_state *idle, uint64_t now)
{
    lg_idle_result *result = idle->result;
    if (read_rss(idle, &result->rss_joined) < 0) {
        return -1;
    }
    idle->phase = IDLE;
    idle->boundary = now + (uint64_t)(idle->options->idle * (double)LG_SECOND);
    result->eio_pings = idle->loop.shared.eio_pings;
    result->ws_pings = idle->loop.shared.ws_pings;
    lg_usage_begin(&result->idle, &idle->loop.server, now);
    return 0;
}

static int
begin_close(idle_state *idle, uint64_t now)
{
    lg_idle_result *result = idle->result;
    lg_loop *loop = &idle->loop;
    lg_usage_end(&result->idle, &loop->server, now);
    result->eio_pings = loop->shared.eio_pings - result->eio_pings;
    result->ws_pings = loop->shared.ws_pings - result->ws_pings;
    if (read_rss(idle, &result->rss_idle) < 0) {
        return -1;
    }
    idle->phase = CLOSE;
    idle->boundary = UINT64_MAX;
    loop->heard = lg_now();
    lg_usage_begin(&result->close, &loop->server, loop->heard);
    return lg_loop_close_some(loop);
}

/* What is to be done by time or by the state of the connections. 1 when all is over, 0, or -1. */
static int
advance(idle_state *idle)
{
    lg_loop *loop = &idle->loop;
    lg_idle_result *result = idle->result;
    int all = idle->options->connections;
    uint64_t now = lg_now();
    int quiet;
    switch (idle->phase) {
    case CONNECT:
        if (loop->ready < all) {
            return lg_loop_open_some(loop);
        }
        begin_quiet(idle, JOINED, &result->connect, now);
        return 0;
    case JOINED:
        quiet = take_span(idle, &result->connect, now);
        return quiet == 1 ? begin_idle(idle, now) : quiet;
    case IDLE:
        return now >= idle->boundary ? begin_close(idle, now) : 0;
    case CLOSE:
        if (loop->gone < all) {
            return lg_loop_close_some(loop);
        }
        for (int i = 0; i < all; i++) {
            lg_poll_disconnect(&loop->conns[i]);
        }
        begin_quiet(idle, GONE, &result->close, now);
        return 0;
    case GONE:
        quiet = take_span(idle, &result->close, now);
        result->connects = loop->shared.connects;
        if (quiet == 1 && read_rss(idle, &result->rss_after) < 0) {
            return -1;
        }
        return quiet;
    }
    return 0;
}

/* An event is sent before a client is ready, and its ack has been taken then. */
static int
on_acks(void *self, lg_conn *conn, const uint64_t *sent_at, ssize_t acks)
{
    (void)conn, (void)sent_at, (void)acks;
    return lg_fail(&((idle_state *)self)->loop.shared, "an ack came");
}

static int
turn(idle_state *idle)
{
    if (read_rss(idle, &idle->result->rss_before) < 0) {
        return -1;
    }
    lg_usage_begin(&idle->result->connect, &idle->loop.server, lg_now());
    int over;
    while ((over = advance(idle)) == 0) {
        uint64_t until = idle->boundary;
        if ((idle->phase == CONNECT || idle->phase == CLOSE) &&
            lg_loop_check_silence(&idle->loop, lg_now(), &until) < 0) {
            return -1;
        }
        if (lg_loop_wait(&idle->loop, until, on_acks, idle) < 0) {
            return -1;
        }
    }
    return over < 0 ? -1 : 0;
}

int
lg_idle_run(const lg_options *options, lg_idle_result *result)
{
    idle_state idle = {.options = options, .result = result, .boundary = UINT64_MAX};
    int status = lg_loop_init(&idle.loop, options);
    if (status == 0) {
        status = turn(&idle);
    }
    if (status < 0) {
        fprintf(stderr, "toolboxsio-loadgen: %s\n", idle.loop.shared.error);
    }
    lg_loop_free(&idle.loop);
    return status;
}
