/* ws_message.c: assembles messages (contract in ws_message.h).
 *
 * Between calls: a header is half read (head_len != 0), or a frame is (in_frame, left != 0), or
 * neither. A message is open (message != 0) from its first header to its last byte; control frames
 * come in between. `utf8` is at a boundary whenever no message is open. After a failure nothing is
 * owned and nothing is half read.
 */
#include "wire/ws_message.h"
#include "wire/ws_mask.h"

#include <stdlib.h>
#include <string.h>

/* How far ahead of what has arrived memory is taken for the sake of an announced length. */
#ifdef TBX_DEBUG
#define AHEAD 1 /* so that ordinary tests grow all the time */
#else
#define AHEAD (16 * 1024)
#endif

void
tbx_ws_reader_init(tbx_ws_reader *r, uint64_t max_size, uint32_t max_fragments, bool allow_deflate)
{
    *r = (tbx_ws_reader){
        .max_size = max_size, .max_fragments = max_fragments, .allow_deflate = allow_deflate};
}

static void
drop_data(tbx_ws_reader *r)
{
    free(r->data);
    r->data = NULL;
    r->len = r->cap = 0;
}

static void
drop_control(tbx_ws_reader *r)
{
    free(r->control);
    r->control = NULL;
    r->control_len = 0;
}

/* Frees what the last call has handed out. A message handed out is not open any more; an open one
 * has been interrupted by the control frame. */
static void
drop_taken(tbx_ws_reader *r)
{
    r->taken = false;
    drop_control(r);
    if (r->message == 0) {
        drop_data(r);
    }
}

static void
end(tbx_ws_reader *r, tbx_code code)
{
    drop_data(r);
    drop_control(r);
    r->failed = code;
    r->taken = r->in_frame = false;
    r->message = r->head_len = 0;
}

void
tbx_ws_reader_free(tbx_ws_reader *r)
{
    end(r, r->failed != TBX_E_NONE ? r->failed : TBX_E_WS_OVER);
}

bool
tbx_ws_reader_is_idle(const tbx_ws_reader *r)
{
    return !r->in_frame && r->message == 0 && r->head_len == 0;
}

/* Reads a header, of which a part may have come before. The bytes consumed of p, TBX_MORE when all
 * of them have been kept, or TBX_BAD. */
static ptrdiff_t
read_head(tbx_ws_reader *r, const uint8_t *p, size_t n, tbx_ws_frame *frame, tbx_err *err)
{
    size_t had = r->head_len;
    if (had == 0) {
        ptrdiff_t got = tbx_ws_frame_parse(p, n, r->allow_deflate, frame, err);
        if (got == TBX_MORE) {
            memcpy(r->head, p, n);
            r->head_len = (uint8_t)n;
        }
        return got;
    }
    size_t some = n < sizeof r->head - had ? n : sizeof r->head - had;
    memcpy(r->head + had, p, some);
    ptrdiff_t got = tbx_ws_frame_parse(r->head, had + some, r->allow_deflate, frame, err);
    if (got == TBX_MORE) { /* so the header is shorter than the room for it: some == n */
        r->head_len = (uint8_t)(had + some);
        return got;
    }
    r->head_len = 0;
    return got < 0 ? got : got - (ptrdiff_t)had;
}

static tbx_code
begin_frame(tbx_ws_reader *r, const tbx_ws_frame *frame)
{
    r->in_frame = true;
    r->opcode = (uint8_t)frame->opcode;
    r->fin = frame->fin;
    r->left = frame->len;
    memcpy(r->mask, frame->mask, sizeof r->mask);
    if (tbx_ws_is_control(frame->opcode)) {
        return TBX_E_NONE;
    }
    if ((frame->opcode == TBX_WS_CONT) != (r->message != 0)) {
        return frame->opcode == TBX_WS_CONT ? TBX_E_WS_CONTINUATION : TBX_E_WS_UNFINISHED;
    }
    if (frame->opcode != TBX_WS_CONT) {
        r->message = (uint8_t)frame->opcode;
        r->compressed = frame->rsv1;
        r->fragments = 0;
    }
    if (r->fragments >= r->max_fragments) {
        r->left = (uint64_t)r->fragments + 1;
        return TBX_E_WS_FRAGMENTS;
    }
    if (frame->len > r->max_size - r->len) {
        r->left = frame->len + r->len;
        return TBX_E_WS_TOO_BIG;
    }
    r->fragments++;
    return TBX_E_NONE;
}

/* Appends a piece of the frame being read to the message. */
static tbx_code
collect(tbx_ws_reader *r, const uint8_t *p, size_t n)
{
    if (n == 0) {
        return TBX_E_NONE;
    }
    if (n > r->cap - r->len) {
        uint64_t need = (uint64_t)r->len + n;
        uint64_t coming = r->left - n;
        uint64_t ahead = coming < AHEAD ? coming : AHEAD;
        uint64_t cap = need + (need / 2 > ahead ? need / 2 : ahead);
        if (r->fin && cap > need + coming) {
            cap = need + coming;
        }
        uint8_t *data = cap <= PTRDIFF_MAX ? realloc(r->data, (size_t)cap) : NULL;
        if (data == NULL) {
            return TBX_E_NOMEM;
        }
        r->data = data;
        r->cap = (size_t)cap;
    }
    memcpy(r->data + r->len, p, n);
    r->len += n;
    return TBX_E_NONE;
}

static inline void
put(tbx_ws_message *out, unsigned opcode, bool compressed, uint8_t *data, size_t len)
{
    out->opcode = opcode;
    out->compressed = compressed;
    out->data = data;
    out->len = len;
}

