/* test_ws_mask.c: the twins of wire/ws_mask.h against the definition in RFC 6455, section 5.3. */
#include "harness.h"

#include "wire/ws_mask.h"

#define MAX_LEN 200
#define MAX_SHIFT 64 /* bytes between the end and the guard page: every alignment */
#define ROOM (MAX_LEN + 2 * MAX_SHIFT)

typedef void mask_function(uint8_t *p, size_t n, const uint8_t key[4], size_t phase);

static const struct {
    const char *name;
    mask_function *function;
    size_t from; /* the shortest payload it takes */
} twins[] = {
    {"scalar", tbx_ws_mask_scalar, 0},
    {"any", tbx_ws_mask, 0},
    {"word", tbx_ws_mask_word, 16},
    {"block16", tbx_ws_mask_block16, 16},
};

/* One call: the payload is masked, nothing around it changes. */
static void
check(size_t twin, size_t n, size_t phase, size_t shift)
{
    static const uint8_t key[4] = {0x01, 0x80, 0x5a, 0xff};
    uint8_t want[ROOM];
    uint8_t *room = tbx_guard_room(0, ROOM);
    size_t at = ROOM - shift - n;
    for (size_t i = 0; i < ROOM; i++) {
        want[i] = room[i] = (uint8_t)tbx_random();
    }
    for (size_t i = 0; i < n; i++) {
        want[at + i] ^= key[(phase + i) % 4];
    }
    twins[twin].function(room + at, n, key, phase);
    CHECK(memcmp(room, want, ROOM) == 0, "%s: %zu bytes, phase %zu, shift %zu", twins[twin].name, n,
          phase, shift);
}

int
main(void)
{
    for (size_t twin = 0; twin < sizeof twins / sizeof *twins; twin++) {
        for (size_t n = twins[twin].from; n <= MAX_LEN; n++) {
            for (size_t phase = 0; phase < 4; phase++) {
                for (size_t shift = 0; shift < 17; shift++) {
                    check(twin, n, phase, shift);
                }
            }
            check(twin, n, SIZE_MAX, 0); /* the low bits count: 3 */
            check(twin, n, 1001, MAX_SHIFT - 1);
        }
    }

    /* In pieces it is the same. */
    static uint8_t whole[5000], pieces[5000];
    static const uint8_t key[4] = {0xde, 0xad, 0xbe, 0xef};
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof whole; i++) {
            whole[i] = pieces[i] = (uint8_t)tbx_random();
        }
        tbx_ws_mask_scalar(whole, sizeof whole, key, 0);
        for (size_t i = 0; i < sizeof pieces;) {
            size_t n = tbx_random() % 300;
            n = n < sizeof pieces - i ? n : sizeof pieces - i;
            tbx_ws_mask(pieces + i, n, key, i);
            i += n;
        }
        CHECK(memcmp(whole, pieces, sizeof whole) == 0, "round %d", round);
    }
    return tbx_report();
}
