/* conn_tx.c: the way out of a connection (contract in conn.h).
 *
 * `shared` and then `out` hold finished frames (ASGI: `outbox` holds messages). They are written when
 * the read that caused it is through, or in the next iteration of the loop (the hub's list), and not at
 * all while the transport has paused us: then what waits is counted, and a client that lets more than
 * max_backlog wait is disconnected. Once a CLOSE frame is in `out` nothing is appended.
 * Spec: RFC 6455, section 5; RFC 7692, section 7.2.1.
 */
#include "conn/conn.h"

#include <stdlib.h>

/* Makes room for n more bytes of output. 0 or -1 with MemoryError. */
static int
out_room(TbxConnObject *conn, size_t n)
{
    if (conn->out_cap - conn->out_len >= n) {
        return 0;
    }
    size_t cap = conn->out_cap + conn->out_cap / 2;
    if (cap < conn->out_len + n) {
        cap = conn->out_len + n;
    }
#ifndef TBX_DEBUG
    cap = cap < 256 ? 256 : cap;
#endif
    uint8_t *out = realloc(conn->out, cap);
    if (out == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    conn->out = out;
    conn->out_cap = cap;
    return 0;
}

static int
put_frame(TbxConnObject *conn, unsigned opcode, bool rsv1, const uint8_t *data, size_t len)
{
    if (out_room(conn, len + TBX_WS_HEAD_MAX) < 0) {
        return -1;
    }
    conn->out_len += tbx_ws_frame_put(conn->out + conn->out_len, opcode, rsv1, len);
    if (len != 0) {
        memcpy(conn->out + conn->out_len, data, len);
        conn->out_len += len;
    }
    tbx_conn_note_size(conn, len);
    return 0;
}

/* Nothing leaves any more. */
static bool
is_mute(const TbxConnObject *conn)
{
    return conn->output != TBX_OUTPUT_OPEN || conn->transport == NULL ||
           conn->state == TBX_STATE_OVER;
}

/* To deflate allocates, and so may collect and close the connection. */
static int
put_message(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len)
{
    unsigned opcode = is_text ? TBX_WS_TEXT : TBX_WS_BINARY;
    if (conn->window_bits != 0 && len >= (size_t)conn->hub->compression_threshold && len > 0) {
        PyObject *packed = tbx_hub_deflate(conn->hub, conn->window_bits, data, len);
        if (packed != NULL) {
            const uint8_t *bytes = (const uint8_t *)PyBytes_AS_STRING(packed);
            int status = is_mute(conn) ? 0
                                       : put_frame(conn, opcode, true, bytes,
                                                   (size_t)PyBytes_GET_SIZE(packed));
            Py_DECREF(packed);
            return status;
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return is_mute(conn) ? 0 : put_frame(conn, opcode, false, data, len);
}

/* Bytes that are not written yet (ASGI: not sent). */
static Py_ssize_t
waiting_here(const TbxConnObject *conn)
{
    return (Py_ssize_t)conn->out_len + (conn->shared ? PyBytes_GET_SIZE(conn->shared) : 0);
}

static void
close_output(TbxConnObject *conn)
{
    if (conn->output == TBX_OUTPUT_OPEN) {
        conn->output = TBX_OUTPUT_CLOSED;
    }
}

static void
drop_output(TbxConnObject *conn)
{
    Py_CLEAR(conn->shared);
    free(conn->out);
    conn->out = NULL;
    conn->out_len = conn->out_cap = 0;
}

/* All of it as bytes, which are the connection's no more. NULL with an exception. */
static PyObject *
take_output(TbxConnObject *conn)
{
    if (conn->shared != NULL && conn->out_len == 0) {
        PyObject *shared = conn->shared;
        conn->shared = NULL;
        return shared;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, waiting_here(conn));
    if (bytes != NULL) {
        size_t len = conn->shared ? (size_t)PyBytes_GET_SIZE(conn->shared) : 0;
        if (len != 0) {
            memcpy(PyBytes_AS_STRING(bytes), PyBytes_AS_STRING(conn->shared), len);
        }
        memcpy(PyBytes_AS_STRING(bytes) + len, conn->out, conn->out_len);
    }
    drop_output(conn);
    return bytes;
}

/* Whether messages may be put into the outbox. */
static bool
has_outbox(const TbxConnObject *conn)
{
    return conn->output == TBX_OUTPUT_OPEN && conn->state != TBX_STATE_OVER &&
           (conn->path == TBX_PATH_POLLING ||
            (conn->path == TBX_PATH_ASGI && conn->outbox != NULL));
}

/* ASGI and polling: out_len counts the bytes of the outbox. */
static int
append(TbxConnObject *conn, PyObject *message, size_t len)
{
    if (conn->outbox == NULL) {
        PyObject *outbox = PyList_New(0); /* which may collect */
        if (outbox == NULL) {
            return -1;
        }
        if (!has_outbox(conn) || conn->outbox != NULL) {
            Py_DECREF(outbox);
        }
        else {
            conn->outbox = outbox;
        }
    }
    if (conn->outbox == NULL) {
        return 0;
    }
    if (PyList_Append(conn->outbox, message) < 0) {
        return -1;
    }
    conn->out_len += len;
    tbx_conn_note_size(conn, len);
    return 0;
}

int
tbx_conn_put(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len)
{
    if (conn->path == TBX_PATH_DIRECT) {
        return is_mute(conn) ? 0 : put_message(conn, is_text, data, len);
    }
    if (!has_outbox(conn)) {
        return 0;
    }
    PyObject *message = is_text ? PyUnicode_DecodeUTF8((const char *)data, (Py_ssize_t)len, NULL)
                                : PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)len);
    int status = message != NULL ? append(conn, message, len) : -1;
    Py_XDECREF(message);
    return status;
}

int
tbx_conn_put_frames(TbxConnObject *conn, PyObject *frames)
{
    if (is_mute(conn)) {
        return 0;
    }
    tbx_conn_note_size(conn, (size_t)PyBytes_GET_SIZE(frames));
    if (conn->shared == NULL && conn->out_len == 0) {
        conn->shared = Py_NewRef(frames);
        return 0;
    }
    size_t len = (size_t)PyBytes_GET_SIZE(frames);
    if (out_room(conn, len) < 0) {
        return -1;
    }
    memcpy(conn->out + conn->out_len, PyBytes_AS_STRING(frames), len);
    conn->out_len += len;
    return 0;
}

int
tbx_conn_put_control(TbxConnObject *conn, unsigned opcode, const uint8_t *data, size_t len)
{
    return is_mute(conn) ? 0 : put_frame(conn, opcode, false, data, len);
}

static int
put_text(TbxConnObject *conn, PyObject *encoded)
{
    Py_ssize_t len;
    PyObject *bytes = NULL;
    const char *text;
    if (PyUnicode_IS_COMPACT_ASCII(encoded)) {
        text = (const char *)PyUnicode_1BYTE_DATA(encoded);
        len = PyUnicode_GET_LENGTH(encoded);
    }
    else {
        text = PyUnicode_AsUTF8AndSize(encoded, &len);
    }
    if (text == NULL && conn->path != TBX_PATH_ASGI &&
        PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) { /* lone surrogates */
        PyErr_Clear();
        bytes = PyUnicode_AsEncodedString(encoded, "utf-8", "surrogatepass");
        text = bytes != NULL ? PyBytes_AS_STRING(bytes) : NULL;
        len = bytes != NULL ? PyBytes_GET_SIZE(bytes) : 0;
    }
    int status = -1;
    if (text != NULL) {
        status = has_outbox(conn) ? append(conn, encoded, (size_t)len)
                                  : tbx_conn_put(conn, true, (const uint8_t *)text, (size_t)len);
    }
    Py_XDECREF(bytes);
    return status;
}

int
tbx_conn_put_object(TbxConnObject *conn, PyObject *encoded)
{
    if (PyUnicode_Check(encoded)) {
        return put_text(conn, encoded);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(encoded, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    int status = PyBytes_CheckExact(encoded) && has_outbox(conn)
                     ? append(conn, encoded, (size_t)view.len)
                     : tbx_conn_put(conn, false, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return status;
}

Py_ssize_t
tbx_conn_backlog(TbxConnObject *conn)
{
    Py_ssize_t waiting = waiting_here(conn);
    if (conn->transport != NULL) {
        PyObject *transport = Py_NewRef(conn->transport);
        PyObject *size = PyObject_CallMethod(transport, "get_write_buffer_size", NULL);
        Py_DECREF(transport);
        if (size != NULL) {
            waiting += PyLong_AsSsize_t(size);
            Py_DECREF(size);
        }
        PyErr_Clear();
    }
    return waiting;
}

bool
tbx_conn_is_behind(const TbxConnObject *conn)
{
    if (conn->path == TBX_PATH_POLLING) {
        return conn->outbox != NULL && PyList_GET_SIZE(conn->outbox) > 0;
    }
    return conn->path == TBX_PATH_DIRECT ? !conn->can_write : conn->draining;
}

void
tbx_conn_give_up(TbxConnObject *conn)
{
    if (conn->socket == NULL || conn->output != TBX_OUTPUT_OPEN) {
        return;
    }
    Py_ssize_t waiting = tbx_conn_backlog(conn);
    bool did_discard = conn->discards, was_open = conn->state == TBX_STATE_OPEN;
    conn->discards = true;
    conn->output = TBX_OUTPUT_CLOSED;
    tbx_conn_begin_closing(conn);
    tbx_conn_close_posts(conn);
    PyObject *done =
        tbx_call_python(conn->hub->state, conn->socket, TBX_PY_BACKLOG, waiting, Py_True);
    if (done == NULL) { /* what is put next tries again */
        PyErr_WriteUnraisable((PyObject *)conn);
        conn->discards = did_discard || tbx_conn_is_left(conn);
        if (was_open && conn->state == TBX_STATE_CLOSING) {
            tbx_conn_move(conn, TBX_STATE_OPEN);
        }
        if (conn->output == TBX_OUTPUT_CLOSED) {
            conn->output = TBX_OUTPUT_OPEN;
        }
    }
    Py_XDECREF(done);
}

void
tbx_conn_check_backlog(TbxConnObject *conn)
{
    Py_ssize_t max = conn->hub->max_backlog;
    if (waiting_here(conn) + conn->in_transport <= max) {
        return;
    }
    Py_ssize_t waiting = tbx_conn_backlog(conn);
    Py_ssize_t beside = waiting - conn->largest;
    if (beside <= max || conn->socket == NULL) {
        return;
    }
    if (!conn->hub->keeps_slow || beside - max > max) {
        tbx_conn_give_up(conn);
        return;
    }
    if (!conn->is_slow) { /* told once, until it has caught up */
        conn->is_slow = true;
        PyObject *done =
            tbx_call_python(conn->hub->state, conn->socket, TBX_PY_BACKLOG, waiting, Py_False);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)conn);
            conn->is_slow = false;
        }
        Py_XDECREF(done);
    }
}

void
tbx_conn_has_output(TbxConnObject *conn)
{
    if (conn->parsing) { /* it leaves when what has been read is through */
        if (conn->path == TBX_PATH_DIRECT && waiting_here(conn) > TBX_OUT_MAX) {
            tbx_conn_write(conn);
            tbx_conn_check_backlog(conn);
        }
        return;
    }
    bool is_polling = conn->path == TBX_PATH_POLLING;
    if (!conn->can_write || conn->draining || (is_polling && !conn->is_polled)) {
        /* what clears that writes */
        tbx_conn_check_backlog(conn);
        return;
    }
    if (!conn->is_dirty) {
        conn->is_dirty = true;
        conn->next_dirty = conn->hub->dirty;
        conn->hub->dirty = (TbxConnObject *)Py_NewRef(conn);
    }
    if (!conn->hub->flush_due) { /* the last one to ask may have failed */
        tbx_hub_schedule_flush(conn->hub);
    }
}

int
tbx_conn_may_drain(TbxConnObject *conn, PyObject *sockets)
{
    bool may = conn->path == TBX_PATH_ASGI && conn->socket != NULL && conn->outbox != NULL &&
               !conn->draining;
    return may ? PyList_Append(sockets, conn->socket) : 0;
}

void
tbx_conn_write(TbxConnObject *conn)
{
    TbxHubObject *hub = conn->hub;
    if (conn->path == TBX_PATH_POLLING) {
        tbx_conn_answer_poll(conn);
        if (!conn->is_polled) {
            tbx_conn_check_backlog(conn);
        }
        return;
    }
    if (conn->path == TBX_PATH_ASGI) {
        PyObject *sockets = PyList_New(0);
        if (sockets == NULL || tbx_conn_may_drain(conn, sockets) < 0) {
            PyErr_WriteUnraisable((PyObject *)conn);
        }
        else {
            tbx_hub_drain(hub, sockets);
        }
        Py_XDECREF(sockets);
        return;
    }
    if (conn->transport == NULL || waiting_here(conn) == 0) {
        return;
    }
    if (!conn->can_write) {
        tbx_conn_check_backlog(conn);
        return;
    }
    PyObject *bytes = take_output(conn);
    PyObject *transport = Py_NewRef(conn->transport);
    PyObject *done =
        bytes ? PyObject_CallMethodOneArg(transport, hub->state->str_write, bytes) : NULL;
    if (done == NULL) {
        PyErr_WriteUnraisable(transport);
        tbx_conn_abort(conn); /* the client lacks a part of what was for it */
    }
    Py_XDECREF(done);
    Py_XDECREF(bytes);
    Py_DECREF(transport);
}

/* The transport could not be told to go, and an exception says why: the timer tells it again when it
 * was for lack of memory. */
static void
stays(TbxConnObject *conn, PyObject *transport)
{
    bool may_go = PyErr_ExceptionMatches(PyExc_MemoryError);
    PyErr_WriteUnraisable(transport);
    if (may_go) {
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_CLOSE, 1);
    }
}

