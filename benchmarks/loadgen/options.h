/* options.h: what one run does, from the command line. */
#ifndef LG_OPTIONS_H
#define LG_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { LG_WEBSOCKET, LG_UPGRADE, LG_POLLING } lg_transport;

typedef struct {
    struct sockaddr_in address;
    const char *path; /* of the request, without the query */
    char
        *event; /* owned; `["message",{...}]`, sent or, with receive, expected; or NULL with idle */
    const char *expect; /* what an ack has behind its id, or NULL for anything */
    int connections;
    int connecting; /* at most so many handshakes under way */
    double idle; /* seconds that clients stay, after one event if there is one; -1 to send events */
    lg_transport transport;
    int receive;  /* rounds of events from the server under way (emits.h); 0 to send events */
    double paced; /* seconds at half of the rate of that; 0 for none */
    int publish;  /* port of the Redis on which rounds are published, or 0 */
    const char *messages; /* the file with what is published for a round; NULL without publish */
    int in_flight;        /* events of one connection that wait for their ack; 0 with a rate */
    double rate;          /* events a second over all connections; 0 without */
    double warmup;        /* seconds */
    double seconds;       /* measured; 0 with ops */
    double silence;       /* seconds without a byte from the server, after which it has failed */
    bool announce;        /* print a line when the measurement begins */
    uint64_t ops;         /* acks to get in all; 0 with seconds */
    int server_pid;       /* whose CPU time and memory are reported, or 0 */
    int core;             /* to be pinned to, or -1 */
} lg_options;

/* Fills *options or ends the process with a message and status 2. */
void lg_options_read(int argc, char **argv, lg_options *options);

void lg_options_free(lg_options *options);

#endif
