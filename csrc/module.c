/* module.c: the module toolboxsio._core, its functions and its state (PEP 489).
 *
 * Argument checking and nothing else: what a function does stands in codec/. Signatures with types
 * are in toolboxsio/_core.pyi.
 */
#include "py/compat.h"

#include <stdbool.h>

#include "codec/ack.h"
#include "codec/binary.h"
#include "codec/eio_codec.h"
#include "codec/json_dec.h"
#include "codec/json_enc.h"
#include "codec/json_finite.h"
#include "codec/sio_codec.h"
#include "conn/conn.h"
#include "http/http.h"
#include "base/clock.h"
#include "wire/resp.h"
#include "wire/json_scan.h"

static int
check_count(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments but %zd were given",
                     name, wanted, given);
        return -1;
    }
    return 0;
}

/* Reads a size; -1 with an exception on failure, never as a value. */
static int
read_size(PyObject *arg, Py_ssize_t *size)
{
    *size = PyNumber_AsSsize_t(arg, NULL); /* clipped to what fits */
    if (*size == -1 && PyErr_Occurred()) {
        return -1;
    }
    return 0;
}

static PyObject *
core_dumps(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t max_depth;
    if (check_count("dumps", n_args, 3) < 0 || read_size(args[2], &max_depth) < 0) {
        return NULL;
    }
    return tbx_json_dumps(tbx_state_of(module), args[0], args[1], max_depth);
}

static PyObject *
core_loads(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t max_depth;
    if (check_count("loads", n_args, 2) < 0 || read_size(args[1], &max_depth) < 0) {
        return NULL;
    }
    return tbx_json_loads(tbx_state_of(module), args[0], max_depth);
}

static PyObject *
core_encode_packet(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    tbx_sio_packet packet;
    if (n_args != 6 && n_args != 7 && check_count("encode_packet", n_args, 8) < 0) {
        return NULL;
    }
    packet.type = PyLong_AsLong(args[0]);
    if (packet.type == -1 && PyErr_Occurred()) {
        return NULL;
    }
    packet.data = args[1];
    packet.ns = args[2];
    packet.id = args[3];
    packet.json_default = args[4];
    if (read_size(args[5], &packet.max_depth) < 0) {
        return NULL;
    }
    int detect = n_args > 6 ? PyObject_IsTrue(args[6]) : 1;
    if (detect < 0) {
        return NULL;
    }
    int frame = n_args > 7 ? PyObject_IsTrue(args[7]) : 0;
    if (frame < 0) {
        return NULL;
    }
    packet.detect = detect != 0;
    packet.frame = frame != 0;
    return tbx_sio_encode(tbx_state_of(module), &packet);
}

static PyObject *
core_decode_packet(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t max_depth;
    if (check_count("decode_packet", n_args, 3) < 0 || read_size(args[2], &max_depth) < 0) {
        return NULL;
    }
    return tbx_sio_decode(tbx_state_of(module), args[0], args[1], max_depth);
}

static PyObject *
core_decode_message(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t max_attachments, max_depth;
    if (n_args != 3 && check_count("decode_message", n_args, 4) < 0) {
        return NULL;
    }
    if (read_size(args[1], &max_attachments) < 0 || read_size(args[2], &max_depth) < 0) {
        return NULL;
    }
    int frame = n_args > 3 ? PyObject_IsTrue(args[3]) : 0;
    if (frame < 0) {
        return NULL;
    }
    return tbx_sio_decode_message(tbx_state_of(module), args[0], max_attachments, max_depth,
                                  (size_t)frame);
}

static PyObject *
core_packet_head(PyObject *module, PyObject *text)
{
    return tbx_sio_head(tbx_state_of(module), text);
}

