/* json_scan_scalar.c: the scans of json_scan.h one byte or one 8-byte word at a time. */
#include "wire/json_scan.h"

#include <string.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t
load8(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Not 0 exactly when a byte of x is 0 (which byte is not told). */
static inline uint64_t
has_zero(uint64_t x)
{
    return (x - ONES) & ~x & HIGHS;
}

/* Not 0 exactly when a byte of x is below 0x20, '"' or '\\'. */
static inline uint64_t
has_special(uint64_t x)
{
    uint64_t below = (x - ONES * 0x20) & ~x & HIGHS;
    return below | has_zero(x ^ ONES * '"') | has_zero(x ^ ONES * '\\');
}

size_t
tbx_json_scan_scalar(const uint8_t *p, size_t n, bool *high)
{
    size_t i = 0;
    uint64_t seen = 0;
    while (n - i >= 8) {
        uint64_t word = load8(p + i);
        if (has_special(word) != 0) {
            break;
        }
        seen |= word;
        i += 8;
    }
    while (i < n && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
        seen |= p[i];
        i++;
    }
    *high |= (seen & HIGHS) != 0;
    return i;
}

size_t
tbx_json_copy_scalar(uint8_t *dst, const uint8_t *src, size_t n)
{
    size_t i = 0;
    while (n - i >= 8) {
        uint64_t word = load8(src + i);
        if ((has_special(word) | (word & HIGHS) | has_zero(word ^ ONES * 0x7f)) != 0) {
            break;
        }
        memcpy(dst + i, &word, 8);
        i += 8;
    }
    while (i < n && tbx_json_is_plain_write(src[i])) {
        dst[i] = src[i];
        i++;
    }
    return i;
}
