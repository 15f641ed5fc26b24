/* conn_dispatch.c: from an event to its handler, and the answer back (contract in conn.h).
 *
 * Tables are looked up after the JSON was read, since reading allocates and so may run Python; the
 * handler's task is the last thing that happens.
 * Mirrors: socketio.AsyncServer._handle_event, BaseServer._get_event_handler, ._get_namespace_handler,
 * BaseManager.sid_from_eio_sid, .is_connected.
 */
#include "conn/conn.h"

#include "codec/json_enc.h"

PyObject *
tbx_look_up(PyObject *table, PyObject *key)
{
    if (table == NULL || !PyDict_Check(table)) {
        return NULL;
    }
    Py_INCREF(table);
    PyObject *found = Py_XNewRef(PyDict_GetItemWithError(table, key));
    Py_DECREF(table);
    if (found == NULL) {
        PyErr_Clear();
    }
    return found;
}

/* tbx_look_up of a table in a table. */
static PyObject *
look_up_in(PyObject *tables, PyObject *name, PyObject *key)
{
    PyObject *table = tbx_look_up(tables, name);
    PyObject *found = tbx_look_up(table, key);
    Py_XDECREF(table);
    return found;
}

/* 1 when a client is in one of the lists of clients that come or go; 0; -1 with an exception. */
static int
is_pending(TbxHubObject *hub, PyObject *ns, PyObject *sid)
{
    for (int i = 0; i < 2; i++) {
        PyObject *pending = i == 0 ? hub->plan.pending_connect : hub->plan.pending_disconnect;
        if (pending == NULL || PyDict_GET_SIZE(pending) == 0) {
            continue;
        }
        PyObject *names = tbx_look_up(pending, ns);
        int found = names != NULL ? PySequence_Contains(names, sid) : 0;
        Py_XDECREF(names);
        if (found != 0) {
            return found;
        }
    }
    return 0;
}

PyObject *
tbx_conn_find_sid(TbxConnObject *conn, PyObject *ns)
{
    TbxHubObject *hub = conn->hub;
    PyObject *everybody = look_up_in(hub->plan.rooms, ns, Py_None);
    PyObject *sid = NULL;
    if (everybody != NULL) {
        PyObject *by_session = PyObject_GetAttr(everybody, hub->state->str_invm);
        sid = tbx_look_up(by_session, conn->sid);
        Py_XDECREF(by_session);
        Py_DECREF(everybody);
    }
    if (sid != NULL && is_pending(hub, ns, sid) != 0) {
        Py_CLEAR(sid);
    }
    PyErr_Clear();
    return sid;
}

/* What handles an event. */
typedef struct {
    PyObject *callee; /* owned once it is found: to make a call may collect */
    tbx_call_kind kind;
    bool with_event, with_ns;
    bool ordered; /* the client's next message waits for it */
} route;

/* True when there is a handler. The event is not a reserved one. */
static bool
find_route(TbxHubObject *hub, PyObject *ns, PyObject *event, route *found)
{
    const tbx_plan *plan = &hub->plan;
    PyObject *star = hub->state->str_star;
    found->kind = TBX_CALL_HANDLER;
    found->with_event = found->with_ns = false;
    if ((found->callee = look_up_in(plan->handlers, ns, event)) != NULL) {
        return true;
    }
    if ((found->callee = look_up_in(plan->handlers, ns, star)) != NULL) {
        return found->with_event = true;
    }
    if ((found->callee = look_up_in(plan->handlers, star, event)) != NULL) {
        return found->with_ns = true;
    }
    if ((found->callee = look_up_in(plan->handlers, star, star)) != NULL) {
        return found->with_event = found->with_ns = true;
    }
    found->kind = TBX_CALL_NAMESPACE;
    if ((found->callee = tbx_look_up(plan->namespace_handlers, ns)) != NULL) {
        return true;
    }
    if ((found->callee = tbx_look_up(plan->namespace_handlers, star)) != NULL) {
        return found->with_ns = true;
    }
    return false;
}

