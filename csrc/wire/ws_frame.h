/* ws_frame.h: the header of a WebSocket frame: read as a client sends it, written as a server does.
 *
 * Spec: RFC 6455, section 5.2; RSV1 as permessage-deflate uses it, RFC 7692, section 6.
 * Nothing is owned, nothing allocates, the payload is not looked at.
 */
#ifndef TBX_WIRE_WS_FRAME_H
#define TBX_WIRE_WS_FRAME_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TBX_WS_CONT = 0,
    TBX_WS_TEXT = 1,
    TBX_WS_BINARY = 2,
    TBX_WS_CLOSE = 8,
    TBX_WS_PING = 9,
    TBX_WS_PONG = 10,
};

#define TBX_WS_CONTROL_MAX 125    /* payload of a control frame */
#define TBX_WS_CLIENT_HEAD_MAX 14 /* header of a client's frame */
#define TBX_WS_HEAD_MAX 10        /* header of a server's frame */

typedef struct {
    unsigned opcode; /* one of the six */
    bool fin;
    bool rsv1;
    uint8_t mask[4];
    uint64_t len; /* of the payload; the top bit is clear */
} tbx_ws_frame;

/* Reads a client's frame header. Returns the bytes consumed (6 to 14), after which *out is whole,
 * or TBX_MORE, or TBX_BAD as early as the bytes tell: reserved bits (RSV1 passes if allow_rsv1, on
 * TEXT and BINARY alone), unknown opcode, no mask, control frame fragmented or of more than 125
 * bytes, length not in its shortest form or with the top bit of 64. err->pos is where in the header
 * the wrong field begins. */
ptrdiff_t tbx_ws_frame_parse(const uint8_t *p, size_t n, bool allow_rsv1, tbx_ws_frame *out,
                             tbx_err *err);

static inline bool
tbx_ws_is_control(unsigned opcode)
{
    return opcode >= TBX_WS_CLOSE;
}

/* Writes the header of an unmasked, final frame and returns its length: 2, 4 or 10. */
size_t tbx_ws_frame_put(uint8_t dst[TBX_WS_HEAD_MAX], unsigned opcode, bool rsv1, uint64_t len);

#endif
