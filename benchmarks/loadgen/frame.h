/* frame.h: WebSocket frames as a client writes and reads them.
 *
 * Spec: RFC 6455, section 5. Written frames are whole messages with a mask; read frames come from a
 * server, so a mask, a reserved bit or a fragment is an error here.
 */
#ifndef LG_FRAME_H
#define LG_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LG_TEXT 0x1
#define LG_CLOSE 0x8
#define LG_PING 0x9
#define LG_PONG 0xa

#define LG_FRAME_HEAD_MAX 14

typedef struct {
    unsigned opcode;
    const uint8_t *payload; /* inside the bytes that were passed */
    size_t len;
} lg_frame;

/* Writes a masked frame to dst, which has room for LG_FRAME_HEAD_MAX + n bytes. payload may lie
 * in dst at LG_FRAME_HEAD_MAX or later. Returns the length of the frame. */
size_t lg_frame_put(uint8_t *dst, unsigned opcode, const uint8_t *payload, size_t n, uint32_t mask);

/* Reads one frame. Bytes consumed (> 0), 0 when the frame is not complete, -1 when it is wrong. */
ssize_t lg_frame_get(const uint8_t *p, size_t n, lg_frame *frame);

#endif
