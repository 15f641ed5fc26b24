/* sio.h: the header of a Socket.IO packet, protocol revision 5, in valid UTF-8.
 *
 * Mirrors: the part of socketio.packet.Packet.decode before the JSON. One difference on purpose:
 * digits are ASCII digits.
 * Nothing is owned: the spans point into the input.
 */
#ifndef TBX_WIRE_SIO_H
#define TBX_WIRE_SIO_H

#include "base/err.h"

#include <stdint.h>

enum {
    TBX_SIO_CONNECT,
    TBX_SIO_DISCONNECT,
    TBX_SIO_EVENT,
    TBX_SIO_ACK,
    TBX_SIO_CONNECT_ERROR,
    TBX_SIO_BINARY_EVENT,
    TBX_SIO_BINARY_ACK,
};

#define TBX_SIO_COUNT_DIGITS 10 /* of the attachment count */
#define TBX_SIO_ID_DIGITS 100

typedef struct {
    unsigned type;        /* 0 to 9: that it is known is the caller's to check */
    uint64_t attachments; /* 0 when no count is there */
    const uint8_t *ns;    /* without its query string; NULL when none is there */
    size_t ns_len;
    const uint8_t *id; /* digits */
    size_t id_len;     /* 0 when none is there */
} tbx_sio;

/* Reads the header at p. Returns the bytes consumed; what follows is the JSON, possibly nothing.
 * TBX_BAD: no digit at the start, a count of more than 10 digits, an id of more than 100. */
ptrdiff_t tbx_sio_parse(const uint8_t *p, size_t n, tbx_sio *out, tbx_err *err);

#endif
