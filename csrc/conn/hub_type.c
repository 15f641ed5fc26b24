/* hub_type.c: what the connections of one server on one event loop share (contract in conn.h).
 *
 * It makes connections, starts tasks whose first step runs at once, emits, counts events, and keeps the
 * one timer. `limits` is the dict that read_limits() reads. Signatures: toolboxsio/_core.pyi.
 */
#include "conn/conn.h"

#include <stddef.h>

#include <structmember.h>

static PyObject *
hub_meth_flush(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_hub_flush((TbxHubObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_pump(PyObject *self, PyObject *Py_UNUSED(none))
{
    if (tbx_hub_pump((TbxHubObject *)self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_tick(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_hub_tick((TbxHubObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_raise(PyObject *Py_UNUSED(self), PyObject *exc)
{
    tbx_exc_put(Py_NewRef(exc));
    return NULL;
}

/* Reads the numbers. 0 or -1 with an exception. */
static int
read_limits(TbxHubObject *hub, PyObject *limits)
{
    static char *names[] = {"ping_interval",
                            "ping_timeout",
                            "connect_timeout",
                            "message_timeout",
                            "leave_timeout",
                            "close_timeout",
                            "max_size",
                            "max_backlog",
                            "max_running",
                            "compression_threshold",
                            "keeps_slow",
                            "max_fragments",
                            "max_control",
                            "max_running_bytes",
                            "max_attachments",
                            "max_attachment_bytes",
                            NULL};
    PyObject *empty = PyTuple_New(0);
    if (empty == NULL) {
        return -1;
    }
    int keeps_slow = 0;
    double *after = hub->after;
    int read = PyArg_ParseTupleAndKeywords(
        empty, limits, "ddddddnnnnpnnnnn:limits", names, &after[TBX_DUE_PING], &after[TBX_DUE_PONG],
        &after[TBX_DUE_CONNECT], &after[TBX_DUE_MESSAGE], &after[TBX_DUE_LEAVE],
        &after[TBX_DUE_CLOSE], &hub->max_size, &hub->max_backlog, &hub->max_running,
        &hub->compression_threshold, &keeps_slow, &hub->max_fragments, &hub->max_control,
        &hub->max_running_bytes, &hub->max_attachments, &hub->max_attachment_bytes);
    hub->keeps_slow = keeps_slow;
    Py_DECREF(empty);
    if (read && (hub->max_fragments < 1 || hub->max_fragments > INT32_MAX || hub->max_control < 1 ||
                 hub->max_control > INT32_MAX)) {
        PyErr_SetString(PyExc_ValueError, "max_fragments and max_control_frames must be positive");
        return -1;
    }
    return read ? 0 : -1;
}

static PyObject *
hub_meth_set_limits(PyObject *self, PyObject *limits)
{
    if (!PyDict_Check(limits)) {
        PyErr_SetString(PyExc_TypeError, "limits must be a dict");
        return NULL;
    }
    if (read_limits((TbxHubObject *)self, limits) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
hub_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "make_plan", "limits", "root", NULL};
    PyObject *loop, *make_plan, *limits, *root = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO!|O:Hub", names, &loop, &make_plan,
                                     &PyDict_Type, &limits, &root)) {
        return NULL;
    }
    if (root == Py_None) {
        root = NULL;
    }
    if (root != NULL && !Py_IS_TYPE(root, type)) {
        PyErr_SetString(PyExc_TypeError, "root must be a Hub or None");
        return NULL;
    }
    TbxHubObject *hub = (TbxHubObject *)type->tp_alloc(type, 0);
    if (hub == NULL) {
        return NULL;
    }
    hub->state = PyType_GetModuleState(type);
    tbx_deadlines_init(hub);
    hub->slice_ns = TBX_SLICE_NS;
    hub->loop = Py_NewRef(loop);
    hub->make_plan = Py_NewRef(make_plan);
    if (read_limits(hub, limits) < 0 ||
        (hub->flush_call = PyObject_GetAttrString((PyObject *)hub, "_flush")) == NULL ||
        (hub->pump_call = PyObject_GetAttrString((PyObject *)hub, "_pump")) == NULL ||
        (hub->tick_call = PyObject_GetAttrString((PyObject *)hub, "_tick")) == NULL ||
        (hub->raise_call = PyObject_GetAttrString((PyObject *)hub, "_raise")) == NULL ||
        (hub->compressors = PyDict_New()) == NULL || (hub->events.numbers = PyDict_New()) == NULL ||
        tbx_task_init(hub) < 0) {
        Py_DECREF(hub);
        return NULL;
    }
    if (root != NULL) {
        tbx_hub_join((TbxHubObject *)root, hub);
    }
    return (PyObject *)hub;
}

static PyObject *
hub_meth_connection(PyObject *self, PyObject *args)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    PyObject *socket, *sid;
    if (!PyArg_ParseTuple(args, "OU:connection", &socket, &sid)) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)hub->state->ConnectionType;
    TbxConnObject *conn = (TbxConnObject *)type->tp_alloc(type, 0);
    if (conn != NULL) {
        conn->hub = (TbxHubObject *)Py_NewRef(hub);
        conn->socket = Py_NewRef(socket);
        tbx_watch_keys_set(hub->state, &conn->socket_keys, socket);
        conn->sid = Py_NewRef(sid);
        conn->max_size = hub->max_size;
        conn->stock = conn->can_write = true;
        tbx_ws_reader_init(&conn->reader, (uint64_t)hub->max_size, 1, false);
        hub->n_connections++;
    }
    return (PyObject *)conn;
}

static PyObject *
hub_meth_watch(PyObject *self, PyObject *looked_at)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    if (!PyTuple_CheckExact(looked_at)) {
        PyErr_SetString(PyExc_TypeError, "watch() takes a tuple");
        return NULL;
    }
    if (tbx_watch_set(hub->state, &hub->watch, looked_at) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_start(PyObject *self, PyObject *args)
{
    PyObject *coro, *context;
    if (!PyArg_ParseTuple(args, "OO:start", &coro, &context)) {
        return NULL;
    }
    if (tbx_task_start((TbxHubObject *)self, coro, context) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_emit(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args != 7) {
        PyErr_Format(PyExc_TypeError, "emit() takes 7 arguments, not %zd", n_args);
        return NULL;
    }
    return tbx_hub_emit((TbxHubObject *)self, args);
}

static PyObject *
hub_meth_emit_directly(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args != 7) {
        PyErr_Format(PyExc_TypeError, "emit_directly() takes 7 arguments, not %zd", n_args);
        return NULL;
    }
    return tbx_hub_emit_directly((TbxHubObject *)self, args);
}

static PyObject *
hub_meth_deliver(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args != 2 || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "deliver() takes a payload and a str");
        return NULL;
    }
    return tbx_hub_deliver((TbxHubObject *)self, args[0], args[1]);
}

static PyObject *
hub_meth_deliver_replies(PyObject *self, PyObject *args)
{
    PyObject *data, *host_id;
    Py_ssize_t start;
    if (!PyArg_ParseTuple(args, "SnU:deliver_replies", &data, &start, &host_id)) {
        return NULL;
    }
    if (start < 0 || start > PyBytes_GET_SIZE(data)) {
        PyErr_SetString(PyExc_ValueError, "start lies outside of the data");
        return NULL;
    }
    return tbx_hub_deliver_replies((TbxHubObject *)self, data, start, host_id);
}

static PyObject *
hub_meth_emit_encoded(PyObject *self, PyObject *args)
{
    tbx_emit_text text;
    PyObject *ns, *room, *skip;
    Py_ssize_t event_len, args_len;
    int is_volatile;
    if (!PyArg_ParseTuple(args, "y#y#OOOp:emit_encoded", &text.event, &event_len, &text.args,
                          &args_len, &ns, &room, &skip, &is_volatile)) {
        return NULL;
    }
    if (args_len < 2) {
        PyErr_SetString(PyExc_ValueError, "the arguments must be a JSON array");
        return NULL;
    }
    text.event_len = (size_t)event_len;
    text.args++; /* between the brackets */
    text.args_len = (size_t)args_len - 2;
    TbxHubObject *here = tbx_hub_here((TbxHubObject *)self);
    if (here == NULL) {
        return NULL;
    }
    PyObject *result = tbx_hub_emit_text(here, &text, ns, room, skip, is_volatile != 0);
    Py_DECREF(here);
    return result;
}

static PyObject *
hub_meth_send_parts(PyObject *self, PyObject *args)
{
    PyObject *recipients, *parts;
    int is_volatile;
    if (!PyArg_ParseTuple(args, "O!O!p:send_parts", &PyList_Type, &recipients, &PyList_Type, &parts,
                          &is_volatile)) {
        return NULL;
    }
    return tbx_hub_send_parts((TbxHubObject *)self, recipients, parts, is_volatile != 0);
}

static PyObject *
hub_meth_count_event(PyObject *self, PyObject *args)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    PyObject *ns, *event;
    double seconds;
    int has_failed;
    if (!PyArg_ParseTuple(args, "UUdp:count_event", &ns, &event, &seconds, &has_failed)) {
        return NULL;
    }
    if (!(seconds >= 0 && seconds <= 1e9)) {
        PyErr_SetString(PyExc_ValueError, "a duration must be between 0 and 1e9 seconds");
        return NULL;
    }
    Py_ssize_t number = tbx_event_find(hub, ns, event);
    tbx_event_count(hub, number, (uint64_t)(seconds * 1e9), has_failed != 0);
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_events(PyObject *self, PyObject *args)
{
    PyObject *bounds;
    if (!PyArg_ParseTuple(args, "O!:events", &PyTuple_Type, &bounds)) {
        return NULL;
    }
    return tbx_event_list((TbxHubObject *)self, bounds);
}

void
tbx_hub_schedule_flush(TbxHubObject *hub)
{
    if (hub->flush_due || hub->loop == NULL) {
        return;
    }
    PyObject *handle =
        PyObject_CallMethodOneArg(hub->loop, hub->state->str_call_soon, hub->flush_call);
    if (handle == NULL) {
        if (tbx_is_loop_closed()) {
            PyErr_Clear();
        }
        else { /* nobody would come for the output */
            PyErr_WriteUnraisable((PyObject *)hub);
            tbx_hub_flush(hub);
        }
        return;
    }
    Py_DECREF(handle);
    hub->flush_due = true;
}

void
tbx_hub_drain(TbxHubObject *hub, PyObject *sockets)
{
    if (PyList_GET_SIZE(sockets) == 0) {
        return;
    }
    PyObject *first = PyList_GET_ITEM(sockets, 0);
    PyObject *done = tbx_call_python(hub->state, first, TBX_PY_DRAIN, sockets);
    if (done == NULL) {
        PyErr_WriteUnraisable((PyObject *)hub);
    }
    Py_XDECREF(done);
}

void
tbx_hub_flush(TbxHubObject *hub)
{
    hub->flush_due = false;
    hub->n_emits = hub->emitted = 0;
    PyObject *sockets = PyList_New(0); /* of ASGI: they share a task */
    if (sockets == NULL) {
        PyErr_WriteUnraisable((PyObject *)hub);
    }
    TbxConnObject *conn = hub->dirty; /* what becomes dirty meanwhile is for the next time */
    hub->dirty = NULL;
    while (conn != NULL) {
        TbxConnObject *next = conn->next_dirty;
        conn->next_dirty = NULL;
        conn->is_dirty = false;
        if (sockets == NULL || conn->path != TBX_PATH_ASGI) {
            tbx_conn_write(conn);
        }
        else if (tbx_conn_may_drain(conn, sockets) < 0) {
            PyErr_WriteUnraisable((PyObject *)conn);
        }
        Py_DECREF(conn);
        conn = next;
    }
    if (sockets != NULL) {
        tbx_hub_drain(hub, sockets);
        Py_DECREF(sockets);
    }
}

static PyObject *
hub_meth_rest(PyObject *self, PyObject *Py_UNUSED(none))
{
    tbx_hub_rest((TbxHubObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_tasks(PyObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *tasks = ((TbxHubObject *)self)->tasks;
    if (tasks == NULL) { /* it was cleared */
        PyErr_SetString(PyExc_RuntimeError, "the hub is gone");
        return NULL;
    }
    return PySequence_List(tasks);
}

static PyObject *
hub_meth_here(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxHubObject *here = tbx_hub_here((TbxHubObject *)self);
    if (here != NULL && here->root == NULL) {
        Py_DECREF(here);
        Py_RETURN_NONE;
    }
    return (PyObject *)here;
}

static PyObject *
hub_meth_hubs(PyObject *self, PyObject *Py_UNUSED(none))
{
    return tbx_hub_list((TbxHubObject *)self);
}

static PyObject *
hub_meth_part(PyObject *self, PyObject *other)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self))) {
        PyErr_SetString(PyExc_TypeError, "a hub is needed");
        return NULL;
    }
    tbx_hub_part((TbxHubObject *)self, (TbxHubObject *)other);
    Py_RETURN_NONE;
}

static PyObject *
hub_meth_take(PyObject *self, PyObject *conn)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    if (!Py_IS_TYPE(conn, (PyTypeObject *)hub->state->ConnectionType)) {
        PyErr_SetString(PyExc_TypeError, "a connection is needed");
        return NULL;
    }
    return tbx_hub_take(hub, (TbxConnObject *)conn) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
hub_get_loop(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *loop = ((TbxHubObject *)self)->loop;
    return Py_NewRef(loop != NULL ? loop : Py_None);
}

static PyObject *
hub_get_stopping(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((TbxHubObject *)self)->stopping);
}

static int
hub_set_stopping(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int is_stopping = value != NULL ? PyObject_IsTrue(value) : 0;
    if (is_stopping < 0) {
        return -1;
    }
    TbxHubObject *hub = (TbxHubObject *)self;
    hub->stopping = is_stopping;
    for (TbxHubObject *one = hub->root == NULL ? hub->next_hub : NULL; one; one = one->next_hub) {
        one->stopping = is_stopping;
    }
    return 0;
}

static PyObject *
hub_get_slice(PyObject *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble((double)((TbxHubObject *)self)->slice_ns * 1e-9);
}

static int
hub_set_slice(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    double seconds = value != NULL ? PyFloat_AsDouble(value) : 0;
    if (seconds == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds > 0 && seconds <= 1e6)) {
        PyErr_SetString(PyExc_ValueError, "slice_seconds must be more than 0 and at most 1e6");
        return -1;
    }
    ((TbxHubObject *)self)->slice_ns = (uint64_t)(seconds * 1e9);
    return 0;
}

static PyObject *
hub_get_is_fast(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tbx_hub_is_fast((TbxHubObject *)self));
}