/* A namespace handler whose trigger_event is its own: that is called. 0 or -1. */
static int
set_callee(TbxHubObject *hub, TbxCallObject *call, const route *way)
{
    call->callee = Py_NewRef(way->callee);
    call->with_event = way->with_event;
    call->with_ns = way->with_ns;
    if (way->kind != TBX_CALL_NAMESPACE) {
        return 0;
    }
    PyObject *method = PyObject_GetAttr(call->callee, hub->state->str_trigger_event);
    if (method == NULL) {
        return -1;
    }
    bool is_stock = PyMethod_Check(method) && PyMethod_GET_SELF(method) == call->callee &&
                    PyMethod_GET_FUNCTION(method) == hub->plan.trigger_event;
    if (is_stock) {
        Py_DECREF(method);
        return 0;
    }
    call->kind = TBX_CALL_TRIGGER;
    call->with_event = true;
    Py_SETREF(call->callee, method);
    return 0;
}

/* Starts the handler of an event; steals data. */
static int
start_call(TbxConnObject *conn, const route *way, PyObject *ns, PyObject *sid, PyObject *data,
           const tbx_sio *header)
{
    TbxHubObject *hub = conn->hub;
    TbxCallObject *call = tbx_call_new(conn, way->kind);
    if (call == NULL) {
        Py_DECREF(data);
        return -1;
    }
    call->ordered = way->ordered;
    if (call->ordered) {
        conn->busy = true; /* until tbx_conn_lane_done */
    }
    else {
        call->size = conn->message_bytes;
        conn->running++; /* until tbx_conn_call_done */
        conn->running_bytes += call->size;
    }
    call->began = tbx_clock_monotonic_ns();
    call->data = data;
    call->name = Py_NewRef(PyList_GET_ITEM(data, 0));
    call->ns = Py_NewRef(ns);
    call->sid = Py_NewRef(sid);
    call->has_id = header->id_len > 0;
    call->id = tbx_packet_id(header);
    int status = -1;
    if (set_callee(hub, call, way) == 0) {
        PyObject *shared = Py_XNewRef(conn->context); /* what ran may have ended the request */
        PyObject *context = shared == NULL  ? PyContext_CopyCurrent()
                            : call->ordered ? Py_NewRef(shared)
                                            : PyContext_Copy(shared);
        Py_XDECREF(shared);
        if (context != NULL) {
            status = tbx_task_start(hub, (PyObject *)call, context);
            Py_DECREF(context);
        }
    }
    Py_DECREF(call);
    return status;
}

bool
tbx_hub_takes_event(TbxHubObject *hub, PyObject *data)
{
    if (!PyList_CheckExact(data) || PyList_GET_SIZE(data) == 0 ||
        !PyUnicode_CheckExact(PyList_GET_ITEM(data, 0))) {
        return false;
    }
    PyObject *reserved = Py_NewRef(hub->plan.reserved_events);
    int is_reserved = PySequence_Contains(reserved, PyList_GET_ITEM(data, 0));
    Py_DECREF(reserved);
    PyErr_Clear();
    return is_reserved == 0;
}

int
tbx_conn_dispatch(TbxConnObject *conn, PyObject *ns, const tbx_sio *header, PyObject *data)
{
    TbxHubObject *hub = conn->hub;
    /* what follows may have the plan made anew */
    route way = {.ordered = !hub->plan.async_handlers};
    if (hub->stopping) { /* its client gets no answer, and knows */
        Py_DECREF(data);
        return 1;
    }
    if (way.ordered && conn->context == NULL) { /* it runs in who reads */
        Py_DECREF(data);
        return 0;
    }
    if (!tbx_hub_takes_event(hub, data)) {
        Py_DECREF(data);
        return 0;
    }
    PyObject *sid = tbx_conn_find_sid(conn, ns);
    if (sid == NULL) {
        Py_DECREF(data);
        return 0;
    }
    int status = 0;
    if (find_route(hub, ns, PyList_GET_ITEM(data, 0), &way)) {
        status = start_call(conn, &way, ns, sid, data, header);
        Py_DECREF(way.callee);
    }
    else {
        Py_DECREF(data);
    }
    Py_DECREF(sid);
    return status < 0 ? -1 : 1;
}

int
tbx_conn_start_lane(TbxConnObject *conn, PyObject *coro)
{
    TbxCallObject *call = tbx_call_new(conn, TBX_CALL_LANE);
    if (call == NULL) {
        Py_DECREF(coro);
        return -1;
    }
    call->inner = coro;
    conn->busy = true;
    PyObject *context = Py_XNewRef(conn->context);
    int status = -1;
    if (context == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection is not attached");
    }
    else {
        status = tbx_task_start(conn->hub, (PyObject *)call, context);
        Py_DECREF(context);
    }
    Py_DECREF(call);
    return status;
}

