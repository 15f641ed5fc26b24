/* fanout.c: one event to many clients (contract in conn.h).
 *
 * The event is encoded once; its frames are made once for each way of compressing them and handed to
 * every recipient as the same bytes object. Encoding, compressing and a client that turns out to be too
 * slow may run Python: the recipients are strong references taken before, each connection is looked up
 * when its turn comes, and a table of the server is never walked across an escape.
 * Whom Python has to serve (sockets with methods of their own, sessions that end) is told to the
 * caller.
 * Mirrors: socketio.AsyncManager.emit, BaseManager.get_participants.
 */
#include "conn/conn.h"

#include "codec/json_enc.h"
#include "wire/pubsub.h"

#define WINDOWS 16 /* bits of a compressor's window; 0: not compressed */

/* An emit. Everything is owned but hub, ns, skip, new_id and text. */
typedef struct {
    TbxHubObject *hub;
    PyObject *ns;
    PyObject *skip;   /* str, list or anything: who gets nothing */
    PyObject *new_id; /* sid -> id of the acknowledgement, or None */
    PyObject *rooms;  /* dict: of the plan, as the next two; it may be made anew meanwhile */
    PyObject *hook;   /* json_default */
    PyObject *json;   /* the application's, or None */
    Py_ssize_t max_depth;
    bool has_attachments;
    bool is_volatile;
    tbx_buf *text;     /* borrowed: gap, header, array */
    size_t array;      /* where the array begins */
    size_t start;      /* where the packet begins; with ids: undefined */
    PyObject *parts;   /* list: attachments */
    PyObject *message; /* str of the packet as an Engine.IO message, or NULL before it is needed */
    PyObject *frames[WINDOWS]; /* bytes, or NULL before they are needed */
    PyObject *left;            /* list of (sid, eio_sid), or NULL: for Python */
    size_t n_bytes;            /* that were put */
} emission;

typedef struct {
    PyObject *sid, *eio_sid; /* owned */
} recipient;

static int
emission_encode(emission *e, PyObject *event, PyObject *data)
{
    e->parts = PyList_New(0);
    int status = -1;
    if (e->parts != NULL && tbx_packet_begin(e->text, e->ns, false, 0) == 0) {
        tbx_json_enc_options options = {e->hook, e->max_depth - 1,
                                        e->has_attachments ? e->parts : NULL};
        e->array = e->text->len;
        status = tbx_packet_put_array(e->hub->state, e->text, e->json, event, data, &options);
    }
    if (status == 0) {
        e->start = tbx_packet_finish(e->text->data, '2', PyList_GET_SIZE(e->parts));
    }
    return status;
}

static void
emission_free(emission *e)
{
    tbx_buf_free(e->text);
    Py_XDECREF(e->parts);
    Py_XDECREF(e->message);
    Py_XDECREF(e->left);
    for (int i = 0; i < WINDOWS; i++) {
        Py_XDECREF(e->frames[i]);
    }
}

/* Appends one message as a frame, compressed when that is wanted and makes it smaller. */
static int
put_part(TbxHubObject *hub, tbx_buf *out, bool is_text, unsigned bits, const uint8_t *data,
         size_t len)
{
    unsigned opcode = is_text ? TBX_WS_TEXT : TBX_WS_BINARY;
    PyObject *packed = NULL;
    if (bits != 0 && len > 0 && len >= (size_t)hub->compression_threshold) {
        packed = tbx_hub_deflate(hub, bits, data, len);
        if (packed == NULL && PyErr_Occurred()) {
            return -1;
        }
    }
    if (packed != NULL) {
        data = (const uint8_t *)PyBytes_AS_STRING(packed);
        len = (size_t)PyBytes_GET_SIZE(packed);
    }
    int status = tbx_buf_room(out, len + TBX_WS_HEAD_MAX);
    if (status == 0) {
        out->len += tbx_ws_frame_put(out->data + out->len, opcode, packed != NULL, len);
        (void)tbx_buf_put(out, data, len);
    }
    else {
        PyErr_NoMemory();
    }
    Py_XDECREF(packed);
    return status;
}

