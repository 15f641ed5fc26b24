/* json_enc.h: Python objects to JSON text.
 *
 * Mirrors: json.dumps(obj, separators=(",", ":")), byte for byte; the result is ASCII.
 * Differences on purpose: nesting beyond max_depth is a ValueError instead of a RecursionError,
 * and an exact dict that a hook resizes while it is written is a RuntimeError.
 */
#ifndef TBX_CODEC_JSON_ENC_H
#define TBX_CODEC_JSON_ENC_H

#include "base/buf.h"
#include "py/state.h"

typedef struct {
    PyObject *json_default; /* borrowed; called for what JSON does not know; NULL or None: none */
    Py_ssize_t max_depth;   /* of containers and of json_default within itself */
    PyObject *attachments;  /* borrowed list, or NULL. When given, a bytes or bytearray that is
                              * the value, or is reached through lists and dicts alone, is appended
                              * and a placeholder written: what Packet.deconstruct_binary does */
} tbx_json_enc_options;

/* Appends the JSON of obj. 0, or -1 with an exception and an undefined tail in `out`.
 * Escapes: json_default, the items() or iterator of a subclass, and the digits of an integer
 * beyond 64 bits. `out` must be the caller's alone; obj needs a reference that outlives the call. */
int tbx_json_encode(TbxState *state, tbx_buf *out, PyObject *obj,
                    const tbx_json_enc_options *options);

/* A str of the n ASCII bytes. */
PyObject *tbx_ascii_str(const uint8_t *text, size_t n);

/* What dumps(obj) gives; new reference or NULL. Escapes as tbx_json_encode. */
PyObject *tbx_json_dumps(TbxState *state, PyObject *obj, PyObject *json_default,
                         Py_ssize_t max_depth);

#endif
