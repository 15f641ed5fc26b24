/* ws_utf8.c: strict UTF-8, piece by piece (contract in ws_utf8.h). */
#include "wire/ws_utf8.h"
#include "wire/simd.h"

#include <string.h>

/* The end of the ASCII run that begins at p[i]. */
static inline size_t
skip_ascii(const uint8_t *p, size_t i, size_t n)
{
#if TBX_BLOCK16
    for (; n - i >= 64; i += 64) {
        tbx_block16 low = tbx_block16_or(tbx_block16_load(p + i), tbx_block16_load(p + i + 16));
        tbx_block16 up = tbx_block16_or(tbx_block16_load(p + i + 32), tbx_block16_load(p + i + 48));
        if (tbx_block16_high(tbx_block16_or(low, up)) != 0) {
            break;
        }
    }
    for (; n - i >= 16; i += 16) {
        uint64_t highs = tbx_block16_high(tbx_block16_load(p + i));
        if (highs != 0) {
            return i + tbx_mask_index(highs);
        }
    }
#endif
    for (; n - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    while (i < n && p[i] < 0x80) {
        i++;
    }
    return i;
}

/* The state behind a first byte >= 0x80; false when none is such a byte. */
static inline bool
begin(tbx_ws_utf8 *s, uint8_t lead)
{
    s->low = 0x80;
    s->high = 0xbf;
    if (lead < 0xe0) {
        s->need = 1;
        return lead >= 0xc2; /* below: not a first byte, or the overlong forms of ASCII */
    }
    if (lead < 0xf0) {
        s->need = 2;
        s->low = lead == 0xe0 ? 0xa0 : 0x80;  /* overlong below U+0800 */
        s->high = lead == 0xed ? 0x9f : 0xbf; /* surrogates */
        return true;
    }
    s->need = 3;
    s->low = lead == 0xf0 ? 0x90 : 0x80;  /* overlong below U+10000 */
    s->high = lead == 0xf4 ? 0x8f : 0xbf; /* above U+10FFFF */
    return lead <= 0xf4;
}

bool
tbx_ws_utf8_feed(tbx_ws_utf8 *s, const uint8_t *p, size_t n)
{
    tbx_ws_utf8 now = *s; /* a local, so that it can live in registers */
    size_t i = 0;
    for (;;) {
        for (; now.need != 0 && i < n; i++) {
            if (p[i] < now.low || p[i] > now.high) {
                return false;
            }
            now.need--;
            now.low = 0x80;
            now.high = 0xbf;
        }
        if (i < n && p[i] < 0x80) {
            i = skip_ascii(p, i, n);
        }
        if (i == n) {
            *s = now;
            return true;
        }
        if (!begin(&now, p[i++])) {
            return false;
        }
    }
}
