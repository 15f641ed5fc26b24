/* idle.h: one measurement of clients that connect, say nothing or send one event, stay, and leave. */
#ifndef LG_IDLE_H
#define LG_IDLE_H

#include "hist.h"
#include "options.h"
#include "proc.h"

typedef struct {
    lg_usage connect;   /* seconds: until the last was ready; CPU: until the server was quiet */
    lg_usage idle;      /* --idle seconds after that */
    lg_usage close;     /* seconds: until the server had closed the last; CPU: until it was quiet */
    lg_hist connects;   /* from when a client began to the answer to its CONNECT */
    uint64_t eio_pings; /* answered while idle */
    uint64_t ws_pings;
    long rss_before; /* the server's, in KiB: nobody connected yet, */
    long rss_joined; /* everybody connected and the server quiet, */
    long rss_idle;   /* after --idle seconds, */
    long rss_after;  /* and everybody gone again */
} lg_idle_result;

/* Runs and fills a zeroed *result. 0, or -1 after a message on stderr. */
int lg_idle_run(const lg_options *options, lg_idle_result *result);

#endif
