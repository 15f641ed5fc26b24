/* utf8.h: UTF-8 with surrogates allowed ("WTF-8"), as Python's "surrogatepass" reads and writes it.
 *
 * Python's json module accepts lone surrogates in text and in escapes, so the codec needs them too.
 * Everything else is as strict as RFC 3629: no overlong forms, nothing above U+10FFFF.
 */
#ifndef TBX_BASE_UTF8_H
#define TBX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a valid text is made of; a Python string of it has `chars` characters, at most `max`. */
typedef struct {
    size_t chars;
    uint32_t max; /* an upper bound of the same class: 0x7f, 0xff, 0xffff or 0x10ffff */
} tbx_utf8_shape;

/* Length of the valid part at the start; n when all of it is valid. */
size_t tbx_utf8_valid(const uint8_t *p, size_t n);

/* The shape of valid text. */
tbx_utf8_shape tbx_utf8_measure(const uint8_t *p, size_t n);

/* Number of characters in valid text. */
size_t tbx_utf8_count(const uint8_t *p, size_t n);

/* Write valid text as one unit a character; dst has room for tbx_utf8_measure(…).chars units of a
 * width that its .max fits. */
void tbx_utf8_to_1(const uint8_t *p, size_t n, uint8_t *dst);
void tbx_utf8_to_2(const uint8_t *p, size_t n, uint16_t *dst);
void tbx_utf8_to_4(const uint8_t *p, size_t n, uint32_t *dst);

/* Writes one code point (surrogates too) and returns its length, 1 to 4. */
static inline size_t
tbx_utf8_put(uint8_t *dst, uint32_t c)
{
    if (c < 0x80) {
        dst[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (uint8_t)(0xc0 | c >> 6);
        dst[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        dst[0] = (uint8_t)(0xe0 | c >> 12);
        dst[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        dst[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    dst[0] = (uint8_t)(0xf0 | c >> 18);
    dst[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    dst[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    dst[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* Reads one code point of valid text and returns its length. */
static inline size_t
tbx_utf8_get(const uint8_t *p, uint32_t *c)
{
    uint32_t lead = p[0];
    if (lead < 0x80) {
        *c = lead;
        return 1;
    }
    if (lead < 0xe0) {
        *c = (lead & 0x1f) << 6 | (p[1] & 0x3fu);
        return 2;
    }
    if (lead < 0xf0) {
        *c = (lead & 0x0f) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
        return 3;
    }
    *c = (lead & 0x07) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    return 4;
}

#endif
