/* eio.h: base64 as Engine.IO revision 4 uses it, the record separator of its payloads, and the form
 * fields of JSONP.
 *
 * Spec: RFC 4648, section 4, with padding; WHATWG URL, section 5.1. Nothing is owned, nothing
 * allocates.
 */
#ifndef TBX_WIRE_EIO_H
#define TBX_WIRE_EIO_H

#include "base/err.h"

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

/* Decodes the value of a form field into dst, which has room for n bytes and may be src: a plus is a
 * space, a percent sign and two hexadecimal digits are a byte. Returns the bytes written. */
size_t tbx_form_decode(const uint8_t *src, size_t n, uint8_t *dst);

#endif
