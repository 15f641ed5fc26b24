/* test_port.c: base/port.h and the clocks of base/clock.h, whatever they are made of. */
#include "harness.h"

#include <inttypes.h>
#include <time.h>

#include "base/clock.h"
#include "base/port.h"

static void
check_bits(uint64_t noise)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t bit = UINT64_C(1) << i;
        uint64_t lowest = bit | (noise & ~(bit - 1)), highest = bit | (noise & (bit - 1));
        CHECK(tbx_ctz64(lowest) == i, "%" PRIx64 ": %u", lowest, tbx_ctz64(lowest));
        CHECK(tbx_clz64(highest) == 63 - i, "%" PRIx64 ": %u", highest, tbx_clz64(highest));
    }
}

/* As on paper, in digits of 16 bits. */
static void
multiply(uint64_t a, uint64_t b, uint64_t *high, uint64_t *low)
{
    uint64_t digits[8] = {0};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t carry = 0;
        for (unsigned k = 0; k < 4; k++) {
            uint64_t sum = (a >> 16 * i & 0xffff) * (b >> 16 * k & 0xffff) + digits[i + k] + carry;
            digits[i + k] = sum & 0xffff;
            carry = sum >> 16;
        }
        digits[i + 4] = carry;
    }
    *low = digits[0] | digits[1] << 16 | digits[2] << 32 | digits[3] << 48;
    *high = digits[4] | digits[5] << 16 | digits[6] << 32 | digits[7] << 48;
}

static void
check_product(uint64_t a, uint64_t b)
{
    uint64_t want_high, want_low, low;
    multiply(a, b, &want_high, &want_low);
    uint64_t high = tbx_mul64(a, b, &low);
    CHECK(high == want_high && low == want_low, "%" PRIx64 " * %" PRIx64, a, b);
}

static void
check_clocks(void)
{
    time_t second = time(NULL);
    int64_t wall = tbx_clock_now_us();
    CHECK(wall / 1000000 >= second - 1 && wall / 1000000 <= second + 10, "now is %" PRId64, wall);

    uint64_t begun = tbx_clock_monotonic_ns(), last = begun;
    wall = tbx_clock_now_us();
    while (last - begun < UINT64_C(50000000)) {
        uint64_t now = tbx_clock_monotonic_ns();
        CHECK(now >= last, "%" PRIu64 " after %" PRIu64, now, last);
        last = now;
    }
    int64_t passed = tbx_clock_now_us() - wall;
    CHECK(passed > 25000 && passed < 10000000, "50 ms took %" PRId64 " us", passed);
}

int
main(void)
{
    check_bits(0);
    check_bits(~UINT64_C(0));
    static const uint64_t edges[] = {0, 1, 0xffffffff, UINT64_C(0x100000000), ~UINT64_C(0)};
    for (size_t i = 0; i < 25; i++) {
        check_product(edges[i / 5], edges[i % 5]);
    }
    for (int i = 0; i < 100000; i++) {
        check_product(tbx_random(), tbx_random() >> i % 64);
    }
    for (int i = 0; i < 1000; i++) {
        check_bits(tbx_random());
    }
#if TBX_X86_64
    bool has_avx2 = tbx_has_avx2();
    CHECK(tbx_has_avx2() == has_avx2, "AVX2 comes and goes");
#endif
    check_clocks();
    return tbx_report();
}
