/* fuzz_buf.c: a growing buffer, step by step, beside an array of the greatest length. */
#include "fuzz.h"

#include "base/buf.h"

#define MOST 40000

typedef struct {
    tbx_buf buf;
    uint8_t want[MOST];
    size_t len;
} twins;

static void
check(const twins *t)
{
    REQUIRE(t->buf.len == t->len && t->buf.len <= t->buf.cap && t->buf.data != NULL);
    REQUIRE((t->buf.data == t->buf.first) == (t->buf.cap == TBX_BUF_FIRST));
    REQUIRE(memcmp(t->buf.data, t->want, t->len) == 0);
    REQUIRE(t->buf.cap <= TBX_BUF_FIRST + 3 * (MOST + 16));
}

static void
step(twins *t, fuzz_input *in)
{
    size_t n = fuzz_size(in);
    n = n < MOST - t->len ? n : MOST - t->len;
    unsigned what = fuzz_byte(in);
    size_t cap = t->buf.cap;
    uint8_t fill = (uint8_t)(what >> 3);
    switch (what & 7) {
    case 0:
        tbx_buf_free(&t->buf);
        t->len = 0;
        REQUIRE(t->buf.cap == TBX_BUF_FIRST);
        break;
    case 1: /* room beyond all bounds leaves everything as it is */
        REQUIRE(tbx_buf_room(&t->buf, TBX_BUF_MAX - t->len + 1 + n) == -1);
        REQUIRE(tbx_buf_room(&t->buf, SIZE_MAX - n) == -1 && t->buf.cap == cap);
        break;
    case 2:
    case 3:
        REQUIRE(tbx_buf_room(&t->buf, n) == 0 && t->buf.cap - t->buf.len >= n);
        memset(t->buf.data + t->buf.len, fill, n);
        memset(t->want + t->len, fill, n);
        t->buf.len += n;
        t->len += n;
        REQUIRE(n <= cap - (t->len - n) ? t->buf.cap == cap : t->buf.cap > cap);
        break;
    case 4:
    case 5:
        if (t->len < MOST) {
            REQUIRE(tbx_buf_put_byte(&t->buf, fill) == 0);
            t->want[t->len++] = fill;
        }
        break;
    default: {
        size_t some = n < in->n ? n : in->n;
        uint8_t *src = fuzz_copy(in->p, some);
        REQUIRE(tbx_buf_put(&t->buf, src, some) == 0);
        fuzz_free(src);
        memcpy(t->want + t->len, in->p, some);
        t->len += some;
    }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static twins t;
    fuzz_input in = {data, size};
    tbx_buf_init(&t.buf);
    t.len = 0;
    while (in.n >= 3) {
        step(&t, &in);
        check(&t);
    }
    tbx_buf_free(&t.buf);
    return 0;
}