static PyObject *
hub_get_reasons(PyObject *self, void *Py_UNUSED(closure))
{
    TbxHubObject *hub = (TbxHubObject *)self;
    (void)tbx_hub_is_fast(hub);
    return hub->plan.reasons ? Py_NewRef(hub->plan.reasons) : PyTuple_New(0);
}

static PyObject *
hub_get_emit_reasons(PyObject *self, void *Py_UNUSED(closure))
{
    TbxHubObject *hub = (TbxHubObject *)self;
    (void)tbx_hub_sends(hub);
    return hub->plan.emit_reasons ? Py_NewRef(hub->plan.emit_reasons) : PyTuple_New(0);
}

static PyObject *
hub_get_n_connections(PyObject *self, void *Py_UNUSED(closure))
{
    TbxHubObject *hub = (TbxHubObject *)self;
    Py_ssize_t n = hub->n_connections;
    for (TbxHubObject *one = hub->root == NULL ? hub->next_hub : NULL; one; one = one->next_hub) {
        n += one->n_connections;
    }
    return PyLong_FromSsize_t(n);
}

static int
hub_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(hub->root);
    Py_VISIT(hub->next_hub);
    Py_VISIT(hub->loop);
    Py_VISIT(hub->posts);
    Py_VISIT(hub->tasks);
    Py_VISIT(hub->make_plan);
    Py_VISIT(hub->compressors);
    Py_VISIT(hub->flush_call);
    Py_VISIT(hub->pump_call);
    Py_VISIT(hub->tick_call);
    Py_VISIT(hub->raise_call);
    Py_VISIT(hub->timer);
    Py_VISIT(hub->bytes);
    Py_VISIT(hub->view);
    Py_VISIT(hub->events.numbers);
    for (TbxConnObject *conn = hub->dirty; conn != NULL; conn = conn->next_dirty) {
        Py_VISIT(conn);
    }
    for (TbxConnObject *conn = hub->turns; conn != NULL; conn = conn->next_turn) {
        Py_VISIT(conn);
    }
    int status = hub->eager != NULL ? tbx_eager_traverse(hub->eager, visit, arg) : 0;
    if (status == 0) {
        status = tbx_watch_traverse(&hub->watch, visit, arg);
    }
    return status != 0 ? status : tbx_plan_traverse(&hub->plan, visit, arg);
}

