/* num_f64_put.c: doubles to their shortest text (contract in num.h).
 *
 * The method is Schubfach: R. Giulietti, "The Schubfach way to render doubles", 2020. Scaled by a
 * power of ten, the interval that rounds to the double is at least one and less than ten units
 * long, so the shortest text is one of two neighbours in tens or, failing these, in ones. The three
 * products are rounded to odd, which keeps every comparison below exact although the power of ten
 * is not (section 9 of the paper).
 */
#include "base/num.h"

#include <stdbool.h>
#include <string.h>

#include "base/num_pow10.h"
#include "base/port.h"

#define FRACTION_BITS 52
#define EXPONENT_BIAS 1075 /* of the significand taken as an integer */

typedef struct {
    uint64_t digits; /* value = digits * 10^exponent; no trailing zero */
    int exponent;
} decimal;

/* floor(g * c / 2^128), the last bit set when something of weight was cut off. */
static inline uint64_t
scale_to_odd(tbx_pow10 g, uint64_t c)
{
    uint64_t ignored, low;
    uint64_t carry = tbx_mul64(g.low, c, &ignored);
    uint64_t high = tbx_mul64(g.high, c, &low);
    low += carry;
    high += low < carry;
    return high | (low > 1);
}

static decimal
strip_zeros(uint64_t digits, int exponent)
{
    while (digits % 100000000 == 0) {
        digits /= 100000000;
        exponent += 8;
    }
    if (digits % 10000 == 0) {
        digits /= 10000;
        exponent += 4;
    }
    if (digits % 100 == 0) {
        digits /= 100;
        exponent += 2;
    }
    if (digits % 10 == 0) {
        digits /= 10;
        exponent += 1;
    }
    return (decimal){digits, exponent};
}

/* The shortest decimal for the double with these bits, which is finite, positive and not 0. */
static decimal
shortest(uint64_t bits)
{
    uint64_t fraction = bits & ((UINT64_C(1) << FRACTION_BITS) - 1);
    int biased = (int)(bits >> FRACTION_BITS);
    uint64_t c = biased != 0 ? fraction | UINT64_C(1) << FRACTION_BITS : fraction;
    int q = (biased != 0 ? biased : 1) - EXPONENT_BIAS;
    bool close_below =
        fraction == 0 && biased > 1; /* a power of two: its lower neighbour is nearer */

    /* floor(log10(2^q)), or of 3/4 of that */
    int k = tbx_floor_shift(q * 1262611 - (close_below ? 524031 : 0), 22);
    tbx_pow10 g = tbx_pow10_get(-k);
    g.low += !tbx_pow10_is_exact(-k);       /* rounded up, as the method wants it */
    int shift = q + tbx_log2_pow10(-k) + 1; /* 1 to 4 */

    /* The double and its bounds, in quarters of 10^k. The bounds belong to it when c is even. */
    uint64_t low = scale_to_odd(g, (4 * c - 2 + close_below) << shift) + (c & 1);
    uint64_t value = scale_to_odd(g, (4 * c) << shift);
    uint64_t high = scale_to_odd(g, (4 * c + 2) << shift) - (c & 1);

    uint64_t ones = value / 4;
    if (ones >= 10) {
        uint64_t tens = ones / 10;
        bool below = low <= 40 * tens;
        bool above = 40 * tens + 40 <= high;
        if (below != above) {
            return strip_zeros(tens + above, k + 1);
        }
    }
    bool below = low <= 4 * ones;
    bool above = 4 * ones + 4 <= high;
    bool up = above;
    if (below == above) {
        uint64_t rest = value - 4 * ones; /* 2 is the middle, 3 above it */
        up = rest > 2 || (rest == 2 && (ones & 1) != 0);
    }
    return strip_zeros(ones + up, k);
}

/* 'e', a sign and at least two digits. */
static size_t
put_exponent(char *dst, int exponent)
{
    dst[0] = 'e';
    dst[1] = exponent < 0 ? '-' : '+';
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    dst[2] = '0'; /* kept by a single digit only */
    size_t used = size < 10 ? 3 : 2;
    return used + tbx_num_put_u64(dst + used, size);
}

/* Lays out the digits as repr() does. They are written behind the place of "0." and moved from
 * there, by constant sizes where that is possible. */
static size_t
put_decimal(char *dst, decimal d)
{
    size_t len = tbx_num_put_u64(dst + 2, d.digits); /* 17 at most */
    int point = (int)len + d.exponent;               /* value = 0.digits * 10^point */
    if (point <= -4 || point > 16) {
        dst[0] = dst[2];
        dst[1] = '.';
        memmove(dst + 2, dst + 3, 16);
        size_t used = len > 1 ? len + 1 : 1;
        return used + put_exponent(dst + used, point - 1);
    }
    if (point <= 0) {
        size_t zeros = (size_t)-point;
        if (zeros != 0) {
            memmove(dst + 2 + zeros, dst + 2, 17);
        }
        memcpy(dst, "0.", 2);
        memset(dst + 2, '0', zeros);
        return 2 + zeros + len;
    }
    size_t whole = (size_t)point;
    memmove(dst + 1, dst + 2, 17);
    if (whole < len) {
        memmove(dst, dst + 1, whole);
        dst[whole] = '.';
        return len + 1;
    }
    memmove(dst, dst + 1, len);
    memset(dst + len, '0', whole - len);
    memcpy(dst + whole, ".0", 2);
    return whole + 2;
}

size_t
tbx_num_put_f64(char *dst, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    size_t sign = bits >> 63;
    dst[0] = '-'; /* kept by a negative number only */
    dst += sign;
    bits &= UINT64_MAX >> 1;
    memcpy(&v, &bits, sizeof v);
    if (v < 9007199254740992.0) { /* 2^53: below it a whole number's own digits are the shortest */
        uint64_t whole = (uint64_t)v;
        if ((double)whole == v) {
            size_t len = tbx_num_put_u64(dst, whole);
            memcpy(dst + len, ".0", 2);
            return sign + len + 2;
        }
    }
    return sign + put_decimal(dst, shortest(bits));
}
