/* clock.h: the system's clocks, and wall-clock time as ISO 8601 text.
 *
 * Mirrors: datetime.fromtimestamp(t, timezone.utc).isoformat().
 */
#ifndef TBX_BASE_CLOCK_H
#define TBX_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define TBX_CLOCK_MAX 32 /* "2025-09-11T21:00:00.123456+00:00" */

/* Microseconds since 1970, by the system's clock. */
int64_t tbx_clock_now_us(void);

/* Nanoseconds of a clock that is never set, from an unknown start. */
uint64_t tbx_clock_monotonic_ns(void);

/* Writes the instant (years 0001 to 9999; others are clamped to these) and returns the length: 32,
 * or 25 when the microseconds are zero, as isoformat() leaves them out then. */
size_t tbx_clock_put_iso8601(char dst[TBX_CLOCK_MAX], int64_t us);

#endif
