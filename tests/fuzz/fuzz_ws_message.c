/* fuzz_ws_message.c: a client's stream through the reader: whole, cut as the input says, and byte by
 * byte, against a reading of the whole stream frame by frame.
 *
 * Input: options, the cuts, and either the stream itself or a plan of frames to build it from.
 */
#include "fuzz.h"

#include "naive_utf8.h"
#include "wire/ws_message.h"

#define MOST 65536
#define EVENTS 1024       /* more than a stream can hold */
#define AHEAD (16 * 1024) /* what a reader may take before it has arrived */

typedef struct {
    unsigned opcode;
    bool compressed;
    size_t end; /* bytes of the stream after which it is whole */
    size_t at;  /* where its payload begins in `payloads` */
    size_t len;
} event;

/* What a stream holds. */
typedef struct {
    event events[EVENTS];
    size_t count;
    tbx_code code; /* how it ends, */
    size_t told;   /* and after how many bytes that is told */
    bool idle;
    uint8_t payloads[MOST];
    size_t filled;
    uint8_t open[MOST]; /* the message that is not whole */
    size_t open_len;
} record;

typedef struct {
    uint64_t max_size;
    uint32_t max_fragments;
    bool deflate;
    uint8_t stream[MOST];
    size_t len;
} plan;

static record want;

static void
keep(unsigned opcode, bool compressed, size_t end, const uint8_t *payload, size_t len)
{
    REQUIRE(want.count < EVENTS && len <= MOST - want.filled);
    want.events[want.count++] = (event){opcode, compressed, end, want.filled, len};
    memcpy(want.payloads + want.filled, payload, len);
    want.filled += len;
}

static void
expect_end(tbx_code code, size_t told)
{
    want.code = code;
    want.told = told;
}

/* The reading of the whole stream: one frame after the other, the header by tbx_ws_frame_parse, which
 * has a target of its own. */
static void
expect(const plan *s)
{
    unsigned message = 0;
    bool compressed = false;
    uint32_t fragments = 0;
    want.count = want.filled = want.open_len = 0;
    want.code = TBX_E_NONE;
    want.idle = true;
    for (size_t i = 0; i < s->len;) {
        tbx_ws_frame frame;
        tbx_err err;
        ptrdiff_t head = TBX_MORE;
        size_t some = 0;
        while (head == TBX_MORE && i + some < s->len) {
            head = tbx_ws_frame_parse(s->stream + i, ++some, s->deflate, &frame, &err);
        }
        i += some;
        want.idle = false;
        if (head == TBX_MORE) {
            return;
        }
        if (head == TBX_BAD) {
            expect_end(err.code, i);
            return;
        }
        bool control = frame.opcode >= 8;
        if (!control && (frame.opcode == 0) != (message != 0)) {
            expect_end(message != 0 ? TBX_E_WS_UNFINISHED : TBX_E_WS_CONTINUATION, i);
            return;
        }
        if (!control && frame.opcode != 0) {
            message = frame.opcode;
            compressed = frame.rsv1;
            fragments = 0;
        }
        if (!control && ++fragments > s->max_fragments) {
            expect_end(TBX_E_WS_FRAGMENTS, i);
            return;
        }
        if (!control && (frame.len > s->max_size || want.open_len + frame.len > s->max_size)) {
            expect_end(TBX_E_WS_TOO_BIG, i);
            return;
        }
        size_t there = frame.len < s->len - i ? (size_t)frame.len : s->len - i;
        bool whole = there == frame.len;
        uint8_t control_data[125];
        uint8_t *to = control ? control_data : want.open + want.open_len;
        for (size_t k = 0; k < there; k++) {
            to[k] = s->stream[i + k] ^ frame.mask[k % 4];
        }
        size_t before = want.open_len;
        want.open_len += control ? 0 : there;
        if (!control && message == 1 && !compressed) {
            naive_utf8 text = naive_utf8_read(want.open, want.open_len, false);
            bool last = whole && frame.fin;
            if (text.wrong < want.open_len || (last && text.end < want.open_len)) {
                size_t at = text.wrong < want.open_len ? text.wrong + 1 : want.open_len;
                expect_end(TBX_E_WS_UTF8, i + (at - before));
                return;
            }
        }
        i += there;
        if (!whole) {
            return;
        }
        if (control) {
            keep(frame.opcode, false, i, control_data, there);
        }
        else if (frame.fin) {
            keep(message, compressed, i, want.open, want.open_len);
            message = 0;
            want.open_len = 0;
        }
        want.idle = message == 0;
    }
}

