/* num_pow10.h: powers of ten, for num_f64_put.c and num_f64_get.c alone.
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

#endif
