/* buf.c: growth of a tbx_buf (contract in buf.h). */
#include "base/buf.h"

#include <stdlib.h>

int
tbx_buf_grow(tbx_buf *b, size_t n)
{
    if (n > TBX_BUF_MAX - b->len) {
        return -1;
    }
    size_t need = b->len + n;
    size_t cap = b->cap + b->cap / 2 + 16;
    if (cap < need) {
        cap = need;
    }
    uint8_t *data;
    if (b->data == b->first) {
        data = malloc(cap);
        if (data != NULL) {
            memcpy(data, b->first, b->len);
        }
    }
    else {
        data = realloc(b->data, cap);
    }
    if (data == NULL) {
        return -1;
    }
    b->data = data;
    b->cap = cap;
    return 0;
}

void
tbx_buf_free(tbx_buf *b)
{
    if (b->data != b->first) {
        free(b->data);
    }
    tbx_buf_init(b);
}
