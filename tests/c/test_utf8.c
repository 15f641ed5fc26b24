/* test_utf8.c: base/utf8.h against the definition: what encodes a code point is valid, nothing else
 * is. */
#include "harness.h"

#include "base/utf8.h"

/* The code point that the n bytes encode, all of them, or -1: bits first, limits after. */
static int32_t
decode(const uint8_t *p, size_t n)
{
    static const int32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    static const uint8_t lead_mask[5] = {0, 0x80, 0xe0, 0xf0, 0xf8};
    static const uint8_t lead_bits[5] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    if (n < 1 || n > 4 || (p[0] & lead_mask[n]) != lead_bits[n]) {
        return -1;
    }
    int32_t c = p[0] & ~lead_mask[n];
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2) {
            return -1;
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    return c >= least[n] && c <= 0x10ffff ? c : -1;
}

/* Length of the valid part, one code point after the other. */
static size_t
valid_part(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t len = 1;
        while (len <= 4 && len <= n - i && decode(p + i, len) < 0) {
            len++;
        }
        if (len > 4 || len > n - i) {
            break;
        }
        i += len;
    }
    return i;
}

static void
check_valid(const uint8_t *src, size_t n)
{
    const uint8_t *p = tbx_guard_copy(src, n);
    size_t want = valid_part(src, n);
    size_t got = tbx_utf8_valid(p, n);
    CHECK(got == want, "%zu of %zu bytes are valid, not %zu: %02x %02x %02x %02x", want, n, got,
          src[0], n > 1 ? src[1] : 0, n > 2 ? src[2] : 0, n > 3 ? src[3] : 0);
}

static void
check_code_points(void)
{
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint8_t text[4];
        size_t n = tbx_utf8_put(text, c);
        uint32_t back = 0;
        bool right = decode(text, n) == (int32_t)c &&
                     tbx_utf8_get(tbx_guard_copy(text, n), &back) == n && back == c;
        CHECK(right, "U+%04X", (unsigned)c);
        CHECK(tbx_utf8_valid(text, n) == n, "U+%04X is valid", (unsigned)c);
        tbx_utf8_shape shape = tbx_utf8_measure(text, n);
        uint32_t max = c < 0x80 ? 0x7f : c < 0x100 ? 0xff : c < 0x10000 ? 0xffff : 0x10ffff;
        CHECK(shape.chars == 1 && shape.max == max, "shape of U+%04X", (unsigned)c);
    }
}

/* All strings of up to three bytes; of four, all that may begin validly and all edges of the tails. */
static void
check_short_strings(void)
{
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0xa5, 0xbf, 0xc0, 0xff};
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t text[4] = {(uint8_t)a, (uint8_t)b, 0, 0};
            check_valid(text, 1);
            check_valid(text, 2);
            for (unsigned c = 0; c < 256; c += a >= 0xe0 ? 1 : 15) {
                text[2] = (uint8_t)c;
                check_valid(text, 3);
            }
            for (size_t c = 0; a >= 0xe0 && c < sizeof edges; c++) {
                for (size_t d = 0; d < sizeof edges; d++) {
                    text[2] = edges[c];
                    text[3] = edges[d];
                    check_valid(text, 4);
                }
            }
        }
    }
}

/* Longer texts: in every prefix, with a wrong byte anywhere, and widened. */
static void
check_texts(void)
{
    static const uint32_t tops[] = {0x80, 0x100, 0x10000, 0x110000};
    for (int round = 0; round < 400; round++) {
        uint32_t points[48];
        uint8_t text[4 * 48];
        size_t count = tbx_random() % 48;
        size_t n = 0;
        uint32_t max = 0;
        for (size_t i = 0; i < count; i++) {
            uint32_t top = tops[tbx_random() % (1 + (unsigned)round % 4)];
            top = tbx_random() % 4 != 0 ? 0x80 : top;
            points[i] = (uint32_t)(tbx_random() % top);
            max = points[i] > max ? points[i] : max;
            n += tbx_utf8_put(text + n, points[i]);
        }
        for (size_t cut = 0; cut <= n; cut++) {
            check_valid(text, cut);
        }
        for (size_t i = 0; i < n; i++) {
            uint8_t kept = text[i];
            text[i] = (uint8_t)tbx_random();
            check_valid(text, n);
            text[i] = kept;
        }

        const uint8_t *p = tbx_guard_copy(text, n);
        tbx_utf8_shape shape = tbx_utf8_measure(p, n);
        CHECK(shape.chars == count && tbx_utf8_count(p, n) == count, "%zu characters", count);
        CHECK(shape.max >= max && (shape.max == 0x7f || shape.max == 0xff || shape.max == 0xffff ||
                                   shape.max == 0x10ffff),
              "class of U+%04X", (unsigned)max);
        bool same = true;
        uint32_t *wide = (uint32_t *)(void *)tbx_guard_room(1, 4 * count);
        tbx_utf8_to_4(p, n, wide);
        for (size_t i = 0; i < count; i++) {
            same &= wide[i] == points[i];
        }
        if (max < 0x10000) {
            uint16_t *half = (uint16_t *)(void *)tbx_guard_room(2, 2 * count);
            tbx_utf8_to_2(p, n, half);
            for (size_t i = 0; i < count; i++) {
                same &= half[i] == points[i];
            }
        }
        if (max < 0x100) {
            uint8_t *narrow = tbx_guard_room(3, count);
            tbx_utf8_to_1(p, n, narrow);
            for (size_t i = 0; i < count; i++) {
                same &= narrow[i] == points[i];
            }
        }
        CHECK(same, "widened text of %zu characters up to U+%04X", count, (unsigned)max);
    }
}

int
main(void)
{
    check_code_points();
    check_short_strings();
    check_texts();
    return tbx_report();
}
