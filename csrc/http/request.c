/* request.c: an HTTP request of a session as Python objects (contract in http.h). */
#include "http/http.h"

#include <string.h>

#include "wire/eio.h"
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

static bool
is_ascii(tbx_http_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* Whether a header changes what is answered to a session that polls. */
static bool
matters(const tbx_http_field *field)
{
    static const char forwarded[] = "x-forwarded-", control[] = "access-control-";
    size_t n = sizeof forwarded - 1, m = sizeof control - 1;
    tbx_http_span name = field->name;
    return (name.len > n && tbx_http_is_word((tbx_http_span){name.p, n}, forwarded)) ||
           (name.len > m && tbx_http_is_word((tbx_http_span){name.p, m}, control));
}

/* (sid, whether no header matters but the two that follow, Origin or None, Host or None) of the usual request
 * of a session; None: it is another request. */
static PyObject *
session_of(const tbx_http_head *head)
{
    tbx_eio_query query;
    if (!tbx_eio_query_parse(head->query.p, head->query.len, &query) ||
        head->method == TBX_HTTP_OPTIONS || query.is_websocket != head->is_websocket) {
        Py_RETURN_NONE;
    }
    bool is_plain = true;
    tbx_http_span origin = {NULL, 0}, host = {NULL, 0};
    for (size_t i = 0; i < head->n_fields; i++) {
        const tbx_http_field *field = &head->fields[i];
        tbx_http_span *kept = tbx_http_is_word(field->name, "origin") ? &origin
                              : tbx_http_is_word(field->name, "host") ? &host
                                                                      : NULL;
        is_plain = is_plain && !matters(field) && (kept == NULL || kept->p == NULL);
        if (kept != NULL) {
            *kept = field->value;
        }
    }
    is_plain = is_plain && is_ascii(origin) && is_ascii(host);
    PyObject *sid = text_of((tbx_http_span){query.sid, query.sid_len});
    PyObject *origin_text = is_plain && origin.p != NULL ? text_of(origin) : Py_NewRef(Py_None);
    PyObject *host_text = is_plain && host.p != NULL ? text_of(host) : Py_NewRef(Py_None);
    return Py_BuildValue("(NNNN)", sid, PyBool_FromLong(is_plain), origin_text, host_text);
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
    return Py_BuildValue("(nsNNNNNNN)", at + (Py_ssize_t)(size + body.len), methods[head.method],
                         text_of(head.path), bytes_of(head.query), headers_of(&head),
                         bytes_of(body), PyBool_FromLong(head.closes), websocket,
                         session_of(&head));
}
