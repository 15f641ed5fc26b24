/* packet_out.c: the text of a packet on its way out (contract in conn.h).
 *
 * The type, and for a binary packet the number of attachments, are known last: they are written into
 * the end of a gap that is left in front.
 * Spec: Socket.IO protocol, revision 5, packet encoding.
 */
#include "conn/conn.h"

#include "base/num.h"
#include "codec/binary.h"

#define TYPE_GAP (2 + TBX_NUM_MAX + 1) /* types, number of attachments and '-' */

int
tbx_packet_begin(tbx_buf *out, PyObject *ns, bool has_id, uint64_t id)
{
    char digits[TBX_NUM_MAX];
    size_t n_digits = has_id ? tbx_num_put_i64(digits, (int64_t)id) : 0;
    Py_ssize_t ns_len = 0;
    const char *ns_text = PyUnicode_AsUTF8AndSize(ns, &ns_len);
    if (ns_text == NULL) {
        return -1;
    }
    bool is_root = ns_len == 1 && ns_text[0] == '/';
    if (tbx_buf_room(out, TYPE_GAP + (size_t)ns_len + 1 + n_digits) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    memset(out->data, 0, TYPE_GAP);
    out->len = TYPE_GAP;
    if (!is_root) {
        (void)tbx_buf_put(out, ns_text, (size_t)ns_len);
        (void)tbx_buf_put_byte(out, ',');
    }
    (void)tbx_buf_put(out, digits, n_digits);
    return 0;
}

/* The array as a list, its bytes moved to the attachments unless those are NULL: new reference.
 * Escapes. */
static PyObject *
make_list(TbxState *state, PyObject *event, PyObject *value, PyObject *attachments)
{
    bool is_tuple = PyTuple_Check(value);
    Py_ssize_t n = is_tuple ? PyTuple_GET_SIZE(value) : value != Py_None;
    Py_ssize_t skipped = event != NULL;
    PyObject *list = PyList_New(skipped + n);
    if (list == NULL) {
        return NULL;
    }
    if (event != NULL) {
        PyList_SET_ITEM(list, 0, Py_NewRef(event));
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyList_SET_ITEM(list, skipped + i,
                        Py_NewRef(is_tuple ? PyTuple_GET_ITEM(value, i) : value));
    }
    int found = attachments != NULL ? tbx_binary_found(list) : 0;
    if (found != 0) {
        Py_SETREF(list, found > 0 ? tbx_binary_deconstruct(state, list, attachments) : NULL);
    }
    return list;
}

/* The array as the application writes JSON. Mirrors: socketio.packet.Packet.encode. */
static int
put_array_of(TbxState *state, tbx_buf *out, PyObject *json, PyObject *event, PyObject *value,
             PyObject *attachments)
{
    PyObject *list = make_list(state, event, value, attachments);
    PyObject *text = list != NULL ? tbx_call_python(state, json, TBX_PY_DUMPS, list) : NULL;
    PyObject *bytes =
        text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass") : NULL;
    Py_XDECREF(list);
    Py_XDECREF(text);
    if (bytes == NULL) {
        return -1;
    }
    int status = tbx_buf_put(out, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    if (status < 0) {
        PyErr_NoMemory();
    }
    return status;
}

int
tbx_packet_put_array(TbxState *state, tbx_buf *out, PyObject *json, PyObject *event,
                     PyObject *value, const tbx_json_enc_options *options)
{
    if (json != Py_None) {
        return put_array_of(state, out, json, event, value, options->attachments);
    }
    bool is_tuple = PyTuple_Check(value);
    Py_ssize_t n = is_tuple ? PyTuple_GET_SIZE(value) : value != Py_None;
    int status = tbx_buf_put_byte(out, '[');
    if (status == 0 && event != NULL && tbx_json_encode(state, out, event, options) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < n && status == 0; i++) {
        if (i > 0 || event != NULL) {
            status = tbx_buf_put_byte(out, ',');
        }
        if (status == 0 &&
            tbx_json_encode(state, out, is_tuple ? PyTuple_GET_ITEM(value, i) : value, options) <
                0) {
            return -1;
        }
    }
    if (status < 0 || tbx_buf_put_byte(out, ']') < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

size_t
tbx_packet_finish(uint8_t *gap, char type, Py_ssize_t n_attachments)
{
    char text[TYPE_GAP] = {'4', type};
    size_t len = 2;
    if (n_attachments > 0) {
        text[1] = (char)(type + TBX_SIO_BINARY_EVENT - TBX_SIO_EVENT);
        len += tbx_num_put_i64(text + len, n_attachments);
        text[len++] = '-';
    }
    memcpy(gap + TYPE_GAP - len, text, len);
    return TYPE_GAP - len;
}
