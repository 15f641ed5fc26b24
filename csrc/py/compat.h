/* compat.h: Python.h, and what differs between the versions that we build for (3.11 and later). */
#ifndef TBX_PY_COMPAT_H
#define TBX_PY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#if PY_VERSION_HEX < 0x030b0000
#error "toolboxsio needs Python 3.11 or later"
#endif

/* What str(n) says of a long integer that does not fit 64 bits; new reference. */
static inline PyObject *
tbx_long_repr(PyObject *number)
{
    return PyLong_Type.tp_repr(number);
}

/* What type(obj).__name__ is; borrowed from the type. */
static inline const char *
tbx_type_name(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) { /* in tp_name is its module, where C has made it */
        PyObject *own = ((PyHeapTypeObject *)type)->ht_name;
        return PyUnicode_IS_COMPACT_ASCII(own) ? (const char *)PyUnicode_1BYTE_DATA(own)
                                               : type->tp_name;
    }
    const char *dot = strrchr(type->tp_name, '.');
    return dot ? dot + 1 : type->tp_name;
}

/* The exception that is set, put aside while clean-up may run Python, and set again. */
#if PY_VERSION_HEX >= 0x030c0000
typedef PyObject *tbx_exc;

static inline tbx_exc
tbx_exc_save(void)
{
    return PyErr_GetRaisedException();
}

static inline void
tbx_exc_restore(tbx_exc saved)
{
    PyErr_SetRaisedException(saved);
}

/* The exception that is set, taken; new reference. */
static inline PyObject *
tbx_exc_take(void)
{
    return PyErr_GetRaisedException();
}

/* Sets what tbx_exc_take() gave, without a context of its own; steals it. */
static inline void
tbx_exc_put(PyObject *exc)
{
    PyErr_SetRaisedException(exc);
}
#else
typedef struct {
    PyObject *type, *value, *traceback; /* owned until restored */
} tbx_exc;

static inline tbx_exc
tbx_exc_save(void)
{
    tbx_exc saved;
    PyErr_Fetch(&saved.type, &saved.value, &saved.traceback);
    return saved;
}

static inline void
tbx_exc_restore(tbx_exc saved)
{
    PyErr_Restore(saved.type, saved.value, saved.traceback);
}

static inline PyObject *
tbx_exc_take(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

static inline void
tbx_exc_put(PyObject *exc)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
}
#endif

#endif
