/* request.c: an HTTP request of a session as Python objects (contract in http.h). */
#include "http/http.h"

#include <string.h>

#include "wire/http_head.h"

static PyObject *
text_of(tbx_http_span span)
{
    return PyUnicode_FromStringAndSize((const char *)span.p, (Py_ssize_t)span.len);
}

static PyObject *
bytes_of(tbx_http_span span)
{
    return PyBytes_FromStringAndSize((const char *)span.p, (Py_ssize_t)span.len);
}

static PyObject *
lower_bytes_of(tbx_http_span span)
{
    PyObject *bytes = bytes_of(span);
    if (bytes != NULL) {
        char *p = PyBytes_AS_STRING(bytes);
        for (size_t i = 0; i < span.len; i++) {
            p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
        }
    }
    return bytes;
}

static PyObject *
headers_of(const tbx_http_head *head)
{
    PyObject *headers = PyList_New((Py_ssize_t)head->n_fields);
    for (size_t i = 0; headers != NULL && i < head->n_fields; i++) {
        PyObject *name = lower_bytes_of(head->fields[i].name);
        PyObject *value = bytes_of(head->fields[i].value);
        PyObject *pair = name && value ? PyTuple_Pack(2, name, value) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (pair == NULL) {
            Py_CLEAR(headers);
        }
        else {
            PyList_SET_ITEM(headers, (Py_ssize_t)i, pair);
        }
    }
    return headers;
}

/* Whether a path is `prefix`, or below it. */
static bool
is_below(tbx_http_span path, PyObject *prefix)
{
    size_t len = (size_t)PyBytes_GET_SIZE(prefix);
    return path.len >= len && memcmp(path.p, PyBytes_AS_STRING(prefix), len) == 0 &&
           (path.len == len || path.p[len] == '/');
}

PyObject *
tbx_http_request(PyObject *data, Py_ssize_t at, PyObject *prefix)
{
    static const char *const methods[] = {"GET", "POST", "OPTIONS"};
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(data) + at;
    size_t n = (size_t)(PyBytes_GET_SIZE(data) - at);
    tbx_http_head head;
    size_t size = tbx_http_head_parse(p, n, &head);
    if (size == 0 || head.length > n - size || !is_below(head.path, prefix)) {
        Py_RETURN_NONE;
    }
    tbx_http_span body = {p + size, (size_t)head.length};
    PyObject *websocket = head.is_websocket ? Py_BuildValue("(NN)", bytes_of(head.websocket_key),
                                                            bytes_of(head.websocket_offer))
                                            : Py_NewRef(Py_None);
    if (websocket == NULL) {
        return NULL;
    }
    return Py_BuildValue("(nsNNNNNN)", at + (Py_ssize_t)(size + body.len), methods[head.method],
                         text_of(head.path), bytes_of(head.query), headers_of(&head),
                         bytes_of(body), PyBool_FromLong(head.closes), websocket);
}
