/* test_buf.c: base/buf.h. */
#include "harness.h"

#include "base/buf.h"

int
main(void)
{
    tbx_buf b;
    tbx_buf_init(&b);
    CHECK(b.len == 0 && b.cap == TBX_BUF_FIRST && b.data == b.first, "a new buffer");
    CHECK(tbx_buf_put(&b, NULL, 0) == 0 && b.len == 0, "nothing to put");

    /* growth keeps the contents; pieces of every size cross every boundary */
    uint8_t expect[20000];
    size_t total = 0;
    for (size_t piece = 0; total + piece + 1 <= sizeof expect; piece = (piece + 7) % 300) {
        for (size_t i = 0; i < piece; i++) {
            expect[total + i] = (uint8_t)tbx_random();
        }
        CHECK(tbx_buf_put(&b, expect + total, piece) == 0, "put %zu", piece);
        total += piece;
        expect[total] = (uint8_t)piece;
        CHECK(tbx_buf_put_byte(&b, expect[total]) == 0, "put_byte");
        total++;
        CHECK(b.len == total && b.len <= b.cap && memcmp(b.data, expect, total) == 0,
              "contents at %zu", total);
    }

    size_t cap = b.cap;
    CHECK(tbx_buf_room(&b, cap - b.len) == 0 && b.cap == cap, "room that is there");
    CHECK(tbx_buf_room(&b, cap - b.len + 1) == 0 && b.cap > cap, "one more than is there");
    CHECK(tbx_buf_room(&b, 1000000) == 0 && b.cap >= b.len + 1000000, "much more");

    /* refusals change nothing: past the limit, at the limit (no such memory), and wrapping */
    uint8_t *data = b.data;
    cap = b.cap;
    const size_t refused[] = {TBX_BUF_MAX - total + 1, TBX_BUF_MAX - total, TBX_BUF_MAX, SIZE_MAX};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK(tbx_buf_room(&b, refused[i]) == -1, "room for %zu", refused[i]);
        CHECK(b.data == data && b.cap == cap && b.len == total &&
                  memcmp(b.data, expect, total) == 0,
              "unchanged after %zu", refused[i]);
    }

    tbx_buf_free(&b);
    CHECK(b.len == 0 && b.cap == TBX_BUF_FIRST && b.data == b.first, "empty after free");
    CHECK(tbx_buf_room(&b, TBX_BUF_MAX) == -1 && b.data == b.first && b.cap == TBX_BUF_FIRST,
          "refused with the first bytes");
    tbx_buf_free(&b);
    return tbx_report();
}
