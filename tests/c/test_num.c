/* test_num.c: base/num.h against Python's int and float (vectors_num.py). */
#include "harness.h"

#include "base/num.h"

#define MARK 0x5a

/* Puts one number with nothing but TBX_NUM_MAX bytes of room. */
static void
check_put(char kind, uint64_t bits, const char *text)
{
    char *dst = (char *)tbx_guard_room(1, TBX_NUM_MAX);
    memset(dst - 8, MARK, TBX_NUM_MAX + 8);
    size_t len;
    if (kind == 'u') {
        len = tbx_num_put_u64(dst, bits);
    }
    else if (kind == 'i') {
        int64_t v;
        memcpy(&v, &bits, sizeof v);
        len = tbx_num_put_i64(dst, v);
    }
    else {
        double v;
        memcpy(&v, &bits, sizeof v);
        len = tbx_num_put_f64(dst, v);
    }
    CHECK(len == strlen(text) && memcmp(dst, text, len) == 0, "%c %s, not %.*s", kind, text,
          (int)len, dst);
    CHECK(dst[-1] == MARK, "%c %s: written in front of dst", kind, text);
}

static uint64_t
get_bits(const char *text, size_t n)
{
    double v = tbx_num_get_f64((const char *)tbx_guard_copy(text, n), n);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Every prefix that is a number itself, against libc. */
static void
check_prefixes(char *text)
{
    for (size_t n = strlen(text) - 1; n > 0; n--) {
        text[n] = '\0';
        if (text[n - 1] >= '0' && text[n - 1] <= '9') {
            double want = strtod(text, NULL);
            uint64_t bits;
            memcpy(&bits, &want, sizeof bits);
            CHECK(get_bits(text, n) == bits, "prefix %s", text);
        }
    }
}

int
main(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "num.txt");
    while (tbx_vectors_next(&v, 3)) {
        char kind = v.field[0][0];
        char *text = v.field[2];
        size_t len = strlen(text);
        uint64_t bits = strtoull(v.field[1], NULL, 16);
        if (kind != 't') {
            check_put(kind, bits, text);
        }
        if (kind == 'f' || kind == 't') {
            uint64_t got = get_bits(text, len);
            CHECK(got == bits, "%.80s gives %016llx, not %016llx", text, (unsigned long long)got,
                  (unsigned long long)bits);
            if (len < 32) {
                check_prefixes(text);
            }
        }
    }
    return tbx_report();
}
