/* test_json_scan.c: every scan of wire/json_scan.h against a loop over bytes. */
#include "harness.h"

#include "wire/json_scan.h"

#define LONGEST 100

typedef size_t scan_fn(const uint8_t *p, size_t n, bool *high);
typedef size_t copy_fn(uint8_t *dst, const uint8_t *src, size_t n);

typedef struct {
    const char *name;
    scan_fn *scan;
    copy_fn *copy;
} engine;

static size_t
scan_inline(const uint8_t *p, size_t n, bool *high)
{
    return tbx_json_scan(p, n, high);
}

static size_t
copy_inline(uint8_t *dst, const uint8_t *src, size_t n)
{
    return tbx_json_copy(dst, src, n);
}

static const engine engines[] = {
    {"inline", scan_inline, copy_inline},
    {"scalar", tbx_json_scan_scalar, tbx_json_copy_scalar},
    {"block16", tbx_json_scan_block16, tbx_json_copy_block16},
    {"long", tbx_json_scan_long, tbx_json_copy_long},
    {"avx2", tbx_json_scan_avx2, tbx_json_copy_avx2}, /* last: not on every processor */
};

static void
check(const uint8_t *text, size_t n)
{
    size_t scanned = 0;
    bool high = false;
    while (scanned < n && text[scanned] >= 0x20 && text[scanned] != '"' && text[scanned] != '\\') {
        high |= text[scanned++] >= 0x80;
    }
    size_t copied = 0;
    while (copied < n && text[copied] >= 0x20 && text[copied] < 0x7f && text[copied] != '"' &&
           text[copied] != '\\') {
        copied++;
    }
    const uint8_t *p = tbx_guard_copy(text, n);
    size_t count = sizeof engines / sizeof engines[0] - !tbx_json_scan_has_avx2();
    for (size_t e = 0; e < count; e++) {
        bool from_false = false, from_true = true;
        size_t got = engines[e].scan(p, n, &from_false);
        CHECK(got == scanned && from_false == high, "%s: scan of %zu stops at %zu (high %d)",
              engines[e].name, n, got, from_false);
        got = engines[e].scan(p, n, &from_true);
        CHECK(got == scanned && from_true, "%s: `high` is set back", engines[e].name);
        uint8_t *dst = tbx_guard_room(1, n + TBX_JSON_SLACK);
        memset(dst, 0, n + TBX_JSON_SLACK);
        got = engines[e].copy(dst, p, n);
        CHECK(got == copied && memcmp(dst, text, copied) == 0, "%s: copy of %zu stops at %zu",
              engines[e].name, n, got);
    }
}

int
main(void)
{
    static const uint8_t classes[] = {0x00, 0x1f, 0x20, '!',  '"',  '#',  '[', '\\',
                                      ']',  0x7e, 0x7f, 0x80, 0xa2, 0xdc, 0xff};
    static const uint8_t fills[] = {'a', 0xc3};
    uint8_t text[LONGEST];
    for (size_t n = 0; n <= LONGEST; n++) {
        for (size_t f = 0; f < sizeof fills; f++) {
            memset(text, fills[f], n);
            check(text, n);
            for (size_t at = 0; at < n; at++) {
                for (size_t c = 0; c < sizeof classes; c++) {
                    text[at] = classes[c];
                    check(text, n);
                }
                text[at] = fills[f];
            }
        }
    }
    for (unsigned byte = 0; byte < 256; byte++) { /* every byte, in each part of a block */
        memset(text, 'a', LONGEST);
        for (size_t at = 0; at < 40; at++) {
            text[at] = (uint8_t)byte;
            check(text, at + 1);
            check(text, 40);
            text[at] = 'a';
        }
    }
    for (int i = 0; i < 50000; i++) { /* two bytes that matter, and what stands between them */
        size_t n = tbx_random() % (LONGEST + 1);
        memset(text, 'a', n);
        for (int k = 0; n != 0 && k < 3; k++) {
            text[tbx_random() % n] = classes[tbx_random() % sizeof classes];
        }
        check(text, n);
    }
    return tbx_report();
}
