/* conn_asgi.c: messages in and out where the connection is an ASGI server's (contract in conn.h).
 *
 * What waits for the client stands in `outbox`, from `sent` on; one message is being sent at a time.
 * Spec: ASGI, WebSocket, the events websocket.receive and websocket.send.
 */
#include "conn/conn.h"

/* One message in C, if it may: 1, 0 or -1. */
static int
handle_message(TbxConnObject *conn, PyObject *message)
{
    bool is_text = PyUnicode_Check(message);
    Py_ssize_t len = is_text ? 0 : PyBytes_GET_SIZE(message);
    const char *data =
        is_text ? PyUnicode_AsUTF8AndSize(message, &len) : PyBytes_AS_STRING(message);
    if (data == NULL) { /* lone surrogates */
        PyErr_Clear();
        return 0;
    }
    bool was_parsing = conn->parsing;
    conn->parsing = true;
    conn->message_bytes = len;
    int handled = 0;
    if (len <= conn->max_size) {
        uint64_t began = tbx_clock_monotonic_ns();
        handled = tbx_conn_packet(conn, is_text, (const uint8_t *)data, (size_t)len);
        tbx_conn_charge(conn, tbx_clock_monotonic_ns() - began);
    }
    conn->parsing = was_parsing;
    return handled;
}

#define SENT_MAX 32 /* messages that are sent, before they are taken out of the outbox */

/* Bytes of a message of the outbox. */
static size_t
size_of(PyObject *message)
{
    Py_ssize_t len = 0;
    if (PyBytes_Check(message)) {
        return (size_t)PyBytes_GET_SIZE(message);
    }
    if (PyUnicode_AsUTF8AndSize(message, &len) == NULL) { /* it was, when it was put */
        PyErr_Clear();
        return 0;
    }
    return (size_t)len;
}

static bool
has_message(const TbxConnObject *conn)
{
    return conn->outbox != NULL && conn->sent < PyList_GET_SIZE(conn->outbox);
}

PyObject *
tbx_conn_next_message(TbxConnObject *conn)
{
    TbxState *state = conn->hub->state;
    PyObject *event = NULL;
    if (has_message(conn) && (event = PyDict_New()) == NULL) {
        return NULL;
    }
    if (!has_message(conn)) { /* still: to make a dict may collect, and end the connection */
        Py_XDECREF(event);
        conn->draining = false;
        tbx_conn_caught_up(conn);
        conn->sent = 0;
        conn->out_len = 0;
        if (conn->outbox != NULL &&
            PyList_SetSlice(conn->outbox, 0, PyList_GET_SIZE(conn->outbox), NULL) < 0) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    PyObject *message = PyList_GET_ITEM(conn->outbox, conn->sent);
    size_t len = size_of(message);
    bool is_text = PyUnicode_Check(message);
    if (PyDict_SetItem(event, state->str_type, state->str_websocket_send) < 0 ||
        PyDict_SetItem(event, state->str_bytes, is_text ? Py_None : message) < 0 ||
        PyDict_SetItem(event, state->str_text, is_text ? message : Py_None) < 0) {
        Py_DECREF(event);
        return NULL;
    }
    conn->sent++; /* it is the server's now, and waits here no more */
    conn->out_len -= len < conn->out_len ? len : conn->out_len;
    conn->draining = true;
    if (conn->sent >= SENT_MAX && conn->sent > PyList_GET_SIZE(conn->outbox) / 2) {
        if (PyList_SetSlice(conn->outbox, 0, conn->sent, NULL) < 0) {
            Py_DECREF(event);
            return NULL;
        }
        conn->sent = 0;
    }
    return event;
}

PyObject *
tbx_conn_feed(TbxConnObject *conn, PyObject *event)
{
    TbxState *state = conn->hub->state;
    if (!PyDict_CheckExact(event)) {
        Py_RETURN_FALSE;
    }
    PyObject *type = PyDict_GetItemWithError(event, state->str_type);
    PyObject *message = PyDict_GetItemWithError(event, state->str_text);
    if (message == NULL || message == Py_None) {
        message = PyDict_GetItemWithError(event, state->str_bytes);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    conn->heard = true;
    if (type == NULL || message == NULL || !PyUnicode_Check(type) ||
        PyUnicode_Compare(type, state->str_websocket_receive) != 0) {
        Py_RETURN_FALSE;
    }
    bool is_one = PyUnicode_Check(message) ? PyUnicode_GET_LENGTH(message) <= conn->max_size
                                           : PyBytes_Check(message);
    if (!is_one) {
        Py_RETURN_FALSE;
    }
    Py_INCREF(message);
    int handled = handle_message(conn, message);
    Py_DECREF(message);
    if (handled <= 0) {
        return handled < 0 ? NULL : Py_NewRef(Py_False);
    }
    if (conn->awaited != NULL) {
        PyObject *awaited = conn->awaited;
        conn->awaited = NULL;
        return awaited;
    }
    if (conn->draining) { /* nobody has looked while it was handled */
        tbx_conn_check_backlog(conn);
    }
    if (tbx_conn_is_spent(conn)) {
        tbx_conn_await_turn(conn);
    }
    if (conn->busy || conn->awaits_turn || tbx_conn_has_posts(conn) || tbx_conn_is_full(conn)) {
        Py_RETURN_TRUE;
    }
    if (conn->draining || conn->outbox == NULL || PyList_GET_SIZE(conn->outbox) == 0) {
        Py_RETURN_NONE;
    }
    return tbx_conn_next_message(conn);
}

PyObject *
tbx_conn_meth_attach_messages(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = (TbxConnObject *)self;
    if (conn->path != TBX_PATH_POLLING || conn->state == TBX_STATE_OVER) {
        PyErr_SetString(PyExc_RuntimeError, "the connection cannot be attached");
        return NULL;
    }
    PyObject *outbox = PyList_New(0);
    if (outbox == NULL) {
        return NULL;
    }
    if (conn->outbox == NULL) { /* else what waited for a poll is sent now */
        conn->outbox = outbox;
    }
    else {
        Py_DECREF(outbox);
    }
    conn->path = TBX_PATH_ASGI;
    conn->is_slow = conn->is_polled = false;
    Py_CLEAR(conn->context);
    if (PyList_GET_SIZE(conn->outbox) > 0) {
        tbx_conn_has_output(conn);
    }
    Py_RETURN_NONE;
}
