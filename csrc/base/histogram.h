/* histogram.h: durations, counted in buckets, each at most a sixteenth wider than what it counts.
 *
 *     0-64 ns, 64-128 ns ... 960-1024 ns, then 16 buckets from each power of two to the next,
 *     up to 274 s; the last counts all that is longer
 *
 * A zeroed struct is an empty histogram. Nothing here allocates or fails.
 */
#ifndef TBX_BASE_HISTOGRAM_H
#define TBX_BASE_HISTOGRAM_H

#include <stdint.h>

#define TBX_HISTOGRAM_BUCKETS 464

typedef struct {
    uint64_t count;
    uint64_t sum; /* nanoseconds, as all durations here */
    uint64_t max;
    uint64_t buckets[TBX_HISTOGRAM_BUCKETS];
} tbx_histogram;

void tbx_histogram_add(tbx_histogram *histogram, uint64_t ns);

/* The duration that a share of the durations (0 < share <= 1) do not exceed, to 1/32 of it: the middle
 * of a bucket; 0 when there are none. */
uint64_t tbx_histogram_quantile(const tbx_histogram *histogram, double share);

/* How many do not exceed a duration, a bucket counting by its middle. */
uint64_t tbx_histogram_up_to(const tbx_histogram *histogram, uint64_t ns);

#endif
