/* eio_codec.c: Engine.IO packets and payloads (contract in eio_codec.h). */
#include "codec/eio_codec.h"

#include <stdbool.h>

#include "codec/json_dec.h"
#include "py/err.h"
#include "base/buf.h"
#include "wire/eio.h"

enum { EIO_MESSAGE = 4 };

PyObject *
tbx_eio_base64(PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *text = NULL;
    if (view.len > PY_SSIZE_T_MAX / 2) {
        PyErr_NoMemory();
    }
    else {
        size_t len = tbx_base64_encoded_len((size_t)view.len);
        text = PyUnicode_New((Py_ssize_t)len + 1, 0x7f);
    }
    if (text != NULL) {
        uint8_t *dst = PyUnicode_1BYTE_DATA(text);
        dst[0] = 'b';
        tbx_base64_encode(view.buf, (size_t)view.len, dst + 1);
    }
    PyBuffer_Release(&view);
    return text;
}

/* The bytes behind the "b" of a packet: strict base64 here, the rest as base64.b64decode reads it. */
static PyObject *
decode_base64(TbxState *state, PyObject *packet)
{
    if (PyUnicode_IS_ASCII(packet)) {
        const uint8_t *src = PyUnicode_1BYTE_DATA(packet) + 1;
        size_t n = (size_t)PyUnicode_GET_LENGTH(packet) - 1;
        PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n / 4 * 3));
        if (data == NULL) {
            return NULL;
        }
        tbx_err err;
        ptrdiff_t len = tbx_base64_decode(src, n, (uint8_t *)PyBytes_AS_STRING(data), &err);
        if (len != TBX_BAD) {
            if (len != PyBytes_GET_SIZE(data)) {
                (void)_PyBytes_Resize(&data, len); /* NULL with an exception when it fails */
            }
            return data;
        }
        Py_DECREF(data);
    }
    PyObject *tail = PyUnicode_Substring(packet, 1, PY_SSIZE_T_MAX);
    PyObject *data = tail ? PyObject_CallOneArg(state->b64decode, tail) : NULL;
    Py_XDECREF(tail);
    return data;
}

/* The data of a text packet: JSON where it is JSON and does not start with a digit, else text. */
static PyObject *
decode_text(TbxState *state, PyObject *packet, PyObject *loads, Py_ssize_t max_depth)
{
    PyObject *tail = PyUnicode_Substring(packet, 1, PY_SSIZE_T_MAX);
    if (tail == NULL || PyUnicode_GET_LENGTH(tail) == 0 ||
        Py_UNICODE_ISNUMERIC(PyUnicode_READ_CHAR(tail, 0))) {
        return tail;
    }
    PyObject *data = loads == Py_None ? tbx_json_loads(state, tail, max_depth)
                                      : PyObject_CallOneArg(loads, tail);
    if (data != NULL ||
        !(PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_IndexError))) {
        Py_DECREF(tail);
        return data;
    }
    PyErr_Clear();
    return tail;
}

PyObject *
tbx_eio_decode(TbxState *state, PyObject *packet, PyObject *loads, Py_ssize_t max_depth)
{
    int type = EIO_MESSAGE;
    bool binary = true;
    PyObject *data;
    if (PyBytes_Check(packet)) {
        data = Py_NewRef(packet);
    }
    else if (PyByteArray_Check(packet)) {
        data = PyBytes_FromObject(packet);
    }
    else if (!PyUnicode_Check(packet)) {
        return PyErr_Format(PyExc_TypeError, "a packet must be str or bytes, not %.100s",
                            tbx_type_name(packet));
    }
    else if (PyUnicode_GET_LENGTH(packet) == 0) {
        PyErr_SetString(PyExc_ValueError, tbx_err_text(TBX_E_EIO_EMPTY));
        return NULL;
    }
    else if (PyUnicode_READ_CHAR(packet, 0) == 'b') {
        data = decode_base64(state, packet);
    }
    else {
        binary = false;
        type = Py_UNICODE_TODECIMAL(PyUnicode_READ_CHAR(packet, 0));
        if (type < 0) {
            PyErr_SetString(PyExc_ValueError, tbx_err_text(TBX_E_EIO_TYPE));
            return NULL;
        }
        data = decode_text(state, packet, loads, max_depth);
    }
    if (data == NULL) {
        return NULL;
    }
    return Py_BuildValue("(iNO)", type, data, binary ? Py_True : Py_False);
}

