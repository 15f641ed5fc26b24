/* pubsub.h: the message that servers of a fleet publish for each other, without building it.
 *
 * Mirrors: what socketio.async_pubsub_manager publishes: one JSON object.
 * Nothing is owned: the spans point into the input, and hold one JSON value each.
 */
#ifndef TBX_WIRE_PUBSUB_H
#define TBX_WIRE_PUBSUB_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    TBX_PUB_METHOD,
    TBX_PUB_HOST_ID,
    TBX_PUB_NAMESPACE,
    TBX_PUB_ROOM,
    TBX_PUB_SKIP_SID,
    TBX_PUB_CALLBACK,
    TBX_PUB_BINARY,
    TBX_PUB_VOLATILE,
    TBX_PUB_CHANNELS,
    TBX_PUB_EVENT,
    TBX_PUB_DATA,
    TBX_PUB_FIELDS,
} tbx_pub_field;

typedef struct {
    const uint8_t *text; /* NULL: the object has no such key */
    size_t len;
} tbx_pub_span;

typedef struct {
    tbx_pub_span fields[TBX_PUB_FIELDS]; /* of a key that comes twice, the last */
} tbx_pub;

#define TBX_PUB_DEPTH 1024 /* of nesting */

/* Reads the whole of a message and sees to it that it is JSON in strict UTF-8. Returns n, or TBX_BAD:
 * not JSON, not an object, a key of the object with an escape, nesting beyond TBX_PUB_DEPTH, an integer
 * of more than 100 characters. */
ptrdiff_t tbx_pub_parse(const uint8_t *p, size_t n, tbx_pub *out, tbx_err *err);

/* Whether a field is this JSON text, byte for byte. */
bool tbx_pub_is(const tbx_pub *message, tbx_pub_field field, const char *json);
/* Whether a field is missing, null or false. */
bool tbx_pub_is_unset(const tbx_pub *message, tbx_pub_field field);

/* The elements of an array between its brackets, spaces at both ends left out. False: not an array. */
bool tbx_pub_elements(tbx_pub_span array, tbx_pub_span *inner);

/* Copies valid JSON, or the elements of an array, without the space around its tokens, which is what
 * python-socketio sends after decoding and encoding. dst has room for n bytes; what was written. */
size_t tbx_pub_compact(const uint8_t *p, size_t n, uint8_t *dst);

#endif
