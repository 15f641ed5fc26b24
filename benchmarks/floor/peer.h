/* peer.h: the connections of the floor, and the epoll loop over them. Knows nothing of protocols. */
#ifndef FLOOR_PEER_H
#define FLOOR_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOOR_READ_MAX 65536

typedef struct {
    int fd;
    int epoll;
    bool is_websocket;
    bool is_closing;         /* when what is queued has been written */
    bool polls_out;          /* registered for EPOLLOUT */
    struct session *session; /* borrowed, or NULL */
    size_t number;           /* of a WebSocket, among those that get events */
    uint8_t *in;             /* owned: what did not make a message, or NULL */
    size_t in_len;
    uint8_t *out; /* owned: out[0..out_len) is not yet written */
    size_t out_len;
    size_t out_cap;
} floor_peer;

/* What was read. Bytes consumed, the rest is given again; -1 when it is none of what the load
 * generator sends: the connection is closed then. */
typedef long (*floor_on_read)(floor_peer *peer, uint8_t *p, size_t n);

/* The connection is about to be closed. */
typedef void (*floor_on_close)(floor_peer *peer);

/* Queues n bytes; they are written when what was read has been taken, or by floor_flush. */
void floor_put(floor_peer *peer, const void *bytes, size_t n);

/* Writes what is queued as far as the socket takes it. */
void floor_flush(floor_peer *peer);

/* Writes n bytes at once, or queues them after others. */
void floor_send(floor_peer *peer, const void *bytes, size_t n);

/* Serves a listening socket until the process ends. */
_Noreturn void floor_serve(int listener, floor_on_read on_read, floor_on_close on_close);

/* Memory, or the end of the process. */
void *floor_memory(void *old, size_t size);

#endif
