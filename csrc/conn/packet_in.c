/* packet_in.c: from a message of the client to what handles its packet (contract in conn.h).
 *
 * A packet is handled here when the plan allows it and nothing about it is unusual: else nothing has
 * happened yet and Python does all of it, errors and their texts included. Events are dispatched by
 * conn_dispatch.c; what Python does with a CONNECT, a DISCONNECT or an acknowledgement is one coroutine. A
 * call() that waits for an acknowledgement is woken at once.
 * Mirrors: engineio.AsyncSocket.receive, socketio.AsyncServer._handle_eio_message, ._handle_ack,
 * AsyncManager.trigger_callback.
 */
#include "conn/conn.h"

#include "codec/json_dec.h"

#define LARGE_EVENT 1024 /* bytes: reading its JSON costs more than to ask first who sends it */

void
tbx_conn_pong(TbxConnObject *conn)
{
    bool is_asked = conn->beat.next != NULL ? conn->beat.kind == TBX_DUE_PONG
                                            : conn->hub->after[TBX_DUE_PONG] <= 0;
    if (is_asked) {
        tbx_deadline_set(conn->hub, &conn->beat, TBX_DUE_PING, -1);
    }
}

/* Whether a message is a CONNECT or DISCONNECT, and not one that Engine.IO takes for JSON. */
static bool
is_join_or_leave(const uint8_t *text, size_t len)
{
    return (text[1] == '0' || text[1] == '1') && (len == 2 || text[2] == '{' || text[2] == '/');
}

/* Reads the header of a packet that may be handled here: false when it may not. Does not escape, but
 * allocates. */
static bool
read_header(TbxHubObject *hub, const uint8_t *text, size_t len, tbx_packet_in *found)
{
    tbx_err err;
    tbx_sio *header = &found->header;
    if (len < 2 || text[0] != '4') {
        return false;
    }
    bool is_binary = text[1] == '5' || text[1] == '6';
    bool has_data = len > 2 && (text[1] == '2' || text[1] == '3' || is_binary);
    if (!has_data && !is_join_or_leave(text, len)) {
        return false;
    }
    ptrdiff_t used = tbx_sio_parse(text + 1, len - 1, header, &err);
    if (used <= 0 || header->id_len > TBX_ID_DIGITS || (header->attachments > 0) != is_binary ||
        header->attachments > (uint64_t)hub->max_attachments) {
        return false;
    }
    found->json = text + 1 + used;
    found->json_len = len - 1 - (size_t)used;
    if ((has_data && found->json_len == 0) || (header->ns != NULL && header->ns_len == 0)) {
        return false;
    }
    if (header->ns == NULL) {
        found->ns = Py_NewRef(hub->state->str_root);
    }
    else {
        found->ns =
            PyUnicode_DecodeUTF8((const char *)header->ns, (Py_ssize_t)header->ns_len, NULL);
        PyErr_Clear();
    }
    return found->ns != NULL;
}

/* The packet of the client whose attachments are awaited: its next message is one. New reference; NULL: there
 * is none. */
static PyObject *
find_partial(TbxConnObject *conn)
{
    PyObject *table = conn->hub->plan.binary_packet;
    return PyDict_GET_SIZE(table) > 0 ? tbx_look_up(table, conn->sid) : NULL;
}

static bool
has_joined(TbxConnObject *conn, PyObject *ns)
{
    PyObject *sid = tbx_conn_find_sid(conn, ns);
    Py_XDECREF(sid);
    return sid != NULL;
}

/* The JSON of a packet: new reference; NULL with or without an exception. With the application's own JSON
 * an escape. */
static PyObject *
read_json(TbxHubObject *hub, const tbx_packet_in *packet)
{
    tbx_err err;
    if (hub->plan.json == Py_None) {
        return tbx_json_decode(hub->state, packet->json, packet->json_len, hub->plan.max_depth,
                               &err);
    }
    PyObject *json = Py_NewRef(hub->plan.json); /* to decode allocates */
    PyObject *str = PyUnicode_DecodeUTF8((const char *)packet->json, (Py_ssize_t)packet->json_len,
                                         "surrogatepass");
    PyObject *data = str != NULL ? tbx_call_python(hub->state, json, TBX_PY_LOADS, str) : NULL;
    Py_XDECREF(str);
    Py_DECREF(json);
    return data;
}

/* What Python does with a packet: 1, 0 or -1. */
static int
hand_over(TbxConnObject *conn, const tbx_packet_in *packet, PyObject *data)
{
    TbxHubObject *hub = conn->hub;
    const tbx_sio *header = &packet->header;
    if (conn->socket == NULL ||
        hub->plan.handle_packet == NULL) { /* over, or replaced, meanwhile */
        return 0;
    }
    PyObject *id = tbx_packet_id_object(header);
    if (id == NULL) {
        return -1;
    }
    PyObject *ns = header->ns != NULL ? packet->ns : Py_None;
    PyObject *coro = tbx_call_python(hub->state, hub->plan.handle_packet, TBX_PY_HANDLE_PACKET,
                                     conn->socket, (int)header->type, ns, id, data);
    Py_DECREF(id);
    return coro != NULL && tbx_conn_run(conn, coro) == 0 ? 1 : -1;
}

