/* fuzz_num.c: numbers to and from text, against the C library, whose conversions are exact. */
#include "fuzz.h"

#include <inttypes.h>
#include <math.h>

#include "base/num.h"
#include "wire/json_lex.h"

static void
check_integers(uint64_t bits)
{
    char want[TBX_NUM_MAX];
    char *got = (char *)fuzz_room(TBX_NUM_MAX);
    int len = snprintf(want, sizeof want, "%" PRIu64, bits);
    REQUIRE(tbx_num_put_u64(got, bits) == (size_t)len && memcmp(got, want, (size_t)len) == 0);
    len = snprintf(want, sizeof want, "%" PRId64, (int64_t)bits);
    REQUIRE(tbx_num_put_i64(got, (int64_t)bits) == (size_t)len);
    REQUIRE(memcmp(got, want, (size_t)len) == 0);
    fuzz_free(got);
}

static bool
is_same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* The digits of a number's text, without sign, point, exponent and the zeros at both ends. */
static size_t
digits(const char *text, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n && text[i] != 'e'; i++) {
        if (text[i] >= '0' && text[i] <= '9' && (len > 0 || text[i] != '0')) {
            out[len++] = text[i];
        }
    }
    while (len > 0 && out[len - 1] == '0') {
        len--;
    }
    return len;
}

static void
check_shape(const char *text, size_t len)
{
    const char *e = memchr(text, 'e', len), *point = memchr(text, '.', len);
    REQUIRE(len > 0 && len <= 24 && (e != NULL || point != NULL));
    REQUIRE(point == NULL || (point > text && point + 1 < (e != NULL ? e : text + len)));
    if (e != NULL) { /* at least two digits, as repr() writes it */
        long exponent = strtol(e + 1, NULL, 10);
        REQUIRE((e[1] == '-' || e[1] == '+') && text + len - e >= 4);
        REQUIRE(exponent < -4 || exponent >= 16);
    }
}

/* The shortest text that reads back, and of these the nearest. */
static void
check_shortest(double v, const char *text, size_t len)
{
    char ours[32], theirs[64], other[64];
    size_t count = digits(text, len, ours);
    for (int precision = 1; precision <= 17; precision++) {
        int n = snprintf(other, sizeof other, "%.*e", precision - 1, v);
        if (is_same(strtod(other, NULL), v)) {
            REQUIRE(count <= (size_t)precision);
            if (count == (size_t)precision) { /* %e is the nearest of its length */
                REQUIRE(digits(other, (size_t)n, theirs) == count);
                REQUIRE(memcmp(ours, theirs, count) == 0);
            }
            return;
        }
    }
    REQUIRE(false);
}

static void
check_double(double v)
{
    if (!isfinite(v)) {
        return;
    }
    char *got = (char *)fuzz_room(TBX_NUM_MAX);
    size_t len = tbx_num_put_f64(got, v);
    char *text = (char *)fuzz_copy(got, len + 1);
    text[len] = '\0';
    check_shape(text, len);
    REQUIRE(is_same(strtod(text, NULL), v));
    if (v != 0) {
        check_shortest(v, text, len);
    }
    char *exact = (char *)fuzz_copy(got, len);
    REQUIRE(is_same(tbx_num_get_f64(exact, len), v));
    fuzz_free(exact);
    fuzz_free(text);
    fuzz_free(got);
}

/* The number at the start of a text, if there is one. */
static void
check_text(const uint8_t *data, size_t size)
{
    tbx_json_src src = {.base = data, .end = data + size};
    tbx_json_num number;
    if (tbx_json_lex_number(&src, data, &number) == NULL) {
        return;
    }
    char *text = (char *)fuzz_room(number.len + 1);
    memcpy(text, number.text, number.len);
    text[number.len] = '\0';
    double want = strtod(text, NULL);
    fuzz_free(text);
    text = (char *)fuzz_copy(number.text, number.len);
    double got = tbx_num_get_f64(text, number.len);
    REQUIRE(is_same(got, want));
    fuzz_free(text);
    check_double(got);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 9) {
        return -1;
    }
    uint64_t bits;
    double v;
    memcpy(&bits, data, sizeof bits);
    check_integers(bits);
    check_integers(bits >> (data[8] & 63));
    memcpy(&v, data, sizeof v);
    check_double(v);
    check_double((double)(int64_t)bits);
    check_double(ldexp((double)data[8], (int)(bits % 2200) - 1100));
    check_text(data + 8, size - 8);
    return 0;
}
