/* conn.h: one Socket.IO client on a non-blocking socket.
 *
 * Goes from the TCP connection through the WebSocket handshake, the Engine.IO OPEN and the Socket.IO
 * CONNECT to LG_READY; then it sends events and matches acks with them by their ids, and with
 * --receive counts the events that come, until it closes the WebSocket and waits for the server to
 * close the socket. Idle clients with an event send it on their way to LG_READY. Pings of Engine.IO
 * and of WebSocket are answered in every phase. Anything that the server should not send, and an
 * event that is not the expected one to the byte, is an error of the whole run.
 * Sec-WebSocket-Accept is not verified. With --polling there is no WebSocket: poll.h.
 *
 * Mirrors: socket.io-client over one WebSocket. Spec: Engine.IO protocol 4, Socket.IO protocol 5.
 */
#ifndef LG_CONN_H
#define LG_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "options.h"

#define LG_SLOTS 1024        /* events of one connection that may wait for their ack */
#define LG_EVENT_MAX 1048576 /* bytes */

typedef enum {
    LG_CONNECTING,
    LG_UPGRADING,
    LG_OPENING,
    LG_JOINING,
    LG_ASKING, /* idle clients with an event: its ack has not come */
    LG_READY,
    LG_CLOSING, /* a close frame is sent; what else comes is passed over */
    LG_CLOSED,  /* and was answered */
    LG_GONE     /* and the server has closed the socket: nothing is open */
} lg_phase;

/* What all connections of a run use. */
typedef struct {
    const lg_options *options;
    size_t event_len; /* of options->event */
    int epoll;
    uint64_t random;    /* state of the generator of masks; never 0 */
    uint64_t eio_pings; /* of Engine.IO, answered */
    uint64_t ws_pings;  /* of WebSocket, answered */
    char error[512];    /* why a function returned -1 */
} lg_shared;

typedef struct {
    uint64_t sent_at; /* nanoseconds */
    uint32_t id;
    bool waiting;
} lg_slot;

typedef struct {
    int fd; /* owned; -1 when not open */
    lg_phase phase;
    bool polls_out;        /* registered for EPOLLOUT */
    unsigned waiting;      /* acks of sent events that have not come */
    uint64_t received;     /* events that came, */
    unsigned received_now; /* and those of the last read */
    uint32_t next_id;
    bool posted;  /* polling: the answer that comes is that to a POST */
    char sid[40]; /* polling: of the Engine.IO session; "" before it is known */
    uint8_t *in;  /* owned; in[0..in_len) is not yet parsed */
    size_t in_len;
    uint8_t *out; /* owned; out[out_sent..out_len) is not yet written */
    size_t out_sent;
    size_t out_len;
    size_t out_cap;
    lg_slot *slots; /* owned; NULL before the first event; the slot of an id is id % LG_SLOTS */
} lg_conn;

/* Writes the message into shared->error and returns -1. */
int lg_fail(lg_shared *shared, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Starts to connect a zeroed conn, or one that has no socket any more, and registers it with epoll.
 * 0 or -1; free it in both cases. */
int lg_conn_open(lg_conn *conn, lg_shared *shared);

/* Sends a close frame on a conn that is LG_READY, or begins to leave by polling. 0 or -1. */
int lg_conn_close(lg_conn *conn, lg_shared *shared);

/* Says goodbye as far as the socket takes it at once, and frees everything. */
void lg_conn_free(lg_conn *conn);

/* Queues n bytes as they are. 0 or -1. */
int lg_conn_put(lg_conn *conn, lg_shared *shared, const void *bytes, size_t n);

/* Takes an ack, `43<id>[...]`: frees its slot and tells when the event was sent. 0 or -1. */
int lg_conn_take_ack(lg_conn *conn, lg_shared *shared, const uint8_t *p, size_t n,
                     uint64_t *sent_at);

/* lg_fail with the beginning of what came, whose bytes outside ASCII are shown as '?'. */
int lg_fail_packet(lg_shared *shared, const char *what, const uint8_t *p, size_t n);

/* Notes an event that is sent now, and whose ack will come. Its id, or -1. */
int64_t lg_conn_expect_ack(lg_conn *conn, lg_shared *shared, uint64_t sent_at);

/* Queues one event, `["name",...]`; sent_at is given back with its ack. 0 or -1. */
int lg_conn_send(lg_conn *conn, lg_shared *shared, const char *event, size_t len, uint64_t sent_at);

/* Writes what is queued, as far as the socket takes it, and waits for the rest with EPOLLOUT.
 * Also continues a connection that has just been made. 0 or -1. */
int lg_conn_flush(lg_conn *conn, lg_shared *shared);

/* Reads once. Returns the number of acks that came, with their sent_at in sent_at[0..), or -1. May
 * change the phase, and counts received and received_now. */
ssize_t lg_conn_read(lg_conn *conn, lg_shared *shared, uint64_t sent_at[LG_SLOTS]);

#endif
