/* environ.c: the headers of a request in an environ (contract in http.h).
 *
 * What clients have in common is kept once: the tables `header_names`, from a name to (itself, its key in
 * an environ, whether values are shared), and `header_values`, from a value to (itself, its text).
 */
#include "http/http.h"

#include <string.h>

#include "wire/http_head.h"

#define MAX_SHARED 512       /* entries of a table: a full one is emptied */
#define MAX_SHARED_BYTES 512 /* of a name or a value */

/* Headers whose values many clients have in common, and nobody has to keep to himself. */
static const char *const common[] = {
    "host",
    "connection",
    "upgrade",
    "origin",
    "user-agent",
    "pragma",
    "cache-control",
    "accept",
    "accept-encoding",
    "accept-language",
    "sec-websocket-version",
    "sec-websocket-extensions",
};

static bool
is_named(PyObject *name, const char *word)
{
    tbx_http_span text = {(const uint8_t *)PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name)};
    return tbx_http_is_word(text, word);
}

static bool
is_common(PyObject *name)
{
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
        if (is_named(name, common[i])) {
            return true;
        }
    }
    return false;
}

/* Text of UTF-8; None when it is none. */
static PyObject *
decode(const char *p, Py_ssize_t n)
{
    PyObject *text = PyUnicode_DecodeUTF8(p, n, NULL);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return text;
}

/* The key of a header: HTTP_ and its name in capitals; None when that is no UTF-8. */
static PyObject *
key_of(PyObject *name)
{
    static const char prefix[] = "HTTP_";
    Py_ssize_t n = PyBytes_GET_SIZE(name), before = (Py_ssize_t)sizeof prefix - 1;
    PyObject *raw = PyBytes_FromStringAndSize(NULL, before + n);
    if (raw == NULL) {
        return NULL;
    }
    char *key = PyBytes_AS_STRING(raw);
    memcpy(key, prefix, (size_t)before);
    for (Py_ssize_t i = 0; i < n; i++) {
        char c = PyBytes_AS_STRING(name)[i];
        key[before + i] = c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c == '-' ? '_' : c;
    }
    bool is_own = is_named(name, "content-type") || is_named(name, "content-length");
    PyObject *text = is_own ? decode(key + before, n) : decode(key, before + n);
    Py_DECREF(raw);
    return text;
}

/* Puts an entry into a table unless its key is too long; steals the entry, gives it back. */
static PyObject *
keep(PyObject *table, PyObject *raw, PyObject *entry)
{
    if (entry == NULL || PyBytes_GET_SIZE(raw) > MAX_SHARED_BYTES) {
        return entry;
    }
    if (PyDict_GET_SIZE(table) >= MAX_SHARED) {
        PyDict_Clear(table);
    }
    if (PyDict_SetItem(table, raw, entry) < 0) {
        Py_DECREF(entry);
        return NULL;
    }
    return entry;
}

/* (the name, its key or None, whether values are shared); new reference. */
static PyObject *
name_entry(TbxState *state, PyObject *name)
{
    PyObject *entry = PyDict_GetItemWithError(state->header_names, name);
    if (entry != NULL || PyErr_Occurred()) {
        return Py_XNewRef(entry);
    }
    PyObject *key = key_of(name);
    entry = key ? PyTuple_Pack(3, name, key, is_common(name) ? Py_True : Py_False) : NULL;
    Py_XDECREF(key);
    return keep(state->header_names, name, entry);
}

/* (the value, its text or None); new reference. */
static PyObject *
value_entry(TbxState *state, PyObject *value, bool shares)
{
    if (shares) {
        PyObject *entry = PyDict_GetItemWithError(state->header_values, value);
        if (entry != NULL || PyErr_Occurred()) {
            return Py_XNewRef(entry);
        }
    }
    PyObject *text = decode(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
    PyObject *entry = text ? PyTuple_Pack(2, value, text) : NULL;
    Py_XDECREF(text);
    return shares ? keep(state->header_values, value, entry) : entry;
}

/* A header whose key is in the environ already. */
static int
put_repeated(PyObject *env, PyObject *repeated, PyObject *key, PyObject *text)
{
    PyObject *texts = PyDict_GetItemWithError(repeated, key);
    if (texts != NULL) {
        return PyList_Append(texts, text);
    }
    PyObject *before = PyErr_Occurred() ? NULL : PyDict_GetItemWithError(env, key);
    Py_XINCREF(before); /* a list may be collected for */
    texts = before ? Py_BuildValue("[NO]", before, text) : NULL;
    int status = texts ? PyDict_SetItem(repeated, key, texts) : -1;
    Py_XDECREF(texts);
    return status;
}

static int
put_header(PyObject *env, PyObject *repeated, PyObject *key, PyObject *text)
{
    if (key == Py_None || text == Py_None) {
        return 0;
    }
    int is_there = PyDict_Contains(env, key);
    bool is_header = PyUnicode_READ_CHAR(key, 0) == 'H'; /* not CONTENT_TYPE, CONTENT_LENGTH */
    if (is_there > 0 && is_header) {
        return put_repeated(env, repeated, key, text);
    }
    return is_there < 0 ? -1 : PyDict_SetItem(env, key, text);
}

/* One header of the list. */
static int
add_header(TbxState *state, PyObject *env, PyObject *headers, Py_ssize_t i, PyObject *repeated,
           bool shares)
{
    PyObject *name, *value, *item = Py_NewRef(PyList_GET_ITEM(headers, i));
    PyObject *pair = PySequence_Tuple(item); /* which may iterate over it in Python */
    Py_DECREF(item);
    if (pair == NULL) {
        return -1;
    }
    if (!PyArg_ParseTuple(pair, "SS;a header is (name, value), both of them bytes", &name,
                          &value)) {
        Py_DECREF(pair);
        return -1;
    }
    PyObject *by_name = name_entry(state, name);
    PyObject *by_value =
        by_name ? value_entry(state, value, PyTuple_GET_ITEM(by_name, 2) == Py_True) : NULL;
    int status = -1;
    if (by_value != NULL) {
        PyObject *raw_name = PyTuple_GET_ITEM(by_name, 0);
        PyObject *raw_value = PyTuple_GET_ITEM(by_value, 0);
        status =
            put_header(env, repeated, PyTuple_GET_ITEM(by_name, 1), PyTuple_GET_ITEM(by_value, 1));
        if (status == 0 && shares && (raw_name != name || raw_value != value)) {
            PyObject *own = PyTuple_Pack(2, raw_name, raw_value);
            status = own ? PyList_SetItem(headers, i, own) : -1; /* refuses an index that is gone */
        }
    }
    Py_XDECREF(by_name);
    Py_XDECREF(by_value);
    Py_DECREF(pair);
    return status;
}

int
tbx_environ_add_headers(TbxState *state, PyObject *env, PyObject *headers, Py_ssize_t start,
                        Py_ssize_t stop, PyObject *repeated, bool shares)
{
    for (Py_ssize_t i = start; i < stop && i < PyList_GET_SIZE(headers); i++) {
        if (add_header(state, env, headers, i, repeated, shares) < 0) {
            return -1;
        }
    }
    return 0;
}
