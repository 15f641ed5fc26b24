/* binary.c: the three walks over values with bytes (contract in binary.h).
 *
 * Each recurses under the interpreter's own limit. A container is read through a list of its own
 * making or with its size read again at each step, and its items through strong references.
 */
#include "codec/binary.h"

#include <stdbool.h>

static bool
is_bytes(PyObject *obj)
{
    return PyBytes_Check(obj) || PyByteArray_Check(obj);
}

/* The items of a list as a list that is ours to read: new reference. */
static PyObject *
list_items(PyObject *list)
{
    return PyList_CheckExact(list) ? Py_NewRef(list) : PySequence_List(list);
}

static int
found_in_list(PyObject *data)
{
    PyObject *items = list_items(data);
    if (items == NULL) {
        return -1;
    }
    int found = 0;
    for (Py_ssize_t i = 0; found == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(items, i));
        found = tbx_binary_found(item);
        Py_DECREF(item);
    }
    Py_DECREF(items);
    return found;
}

static int
found_in_dict(PyObject *data)
{
    if (PyDict_CheckExact(data)) {
        Py_ssize_t pos = 0;
        PyObject *value;
        int found = 0;
        while (found == 0 && PyDict_Next(data, &pos, NULL, &value)) {
            Py_INCREF(value);
            found = tbx_binary_found(value);
            Py_DECREF(value);
        }
        return found;
    }
    PyObject *values = PyMapping_Values(data);
    if (values == NULL) {
        return -1;
    }
    int found = found_in_list(values);
    Py_DECREF(values);
    return found;
}

int
tbx_binary_found(PyObject *data)
{
    if (is_bytes(data)) {
        return 1;
    }
    bool is_list = PyList_Check(data);
    if (!is_list && !PyDict_Check(data)) {
        return 0;
    }
    if (Py_EnterRecursiveCall(" while looking for binary data")) {
        return -1;
    }
    int found = is_list ? found_in_list(data) : found_in_dict(data);
    Py_LeaveRecursiveCall();
    return found;
}

typedef PyObject *(*walk)(TbxState *, PyObject *, PyObject *);

static PyObject *
map_list(TbxState *state, PyObject *data, PyObject *attachments, walk step)
{
    PyObject *items = list_items(data);
    PyObject *result = items ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; result != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(items, i));
        PyObject *mapped = step(state, item, attachments);
        Py_DECREF(item);
        if (mapped == NULL || PyList_Append(result, mapped) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(mapped);
    }
    Py_XDECREF(items);
    return result;
}

static PyObject *
map_dict(TbxState *state, PyObject *data, PyObject *attachments, walk step)
{
    PyObject *items = PyMapping_Items(data);
    PyObject *result = items ? PyDict_New() : NULL;
    for (Py_ssize_t i = 0; result != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i); /* the list is ours alone */
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_ValueError, "items must return 2-tuples");
            Py_CLEAR(result);
            break;
        }
        PyObject *mapped = step(state, PyTuple_GET_ITEM(pair, 1), attachments);
        if (mapped == NULL || PyDict_SetItem(result, PyTuple_GET_ITEM(pair, 0), mapped) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(mapped);
    }
    Py_XDECREF(items);
    return result;
}

static PyObject *
map_value(TbxState *state, PyObject *data, PyObject *attachments, walk step)
{
    bool is_list = PyList_Check(data);
    if (!is_list && !PyDict_Check(data)) {
        return Py_NewRef(data);
    }
    if (Py_EnterRecursiveCall(" while copying binary data")) {
        return NULL;
    }
    PyObject *result = is_list ? map_list(state, data, attachments, step)
                               : map_dict(state, data, attachments, step);
    Py_LeaveRecursiveCall();
    return result;
}

PyObject *
tbx_binary_deconstruct(TbxState *state, PyObject *data, PyObject *attachments)
{
    if (!is_bytes(data)) {
        return map_value(state, data, attachments, tbx_binary_deconstruct);
    }
    Py_ssize_t index = PyList_GET_SIZE(attachments);
    if (PyList_Append(attachments, data) < 0) {
        return NULL;
    }
    PyObject *number = PyLong_FromSsize_t(index);
    PyObject *placeholder = number ? PyDict_New() : NULL;
    if (placeholder != NULL && (PyDict_SetItem(placeholder, state->str_placeholder, Py_True) < 0 ||
                                PyDict_SetItem(placeholder, state->str_num, number) < 0)) {
        Py_CLEAR(placeholder);
    }
    Py_XDECREF(number);
    return placeholder;
}

/* 1 when the dict stands for an attachment, and then *number is a new reference; 0; -1. */
static int
placeholder_number(TbxState *state, PyObject *dict, PyObject **number)
{
    PyObject *mark = PyDict_GetItemWithError(dict, state->str_placeholder);
    if (mark == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(mark);
    int truth = PyObject_IsTrue(mark);
    Py_DECREF(mark);
    if (truth <= 0) {
        return truth;
    }
    *number = PyDict_GetItemWithError(dict, state->str_num);
    if (*number == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(*number);
    return 1;
}

static PyObject *
attachment_at(PyObject *attachments, PyObject *number)
{
    int overflow = 0;
    long long index = -1;
    if (PyLong_CheckExact(number)) {
        index = PyLong_AsLongLongAndOverflow(number, &overflow);
    }
    if (overflow != 0 || index < 0 || index >= PyList_GET_SIZE(attachments)) {
        PyErr_SetString(PyExc_ValueError, "invalid placeholder");
        return NULL;
    }
    return Py_NewRef(PyList_GET_ITEM(attachments, (Py_ssize_t)index));
}

PyObject *
tbx_binary_reconstruct(TbxState *state, PyObject *data, PyObject *attachments)
{
    if (PyDict_Check(data)) {
        PyObject *number;
        int found = placeholder_number(state, data, &number);
        if (found < 0) {
            return NULL;
        }
        if (found) {
            PyObject *attachment = attachment_at(attachments, number);
            Py_DECREF(number);
            return attachment;
        }
    }
    return map_value(state, data, attachments, tbx_binary_reconstruct);
}
