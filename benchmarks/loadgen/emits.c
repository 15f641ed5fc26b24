/* emits.c: the phases of a measurement of emits (contract in emits.h).
 *
 * Three stages, the last one only with --paced: as many rounds as go for --warmup seconds, the same
 * measured, and then half of the rate that was reached, on a fixed schedule. A stage ends when all
 * that it asked for has come and one more event has been answered, so that the server has nothing
 * left to do for it. In the end every client sends an event and waits for its ack: what is behind
 * its last delivery would come before that, and is too much.
 */
#define _GNU_SOURCE 1

#include "emits.h"

#include <stdbool.h>
#include <stdio.h>

#include "conn.h"
#include "loop.h"
#include "publish.h"

#define ROUNDS_MAX 16384 /* under way, whatever the rate */
#define NEXT_MAX 32

typedef enum { CONNECT, WARMUP, SATURATED, PACED, CHECK } emits_stage;

typedef struct {
    lg_loop loop;
    const lg_options *options;
    lg_emits_result *result;
    lg_publisher publisher;
    emits_stage stage;
    bool asking;              /* for more rounds; false when the time of the stage is over, */
    bool answering;           /* all have come, and the event after them waits for its ack */
    lg_load *load;            /* what the stage measures, or NULL */
    uint64_t started;         /* when connecting began, then when the stage did */
    uint64_t boundary;        /* end of asking */
    uint64_t first;           /* round of the stage */
    uint64_t asked;           /* rounds of all stages */
    uint64_t complete;        /* of them: every client has its event */
    uint64_t unanswered;      /* events of clients */
    uint64_t due[ROUNDS_MAX]; /* when round i % ROUNDS_MAX was to be asked for */
    int got[ROUNDS_MAX];      /* clients that have got it */
} emits_state;

static int
send_next(emits_state *emits, lg_conn *conn, unsigned rounds)
{
    char event[NEXT_MAX];
    int n = snprintf(event, sizeof event, "[\"next\",%u]", rounds);
    emits->unanswered++;
    if (lg_conn_send(conn, &emits->loop.shared, event, (size_t)n, 0) < 0) {
        return -1;
    }
    return lg_conn_flush(conn, &emits->loop.shared);
}

