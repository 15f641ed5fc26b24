/* test_clock.c: base/clock.h against libc's calendar. */
#include "harness.h"

#include <inttypes.h>
#include <time.h>

#include "base/clock.h"

#define FIRST INT64_C(-62135596800) /* 0001-01-01T00:00:00 */
#define LAST INT64_C(253402300799)  /* 9999-12-31T23:59:59 */

static void
check(int64_t us, const char *want)
{
    char *dst = (char *)tbx_guard_room(1, TBX_CLOCK_MAX);
    size_t len = tbx_clock_put_iso8601(dst, us);
    CHECK(len == strlen(want) && memcmp(dst, want, len) == 0, "%" PRId64 ": %s, not %.*s", us, want,
          (int)len, dst);
}

static void
check_libc(int64_t seconds, int micros)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    REQUIRE(gmtime_r(&t, &tm) != NULL);
    char want[128];
    int n = snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (micros != 0) {
        n += snprintf(want + n, sizeof want - (size_t)n, ".%06d", micros);
    }
    snprintf(want + n, sizeof want - (size_t)n, "+00:00");
    check(seconds * 1000000 + micros, want);
}

int
main(void)
{
    check(0, "1970-01-01T00:00:00+00:00");
    check(1, "1970-01-01T00:00:00.000001+00:00");
    check(-1, "1969-12-31T23:59:59.999999+00:00");
    check(INT64_C(1757624400123456), "2025-09-11T21:00:00.123456+00:00");
    check(INT64_C(951782400000000), "2000-02-29T00:00:00+00:00");
    check(INT64_MIN, "0001-01-01T00:00:00+00:00");
    check(FIRST * 1000000 - 1, "0001-01-01T00:00:00+00:00");
    check(LAST * 1000000 + 999999, "9999-12-31T23:59:59.999999+00:00");
    check(LAST * 1000000 + 1000000, "9999-12-31T23:59:59.999999+00:00");
    check(INT64_MAX, "9999-12-31T23:59:59.999999+00:00");
    for (int64_t day = FIRST; day <= LAST; day += 86400 * 13) {
        check_libc(day, 0);
        check_libc(day + 86399, 999999);
    }
    for (int64_t day = INT64_C(946684800); day < INT64_C(1104537600); day += 86400) {
        check_libc(day, 100000); /* every day of 2000 to 2004 */
    }
    for (int i = 0; i < 100000; i++) {
        uint64_t span = (uint64_t)(LAST - FIRST + 1);
        check_libc(FIRST + (int64_t)(tbx_random() % span), (int)(tbx_random() % 1000000));
    }

    struct timespec before, after;
    REQUIRE(clock_gettime(CLOCK_REALTIME, &before) == 0);
    int64_t now = tbx_clock_now_us();
    REQUIRE(clock_gettime(CLOCK_REALTIME, &after) == 0);
    CHECK(now >= (int64_t)before.tv_sec * 1000000 + before.tv_nsec / 1000 &&
              now <= (int64_t)after.tv_sec * 1000000 + after.tv_nsec / 1000,
          "now is %" PRId64, now);
    return tbx_report();
}
