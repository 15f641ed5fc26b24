/* num_pow10.h: powers of ten and wide products, for num_f64_put.c and num_f64_get.c alone.
 *
 * The table is written by gen_pow10.py, which proves what is said here of each entry.
 */
#ifndef TBX_BASE_NUM_POW10_H
#define TBX_BASE_NUM_POW10_H

#include <stdbool.h>
#include <stdint.h>

#define TBX_POW10_MIN (-342)
#define TBX_POW10_MAX 324

/* With e = tbx_log2_pow10(k): floor(10^k * 2^(127 - e)), which has exactly 128 bits. `low` is never
 * all ones, so that adding one to it does not carry. */
typedef struct {
    uint64_t high;
    uint64_t low;
} tbx_pow10;

extern const tbx_pow10 tbx_pow10_table[TBX_POW10_MAX - TBX_POW10_MIN + 1];

/* k from TBX_POW10_MIN to TBX_POW10_MAX. */
static inline tbx_pow10
tbx_pow10_get(int k)
{
    return tbx_pow10_table[k - TBX_POW10_MIN];
}

/* True when the entry has lost nothing: 5^55 is the last to fit in 128 bits. */
static inline bool
tbx_pow10_is_exact(int k)
{
    return k >= 0 && k <= 55;
}

/* floor(x / 2^n), negative x too. */
static inline int
tbx_floor_shift(int x, int n)
{
    return x >= 0 ? x >> n : ~(~x >> n);
}

/* floor(log2(10^k)), k in the range of the table. */
static inline int
tbx_log2_pow10(int k)
{
    return tbx_floor_shift(k * 217706, 16);
}

/* The 128-bit product of a and b: returns the high half and stores the low one. */
static inline uint64_t
tbx_mul64(uint64_t a, uint64_t b, uint64_t *low)
{
#if defined(__SIZEOF_INT128__) && !defined(TBX_NO_INT128)
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    uint64_t a0 = a & 0xffffffff, a1 = a >> 32;
    uint64_t b0 = b & 0xffffffff, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32); /* cannot wrap: (2^32 - 1) * 2^32 at most */
    uint64_t cross = a0 * b1 + (middle & 0xffffffff);
    *low = a * b;
    return a1 * b1 + (middle >> 32) + (cross >> 32);
#endif
}

#endif
