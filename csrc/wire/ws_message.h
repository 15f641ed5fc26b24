/* ws_message.h: from the bytes of a WebSocket client to its messages and control frames.
 *
 * Spec: RFC 6455, sections 5.4 to 5.6, 7.4 and 8.1; errors are told as early as the bytes tell.
 * A frame that is whole in the input is handed out where it lies. All else is collected in memory
 * from malloc, never much more of it than has arrived, whatever length a header announces.
 * Owner: whoever called tbx_ws_reader_init, who calls tbx_ws_reader_free once.
 * Threads: one at a time.
 */
#ifndef TBX_WIRE_WS_MESSAGE_H
#define TBX_WIRE_WS_MESSAGE_H

#include "base/err.h"
#include "wire/ws_frame.h"
#include "wire/ws_utf8.h"

typedef struct {
    unsigned opcode; /* TBX_WS_TEXT, _BINARY, _CLOSE, _PING or _PONG; 0: no message yet */
    bool compressed; /* RSV1 of the first frame */
    uint8_t *data; /* the payload, unmasked and writable: in the input, or in the reader; good until
                      * the next call on the reader. Not NULL, even when empty. */
    size_t len;
} tbx_ws_message;

/* One for each idle client, so it is small. All fields are private. */
typedef struct {
    uint8_t *data; /* owned: what has arrived of a message, or NULL; data[0..len) of cap */
    size_t len;
    size_t cap;
    uint8_t *control;  /* owned: what has arrived of a control frame, or NULL */
    uint64_t left;     /* bytes that the frame being read still lacks; see tbx_ws_reader_met() */
    uint64_t max_size; /* of a message */
    uint32_t max_fragments;
    uint32_t fragments; /* of the message so far */
    tbx_code failed;
    bool allow_deflate;
    bool taken;      /* the last call handed out `data` or `control` */
    bool in_frame;   /* a frame is being read: the next four are about it */
    bool fin;        /* it is the last of its message */
    uint8_t opcode;  /* its own */
    uint8_t mask[4]; /* its key, the next byte's first */
    uint8_t control_len;
    uint8_t message; /* opcode of the message being read, or 0 */
    bool compressed; /* its RSV1 */
    tbx_ws_utf8 utf8;
    uint8_t head_len; /* bytes of a header that is not whole yet */
    uint8_t head[TBX_WS_CLIENT_HEAD_MAX];
} tbx_ws_reader;

/* A message of more than max_size bytes (sum of its fragments, as they are on the wire) is
 * TBX_E_WS_TOO_BIG, one of more than max_fragments frames (1: none may be fragmented)
 * TBX_E_WS_FRAGMENTS; the second is looked for first. allow_deflate: a
 * message may have RSV1 set, for permessage-deflate has been agreed on. */
void tbx_ws_reader_init(tbx_ws_reader *r, uint64_t max_size, uint32_t max_fragments,
                        bool allow_deflate);

/* Leaves a reader that has failed (TBX_E_WS_OVER, unless it had failed before). May be repeated. */
void tbx_ws_reader_free(tbx_ws_reader *r);

/* Reads from p[0..n), unmasking in place, to the end of at most one message or control frame.
 * Returns the bytes consumed, with out->opcode != 0 when there is one: what follows it in p is for
 * the next call. Without one the result is n: all that is needed has been kept. n == 0 returns 0.
 * TBX_BAD: err->pos is where the frame, or the piece of its payload, begins in p: from 0, when that
 * was before p, to n, when the piece is empty.
 * The reader stays failed: every later call, with n == 0 too, is TBX_BAD with the same code.
 * Text is valid UTF-8 unless compressed: then it is the caller's to check, once inflated. */
ptrdiff_t tbx_ws_reader_feed(tbx_ws_reader *r, uint8_t *p, size_t n, tbx_ws_message *out,
                             tbx_err *err);

/* After TBX_E_WS_TOO_BIG the bytes, after TBX_E_WS_FRAGMENTS the frames that were met. */
static inline uint64_t
tbx_ws_reader_met(const tbx_ws_reader *r)
{
    return r->left;
}

/* True when no frame or message is half read. */
bool tbx_ws_reader_is_idle(const tbx_ws_reader *r);

/* The close code that answers an error: 1002, 1007 or 1009; 1011 when it is not the client's. */
unsigned tbx_ws_close_code(tbx_code code);

#define TBX_WS_NO_STATUS 1005

/* Reads the payload of a CLOSE frame: *code is TBX_WS_NO_STATUS when it is empty; the reason is
 * data[2..len). 0, or TBX_BAD: one byte, a code that must not be on the wire, a reason that is not
 * UTF-8 (TBX_E_WS_UTF8). */
int tbx_ws_close_parse(const uint8_t *data, size_t len, unsigned *code, tbx_err *err);

#endif
