/* attachments.c: a packet whose attachments come as binary messages (contract in conn.h).
 *
 *     class PartialPacket:            # made by the connection alone
 *         packet_type, namespace, id, data, attachment_count, attachments
 *         def add_attachment(self, data): ...    # True: it is complete
 *
 * It stands in python-socketio's own table, `_binary_packet`, where Python finds it, drops it, or goes on
 * with it when the packets of the client are Python's from now on; and where a packet that Python has
 * put there is Python's to complete. What completes a packet here and cannot be handled here is taken
 * back, and Python gets the attachment.
 * Mirrors: socketio.packet.Packet.add_attachment, AsyncServer._handle_eio_message.
 */
#include "conn/conn.h"

#include <structmember.h>

#include "codec/binary.h"

typedef struct {
    PyObject_HEAD PyObject *ns; /* owned str */
    PyObject *data;             /* owned list, in which placeholders stand for attachments */
    PyObject *attachments;      /* owned list of those that are here */
    tbx_sio header; /* its id is `digits`, its namespace NULL when the packet names none */
    uint8_t digits[TBX_ID_DIGITS];
    Py_ssize_t size; /* bytes of the attachments */
} partial_packet;

#define PARTIAL(self) ((partial_packet *)(self))

static Py_ssize_t
n_missing(const partial_packet *partial)
{
    return (Py_ssize_t)partial->header.attachments - PyList_GET_SIZE(partial->attachments);
}

static partial_packet *
new_partial(TbxState *state, const tbx_packet_in *packet, PyObject *data)
{
    PyTypeObject *type = (PyTypeObject *)state->PartialPacketType;
    PyObject *attachments = PyList_New(0);
    partial_packet *partial = attachments ? PARTIAL(type->tp_alloc(type, 0)) : NULL;
    if (partial == NULL) {
        Py_XDECREF(attachments);
        return NULL;
    }
    partial->ns = Py_NewRef(packet->ns);
    partial->data = Py_NewRef(data);
    partial->attachments = attachments;
    partial->header = packet->header;
    memcpy(partial->digits, packet->header.id, packet->header.id_len);
    partial->header.id = partial->digits;
    if (partial->header.ns != NULL) {
        partial->header.ns = partial->digits; /* any place: the text is not kept */
    }
    return partial;
}

/* ---- the connection ---- */

/* The deadline of the next message, which is an attachment; or none. */
static void
watch(TbxConnObject *conn, bool awaits)
{
    if (awaits && !tbx_conn_is_closing(conn)) {
        conn->is_partial = false;
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_MESSAGE, -1);
    }
    else if (conn->awaits_attachment && conn->life.next != NULL &&
             conn->life.kind == TBX_DUE_MESSAGE) {
        tbx_deadline_stop(&conn->life);
    }
    conn->awaits_attachment = awaits;
}

PyObject *
tbx_conn_watch_attachments(PyObject *self, PyObject *arg)
{
    watch((TbxConnObject *)self, arg == Py_True);
    Py_RETURN_NONE;
}

int
tbx_conn_await_attachments(TbxConnObject *conn, const tbx_packet_in *packet, PyObject *data)
{
    TbxHubObject *hub = conn->hub;
    PyObject *table = Py_NewRef(hub->plan.binary_packet); /* what follows allocates */
    partial_packet *partial = new_partial(hub->state, packet, data);
    int status = partial != NULL ? PyDict_SetItem(table, conn->sid, (PyObject *)partial) : -1;
    Py_XDECREF(partial);
    Py_DECREF(table);
    if (status < 0) {
        return -1;
    }
    watch(conn, true);
    return 1;
}

/* The attachment that was added here last is Python's to add. 0, or -1 with an exception. */
static int
take_back(partial_packet *partial)
{
    Py_ssize_t n = PyList_GET_SIZE(partial->attachments);
    partial->size -= PyBytes_GET_SIZE(PyList_GET_ITEM(partial->attachments, n - 1));
    return PyList_SetSlice(partial->attachments, n - 1, n, NULL);
}

/* Handles a packet that is complete, with all in its place in `data`: 1, 0 or -1. */
static int
handle_whole(TbxConnObject *conn, PyObject *table, partial_packet *partial, PyObject *data)
{
    if (PyDict_GetItemWithError(table, conn->sid) != (PyObject *)partial) {
        return PyErr_Occurred() ? -1 : 1; /* it was dropped meanwhile */
    }
    if (PyDict_DelItem(table, conn->sid) < 0) {
        return -1;
    }
    watch(conn, false);
    int status = 0;
    Py_ssize_t size = conn->message_bytes;
    conn->message_bytes = partial->size;
    bool is_fast = tbx_conn_eligibility(conn) == TBX_FAST; /* still */
    if (is_fast && partial->header.type == TBX_SIO_BINARY_EVENT) {
        status = tbx_conn_dispatch(conn, partial->ns, &partial->header, Py_NewRef(data));
    }
    else if (is_fast) {
        tbx_packet_in packet = {.header = partial->header, .ns = partial->ns};
        status = tbx_conn_acknowledge(conn, &packet, data);
    }
    if (status == 0) { /* nothing has happened */
        conn->message_bytes = size;
        status = PyDict_SetItem(table, conn->sid, (PyObject *)partial);
    }
    return status;
}

