/* ack.c: making the envelope (contract in ack.h). */
#include "codec/ack.h"

#include "base/clock.h"

/* Reads the positional and the keyword `ok`. 0, or -1 with TypeError. */
static int
find_ok(TbxState *state, PyObject *const *args, Py_ssize_t n_args, PyObject *names, PyObject **ok)
{
    *ok = n_args == 1 ? args[0] : NULL;
    if (n_args > 1) {
        PyErr_Format(PyExc_TypeError, "ack() takes 1 positional argument but %zd were given",
                     n_args);
        return -1;
    }
    Py_ssize_t n_names = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < n_names; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (name == state->str_ok || PyUnicode_Compare(name, state->str_ok) == 0) {
            if (*ok != NULL) {
                PyErr_SetString(PyExc_TypeError, "ack() got multiple values for argument 'ok'");
                return -1;
            }
            *ok = args[n_args + i];
        }
    }
    if (*ok == NULL) {
        PyErr_SetString(PyExc_TypeError, "ack() missing 1 required positional argument: 'ok'");
        return -1;
    }
    return 0;
}

PyObject *
tbx_ack(TbxState *state, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    PyObject *ok;
    if (find_ok(state, args, n_args, names, &ok) < 0) {
        return NULL;
    }
    int truth = PyObject_IsTrue(ok);
    if (truth < 0) {
        return NULL;
    }
    char text[TBX_CLOCK_MAX];
    size_t len = tbx_clock_put_iso8601(text, tbx_clock_now_us());
    Py_ssize_t n_names = names ? PyTuple_GET_SIZE(names) : 0;
    PyObject *ts = PyUnicode_FromStringAndSize(text, (Py_ssize_t)len);
    PyObject *envelope = ts ? PyDict_New() : NULL;
    if (envelope == NULL ||
        PyDict_SetItem(envelope, state->str_ok, truth ? Py_True : Py_False) < 0) {
        goto error;
    }
    for (Py_ssize_t i = 0; i < n_names; i++) {
        if (n_args == 0 && PyUnicode_Compare(PyTuple_GET_ITEM(names, i), state->str_ok) == 0) {
            continue;
        }
        if (PyDict_SetItem(envelope, PyTuple_GET_ITEM(names, i), args[n_args + i]) < 0) {
            goto error;
        }
    }
    if (PyDict_SetItem(envelope, state->str_ts, ts) < 0) {
        goto error;
    }
    Py_DECREF(ts);
    return envelope;
error:
    Py_XDECREF(envelope);
    Py_XDECREF(ts);
    return NULL;
}
