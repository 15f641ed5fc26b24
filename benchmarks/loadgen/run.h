/* run.h: one measurement of acks, from the first connection to the last ack. */
#ifndef LG_RUN_H
#define LG_RUN_H

#include "hist.h"
#include "options.h"
#include "proc.h"

typedef struct {
    double connect_seconds;
    lg_usage usage; /* of the measured time alone, as all that follows */
    uint64_t eio_pings;
    uint64_t ws_pings;
    lg_hist
        latency;  /* from the sending of an event (with a rate: from when it was due) to its ack */
    lg_hist late; /* with a rate: from when an event was due to its sending: the generator's own */
} lg_result;

/* Runs and fills a zeroed *result. 0, or -1 after a message on stderr. */
int lg_run(const lg_options *options, lg_result *result);

#endif
