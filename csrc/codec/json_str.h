/* json_str.h: one Python string as a JSON string.
 *
 * Mirrors: json.encoder.encode_basestring_ascii.
 */
#ifndef TBX_CODEC_JSON_STR_H
#define TBX_CODEC_JSON_STR_H

#include "base/buf.h"
#include "py/compat.h"
#include "wire/json_scan.h"

#define TBX_JSON_STR_ROOM 32 /* tbx_json_put_str leaves room for this much behind the string */

/* The parts of tbx_json_put_str that few strings need; not called directly. */
int tbx_json_put_str_slow(tbx_buf *out, PyObject *str, size_t run);

/* Appends str (or a subclass) in quotes. 0, or -1 when memory ran out (no exception is set).
 * No escapes. */
static inline int
tbx_json_put_str(tbx_buf *out, PyObject *str)
{
    if (!PyUnicode_IS_ASCII(str)) {
        return tbx_json_put_str_slow(out, str, 0);
    }
    size_t n = (size_t)PyUnicode_GET_LENGTH(str);
    if (tbx_buf_room(out, n + 2 + TBX_JSON_SLACK + TBX_JSON_STR_ROOM) < 0) {
        return -1;
    }
    uint8_t *dst = out->data + out->len;
    dst[0] = '"';
    size_t run = tbx_json_copy(dst + 1, PyUnicode_1BYTE_DATA(str), n);
    if (run < n) {
        return tbx_json_put_str_slow(out, str, run);
    }
    dst[n + 1] = '"';
    out->len += n + 2;
    return 0;
}

#endif
