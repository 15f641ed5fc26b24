/* poll.h: what a client does over HTTP, as socket.io-client does it in Chromium.
 *
 * Two kept connections: one has the GET for OPEN and then every POST, the other the GETs that wait for
 * packets. GET (OPEN); POST (CONNECT) while the first GET waits for its answer; then a GET waits all
 * the time, and what comes while a POST is under way is sent together with the next. With --transport
 * upgrade a WebSocket is opened when CONNECT was answered: `2probe`, `3probe`, and when the GET that
 * waits has been answered (with NOOP), `5`; the two connections stay open until the client has left. A
 * browser opens the WebSocket as soon as it has OPEN, so that it may come before the answer to CONNECT
 * or after it: here all servers do the same.
 *
 * A client that polls leaves with the packets `41` and `1`, a POST each. It is gone when they are
 * answered; the GET that waits may be answered later, or, by python-socketio, not before its timeout:
 * its connection is closed when it is, or all have gone. Requests have the headers of Chromium, in its order; but for
 * Sec-WebSocket-Extensions, as nothing is compressed here. Every body is checked.
 *
 * Spec: Engine.IO protocol 4, RFC 9112.
 */
#ifndef LG_POLL_H
#define LG_POLL_H

#include "conn.h"

#define LG_SID_MAX 40

typedef struct lg_poll {
    lg_sock post;
    lg_sock get;
    bool is_posting; /* an answer is due on post, */
    bool is_getting; /* and on get */
    bool is_probed;  /* `3probe` came: no more GETs */
    bool is_leaving; /* `1` is sent: no more GETs */
    char sid[LG_SID_MAX];
    char *body; /* owned: packets for the next POST */
    size_t body_len;
    size_t body_cap;
} lg_poll;

/* Starts a client that has no WebSocket yet. 0 or -1. */
int lg_poll_open(lg_conn *conn, lg_shared *shared);

/* Begins to leave by polling. 0 or -1. */
int lg_poll_close(lg_conn *conn, lg_shared *shared);

/* Sends a packet, head and rest. 0 or -1. */
int lg_poll_send(lg_conn *conn, lg_shared *shared, const char *head, size_t n, const char *rest,
                 size_t len);

/* Writes what is queued. 0 or -1. */
int lg_poll_flush(lg_conn *conn, lg_shared *shared);

/* Reads one of the two connections once. The number of acks, with their sent_at, or -1. */
ssize_t lg_poll_read(lg_conn *conn, lg_shared *shared, lg_sock *sock, uint64_t sent_at[LG_SLOTS]);

/* `3probe` came: the WebSocket becomes the transport as soon as no GET waits. 0 or -1. */
int lg_poll_on_probe(lg_conn *conn, lg_shared *shared);

/* The headers of Chromium's upgrade besides those that every client sends. 0 or -1. */
int lg_poll_websocket_headers(lg_shared *shared, char *dst, size_t size);

/* Closes the connections, if there are any. */
void lg_poll_disconnect(lg_conn *conn);

void lg_poll_free(lg_conn *conn);

#endif
