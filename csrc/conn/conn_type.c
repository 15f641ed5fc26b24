/* conn_type.c: the Python side of a connection (contract in conn.h).
 *
 * Hub.connection(socket, sid) makes it; then it gets a transport (attach: the direct path) or messages
 * (attach_messages, feed, next_message: ASGI); release() is its end. Signatures: toolboxsio/_core.pyi.
 */
#include "conn/conn.h"

#include <stdlib.h>

#include "base/num.h"

#define SECONDS_TO_TAKE_IT 1 /* what a client has for what is left as the server stops */
#define CONN(self) ((TbxConnObject *)(self))

static PyObject *
none_or_null(int status)
{
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
conn_meth_get_buffer(PyObject *self, PyObject *Py_UNUSED(hint))
{
    return tbx_conn_get_buffer(CONN(self));
}

static PyObject *
conn_meth_buffer_updated(PyObject *self, PyObject *arg)
{
    Py_ssize_t n = PyLong_AsSsize_t(arg);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return none_or_null(tbx_conn_buffer_updated(CONN(self), n));
}

static PyObject *
conn_meth_eof_received(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    Py_RETURN_NONE; /* the transport closes itself */
}

static PyObject *
conn_meth_connection_made(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(transport))
{
    Py_RETURN_NONE; /* it was, before it was ours */
}

/* Takes the connection out of uvicorn's. */
static void
leave_server(TbxConnObject *conn)
{
    if (conn->server != NULL) {
        PyObject *done = tbx_call_python(conn->hub->state, conn->server, TBX_PY_LEFT, conn);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)conn);
        }
        Py_XDECREF(done);
    }
}

static PyObject *
conn_meth_connection_lost(PyObject *self, PyObject *Py_UNUSED(exc))
{
    int status = tbx_conn_lost(CONN(self)); /* its task is known to uvicorn first */
    tbx_exc raised = tbx_exc_save();
    leave_server(CONN(self));
    tbx_exc_restore(raised);
    return none_or_null(status);
}

