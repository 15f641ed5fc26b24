/* utf8.c: checking and widening of UTF-8 (contract in utf8.h). */
#include "base/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t
load8(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline bool
is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the sequence that starts with a lead byte >= 0x80, or 0 when it is not valid. */
static size_t
sequence_len(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    if (lead < 0xe0) {
        return left >= 2 && is_tail(p[1]) ? 2 : 0;
    }
    if (lead < 0xf0) {
        if (left < 3 || !is_tail(p[1]) || !is_tail(p[2]) || (lead == 0xe0 && p[1] < 0xa0)) {
            return 0;
        }
        return 3;
    }
    if (left < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3])) {
        return 0;
    }
    if ((lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    return 4;
}

size_t
tbx_utf8_valid(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (p[i] < 0x80) {
            if (n - i >= 8 && (load8(p + i) & HIGH_BITS) == 0) {
                i += 8;
            }
            else {
                i++;
            }
            continue;
        }
        size_t len = sequence_len(p + i, n - i);
        if (len == 0) {
            break;
        }
        i += len;
    }
    return i;
}

size_t
tbx_utf8_count(const uint8_t *p, size_t n)
{
    size_t tails = 0;
    for (size_t i = 0; i < n; i++) {
        tails += is_tail(p[i]);
    }
    return n - tails;
}

tbx_utf8_shape
tbx_utf8_measure(const uint8_t *p, size_t n)
{
    size_t tails = 0;
    uint8_t max = 0;
    for (size_t i = 0; i < n; i++) { /* one pass without branches: compilers make vectors of it */
        tails += is_tail(p[i]);
        max = p[i] > max ? p[i] : max;
    }
    tbx_utf8_shape shape = {n - tails, 0x7f};
    if (max >= 0xf0) {
        shape.max = 0x10ffff;
    }
    else if (max >= 0xc4) {
        shape.max = 0xffff;
    }
    else if (max >= 0x80) {
        shape.max = 0xff;
    }
    return shape;
}

void
tbx_utf8_to_1(const uint8_t *p, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += tbx_utf8_get(p + i, &c);
        *dst++ = (uint8_t)c;
    }
}

void
tbx_utf8_to_2(const uint8_t *p, size_t n, uint16_t *dst)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += tbx_utf8_get(p + i, &c);
        *dst++ = (uint16_t)c;
    }
}

void
tbx_utf8_to_4(const uint8_t *p, size_t n, uint32_t *dst)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += tbx_utf8_get(p + i, &c);
        *dst++ = c;
    }
}