/* Wakes the call() that waits for an acknowledgement: 1; 0: it is not one that does; -1. */
static int
wake_call(PyObject *waiting, PyObject *id, PyTypeObject *call_type, PyObject *data)
{
    PyObject *call = tbx_look_up(waiting, id);
    if (call == NULL || !Py_IS_TYPE(call, call_type)) {
        Py_XDECREF(call);
        return 0;
    }
    PyObject *args = PyList_AsTuple(data);
    PyObject *done = args != NULL ? PyObject_Call(call, args, NULL) : NULL;
    Py_XDECREF(args);
    Py_DECREF(call);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    return PyDict_DelItem(waiting, id) == 0 ? 1 : -1; /* last: it is told when the client goes */
}

int
tbx_conn_acknowledge(TbxConnObject *conn, const tbx_packet_in *packet, PyObject *data)
{
    /* what follows may have the plan made anew */
    PyObject *callbacks = Py_NewRef(conn->hub->plan.callbacks);
    PyObject *call_type = Py_NewRef(conn->hub->plan.call_type);
    PyObject *sid = PyList_CheckExact(data) ? tbx_conn_find_sid(conn, packet->ns) : NULL;
    PyObject *waiting = sid != NULL ? tbx_look_up(callbacks, sid) : NULL; /* None has none */
    PyObject *id = PyLong_FromUnsignedLongLong(tbx_packet_id(&packet->header));
    int status = id != NULL ? wake_call(waiting, id, (PyTypeObject *)call_type, data) : -1;
    if (status == 0 && sid != NULL) {
        status = hand_over(conn, packet, data);
    }
    Py_XDECREF(id);
    Py_XDECREF(waiting);
    Py_XDECREF(sid);
    Py_DECREF(call_type);
    Py_DECREF(callbacks);
    return status;
}

/* Whether a packet has the data of its type, and not one that Python refuses or ignores. Escapes. */
static bool
is_usual(TbxConnObject *conn, const tbx_packet_in *packet, PyObject *data)
{
    switch (packet->header.type) {
    case TBX_SIO_CONNECT:
        return data == Py_None || PyDict_Check(data);
    case TBX_SIO_DISCONNECT:
        return data == Py_None && has_joined(conn, packet->ns);
    case TBX_SIO_BINARY_EVENT:
        return tbx_hub_takes_event(conn->hub, data) && has_joined(conn, packet->ns);
    default: /* a BINARY_ACK */
        return PyList_CheckExact(data) && has_joined(conn, packet->ns);
    }
}

/* A packet whose header was read: 1, 0 or -1. */
static int
handle(TbxConnObject *conn, const tbx_packet_in *packet)
{
    TbxHubObject *hub = conn->hub;
    unsigned type = packet->header.type;
    bool has_data = type == TBX_SIO_EVENT || type == TBX_SIO_ACK;
    if (has_data && packet->json_len >= LARGE_EVENT && !has_joined(conn, packet->ns)) {
        return 0; /* Python ignores it */
    }
    PyObject *data = packet->json_len > 0 ? read_json(hub, packet) : Py_NewRef(Py_None);
    if (data == NULL) {
        bool is_loops = PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception);
        if (!is_loops) {
            PyErr_Clear();
        }
        return is_loops ? -1 : 0;
    }
    int status = 0;
    bool may = tbx_conn_eligibility(conn) == TBX_FAST; /* still */
    if (may && type == TBX_SIO_EVENT) {
        return tbx_conn_dispatch(conn, packet->ns, &packet->header, data);
    }
    if (may && type == TBX_SIO_ACK) {
        status = tbx_conn_acknowledge(conn, packet, data);
    }
    else if (may && is_usual(conn, packet, data) && tbx_conn_eligibility(conn) == TBX_FAST) {
        bool is_whole = type == TBX_SIO_CONNECT || type == TBX_SIO_DISCONNECT;
        status = is_whole ? hand_over(conn, packet, data)
                          : tbx_conn_await_attachments(conn, packet, data);
    }
    Py_DECREF(data);
    return status;
}

int
tbx_conn_packet(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len)
{
    tbx_packet_in packet;
    /* Through ASGI nobody is refused for them: a web server goes on reading what is refused, and faster. */
    if (is_text && len > 0 && data[0] == '3' && conn->path == TBX_PATH_DIRECT &&
        !tbx_conn_count_control(conn)) {
        return 0; /* Python refuses it */
    }
    if (tbx_conn_eligibility(conn) != TBX_FAST) {
        return 0;
    }
    PyObject *partial = find_partial(conn);
    if (partial != NULL || !is_text) {
        int handled =
            partial != NULL && !is_text ? tbx_conn_attachment(conn, partial, data, len) : 0;
        Py_XDECREF(partial);
        return handled;
    }
    if (len == 1 && data[0] == '3') {
        tbx_conn_pong(conn);
        return 1;
    }
    if (!read_header(conn->hub, data, len, &packet)) {
        return 0;
    }
    int status = handle(conn, &packet);
    Py_DECREF(packet.ns);
    return status;
}