/* Asks for some rounds, which were due at the given moment. */
static int
ask(emits_state *emits, unsigned rounds, uint64_t due)
{
    lg_shared *shared = &emits->loop.shared;
    if (emits->asked + rounds - emits->complete > ROUNDS_MAX) {
        return lg_fail(shared, "the server does not keep up with half of its rate: %d rounds wait",
                       ROUNDS_MAX);
    }
    if (emits->asked == emits->complete) {
        emits->loop.heard = lg_now(); /* it had nothing to say */
    }
    for (unsigned i = 0; i < rounds; i++) {
        size_t slot = emits->asked++ % ROUNDS_MAX;
        emits->due[slot] = due;
        emits->got[slot] = 0;
    }
    if (emits->options->publish == 0) {
        return send_next(emits, &emits->loop.conns[0], rounds);
    }
    for (unsigned i = 0; i < rounds; i++) {
        if (lg_publisher_send(&emits->publisher, shared) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Keeps --receive rounds under way, half of them at a time. */
static int
ask_for_all(emits_state *emits)
{
    uint64_t window = (uint64_t)emits->options->receive;
    unsigned some = window > 1 ? (unsigned)window / 2 : 1;
    while (emits->asked + some - emits->complete <= window) {
        if (ask(emits, some, lg_now()) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
ask_for_due(emits_state *emits)
{
    double rate = emits->load->rate;
    for (;;) {
        uint64_t i = emits->asked - emits->first;
        uint64_t due = emits->started + (uint64_t)((double)i / rate * (double)LG_SECOND);
        uint64_t now = lg_now();
        if (due > now) {
            return lg_loop_set_timer(&emits->loop, due);
        }
        lg_hist_add(&emits->load->late, now - due);
        if (ask(emits, 1, due) < 0) {
            return -1;
        }
    }
}

static void
begin_stage(emits_state *emits, emits_stage stage, double seconds, lg_load *load)
{
    uint64_t now = lg_now();
    emits->stage = stage;
    emits->load = load;
    emits->asking = true;
    emits->answering = false;
    emits->started = now;
    emits->boundary = now + (uint64_t)(seconds * (double)LG_SECOND);
    emits->first = emits->asked;
    if (load != NULL) {
        lg_usage_begin(&load->usage, &emits->loop.server, now);
    }
}

/* Nothing is under way any more. */
static int
end_stage(emits_state *emits)
{
    const lg_options *options = emits->options;
    lg_load *load = emits->load;
    if (load != NULL) {
        lg_usage_end(&load->usage, &emits->loop.server, lg_now());
        load->rounds = emits->asked - emits->first;
    }
    if (emits->stage == WARMUP) {
        begin_stage(emits, SATURATED, options->seconds, &emits->result->saturated);
        return 0;
    }
    if (emits->stage == SATURATED && options->paced > 0) {
        lg_load *paced = &emits->result->paced;
        const lg_load *reached = &emits->result->saturated;
        paced->rate = (double)reached->rounds / reached->usage.seconds / 2;
        begin_stage(emits, PACED, options->paced, paced);
        return 0;
    }
    emits->stage = CHECK;
    emits->load = NULL;
    for (int i = 0; i < options->connections; i++) {
        if (send_next(emits, &emits->loop.conns[i], 0) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Lets a stage whose time is over come to rest, and begins the next one then. 0 or -1. */
static int
settle(emits_state *emits)
{
    if (emits->complete < emits->asked || emits->unanswered > 0) {
        return 0;
    }
    if (emits->answering) {
        return end_stage(emits);
    }
    emits->answering = true;
    emits->loop.heard = lg_now();
    return send_next(emits, &emits->loop.conns[0], 0);
}

/* What is to be done by time or by the state of the rounds. 1 when the run is over, 0, or -1. */
static int
advance(emits_state *emits)
{
    if (emits->stage == CONNECT) {
        if (emits->loop.ready < emits->options->connections) {
            return lg_loop_open_some(&emits->loop);
        }
        emits->result->connect_seconds = lg_seconds(lg_now() - emits->started);
        begin_stage(emits, WARMUP, emits->options->warmup, NULL);
    }
    if (emits->stage == CHECK) {
        return emits->unanswered == 0;
    }
    if (emits->asking && lg_now() >= emits->boundary) {
        emits->asking = false;
        emits->boundary = UINT64_MAX;
        if (emits->options->publish != 0 &&
            lg_publisher_drain(&emits->publisher, &emits->loop.shared) < 0) {
            return -1;
        }
    }
    if (!emits->asking && settle(emits) < 0) {
        return -1;
    }
    if (!emits->asking) {
        return 0;
    }
    return emits->stage == PACED ? ask_for_due(emits) : ask_for_all(emits);
}

/* The event of a round has come to one more client. */
static int
take_delivery(emits_state *emits, uint64_t round)
{
    if (round >= emits->asked) {
        return lg_fail(&emits->loop.shared, "a client got more than the %llu events asked for",
                       (unsigned long long)emits->asked);
    }
    size_t slot = round % ROUNDS_MAX;
    emits->complete += ++emits->got[slot] == emits->options->connections;
    if (emits->stage == PACED) {
        lg_hist_add(&emits->load->latency, emits->loop.heard - emits->due[slot]);
    }
    return 0;
}

static int
on_read(void *self, lg_conn *conn, const uint64_t *sent_at, ssize_t acks)
{
    (void)sent_at;
    emits_state *emits = self;
    emits->unanswered -= (uint64_t)acks;
    for (unsigned i = conn->received_now; i > 0; i--) {
        if (take_delivery(emits, conn->received - i) < 0) {
            return -1;
        }
    }
    if (emits->load != NULL) {
        emits->load->deliveries += conn->received_now;
        emits->load->reads += conn->received_now > 0;
    }
    return 0;
}

static int
turn(emits_state *emits)
{
    lg_shared *shared = &emits->loop.shared;
    int over;
    while ((over = advance(emits)) == 0) {
        uint64_t until = emits->boundary;
        bool owed = emits->complete < emits->asked || emits->unanswered > 0;
        if ((emits->stage == CONNECT || owed) &&
            lg_loop_check_silence(&emits->loop, lg_now(), &until) < 0) {
            lg_shared before = *shared;
            return lg_fail(shared, "%s, %llu of %llu rounds complete", before.error,
                           (unsigned long long)emits->complete, (unsigned long long)emits->asked);
        }
        if (lg_loop_wait(&emits->loop, until, on_read, emits) < 0) {
            return -1;
        }
    }
    return over < 0 ? -1 : 0;
}

int
lg_emits_run(const lg_options *options, lg_emits_result *result)
{
    static emits_state emits; /* large */
    emits = (emits_state){.options = options, .result = result, .boundary = UINT64_MAX};
    emits.publisher.fd = -1;
    int status = lg_loop_init(&emits.loop, options);
    if (status == 0 && options->publish != 0) {
        status = lg_publisher_open(&emits.publisher, &emits.loop.shared);
        result->messages = emits.publisher.messages;
    }
    emits.started = lg_now();
    if (status == 0) {
        status = turn(&emits);
    }
    if (status < 0) {
        fprintf(stderr, "toolboxsio-loadgen: %s\n", emits.loop.shared.error);
    }
    lg_publisher_close(&emits.publisher);
    lg_loop_free(&emits.loop);
    return status;
}