int
tbx_conn_attachment(TbxConnObject *conn, PyObject *waiting, const uint8_t *data, size_t len)
{
    TbxHubObject *hub = conn->hub;
    partial_packet *partial = PARTIAL(waiting);
    if (!Py_IS_TYPE(waiting, (PyTypeObject *)hub->state->PartialPacketType) ||
        (Py_ssize_t)len > hub->max_attachment_bytes - partial->size || n_missing(partial) < 1) {
        return 0;
    }
    PyObject *table = Py_NewRef(hub->plan.binary_packet); /* what follows may escape */
    PyObject *attachment = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)len);
    int status = attachment != NULL ? PyList_Append(partial->attachments, attachment) : -1;
    Py_XDECREF(attachment);
    if (status < 0) {
        Py_DECREF(table);
        return -1;
    }
    partial->size += (Py_ssize_t)len;
    if (n_missing(partial) > 0) {
        Py_DECREF(table);
        watch(conn, true);
        return 1;
    }
    PyObject *whole = tbx_binary_reconstruct(hub->state, partial->data, partial->attachments);
    if (whole != NULL) {
        status = handle_whole(conn, table, partial, whole);
        Py_DECREF(whole);
    }
    else if (PyErr_ExceptionMatches(PyExc_Exception)) { /* which Python gets once more */
        PyErr_Clear();
    }
    else {
        status = -1;
    }
    Py_DECREF(table);
    return status == 0 && take_back(partial) < 0 ? -1 : status;
}

/* ---- the type ---- */

static PyObject *
partial_meth_add_attachment(PyObject *self, PyObject *data)
{
    partial_packet *partial = PARTIAL(self);
    TbxState *state = PyType_GetModuleState(Py_TYPE(self));
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "an attachment must be bytes or bytearray");
        return NULL;
    }
    if (PyList_Append(partial->attachments, data) < 0) {
        return NULL;
    }
    partial->size += Py_SIZE(data);
    if (n_missing(partial) > 0) {
        Py_RETURN_FALSE;
    }
    PyObject *whole = tbx_binary_reconstruct(state, partial->data, partial->attachments);
    if (whole == NULL) {
        return NULL;
    }
    Py_SETREF(partial->data, whole);
    Py_RETURN_TRUE;
}

static PyObject *
partial_get_packet_type(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong((long)PARTIAL(self)->header.type);
}

static PyObject *
partial_get_namespace(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(PARTIAL(self)->header.ns != NULL ? PARTIAL(self)->ns : Py_None);
}

static PyObject *
partial_get_id(PyObject *self, void *Py_UNUSED(closure))
{
    return tbx_packet_id_object(&PARTIAL(self)->header);
}

static PyObject *
partial_get_attachment_count(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(PARTIAL(self)->header.attachments);
}

static int
partial_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(PARTIAL(self)->ns);
    Py_VISIT(PARTIAL(self)->data);
    Py_VISIT(PARTIAL(self)->attachments);
    return 0;
}

static int
partial_tp_clear(PyObject *self)
{
    Py_CLEAR(PARTIAL(self)->data);
    return 0; /* the others lead to nothing */
}

static void
partial_tp_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(PARTIAL(self)->ns);
    Py_CLEAR(PARTIAL(self)->data);
    Py_CLEAR(PARTIAL(self)->attachments);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef partial_methods[] = {
    {"add_attachment", partial_meth_add_attachment, METH_O,
     "add_attachment($self, data, /)\n--\n\nAdd the next one; True when the packet is complete."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef partial_getset[] = {
    {"packet_type", partial_get_packet_type, NULL, "5 or 6.", NULL},
    {"namespace", partial_get_namespace, NULL, "None: the packet names none.", NULL},
    {"id", partial_get_id, NULL, "None: there is none.", NULL},
    {"attachment_count", partial_get_attachment_count, NULL, "How many there will be.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef partial_members[] = {
    {"data", T_OBJECT, offsetof(partial_packet, data), READONLY,
     "With placeholders until it is complete."},
    {"attachments", T_OBJECT, offsetof(partial_packet, attachments), READONLY,
     "Those that have come."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot partial_slots[] = {
    {Py_tp_doc, (void *)"A packet of a client whose attachments are awaited."},
    {Py_tp_dealloc, (void *)partial_tp_dealloc},
    {Py_tp_traverse, (void *)partial_tp_traverse},
    {Py_tp_clear, (void *)partial_tp_clear},
    {Py_tp_methods, partial_methods},
    {Py_tp_getset, partial_getset},
    {Py_tp_members, partial_members},
    {0, NULL},
};

PyType_Spec tbx_partial_packet_spec = {
    .name = "toolboxsio._core.PartialPacket",
    .basicsize = sizeof(partial_packet),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = partial_slots,
};
