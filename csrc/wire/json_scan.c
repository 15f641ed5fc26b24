/* json_scan.c: the choice between the scans (contract in json_scan.h). */
#include "wire/json_scan.h"

#define AVX2_FROM 64 /* below this the wider registers do not pay for the question */

size_t
tbx_json_scan_long(const uint8_t *p, size_t n, bool *high)
{
    /* n is what is left of the document and says little about the string: a first look with the
     * small registers answers for most strings. */
    size_t first = n < AVX2_FROM ? n : AVX2_FROM;
    size_t len = tbx_json_scan_block16(p, first, high);
    if (len < first || first == n) {
        return len;
    }
    if (tbx_json_scan_has_avx2()) {
        return len + tbx_json_scan_avx2(p + len, n - len, high);
    }
    return len + tbx_json_scan_block16(p + len, n - len, high);
}

size_t
tbx_json_copy_long(uint8_t *dst, const uint8_t *src, size_t n)
{
    if (n >= AVX2_FROM && tbx_json_scan_has_avx2()) {
        return tbx_json_copy_avx2(dst, src, n);
    }
    return tbx_json_copy_block16(dst, src, n);
}