static PyObject *
core_has_binary(PyObject *Py_UNUSED(module), PyObject *data)
{
    int found = tbx_binary_found(data);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyObject *
core_deconstruct(PyObject *module, PyObject *data)
{
    PyObject *attachments = PyList_New(0);
    if (attachments == NULL) {
        return NULL;
    }
    PyObject *copy = tbx_binary_deconstruct(tbx_state_of(module), data, attachments);
    if (copy == NULL) {
        Py_DECREF(attachments);
        return NULL;
    }
    return Py_BuildValue("(NN)", copy, attachments);
}

static PyObject *
core_reconstruct(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    if (check_count("reconstruct", n_args, 2) < 0) {
        return NULL;
    }
    if (!PyList_Check(args[1])) {
        return PyErr_Format(PyExc_TypeError, "attachments must be a list, not %.100s",
                            tbx_type_name(args[1]));
    }
    return tbx_binary_reconstruct(tbx_state_of(module), args[0], args[1]);
}

static PyObject *
core_eio_base64(PyObject *Py_UNUSED(module), PyObject *data)
{
    return tbx_eio_base64(data);
}

static PyObject *
core_eio_decode(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t max_depth;
    if (check_count("eio_decode", n_args, 3) < 0 || read_size(args[2], &max_depth) < 0) {
        return NULL;
    }
    return tbx_eio_decode(tbx_state_of(module), args[0], args[1], max_depth);
}

static PyObject *
core_payload_join(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (check_count("payload_join", n_args, 2) < 0) {
        return NULL;
    }
    return tbx_eio_payload_join(args[0], args[1]);
}

static PyObject *
core_payload_encode(PyObject *Py_UNUSED(module), PyObject *messages)
{
    if (!PyList_Check(messages)) {
        PyErr_SetString(PyExc_TypeError, "payload_encode() takes a list");
        return NULL;
    }
    return tbx_eio_payload_encode(messages);
}

static PyObject *
core_connection_moves(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return tbx_state_moves();
}

static PyObject *
core_payload_split(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t max_packets;
    if (check_count("payload_split", n_args, 2) < 0 || read_size(args[1], &max_packets) < 0) {
        return NULL;
    }
    return tbx_eio_payload_split(args[0], max_packets);
}

static PyObject *
core_form_value(PyObject *Py_UNUSED(module), PyObject *field)
{
    return tbx_eio_form_value(field);
}

static PyObject *
core_ack(PyObject *module, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    return tbx_ack(tbx_state_of(module), args, n_args, names);
}

static PyObject *
core_iso8601(PyObject *Py_UNUSED(module), PyObject *microseconds)
{
    long long us = PyLong_AsLongLong(microseconds);
    if (us == -1 && PyErr_Occurred()) {
        return NULL;
    }
    char text[TBX_CLOCK_MAX];
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)tbx_clock_put_iso8601(text, us));
}

/* The two texts of encode_event; NULL without an exception when there are bytes in the data. */
static PyObject *
encode_event(TbxState *state, PyObject *const *args, Py_ssize_t max_depth, tbx_buf *out)
{
    PyObject *attachments = PyList_New(0);
    tbx_json_enc_options options = {args[2], max_depth, attachments};
    tbx_json_enc_options inside = {args[2], max_depth - 1, attachments}; /* of the event's array */
    PyObject *elements = PyTuple_Check(args[1]) ? Py_NewRef(args[1]) : PyTuple_Pack(1, args[1]);
    PyObject *result = NULL;
    if (attachments != NULL && elements != NULL &&
        tbx_json_encode(state, out, args[0], &options) == 0) {
        size_t event_len = out->len;
        if (tbx_packet_put_array(state, out, Py_None, NULL, elements, &inside) == 0 &&
            PyList_GET_SIZE(attachments) == 0) {
            result = Py_BuildValue("y#y#", out->data, (Py_ssize_t)event_len, out->data + event_len,
                                   (Py_ssize_t)(out->len - event_len));
        }
    }
    Py_XDECREF(attachments);
    Py_XDECREF(elements);
    return result;
}

