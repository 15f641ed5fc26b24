/* ack.h: the envelope of an acknowledgement, {"ok": …, fields in order …, "ts": now}. */
#ifndef TBX_CODEC_ACK_H
#define TBX_CODEC_ACK_H

#include "py/state.h"

/* The module's ack(ok, **fields): args as METH_FASTCALL | METH_KEYWORDS gives them. A new, plain
 * dict whose "ok" is the truth of the argument and whose "ts" is the time in UTC as
 * datetime.isoformat() writes it; TypeError when `ok` is missing or given twice. A field "ts" of
 * the caller's is overwritten. Escapes: the __bool__ of `ok`, before anything is made. */
PyObject *tbx_ack(TbxState *state, PyObject *const *args, Py_ssize_t n_args, PyObject *names);

#endif