/* transport.close(): what is written leaves, then connection_lost() comes. */
static void
close_transport(TbxConnObject *conn)
{
    if (conn->transport == NULL) {
        return;
    }
    PyObject *transport = Py_NewRef(conn->transport);
    PyObject *done = PyObject_CallMethodNoArgs(transport, conn->hub->state->str_close);
    if (done == NULL) {
        stays(conn, transport);
    }
    Py_XDECREF(done);
    Py_DECREF(transport);
}

/* ASGI: the session ends with its reader. */
static void
interrupt_reader(TbxConnObject *conn)
{
    PyObject *done = tbx_call_python(conn->hub->state, conn->socket, TBX_PY_INTERRUPT, Py_True);
    if (done == NULL) {
        PyErr_WriteUnraisable((PyObject *)conn);
    }
    Py_XDECREF(done);
}

/* The session ends while input of a peer that has left is still to be handled: it is not any more. */
static bool
discard_input(TbxConnObject *conn)
{
    bool has_left =
        conn->path == TBX_PATH_DIRECT && conn->transport == NULL && tbx_conn_is_left(conn);
    if (has_left && conn->state < TBX_STATE_ENDING) {
        conn->discards = true;
        conn->output = TBX_OUTPUT_CLOSED;
        tbx_conn_await_turn(conn); /* in which the end comes */
    }
    return has_left;
}