static void
check_close(const uint8_t *data, size_t len)
{
    unsigned code = 0;
    tbx_err err = {0};
    uint8_t *p = fuzz_copy(data, len);
    int got = tbx_ws_close_parse(p, len, &code, &err);
    unsigned sent = len >= 2 ? p[0] * 256u + p[1] : 0;
    bool known = sent >= 1000 && sent < 5000 && sent != 1004 && sent != 1005 && sent != 1006 &&
                 (sent < 1015 || sent >= 3000);
    if (len == 0) {
        REQUIRE(got == 0 && code == TBX_WS_NO_STATUS);
    }
    else if (len == 1) {
        REQUIRE(got == TBX_BAD && err.code == TBX_E_WS_CLOSE_SHORT);
    }
    else if (!known) {
        REQUIRE(got == TBX_BAD && err.code == TBX_E_WS_CLOSE_CODE);
    }
    else if (naive_utf8_read(p + 2, len - 2, false).end != len - 2) {
        REQUIRE(got == TBX_BAD && err.code == TBX_E_WS_UTF8);
    }
    else {
        REQUIRE(got == 0 && code == sent);
    }
    fuzz_free(p);
}

static void
check_failed(tbx_ws_reader *r, tbx_code code)
{
    uint8_t frame[] = {0x81, 0x80, 0, 0, 0, 0};
    for (size_t n = 0; n <= sizeof frame; n += 3) {
        tbx_ws_message out;
        tbx_err err = {0};
        REQUIRE(tbx_ws_reader_feed(r, frame, n, &out, &err) == TBX_BAD && out.opcode == 0);
        REQUIRE(err.code == code && err.pos == 0);
    }
    REQUIRE(r->data == NULL && r->control == NULL && tbx_ws_reader_is_idle(r));
    unsigned close = tbx_ws_close_code(code);
    REQUIRE(close == 1002 || close == 1007 || close == 1009 || code == TBX_E_WS_OVER);
}

static void
check_event(size_t index, size_t end, const tbx_ws_message *out)
{
    REQUIRE(index < want.count);
    const event *e = &want.events[index];
    REQUIRE(out->opcode == e->opcode && out->compressed == e->compressed && end == e->end);
    REQUIRE(out->data != NULL && out->len == e->len);
    REQUIRE(e->len == 0 || memcmp(out->data, want.payloads + e->at, e->len) == 0);
    if (out->opcode == TBX_WS_CLOSE) {
        check_close(out->data, out->len);
    }
    memset(out->data, 0xee, out->len); /* it is ours to write to */
}

/* Feeds stream[from..to); false when that was the end. */
static bool
feed(const plan *s, tbx_ws_reader *r, size_t from, size_t to, size_t *index)
{
    uint8_t *piece = fuzz_copy(s->stream + from, to - from), *p = piece;
    while (from < to) {
        tbx_ws_message out;
        tbx_err err = {0};
        ptrdiff_t got = tbx_ws_reader_feed(r, p, to - from, &out, &err);
        REQUIRE(r->cap <= to + to / 2 + AHEAD && r->len <= r->cap && r->control_len <= 125);
        if (got == TBX_BAD) {
            REQUIRE(want.code == err.code && from < want.told && want.told <= to);
            REQUIRE(*index == want.count && err.pos <= to - from && out.opcode == 0);
            fuzz_free(piece);
            check_failed(r, err.code);
            return false;
        }
        REQUIRE(got > 0 && (size_t)got <= to - from);
        from += (size_t)got;
        p += got;
        if (out.opcode != 0) {
            check_event((*index)++, from, &out);
        }
        else {
            REQUIRE(from == to && out.data == NULL);
        }
    }
    fuzz_free(piece);
    REQUIRE(want.code == TBX_E_NONE || to < want.told);
    return true;
}

