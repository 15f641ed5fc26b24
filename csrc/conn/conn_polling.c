/* conn_polling.c: messages in and out where a session has no WebSocket (contract in conn.h).
 *
 * A POST brings a payload of several packets. It stands in `posts` until all of them are handled, or the
 * session is over; then who waits for that is told. What waits for the client stands in `outbox`: a GET
 * takes all of it, or is told when there is something (`is_polled`).
 * Spec: Engine.IO, revision 4, "Payload".
 */
#include "conn/conn.h"

#include "wire/eio.h"

/* ---- POSTs ---- */

/* Whether so many bytes more may wait: a client sends one POST at a time, but need not. */
static bool
has_place(const TbxConnObject *conn, Py_ssize_t n)
{
    Py_ssize_t max = conn->max_size > TBX_HELD_MAX ? conn->max_size : TBX_HELD_MAX;
    Py_ssize_t count = tbx_conn_has_posts(conn) ? PyList_GET_SIZE(conn->posts) : 0;
    Py_ssize_t waiting = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        waiting += PyBytes_GET_SIZE(PyTuple_GET_ITEM(PyList_GET_ITEM(conn->posts, i), 0));
    }
    return count == 0 || (count < TBX_POSTS_MAX && waiting + n <= max);
}

/* Queues the body of a POST whose packets are known to be good; `post` is told when they are handled. 0 or
 * -1 with an exception. Escapes. */
static int
hand_in(TbxConnObject *conn, PyObject *payload, PyObject *post)
{
    PyObject *context = PyContext_CopyCurrent(); /* of the request, for handlers */
    PyObject *entry = context != NULL ? PyTuple_Pack(3, payload, post, context) : NULL;
    Py_XDECREF(context);
    if (entry != NULL && conn->posts == NULL) {
        PyObject *posts = PyList_New(0);
        if (conn->posts == NULL) { /* still: that may have collected */
            conn->posts = posts;
        }
        else {
            Py_XDECREF(posts);
        }
    }
    int status = entry != NULL && conn->posts != NULL ? PyList_Append(conn->posts, entry) : -1;
    Py_XDECREF(entry);
    if (status < 0) {
        return -1;
    }
    bool must_wait = conn->parsing || conn->busy || conn->awaits_turn;
    return must_wait ? 0 : tbx_conn_go_on(conn);
}

/* The bytes of one packet, which are usual or were looked at by Python. 0, or -1 with an exception. Escapes. */
static int
handle_packet(TbxConnObject *conn, const uint8_t *p, size_t n)
{
    if (n == 0 || p[0] != 'b') {
        return tbx_conn_message(conn, true, p, n);
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((n - 1) / 4 * 3));
    if (data == NULL) {
        return -1;
    }
    tbx_err err;
    ptrdiff_t len = tbx_base64_decode(p + 1, n - 1, (uint8_t *)PyBytes_AS_STRING(data), &err);
    int status =
        len == TBX_BAD
            ? tbx_conn_lane(conn, true, p, n) /* base64 that Python reads in its way */
            : tbx_conn_message(conn, false, (const uint8_t *)PyBytes_AS_STRING(data), (size_t)len);
    Py_DECREF(data);
    return status;
}

/* The first payload is through: who waits is told. Escapes. */
static void
finish(TbxConnObject *conn)
{
    PyObject *entry = Py_NewRef(PyList_GET_ITEM(conn->posts, 0));
    conn->post_at = 0;
    if (PyList_SetSlice(conn->posts, 0, 1, NULL) < 0) {
        PyErr_WriteUnraisable((PyObject *)conn);
        Py_CLEAR(conn->posts); /* nobody of them is told, but none twice */
    }
    PyObject *done = tbx_call_python(conn->hub->state, PyTuple_GET_ITEM(entry, 1), TBX_PY_POSTED);
    if (done == NULL) {
        PyErr_WriteUnraisable((PyObject *)conn);
    }
    Py_XDECREF(done);
    Py_DECREF(entry);
    if (conn->path == TBX_PATH_POLLING && !tbx_conn_has_posts(conn)) {
        Py_CLEAR(conn->context);
    }
}

/* The next packet of the first payload. 0, or -1 with an exception. Escapes. */
static int
handle_next(TbxConnObject *conn, PyObject *payload)
{
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(payload) + conn->post_at;
    size_t n = (size_t)(PyBytes_GET_SIZE(payload) - conn->post_at);
    const uint8_t *stop = memchr(p, TBX_EIO_SEPARATOR, n);
    size_t len = stop != NULL ? (size_t)(stop - p) : n;
    conn->post_at += (Py_ssize_t)len + 1;
    uint64_t began = tbx_clock_monotonic_ns();
    if (conn->path != TBX_PATH_DIRECT) {
        PyObject *entry = PyList_GET_ITEM(conn->posts, 0);
        Py_XSETREF(conn->context, Py_NewRef(PyTuple_GET_ITEM(entry, 2)));
    }
    int status = handle_packet(conn, p, len);
    if (conn->path == TBX_PATH_ASGI) { /* upgraded: what comes now is read in a task of its own */
        Py_CLEAR(conn->context);
    }
    tbx_conn_charge(conn, tbx_clock_monotonic_ns() - began);
    return status;
}

