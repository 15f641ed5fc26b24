/* num.h: numbers to and from JSON text.
 *
 * Mirrors: int.__repr__, float.__repr__ and float(), digit for digit.
 * Nothing here allocates, fails, or depends on the locale or on the rounding mode.
 */
#ifndef TBX_BASE_NUM_H
#define TBX_BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

/* Room that every dst below has: the longest output is 24 bytes ("-2.2250738585072014e-308"), and
 * no byte behind TBX_NUM_MAX is touched. Nothing is terminated. */
#define TBX_NUM_MAX 32

/* Write an integer in decimal and return its length. */
size_t tbx_num_put_u64(char *dst, uint64_t v);
size_t tbx_num_put_i64(char *dst, int64_t v);

/* Writes a finite double as repr() does: the shortest text that reads back as v, the nearest one to
 * v among these, with ".0" or an exponent so that it stays a float. Returns the length. */
size_t tbx_num_put_f64(char *dst, double v);

/* The double nearest to the JSON number p[0..n), ties to even: infinite when too large, 0 when too
 * small. The text was checked before: it is read up to n and holds one number of any length. */
double tbx_num_get_f64(const char *p, size_t n);

#endif
