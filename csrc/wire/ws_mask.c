/* ws_mask.c: masks of sixteen bytes and more, and the definition (contract in ws_mask.h).
 *
 * The last, partial step of each loop is a whole one that ends at the end of the payload. What it
 * shares with the step before it would be masked twice, so it is read before the loop begins.
 */
#include "wire/ws_mask.h"
#include "wire/simd.h"

void
tbx_ws_mask_scalar(uint8_t *p, size_t n, const uint8_t key[4], size_t phase)
{
    for (size_t i = 0; i < n; i++) {
        p[i] ^= key[(phase + i) & 3];
    }
}

void
tbx_ws_mask_word(uint8_t *p, size_t n, const uint8_t key[4], size_t phase)
{
    const uint64_t mask = tbx_ws_mask_key8(key, phase);
    uint64_t tail;
    memcpy(&tail, p + n - 8, 8);
    tail ^= tbx_ws_mask_key8(key, phase + n);
    for (size_t i = 0; n - i > 8; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        word ^= mask;
        memcpy(p + i, &word, 8);
    }
    memcpy(p + n - 8, &tail, 8);
}

#if TBX_BLOCK16

void
tbx_ws_mask_block16(uint8_t *p, size_t n, const uint8_t key[4], size_t phase)
{
    const tbx_block16 mask = tbx_block16_repeat4(tbx_ws_mask_key(key, phase));
    tbx_block16 tail = tbx_block16_load(p + n - 16);
    tail = tbx_block16_xor(tail, tbx_block16_repeat4(tbx_ws_mask_key(key, phase + n)));
    for (size_t i = 0; n - i > 16; i += 16) {
        tbx_block16_store(p + i, tbx_block16_xor(tbx_block16_load(p + i), mask));
    }
    tbx_block16_store(p + n - 16, tail);
}

#else

void
tbx_ws_mask_block16(uint8_t *p, size_t n, const uint8_t key[4], size_t phase)
{
    tbx_ws_mask_word(p, n, key, phase);
}

#endif