int
tbx_conn_run(TbxConnObject *conn, PyObject *coro)
{
    if (conn->context != NULL) {
        return tbx_conn_start_lane(conn, coro);
    }
    Py_XSETREF(conn->awaited, coro);
    return 0;
}

int
tbx_conn_lane(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len)
{
    PyObject *encoded = is_text ? PyUnicode_DecodeUTF8((const char *)data, (Py_ssize_t)len, NULL)
                                : PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)len);
    if (encoded == NULL) {
        return -1;
    }
    PyObject *socket = Py_XNewRef(conn->socket); /* NULL: over meanwhile */
    PyObject *coro =
        socket ? tbx_call_python(conn->hub->state, socket, TBX_PY_MESSAGE, encoded) : NULL;
    Py_DECREF(encoded);
    if (coro == NULL) {
        int status = socket != NULL ? -1 : 0;
        Py_XDECREF(socket);
        return status;
    }
    Py_DECREF(socket);
    return tbx_conn_start_lane(conn, coro);
}

/* ---- answers ---- */

int
tbx_conn_answer(TbxConnObject *conn, PyObject *ns, uint64_t id, PyObject *answer)
{
    TbxHubObject *hub = conn->hub;
    if (tbx_conn_eligibility(conn) != TBX_FAST) {
        return 0;
    }
    tbx_buf out;
    tbx_buf_init(&out);
    int status = -1;
    /* what follows may have the plan made anew */
    PyObject *hook = Py_NewRef(hub->plan.json_default);
    PyObject *json = Py_NewRef(hub->plan.json);
    Py_ssize_t max_depth = hub->plan.max_depth - 1;
    PyObject *attachments = PyList_New(0);
    tbx_json_enc_options options = {hook, max_depth,
                                    hub->plan.has_attachments ? attachments : NULL};
    if (attachments == NULL || tbx_packet_begin(&out, ns, true, id) < 0 ||
        tbx_packet_put_array(hub->state, &out, json, NULL, answer, &options) < 0) {
        goto done;
    }
    Py_ssize_t n = PyList_GET_SIZE(attachments);
    size_t start = tbx_packet_finish(out.data, '3', n);
    if (tbx_conn_put(conn, true, out.data + start, out.len - start) < 0) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (tbx_conn_put_object(conn, PyList_GET_ITEM(attachments, i)) < 0) {
            tbx_exc raised = tbx_exc_save();
            tbx_conn_abort(conn); /* the client lacks a part */
            tbx_exc_restore(raised);
            goto done;
        }
    }
    tbx_conn_has_output(conn);
    status = 1;
done:
    Py_DECREF(hook);
    Py_DECREF(json);
    Py_XDECREF(attachments);
    tbx_buf_free(&out);
    return status;
}

PyObject *
tbx_conn_send_sid(PyObject *self, PyObject *args)
{
    TbxConnObject *conn = (TbxConnObject *)self;
    PyObject *ns, *sid;
    if (!PyArg_ParseTuple(args, "UO:send_sid", &ns, &sid)) {
        return NULL;
    }
    if (!PyUnicode_CheckExact(sid) || !tbx_conn_sends(conn) ||
        conn->hub->plan.emit_json != Py_None) {
        Py_RETURN_FALSE;
    }
    tbx_buf out;
    tbx_buf_init(&out);
    tbx_json_enc_options options = {Py_None, 1, NULL};
    int status = tbx_packet_begin(&out, ns, false, 0);
    if (status == 0 && tbx_buf_put(&out, "{\"sid\":", 7) < 0) {
        PyErr_NoMemory();
        status = -1;
    }
    if (status == 0) {
        status = tbx_json_encode(conn->hub->state, &out, sid, &options);
    }
    if (status == 0 && tbx_buf_put_byte(&out, '}') < 0) {
        PyErr_NoMemory();
        status = -1;
    }
    if (status == 0) {
        size_t start = tbx_packet_finish(out.data, '0', 0);
        status = tbx_conn_put(conn, true, out.data + start, out.len - start);
    }
    tbx_buf_free(&out);
    if (status < 0) {
        return NULL;
    }
    tbx_conn_has_output(conn);
    Py_RETURN_TRUE;
}
