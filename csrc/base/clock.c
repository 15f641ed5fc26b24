/* clock.c: calendar arithmetic without libc's time zones (contract in clock.h). */
#include "base/clock.h"

#include <string.h>
#include <time.h>

#define US_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY INT64_C(86400)
#define DAYS_0000_TO_1970 INT64_C(719528) /* 0000-01-01 to 1970-01-01, proleptic Gregorian */
#define US_MIN (INT64_C(-62135596800) * US_PER_SECOND)                     /* 0001-01-01 */
#define US_MAX (INT64_C(253402300799) * US_PER_SECOND + US_PER_SECOND - 1) /* 9999-12-31 */

int64_t
tbx_clock_now_us(void)
{
    struct timespec now;
    if (timespec_get(&now, TIME_UTC) != TIME_UTC) {
        return 0;
    }
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

static void
put_digits(char *dst, unsigned value, int width)
{
    while (width-- > 0) {
        dst[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Year, month and day of a day counted from 1970-01-01. The year is taken to begin in March, so
 * that the leap day comes last and the month follows from the day by one division. */
static void
civil_from_days(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t d = (uint64_t)(days + DAYS_0000_TO_1970 - 60); /* from 0000-03-01 */
    uint64_t era = d / 146097;                              /* 400 years */
    unsigned in_era = (unsigned)(d % 146097);
    unsigned year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned day_of_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = (unsigned)(era * 400) + year_of_era + (*month <= 2);
}

size_t
tbx_clock_put_iso8601(char dst[TBX_CLOCK_MAX], int64_t us)
{
    us = us < US_MIN ? US_MIN : us > US_MAX ? US_MAX : us;
    int64_t seconds = us / US_PER_SECOND;
    int64_t fraction = us % US_PER_SECOND;
    if (fraction < 0) {
        fraction += US_PER_SECOND;
        seconds--;
    }
    int64_t days = seconds / SECONDS_PER_DAY;
    int64_t rest = seconds % SECONDS_PER_DAY;
    if (rest < 0) {
        rest += SECONDS_PER_DAY;
        days--;
    }
    unsigned year, month, day;
    civil_from_days(days, &year, &month, &day);
    memcpy(dst, "0000-00-00T00:00:00", 19);
    put_digits(dst, year, 4);
    put_digits(dst + 5, month, 2);
    put_digits(dst + 8, day, 2);
    put_digits(dst + 11, (unsigned)(rest / 3600), 2);
    put_digits(dst + 14, (unsigned)(rest / 60 % 60), 2);
    put_digits(dst + 17, (unsigned)(rest % 60), 2);
    size_t len = 19;
    if (fraction != 0) {
        dst[len] = '.';
        put_digits(dst + len + 1, (unsigned)fraction, 6);
        len += 7;
    }
    memcpy(dst + len, "+00:00", 6);
    return len + 6;
}
