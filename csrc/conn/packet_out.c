/* packet_out.c: the text of a packet on its way out (contract in conn.h).
 *
 * The type, and for a binary packet the number of attachments, are known last: they are written into
 * the end of a gap that is left in front.
 * Spec: Socket.IO protocol, revision 5, packet encoding.
 */
#include "conn/conn.h"

#include "base/num.h"

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

int
tbx_packet_put_array(TbxState *state, tbx_buf *out, PyObject *event, PyObject *value,
                     const tbx_json_enc_options *options)
{
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
