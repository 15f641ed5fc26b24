/* fuzz_ws_mask.c: the masks of every width against a byte at a time. */
#include "fuzz.h"

#include "wire/ws_mask.h"

typedef void mask_function(uint8_t *p, size_t n, const uint8_t key[4], size_t phase);

static void
check(mask_function *function, const uint8_t *src, size_t n, const uint8_t key[4], size_t phase,
      const uint8_t *want)
{
    uint8_t *p = fuzz_copy(src, n);
    function(p, n, key, phase);
    REQUIRE(n == 0 || memcmp(p, want, n) == 0);
    function(p, n, key, phase);
    REQUIRE(n == 0 || memcmp(p, src, n) == 0);
    fuzz_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 7) {
        return -1;
    }
    fuzz_input in = {data + 4, size - 4};
    size_t phase = fuzz_byte(&in), cut = (size_t)fuzz_bytes(&in, 2);
    uint8_t *want = fuzz_copy(in.p, in.n);
    for (size_t i = 0; i < in.n; i++) {
        want[i] ^= data[(phase + i) % 4];
    }
    check(tbx_ws_mask, in.p, in.n, data, phase, want);
    check(tbx_ws_mask_scalar, in.p, in.n, data, phase, want);
    if (in.n >= 16) {
        check(tbx_ws_mask_word, in.p, in.n, data, phase, want);
        check(tbx_ws_mask_block16, in.p, in.n, data, phase, want);
    }
    else {
        check(tbx_ws_mask_short, in.p, in.n, data, phase, want);
    }
    /* In two pieces, the second with the key as the reader turns it. */
    cut = in.n == 0 ? 0 : cut % (in.n + 1);
    uint8_t *p = fuzz_copy(in.p, in.n);
    tbx_ws_mask(p, cut, data, phase);
    uint32_t turned = tbx_ws_mask_key(data, phase + cut);
    uint8_t key[4];
    memcpy(key, &turned, sizeof key);
    tbx_ws_mask(p + cut, in.n - cut, key, 0);
    REQUIRE(in.n == 0 || memcmp(p, want, in.n) == 0);
    fuzz_free(p);
    fuzz_free(want);
    return 0;
}
