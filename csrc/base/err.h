/* err.h: how floors 0 and 1 report.
 *
 * A parser returns the bytes it consumed (> 0), TBX_MORE when the input ends too early, or TBX_BAD
 * with a tbx_err filled in. A tbx_err is a plain value: nothing to free, `pos` is a byte offset
 * into the input that the caller passed, and the text of a code comes from tbx_err_text().
 */
#ifndef TBX_BASE_ERR_H
#define TBX_BASE_ERR_H

#include <stddef.h>

#define TBX_MORE 0
#define TBX_BAD (-1)

typedef enum {
    TBX_E_NONE = 0,
    TBX_E_NOMEM,
    TBX_E_TOO_LONG,
    /* JSON: the words are those of CPython's json module, which users see and match on */
    TBX_E_JSON_VALUE,
    TBX_E_JSON_BOM,
    TBX_E_JSON_EXTRA,
    TBX_E_JSON_KEY,
    TBX_E_JSON_COLON,
    TBX_E_JSON_COMMA,
    TBX_E_JSON_TRAILING_OBJECT,
    TBX_E_JSON_TRAILING_ARRAY,
    TBX_E_JSON_UNTERMINATED,
    TBX_E_JSON_CONTROL,
    TBX_E_JSON_ESCAPE,
    TBX_E_JSON_HEX,
    TBX_E_JSON_LAST = TBX_E_JSON_HEX, /* codes from VALUE to here carry a position in a document */
    TBX_E_JSON_INT,
    TBX_E_JSON_DEPTH,
    /* Socket.IO packet */
    TBX_E_SIO_TYPE,
    TBX_E_SIO_ATTACHMENTS,
    TBX_E_SIO_ID,
    /* Engine.IO packet */
    TBX_E_EIO_EMPTY,
    TBX_E_EIO_TYPE,
    TBX_E_EIO_BASE64,
    /* WebSocket frames and messages */
    TBX_E_WS_RESERVED,
    TBX_E_WS_OPCODE,
    TBX_E_WS_MASK,
    TBX_E_WS_CONTROL_PART,
    TBX_E_WS_CONTROL_LONG,
    TBX_E_WS_LENGTH,
    TBX_E_WS_CONTINUATION,
    TBX_E_WS_UNFINISHED,
    TBX_E_WS_CLOSE_SHORT,
    TBX_E_WS_CLOSE_CODE,
    TBX_E_WS_UTF8,
    TBX_E_WS_TOO_BIG,
    TBX_E_WS_FRAGMENTS,
    TBX_E_WS_OVER,
    TBX_E_COUNT
} tbx_code;

typedef struct {
    tbx_code code;
    size_t pos;
} tbx_err;

/* The message of a code: static, never NULL. */
const char *tbx_err_text(tbx_code code);

/* Fills *err and returns TBX_BAD, so that a parser can `return tbx_err_set(…)`. */
static inline int
tbx_err_set(tbx_err *err, tbx_code code, size_t pos)
{
    err->code = code;
    err->pos = pos;
    return TBX_BAD;
}

#endif
