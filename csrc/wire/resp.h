/* resp.h: where a reply of Redis ends, and the messages of its channels, without building them.
 *
 * Spec: RESP2 and RESP3, https://redis.io/docs/latest/develop/reference/protocol-spec/; replies that
 * come in pieces of unknown length are taken for malformed.
 * Nothing is owned: the spans point into the input.
 */
#ifndef TBX_WIRE_RESP_H
#define TBX_WIRE_RESP_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TBX_RESP_DEPTH 16                     /* of nesting */
#define TBX_RESP_BULK_MAX ((size_t)512 << 20) /* bytes of a string, as Redis has it */

typedef struct {
    bool is_message; /* ["message", channel, payload]; else it is any other reply */
    const uint8_t *payload;
    size_t payload_len;
} tbx_resp;

/* Reads one reply. Returns its bytes, TBX_MORE (*need: how many there must be at least, more than n), or
 * TBX_BAD. */
ptrdiff_t tbx_resp_parse(const uint8_t *p, size_t n, tbx_resp *out, size_t *need);

#endif
