/* clock.c: calendar arithmetic without libc's time zones (contract in clock.h). */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* clock_gettime. NOLINT(bugprone-reserved-identifier) */
#endif

#include "base/clock.h"

#include <string.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <time.h>
#endif

#define NS_PER_SECOND INT64_C(1000000000)
#define US_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY INT64_C(86400)
#define SECONDS_1601_TO_1970 INT64_C(11644473600)
#define DAYS_0000_TO_1970 INT64_C(719528) /* 0000-01-01 to 1970-01-01, proleptic Gregorian */
#define US_MIN (INT64_C(-62135596800) * US_PER_SECOND)                     /* 0001-01-01 */
#define US_MAX (INT64_C(253402300799) * US_PER_SECOND + US_PER_SECOND - 1) /* 9999-12-31 */

#if defined(_WIN32)

int64_t
tbx_clock_now_us(void)
{
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (int64_t)(ticks / 10) - SECONDS_1601_TO_1970 * US_PER_SECOND;
}

uint64_t
tbx_clock_monotonic_ns(void)
{
    LARGE_INTEGER now, rate; /* which is that of the machine, and does not change */
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    int64_t seconds = now.QuadPart / rate.QuadPart;
    int64_t rest = now.QuadPart % rate.QuadPart;
    return (uint64_t)(seconds * NS_PER_SECOND + rest * NS_PER_SECOND / rate.QuadPart);
}

#else

int64_t
tbx_clock_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

uint64_t
tbx_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * (uint64_t)NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

#endif

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
