/* ws_utf8.h: strict UTF-8, checked piece by piece as it arrives.
 *
 * Spec: RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF. Invalid text is refused
 * at the first byte that cannot continue it, not at the end of the character.
 */
#ifndef TBX_WIRE_WS_UTF8_H
#define TBX_WIRE_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: at the boundary of a character. */
typedef struct {
    uint8_t need; /* bytes that the character still lacks */
    uint8_t low;  /* the next of them is from low to high; meaningless when need is 0 */
    uint8_t high;
} tbx_ws_utf8;

/* False: invalid, and the state is of no use any more. */
bool tbx_ws_utf8_feed(tbx_ws_utf8 *s, const uint8_t *p, size_t n);

/* True at the boundary of a character, where a text may end. */
static inline bool
tbx_ws_utf8_done(const tbx_ws_utf8 *s)
{
    return s->need == 0;
}

#endif
