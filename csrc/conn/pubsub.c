/* pubsub.c: emits that other servers of a fleet have published (contract in conn.h).
 *
 * The header is read before anything is built; a message for nobody here is dropped, and for somebody
 * the JSON of event and data goes into the packet as it came. What is not plain (callbacks, bytes,
 * other methods, odd types) is Python's.
 * Mirrors: socketio.AsyncPubSubManager._thread, ._handle_emit.
 */
#include "conn/conn.h"

#include "codec/json_dec.h"
#include "wire/pubsub.h"
#include "wire/resp.h"

/* Whether host_id is this text, which has nothing to escape. -1: it may be. */
static int
is_host(const tbx_pub *message, const char *host_id, Py_ssize_t len)
{
    tbx_pub_span span = message->fields[TBX_PUB_HOST_ID];
    if (span.text == NULL || span.text[0] != '"') {
        return 0;
    }
    if (memchr(span.text, '\\', span.len) != NULL) {
        return -1;
    }
    return span.len == (size_t)len + 2 && memcmp(span.text + 1, host_id, (size_t)len) == 0;
}

/* The value of a field; new reference, None when there is none. NULL: Python has to look. */
static PyObject *
value_of(TbxHubObject *hub, const tbx_pub *message, tbx_pub_field field)
{
    tbx_pub_span span = message->fields[field];
    tbx_err err;
    if (span.text == NULL || (span.len == 4 && memcmp(span.text, "null", 4) == 0)) {
        return Py_NewRef(Py_None);
    }
    if (span.len == 3 && memcmp(span.text, "\"/\"", 3) == 0) {
        return Py_NewRef(hub->state->str_root);
    }
    if (span.text[0] == '"' && memchr(span.text, '\\', span.len) == NULL) { /* valid UTF-8 */
        return PyUnicode_DecodeUTF8((const char *)span.text + 1, (Py_ssize_t)span.len - 2, NULL);
    }
    PyObject *value = tbx_json_decode(hub->state, span.text, span.len, hub->plan.emit_depth, &err);
    PyErr_Clear();
    return value;
}

/* Emits what is in the message. False when Python has to. Escapes. */
static PyObject *
emit_message(TbxHubObject *hub, const tbx_pub *message)
{
    tbx_pub_span event = message->fields[TBX_PUB_EVENT], args;
    if (event.text == NULL || event.text[0] != '"' ||
        !tbx_pub_elements(message->fields[TBX_PUB_DATA], &args) ||
        !tbx_pub_is_unset(message, TBX_PUB_CALLBACK) ||
        !tbx_pub_is_unset(message, TBX_PUB_BINARY)) {
        Py_RETURN_FALSE;
    }
    PyObject *result = NULL;
    PyObject *ns = value_of(hub, message, TBX_PUB_NAMESPACE);
    PyObject *room = value_of(hub, message, TBX_PUB_ROOM);
    PyObject *skip = value_of(hub, message, TBX_PUB_SKIP_SID);
    if (ns != NULL && room != NULL && skip != NULL) {
        tbx_emit_text text = {(const char *)event.text, event.len, (const char *)args.text,
                              args.len};
        bool is_volatile = tbx_pub_is(message, TBX_PUB_VOLATILE, "true");
        result = tbx_hub_emit_text(hub, &text, ns, room, skip, is_volatile);
        if (result == Py_NotImplemented) {
            Py_SETREF(result, Py_NewRef(Py_False));
        }
    }
    else {
        PyErr_Clear(); /* no memory: Python tries it again */
        result = Py_NewRef(Py_False);
    }
    Py_XDECREF(ns);
    Py_XDECREF(room);
    Py_XDECREF(skip);
    return result;
}

/* A message of another server: as tbx_hub_deliver. Escapes. */
static PyObject *
deliver(TbxHubObject *hub, const uint8_t *payload, size_t len, const char *host,
        Py_ssize_t host_len)
{
    tbx_pub message;
    tbx_err err;
    if (!tbx_hub_sends(hub) || tbx_pub_parse(payload, len, &message, &err) == TBX_BAD) {
        Py_RETURN_FALSE;
    }
    int is_own = is_host(&message, host, host_len);
    if (is_own < 0) {
        Py_RETURN_FALSE;
    }
    if (tbx_pub_is(&message, TBX_PUB_METHOD, "\"callback\"")) { /* for another, or for us */
        return Py_NewRef(is_own ? Py_False : Py_None);
    }
    if (is_own) {
        Py_RETURN_NONE;
    }
    if (!tbx_pub_is(&message, TBX_PUB_METHOD, "\"emit\"")) {
        Py_RETURN_FALSE;
    }
    return emit_message(hub, &message);
}

PyObject *
tbx_hub_deliver(TbxHubObject *hub, PyObject *payload, PyObject *host_id)
{
    Py_ssize_t host_len;
    const char *host = PyUnicode_AsUTF8AndSize(host_id, &host_len);
    if (host == NULL) {
        return NULL;
    }
    if (!PyBytes_CheckExact(payload)) {
        Py_RETURN_FALSE;
    }
    return deliver(hub, (const uint8_t *)PyBytes_AS_STRING(payload),
                   (size_t)PyBytes_GET_SIZE(payload), host, host_len);
}

/* The exception that is set, as an object. */
static PyObject *
take_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

PyObject *
tbx_hub_deliver_replies(TbxHubObject *hub, PyObject *data, Py_ssize_t start, PyObject *host_id)
{
    Py_ssize_t host_len;
    const char *host = PyUnicode_AsUTF8AndSize(host_id, &host_len);
    if (host == NULL) {
        return NULL;
    }
    /* the caller's reference keeps the bytes, whatever runs meanwhile */
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(data);
    size_t n = (size_t)PyBytes_GET_SIZE(data), at = (size_t)start, need = 0;
    uint64_t end = tbx_clock_monotonic_ns() + hub->slice_ns;
    while (at < n) {
        tbx_resp reply;
        ptrdiff_t used = tbx_resp_parse(p + at, n - at, &reply, &need);
        if (used == TBX_MORE) {
            return Py_BuildValue("(nnO)", (Py_ssize_t)at, (Py_ssize_t)need, Py_None);
        }
        if (used == TBX_BAD || !reply.is_message) {
            return Py_BuildValue("(nin)", (Py_ssize_t)at, 0, used);
        }
        at += (size_t)used;
        PyObject *outcome = deliver(hub, reply.payload, reply.payload_len, host, host_len);
        if (outcome == Py_None) {
            Py_DECREF(outcome);
            if (at < n && tbx_clock_monotonic_ns() >= end) {
                return Py_BuildValue("(niO)", (Py_ssize_t)at, 0, Py_True);
            }
            continue;
        }
        if (outcome == NULL && (outcome = take_exception()) == NULL) {
            return NULL;
        }
        return Py_BuildValue("(ni(y#N))", (Py_ssize_t)at, 0, (const char *)reply.payload,
                             (Py_ssize_t)reply.payload_len, outcome);
    }
    return Py_BuildValue("(niO)", (Py_ssize_t)at, 0, Py_None);
}
