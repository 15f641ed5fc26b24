/* sock.h: one non-blocking TCP connection to the server, with what was read and what is to be sent.
 *
 * It is registered with epoll, where it stands for itself. Knows nothing of protocols.
 */
#ifndef LG_SOCK_H
#define LG_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hist.h"
#include "options.h"

#define LG_IN_CAP 16384 /* bytes that are read before they make a frame or an answer */

/* What all connections of a run use. */
typedef struct {
    const lg_options *options;
    size_t event_len; /* of options->event */
    int epoll;
    uint64_t random;    /* state of the generator of masks; never 0 */
    uint64_t eio_pings; /* of Engine.IO, answered */
    uint64_t ws_pings;  /* of WebSocket, answered */
    lg_hist connects;   /* from when a client began to the answer to its CONNECT */
    char error[512];    /* why a function returned -1 */
} lg_shared;

struct lg_conn;

typedef struct {
    struct lg_conn *conn; /* borrowed: the client that it belongs to */
    int fd;               /* owned; -1 when not open */
    bool is_connected;
    bool polls_out; /* registered for EPOLLOUT */
    uint8_t *in;    /* owned; in[0..in_len) is not yet parsed */
    size_t in_len;
    uint8_t *out; /* owned; out[out_sent..out_len) is not yet written */
    size_t out_sent;
    size_t out_len;
    size_t out_cap;
} lg_sock;

/* Writes the message into shared->error and returns -1. */
int lg_fail(lg_shared *shared, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* lg_fail with the beginning of what came, whose bytes outside ASCII are shown as '?'. */
int lg_fail_packet(lg_shared *shared, const char *what, const uint8_t *p, size_t n);

/* A random number that needs speed and no secrecy. */
uint32_t lg_random(lg_shared *shared);

/* A zeroed sock becomes one of a client. */
void lg_sock_init(lg_sock *sock, struct lg_conn *conn);

/* Starts to connect one that is not open; bytes may be queued at once. 0 or -1. */
int lg_sock_open(lg_sock *sock, lg_shared *shared);

/* Closes it if it is open, and forgets what was read and queued. */
void lg_sock_close(lg_sock *sock);

void lg_sock_free(lg_sock *sock);

/* Room for n more bytes at out[out_len]. 0 or -1. */
int lg_sock_reserve(lg_sock *sock, lg_shared *shared, size_t n);

/* Queues n bytes. 0 or -1. */
int lg_sock_put(lg_sock *sock, lg_shared *shared, const void *bytes, size_t n);

/* epoll says that it can be written: the first time it is connected, or could not be. 0 or -1. */
int lg_sock_on_writable(lg_sock *sock, lg_shared *shared);

/* Writes what is queued, as far as the socket takes it, and waits for the rest with EPOLLOUT.
 * 0 or -1. */
int lg_sock_flush(lg_sock *sock, lg_shared *shared);

/* Reads once. Bytes, 0 at the end of the input, or -1 with errno, which may be EAGAIN. */
ssize_t lg_sock_read(lg_sock *sock);

/* Drops n bytes from the start of what was read. 0, or -1 when what is left fills the buffer. */
int lg_sock_consume(lg_sock *sock, lg_shared *shared, size_t n);

#endif