/* Cuts as the bytes of `cuts` say, again and again; none: whole. */
static void
run(const plan *s, fuzz_input cuts)
{
    tbx_ws_reader r;
    tbx_ws_reader_init(&r, s->max_size, s->max_fragments, s->deflate);
    size_t index = 0, from = 0, turn = 0;
    bool going = true;
    while (going && from < s->len) {
        size_t some = cuts.n == 0 ? s->len : (size_t)1 + cuts.p[turn++ % cuts.n];
        some = some < 200 ? some : (some - 199) * 100;
        size_t to = some < s->len - from ? from + some : s->len;
        going = feed(s, &r, from, to, &index);
        from = to;
    }
    REQUIRE(index == want.count && going == (want.code == TBX_E_NONE));
    if (going) {
        tbx_ws_message out;
        tbx_err err;
        REQUIRE(tbx_ws_reader_is_idle(&r) == want.idle);
        REQUIRE(tbx_ws_reader_feed(&r, NULL, 0, &out, &err) == 0 && out.opcode == 0);
        REQUIRE(!want.idle || (r.data == NULL && r.control == NULL));
    }
    tbx_ws_reader_free(&r);
    tbx_ws_reader_free(&r);
    check_failed(&r, going ? TBX_E_WS_OVER : want.code);
}

/* Frames from a plan: first byte, how long, mask or none, payload (what the plan lacks is 'a'). */
static void
build(plan *s, fuzz_input *in)
{
    while (in->n != 0) {
        uint8_t first = fuzz_byte(in), how = fuzz_byte(in);
        size_t len = how < 200   ? how & 31
                     : how < 250 ? (size_t)(how - 200) * 5
                                 : (how - 249) * 6000u;
        if (len + 14 > MOST - s->len) {
            return;
        }
        uint8_t *p = s->stream + s->len;
        size_t head = tbx_ws_frame_put(p, 0, false, len);
        uint8_t key[4] = {0};
        p[0] = first;
        p[1] |= 0x80;
        if ((how & 32) != 0) {
            memset(key, 0x5a + first, 3);
        }
        memcpy(p + head, key, 4);
        for (size_t i = 0; i < len; i++) {
            uint8_t byte = in->n != 0 ? fuzz_byte(in) : 'a';
            p[head + 4 + i] = byte ^ key[i % 4];
        }
        s->len += head + 4 + len;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static plan s;
    static const uint8_t zero;
    fuzz_input in = {data, size < 4096 ? size : 4096};
    unsigned options = fuzz_byte(&in);
    s.deflate = (options & 1) != 0;
    s.max_size = fuzz_size(&in);
    s.max_fragments = 1 + (fuzz_byte(&in) & 63);
    size_t count = fuzz_byte(&in) & 7;
    count = count < in.n ? count : in.n;
    fuzz_input cuts = {in.p, count}, whole = {0}, bytes = {&zero, 1};
    in.p += count;
    in.n -= count;
    s.len = 0;
    if ((options & 2) != 0) {
        build(&s, &in);
    }
    else {
        memcpy(s.stream, in.p, in.n);
        s.len = in.n;
    }
    expect(&s);
    run(&s, whole);
    run(&s, cuts);
    if (s.len <= 2000) {
        run(&s, bytes);
    }
    return 0;
}