/* The frames of a packet and its attachments: new reference. Escapes when bits are not 0. */
static PyObject *
make_frames(emission *e, unsigned bits, const uint8_t *text, size_t len)
{
    tbx_buf out;
    tbx_buf_init(&out);
    int status = put_part(e->hub, &out, true, bits, text, len);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(e->parts) && status == 0; i++) {
        Py_buffer view;
        status = PyObject_GetBuffer(PyList_GET_ITEM(e->parts, i), &view, PyBUF_SIMPLE);
        if (status == 0) {
            status = put_part(e->hub, &out, false, bits, view.buf, (size_t)view.len);
            PyBuffer_Release(&view);
        }
    }
    PyObject *frames =
        status == 0 ? PyBytes_FromStringAndSize((const char *)out.data, (Py_ssize_t)out.len) : NULL;
    tbx_buf_free(&out);
    return frames;
}

/* Whether C may put messages for this connection. */
static bool
is_ready(TbxConnObject *conn)
{
    return tbx_conn_is_stock(conn) && !tbx_conn_is_closing(conn) && conn->socket != NULL &&
           (conn->path == TBX_PATH_DIRECT || conn->path == TBX_PATH_POLLING ||
            (conn->path == TBX_PATH_ASGI && conn->outbox != NULL));
}

bool
tbx_conn_sends(TbxConnObject *conn)
{
    if (!tbx_hub_sends(conn->hub) || !is_ready(conn)) {
        return false;
    }
    TbxHubObject *here = tbx_hub_here(conn->hub);
    bool is_here = here == conn->hub;
    PyErr_Clear();
    Py_XDECREF(here);
    return is_here;
}

/* Puts a packet and its attachments. 0, or -1 with an exception. Escapes. */
static int
put_packet(emission *e, TbxConnObject *conn, const uint8_t *text, size_t len, PyObject **frames,
           PyObject **message)
{
    if (conn->path == TBX_PATH_DIRECT) {
        if (*frames == NULL && (*frames = make_frames(e, conn->window_bits, text, len)) == NULL) {
            return -1;
        }
        e->n_bytes += (size_t)PyBytes_GET_SIZE(*frames);
        return is_ready(conn) ? tbx_conn_put_frames(conn, *frames) : 0;
    }
    if (*message == NULL) {
        *message = PyUnicode_DecodeUTF8((const char *)text, (Py_ssize_t)len, "surrogatepass");
    }
    int status = *message != NULL ? tbx_conn_put_object(conn, *message) : -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(e->parts) && status == 0; i++) {
        status = tbx_conn_put_object(conn, PyList_GET_ITEM(e->parts, i));
    }
    e->n_bytes += len;
    return status;
}

/* The id of an acknowledgement, or -1 with an exception. Escapes. */
static long long
make_id(emission *e, PyObject *sid)
{
    PyObject *number = PyObject_CallOneArg(e->new_id, sid);
    long long id = number != NULL ? PyLong_AsLongLong(number) : -1;
    Py_XDECREF(number);
    if (id < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "the id of a callback must not be negative");
    }
    return id;
}

/* The same with an id of its own, which the answer will bear. Escapes. */
static int
put_with_id(emission *e, TbxConnObject *conn, long long id)
{
    tbx_buf text;
    PyObject *frames = NULL, *message = NULL;
    tbx_buf_init(&text);
    int status = tbx_packet_begin(&text, e->ns, true, (uint64_t)id);
    if (status == 0 &&
        (status = tbx_buf_put(&text, e->text->data + e->array, e->text->len - e->array)) < 0) {
        PyErr_NoMemory();
    }
    if (status == 0) {
        size_t start = tbx_packet_finish(text.data, '2', PyList_GET_SIZE(e->parts));
        status = put_packet(e, conn, text.data + start, text.len - start, &frames, &message);
    }
    Py_XDECREF(frames);
    Py_XDECREF(message);
    tbx_buf_free(&text);
    return status;
}