/* Lets go of the connections with output: no loop will come to write it. */
static void
drop_dirty(TbxHubObject *hub)
{
    TbxConnObject *conn = hub->dirty;
    hub->dirty = NULL;
    while (conn != NULL) {
        TbxConnObject *next = conn->next_dirty;
        conn->next_dirty = NULL;
        conn->is_dirty = false;
        Py_DECREF(conn);
        conn = next;
    }
}

static int
hub_tp_clear(PyObject *self)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    Py_CLEAR(hub->next_hub); /* the root is needed to the end */
    Py_CLEAR(hub->loop);
    Py_CLEAR(hub->posts);
    Py_CLEAR(hub->tasks);
    if (hub->eager != NULL) {
        tbx_eager_clear(hub->eager);
    }
    Py_CLEAR(hub->make_plan);
    Py_CLEAR(hub->compressors);
    Py_CLEAR(hub->flush_call);
    Py_CLEAR(hub->pump_call);
    Py_CLEAR(hub->tick_call);
    Py_CLEAR(hub->raise_call);
    Py_CLEAR(hub->timer);
    Py_CLEAR(hub->bytes);
    Py_CLEAR(hub->view);
    drop_dirty(hub);
    tbx_hub_drop_turns(hub);
    tbx_watch_clear(&hub->watch);
    tbx_plan_clear(&hub->plan);
    return 0;
}

