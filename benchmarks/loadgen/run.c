/* run.c: the phases of a measurement of acks (contract in run.h).
 *
 * Closed loop (--in-flight): each ack is answered by the next event of its connection; what one
 * read brought is answered with one write. Open loop (--rate): event i is due at start + i / rate
 * whatever the server does, connections take turns, and latency counts from when it was due. All
 * events that were due in the measured time count, those acknowledged after it, too: a server that
 * stands still at its end is seen.
 */
#define _GNU_SOURCE 1

#include "run.h"

#include <stdio.h>

#include "conn.h"
#include "loop.h"

typedef enum { CONNECT, WARMUP, MEASURE, DRAIN } run_phase;

typedef struct {
    lg_loop loop;
    const lg_options *options;
    lg_result *result;
    run_phase phase;
    uint64_t started;  /* when connecting began, then when sending did */
    uint64_t measured; /* when MEASURE began */
    uint64_t boundary; /* end of WARMUP or MEASURE; UINT64_MAX without */
    uint64_t sent;
    uint64_t waiting;
} run_state;

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
        run->loop.heard = lg_now(); /* it had nothing to answer */
    }
    run->sent++;
    run->waiting++;
    lg_shared *shared = &run->loop.shared;
    return lg_conn_send(conn, shared, run->options->event, shared->event_len, sent_at);
}

/* The moment at which event i of an open loop is due. */
static uint64_t
due_at(const run_state *run, uint64_t i)
{
    return run->started + (uint64_t)((double)i / run->options->rate * (double)LG_SECOND);
}

/* Sends what is due, with one write for each connection: so a generator that has fallen behind has
 * less to do for an event, and catches up. */
static int
send_due(run_state *run)
{
    lg_loop *loop = &run->loop;
    uint64_t all = (uint64_t)run->options->connections;
    uint64_t first = run->sent;
    uint64_t due;
    while ((due = due_at(run, run->sent)) <= lg_now()) {
        if (run->phase == MEASURE) {
            lg_hist_add(&run->result->late, lg_now() - due);
        }
        if (send_event(run, &loop->conns[run->sent % all], due) < 0) {
            return -1;
        }
    }
    for (uint64_t i = first; i < run->sent && i < first + all; i++) {
        if (lg_conn_flush(&loop->conns[i % all], &loop->shared) < 0) {
            return -1;
        }
    }
    return lg_loop_set_timer(loop, due);
}

static void
begin_measure(run_state *run, uint64_t now)
{
    double seconds = run->options->seconds;
    run->phase = MEASURE;
    run->measured = now;
    run->boundary = seconds > 0 ? now + (uint64_t)(seconds * (double)LG_SECOND) : UINT64_MAX;
    run->result->eio_pings = run->loop.shared.eio_pings;
    run->result->ws_pings = run->loop.shared.ws_pings;
    lg_usage_begin(&run->result->usage, &run->loop.server, now);
    if (run->options->announce) {
        puts("measuring");
        fflush(stdout);
    }
}

static void
end_measure(run_state *run, uint64_t now)
{
    run->phase = DRAIN;
    run->boundary = UINT64_MAX;
    lg_usage_end(&run->result->usage, &run->loop.server, now);
    run->result->eio_pings = run->loop.shared.eio_pings - run->result->eio_pings;
    run->result->ws_pings = run->loop.shared.ws_pings - run->result->ws_pings;
}

/* Everybody is connected: sending begins. */
static int
start(run_state *run, uint64_t now)
{
    const lg_options *options = run->options;
    run->result->connect_seconds = lg_seconds(now - run->started);
    run->started = now;
    run->phase = WARMUP;
    run->boundary = now + (uint64_t)(options->warmup * (double)LG_SECOND);
    if (options->warmup == 0) {
        begin_measure(run, now);
    }
    if (options->rate > 0) {
        return send_due(run);
    }
    for (int i = 0; i < options->connections; i++) {
        lg_conn *conn = &run->loop.conns[i];
        for (int k = 0; k < options->in_flight && may_send(run); k++) {
            if (send_event(run, conn, lg_now()) < 0) {
                return -1;
            }
        }
        if (lg_conn_flush(conn, &run->loop.shared) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Whether the ack of an event that was sent, or due, at a moment counts. */
static bool
is_measured(const run_state *run, uint64_t sent_at)
{
    if (run->options->rate > 0) {
        return run->phase >= MEASURE && sent_at >= run->measured;
    }
    return run->phase == MEASURE;
}

static int
on_acks(void *self, lg_conn *conn, const uint64_t *sent_at, ssize_t acks)
{
    run_state *run = self;
    for (ssize_t i = 0; i < acks; i++) {
        run->waiting--;
        if (is_measured(run, sent_at[i])) {
            lg_hist_add(&run->result->latency, run->loop.heard - sent_at[i]);
        }
        if (run->options->in_flight > 0 && may_send(run) && send_event(run, conn, lg_now()) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What is to be done by time alone. 1 when the run is over, 0, or -1. */
static int
advance(run_state *run)
{
    uint64_t now = lg_now();
    if (run->phase == CONNECT) {
        if (run->loop.ready == run->options->connections) {
            return start(run, now);
        }
        return lg_loop_open_some(&run->loop);
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
turn(run_state *run)
{
    int over;
    while ((over = advance(run)) == 0) {
        uint64_t until = run->boundary;
        if ((run->phase == CONNECT || run->waiting > 0) &&
            lg_loop_check_silence(&run->loop, lg_now(), &until) < 0) {
            return -1;
        }
        if (lg_loop_wait(&run->loop, until, on_acks, run) < 0) {
            return -1;
        }
    }
    return over < 0 ? -1 : 0;
}

int
lg_run(const lg_options *options, lg_result *result)
{
    run_state run = {.options = options, .result = result, .boundary = UINT64_MAX};
    int status = lg_loop_init(&run.loop, options);
    run.started = lg_now();
    if (status == 0) {
        status = turn(&run);
    }
    if (status < 0) {
        fprintf(stderr, "toolboxsio-loadgen: %s\n", run.loop.shared.error);
    }
    lg_loop_free(&run.loop);
    return status;
}