static int
leave(emission *e, const recipient *to)
{
    PyObject *pair = PyTuple_Pack(2, to->sid, to->eio_sid);
    if (pair != NULL && e->left == NULL) {
        e->left = PyList_New(0);
    }
    int status = pair != NULL && e->left != NULL ? PyList_Append(e->left, pair) : -1;
    Py_XDECREF(pair);
    return status;
}

/* The connection of a session; new reference, or NULL when there is none that C may use. */
static TbxConnObject *
find_connection(TbxHubObject *hub, PyObject *eio_sid)
{
    PyObject *sockets = hub->plan.sockets;
    PyObject *socket = sockets != NULL && PyUnicode_CheckExact(eio_sid)
                           ? Py_XNewRef(PyDict_GetItemWithError(sockets, eio_sid))
                           : NULL;
    PyObject *conn =
        socket != NULL ? PyObject_GetAttr(socket, hub->state->py_names[TBX_PY_CONN]) : NULL;
    PyErr_Clear();
    bool is_ours = conn != NULL && Py_IS_TYPE(conn, (PyTypeObject *)hub->state->ConnectionType) &&
                   ((TbxConnObject *)conn)->hub == hub && ((TbxConnObject *)conn)->socket == socket;
    Py_XDECREF(socket);
    if (!is_ours) {
        Py_CLEAR(conn);
    }
    return (TbxConnObject *)conn;
}

/* Puts the packet for a connection that is ready. */
static void
put(emission *e, TbxConnObject *conn, long long id)
{
    unsigned bits = conn->path == TBX_PATH_DIRECT ? conn->window_bits % WINDOWS : 0;
    int status = id >= 0 ? put_with_id(e, conn, id)
                         : put_packet(e, conn, e->text->data + e->start, e->text->len - e->start,
                                      &e->frames[bits], &e->message);
    if (status < 0) { /* the client lacks a part: an error of its own */
        PyErr_WriteUnraisable((PyObject *)conn);
        tbx_conn_abort(conn);
    }
    else {
        tbx_conn_has_output(conn);
    }
}

/* One recipient. 0, or -1 with an exception that ends the emit. Escapes. */
static int
deliver(emission *e, const recipient *to)
{
    TbxConnObject *conn = find_connection(e->hub, to->eio_sid);
    if (conn == NULL || !is_ready(conn)) {
        Py_XDECREF(conn);
        return leave(e, to);
    }
    int status = 0;
    if (!e->is_volatile || !tbx_conn_is_behind(conn)) {
        long long id = e->new_id != Py_None ? make_id(e, to->sid) : -1;
        if (id < 0 && e->new_id != Py_None) {
            status = -1;
        }
        else if (is_ready(conn)) { /* still */
            put(e, conn, id);
        }
    }
    Py_DECREF(conn);
    return status;
}

/* 1 when a client is to get nothing; 0; -1 with an exception. */
static int
is_skipped(const emission *e, PyObject *sid)
{
    if (e->skip == Py_None) {
        return 0;
    }
    return PyList_Check(e->skip) ? PySequence_Contains(e->skip, sid)
                                 : PyObject_RichCompareBool(e->skip, sid, Py_EQ);
}

/* Room names whose hash and equality run no Python. */
static bool
is_plain_room(PyObject *room)
{
    return room == Py_None || PyUnicode_CheckExact(room) || PyLong_CheckExact(room);
}