static PyObject *
core_encode_event(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    if (check_count("encode_event", n_args, 4) < 0) {
        return NULL;
    }
    Py_ssize_t max_depth = PyLong_AsSsize_t(args[3]);
    if (max_depth == -1 && PyErr_Occurred()) {
        return NULL;
    }
    tbx_buf out;
    tbx_buf_init(&out);
    PyObject *texts = encode_event(tbx_state_of(module), args, max_depth, &out);
    tbx_buf_free(&out);
    return texts != NULL || PyErr_Occurred() ? texts : Py_NewRef(Py_None);
}

static PyObject *
core_is_finite(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (check_count("is_finite", n_args, 2) < 0) {
        return NULL;
    }
    Py_ssize_t max_depth = PyLong_AsSsize_t(args[1]);
    if (max_depth == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(tbx_json_is_finite(args[0], max_depth));
}

static PyObject *
core_resp_size(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (check_count("resp_size", n_args, 2) < 0) {
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(args[1]);
    if (start == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!PyBytes_Check(args[0]) || start < 0 || start > PyBytes_GET_SIZE(args[0])) {
        PyErr_SetString(PyExc_TypeError, "resp_size() takes bytes and a place in them");
        return NULL;
    }
    tbx_resp reply;
    size_t need = 0;
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(args[0]) + start;
    ptrdiff_t size = tbx_resp_parse(p, (size_t)(PyBytes_GET_SIZE(args[0]) - start), &reply, &need);
    return Py_BuildValue("(nn)", (Py_ssize_t)size, size == TBX_MORE ? (Py_ssize_t)need : 0);
}

static PyObject *
core_ws_whole(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    Py_buffer view;
    if (check_count("ws_whole", n_args, 2) < 0) {
        return NULL;
    }
    int may_inflate = PyObject_IsTrue(args[1]);
    if (may_inflate < 0 || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    size_t n = (size_t)view.len, frames = 0, messages = 0;
    ptrdiff_t used = 1;
    while (used > 0) {
        tbx_ws_frame frame;
        tbx_err err;
        const uint8_t *p = (const uint8_t *)view.buf + frames;
        used = tbx_ws_frame_parse(p, n - frames, may_inflate, &frame, &err);
        if (used <= 0 || frame.len > n - frames - (size_t)used) {
            break;
        }
        bool was_whole = frames == messages;
        frames += (size_t)used + (size_t)frame.len;
        if (tbx_ws_is_control(frame.opcode) ? was_whole : frame.fin) {
            messages = frames;
        }
    }
    PyBuffer_Release(&view);
    if (used < 0) {
        PyErr_SetString(PyExc_ValueError, "not a WebSocket frame");
        return NULL;
    }
    return Py_BuildValue("(nn)", (Py_ssize_t)messages, (Py_ssize_t)frames);
}

static PyObject *
core_http_request(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (check_count("http_request", n_args, 3) < 0) {
        return NULL;
    }
    Py_ssize_t at = PyLong_AsSsize_t(args[1]);
    if (at == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!PyBytes_Check(args[0]) || at < 0 || at > PyBytes_GET_SIZE(args[0]) ||
        !PyBytes_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError,
                        "http_request() takes bytes, a place in them, and the bytes of a path");
        return NULL;
    }
    return tbx_http_request(args[0], at, args[2]);
}

static PyObject *
core_environ_headers(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    Py_ssize_t start, stop;
    if (check_count("environ_headers", n_args, 6) < 0 || read_size(args[2], &start) < 0 ||
        read_size(args[3], &stop) < 0) {
        return NULL;
    }
    if (!PyDict_Check(args[0]) || !PyList_Check(args[1]) || start < 0 || !PyDict_Check(args[4])) {
        PyErr_SetString(PyExc_TypeError,
                        "environ_headers() takes a dict, a list, two places in it, and a dict");
        return NULL;
    }
    int shares = PyObject_IsTrue(args[5]);
    if (shares < 0 || tbx_environ_add_headers(tbx_state_of(module), args[0], args[1], start, stop,
                                              args[4], shares != 0) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
core_simd(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    const char *name = tbx_json_scan_has_avx2() ? "avx2" : TBX_BLOCK16 ? "block16" : "scalar";
    return PyUnicode_FromString(name);
}

#define FAST(name) #name, (PyCFunction)(void (*)(void))core_##name

static PyMethodDef core_methods[] = {
    {FAST(dumps), METH_FASTCALL,
     "dumps(obj, json_default, max_depth, /)\n--\n\n"
     "Compact, ASCII JSON text of obj."},
    {FAST(loads), METH_FASTCALL,
     "loads(doc, max_depth, /)\n--\n\n"
     "The value of a JSON text: str, bytes or bytearray."},
    {FAST(encode_packet), METH_FASTCALL,
     "encode_packet(type, data, namespace, id, json_default, max_depth, detect=True, frame=False, "
     "/)\n--\n\n"
     "A Socket.IO packet as str, or as [str, *attachments] when it is binary. With detect, bytes\n"
     "within the data of an EVENT or ACK make it a BINARY_EVENT or BINARY_ACK. With frame, the "
     "text is\n"
     "an Engine.IO message."},
    {FAST(decode_packet), METH_FASTCALL,
     "decode_packet(text, loads, max_depth, /)\n--\n\n"
     "(type, namespace, id, data, attachment_count) of a Socket.IO packet. loads reads the JSON\n"
     "unless it is None."},
    {FAST(decode_message), METH_FASTCALL,
     "decode_message(text, max_attachments, max_depth, frame=False, /)\n--\n\n"
     "As decode_packet, for what a client sent: ValueError also for packets that no server\n"
     "should accept. With frame, text is an Engine.IO message."},
    {FAST(packet_head), METH_O,
     "packet_head(text, /)\n--\n\n"
     "(type, namespace or None) of a packet, without a look at its JSON."},
    {FAST(has_binary), METH_O,
     "has_binary(data, /)\n--\n\n"
     "Whether data is, or holds within lists and dicts, bytes."},
    {FAST(deconstruct), METH_O,
     "deconstruct(data, /)\n--\n\n"
     "(copy of data with placeholders, attachments)."},
    {FAST(reconstruct), METH_FASTCALL,
     "reconstruct(data, attachments, /)\n--\n\n"
     "Copy of data with attachments in the place of placeholders; ValueError when the number of\n"
     "one is not an integer in range."},
    {FAST(eio_base64), METH_O,
     "eio_base64(data, /)\n--\n\n"
     "A binary Engine.IO packet as text: 'b' and base64."},
    {FAST(eio_decode), METH_FASTCALL,
     "eio_decode(packet, loads, max_depth, /)\n--\n\n"
     "(type, data, binary) of an Engine.IO packet."},
    {FAST(payload_join), METH_FASTCALL,
     "payload_join(packets, jsonp_index, /)\n--\n\n"
     "An Engine.IO payload of encoded packets, as a JSONP script unless jsonp_index is None."},
    {FAST(connection_moves), METH_NOARGS,
     "connection_moves()\n--\n\nThe moves between states of a Connection: [(from, to), ...]."},
    {"payload_encode", core_payload_encode, METH_O,
     "payload_encode(messages, /)\n--\n\n"
     "The bytes of an Engine.IO payload of messages: encoded packets, and bytes."},
    {FAST(payload_split), METH_FASTCALL,
     "payload_split(payload, max_packets, /)\n--\n\n"
     "The packets of an Engine.IO payload; ValueError when they are more than max_packets."},
    {FAST(form_value), METH_O,
     "form_value(field, /)\n--\n\n"
     "The text of the value of a form field, as urllib.parse.unquote_plus() gives it."},
    {FAST(ack), METH_FASTCALL | METH_KEYWORDS,
     "ack(ok, **fields)\n--\n\n"
     "{'ok': bool, **fields, 'ts': time in UTC, ISO 8601 with an offset}."},
    {FAST(iso8601), METH_O,
     "iso8601(microseconds, /)\n--\n\n"
     "Text of an instant, given in microseconds since 1970 UTC."},
    {FAST(encode_event), METH_FASTCALL,
     "encode_event(event, data, json_default, max_depth, /)\n--\n\n"
     "The JSON of an event's name, and of its arguments as servers publish them; None when there "
     "are "
     "bytes in it."},
    {FAST(is_finite), METH_FASTCALL,
     "is_finite(value, max_depth, /)\n--\n\n"
     "Whether no float in it is NaN or infinite, and lists and dicts are nested no deeper."},
    {FAST(resp_size), METH_FASTCALL,
     "resp_size(data, start, /)\n--\n\n"
     "The bytes of the reply of Redis that begins at start, and 0;\n"
     "(0, the bytes it takes at least) when it is not whole; (-1, 0) when it is none."},
    {FAST(ws_whole), METH_FASTCALL,
     "ws_whole(data, may_inflate, /)\n--\n\n"
     "How many of a client's bytes are whole WebSocket messages, and how many are whole frames."},
    {FAST(http_request), METH_FASTCALL,
     "http_request(data, at, prefix, /)\n--\n\n"
     "(end, method, path, query, headers, body, closes, websocket, session) of the HTTP request at "
     "a "
     "place,\n"
     "when it is whole, ordinary, and for the path of that prefix or one below it; else None."},
    {FAST(environ_headers), METH_FASTCALL,
     "environ_headers(environ, headers, start, stop, repeated, shares, /)\n--\n\n"
     "Add headers of a list to an environ; values of a name that comes again to repeated, a dict."},
    {FAST(simd), METH_NOARGS,
     "simd()\n--\n\n"
     "The instructions that strings are scanned with."},
    {NULL, NULL, 0, NULL},
};

static int
add_type(PyObject *module, PyType_Spec *spec, PyObject *bases, PyObject **slot)
{
    *slot = PyType_FromModuleAndSpec(module, spec, bases);
    return *slot ? PyModule_AddType(module, (PyTypeObject *)*slot) : -1;
}

/* Steals the value, which may be NULL. */
static int
add_constant(PyObject *module, const char *name, PyObject *value)
{
    int status = value != NULL ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return status;
}

static int
core_exec(PyObject *module)
{
    TbxState *state = tbx_state_of(module);
    if (tbx_state_init(state) < 0 || tbx_watch_init(state) < 0 ||
        add_type(module, &tbx_hub_spec, NULL, &state->HubType) < 0 ||
        add_type(module, &tbx_call_spec, NULL, &state->CallType) < 0 ||
        add_type(module, &tbx_interruptible_spec, NULL, &state->InterruptibleType) < 0 ||
        add_type(module, &tbx_partial_packet_spec, NULL, &state->PartialPacketType) < 0 ||
        add_constant(module, "SOCKET_METHODS", tbx_watch_methods(state)) < 0) {
        return -1;
    }
    PyObject *protocols = PyImport_ImportModule("asyncio");
    PyObject *base = protocols ? PyObject_GetAttrString(protocols, "BufferedProtocol") : NULL;
    int status = base ? add_type(module, &tbx_conn_spec, base, &state->ConnectionType) : -1;
    Py_XDECREF(base);
    Py_XDECREF(protocols);
    return status;
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    TbxState *state = tbx_state_of(module);
    return state ? tbx_state_traverse(state, visit, arg) : 0;
}

static int
core_clear(PyObject *module)
{
    TbxState *state = tbx_state_of(module);
    if (state != NULL) {
        tbx_state_clear(state);
    }
    return 0;
}

static void
core_free(void *module)
{
    TbxState *state = tbx_state_of((PyObject *)module);
    if (state != NULL) {
        tbx_watch_free(state);
    }
    (void)core_clear((PyObject *)module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, (void *)core_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "toolboxsio._core",
    .m_doc = "The parts of toolboxsio that are written in C.",
    .m_size = sizeof(TbxState),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
