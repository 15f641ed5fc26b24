/* hist.c: log-linear buckets (contract in hist.h). */
#include "hist.h"

#include <stddef.h>

/* Values below 256 have a bucket each; above, the leading 8 bits choose it. */
static unsigned
shift_of(uint64_t ns)
{
    return ns < 2 * LG_HIST_SUB ? 0 : 56 - (unsigned)__builtin_clzll(ns);
}

void
lg_hist_add(lg_hist *hist, uint64_t ns)
{
    unsigned shift = shift_of(ns);
    hist->buckets[shift * LG_HIST_SUB + (size_t)(ns >> shift)]++;
    hist->count++;
    if (ns > hist->max) {
        hist->max = ns;
    }
}

double
lg_hist_quantile(const lg_hist *hist, double part)
{
    double rank = part * (double)hist->count;
    uint64_t seen = 0;
    for (size_t i = 0; i < LG_HIST_SIZE; i++) {
        seen += hist->buckets[i];
        if (seen > 0 && (double)seen >= rank) {
            if (i < 2 * LG_HIST_SUB) {
                return (double)i;
            }
            size_t shift = i / LG_HIST_SUB - 1;
            uint64_t low = (uint64_t)(i - shift * LG_HIST_SUB) << shift;
            return (double)low + (double)(UINT64_C(1) << shift) / 2;
        }
    }
    return 0;
}