/* The members of a room, sid -> eio_sid. New reference; NULL: nobody, or an exception. */
static PyObject *
members_of(TbxHubObject *hub, PyObject *rooms, PyObject *room)
{
    PyObject *table = Py_XNewRef(PyDict_GetItemWithError(rooms, room));
    PyObject *members = table != NULL ? PyObject_GetAttr(table, hub->state->str_fwdm) : NULL;
    Py_XDECREF(table);
    if (members != NULL && !PyDict_CheckExact(members)) {
        Py_CLEAR(members);
        PyErr_SetString(PyExc_TypeError, "a room must be a bidict");
    }
    return members;
}

/* The members of a room or of several, each once. As members_of. */
static PyObject *
find_members(const emission *e, PyObject *room)
{
    TbxHubObject *hub = e->hub;
    PyObject *rooms = Py_XNewRef(PyDict_GetItemWithError(e->rooms, e->ns));
    if (rooms == NULL || !PyDict_CheckExact(rooms)) {
        Py_XDECREF(rooms);
        return NULL;
    }
    if (is_plain_room(room)) {
        PyObject *members = members_of(hub, rooms, room);
        Py_DECREF(rooms);
        return members;
    }
    PyObject *all = PyDict_New();
    for (Py_ssize_t i = 0; all != NULL && i < PyTuple_GET_SIZE(room); i++) {
        PyObject *members = members_of(hub, rooms, PyTuple_GET_ITEM(room, i));
        if (members != NULL ? PyDict_Update(all, members) < 0 : PyErr_Occurred() != NULL) {
            Py_CLEAR(all);
        }
        Py_XDECREF(members);
    }
    Py_DECREF(rooms);
    return all;
}

/* Whether a room argument is one that C understands. */
static bool
is_known_room(PyObject *room)
{
    if (is_plain_room(room)) {
        return true;
    }
    if (!PyTuple_CheckExact(room)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(room); i++) {
        if (!is_plain_room(PyTuple_GET_ITEM(room, i))) {
            return false;
        }
    }
    return PyTuple_GET_SIZE(room) > 0;
}

