/* test_ws_utf8.c: wire/ws_utf8.h against the list of all characters.
 *
 * Byte by byte it is tested in full: a prefix is good when the encoding of some character begins
 * with it. Longer texts, where the fast paths are, are then tested against byte by byte.
 */
#include "harness.h"

#include "base/utf8.h"
#include "wire/ws_utf8.h"

/* For sequences of one to four bytes: GOOD when a character begins so, WHOLE when one is so. */
enum { BAD, GOOD, WHOLE };

static uint8_t *seen[5];

static void
list_characters(void)
{
    for (size_t n = 1; n <= 4; n++) {
        seen[n] = calloc((size_t)1 << 8 * (n < 4 ? n : 3), 1);
        REQUIRE(seen[n] != NULL);
    }
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff) {
            continue;
        }
        uint8_t bytes[4];
        size_t size = tbx_utf8_put(bytes, c);
        uint32_t index = 0;
        for (size_t n = 1; n <= size && n <= 3; n++) {
            index = index << 8 | bytes[n - 1];
            seen[n][index] = n == size ? WHOLE : GOOD;
        }
        if (size == 4) { /* all begin with 0xf0 to 0xf7, so that three bits of that are enough */
            index = (uint32_t)(bytes[0] & 7) << 18 | (uint32_t)(bytes[1] & 0x3f) << 12 |
                    (uint32_t)(bytes[2] & 0x3f) << 6 | (bytes[3] & 0x3f);
            seen[4][index] = WHOLE;
        }
    }
}

static int
expected(const uint8_t *p, size_t n)
{
    if (n == 4) {
        return (p[3] & 0xc0) != 0x80 ? BAD
                                     : seen[4][(p[0] & 7) << 18 | (p[1] & 0x3f) << 12 |
                                               (p[2] & 0x3f) << 6 | (p[3] & 0x3f)];
    }
    uint32_t index = 0;
    for (size_t i = 0; i < n; i++) {
        index = index << 8 | p[i];
    }
    return seen[n][index];
}

/* p[0..n) is a good prefix that leads to `state`: every byte behind it. */
static void
check_from(tbx_ws_utf8 state, uint8_t *p, size_t n)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        tbx_ws_utf8 next = state;
        p[n] = (uint8_t)byte;
        int want = expected(p, n + 1);
        bool got = tbx_ws_utf8_feed(&next, p + n, 1);
        CHECK(got == (want != BAD) && (!got || tbx_ws_utf8_done(&next) == (want == WHOLE)),
              "%02x %02x %02x %02x, %zu bytes: %d, not %d", p[0], p[1], p[2], p[3], n + 1, got,
              want);
        if (got && want == GOOD) {
            REQUIRE(n < 3);
            check_from(next, p, n + 1);
        }
    }
}

/* Number of bytes that a text may continue with, from the start of p, one by one. */
static size_t
good_prefix(const uint8_t *p, size_t n)
{
    tbx_ws_utf8 state = {0};
    size_t i = 0;
    while (i < n && tbx_ws_utf8_feed(&state, p + i, 1)) {
        i++;
    }
    return i;
}

/* Every prefix in one call, each at a guard page; then all of it in two calls. */
static void
check_text(const uint8_t *text, size_t n)
{
    size_t good = good_prefix(text, n);
    tbx_ws_utf8 slow = {0};
    for (size_t end = 0; end <= n; end++) {
        tbx_ws_utf8 state = {0};
        bool got = tbx_ws_utf8_feed(&state, tbx_guard_copy(text, end), end);
        CHECK(got == (end <= good), "the first %zu of %zu bytes, %zu of them good", end, n, good);
        if (got) {
            REQUIRE(end == 0 || tbx_ws_utf8_feed(&slow, text + end - 1, 1));
            CHECK(tbx_ws_utf8_done(&state) == tbx_ws_utf8_done(&slow), "the end at %zu", end);
            got = tbx_ws_utf8_feed(&state, tbx_guard_copy(text + end, n - end), n - end);
            CHECK(got == (good == n), "cut at %zu of %zu, %zu of them good", end, n, good);
        }
    }
}

/* Runs of ASCII of every length between other characters, now and then with a byte changed. */
static void
check_random(void)
{
    uint8_t text[400];
    size_t n = 0;
    size_t size = 1 + tbx_random() % 300;
    while (n < size) {
        size_t most = tbx_random() % 2 != 0 ? 5 : 100;
        for (size_t run = tbx_random() % most; run > 0 && n < size; run--) {
            text[n++] = (uint8_t)(tbx_random() % 128);
        }
        unsigned bits = 8 + (unsigned)(tbx_random() % 13);
        uint32_t c = (uint32_t)tbx_random() >> (32 - bits);
        if (c <= 0x10ffff && (c < 0xd800 || c > 0xdfff)) {
            n += tbx_utf8_put(text + n, c);
        }
    }
    if (tbx_random() % 2 != 0) {
        text[tbx_random() % n] = (uint8_t)tbx_random();
    }
    check_text(text, n);
}

int
main(void)
{
    list_characters();
    uint8_t bytes[4] = {0};
    check_from((tbx_ws_utf8){0}, bytes, 0);
    for (size_t n = 1; n <= 4; n++) {
        free(seen[n]);
    }

    uint8_t text[140];
    for (size_t n = 1; n <= sizeof text; n++) { /* one byte that is no text, anywhere */
        for (size_t at = 0; at < n; at += n < 70 ? 1 : 3) {
            memset(text, 'x', n);
            text[at] = 0xff;
            CHECK(good_prefix(text, n) == at, "0xff at %zu of %zu", at, n);
            tbx_ws_utf8 state = {0};
            CHECK(!tbx_ws_utf8_feed(&state, tbx_guard_copy(text, n), n), "0xff at %zu of %zu", at,
                  n);
        }
        memset(text, 0x7f, n);
        check_text(text, n);
    }
    for (int round = 0; round < 1000; round++) {
        check_random();
    }
    return tbx_report();
}
