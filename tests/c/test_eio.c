/* test_eio.c: the base64 of wire/eio.h against Python's (vectors_wire.py), and form fields. */
#include "harness.h"

#include "wire/eio.h"

static void
check_form(const char *field, const char *want)
{
    size_t n = strlen(field);
    uint8_t *dst = tbx_guard_room(1, n);
    size_t len = tbx_form_decode(tbx_guard_copy((const uint8_t *)field, n), n, dst);
    CHECK(len == strlen(want) && memcmp(dst, want, len) == 0, "%s: %.*s", field, (int)len,
          (const char *)dst);
}

int
main(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "base64.txt");
    for (unsigned long line = 1; tbx_vectors_next(&v, 3); line++) {
        uint8_t *text, *want;
        size_t n = tbx_unhex(v.field[0], &text);
        const uint8_t *p = tbx_guard_copy(text, n);
        uint8_t *dst = tbx_guard_room(1, n / 4 * 3);
        tbx_err err = {0};
        ptrdiff_t got = tbx_base64_decode(p, n, dst, &err);
        if (strcmp(v.field[1], "bad") == 0) {
            CHECK(got == TBX_BAD && err.code == TBX_E_EIO_BASE64 &&
                      err.pos == strtoul(v.field[2], NULL, 10),
                  "line %lu: result %td at %zu, not at %s", line, got, err.pos, v.field[2]);
            continue;
        }
        size_t want_len = tbx_unhex(v.field[2], &want);
        CHECK(got == (ptrdiff_t)want_len && memcmp(dst, want, want_len) == 0,
              "line %lu: %td bytes, not %zu", line, got, want_len);

        /* back: the same text, but for bits behind the last byte, which encoding leaves 0 */
        p = tbx_guard_copy(want, want_len);
        size_t len = tbx_base64_encoded_len(want_len);
        CHECK(len == n, "line %lu: a text of %zu bytes, not %zu", line, len, n);
        dst = tbx_guard_room(1, len);
        tbx_base64_encode(p, want_len, dst);
        uint8_t again[1024];
        REQUIRE(len <= sizeof again);
        CHECK(tbx_base64_decode(dst, len, again, &err) == got && memcmp(again, want, want_len) == 0,
              "line %lu: round trip", line);
        size_t padding = (3 - want_len % 3) % 3;
        size_t settled = padding == 0 ? len : len - padding - 1;
        CHECK(memcmp(dst, text, settled) == 0 && memcmp(dst + len - padding, "==", padding) == 0,
              "line %lu: encoded", line);
    }
    check_form("", "");
    check_form("a+b", "a b");
    check_form("%41%e4%E4%2b%25", "A\xe4\xe4+%");
    check_form("%", "%");
    check_form("%4", "%4");
    check_form("%4g%g4%%41", "%4g%g4%A");
    check_form("%`1%@1%:1%/1%G1", "%`1%@1%:1%/1%G1");
    return tbx_report();
}