PyObject *
tbx_eio_payload_join(PyObject *packets, PyObject *jsonp_index)
{
    PyObject *separator = PyUnicode_FromOrdinal(TBX_EIO_SEPARATOR);
    PyObject *text = separator ? PyUnicode_Join(separator, packets) : NULL;
    Py_XDECREF(separator);
    if (text == NULL || jsonp_index == Py_None) {
        return text;
    }
    PyObject *quote = PyUnicode_FromString("\"");
    PyObject *escaped_quote = PyUnicode_FromString("\\\"");
    PyObject *escaped =
        quote && escaped_quote ? PyUnicode_Replace(text, quote, escaped_quote, -1) : NULL;
    PyObject *result =
        escaped ? PyUnicode_FromFormat("___eio[%S](\"%U\");", jsonp_index, escaped) : NULL;
    Py_XDECREF(escaped);
    Py_XDECREF(escaped_quote);
    Py_XDECREF(quote);
    Py_DECREF(text);
    return result;
}

/* Appends a message as a packet of a payload. 0 or -1 with an exception. */
static int
put_message(tbx_buf *out, PyObject *message)
{
    if (PyUnicode_Check(message)) {
        Py_ssize_t n;
        const char *utf8 = PyUnicode_AsUTF8AndSize(message, &n);
        PyObject *bytes = NULL;
        if (utf8 == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            PyErr_Clear(); /* as in a frame: lone surrogates */
            bytes = PyUnicode_AsEncodedString(message, "utf-8", "surrogatepass");
            utf8 = bytes != NULL ? PyBytes_AS_STRING(bytes) : NULL;
            n = bytes != NULL ? PyBytes_GET_SIZE(bytes) : 0;
        }
        int status = utf8 != NULL ? tbx_buf_put(out, (const uint8_t *)utf8, (size_t)n) : -1;
        if (status < 0 && utf8 != NULL) {
            PyErr_NoMemory();
        }
        Py_XDECREF(bytes);
        return status;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(message, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    size_t len = tbx_base64_encoded_len((size_t)view.len);
    int status = tbx_buf_room(out, len + 1);
    if (status == 0) {
        (void)tbx_buf_put_byte(out, 'b');
        tbx_base64_encode(view.buf, (size_t)view.len, out->data + out->len);
        out->len += len;
    }
    else {
        PyErr_NoMemory();
    }
    PyBuffer_Release(&view);
    return status;
}

PyObject *
tbx_eio_payload_encode(PyObject *messages)
{
    tbx_buf out;
    tbx_buf_init(&out);
    int status = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(messages) && status == 0; i++) {
        if (i > 0 && tbx_buf_put_byte(&out, TBX_EIO_SEPARATOR) < 0) {
            PyErr_NoMemory();
            status = -1;
            break;
        }
        PyObject *message = Py_NewRef(PyList_GET_ITEM(messages, i));
        status = put_message(&out, message);
        Py_DECREF(message);
    }
    PyObject *bytes =
        status == 0 ? PyBytes_FromStringAndSize((const char *)out.data, (Py_ssize_t)out.len) : NULL;
    tbx_buf_free(&out);
    return bytes;
}

PyObject *
tbx_eio_form_value(PyObject *field)
{
    Py_ssize_t n;
    const char *src = PyUnicode_AsUTF8AndSize(field, &n);
    uint8_t *dst = src ? PyMem_Malloc((size_t)n + 1) : NULL;
    if (dst == NULL) {
        return src ? PyErr_NoMemory() : NULL;
    }
    size_t len = tbx_form_decode((const uint8_t *)src, (size_t)n, dst);
    PyObject *text = PyUnicode_DecodeUTF8((const char *)dst, (Py_ssize_t)len, "replace");
    PyMem_Free(dst);
    return text;
}

PyObject *
tbx_eio_payload_split(PyObject *payload, Py_ssize_t max_packets)
{
    if (!PyUnicode_Check(payload)) {
        return PyErr_Format(PyExc_TypeError, "a payload must be a str, not %.100s",
                            tbx_type_name(payload));
    }
    Py_ssize_t n = PyUnicode_GET_LENGTH(payload);
    Py_ssize_t n_packets = 0;
    for (Py_ssize_t at = 0; at >= 0 && at <= n; n_packets++) {
        if (n_packets >= max_packets) {
            PyErr_SetString(PyExc_ValueError, "Too many packets in payload");
            return NULL;
        }
        at = PyUnicode_FindChar(payload, TBX_EIO_SEPARATOR, at, n, 1);
        if (at == -2) {
            return NULL;
        }
        at = at < 0 ? at : at + 1;
    }
    PyObject *separator = PyUnicode_FromOrdinal(TBX_EIO_SEPARATOR);
    PyObject *packets = separator ? PyUnicode_Split(payload, separator, -1) : NULL;
    Py_XDECREF(separator);
    return packets;
}
