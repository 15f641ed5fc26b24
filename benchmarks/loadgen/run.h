/* run.h: one measurement from the first connection to the last ack. */
#ifndef LG_RUN_H
#define LG_RUN_H

#include "hist.h"
#include "options.h"

/* Everything but `connect_seconds` is of the measured time alone. */
typedef struct {
    double connect_seconds;
    double seconds;
    double server_cpu; /* seconds of user and system time; 0 without a server's pid */
    double own_cpu;    /* the same of this process */
    lg_hist
        latency; /* from the sending of an event (with a rate: from when it was due) to its ack */
} lg_result;

/* Runs and fills a zeroed *result. 0, or -1 after a message on stderr. */
int lg_run(const lg_options *options, lg_result *result);

#endif
