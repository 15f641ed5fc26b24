/* poll.h: a client without a WebSocket: its requests, one after the other on one connection.
 *
 * GET (OPEN), POST (CONNECT), GET; with an event POST, GET (its ack). Then it is LG_READY and has no
 * connection: no poll waits for what the server might send. To leave it makes another for one POST,
 * of the Engine.IO packet `1`, and closes that when the answer has come.
 *
 * A run is to be shorter than the server's ping interval. Spec: Engine.IO protocol 4, RFC 9112.
 */
#ifndef LG_POLL_H
#define LG_POLL_H

#include "conn.h"

/* The connection is made: queues the first request, or that of a client that leaves. 0 or -1. */
int lg_poll_begin(lg_conn *conn, lg_shared *shared);

/* Takes the answer at the start of conn->in, and queues the next request. Bytes consumed, 0 when it
 * is not complete, -1. */
ssize_t lg_poll_take(lg_conn *conn, lg_shared *shared);

#endif
