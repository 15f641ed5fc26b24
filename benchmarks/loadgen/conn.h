/* conn.h: one Socket.IO client.
 *
 * Goes from the TCP connection through the WebSocket handshake (whose key is verified), the Engine.IO
 * OPEN and the Socket.IO CONNECT to LG_READY; then it sends events and matches acks with them by
 * their ids, and with --receive counts the events that come, until it leaves the namespace, closes
 * the WebSocket and waits for the server to close the socket. Idle clients with an event send it on
 * their way to LG_READY. Pings of Engine.IO and of WebSocket are answered in every phase. Anything
 * that the server should not send, and an event that is not the expected one to the byte, is an
 * error of the whole run. What --transport upgrade and polling do without a WebSocket is in poll.h.
 *
 * Mirrors: socket.io-client. Spec: Engine.IO protocol 4, Socket.IO protocol 5.
 */
#ifndef LG_CONN_H
#define LG_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "options.h"
#include "sock.h"

#define LG_SLOTS 1024        /* events of one connection that may wait for their ack */
#define LG_EVENT_MAX 1048576 /* bytes */

typedef enum {
    LG_OPENING, /* OPEN has not come, with a WebSocket perhaps not even the answer to the handshake */
    LG_JOINING, /* nor has the answer to CONNECT */
    LG_PROBING, /* upgrade: the WebSocket is not the transport yet */
    LG_ASKING,  /* idle clients with an event: its ack has not come */
    LG_READY,
    LG_CLOSING, /* a close frame, or the packet for it, is sent; what else comes is discarded */
    LG_CLOSED,  /* and was answered */
    LG_GONE     /* and the server has closed the socket, or answered that the session is over */
} lg_phase;

typedef struct {
    uint64_t sent_at; /* nanoseconds */
    uint32_t id;
    bool waiting;
} lg_slot;

struct lg_poll;

typedef struct lg_conn {
    lg_phase phase;
    lg_sock ws;
    bool is_websocket;     /* the handshake was answered */
    struct lg_poll *poll;  /* owned; NULL with a WebSocket from the start */
    uint64_t opened_at;    /* nanoseconds */
    unsigned waiting;      /* acks of sent events that have not come */
    uint64_t received;     /* events that came, */
    unsigned received_now; /* and those of the last read */
    uint32_t next_id;
    lg_slot *slots; /* owned; NULL before the first event; the slot of an id is id % LG_SLOTS */
} lg_conn;

/* Starts to connect a zeroed conn. 0 or -1; free it in both cases. */
int lg_conn_open(lg_conn *conn, lg_shared *shared);

/* A conn that is LG_READY begins to leave. 0 or -1. */
int lg_conn_close(lg_conn *conn, lg_shared *shared);

/* Says goodbye as far as a WebSocket takes it at once, and frees everything. */
void lg_conn_free(lg_conn *conn);

/* Queues one event, `["name",...]`; sent_at is given back with its ack. 0 or -1. */
int lg_conn_send(lg_conn *conn, lg_shared *shared, const char *event, size_t len, uint64_t sent_at);

/* Writes what is queued, as far as the sockets take it. 0 or -1. */
int lg_conn_flush(lg_conn *conn, lg_shared *shared);

/* Reads one of its sockets once. Returns the number of acks that came, with their sent_at in
 * sent_at[0..), or -1. May change the phase, and counts received and received_now. */
ssize_t lg_conn_read(lg_conn *conn, lg_shared *shared, lg_sock *sock, uint64_t sent_at[LG_SLOTS]);

/* For poll.c. */

/* Begins the handshake of a WebSocket, of a session if the id is not "". 0 or -1. */
int lg_conn_open_websocket(lg_conn *conn, lg_shared *shared, const char *sid);

/* Queues a text frame. 0 or -1. */
int lg_conn_put_text(lg_conn *conn, lg_shared *shared, const char *text, size_t len);

/* Takes the answer to CONNECT, `40{"sid":"..."}`. 0 or -1. */
int lg_conn_take_join(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n);

/* Takes an ack, `43<id>[...]`: frees its slot and tells when the event was sent. 0 or -1. */
int lg_conn_take_ack(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n,
                     uint64_t *sent_at);

/* The client is connected by the transport that it stays with: LG_ASKING or LG_READY. 0 or -1. */
int lg_conn_start(lg_conn *conn, lg_shared *shared);

/* Where the sid of an object that follows a prefix begins, with its length; NULL when there is none,
 * or the object does not end at p + n. */
const uint8_t *lg_sid(const char *prefix, const uint8_t *p, size_t n, size_t *len);

#endif
