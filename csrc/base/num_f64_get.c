/* num_f64_get.c: text to the nearest double (contract in num.h).
 *
 * Two steps. The first multiplies the leading 19 digits with a power of ten of 128 bits, as Eisel and
 * Lemire do ("Number parsing at a gigabyte per second", 2021). Everything lost in it makes the
 * product too small, by no more than a known amount, so it settles all numbers but those next to
 * the middle between two doubles. The second compares such a number with that middle, in integers
 * of a fixed size: a middle has at most 768 digits, so of the digits behind DIGITS_MAX it matters
 * only whether one of them is not 0.
 */
#include "base/num.h"

#include <stdbool.h>
#include <string.h>

#include "base/num_pow10.h"
#include "base/port.h"

#define DIGITS_FAST 19 /* any 19 digits fit in 64 bits */
#define DIGITS_MAX 770
#define EXPONENT_LIMIT INT64_C(100000000000000000) /* from here a written exponent grows no more */
#define INFINITE_BITS UINT64_C(0x7ff0000000000000)

/* The number is the digits from first to end, as an integer, * 10^exponent. */
typedef struct {
    const char *first; /* a point may stand between the digits */
    const char *end;
    uint64_t count; /* digits */
    int64_t exponent;
} digit_run;

static inline bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- reading digits ---- */

static inline uint64_t
load_little(const char *p)
{
    uint64_t x = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&x, p, sizeof x);
#else
    for (int i = 0; i < 8; i++) {
        x |= (uint64_t)(uint8_t)p[i] << 8 * i;
    }
#endif
    return x;
}

/* True when the bytes of x are digits: their high halves are 3, and still are when 6 is added. */
static inline bool
are_8_digits(uint64_t x)
{
    const uint64_t halves = UINT64_C(0xf0f0f0f0f0f0f0f0);
    return ((x & halves) | (((x + UINT64_C(0x0606060606060606)) & halves) >> 4)) ==
           UINT64_C(0x3333333333333333);
}

/* The value of eight digits: neighbours are joined to pairs, fours and eights. */
static inline uint64_t
join_8_digits(uint64_t x)
{
    x &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x * (10 << 8 | 1) >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x * (UINT64_C(100) << 16 | 1) >> 16) & UINT64_C(0x0000ffff0000ffff);
    return x * (UINT64_C(10000) << 32 | 1) >> 32;
}

/* Reads digits into *w, which wraps when there are too many, and returns what follows them. */
static inline const char *
read_digits(const char *p, const char *end, uint64_t *w)
{
    while (end - p >= 8) {
        uint64_t x = load_little(p);
        if (!are_8_digits(x)) {
            break;
        }
        *w = *w * 100000000 + join_8_digits(x);
        p += 8;
    }
    while (p < end && is_digit(*p)) {
        *w = *w * 10 + (uint64_t)(*p++ - '0');
    }
    return p;
}

/* The value of the first DIGITS_FAST digits of a run that has more. */
static uint64_t
leading_digits(const digit_run *run)
{
    uint64_t w = 0;
    const char *p = run->first;
    for (int i = 0; i < DIGITS_FAST; p++) {
        if (*p != '.') {
            w = w * 10 + (uint64_t)(*p - '0');
            i++;
        }
    }
    return w;
}

/* ---- second step: integers of a fixed size ---- */

/* Both sides of a comparison stay below 2^2750: 771 digits are 2562 bits, the power of five beside
 * them is at most 5^1115. */
#define BIG_LIMBS 96

typedef struct {
    size_t len; /* the highest limb is not 0 */
    uint32_t limb[BIG_LIMBS];
} big;

static void
big_set(big *b, uint64_t v)
{
    b->limb[0] = (uint32_t)v;
    b->limb[1] = (uint32_t)(v >> 32);
    b->len = b->limb[1] != 0 ? 2 : b->limb[0] != 0;
}

static void
big_mul_add(big *b, uint32_t factor, uint32_t carry)
{
    uint64_t x = carry;
    for (size_t i = 0; i < b->len; i++) {
        x += (uint64_t)b->limb[i] * factor;
        b->limb[i] = (uint32_t)x;
        x >>= 32;
    }
    if (x != 0) {
        b->limb[b->len++] = (uint32_t)x;
    }
}

static void
big_mul_pow5(big *b, int64_t n)
{
    for (; n >= 13; n -= 13) {
        big_mul_add(b, 1220703125, 0); /* 5^13, the highest in 32 bits */
    }
    for (; n > 0; n--) {
        big_mul_add(b, 5, 0);
    }
}

static void
big_shift_left(big *b, int64_t n)
{
    size_t limbs = (size_t)(n / 32);
    big_mul_add(b, UINT32_C(1) << (n % 32), 0);
    memmove(b->limb + limbs, b->limb, b->len * sizeof b->limb[0]);
    memset(b->limb, 0, limbs * sizeof b->limb[0]);
    b->len += limbs;
}

static int
big_compare(const big *a, const big *b)
{
    if (a->len != b->len) {
        return a->len < b->len ? -1 : 1;
    }
    for (size_t i = a->len; i-- > 0;) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] < b->limb[i] ? -1 : 1;
        }
    }
    return 0;
}

