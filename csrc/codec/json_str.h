/* json_str.h: one Python string as a JSON string.
 *
 * Mirrors: json.encoder.encode_basestring_ascii.
 */
#ifndef TBX_CODEC_JSON_STR_H
#define TBX_CODEC_JSON_STR_H

#include "base/buf.h"
#include "py/compat.h"

#define TBX_JSON_STR_ROOM 32 /* tbx_json_put_str leaves room for this much behind the string */

/* Appends str (or a subclass) in quotes. 0, or -1 when memory ran out (no exception is set).
 * No escapes. */
int tbx_json_put_str(tbx_buf *out, PyObject *str);

#endif
