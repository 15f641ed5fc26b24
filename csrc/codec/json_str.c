/* json_str.c: strings on the way out (contract in json_str.h). */
#include "codec/json_str.h"

#define ESCAPE_MAX 12 /* a surrogate pair: \ud83d\ude00 */

static inline uint8_t *
put_unit(uint8_t *dst, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    dst[0] = '\\';
    dst[1] = 'u';
    dst[2] = (uint8_t)hex[unit >> 12 & 15];
    dst[3] = (uint8_t)hex[unit >> 8 & 15];
    dst[4] = (uint8_t)hex[unit >> 4 & 15];
    dst[5] = (uint8_t)hex[unit & 15];
    return dst + 6;
}

/* Writes a character that cannot stand for itself, at most ESCAPE_MAX bytes. */
static uint8_t *
put_escape(uint8_t *dst, uint32_t c)
{
    uint8_t short_form = 0;
    switch (c) {
    case '"':
    case '\\':
        short_form = (uint8_t)c;
        break;
    case '\n':
        short_form = 'n';
        break;
    case '\r':
        short_form = 'r';
        break;
    case '\t':
        short_form = 't';
        break;
    case '\f':
        short_form = 'f';
        break;
    case '\b':
        short_form = 'b';
        break;
    default:
        break;
    }
    if (short_form != 0) {
        dst[0] = '\\';
        dst[1] = short_form;
        return dst + 2;
    }
    if (c >= 0x10000) {
        c -= 0x10000;
        dst = put_unit(dst, 0xd800 | c >> 10);
        return put_unit(dst, 0xdc00 | (c & 0x3ff));
    }
    return put_unit(dst, c);
}

/* The rest of a string that is not plain to its end, `run` bytes of which are there already. */
static int
put_ascii_escaped(tbx_buf *out, const uint8_t *p, size_t n, size_t run)
{
    for (;;) {
        out->len += run;
        p += run;
        n -= run;
        while (n != 0 && !tbx_json_is_plain_write(*p)) {
            if (tbx_buf_room(out, ESCAPE_MAX) < 0) {
                return -1;
            }
            uint8_t *at = out->data + out->len;
            out->len += (size_t)(put_escape(at, *p) - at);
            p++;
            n--;
        }
        if (tbx_buf_room(out, n + TBX_JSON_SLACK) < 0) {
            return -1;
        }
        if (n == 0) {
            return 0;
        }
        run = tbx_json_copy(out->data + out->len, p, n);
    }
}

/* A string of any width, in steps that one check of the room covers. */
static int
put_wide(tbx_buf *out, PyObject *str)
{
    enum { STEP = 64 };
    int kind = (int)PyUnicode_KIND(str);
    const void *data = PyUnicode_DATA(str);
    Py_ssize_t n = PyUnicode_GET_LENGTH(str);
    for (Py_ssize_t i = 0; i < n;) {
        if (tbx_buf_room(out, STEP * ESCAPE_MAX) < 0) {
            return -1;
        }
        Py_ssize_t stop = n - i < STEP ? n : i + STEP;
        uint8_t *at = out->data + out->len;
        for (; i < stop; i++) {
            uint32_t c = PyUnicode_READ(kind, data, i);
            if (c < 0x80 && tbx_json_is_plain_write((uint8_t)c)) {
                *at++ = (uint8_t)c;
            }
            else if (c - 0x80 < 0x10000 - 0x80) {
                at = put_unit(at, c);
            }
            else {
                at = put_escape(at, c);
            }
        }
        out->len = (size_t)(at - out->data);
    }
    return 0;
}

int
tbx_json_put_str_slow(tbx_buf *out, PyObject *str, size_t run)
{
    if (tbx_buf_put_byte(out, '"') < 0) { /* where there is a run, the quote is there already */
        return -1;
    }
    int status = PyUnicode_IS_ASCII(str) ? put_ascii_escaped(out, PyUnicode_1BYTE_DATA(str),
                                                             (size_t)PyUnicode_GET_LENGTH(str), run)
                                         : put_wide(out, str);
    if (status < 0 || tbx_buf_room(out, 1 + TBX_JSON_STR_ROOM) < 0) {
        return -1;
    }
    out->data[out->len++] = '"';
    return 0;
}
