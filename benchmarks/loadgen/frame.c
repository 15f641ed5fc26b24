/* frame.c: WebSocket frames (contract in frame.h). */
#include "frame.h"

#include <string.h>

#define FIN 0x80
#define MASKED 0x80

size_t
lg_frame_put(uint8_t *dst, unsigned opcode, const uint8_t *payload, size_t n, uint32_t mask)
{
    size_t head = 2;
    dst[0] = (uint8_t)(FIN | opcode);
    if (n < 126) {
        dst[1] = (uint8_t)(MASKED | n);
    }
    else {
        size_t width = n <= 0xffff ? 2 : 8;
        dst[1] = MASKED | (width == 2 ? 126 : 127);
        for (size_t i = 0; i < width; i++) {
            dst[2 + i] = (uint8_t)((uint64_t)n >> (8 * (width - 1 - i)));
        }
        head += width;
    }
    uint8_t key[8];
    memcpy(key, &mask, 4);
    memcpy(key + 4, &mask, 4);
    memcpy(dst + head, key, 4);
    head += 4;
    uint64_t wide;
    memcpy(&wide, key, 8);
    uint8_t *out = dst + head;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t block;
        memcpy(&block, payload + i, 8);
        block ^= wide;
        memcpy(out + i, &block, 8);
    }
    for (; i < n; i++) {
        out[i] = payload[i] ^ key[i & 3];
    }
    return head + n;
}

ssize_t
lg_frame_get(const uint8_t *p, size_t n, lg_frame *frame)
{
    if (n < 2) {
        return 0;
    }
    if ((p[0] & 0xf0) != FIN || (p[1] & MASKED) != 0) {
        return -1;
    }
    frame->opcode = p[0] & 0x0f;
    uint64_t len = p[1];
    size_t head = 2;
    if (len >= 126) {
        size_t width = len == 126 ? 2 : 8;
        if (n < head + width) {
            return 0;
        }
        len = 0;
        for (size_t i = 0; i < width; i++) {
            len = len << 8 | p[head + i];
        }
        head += width;
    }
    if (len > SIZE_MAX / 4) {
        return -1;
    }
    if (n - head < len) {
        return 0;
    }
    frame->payload = p + head;
    frame->len = (size_t)len;
    return (ssize_t)(head + (size_t)len);
}
