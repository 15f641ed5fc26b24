/* hist.h: a histogram of latencies whose buckets are at most 1/128 of their value wide.
 *
 * All memory is in the struct; zero it before use.
 */
#ifndef LG_HIST_H
#define LG_HIST_H

#include <stdint.h>

#define LG_HIST_SUB 128 /* buckets for each power of two */
#define LG_HIST_SIZE (58 * LG_HIST_SUB)

typedef struct {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[LG_HIST_SIZE];
} lg_hist;

void lg_hist_add(lg_hist *hist, uint64_t ns);

/* The value under which the given part (0 to 1) of all lies: the middle of its bucket; 0 when
 * nothing was added. */
double lg_hist_quantile(const lg_hist *hist, double part);

#endif
