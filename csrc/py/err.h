/* err.h: the one place where an error of floors 0 and 1 becomes an exception. */
#ifndef TBX_PY_ERR_H
#define TBX_PY_ERR_H

#include "base/err.h"
#include "py/state.h"

/* Raises what err stands for: MemoryError, json.JSONDecodeError (msg, doc, pos) for a JSON text
 * that does not parse, ValueError else. `doc` is the JSON text, a str, and may be NULL where no
 * JSON was read; err->pos is then ignored, else it counts characters of doc. Always returns NULL. */
PyObject *tbx_err_raise(TbxState *state, const tbx_err *err, PyObject *doc);

#endif
