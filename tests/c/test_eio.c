/* test_eio.c: the base64 of wire/eio.h against Python's (vectors_wire.py), payloads, queries and form
 * fields. */
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

static void
check_payload(const char *payload, size_t max_packets, bool is_strict, bool want)
{
    size_t n = strlen(payload);
    const uint8_t *p = tbx_guard_copy((const uint8_t *)payload, n);
    CHECK(tbx_eio_payload_is_usual(p, n, max_packets, is_strict) == want, "%s", payload);
}

static void
check_payloads(void)
{
    check_payload("", 0, true, true);
    check_payload("3", 1, true, true);
    check_payload("3", 0, true, false);
    check_payload("42[1]\x1e"
                  "bAAEC\x1e"
                  "1",
                  3, true, true);
    check_payload("42[1]\x1e"
                  "bAAEC\x1e"
                  "1",
                  2, true, false);
    check_payload("3\x1e", 9, false, false);
    check_payload("\x1e"
                  "3",
                  9, false, false);
    check_payload("3\x1e\x1e"
                  "3",
                  9, false, false);
    check_payload("7", 9, false, false);
    check_payload("x", 9, false, false);
    check_payload("bAAE", 9, false, false);
    check_payload("b", 9, false, true);
    for (const char *type = "0256"; *type != 0; type++) {
        check_payload((char[]){*type, 0}, 1, true, false);
        check_payload((char[]){*type, 0}, 1, false, true);
    }
    char text[1100];
    for (size_t n = 4; n <= 1096; n += 4) { /* over the bounds of what is decoded at once */
        memset(text, 'A', n);
        CHECK(tbx_base64_is_strict(tbx_guard_copy((uint8_t *)text, n), n), "%zu", n);
        text[n - 1] = '=';
        CHECK(tbx_base64_is_strict(tbx_guard_copy((uint8_t *)text, n), n), "%zu =", n);
        text[n - 1] = 'A';
        for (size_t at = 3; at + 4 < n; at += 4) {
            text[at] = '=';
            CHECK(!tbx_base64_is_strict(tbx_guard_copy((uint8_t *)text, n), n), "%zu %zu", n, at);
            text[at] = 'A';
        }
    }
}

static void
check_query(const char *query, const char *sid, bool is_websocket)
{
    tbx_eio_query got = {0};
    size_t n = strlen(query);
    bool is_usual = tbx_eio_query_parse(tbx_guard_copy((const uint8_t *)query, n), n, &got);
    CHECK(is_usual == (sid != NULL), "%s", query);
    if (is_usual && sid != NULL) {
        CHECK(got.sid_len == strlen(sid) && memcmp(got.sid, sid, got.sid_len) == 0, "%s", query);
        CHECK(got.is_websocket == is_websocket, "%s", query);
    }
}

static void
check_queries(void)
{
    check_query("EIO=4&transport=polling&sid=aB-_9", "aB-_9", false);
    check_query("EIO=4&transport=websocket&sid=a", "a", true);
    check_query("sid=a&t=x%20y&EIO=4&transport=polling", "a", false);
    check_query("EIO=4&transport=polling&sid=a&", "a", false);
    static const char *const others[] = {
        "",
        "EIO=4&transport=polling",
        "EIO=3&transport=polling&sid=a",
        "EIO=4&sid=a",
        "transport=polling&sid=a",
        "EIO=4&transport=pollin&sid=a",
        "EIO=4&transport=polling&sid=",
        "EIO=4&transport=polling&sid",
        "EIO=4&transport=polling&sid=a&sid=b",
        "EIO=4&transport=polling&sid=a%41",
        "EIO=4&transport=polling&sid=a+b",
        "EIO=4&transport=polling&sid=a&j=0",
        "EIO=4&transport=polling&sid=a&x=1",
        "EIO=4&&transport=polling&sid=a",
        "EIO=4;transport=polling&sid=a",
        "eio=4&transport=polling&sid=a",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        check_query(others[i], NULL, false);
    }
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
    check_payloads();
    check_queries();
    check_form("", "");
    check_form("a+b", "a b");
    check_form("%41%e4%E4%2b%25", "A\xe4\xe4+%");
    check_form("%", "%");
    check_form("%4", "%4");
    check_form("%4g%g4%%41", "%4g%g4%A");
    check_form("%`1%@1%:1%/1%G1", "%`1%@1%:1%/1%G1");
    return tbx_report();
}
