/* ws_frame.c: frame headers (contract in ws_frame.h). */
#include "wire/ws_frame.h"

#include <string.h>

#define FIN 0x80u
#define RSV1 0x40u
#define RSV 0x70u
#define OPCODE 0x0fu
#define MASKED 0x80u
#define LEN 0x7fu
#define LEN16 126
#define LEN64 127

/* True for the opcodes of the enum. */
static inline bool
is_known(unsigned opcode)
{
    return (0x707u >> opcode & 1) != 0;
}

static tbx_code
check_first(unsigned byte, bool allow_rsv1)
{
    unsigned opcode = byte & OPCODE;
    unsigned allowed = allow_rsv1 && (opcode == TBX_WS_TEXT || opcode == TBX_WS_BINARY) ? RSV1 : 0;
    if ((byte & RSV & ~allowed) != 0) {
        return TBX_E_WS_RESERVED;
    }
    if (!is_known(opcode)) {
        return TBX_E_WS_OPCODE;
    }
    return tbx_ws_is_control(opcode) && (byte & FIN) == 0 ? TBX_E_WS_CONTROL_PART : TBX_E_NONE;
}

/* Reads a long length of `size` bytes, of which `have` are at p: 1, TBX_MORE or TBX_BAD. */
static int
long_length(const uint8_t *p, size_t have, size_t size, uint64_t *len, tbx_err *err)
{
    /* A length that fits the next shorter form has nothing but zeros in all bytes before it. */
    size_t told = size == 2 ? 2 : 6;
    uint64_t value = 0;
    for (size_t i = 0; i < size && i < have; i++) {
        value = value << 8 | p[i];
        if ((i == 0 && size == 8 && value >> 7 != 0) ||
            (i + 1 == told && value < (size == 2 ? LEN16 : 1))) {
            return tbx_err_set(err, TBX_E_WS_LENGTH, 2);
        }
    }
    *len = value;
    return have < size ? TBX_MORE : 1;
}

ptrdiff_t
tbx_ws_frame_parse(const uint8_t *p, size_t n, bool allow_rsv1, tbx_ws_frame *out, tbx_err *err)
{
    if (n == 0) {
        return TBX_MORE;
    }
    unsigned first = p[0];
    tbx_code code = check_first(first, allow_rsv1);
    if (code != TBX_E_NONE) {
        return tbx_err_set(err, code, 0);
    }
    if (n == 1) {
        return TBX_MORE;
    }
    unsigned second = p[1];
    out->opcode = first & OPCODE;
    out->fin = (first & FIN) != 0;
    out->rsv1 = (first & RSV1) != 0;
    out->len = second & LEN;
    if ((second & MASKED) == 0) {
        return tbx_err_set(err, TBX_E_WS_MASK, 1);
    }
    size_t size = 2;
    if (out->len >= LEN16) {
        if (tbx_ws_is_control(out->opcode)) {
            return tbx_err_set(err, TBX_E_WS_CONTROL_LONG, 1);
        }
        size += out->len == LEN16 ? 2 : 8;
        int got = long_length(p + 2, n - 2, size - 2, &out->len, err);
        if (got <= 0) {
            return got;
        }
    }
    if (n - size < sizeof out->mask) {
        return TBX_MORE;
    }
    memcpy(out->mask, p + size, sizeof out->mask);
    return (ptrdiff_t)(size + sizeof out->mask);
}

size_t
tbx_ws_frame_put(uint8_t dst[TBX_WS_HEAD_MAX], unsigned opcode, bool rsv1, uint64_t len)
{
    dst[0] = (uint8_t)(FIN | (rsv1 ? RSV1 : 0) | opcode);
    if (len < LEN16) {
        dst[1] = (uint8_t)len;
        return 2;
    }
    size_t size = len <= 0xffff ? 2 : 8;
    dst[1] = size == 2 ? LEN16 : LEN64;
    for (size_t i = 0; i < size; i++) {
        dst[2 + i] = (uint8_t)(len >> 8 * (size - 1 - i));
    }
    return 2 + size;
}
