/* http.h: requests of sessions: from the bytes of an HTTP request to what engineio is told of it.
 *
 * An environ is what engineio hands to connect handlers: a dict in the way of WSGI.
 */
#ifndef TBX_HTTP_HTTP_H
#define TBX_HTTP_HTTP_H

#include "py/state.h"

/* Reads the request at `at`, when it is ordinary (wire/http_head.h), whole, and for a path that is
 * `prefix` or below it. A tuple: (where it ends, method, path, query as bytes, list of (name in lower
 * case, value) as bytes, body, whether the client wants the connection closed, None or (key, offered
 * extensions) of a WebSocket's handshake, None or (sid, whether no header but the two that follow changes the
 * answer to a poll, Origin or None, Host or None) of a session's usual GET or POST). None: it is left to the web server. NULL with an exception. */
PyObject *tbx_http_request(PyObject *data, Py_ssize_t at, PyObject *prefix);

/* Adds the headers from `start` to `stop` of a list of (name, value) to an environ. A header that is no
 * UTF-8 is left out. Values of a name that comes again are collected in `repeated`, a dict of lists. With
 * `shares`, names and values that many clients have in common become one object in the list, too. 0, or
 * -1 with an exception.
 * Mirrors: engineio.async_drivers.asgi.translate_request. */
int tbx_environ_add_headers(TbxState *state, PyObject *env, PyObject *headers, Py_ssize_t start,
                            Py_ssize_t stop, PyObject *repeated, bool shares);

#endif
