/* json_scan_avx2.c: the scans of json_scan.h thirty-two bytes at a time.
 *
 * Compiled for processors that have them whatever the rest is compiled for, and called on these alone.
 */
#include "wire/json_scan.h"

#if TBX_X86_64
#include <immintrin.h>

TBX_FOR_AVX2 static inline __m256i
load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

TBX_FOR_AVX2 size_t
tbx_json_scan_avx2(const uint8_t *p, size_t n, bool *high)
{
    const __m256i quote = _mm256_set1_epi8('"');
    const __m256i slash = _mm256_set1_epi8('\\');
    const __m256i control = _mm256_set1_epi8(0x1f);
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        __m256i v = load(p + i);
        __m256i special = _mm256_or_si256(_mm256_cmpeq_epi8(v, quote), _mm256_cmpeq_epi8(v, slash));
        special = _mm256_or_si256(special, _mm256_cmpeq_epi8(_mm256_min_epu8(v, control), v));
        uint32_t stops = (uint32_t)_mm256_movemask_epi8(special);
        uint32_t highs = (uint32_t)_mm256_movemask_epi8(v);
        if (stops != 0) {
            *high |= (highs & ((stops & (0 - stops)) - 1)) != 0;
            return i + tbx_ctz64(stops);
        }
        *high |= highs != 0;
    }
    return i + tbx_json_scan_block16(p + i, n - i, high);
}

TBX_FOR_AVX2 size_t
tbx_json_copy_avx2(uint8_t *dst, const uint8_t *src, size_t n)
{
    const __m256i quote = _mm256_set1_epi8('"');
    const __m256i slash = _mm256_set1_epi8('\\');
    const __m256i space = _mm256_set1_epi8(0x20);
    const __m256i del = _mm256_set1_epi8(0x7f);
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        __m256i v = load(src + i);
        _mm256_storeu_si256((__m256i *)(void *)(dst + i), v);
        __m256i special = _mm256_or_si256(_mm256_cmpeq_epi8(v, quote), _mm256_cmpeq_epi8(v, slash));
        special = _mm256_or_si256(special, _mm256_cmpgt_epi8(space, v)); /* signed: >= 0x80 too */
        special = _mm256_or_si256(special, _mm256_cmpeq_epi8(v, del));
        uint32_t stops = (uint32_t)_mm256_movemask_epi8(special);
        if (stops != 0) {
            return i + tbx_ctz64(stops);
        }
    }
    if (n - i >= 16 || n < 16) {
        return i + tbx_json_copy_block16(dst + i, src + i, n - i);
    }
    return tbx_json_copy_tail16(dst, src, n);
}

bool
tbx_json_scan_has_avx2(void)
{
    return tbx_has_avx2();
}

#else

size_t
tbx_json_scan_avx2(const uint8_t *p, size_t n, bool *high)
{
    return tbx_json_scan_block16(p, n, high);
}

size_t
tbx_json_copy_avx2(uint8_t *dst, const uint8_t *src, size_t n)
{
    return tbx_json_copy_block16(dst, src, n);
}

bool
tbx_json_scan_has_avx2(void)
{
    return false;
}

#endif
