/* ws_mask.h: the mask of a WebSocket payload, put on or taken off in place.
 *
 * Spec: RFC 6455, section 5.3. `phase` is the offset of p[0] in the payload: two low bits count.
 * tbx_ws_mask_scalar is the definition; the others must agree with it on every input.
 */
#ifndef TBX_WIRE_WS_MASK_H
#define TBX_WIRE_WS_MASK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One byte at a time. */
void tbx_ws_mask_scalar(uint8_t *p, size_t n, const uint8_t key[4], size_t phase);

/* Eight bytes and sixteen bytes (SSE2 or NEON, else eight) at a time; n >= 16. */
void tbx_ws_mask_word(uint8_t *p, size_t n, const uint8_t key[4], size_t phase);
void tbx_ws_mask_block16(uint8_t *p, size_t n, const uint8_t key[4], size_t phase);

/* The four bytes of the key from `phase` on, as they lie in memory. */
static inline uint32_t
tbx_ws_mask_key(const uint8_t key[4], size_t phase)
{
    uint8_t bytes[4] = {key[phase & 3], key[(phase + 1) & 3], key[(phase + 2) & 3],
                        key[(phase + 3) & 3]};
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint64_t
tbx_ws_mask_key8(const uint8_t key[4], size_t phase)
{
    uint32_t half = tbx_ws_mask_key(key, phase);
    return (uint64_t)half << 32 | half;
}

/* Less than sixteen bytes: two words that overlap, both read before one is written. */
static inline void
tbx_ws_mask_short(uint8_t *p, size_t n, const uint8_t key[4], size_t phase)
{
    if (n >= 8) {
        uint64_t head, tail;
        memcpy(&head, p, 8);
        memcpy(&tail, p + n - 8, 8);
        head ^= tbx_ws_mask_key8(key, phase);
        tail ^= tbx_ws_mask_key8(key, phase + n); /* n - 8, but for whole turns of the key */
        memcpy(p, &head, 8);
        memcpy(p + n - 8, &tail, 8);
        return;
    }
    if (n >= 4) {
        uint32_t head, tail;
        memcpy(&head, p, 4);
        memcpy(&tail, p + n - 4, 4);
        head ^= tbx_ws_mask_key(key, phase);
        tail ^= tbx_ws_mask_key(key, phase + n);
        memcpy(p, &head, 4);
        memcpy(p + n - 4, &tail, 4);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        p[i] ^= key[(phase + i) & 3];
    }
}

/* The one to call. */
static inline void
tbx_ws_mask(uint8_t *p, size_t n, const uint8_t key[4], size_t phase)
{
    if (n < 16) {
        tbx_ws_mask_short(p, n, key, phase);
    }
    else {
        tbx_ws_mask_block16(p, n, key, phase);
    }
}

#endif
