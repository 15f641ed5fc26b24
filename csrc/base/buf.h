/* buf.h: a growing byte buffer; the one place where sizes of output are checked.
 *
 * Owner: whoever called tbx_buf_init, who calls tbx_buf_free once. The first bytes live in the
 * struct, so a small message allocates nothing. Because of that a tbx_buf must not be copied.
 * Invariant: len <= cap, data != NULL, and data[0..len) is initialised.
 * A pointer into data is good until the next call that may grow.
 * Threads: one at a time.
 */
#ifndef TBX_BASE_BUF_H
#define TBX_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef TBX_DEBUG
#define TBX_BUF_FIRST 1 /* so that ordinary tests take the growing path all the time */
#else
#define TBX_BUF_FIRST 1024
#endif

/* No output of ours is longer: room for arithmetic on lengths without overflow checks elsewhere. */
#define TBX_BUF_MAX (SIZE_MAX / 16)

typedef struct {
    uint8_t *data; /* points at `first` or at memory from malloc */
    size_t len;
    size_t cap;
    uint8_t first[TBX_BUF_FIRST];
} tbx_buf;

static inline void
tbx_buf_init(tbx_buf *b)
{
    b->data = b->first;
    b->len = 0;
    b->cap = TBX_BUF_FIRST;
}

void tbx_buf_free(tbx_buf *b);

/* Makes room for n more bytes. 0, or -1 when memory ran out or the length passes TBX_BUF_MAX: the
 * buffer is then unchanged and still owned. Slow path of tbx_buf_room; not called directly. */
int tbx_buf_grow(tbx_buf *b, size_t n);

static inline int
tbx_buf_room(tbx_buf *b, size_t n)
{
    return b->cap - b->len >= n ? 0 : tbx_buf_grow(b, n);
}

static inline int
tbx_buf_put(tbx_buf *b, const void *src, size_t n)
{
    if (tbx_buf_room(b, n) < 0) {
        return -1;
    }
    if (n != 0) {
        memcpy(b->data + b->len, src, n);
        b->len += n;
    }
    return 0;
}

static inline int
tbx_buf_put_byte(tbx_buf *b, uint8_t byte)
{
    if (tbx_buf_room(b, 1) < 0) {
        return -1;
    }
    b->data[b->len++] = byte;
    return 0;
}

#endif