int
tbx_conn_go_on_posts(TbxConnObject *conn)
{
    int status = 0;
    while (status == 0 && tbx_conn_has_posts(conn) && !conn->busy) {
        PyObject *payload = Py_NewRef(PyTuple_GET_ITEM(PyList_GET_ITEM(conn->posts, 0), 0));
        bool is_over = conn->discards || tbx_conn_is_closing(conn) || conn->socket == NULL;
        if (is_over || conn->post_at >= PyBytes_GET_SIZE(payload)) {
            finish(conn);
        }
        else if (tbx_conn_is_full(conn) || tbx_conn_is_spent(conn)) {
            Py_DECREF(payload);
            break;
        }
        else if ((status = handle_next(conn, payload)) < 0) {
            tbx_conn_drop_post(conn);
            tbx_conn_await_turn(conn); /* in which its end comes, after the exception */
        }
        Py_DECREF(payload);
    }
    return status;
}

void
tbx_conn_drop_post(TbxConnObject *conn)
{
    if (tbx_conn_has_posts(conn)) {
        conn->post_at = PyBytes_GET_SIZE(PyTuple_GET_ITEM(PyList_GET_ITEM(conn->posts, 0), 0));
    }
}

void
tbx_conn_close_posts(TbxConnObject *conn)
{
    if (tbx_conn_has_posts(conn) && !conn->busy && !conn->parsing) {
        tbx_conn_await_turn(conn);
    }
}

void
tbx_conn_end_posts(TbxConnObject *conn)
{
    tbx_exc raised = tbx_exc_save();
    while (tbx_conn_has_posts(conn)) {
        finish(conn);
    }
    tbx_exc_restore(raised);
}

/* ---- GETs ---- */

static bool
has_messages(const TbxConnObject *conn)
{
    return conn->outbox != NULL && PyList_GET_SIZE(conn->outbox) > 0;
}

void
tbx_conn_answer_poll(TbxConnObject *conn)
{
    if (!conn->is_polled || !has_messages(conn) || conn->socket == NULL) {
        return;
    }
    conn->is_polled = false;
    PyObject *done = tbx_call_python(conn->hub->state, conn->socket, TBX_PY_OUTPUT);
    if (done == NULL) { /* what is put next tries again */
        PyErr_WriteUnraisable((PyObject *)conn);
        conn->is_polled = true;
    }
    Py_XDECREF(done);
}

/* The messages that wait for a poll, a list, which is empty when somebody is to be told of the next one.
 * New reference, or NULL. */
static PyObject *
take_messages(TbxConnObject *conn)
{
    PyObject *none = PyList_New(0); /* first: it may collect */
    if (none == NULL) {
        return NULL;
    }
    if (conn->path != TBX_PATH_POLLING || !has_messages(conn)) {
        conn->is_polled = conn->path == TBX_PATH_POLLING;
        return none;
    }
    Py_DECREF(none);
    PyObject *messages = conn->outbox;
    conn->outbox = NULL;
    conn->out_len = 0;
    tbx_conn_caught_up(conn);
    return messages;
}

/* ---- methods ---- */

PyObject *
tbx_conn_meth_post(PyObject *self, PyObject *args)
{
    PyObject *payload, *post;
    Py_ssize_t max_packets;
    int is_strict;
    if (!PyArg_ParseTuple(args, "SOnp:post", &payload, &post, &max_packets, &is_strict)) {
        return NULL;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(payload);
    size_t n = (size_t)PyBytes_GET_SIZE(payload);
    tbx_ws_utf8 utf8 = {0};
    if (max_packets >= 0 && !(tbx_eio_payload_is_usual(p, n, (size_t)max_packets, is_strict) &&
                              tbx_ws_utf8_feed(&utf8, p, n) && tbx_ws_utf8_done(&utf8))) {
        Py_RETURN_FALSE;
    }
    if (!has_place((TbxConnObject *)self, (Py_ssize_t)n)) {
        Py_RETURN_NONE;
    }
    return hand_in((TbxConnObject *)self, payload, post) < 0 ? NULL : Py_NewRef(Py_True);
}

PyObject *
tbx_conn_meth_drop_post(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_conn_drop_post((TbxConnObject *)self);
    Py_RETURN_NONE;
}

PyObject *
tbx_conn_meth_take_messages(PyObject *self, PyObject *Py_UNUSED(none))
{
    return take_messages((TbxConnObject *)self);
}
