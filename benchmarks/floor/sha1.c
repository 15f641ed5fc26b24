/* sha1.c: SHA-1 of one short text, in Base64 (contract in sha1.h). */
#include "sha1.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define TEXT_LEN (FLOOR_KEY_LEN + sizeof GUID - 1) /* 60 bytes: two blocks with the padding */
#define BLOCKS 2
#define DIGEST_LEN 20

static uint32_t
rotated(uint32_t x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static void
add_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    }
    for (int i = 16; i < 80; i++) {
        w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20   ? (b & c) | (~b & d)
                     : i < 40 ? b ^ c ^ d
                     : i < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        static const uint32_t K[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t next = rotated(a, 5) + f + e + K[i / 20] + w[i];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void
floor_accept(const char *key, char accept[FLOOR_ACCEPT_LEN])
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t text[64 * BLOCKS] = {0}, digest[DIGEST_LEN + 1] = {0};
    memcpy(text, key, FLOOR_KEY_LEN);
    memcpy(text + FLOOR_KEY_LEN, GUID, sizeof GUID - 1);
    text[TEXT_LEN] = 0x80;
    text[sizeof text - 2] = (uint8_t)(8 * TEXT_LEN >> 8);
    text[sizeof text - 1] = (uint8_t)(8 * TEXT_LEN & 0xff);
    for (size_t i = 0; i < BLOCKS; i++) {
        add_block(h, text + 64 * i);
    }
    for (size_t i = 0; i < DIGEST_LEN; i++) {
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    }
    for (size_t i = 0; i < FLOOR_ACCEPT_LEN / 4; i++) {
        const uint8_t *p = digest + 3 * i;
        uint32_t three = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        for (size_t j = 0; j < 4; j++) {
            accept[4 * i + j] = DIGITS[three >> (18 - 6 * j) & 63];
        }
    }
    accept[FLOOR_ACCEPT_LEN - 1] = '='; /* 20 bytes are one short of 21 */
}
