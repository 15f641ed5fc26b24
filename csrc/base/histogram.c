/* histogram.c: a float without a sign for each duration (contract in histogram.h). */
#include "base/histogram.h"

#define UNIT_BITS 6 /* durations are counted in 64 ns */
#define SUB_BITS 4  /* buckets from one power of two to the next: 16 */
#define SUBS (1u << SUB_BITS)

static unsigned
bit_length(uint64_t value)
{
    unsigned n = 0;
    for (unsigned step = 32; step > 0; step /= 2) {
        if (value >> step != 0) {
            value >>= step;
            n += step;
        }
    }
    return value != 0 ? n + 1 : 0;
}

static unsigned
index_of(uint64_t ns)
{
    uint64_t units = ns >> UNIT_BITS;
    if (units < SUBS) {
        return (unsigned)units;
    }
    unsigned shift = bit_length(units) - 1 - SUB_BITS;
    uint64_t index = (uint64_t)(shift + 1) * SUBS + ((units >> shift) & (SUBS - 1));
    return index < TBX_HISTOGRAM_BUCKETS ? (unsigned)index : TBX_HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t
middle_of(unsigned index)
{
    unsigned shift = index < SUBS ? 0 : index / SUBS - 1;
    uint64_t units = index < SUBS ? index : SUBS + index % SUBS;
    uint64_t width = (uint64_t)1 << (shift + UNIT_BITS);
    return units * width + width / 2;
}

void
tbx_histogram_add(tbx_histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->sum += ns;
    if (ns > histogram->max) {
        histogram->max = ns;
    }
    histogram->buckets[index_of(ns)]++;
}

uint64_t
tbx_histogram_quantile(const tbx_histogram *histogram, double share)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < TBX_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= share * (double)histogram->count) {
            uint64_t middle = middle_of(i);
            return middle < histogram->max ? middle : histogram->max;
        }
    }
    return 0;
}

uint64_t
tbx_histogram_up_to(const tbx_histogram *histogram, uint64_t ns)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < TBX_HISTOGRAM_BUCKETS && middle_of(i) <= ns; i++) {
        n += histogram->buckets[i];
    }
    return n;
}