static PyObject *
conn_meth_pause_writing(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    conn->can_write = false;
    Py_ssize_t here =
        (Py_ssize_t)conn->out_len + (conn->shared ? PyBytes_GET_SIZE(conn->shared) : 0);
    conn->in_transport = tbx_conn_backlog(conn) - here;
    tbx_conn_check_backlog(conn);
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_resume_writing(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    conn->can_write = true;
    conn->in_transport = 0;
    tbx_conn_write(conn);
    if (conn->can_write) { /* still */
        tbx_conn_caught_up(conn);
    }
    Py_RETURN_NONE;
}

/* As uvicorn's WebSocket protocols: 1012, and the end; but the session's handlers come first. */
static PyObject *
conn_meth_shutdown(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    if (conn->socket != NULL && !tbx_conn_is_closing(conn)) {
        PyObject *done = tbx_call_python(conn->hub->state, conn->socket, TBX_PY_STOP);
        if (done != NULL) {
            Py_DECREF(done);
            Py_RETURN_NONE;
        }
        PyErr_WriteUnraisable(self);
    }
    tbx_conn_close(conn, 1012, NULL, 0);
    tbx_conn_close(conn, 0, NULL, 0);
    if (conn->transport != NULL) { /* the server waits for it, but not for who takes nothing */
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_CLOSE, SECONDS_TO_TAKE_IT);
    }
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_attach(PyObject *self, PyObject *args)
{
    TbxConnObject *conn = CONN(self);
    PyObject *transport, *context, *server, *inflate;
    Py_ssize_t max_size;
    int bits, keeps, may_inflate;
    if (!PyArg_ParseTuple(args, "OOOnipOp:attach", &transport, &context, &server, &max_size, &bits,
                          &may_inflate, &inflate, &keeps)) {
        return NULL;
    }
    if (conn->path != TBX_PATH_POLLING || conn->socket == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is attached");
        return NULL;
    }
    if (!PyContext_CheckExact(context)) {
        PyErr_SetString(PyExc_TypeError, "context must be a contextvars.Context");
        return NULL;
    }
    PyObject *waiting = conn->outbox; /* for a poll */
    conn->outbox = NULL;
    conn->out_len = 0;
    conn->path = TBX_PATH_DIRECT;
    conn->is_slow = conn->is_polled = false;
    conn->transport = Py_NewRef(transport);
    Py_XSETREF(conn->context, Py_NewRef(context));
    conn->server = server == Py_None ? NULL : Py_NewRef(server);
    conn->max_size = conn->hub->max_size < max_size ? conn->hub->max_size : max_size;
    conn->window_bits = (uint8_t)bits;
    conn->keeps_inflate = keeps;
    conn->inflate = inflate == Py_None ? NULL : Py_NewRef(inflate);
    tbx_ws_reader_init(&conn->reader, (uint64_t)conn->max_size, (uint32_t)conn->hub->max_fragments,
                       may_inflate);
    int status = 0;
    for (Py_ssize_t i = 0; waiting != NULL && i < PyList_GET_SIZE(waiting) && status == 0; i++) {
        status = tbx_conn_put_object(conn, PyList_GET_ITEM(waiting, i));
    }
    Py_XDECREF(waiting);
    if (status < 0) { /* the client lacks a part of what was for it */
        PyErr_WriteUnraisable(self);
        tbx_conn_abort(conn);
    }
    else if (conn->out_len > 0) {
        tbx_conn_has_output(conn);
    }
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_hold(PyObject *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    int status = tbx_conn_hold(CONN(self), view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return none_or_null(status);
}

static PyObject *
conn_meth_next_message(PyObject *self, PyObject *Py_UNUSED(none))
{
    return tbx_conn_next_message(CONN(self));
}

static PyObject *
conn_meth_feed(PyObject *self, PyObject *event)
{
    return tbx_conn_feed(CONN(self), event);
}

/* The header that a decoded event had. 1, or 0 when C does not handle such an id, or -1. */
static int
header_of(tbx_sio *header, char *digits, PyObject *id)
{
    memset(header, 0, sizeof *header);
    header->type = TBX_SIO_EVENT;
    if (id == Py_None) {
        return 1;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(id, &overflow);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0 || number < 0) {
        return 0;
    }
    header->id = (const uint8_t *)digits;
    header->id_len = tbx_num_put_i64(digits, number);
    return 1;
}

static PyObject *
conn_meth_dispatch(PyObject *self, PyObject *args)
{
    TbxConnObject *conn = CONN(self);
    PyObject *ns, *id, *data;
    char digits[TBX_NUM_MAX];
    tbx_sio header;
    if (!PyArg_ParseTuple(args, "OOO!:dispatch", &ns, &id, &PyList_Type, &data)) {
        return NULL;
    }
    PyObject *copy = PyList_GetSlice(data, 0, PY_SSIZE_T_MAX); /* first: it may collect */
    if (copy == NULL) {
        return NULL;
    }
    tbx_eligibility is = tbx_conn_eligibility(conn);
    int handled = is == TBX_FAST && conn->hub->plan.async_handlers; /* else Python waits for it */
    if (handled == 1) {
        handled = header_of(&header, digits, id);
    }
    ns = ns == Py_None ? conn->hub->state->str_root : ns;
    if (handled == 1 && PyUnicode_CheckExact(ns)) {
        handled = tbx_conn_dispatch(conn, ns, &header, copy);
    }
    else {
        handled = handled < 0 ? -1 : 0;
        Py_DECREF(copy);
    }
    return handled < 0 ? NULL : PyBool_FromLong(handled);
}

static PyObject *
conn_meth_send(PyObject *self, PyObject *encoded)
{
    if (tbx_conn_put_object(CONN(self), encoded) < 0) {
        return NULL;
    }
    tbx_conn_has_output(CONN(self));
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_give_up(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_conn_give_up(CONN(self));
    Py_RETURN_NONE;
}

/* A handler that Python runs, of the message that is being handled: its bytes, for done(). */
static PyObject *
conn_meth_begin(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    PyObject *size = PyLong_FromSsize_t(conn->message_bytes);
    if (size != NULL) {
        conn->running++;
        conn->running_bytes += conn->message_bytes;
    }
    return size;
}

static PyObject *
conn_meth_done(PyObject *self, PyObject *arg)
{
    Py_ssize_t size = PyLong_AsSsize_t(arg);
    if (size == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (CONN(self)->running < 1) {
        PyErr_SetString(PyExc_RuntimeError, "no handler is at work");
        return NULL;
    }
    tbx_conn_call_done(CONN(self), size);
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_call_begins(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_conn_call_begins(CONN(self));
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_call_ends(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_conn_call_ends(CONN(self));
    Py_RETURN_NONE;
}

/* Time that Python took for the client. */
static PyObject *
conn_meth_charge(PyObject *self, PyObject *arg)
{
    unsigned long long ns = PyLong_AsUnsignedLongLong(arg);
    if (ns == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    tbx_conn_charge(CONN(self), ns);
    if (tbx_conn_is_spent(CONN(self))) {
        tbx_conn_await_turn(CONN(self));
    }
    return PyBool_FromLong(CONN(self)->awaits_turn);
}

static PyObject *
conn_meth_close(PyObject *self, PyObject *args)
{
    int code;
    const char *reason = NULL;
    Py_ssize_t len = 0;
    if (!PyArg_ParseTuple(args, "i|s#:close", &code, &reason, &len)) {
        return NULL;
    }
    tbx_conn_close(CONN(self), (unsigned)code, reason, (size_t)len);
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_abort(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_conn_abort(CONN(self));
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_closing(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_conn_begin_closing(CONN(self));
    tbx_conn_close_posts(CONN(self));
    tbx_deadline_stop(&CONN(self)->beat);
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_heartbeat(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    if (conn->state == TBX_STATE_OPEN &&
        (conn->beat.next == NULL || conn->beat.kind == TBX_DUE_PONG)) {
        tbx_deadline_set(conn->hub, &conn->beat, TBX_DUE_PING, -1);
    }
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_pinged(PyObject *self, PyObject *args)
{
    TbxConnObject *conn = CONN(self);
    double seconds = -1;
    if (!PyArg_ParseTuple(args, "|d:pinged", &seconds)) {
        return NULL;
    }
    tbx_conn_await_pong(conn);
    if (seconds >= 0 && conn->beat.next != NULL) {
        tbx_deadline_set(conn->hub, &conn->beat, TBX_DUE_PONG, seconds);
    }
    Py_RETURN_NONE;
}

static PyObject *
conn_meth_expect(PyObject *self, PyObject *args)
{
    int kind;
    double seconds = -1;
    if (!PyArg_ParseTuple(args, "i|d:expect", &kind, &seconds)) {
        return NULL;
    }
    if (kind < TBX_DUE_CONNECT || kind >= TBX_DUE_KINDS) {
        PyErr_SetString(PyExc_ValueError, "no such deadline");
        return NULL;
    }
    CONN(self)->is_partial = false;
    tbx_deadline_set(CONN(self)->hub, &CONN(self)->life, (tbx_due_kind)kind, seconds);
    Py_RETURN_NONE;
}

/* Stops the deadline of this kind. */
static PyObject *
conn_meth_relax(PyObject *self, PyObject *args)
{
    int kind;
    if (!PyArg_ParseTuple(args, "i:relax", &kind)) {
        return NULL;
    }
    tbx_deadline *life = &CONN(self)->life;
    if (life->next != NULL && life->kind == (tbx_due_kind)kind) {
        tbx_deadline_stop(life);
    }
    Py_RETURN_NONE;
}

/* What hold() was given is handled now, as a read. */
static PyObject *
conn_meth_go_on(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    int status = conn->busy ? 0 : tbx_conn_go_on(conn);
    if (status < 0 &&
        PyErr_ExceptionMatches(PyExc_Exception)) { /* input is lost: as a transport does */
        tbx_exc raised = tbx_exc_save();
        tbx_conn_abort(conn);
        tbx_exc_restore(raised);
    }
    return none_or_null(status);
}

static int conn_tp_clear(PyObject *self);

static PyObject *
conn_meth_release(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxConnObject *conn = CONN(self);
    tbx_deadline_stop(&conn->beat);
    if (conn->transport == NULL) {
        tbx_deadline_stop(&conn->life);
    }
    else if (conn->life.next == NULL || conn->life.kind != TBX_DUE_CLOSE) { /* it has to go */
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_CLOSE, -1);
    }
    conn->discards = true;
    tbx_conn_move(conn, TBX_STATE_OVER);
    if (conn->outbox != NULL) {
        conn->out_len = 0;
    }
    Py_CLEAR(conn->outbox);
    Py_CLEAR(conn->inflate);
    tbx_watch_keys_clear(&conn->socket_keys);
    Py_CLEAR(conn->socket);
    tbx_conn_end_posts(conn);
    Py_RETURN_NONE;
}

static PyObject *
conn_get_path(PyObject *self, void *Py_UNUSED(closure))
{
    static const char *const names[] = {"polling", "asgi", "direct"};
    bool is_over = CONN(self)->state == TBX_STATE_OVER;
    return PyUnicode_FromString(is_over ? "over" : names[CONN(self)->path]);
}

static PyObject *
conn_get_state(PyObject *self, void *Py_UNUSED(closure))
{
    return tbx_state_name((tbx_state)CONN(self)->state);
}

static PyObject *
conn_get_hub(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(CONN(self)->hub);
}

static PyObject *
conn_get_elsewhere(PyObject *self, void *Py_UNUSED(closure))
{
    return tbx_conn_elsewhere(CONN(self));
}

static PyObject *
conn_get_sends(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tbx_conn_sends(CONN(self)));
}

static PyObject *
conn_get_backlog(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(tbx_conn_backlog(CONN(self)));
}

static PyObject *
conn_get_draining(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(CONN(self)->draining);
}

static PyObject *
conn_get_awaits_pong(PyObject *self, void *Py_UNUSED(closure))
{
    const tbx_deadline *beat = &CONN(self)->beat;
    return PyBool_FromLong(beat->next != NULL && beat->kind == TBX_DUE_PONG);
}

static PyObject *
conn_get_is_behind(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tbx_conn_is_behind(CONN(self)));
}

static PyObject *
conn_get_must_wait(PyObject *self, void *Py_UNUSED(closure))
{
    TbxConnObject *conn = CONN(self);
    if (conn->path == TBX_PATH_ASGI) {
        tbx_conn_regulate(conn);
    }
    return PyBool_FromLong(conn->busy || conn->paused || conn->awaits_turn ||
                           tbx_conn_has_posts(conn));
}

static PyObject *
conn_get_server(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(CONN(self)->server ? CONN(self)->server : Py_None);
}

static PyObject *
conn_get_close_sent(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(CONN(self)->output != TBX_OUTPUT_OPEN);
}

static PyObject *
conn_get_stock(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tbx_conn_is_stock(CONN(self)));
}

static int
conn_set_stock(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int is_stock = value != NULL ? PyObject_IsTrue(value) : 0;
    if (is_stock < 0) {
        return -1;
    }
    CONN(self)->stock = is_stock;
    return 0;
}

static PyObject *
conn_get_reasons(PyObject *self, void *Py_UNUSED(closure))
{
    return tbx_conn_reasons(CONN(self));
}

static PyObject *
conn_get_heard(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(CONN(self)->heard);
}

static PyObject *
conn_get_is_flooded(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(CONN(self)->is_flooded);
}

static PyObject *
conn_get_holds_input(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tbx_conn_holds_input(CONN(self)));
}

static PyObject *
conn_get_held(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t((Py_ssize_t)CONN(self)->held_len);
}

static PyObject *
conn_get_message_bytes(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(CONN(self)->message_bytes);
}

static int
conn_set_message_bytes(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_ssize_t size = value != NULL ? PyLong_AsSsize_t(value) : 0;
    if (size < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "message_bytes must not be negative");
        }
        return -1;
    }
    CONN(self)->message_bytes = size;
    return 0;
}

static PyObject *
conn_get_running(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(CONN(self)->running);
}

static int
conn_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    TbxConnObject *conn = CONN(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(conn->hub);
    Py_VISIT(conn->socket);
    Py_VISIT(conn->sid);
    Py_VISIT(conn->transport);
    Py_VISIT(conn->context);
    Py_VISIT(conn->outbox);
    Py_VISIT(conn->posts);
    Py_VISIT(conn->server);
    Py_VISIT(conn->inflate);
    Py_VISIT(conn->awaited);
    Py_VISIT(conn->spare);
    Py_VISIT(conn->shared);
    return tbx_watch_keys_traverse(&conn->socket_keys, visit, arg);
}

static int
conn_tp_clear(PyObject *self)
{
    TbxConnObject *conn = CONN(self);
    tbx_deadline_stop(&conn->beat);
    tbx_deadline_stop(&conn->life);
    tbx_watch_keys_clear(&conn->socket_keys);
    Py_CLEAR(conn->socket);
    Py_CLEAR(conn->transport);
    Py_CLEAR(conn->context);
    Py_CLEAR(conn->outbox);
    Py_CLEAR(conn->posts);
    Py_CLEAR(conn->server);
    Py_CLEAR(conn->inflate);
    Py_CLEAR(conn->awaited);
    Py_CLEAR(conn->spare);
    Py_CLEAR(conn->shared);
    return 0; /* hub and sid are needed to the end, and lead to no cycle that others do not break */
}

static void
conn_tp_dealloc(PyObject *self)
{
    TbxConnObject *conn = CONN(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    conn_tp_clear(self);
    tbx_ws_reader_free(&conn->reader);
    free(conn->out);
    free(conn->held);
    if (conn->hub != NULL) {
        conn->hub->n_connections--;
    }
    Py_CLEAR(conn->hub);
    Py_CLEAR(conn->sid);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef conn_methods[] = {
    {"get_buffer", conn_meth_get_buffer, METH_O, NULL},
    {"buffer_updated", conn_meth_buffer_updated, METH_O, NULL},
    {"eof_received", conn_meth_eof_received, METH_NOARGS, NULL},
    {"connection_made", conn_meth_connection_made, METH_O, NULL},
    {"connection_lost", conn_meth_connection_lost, METH_O, NULL},
    {"pause_writing", conn_meth_pause_writing, METH_NOARGS, NULL},
    {"resume_writing", conn_meth_resume_writing, METH_NOARGS, NULL},
    {"shutdown", conn_meth_shutdown, METH_NOARGS, "uvicorn's: end the connection with 1012."},
    {"attach", conn_meth_attach, METH_VARARGS,
     "attach($self, transport, context, server, max_size, window_bits, may_inflate, inflate, "
     "keeps, "
     "/)\n--\n\nSpeak WebSocket on a transport."},
    {"attach_messages", tbx_conn_meth_attach_messages, METH_NOARGS,
     "attach_messages($self, /)\n--\n\nExchange messages with an ASGI server."},
    {"hold", conn_meth_hold, METH_O,
     "hold($self, data, /)\n--\n\nKeep bytes that were read before, for go_on()."},
    {"go_on", conn_meth_go_on, METH_NOARGS, "go_on($self, /)\n--\n\nHandle what is held."},
    {"feed", conn_meth_feed, METH_O,
     "feed($self, event, /)\n--\n\nHandle an event of ASGI's receive(): None, or the first message "
     "to be "
     "sent; False when Python\nhas to handle it, True when the next one has to wait; a coroutine "
     "that has to be\nawaited before it."},
    {"dispatch", conn_meth_dispatch, METH_VARARGS,
     "dispatch($self, namespace, id, data, /)\n--\n\nStart the handler of an event; False when "
     "Python has "
     "to."},
    {"send", conn_meth_send, METH_O, "send($self, encoded, /)\n--\n\nSend one Engine.IO packet."},
    {"send_sid", tbx_conn_send_sid, METH_VARARGS,
     "send_sid($self, namespace, sid, /)\n--\n\nAnswer a CONNECT; False when Python has to."},
    {"post", tbx_conn_meth_post, METH_VARARGS,
     "post($self, payload, post, max_packets, is_strict, /)\n--\n\nHandle the body of a POST; then "
     "post.done() "
     "is called. False: it has to be looked at\nfirst; negative max_packets: it was. None: too "
     "much "
     "waits already."},
    {"drop_post", tbx_conn_meth_drop_post, METH_NOARGS,
     "drop_post($self, /)\n--\n\nHandle nothing more of the POST of which a packet is handled."},
    {"take_messages", tbx_conn_meth_take_messages, METH_NOARGS,
     "take_messages($self, /)\n--\n\nThe messages that wait for a poll; none: the session is told "
     "of "
     "the next one."},
    {"give_up", conn_meth_give_up, METH_NOARGS,
     "give_up($self, /)\n--\n\nEnd the session of a client that is too slow."},
    {"next_message", conn_meth_next_message, METH_NOARGS,
     "next_message($self, /)\n--\n\nWhat is to be given to ASGI's send(); None: nothing more."},
    {"begin", conn_meth_begin, METH_NOARGS,
     "begin($self, /)\n--\n\nPython has begun to run a handler of the client; for done()."},
    {"done", conn_meth_done, METH_O,
     "done($self, size, /)\n--\n\nThe handler of a message of so many bytes is through."},
    {"call_begins", conn_meth_call_begins, METH_NOARGS,
     "call_begins($self, /)\n--\n\nAn acknowledgement of the client is waited for."},
    {"call_ends", conn_meth_call_ends, METH_NOARGS,
     "call_ends($self, /)\n--\n\nIt is waited for no more."},
    {"charge", conn_meth_charge, METH_O,
     "charge($self, ns, /)\n--\n\n"
     "Account for nanoseconds of Python's work; True: the client has to wait for its turn."},
    {"close", conn_meth_close, METH_VARARGS,
     "close($self, code, reason='', /)\n--\n\nStart the closing handshake; 0: close the "
     "transport."},
    {"abort", conn_meth_abort, METH_NOARGS, "abort($self, /)\n--\n\nEnd the connection at once."},
    {"closing", conn_meth_closing, METH_NOARGS,
     "closing($self, /)\n--\n\nThe session is over: no more pings, and answers are Python's."},
    {"heartbeat", conn_meth_heartbeat, METH_NOARGS,
     "heartbeat($self, /)\n--\n\nLet a PING be due, unless one is."},
    {"pinged", conn_meth_pinged, METH_VARARGS,
     "pinged($self, seconds=-1, /)\n--\n\nA PING was sent: await its PONG."},
    {"expect", conn_meth_expect, METH_VARARGS,
     "expect($self, kind, seconds=-1, /)\n--\n\nSet a deadline; it takes the place of another."},
    {"watch_attachments", tbx_conn_watch_attachments, METH_O,
     "watch_attachments($self, awaits, /)\n--\n\nThe deadline of an attachment, or none."},
    {"relax", conn_meth_relax, METH_VARARGS, "relax($self, kind, /)\n--\n\nStop a deadline."},
    {"release", conn_meth_release, METH_NOARGS, "release($self, /)\n--\n\nLet go: it is over."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef conn_getset[] = {
    {"path", conn_get_path, NULL, "'polling', 'asgi', 'direct' or 'over'.", NULL},
    {"state", conn_get_state, NULL, "See csrc/conn/conn_state.c.", NULL},
    {"hub", conn_get_hub, NULL, "That of its event loop.", NULL},
    {"elsewhere", conn_get_elsewhere, NULL,
     "Its hub when it may not be used on the running event loop, else None.", NULL},
    {"sends", conn_get_sends, NULL,
     "Whether send() may stand for all methods that a packet passes in Python.", NULL},
    {"backlog", conn_get_backlog, NULL, "Bytes that wait for the client.", NULL},
    {"draining", conn_get_draining, NULL, "Whether a message is being sent (ASGI).", NULL},
    {"is_behind", conn_get_is_behind, NULL,
     "Whether something waits that the transport has not taken.", NULL},
    {"awaits_pong", conn_get_awaits_pong, NULL, "Whether a PING was sent and not answered.", NULL},
    {"must_wait", conn_get_must_wait, NULL, "Whether the client's next message has to wait.", NULL},
    {"server", conn_get_server, NULL, "What attach() was given.", NULL},
    {"close_sent", conn_get_close_sent, NULL, "Whether nothing can be sent any more.", NULL},
    {"stock", conn_get_stock, conn_set_stock, "False: the socket has methods of its own.", NULL},
    {"reasons", conn_get_reasons, NULL, "Why Python handles its messages, beside the hub's.", NULL},
    {"heard", conn_get_heard, NULL, "Whether a message came since the last PING.", NULL},
    {"is_flooded", conn_get_is_flooded, NULL, "Whether more control frames came than may.", NULL},
    {"holds_input", conn_get_holds_input, NULL,
     "Whether the client may have sent what is not looked at yet.", NULL},
    {"held", conn_get_held, NULL, "Bytes that were read and are not handled yet.", NULL},
    {"message_bytes", conn_get_message_bytes, conn_set_message_bytes,
     "Bytes of the message that is being handled, attachments included.", NULL},
    {"running", conn_get_running, NULL, "Handlers of the client that are not through.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot conn_slots[] = {
    {Py_tp_doc, (void *)"The C half of an Engine.IO session; an asyncio.BufferedProtocol."},
    {Py_tp_dealloc, (void *)conn_tp_dealloc},
    {Py_tp_traverse, (void *)conn_tp_traverse},
    {Py_tp_clear, (void *)conn_tp_clear},
    {Py_tp_methods, conn_methods},
    {Py_tp_getset, conn_getset},
    {0, NULL},
};

/* From 3.12 on a type whose base can be changed, as BufferedProtocol can, may not be immutable (a
 * DeprecationWarning, an error in 3.14). */
#if PY_VERSION_HEX >= 0x030c0000
#define CONN_IMMUTABLE 0
#else
#define CONN_IMMUTABLE Py_TPFLAGS_IMMUTABLETYPE
#endif

PyType_Spec tbx_conn_spec = {
    .name = "toolboxsio._core.Connection",
    .basicsize = sizeof(TbxConnObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | CONN_IMMUTABLE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = conn_slots,
};