static void
hub_tp_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    hub_tp_clear(self);
    tbx_event_stats_free(&((TbxHubObject *)self)->events);
    PyMem_Free(((TbxHubObject *)self)->eager);
    Py_CLEAR(((TbxHubObject *)self)->root);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef hub_methods[] = {
    {"set_limits", hub_meth_set_limits, METH_O,
     "set_limits($self, limits, /)\n--\n\nOther limits from now on; those of fragments and of "
     "bytes "
     "are\nfor connections that are made later, times for what begins later."},
    {"connection", hub_meth_connection, METH_VARARGS,
     "connection($self, socket, sid, /)\n--\n\nThe C half of a new session."},
    {"watch", hub_meth_watch, METH_O,
     "watch($self, looked_at, /)\n--\n\n"
     "Make the plan void when something of ((object, names), ...) changes."},
    {"start", hub_meth_start, METH_VARARGS,
     "start($self, coro, context, /)\n--\n\nMake a task of coro and run its first step at once."},
    {"emit", (PyCFunction)(void (*)(void))hub_meth_emit, METH_FASTCALL,
     "emit($self, event, data, namespace, room, skip_sid, new_id, is_volatile, /)\n--\n\n"
     "Send an event: None, True when the caller should let the loop turn, or the recipients that "
     "are "
     "left\nand the packet's parts; NotImplemented when all of it is Python's."},
    {"emit_directly", (PyCFunction)(void (*)(void))hub_meth_emit_directly, METH_FASTCALL,
     "emit_directly($self, event, data, to, room, skip_sid, namespace, is_volatile, /)\n--\n\n"
     "The same for AsyncServer.emit, when the manager need not see it."},
    {"emit_encoded", hub_meth_emit_encoded, METH_VARARGS,
     "emit_encoded($self, event, args, namespace, room, skip_sid, is_volatile, /)\n--\n\n"
     "The same for what encode_event() gave; without callbacks."},
    {"send_parts", hub_meth_send_parts, METH_VARARGS,
     "send_parts($self, recipients, parts, is_volatile, /)\n--\n\n"
     "The same for an encoded packet and its recipients, a list of (sid, eio_sid)."},
    {"deliver", (PyCFunction)(void (*)(void))hub_meth_deliver, METH_FASTCALL,
     "deliver($self, payload, host_id, /)\n--\n\n"
     "Emit what another server has published: as emit(), but False when all of it is Python's."},
    {"deliver_replies", hub_meth_deliver_replies, METH_VARARGS,
     "deliver_replies($self, data, start, host_id, /)\n--\n\n"
     "The same for what was read from Redis: (at, need, left), see csrc/conn/conn.h."},
    {"count_event", hub_meth_count_event, METH_VARARGS,
     "count_event($self, namespace, event, seconds, has_failed, /)\n--\n\n"
     "Count an event that was handled in Python."},
    {"events", hub_meth_events, METH_VARARGS,
     "events($self, bounds, /)\n--\n\n"
     "The events that were handled, durations in seconds: a list of\n"
     "(namespace, event, count, failed, sum, p50, p99, longest, counts up to each of the bounds)."},
    {"tasks", hub_meth_tasks, METH_NOARGS,
     "tasks($self, /)\n--\n\nA list of the tasks of connections that are not through."},
    {"here", hub_meth_here, METH_NOARGS,
     "here($self, /)\n--\n\nThe server's hub of the running event loop, or None."},
    {"hubs", hub_meth_hubs, METH_NOARGS,
     "hubs($self, /)\n--\n\nA list of the server's hubs, one for each event loop."},
    {"part", hub_meth_part, METH_O,
     "part($self, hub, /)\n--\n\nLet go of a hub whose event loop is closed."},
    {"take", hub_meth_take, METH_O,
     "take($self, connection, /)\n--\n\nTake a connection that polls over from another hub."},
    {"rest", hub_meth_rest, METH_NOARGS,
     "rest($self, /)\n--\n\nCancel the timer when nothing is due any more."},
    {"_flush", hub_meth_flush, METH_NOARGS, NULL},
    {"_pump", hub_meth_pump, METH_NOARGS, NULL},
    {"_tick", hub_meth_tick, METH_NOARGS, NULL},
    {"_raise", hub_meth_raise, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef hub_getset[] = {
    {"loop", hub_get_loop, NULL, "Its event loop; None: it is the root.", NULL},
    {"is_fast", hub_get_is_fast, NULL, "Whether events are dispatched in C.", NULL},
    {"reasons", hub_get_reasons, NULL, "Why they are not: a tuple of texts.", NULL},
    {"emit_reasons", hub_get_emit_reasons, NULL, "Why emits do not leave from C: a tuple of texts.",
     NULL},
    {"stopping", hub_get_stopping, hub_set_stopping,
     "Whether events are dropped; the root's is set for all.", NULL},
    {"slice_seconds", hub_get_slice, hub_set_slice,
     "What one connection may take of the event loop before others have their turn.", NULL},
    {"n_connections", hub_get_n_connections, NULL, "Sessions that exist; the root's: of all.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef hub_members[] = {
    {"posts", T_OBJECT, offsetof(TbxHubObject, posts), 0, "Calls of other threads."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot hub_slots[] = {
    {Py_tp_doc, (void *)"Hub(loop, make_plan, limits, root=None)\n--\n\n"
                        "What the connections of one server on one event loop share; without a\n"
                        "loop: the root, which owns the others and counts their events."},
    {Py_tp_new, (void *)hub_tp_new},
    {Py_tp_dealloc, (void *)hub_tp_dealloc},
    {Py_tp_traverse, (void *)hub_tp_traverse},
    {Py_tp_clear, (void *)hub_tp_clear},
    {Py_tp_methods, hub_methods},
    {Py_tp_getset, hub_getset},
    {Py_tp_members, hub_members},
    {0, NULL},
};

PyType_Spec tbx_hub_spec = {
    .name = "toolboxsio._core.Hub",
    .basicsize = sizeof(TbxHubObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = hub_slots,
};
