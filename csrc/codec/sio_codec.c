/* sio_codec.c: Socket.IO packets (contract in sio_codec.h). */
#include "codec/sio_codec.h"

#include "base/num.h"
#include "codec/json_dec.h"
#include "codec/json_enc.h"
#include "py/err.h"
#include "wire/sio.h"

#define EIO_MESSAGE '4'
#define TYPE_GAP (2 + TBX_NUM_MAX + 1) /* types, number of attachments and '-', written last */

/* Appends the text of a str. 0, or -1 with an exception. */
static int
put_text(tbx_buf *out, PyObject *str, bool *ascii)
{
    tbx_text text;
    if (tbx_text_open(str, &text) < 0) {
        return -1;
    }
    *ascii &= PyUnicode_IS_ASCII(str);
    int status = tbx_buf_put(out, text.text, text.len);
    tbx_text_close(&text);
    if (status < 0) {
        PyErr_NoMemory();
    }
    return status;
}

/* Appends `namespace,` and the id. */
static int
put_address(tbx_buf *out, PyObject *ns, PyObject *id, bool *ascii)
{
    if (ns != Py_None) {
        if (!PyUnicode_Check(ns)) {
            PyErr_Format(PyExc_TypeError, "namespace must be a str, not %.100s", tbx_type_name(ns));
            return -1;
        }
        bool is_root = PyUnicode_GET_LENGTH(ns) == 1 && PyUnicode_READ_CHAR(ns, 0) == '/';
        if (!is_root) {
            if (put_text(out, ns, ascii) < 0) {
                return -1;
            }
            if (tbx_buf_put_byte(out, ',') < 0) {
                PyErr_NoMemory();
                return -1;
            }
        }
    }
    if (id == Py_None) {
        return 0;
    }
    PyObject *digits = PyObject_Str(id);
    if (digits == NULL) {
        return -1;
    }
    int status = put_text(out, digits, ascii);
    Py_DECREF(digits);
    return status;
}

/* Writes the type (and the number of attachments) into the end of the gap; returns where the
 * packet starts. */
static size_t
put_type(uint8_t *gap, bool frame, long type, Py_ssize_t n_attachments)
{
    char text[TYPE_GAP];
    size_t len = 0;
    if (frame) {
        text[len++] = EIO_MESSAGE;
    }
    text[len++] = (char)('0' + type);
    if (n_attachments >= 0) {
        len += tbx_num_put_i64(text + len, n_attachments);
        text[len++] = '-';
    }
    memcpy(gap + TYPE_GAP - len, text, len);
    return TYPE_GAP - len;
}

static PyObject *
with_attachments(PyObject *text, PyObject *attachments)
{
    if (text == NULL || PyList_Insert(attachments, 0, text) < 0) {
        Py_XDECREF(text);
        return NULL;
    }
    Py_DECREF(text);
    return Py_NewRef(attachments);
}

PyObject *
tbx_sio_encode(TbxState *state, const tbx_sio_packet *packet)
{
    long type = packet->type;
    bool ascii = true;
    bool may_be_binary = packet->detect && (type == TBX_SIO_EVENT || type == TBX_SIO_ACK);
    bool is_binary = type == TBX_SIO_BINARY_EVENT || type == TBX_SIO_BINARY_ACK;
    PyObject *attachments = NULL;
    PyObject *result = NULL;
    tbx_buf out;
    tbx_buf_init(&out);

    if (type < 0 || type > 9) {
        PyErr_SetString(PyExc_ValueError, tbx_err_text(TBX_E_SIO_TYPE));
        goto done;
    }
    if (may_be_binary || is_binary) {
        attachments = PyList_New(0);
        if (attachments == NULL) {
            goto done;
        }
    }
    if (tbx_buf_room(&out, TYPE_GAP) < 0) {
        PyErr_NoMemory();
        goto done;
    }
    memset(out.data, 0, TYPE_GAP);
    out.len = TYPE_GAP;
    if (put_address(&out, packet->ns, packet->id, &ascii) < 0) {
        goto done;
    }
    if (packet->data != Py_None) {
        tbx_json_enc_options options = {packet->json_default, packet->max_depth, attachments};
        if (tbx_json_encode(state, &out, packet->data, &options) < 0) {
            goto done;
        }
    }
    if (may_be_binary && PyList_GET_SIZE(attachments) > 0) {
        type += TBX_SIO_BINARY_EVENT - TBX_SIO_EVENT;
        is_binary = true;
    }
    size_t start =
        put_type(out.data, packet->frame, type, is_binary ? PyList_GET_SIZE(attachments) : -1);
    const uint8_t *text = out.data + start;
    size_t len = out.len - start;
    result = ascii ? tbx_ascii_str(text, len)
                   : PyUnicode_DecodeUTF8((const char *)text, (Py_ssize_t)len, "surrogatepass");
    if (is_binary) {
        result = with_attachments(result, attachments);
    }
done:
    Py_XDECREF(attachments);
    tbx_buf_free(&out);
    return result;
}

