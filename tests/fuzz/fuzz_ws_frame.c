/* fuzz_ws_frame.c: headers of WebSocket frames, against a reading of RFC 6455 field by field. */
#include "fuzz.h"

#include "wire/ws_frame.h"

/* What the first n bytes are: consumed, TBX_MORE or TBX_BAD with *code and *pos. */
static ptrdiff_t
expect(const uint8_t *p, size_t n, bool allow_rsv1, tbx_err *err)
{
    if (n == 0) {
        return TBX_MORE;
    }
    unsigned opcode = p[0] & 15, length = n > 1 ? p[1] & 127u : 0;
    bool control = opcode == 8 || opcode == 9 || opcode == 10;
    bool data = opcode == 1 || opcode == 2;
    if ((p[0] & 0x30) != 0 || ((p[0] & 0x40) != 0 && !(allow_rsv1 && data))) {
        return tbx_err_set(err, TBX_E_WS_RESERVED, 0);
    }
    if (!control && !data && opcode != 0) {
        return tbx_err_set(err, TBX_E_WS_OPCODE, 0);
    }
    if (control && p[0] < 128) {
        return tbx_err_set(err, TBX_E_WS_CONTROL_PART, 0);
    }
    if (n == 1) {
        return TBX_MORE;
    }
    if (p[1] < 128) {
        return tbx_err_set(err, TBX_E_WS_MASK, 1);
    }
    if (control && length > 125) {
        return tbx_err_set(err, TBX_E_WS_CONTROL_LONG, 1);
    }
    size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (extra == 2 && n >= 4 && p[2] == 0 && p[3] < 126) {
        return tbx_err_set(err, TBX_E_WS_LENGTH, 2);
    }
    if (extra == 8 && n >= 3 && p[2] >= 128) {
        return tbx_err_set(err, TBX_E_WS_LENGTH, 2);
    }
    static const uint8_t zeros[6];
    if (extra == 8 && n >= 8 && memcmp(p + 2, zeros, 6) == 0) {
        return tbx_err_set(err, TBX_E_WS_LENGTH, 2);
    }
    return n < 2 + extra + 4 ? TBX_MORE : (ptrdiff_t)(2 + extra + 4);
}

static void
check_fields(const uint8_t *p, size_t used, const tbx_ws_frame *frame)
{
    uint64_t length = 0;
    for (size_t i = 2; i < used - 4; i++) {
        length = length << 8 | p[i];
    }
    length = used == 6 ? p[1] & 127u : length;
    REQUIRE(frame->len == length && frame->opcode == (p[0] & 15u));
    REQUIRE(frame->fin == (p[0] >= 128) && frame->rsv1 == ((p[0] & 64) != 0));
    REQUIRE(memcmp(frame->mask, p + used - 4, 4) == 0);

    /* What a server writes differs by the mask alone. */
    uint8_t head[TBX_WS_HEAD_MAX];
    size_t put = tbx_ws_frame_put(head, frame->opcode, frame->rsv1, frame->len);
    REQUIRE(put == used - 4 && head[0] == (p[0] | 0x80) && head[1] == (p[1] & 0x7f));
    REQUIRE(memcmp(head + 2, p + 2, put - 2) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return -1;
    }
    bool allow_rsv1 = (*data++ & 1) != 0;
    size = size - 1 < 20 ? size - 1 : 20;
    for (size_t n = 0; n <= size; n++) {
        uint8_t *p = fuzz_copy(data, n);
        tbx_ws_frame frame = {0};
        tbx_err err = {0}, want_err = {0};
        ptrdiff_t got = tbx_ws_frame_parse(p, n, allow_rsv1, &frame, &err);
        ptrdiff_t want = expect(p, n, allow_rsv1, &want_err);
        REQUIRE(got == want);
        REQUIRE(err.code == want_err.code && err.pos == want_err.pos);
        if (got > 0) {
            check_fields(p, (size_t)got, &frame);
        }
        fuzz_free(p);
    }
    return 0;
}
