/* eio.h: base64 as Engine.IO revision 4 uses it, the record separator of its payloads, and the form
 * fields of JSONP.
 *
 * Spec: RFC 4648, section 4, with padding; WHATWG URL, section 5.1. Nothing is owned, nothing
 * allocates.
 */
#ifndef TBX_WIRE_EIO_H
#define TBX_WIRE_EIO_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TBX_EIO_SEPARATOR 0x1e

/* Bytes of the base64 text of n bytes; n <= SIZE_MAX / 2. */
static inline size_t
tbx_base64_encoded_len(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* Writes tbx_base64_encoded_len(n) bytes. */
void tbx_base64_encode(const uint8_t *src, size_t n, uint8_t *dst);

/* Decodes strict base64 (whole groups, padding at the end alone) into dst, which has room for
 * n / 4 * 3 bytes. Returns the bytes written, or TBX_BAD with the offset of the first group that
 * is not strict. */
ptrdiff_t tbx_base64_decode(const uint8_t *src, size_t n, uint8_t *dst, tbx_err *err);

/* Whether that would succeed. */
bool tbx_base64_is_strict(const uint8_t *src, size_t n);

/* Whether a payload is at most max_packets packets in the form that clients give them: a type that clients
 * send (any of the protocol's types unless is_strict), or strict base64. An empty payload is. All others have
 * to be looked at by somebody who knows what to say of them. Whether text is UTF-8 is not looked at. */
bool tbx_eio_payload_is_usual(const uint8_t *p, size_t n, size_t max_packets, bool is_strict);

/* What the query of a request asks for that a client of a session sends: EIO=4, a transport, a session, and
 * perhaps a t that says when, each once, and nothing else. */
typedef struct {
    bool is_websocket; /* else polling */
    const uint8_t *sid;
    size_t sid_len; /* characters of base64url */
} tbx_eio_query;

/* False: it is another query. */
bool tbx_eio_query_parse(const uint8_t *p, size_t n, tbx_eio_query *out);

/* Decodes the value of a form field into dst, which has room for n bytes and may be src: a plus is a
 * space, a percent sign and two hexadecimal digits are a byte. Returns the bytes written. */
size_t tbx_form_decode(const uint8_t *src, size_t n, uint8_t *dst);

#endif