/* All digits that matter, as an integer; *exponent as in digit_run. */
static void
big_set_digits(big *b, const digit_run *run, int64_t *exponent)
{
    big_set(b, 0);
    const char *p = run->first;
    uint64_t used = 0;
    for (; p < run->end && used < DIGITS_MAX; p++) {
        if (*p != '.') {
            big_mul_add(b, 10, (uint32_t)(*p - '0'));
            used++;
        }
    }
    *exponent = run->exponent + (int64_t)(run->count - used);
    while (p < run->end && (*p == '0' || *p == '.')) {
        p++;
    }
    if (p < run->end) {
        big_mul_add(b, 10, 1);
        *exponent -= 1;
    }
}

/* Compares the number with the middle above m * 2^unit: -1, 0 or 1. */
static int
compare_with_middle(const digit_run *run, uint64_t m, int unit)
{
    big number, middle;
    int64_t exponent;
    big_set_digits(&number, run, &exponent);
    big_set(&middle, 2 * m + 1);
    int64_t twos = exponent - (unit - 1); /* of the number, beyond those of the middle */
    if (exponent >= 0) {
        big_mul_pow5(&number, exponent);
    }
    else {
        big_mul_pow5(&middle, -exponent);
    }
    if (twos >= 0) {
        big_shift_left(&number, twos);
    }
    else {
        big_shift_left(&middle, -twos);
    }
    return big_compare(&number, &middle);
}

/* ---- first step ---- */

/* The bits of the double nearest to w * 10^q, w not 0. When `cut`, w lacks the run's last digits. */
static uint64_t
nearest(const digit_run *run, uint64_t w, int q, bool cut)
{
    unsigned zeros = tbx_clz64(w);
    tbx_pow10 g = tbx_pow10_get(q);
    uint64_t high, middle, low, carry;
    w <<= zeros;
    carry = tbx_mul64(w, g.low, &low);
    high = tbx_mul64(w, g.high, &middle);
    middle += carry;
    high += middle < carry;
    unsigned twice = high >> 63 == 0;
    if (twice) {
        high = high << 1 | middle >> 63;
        middle = middle << 1 | low >> 63;
        low <<= 1;
    }

    /* The number is high.middle:low * 2^(exponent - 63), and less than it should be by no more than
     * - nothing, when the power of ten is exact and no digit was cut off,
     * - 2 units of `middle`, when the power is not exact,
     * - 34 units of `high`, when digits were cut off: w had at least 60 bits then. */
    int exponent = 64 + tbx_log2_pow10(q) - (int)zeros - (int)twice;
    if (exponent > 1023) {
        return INFINITE_BITS;
    }
    int keep = exponent >= -1022 ? 53 : 53 + exponent + 1022; /* bits of the significand */
    if (keep < -1) {
        return 0;
    }
    uint64_t m = keep > 0 ? high >> (64 - keep) : 0;
    int order; /* of the number and the middle above m */
    if (keep < 0) {
        order = compare_with_middle(run, m, exponent + 1 - keep);
    }
    else {
        uint64_t rest = high << keep; /* below m, moved to the top */
        uint64_t half = UINT64_C(1) << 63;
        uint64_t unit = UINT64_C(1) << keep; /* of `high`, in rest */
        bool unsure;
        order = rest < half ? -1 : 1;
        if (cut) {
            unsure = rest <= half && half - rest <= 34 * unit;
        }
        else if (tbx_pow10_is_exact(q)) {
            unsure = false;
            order = rest == half && (middle | low) == 0 ? 0 : order;
        }
        else {
            unsure = half - rest == unit && middle >= UINT64_MAX - 1;
        }
        if (unsure) {
            order = compare_with_middle(run, m, exponent + 1 - keep);
        }
    }
    uint64_t up = order > 0 || (order == 0 && (m & 1) != 0);
    if (keep < 53) {
        return m + up; /* denormal, or the smallest number that is not */
    }
    return ((uint64_t)(exponent + 1022) << 52) + m +
           up; /* m's first bit adds one to the exponent */
}

/* The written exponent, behind its 'e'. */
static int64_t
read_exponent(const char *p, const char *end)
{
    bool negative = *p == '-';
    p += negative || *p == '+';
    int64_t e = 0;
    for (; p < end; p++) {
        e = e < EXPONENT_LIMIT ? e * 10 + (*p - '0') : e;
    }
    return negative ? -e : e;
}

double
tbx_num_get_f64(const char *p, size_t n)
{
    const char *end = p + n;
    uint64_t sign = *p == '-';
    p += sign;
    const char *start = p;
    uint64_t w = 0;
    p = read_digits(p, end, &w);
    uint64_t count = (uint64_t)(p - start);
    int64_t exponent = 0;
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p = read_digits(fraction, end, &w);
        exponent = fraction - p;
        count += (uint64_t)(p - fraction);
    }
    digit_run run = {start, p, count, exponent};
    if (p < end) {
        run.exponent += read_exponent(p + 1, end);
    }

    uint64_t bits = 0;
    bool cut = false;
    if (count > DIGITS_FAST) {
        for (; run.first < run.end && (*run.first == '0' || *run.first == '.'); run.first++) {
            run.count -= *run.first == '0';
        }
        cut = run.count > DIGITS_FAST;
    }
    int64_t q = run.exponent;
    if (cut) {
        w = leading_digits(&run);
        q += (int64_t)run.count - DIGITS_FAST;
    }
    if (w == 0 || q < TBX_POW10_MIN) {
        bits = 0;
    }
    else if (q > 308) {
        bits = INFINITE_BITS;
    }
    else {
        bits = nearest(&run, w, (int)q, cut);
    }
    bits |= sign << 63;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
