/* emits.h: one measurement of events that a server emits.
 *
 * A round is one event for each client. The generator asks for rounds: with the event "next" of its
 * first client, whose argument is a number of rounds, or, with --publish, by publishing the messages
 * of a round on Redis itself. So many rounds may be under way that no client has more than --receive
 * events before it, whichever server it is.
 */
#ifndef LG_EMITS_H
#define LG_EMITS_H

#include "hist.h"
#include "options.h"
#include "proc.h"

/* Of one load: from nothing under way to nothing under way, so that its work is in it, all of it and
 * nothing else. */
typedef struct {
    lg_usage usage;
    double rate; /* rounds a second that were due; 0: as many as go */
    uint64_t rounds;
    uint64_t deliveries; /* events that came: rounds * connections */
    uint64_t reads;      /* that brought them */
    lg_hist latency;     /* with a rate: from when a round was due to each of its deliveries */
    lg_hist late;        /* with a rate: from when a round was due to its sending */
} lg_load;

typedef struct {
    double connect_seconds;
    size_t messages;   /* that are published for a round; 0 without --publish */
    lg_load saturated; /* --seconds */
    lg_load paced;     /* --paced seconds at half the rate of that */
} lg_emits_result;

/* Runs and fills a zeroed *result. 0, or -1 after a message on stderr. */
int lg_emits_run(const lg_options *options, lg_emits_result *result);

#endif
