/* json_scan_block16.c: the scans of json_scan.h sixteen bytes at a time (SSE2 or NEON). */
#include "wire/json_scan.h"

#if TBX_BLOCK16

size_t
tbx_json_scan_block16(const uint8_t *p, size_t n, bool *high)
{
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        tbx_block16 v = tbx_block16_load(p + i);
        uint64_t stops = tbx_block16_stops_read(v);
        uint64_t highs = tbx_block16_high(v);
        if (stops != 0) {
            *high |= tbx_mask_before(highs, stops) != 0;
            return i + tbx_mask_index(stops);
        }
        *high |= highs != 0;
    }
    return i + tbx_json_scan_scalar(p + i, n - i, high);
}

size_t
tbx_json_copy_block16(uint8_t *dst, const uint8_t *src, size_t n)
{
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        tbx_block16 v = tbx_block16_load(src + i);
        tbx_block16_store(dst + i, v);
        uint64_t stops = tbx_block16_stops_write(v);
        if (stops != 0) {
            return i + tbx_mask_index(stops);
        }
    }
    if (n >= 16) {
        return tbx_json_copy_tail16(dst, src, n);
    }
    return tbx_json_copy_scalar(dst, src, n);
}

#else

size_t
tbx_json_scan_block16(const uint8_t *p, size_t n, bool *high)
{
    return tbx_json_scan_scalar(p, n, high);
}

size_t
tbx_json_copy_block16(uint8_t *dst, const uint8_t *src, size_t n)
{
    return tbx_json_copy_scalar(dst, src, n);
}

#endif