/* Serves everybody in `members`. 0 or -1. Escapes. */
static int
deliver_all(emission *e, PyObject *members)
{
    Py_ssize_t n = PyDict_GET_SIZE(members), at = 0, count = 0;
    recipient one, *all = &one;
    if (n > 1 && (all = PyMem_New(recipient, (size_t)n)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *sid, *eio_sid;
    while (count < n && PyDict_Next(members, &at, &sid, &eio_sid)) {
        all[count].sid = Py_NewRef(sid);
        all[count++].eio_sid = Py_NewRef(eio_sid);
    }
    int status = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        int skipped = status == 0 ? is_skipped(e, all[i].sid) : 1;
        if (skipped < 0 || (skipped == 0 && deliver(e, &all[i]) < 0)) {
            status = -1;
        }
        Py_DECREF(all[i].sid);
        Py_DECREF(all[i].eio_sid);
    }
    if (all != &one) {
        PyMem_Free(all);
    }
    return status;
}

/* None; True when the emitter should let the loop turn; or what Python has to do. */
static PyObject *
outcome(emission *e)
{
    TbxHubObject *hub = e->hub;
    if (e->left != NULL) {
        if (e->new_id != Py_None) {
            return PyTuple_Pack(2, e->left, Py_None);
        }
        size_t start = e->start + 1; /* behind the type of the Engine.IO message */
        PyObject *text = PyUnicode_DecodeUTF8((const char *)e->text->data + start,
                                              (Py_ssize_t)(e->text->len - start), "surrogatepass");
        int status = text != NULL ? PyList_Insert(e->parts, 0, text) : -1;
        Py_XDECREF(text);
        return status < 0 ? NULL : PyTuple_Pack(2, e->left, e->parts);
    }
    if (e->n_bytes > 0) {
        hub->n_emits++;
        hub->emitted += e->n_bytes;
        if (hub->n_emits >= TBX_EMITS_MAX || hub->emitted >= TBX_EMITTED_MAX) {
            hub->n_emits = 0;
            hub->emitted = 0;
            Py_RETURN_TRUE;
        }
    }
    Py_RETURN_NONE;
}

/* `[event,args]` of JSON that is there already. */
static int
emission_splice(emission *e, const tbx_emit_text *text)
{
    bool is_none =
        text->args_len == 0 || (text->args_len == 4 && memcmp(text->args, "null", 4) == 0);
    e->parts = PyList_New(0);
    if (e->parts == NULL || tbx_packet_begin(e->text, e->ns, false, 0) < 0) {
        return -1;
    }
    e->array = e->text->len;
    if (tbx_buf_room(e->text, text->event_len + text->args_len + 3) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    (void)tbx_buf_put_byte(e->text, '[');
    (void)tbx_buf_put(e->text, text->event, text->event_len);
    if (!is_none) {
        (void)tbx_buf_put_byte(e->text, ',');
        e->text->len += tbx_pub_compact((const uint8_t *)text->args, text->args_len,
                                        e->text->data + e->text->len);
    }
    (void)tbx_buf_put_byte(e->text, ']');
    e->start = tbx_packet_finish(e->text->data, '2', 0);
    return 0;
}

/* Emits once ns and room are known to be C's: an event that is encoded, or is to be. Escapes. */
static PyObject *
emit(emission *e, PyObject *room, const tbx_emit_text *text, PyObject *event, PyObject *data)
{
    PyObject *result = NULL;
    PyObject *members = NULL;
    tbx_buf buf;
    tbx_buf_init(&buf);
    e->text = &buf;
    if (text != NULL && (members = find_members(e, room)) == NULL) { /* before it is built */
        result = PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    else if ((text ? emission_splice(e, text) : emission_encode(e, event, data)) == 0) {
        /* The encoder may have run anything: only now is looked at who is there. */
        if (members == NULL) {
            members = find_members(e, room);
        }
        if (members != NULL ? deliver_all(e, members) == 0 : !PyErr_Occurred()) {
            result = outcome(e);
        }
    }
    Py_XDECREF(members);
    emission_free(e);
    return result;
}

/* The room argument as C wants it: 1, 0 when it is Python's, -1 with an exception. A list is the
 * caller's, and may change while the event is encoded. */
static int
take_room(PyObject **room)
{
    *room = PyList_CheckExact(*room) ? PyList_AsTuple(*room) : Py_NewRef(*room);
    return *room == NULL ? -1 : is_known_room(*room);
}

/* The same, with the plan's tables held. Nothing that may collect stands between the check of the plan
 * and that. */
static PyObject *
emit_by_plan(emission *e, PyObject *room, const tbx_emit_text *text, PyObject *event,
             PyObject *data)
{
    TbxHubObject *hub = e->hub;
    if (!tbx_hub_sends(hub) || (text != NULL && hub->plan.emit_json != Py_None)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    e->rooms = Py_NewRef(hub->plan.emit_rooms);
    e->hook = Py_NewRef(hub->plan.emit_default);
    e->json = Py_NewRef(hub->plan.emit_json);
    e->max_depth = hub->plan.emit_depth;
    e->has_attachments = hub->plan.has_attachments;
    PyObject *result = NULL;
    if (PyDict_GetItemWithError(e->rooms, e->ns) != NULL) {
        result = emit(e, room, text, event, data);
    }
    else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    Py_DECREF(e->rooms);
    Py_DECREF(e->hook);
    Py_DECREF(e->json);
    return result;
}

static PyObject *
emit_to(emission *e, PyObject *room, const tbx_emit_text *text, PyObject *event, PyObject *data)
{
    if (!PyUnicode_CheckExact(e->ns)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int is_known = take_room(&room);
    PyObject *result = is_known > 0    ? emit_by_plan(e, room, text, event, data)
                       : is_known == 0 ? Py_NewRef(Py_NotImplemented)
                                       : NULL;
    Py_XDECREF(room);
    return result;
}

PyObject *
tbx_hub_emit(TbxHubObject *hub, PyObject *const *args)
{
    int is_volatile = PyObject_IsTrue(args[6]);
    if (is_volatile < 0) {
        return NULL;
    }
    if ((hub = tbx_hub_here(hub)) == NULL) {
        return NULL;
    }
    emission e = {
        .hub = hub, .ns = args[2], .skip = args[4], .new_id = args[5], .is_volatile = is_volatile};
    PyObject *result = emit_to(&e, args[3], NULL, args[0], args[1]);
    Py_DECREF(hub);
    return result;
}

PyObject *
tbx_hub_emit_directly(TbxHubObject *hub, PyObject *const *args)
{
    PyObject *room = args[2] == Py_None ? args[3] : args[2];
    PyObject *ns = args[5] == Py_None ? hub->state->str_root : args[5];
    bool is_plain = (room == Py_None || PyUnicode_CheckExact(room)) && PyUnicode_CheckExact(ns);
    bool is_named = is_plain && (room == Py_None || PyUnicode_GET_LENGTH(room) > 0) &&
                    PyUnicode_GET_LENGTH(ns) > 0;
    if (!is_named || !PyBool_Check(args[6])) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *result = Py_NotImplemented;
    if ((hub = tbx_hub_here(hub)) == NULL) {
        return NULL;
    }
    if (tbx_hub_sends(hub) && hub->plan.manager_emits) {
        emission e = {.hub = hub,
                      .ns = ns,
                      .skip = args[4],
                      .new_id = Py_None,
                      .is_volatile = args[6] == Py_True};
        result = emit_to(&e, room, NULL, args[0], args[1]);
    }
    else {
        Py_INCREF(result);
    }
    Py_DECREF(hub);
    return result;
}

/* Serves the recipients of a list. 0 or -1. Escapes. */
static int
deliver_each(emission *e, PyObject *recipients)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(recipients); i++) {
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(recipients, i));
        recipient to;
        int status = PyArg_ParseTuple(pair, "OO:recipient", &to.sid, &to.eio_sid) ? 0 : -1;
        if (status == 0) {
            status = deliver(e, &to);
        }
        Py_DECREF(pair);
        if (status < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *
tbx_hub_send_parts(TbxHubObject *hub, PyObject *recipients, PyObject *parts, bool is_volatile)
{
    if (!tbx_hub_sends(hub)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (PyList_GET_SIZE(parts) == 0 || !PyUnicode_Check(PyList_GET_ITEM(parts, 0))) {
        PyErr_SetString(PyExc_TypeError, "a packet begins with its text");
        return NULL;
    }
    tbx_buf buf;
    tbx_buf_init(&buf);
    emission e = {.hub = hub, .new_id = Py_None, .is_volatile = is_volatile, .text = &buf};
    PyObject *text = PyUnicode_AsEncodedString(PyList_GET_ITEM(parts, 0), "utf-8", "surrogatepass");
    PyObject *result = NULL;
    if (text != NULL && (e.parts = PyList_GetSlice(parts, 1, PY_SSIZE_T_MAX)) != NULL) {
        if (tbx_buf_put_byte(&buf, '4') < 0 ||
            tbx_buf_put(&buf, PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text)) < 0) {
            PyErr_NoMemory();
        }
        else if (deliver_each(&e, recipients) == 0) {
            result = outcome(&e);
        }
    }
    Py_XDECREF(text);
    emission_free(&e);
    return result;
}

PyObject *
tbx_hub_emit_text(TbxHubObject *hub, const tbx_emit_text *text, PyObject *ns, PyObject *room,
                  PyObject *skip, bool is_volatile)
{
    emission e = {
        .hub = hub, .ns = ns, .skip = skip, .new_id = Py_None, .is_volatile = is_volatile};
    return emit_to(&e, room, text, NULL, NULL);
}
