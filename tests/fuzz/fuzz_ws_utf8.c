/* fuzz_ws_utf8.c: strict UTF-8 piece by piece, against its definition. */
#include "fuzz.h"

#include "naive_utf8.h"
#include "wire/ws_utf8.h"

/* Feeds pieces of the lengths that `cuts` gives (0: all that is left). */
static void
check(const uint8_t *text, size_t n, fuzz_input cuts, naive_utf8 want)
{
    tbx_ws_utf8 state = {0};
    for (size_t from = 0; from < n;) {
        size_t some = fuzz_byte(&cuts);
        some = some == 0 || some > n - from ? n - from : some;
        uint8_t *p = fuzz_copy(text + from, some);
        bool good = tbx_ws_utf8_feed(&state, p, some);
        fuzz_free(p);
        from += some;
        REQUIRE(good == (want.wrong >= from || want.wrong == n));
        if (!good) {
            return;
        }
    }
    REQUIRE(tbx_ws_utf8_done(&state) == (want.end == n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ones[4096] = {[0 ... 4095] = 1};
    fuzz_input in = {data, size};
    size_t count = fuzz_byte(&in) & 15;
    count = count < in.n ? count : in.n;
    fuzz_input cuts = {in.p, count}, none = {0}, every = {ones, sizeof ones};
    const uint8_t *text = in.p + count;
    size_t n = in.n - count;
    naive_utf8 want = naive_utf8_read(text, n, false);
    check(text, n, none, want);
    check(text, n, cuts, want);
    check(text, n, every, want);
    return 0;
}
