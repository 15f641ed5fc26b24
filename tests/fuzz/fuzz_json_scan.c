/* fuzz_json_scan.c: plain runs of JSON strings: all twins against the definition, byte by byte. */
#include "fuzz.h"

#include "wire/json_scan.h"

typedef size_t scan_function(const uint8_t *p, size_t n, bool *high);
typedef size_t copy_function(uint8_t *dst, const uint8_t *src, size_t n);

static scan_function *const scans[] = {tbx_json_scan_scalar, tbx_json_scan_block16,
                                       tbx_json_scan_long, tbx_json_scan, tbx_json_scan_avx2};
static copy_function *const copies[] = {tbx_json_copy_scalar, tbx_json_copy_block16,
                                        tbx_json_copy_long, tbx_json_copy, tbx_json_copy_avx2};

/* The twins that may be called here: the last needs a processor. */
static size_t
twins(void)
{
    return sizeof scans / sizeof *scans - !tbx_json_scan_has_avx2();
}

static void
check_scan(const uint8_t *p, size_t n)
{
    size_t want = 0;
    bool high = false;
    while (want < n && p[want] >= 0x20 && p[want] != '"' && p[want] != '\\') {
        high = high || p[want] >= 0x80;
        want++;
    }
    for (size_t i = 0; i < twins(); i++) {
        bool got = false, kept = true;
        REQUIRE(scans[i](p, n, &got) == want && got == high);
        REQUIRE(scans[i](p, n, &kept) == want && kept);
    }
}

static void
check_copy(const uint8_t *p, size_t n)
{
    size_t want = 0;
    while (want < n && tbx_json_is_plain_write(p[want])) {
        want++;
    }
    for (size_t i = 0; i < twins(); i++) {
        uint8_t *dst = fuzz_room(n + TBX_JSON_SLACK);
        REQUIRE(copies[i](dst, p, n) == want && (want == 0 || memcmp(dst, p, want) == 0));
        fuzz_free(dst);
    }
    for (size_t i = 0; i + 8 <= n; i++) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        bool plain = true;
        for (size_t k = 0; k < 8; k++) {
            plain = plain && tbx_json_is_plain_write(p[i + k]);
        }
        REQUIRE(tbx_json_is_plain_word(word) == plain);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    size_t pad = fuzz_byte(&in), at = fuzz_byte(&in);
    uint8_t *p = fuzz_room(pad + in.n);
    memset(p, 'x', pad); /* a plain run in front, so that the wide loops turn */
    if (pad != 0 && at < 2 * pad) {
        p[at / 2] = (at & 1) != 0 ? 0xc3 : p[at / 2];
    }
    if (in.n != 0) {
        memcpy(p + pad, in.p, in.n);
    }
    check_scan(p, pad + in.n);
    check_scan(p + pad, in.n);
    check_copy(p, pad + in.n);
    check_copy(p + pad, in.n);
    fuzz_free(p);
    return 0;
}
