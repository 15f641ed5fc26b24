/* test_histogram.c: base/histogram.h against the sorted durations themselves. */
#include "harness.h"

#include <inttypes.h>

#include "base/histogram.h"

#define N 20000

static tbx_histogram histogram;
static uint64_t values[N];

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A duration of any order of magnitude up to 2**bits ns. */
static uint64_t
pick(uint64_t *seed, unsigned bits)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    unsigned width = 1 + (unsigned)(*seed >> 58) % bits;
    return (*seed >> 8) & ((UINT64_C(1) << width) - 1);
}

/* One value alone: all quantiles are it, to 1/32 or a unit. */
static void
check_alone(uint64_t ns)
{
    memset(&histogram, 0, sizeof histogram);
    tbx_histogram_add(&histogram, ns);
    uint64_t near = ns / 32 + 32;
    uint64_t got = tbx_histogram_quantile(&histogram, 0.5);
    CHECK(got <= ns && ns - got <= near, "%" PRIu64 " became %" PRIu64, ns, got);
    CHECK(histogram.count == 1 && histogram.sum == ns && histogram.max == ns, "%" PRIu64, ns);
    CHECK(tbx_histogram_up_to(&histogram, ns + near) == 1, "%" PRIu64 " is above %" PRIu64, ns,
          ns + near);
    CHECK(ns <= near || tbx_histogram_up_to(&histogram, ns - near) == 0,
          "%" PRIu64 " is below %" PRIu64, ns, ns - near);
}

static void
check_many(unsigned bits)
{
    uint64_t seed = bits;
    memset(&histogram, 0, sizeof histogram);
    for (int i = 0; i < N; i++) {
        values[i] = pick(&seed, bits);
        tbx_histogram_add(&histogram, values[i]);
    }
    qsort(values, N, sizeof *values, compare);
    static const double shares[] = {0.001, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        uint64_t want = values[(size_t)(shares[i] * N + 0.5) - 1];
        uint64_t got = tbx_histogram_quantile(&histogram, shares[i]);
        uint64_t off = got > want ? got - want : want - got;
        CHECK(off <= want / 16 + 64, "%u bits, %g: %" PRIu64 ", not %" PRIu64, bits, shares[i], got,
              want);
    }
    CHECK(tbx_histogram_up_to(&histogram, UINT64_MAX) == N, "%u bits", bits);
    CHECK(histogram.count == N, "%u bits", bits);
}

int
main(void)
{
    CHECK(tbx_histogram_quantile(&histogram, 0.5) == 0, "none");
    CHECK(tbx_histogram_up_to(&histogram, UINT64_MAX) == 0, "none");
    for (unsigned bits = 0; bits < 38; bits++) {
        for (int64_t d = -65; d <= 65; d++) {
            int64_t ns = (INT64_C(1) << bits) + d;
            if (ns >= 0 && ns < INT64_C(1) << 38) {
                check_alone((uint64_t)ns);
            }
        }
    }
    for (unsigned bits = 1; bits <= 37; bits++) {
        check_many(bits);
    }
    memset(&histogram, 0, sizeof histogram);
    tbx_histogram_add(&histogram, UINT64_MAX); /* longer than the last bucket */
    CHECK(histogram.buckets[TBX_HISTOGRAM_BUCKETS - 1] == 1, "the longest");
    CHECK(tbx_histogram_quantile(&histogram, 1) > UINT64_C(1) << 37, "the longest");
    return tbx_report();
}
