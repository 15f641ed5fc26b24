/* fuzz.h: what a libFuzzer target needs; each target is one fuzz_<name>.c.
 *
 * A target checks properties, not only that nothing crashes: REQUIRE tells the place and aborts.
 * Buffers that a parser is given come from fuzz_copy, so that the address sanitizer sees the first
 * byte that is read behind them.
 */
#ifndef TBX_TESTS_FUZZ_H
#define TBX_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Room for n bytes at an odd address, the last of them the last that may be touched. */
static inline uint8_t *
fuzz_room(size_t n)
{
    uint8_t *p = malloc(n + 1);
    REQUIRE(p != NULL);
    return p + 1;
}

static inline uint8_t *
fuzz_copy(const void *src, size_t n)
{
    uint8_t *p = fuzz_room(n);
    if (n != 0) {
        memcpy(p, src, n);
    }
    return p;
}

static inline void
fuzz_free(void *p)
{
    free((uint8_t *)p - 1);
}

/* What is left of the input; behind its end come zeros. */
typedef struct {
    const uint8_t *p;
    size_t n;
} fuzz_input;

static inline uint8_t
fuzz_byte(fuzz_input *in)
{
    if (in->n == 0) {
        return 0;
    }
    in->n--;
    return *in->p++;
}

static inline uint64_t
fuzz_bytes(fuzz_input *in, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | fuzz_byte(in);
    }
    return value;
}

/* A size from two bytes: small ones of every value, and some large ones up to 0xfff << 4. */
static inline size_t
fuzz_size(fuzz_input *in)
{
    size_t value = (size_t)fuzz_bytes(in, 2);
    return value >> 12 >= 12 ? (value & 0xfff) << 4 : value >> 12 >= 8 ? value & 0xfff : value & 63;
}

#endif
