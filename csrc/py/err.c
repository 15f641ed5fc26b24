/* err.c: from tbx_err to a Python exception (contract in err.h). */
#include "py/err.h"

PyObject *
tbx_err_raise(TbxState *state, const tbx_err *err, PyObject *doc)
{
    const char *text = tbx_err_text(err->code);
    if (err->code == TBX_E_NOMEM) {
        return PyErr_NoMemory();
    }
    if (doc == NULL || err->code < TBX_E_JSON_VALUE || err->code > TBX_E_JSON_LAST) {
        PyErr_SetString(PyExc_ValueError, text);
        return NULL;
    }
    PyObject *exc =
        PyObject_CallFunction(state->JSONDecodeError, "sOn", text, doc, (Py_ssize_t)err->pos);
    if (exc != NULL) {
        PyErr_SetObject(state->JSONDecodeError, exc);
        Py_DECREF(exc);
    }
    return NULL;
}
