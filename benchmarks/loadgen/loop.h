/* loop.h: the connections of a run and the epoll loop over them.
 *
 * Knows how connections are made, read and written; which phases a run has is up to run.c,
 * emits.c and idle.c. Pings of the server are answered here, whatever the phase.
 */
#ifndef LG_LOOP_H
#define LG_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conn.h"
#include "options.h"
#include "proc.h"

typedef struct {
    lg_shared shared;
    const lg_options *options;
    lg_server server;
    lg_conn *conns;    /* owned */
    int opened;        /* how many were begun, */
    int ready;         /* joined the namespace, */
    int leaving;       /* were asked to leave, */
    int gone;          /* and have left */
    int timer;         /* owned; when it fires, lg_loop_wait returns */
    uint64_t timer_at; /* what it is set to; 0 before it is */
    uint64_t heard;    /* when the server was last heard */
} lg_loop;

/* What a run does with what one read of a connection brought: acks, and conn->received_now events.
 * 0 or -1. */
typedef int (*lg_on_read)(void *run, lg_conn *conn, const uint64_t *sent_at, ssize_t acks);

/* Fills *loop. 0, or -1 with shared.error; lg_loop_free in both cases. */
int lg_loop_init(lg_loop *loop, const lg_options *options);

void lg_loop_free(lg_loop *loop);

/* Begins connections until all are begun or options->connecting of them are under way. 0 or -1. */
int lg_loop_open_some(lg_loop *loop);

/* Lets connections leave until all have been asked to, or of those that poll options->connecting are
 * about to. 0 or -1. */
int lg_loop_close_some(lg_loop *loop);

/* -1 when nothing has been heard for options->silence seconds, else 0 with *until not later than when that will
 * be so. Only for a phase in which the server owes something. */
int lg_loop_check_silence(lg_loop *loop, uint64_t now, uint64_t *until);

/* Lets lg_loop_wait return at the given moment, to the nanosecond. 0 or -1. */
int lg_loop_set_timer(lg_loop *loop, uint64_t at);

/* Waits until the given moment for something to do, and does it once. 0 or -1. */
int lg_loop_wait(lg_loop *loop, uint64_t until, lg_on_read on_read, void *run);

#endif
