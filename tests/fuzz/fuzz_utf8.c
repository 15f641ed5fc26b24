/* fuzz_utf8.c: UTF-8 with surrogates: what is valid, its shape, and its characters. */
#include "fuzz.h"

#include "base/utf8.h"
#include "naive_utf8.h"

static void
check_wide(const uint8_t *p, size_t n, const uint32_t *chars, tbx_utf8_shape shape)
{
    if (shape.max <= 0xff) {
        uint8_t *narrow = fuzz_room(shape.chars);
        tbx_utf8_to_1(p, n, narrow);
        for (size_t i = 0; i < shape.chars; i++) {
            REQUIRE(narrow[i] == chars[i]);
        }
        fuzz_free(narrow);
    }
    if (shape.max <= 0xffff) {
        uint16_t *units = malloc(shape.chars * sizeof *units);
        tbx_utf8_to_2(p, n, units);
        for (size_t i = 0; i < shape.chars; i++) {
            REQUIRE(units[i] == chars[i]);
        }
        free(units);
    }
    uint32_t *units = malloc(shape.chars * sizeof *units);
    tbx_utf8_to_4(p, n, units);
    REQUIRE(shape.chars == 0 || memcmp(units, chars, shape.chars * sizeof *units) == 0);
    free(units);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *p = fuzz_copy(data, size);
    size_t valid = tbx_utf8_valid(p, size);
    REQUIRE(valid == naive_utf8_read(p, size, true).end);
    fuzz_free(p);

    p = fuzz_copy(data, valid);
    uint32_t *chars = malloc((valid + 1) * sizeof *chars);
    size_t count = 0;
    uint32_t max = 0;
    for (size_t i = 0; i < valid; count++) {
        uint8_t back[4];
        uint32_t c = 0;
        size_t len = tbx_utf8_get(p + i, &c);
        REQUIRE(len <= valid - i && tbx_utf8_put(back, c) == len && memcmp(back, p + i, len) == 0);
        chars[count] = c;
        max = c > max ? c : max;
        i += len;
    }
    tbx_utf8_shape shape = tbx_utf8_measure(p, valid);
    uint32_t want = max <= 0x7f ? 0x7f : max <= 0xff ? 0xff : max <= 0xffff ? 0xffff : 0x10ffff;
    REQUIRE(shape.chars == count && tbx_utf8_count(p, valid) == count && shape.max == want);
    check_wide(p, valid, chars, shape);
    free(chars);
    fuzz_free(p);
    return 0;
}