/* A tuple of the five; takes the references of ns, id and data, NULL meaning an exception is set. */
static PyObject *
pack_result(const tbx_sio *header, PyObject *ns, PyObject *id, PyObject *data)
{
    PyObject *result = NULL;
    PyObject *type = PyLong_FromLong((long)header->type);
    PyObject *count = PyLong_FromUnsignedLongLong(header->attachments);
    if (type && ns && id && data && count) {
        result = PyTuple_New(5);
    }
    if (result == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(ns);
        Py_XDECREF(id);
        Py_XDECREF(data);
        Py_XDECREF(count);
        return NULL;
    }
    PyTuple_SET_ITEM(result, 0, type);
    PyTuple_SET_ITEM(result, 1, ns);
    PyTuple_SET_ITEM(result, 2, id);
    PyTuple_SET_ITEM(result, 3, data);
    PyTuple_SET_ITEM(result, 4, count);
    return result;
}

static PyObject *
new_ns(const tbx_sio *header)
{
    if (header->ns == NULL) {
        return Py_NewRef(Py_None);
    }
    return PyUnicode_DecodeUTF8((const char *)header->ns, (Py_ssize_t)header->ns_len,
                                "surrogatepass");
}

static PyObject *
new_id(const tbx_sio *header)
{
    if (header->id_len == 0) {
        return Py_NewRef(Py_None);
    }
    if (header->id_len <= 18) {
        long long value = 0;
        for (size_t i = 0; i < header->id_len; i++) {
            value = value * 10 + (header->id[i] - '0');
        }
        return PyLong_FromLongLong(value);
    }
    char digits[TBX_SIO_ID_DIGITS + 1];
    memcpy(digits, header->id, header->id_len);
    digits[header->id_len] = '\0';
    return PyLong_FromString(digits, NULL, 10);
}

/* Reads the header behind the first `skip` bytes of the text. The bytes consumed of what follows
 * them, or -1 with an exception, which names max_attachments unless that is negative. */
static ptrdiff_t
read_header(TbxState *state, const tbx_text *text, size_t skip, Py_ssize_t max_attachments,
            tbx_sio *header)
{
    tbx_err err;
    size_t start = skip < text->len ? skip : text->len;
    ptrdiff_t used = tbx_sio_parse(text->text + start, text->len - start, header, &err);
    if (used == TBX_BAD && err.code == TBX_E_SIO_ATTACHMENTS && max_attachments >= 0) {
        PyErr_Format(PyExc_ValueError, "10000000000 attachments, max_attachments is %zd",
                     max_attachments); /* that many at least */
    }
    else if (used == TBX_BAD) {
        tbx_err_raise(state, &err, NULL);
    }
    return used;
}

static PyObject *
read_json_with(PyObject *loads, const tbx_text *text, size_t start)
{
    PyObject *json = PyUnicode_DecodeUTF8((const char *)text->text + start,
                                          (Py_ssize_t)(text->len - start), "surrogatepass");
    if (json == NULL) {
        return NULL;
    }
    PyObject *data = PyObject_CallOneArg(loads, json);
    Py_DECREF(json);
    return data;
}

static int
check_str(PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "a packet must be a str, not %.100s", tbx_type_name(text));
        return -1;
    }
    return 0;
}

