/* json_scan.h: finding the end of a plain run in a JSON string, reading and writing.
 *
 * Mirrors: the character classes of CPython's json: a string being read stops at '"', '\\' and
 * U+0000 to U+001F; one being written (ensure_ascii) stops at these, at DEL and at all above.
 * The scalar functions are the definition; the others must agree with them on every input.
 */
#ifndef TBX_WIRE_JSON_SCAN_H
#define TBX_WIRE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/simd.h"

/* tbx_json_copy may write this many bytes behind the run that it copies. */
#define TBX_JSON_SLACK 32

/* Length of the plain run at the start of p[0..n). *high becomes true when the run has a byte
 * >= 0x80 (it is never set back). */
size_t tbx_json_scan_scalar(const uint8_t *p, size_t n, bool *high);
size_t tbx_json_scan_block16(const uint8_t *p, size_t n, bool *high);
size_t tbx_json_scan_avx2(const uint8_t *p, size_t n, bool *high);
size_t tbx_json_scan_long(const uint8_t *p, size_t n, bool *high); /* the best of them */

/* Copies the run at the start of src[0..n) that needs no escape and returns its length. dst has
 * room for n + TBX_JSON_SLACK bytes. */
size_t tbx_json_copy_scalar(uint8_t *dst, const uint8_t *src, size_t n);
size_t tbx_json_copy_block16(uint8_t *dst, const uint8_t *src, size_t n);
size_t tbx_json_copy_avx2(uint8_t *dst, const uint8_t *src, size_t n);
size_t tbx_json_copy_long(uint8_t *dst, const uint8_t *src, size_t n);

/* True where the avx2 functions may be called on this processor. */
bool tbx_json_scan_has_avx2(void);

/* The one to call when reading: most strings end within the first block. */
static inline size_t
tbx_json_scan(const uint8_t *p, size_t n, bool *high)
{
#if TBX_BLOCK16
    if (n >= 16) {
        tbx_block16 v = tbx_block16_load(p);
        uint64_t stops = tbx_block16_stops_read(v);
        uint64_t highs = tbx_block16_high(v);
        if (stops != 0) {
            *high |= tbx_mask_before(highs, stops) != 0;
            return tbx_mask_index(stops);
        }
    }
#endif
    return tbx_json_scan_long(p, n, high);
}

static inline bool
tbx_json_is_plain_write(uint8_t c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* The one to call when writing. */
static inline size_t
tbx_json_copy(uint8_t *dst, const uint8_t *src, size_t n)
{
#if TBX_BLOCK16
    if (n >= 16) {
        tbx_block16 v = tbx_block16_load(src);
        tbx_block16_store(dst, v);
        uint64_t stops = tbx_block16_stops_write(v);
        if (stops != 0) {
            return tbx_mask_index(stops);
        }
        if (n == 16) {
            return 16;
        }
        return tbx_json_copy_long(dst, src, n);
    }
#endif
    return tbx_json_copy_scalar(dst, src, n);
}

#endif
