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
#include <string.h>

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

/* True when none of the eight bytes needs an escape. */
static inline bool
tbx_json_is_plain_word(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quote = word ^ ones * '"';
    uint64_t slash = word ^ ones * '\\';
    uint64_t bad = (word - ones * 0x20) & ~word; /* below 0x20 */
    bad |= ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
    bad |= word | (word + ones); /* 0x7f and above */
    return (bad & ones * 0x80) == 0;
}

/* A run of less than sixteen bytes: two words that overlap, when all of it is plain. */
static inline size_t
tbx_json_copy_short(uint8_t *dst, const uint8_t *src, size_t n)
{
    if (n >= 8) {
        uint64_t head, tail;
        memcpy(&head, src, 8);
        memcpy(&tail, src + n - 8, 8);
        if (tbx_json_is_plain_word(head) && tbx_json_is_plain_word(tail)) {
            memcpy(dst, &head, 8);
            memcpy(dst + n - 8, &tail, 8);
            return n;
        }
    }
    else if (n >= 4) {
        uint32_t head, tail;
        memcpy(&head, src, 4);
        memcpy(&tail, src + n - 4, 4);
        if (tbx_json_is_plain_word((uint64_t)tail << 32 | head)) {
            memcpy(dst, &head, 4);
            memcpy(dst + n - 4, &tail, 4);
            return n;
        }
    }
    else if (n != 0) { /* the rest of the word is made of spaces, which are plain */
        uint64_t word = UINT64_C(0x2020202020000000) | (uint64_t)src[n - 1] << 16 |
                        (uint64_t)src[n / 2] << 8 | src[0];
        if (tbx_json_is_plain_word(word)) {
            dst[0] = src[0];
            dst[n / 2] = src[n / 2];
            dst[n - 1] = src[n - 1];
            return n;
        }
    }
    return tbx_json_copy_scalar(dst, src, n);
}

#if TBX_BLOCK16
/* The last block of n >= 16 bytes, all before which is plain and copied; the whole length. */
static inline size_t
tbx_json_copy_tail16(uint8_t *dst, const uint8_t *src, size_t n)
{
    tbx_block16 v = tbx_block16_load(src + n - 16);
    tbx_block16_store(dst + n - 16, v);
    uint64_t stops = tbx_block16_stops_write(v);
    return stops != 0 ? n - 16 + tbx_mask_index(stops) : n;
}
#endif

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
        return n <= 32 ? tbx_json_copy_tail16(dst, src, n) : tbx_json_copy_long(dst, src, n);
    }
#endif
    return n < 16 ? tbx_json_copy_short(dst, src, n) : tbx_json_copy_long(dst, src, n);
}

#endif
