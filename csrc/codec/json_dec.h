/* json_dec.h: JSON text to Python objects.
 *
 * Mirrors: engineio.json.loads (json.loads with a limit of 100 characters on integers). One
 * difference on purpose: nesting beyond max_depth is a ValueError, and no input recurses in C.
 */
#ifndef TBX_CODEC_JSON_DEC_H
#define TBX_CODEC_JSON_DEC_H

#include "base/err.h"
#include "py/state.h"

#define TBX_JSON_MAX_INT 100 /* characters of an integer, its sign included */

/* The text of a str as UTF-8 (lone surrogates encoded like other characters). */
typedef struct {
    const uint8_t *text; /* borrowed from the str or from `keep` */
    size_t len;
    PyObject *keep; /* owned; NULL where the str itself holds the text */
} tbx_text;

/* 0, or -1 with an exception. tbx_text_close afterwards; the str must outlive it. No escapes. */
int tbx_text_open(PyObject *str, tbx_text *text);

static inline void
tbx_text_close(tbx_text *text)
{
    Py_CLEAR(text->keep);
}

/* One JSON document in valid UTF-8. New reference; NULL either with an exception (no memory, and
 * then err->code is TBX_E_NONE) or with *err, whose pos counts bytes. Escapes: containers are
 * allocated, so a collection may run Python; nothing of the caller's is touched. */
PyObject *tbx_json_decode(TbxState *state, const uint8_t *text, size_t n, Py_ssize_t max_depth,
                          tbx_err *err);

/* The JSON document from byte `start` on of the text of `str`. New reference, or NULL with an
 * exception, whose doc is the part of the str that was read. Escapes. */
PyObject *tbx_json_decode_str(TbxState *state, PyObject *str, const tbx_text *text, size_t start,
                              Py_ssize_t max_depth);

/* What loads(doc) gives for str, bytes and bytearray; TypeError for others. Escapes. */
PyObject *tbx_json_loads(TbxState *state, PyObject *doc, Py_ssize_t max_depth);

#endif