void
tbx_conn_abort(TbxConnObject *conn)
{
    drop_output(conn);
    tbx_conn_begin_closing(conn);
    close_output(conn);
    if (discard_input(conn)) {
        return;
    }
    Py_CLEAR(conn->outbox);
    if (conn->path == TBX_PATH_ASGI && conn->socket != NULL) {
        interrupt_reader(conn);
    }
    if (conn->path == TBX_PATH_POLLING && conn->socket != NULL) {
        tbx_conn_end_later(conn);
    }
    if (conn->transport == NULL) {
        return;
    }
    PyObject *transport = Py_NewRef(conn->transport);
    PyObject *done = PyObject_CallMethod(transport, "abort", NULL);
    if (done == NULL) {
        stays(conn, transport);
    }
    Py_XDECREF(done);
    Py_DECREF(transport);
}

void
tbx_conn_close(TbxConnObject *conn, unsigned code, const char *reason, size_t reason_len)
{
    uint8_t payload[TBX_WS_CONTROL_MAX];
    tbx_conn_begin_closing(conn);
    if (discard_input(conn)) {
        return;
    }
    bool is_direct = conn->path == TBX_PATH_DIRECT || conn->transport != NULL; /* or was */
    if (!is_direct || (code != 0 && conn->output != TBX_OUTPUT_OPEN)) {
        return;
    }
    if (code != 0) {
        size_t len = 0;
        if (code != TBX_WS_NO_STATUS) {
            payload[0] = (uint8_t)(code >> 8);
            payload[1] = (uint8_t)code;
            size_t room = sizeof payload - 2;
            len = reason_len < room ? reason_len : room;
            memcpy(payload + 2, reason ? reason : "", reason ? len : 0);
            len = 2 + (reason ? len : 0);
        }
        if (put_frame(conn, TBX_WS_CLOSE, false, payload, len) < 0) {
            PyErr_WriteUnraisable((PyObject *)conn);
        }
        close_output(conn);
        tbx_deadline_stop(&conn->beat);
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_CLOSE, -1);
        tbx_conn_has_output(conn);
        return;
    }
    close_output(conn);
    tbx_deadline_stop(&conn->beat);
    tbx_deadline_stop(&conn->life);
    tbx_conn_write(conn);
    if (conn->transport != NULL) { /* what was written may never leave: it is not waited for */
        conn->output = TBX_OUTPUT_HUNG_UP;
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_CLOSE, -1);
    }
    close_transport(conn);
}

void
tbx_conn_fail(TbxConnObject *conn, unsigned code, const char *reason, size_t reason_len)
{
    tbx_conn_close(conn, code, reason, reason_len);
    tbx_conn_write(conn);
    if (conn->transport == NULL || waiting_here(conn) > 0) { /* paused: nothing may follow an EOF */
        return;
    }
    /* Half a close: the client sees the end, and what it still sends does not make the kernel
     * throw the CLOSE frame away. */
    PyObject *transport = Py_NewRef(conn->transport);
    PyObject *done = PyObject_CallMethod(transport, "write_eof", NULL);
    if (done == NULL) { /* TLS */
        PyErr_Clear();
        close_transport(conn);
    }
    Py_XDECREF(done);
    Py_DECREF(transport);
}