/* Takes an unmasked piece of a control frame. */
static tbx_code
take_control(tbx_ws_reader *r, uint8_t *p, size_t n, tbx_ws_message *out)
{
    bool last = n == r->left;
    if (last && r->control == NULL) {
        r->in_frame = false;
        put(out, r->opcode, false, p, n);
        return TBX_E_NONE;
    }
    if (n == 0) { /* the header came alone */
        return TBX_E_NONE;
    }
    if (r->control == NULL) {
        r->control = malloc(TBX_WS_CONTROL_MAX);
        if (r->control == NULL) {
            return TBX_E_NOMEM;
        }
    }
    memcpy(r->control + r->control_len, p, n);
    r->control_len = (uint8_t)(r->control_len + n);
    if (last) {
        r->in_frame = false;
        r->taken = true;
        put(out, r->opcode, false, r->control, r->control_len);
    }
    return TBX_E_NONE;
}

/* Takes an unmasked piece of a message. */
static tbx_code
take_data(tbx_ws_reader *r, uint8_t *p, size_t n, tbx_ws_message *out)
{
    bool frame_ends = n == r->left;
    bool message_ends = frame_ends && r->fin;
    if (r->message == TBX_WS_TEXT && !r->compressed) {
        if (!tbx_ws_utf8_feed(&r->utf8, p, n) || (message_ends && !tbx_ws_utf8_done(&r->utf8))) {
            return TBX_E_WS_UTF8;
        }
    }
    if (message_ends && r->len == 0) {
        put(out, r->message, r->compressed, p, n);
    }
    else {
        tbx_code code = collect(r, p, n);
        if (code != TBX_E_NONE) {
            return code;
        }
        if (message_ends) {
            r->taken = true;
            put(out, r->message, r->compressed, r->data, r->len);
        }
    }
    r->in_frame = !frame_ends;
    if (message_ends) {
        r->message = 0;
    }
    return TBX_E_NONE;
}

/* Unmasks and takes a piece of the frame being read: as much of it as is in p[0..n). */
static tbx_code
take(tbx_ws_reader *r, uint8_t *p, size_t *n, tbx_ws_message *out)
{
    size_t some = r->left < *n ? (size_t)r->left : *n;
    *n = some;
    tbx_ws_mask(p, some, r->mask, 0);
    tbx_code code =
        tbx_ws_is_control(r->opcode) ? take_control(r, p, some, out) : take_data(r, p, some, out);
    if (r->in_frame) {
        uint32_t mask = tbx_ws_mask_key(r->mask, some);
        memcpy(r->mask, &mask, sizeof r->mask);
        r->left -= some;
    }
    return code;
}

ptrdiff_t
tbx_ws_reader_feed(tbx_ws_reader *r, uint8_t *p, size_t n, tbx_ws_message *out, tbx_err *err)
{
    put(out, 0, false, NULL, 0);
    if (r->failed != TBX_E_NONE) {
        return tbx_err_set(err, r->failed, 0);
    }
    if (r->taken) {
        drop_taken(r);
    }
    size_t i = 0;
    while (i < n && out->opcode == 0) {
        size_t at = i;
        tbx_code code = TBX_E_NONE;
        if (!r->in_frame) {
            tbx_ws_frame frame;
            ptrdiff_t got = read_head(r, p + i, n - i, &frame, err);
            if (got == TBX_MORE) {
                return (ptrdiff_t)n;
            }
            code = got < 0 ? err->code : begin_frame(r, &frame);
            i += got < 0 ? 0 : (size_t)got;
        }
        if (code == TBX_E_NONE) {
            size_t some = n - i;
            at = i;
            code = take(r, p + i, &some, out);
            i += some;
        }
        if (code != TBX_E_NONE) {
            end(r, code);
            return tbx_err_set(err, code, at);
        }
    }
    return (ptrdiff_t)i;
}

unsigned
tbx_ws_close_code(tbx_code code)
{
    switch (code) {
    case TBX_E_WS_UTF8:
        return 1007;
    case TBX_E_WS_TOO_BIG:
    case TBX_E_WS_FRAGMENTS:
        return 1009;
    case TBX_E_WS_RESERVED:
    case TBX_E_WS_OPCODE:
    case TBX_E_WS_MASK:
    case TBX_E_WS_CONTROL_PART:
    case TBX_E_WS_CONTROL_LONG:
    case TBX_E_WS_LENGTH:
    case TBX_E_WS_CONTINUATION:
    case TBX_E_WS_UNFINISHED:
    case TBX_E_WS_CLOSE_SHORT:
    case TBX_E_WS_CLOSE_CODE:
        return 1002;
    default:
        return 1011;
    }
}

/* True for the codes that a peer may send: those of RFC 6455 and of IANA's registry that are not
 * kept for the peer itself, and those for libraries and applications. */
static bool
may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

int
tbx_ws_close_parse(const uint8_t *data, size_t len, unsigned *code, tbx_err *err)
{
    if (len == 0) {
        *code = TBX_WS_NO_STATUS;
        return 0;
    }
    if (len == 1) {
        return tbx_err_set(err, TBX_E_WS_CLOSE_SHORT, 0);
    }
    unsigned sent = (unsigned)data[0] << 8 | data[1];
    if (!may_be_sent(sent)) {
        return tbx_err_set(err, TBX_E_WS_CLOSE_CODE, 0);
    }
    tbx_ws_utf8 utf8 = {0};
    if (!tbx_ws_utf8_feed(&utf8, data + 2, len - 2) || !tbx_ws_utf8_done(&utf8)) {
        return tbx_err_set(err, TBX_E_WS_UTF8, 2);
    }
    *code = sent;
    return 0;
}
