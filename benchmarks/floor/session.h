/* session.h: what the floor answers: canned bytes for what the load generator sends.
 *
 * Knows of sessions what is needed to find them: their number is their sid. Nothing is checked that the
 * load generator does right.
 */
#ifndef FLOOR_SESSION_H
#define FLOOR_SESSION_H

#include "peer.h"

typedef enum {
    FLOOR_ACKS,     /* events are acknowledged */
    FLOOR_EACH,     /* `next` lets events go to every WebSocket, a write for each */
    FLOOR_TOGETHER, /* or one write for those of a client */
} floor_mode;

/* The event that is emitted has this text, JSON of n bytes. */
void floor_session_init(floor_mode mode, const char *json, size_t n);

long floor_session_read(floor_peer *peer, uint8_t *p, size_t n);

void floor_session_close(floor_peer *peer);

#endif