PyObject *
tbx_sio_decode(TbxState *state, PyObject *str, PyObject *loads, Py_ssize_t max_depth)
{
    tbx_text text;
    tbx_sio header;
    PyObject *result = NULL;
    if (check_str(str) < 0 || tbx_text_open(str, &text) < 0) {
        return NULL;
    }
    ptrdiff_t used = read_header(state, &text, 0, -1, &header);
    if (used > 0) {
        size_t start = (size_t)used;
        PyObject *data;
        if (start == text.len) {
            data = Py_NewRef(Py_None);
        }
        else if (loads == Py_None) {
            data = tbx_json_decode_str(state, str, &text, start, max_depth);
        }
        else {
            data = read_json_with(loads, &text, start);
        }
        result = data ? pack_result(&header, new_ns(&header), new_id(&header), data) : NULL;
    }
    tbx_text_close(&text);
    return result;
}

/* What is wrong with a client's packet before its JSON is read; NULL when nothing is. */
static const char *
refuse_header(const tbx_sio *header, Py_ssize_t max_attachments, char *words, size_t size)
{
    if (header->type > TBX_SIO_BINARY_ACK) {
        return "unknown packet type";
    }
    if (header->type == TBX_SIO_BINARY_EVENT || header->type == TBX_SIO_BINARY_ACK) {
        if (header->attachments == 0) {
            return "binary packet without attachments";
        }
        if (max_attachments < 0 || header->attachments > (uint64_t)max_attachments) {
            PyOS_snprintf(words, size, "%llu attachments, max_attachments is %zd",
                          (unsigned long long)header->attachments, max_attachments);
            return words;
        }
    }
    return NULL;
}

/* What is wrong with its data; NULL when nothing is. */
static const char *
refuse_data(const tbx_sio *header, PyObject *data)
{
    switch (header->type) {
    case TBX_SIO_EVENT:
    case TBX_SIO_BINARY_EVENT:
        if (!PyList_CheckExact(data) || PyList_GET_SIZE(data) == 0 ||
            !PyUnicode_CheckExact(PyList_GET_ITEM(data, 0))) {
            return "an event must be an array that starts with its name";
        }
        return NULL;
    case TBX_SIO_ACK:
    case TBX_SIO_BINARY_ACK:
        return PyList_CheckExact(data) ? NULL : "an acknowledgement must be an array";
    default:
        return NULL;
    }
}

PyObject *
tbx_sio_decode_message(TbxState *state, PyObject *str, Py_ssize_t max_attachments,
                       Py_ssize_t max_depth, size_t skip)
{
    tbx_text text;
    tbx_sio header;
    PyObject *data = NULL;
    PyObject *result = NULL;
    char words[96];
    if (check_str(str) < 0 || tbx_text_open(str, &text) < 0) {
        return NULL;
    }
    ptrdiff_t used = read_header(state, &text, skip, max_attachments, &header);
    if (used <= 0) {
        goto done;
    }
    const char *reason = refuse_header(&header, max_attachments, words, sizeof words);
    if (reason == NULL) {
        size_t start = skip + (size_t)used;
        data = start == text.len ? Py_NewRef(Py_None)
                                 : tbx_json_decode_str(state, str, &text, start, max_depth);
        if (data == NULL) {
            goto done;
        }
        reason = refuse_data(&header, data);
    }
    if (reason != NULL) {
        Py_XDECREF(data);
        PyErr_SetString(PyExc_ValueError, reason);
        goto done;
    }
    result = pack_result(&header, new_ns(&header), new_id(&header), data);
done:
    tbx_text_close(&text);
    return result;
}

PyObject *
tbx_sio_head(TbxState *state, PyObject *str)
{
    tbx_text text;
    tbx_sio header;
    PyObject *result = NULL;
    if (check_str(str) < 0 || tbx_text_open(str, &text) < 0) {
        return NULL;
    }
    if (read_header(state, &text, 0, -1, &header) > 0) {
        PyObject *ns = new_ns(&header);
        result = ns != NULL ? Py_BuildValue("(IN)", header.type, ns) : NULL;
    }
    tbx_text_close(&text);
    return result;
}
