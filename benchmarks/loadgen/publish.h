/* publish.h: messages published on Redis, for the servers that subscribe there.
 *
 * A blocking connection: Redis takes what it is sent without a regard to its subscribers. Of Redis's
 * protocol it knows the one command that it writes and the integer that answers it.
 */
#ifndef LG_PUBLISH_H
#define LG_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

#include "conn.h"
#include "options.h"

#define LG_CHANNEL "socketio" /* python-socketio's default */

typedef struct {
    int fd;            /* owned; -1 when not open */
    char *round;       /* owned; the commands of one round */
    size_t len;        /* of round */
    size_t messages;   /* in a round */
    uint64_t unproved; /* messages that Redis has not yet said to have passed on */
    int at_number;     /* in the reply that is being read: whether its ':' was read, */
    int receivers;     /* and what follows so far */
} lg_publisher;

/* Connects and reads options->messages, one message a line. 0, or -1 with shared->error;
 * lg_publisher_close in both cases. */
int lg_publisher_open(lg_publisher *publisher, lg_shared *shared);

void lg_publisher_close(lg_publisher *publisher);

/* Publishes a round. -1 also when an earlier message has reached no server. */
int lg_publisher_send(lg_publisher *publisher, lg_shared *shared);

/* Waits until Redis has passed everything on. 0 or -1. */
int lg_publisher_drain(lg_publisher *publisher, lg_shared *shared);

#endif
