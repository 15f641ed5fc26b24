/* num_int.c: integers to decimal text (contract in num.h). */
#include "base/num.h"

#include <string.h>

static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

static size_t
count_digits(uint64_t v)
{
    for (size_t n = 1;; n += 4) {
        if (v < 10) {
            return n;
        }
        if (v < 100) {
            return n + 1;
        }
        if (v < 1000) {
            return n + 2;
        }
        if (v < 10000) {
            return n + 3;
        }
        v /= 10000;
    }
}

/* Writes the last eight digits of v in front of end, zeros included. */
static void
put_8_before(char *end, uint32_t v)
{
    uint32_t high = v / 10000;
    uint32_t low = v % 10000;
    memcpy(end - 8, pairs + 2 * (high / 100), 2);
    memcpy(end - 6, pairs + 2 * (high % 100), 2);
    memcpy(end - 4, pairs + 2 * (low / 100), 2);
    memcpy(end - 2, pairs + 2 * (low % 100), 2);
}

size_t
tbx_num_put_u64(char *dst, uint64_t v)
{
    size_t len = count_digits(v);
    char *end = dst + len;
    while (v >= 100000000) {
        put_8_before(end, (uint32_t)(v % 100000000));
        end -= 8;
        v /= 100000000;
    }
    uint32_t rest = (uint32_t)v;
    while (rest >= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (rest % 100), 2);
        rest /= 100;
    }
    if (rest >= 10) {
        memcpy(end - 2, pairs + 2 * rest, 2);
    }
    else {
        end[-1] = (char)('0' + rest);
    }
    return len;
}

size_t
tbx_num_put_i64(char *dst, int64_t v)
{
    if (v >= 0) {
        return tbx_num_put_u64(dst, (uint64_t)v);
    }
    *dst = '-';
    return 1 + tbx_num_put_u64(dst + 1, 0 - (uint64_t)v);
}
