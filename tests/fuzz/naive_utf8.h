/* naive_utf8.h: UTF-8 by its definition: which characters the bytes seen so far could still become. */
#ifndef TBX_TESTS_NAIVE_UTF8_H
#define TBX_TESTS_NAIVE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t end;   /* of the last whole character before the first invalid byte */
    size_t wrong; /* the first byte that no character continues with, or n */
} naive_utf8;

/* Whether a character from low to high, encoded in `size` bytes, may be. */
static inline bool
naive_utf8_may_be(uint32_t low, uint32_t high, size_t size, bool surrogates)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    static const uint32_t most[] = {0, 0x7f, 0x7ff, 0xffff, 0x10ffff};
    low = low < least[size] ? least[size] : low;
    high = high > most[size] ? most[size] : high;
    if (low > high) {
        return false;
    }
    return surrogates || low < 0xd800 || high > 0xdfff;
}

static inline naive_utf8
naive_utf8_read(const uint8_t *p, size_t n, bool surrogates)
{
    size_t i = 0;
    while (i < n) {
        size_t ones = 0; /* at the start of the first byte */
        while (ones < 8 && (p[i] << ones & 0x80) != 0) {
            ones++;
        }
        size_t size = ones == 0 ? 1 : ones;
        if (ones == 1 || ones > 4) {
            return (naive_utf8){i, i};
        }
        uint32_t bits = p[i] & (0xffu >> (ones + (ones != 0)));
        for (size_t have = 1;; have++) {
            unsigned missing = (unsigned)(6 * (size - have));
            uint32_t low = bits << missing, high = low | ((1u << missing) - 1);
            if (!naive_utf8_may_be(low, high, size, surrogates)) {
                return (naive_utf8){i, i + have - 1};
            }
            if (have == size) {
                break;
            }
            if (i + have == n) {
                return (naive_utf8){i, n};
            }
            if (p[i + have] >> 6 != 2) {
                return (naive_utf8){i, i + have};
            }
            bits = bits << 6 | (p[i + have] & 0x3fu);
        }
        i += size;
    }
    return (naive_utf8){n, n};
}

#endif
