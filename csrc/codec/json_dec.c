/* json_dec.c: the grammar of JSON and the objects it makes (contract in json_dec.h).
 *
 * A decoder lives on the C stack for one call. It owns `values`, the finished values and keys of
 * the open containers; a frame says where the values of one container begin. Invariant before
 * every escape: values[0..n) are owned references, so any failure ends in one place that drops
 * them. There is no C recursion: depth costs a frame, and max_depth bounds the frames.
 */
#include "codec/json_dec.h"

#include "base/num.h"
#include "base/utf8.h"
#include "codec/json_key.h"
#include "py/err.h"
#include "wire/json_lex.h"

#ifdef TBX_DEBUG
#define FIRST_VALUES 1
#define FIRST_FRAMES 1
#else
#define FIRST_VALUES 64
#define FIRST_FRAMES 32
#endif

#if PY_VERSION_HEX >= 0x030d0000 /* where json has words of its own for a trailing comma */
#define HAS_TRAILING_COMMA 1
#else
#define HAS_TRAILING_COMMA 0
#endif

typedef struct {
    size_t base; /* index of the container's first value */
    bool is_object;
} frame;

typedef struct {
    TbxState *state; /* borrowed */
    tbx_json_src src;
    size_t max_depth;
    PyObject **values; /* owned references, n_values of them */
    size_t n_values;
    size_t cap_values;
    frame *frames;
    size_t n_frames;
    size_t cap_frames;
    PyObject *first_values[FIRST_VALUES];
    frame first_frames[FIRST_FRAMES];
} decoder;

/* Doubles an array that may still be the one inside the decoder. NULL without memory. */
static void *
grow_array(void *array, const void *first, size_t *cap, size_t item)
{
    size_t new_cap = *cap * 2;
    void *grown = PyMem_Realloc(array == first ? NULL : array, new_cap * item);
    if (grown == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (array == first) {
        memcpy(grown, first, *cap * item);
    }
    *cap = new_cap;
    return grown;
}

/* Takes the reference, also when it fails. */
static inline int
push_value(decoder *d, PyObject *value)
{
    if (value == NULL) {
        return -1;
    }
    if (d->n_values == d->cap_values) {
        PyObject **grown =
            grow_array(d->values, d->first_values, &d->cap_values, sizeof *d->values);
        if (grown == NULL) {
            Py_DECREF(value);
            return -1;
        }
        d->values = grown;
    }
    d->values[d->n_values++] = value;
    return 0;
}

static inline int
push_frame(decoder *d, bool is_object, const uint8_t *at)
{
    if (d->n_frames == d->max_depth) {
        tbx_json_bad(&d->src, TBX_E_JSON_DEPTH, at);
        return -1;
    }
    if (d->n_frames == d->cap_frames) {
        frame *grown = grow_array(d->frames, d->first_frames, &d->cap_frames, sizeof *d->frames);
        if (grown == NULL) {
            return -1;
        }
        d->frames = grown;
    }
    d->frames[d->n_frames++] = (frame){d->n_values, is_object};
    return 0;
}

static PyObject *
new_str_wide(const tbx_json_str *s)
{
    tbx_utf8_shape shape = tbx_utf8_measure(s->text, s->len);
    PyObject *str = PyUnicode_New((Py_ssize_t)shape.chars, shape.max);
    if (str == NULL) {
        return NULL;
    }
    switch (PyUnicode_KIND(str)) {
    case PyUnicode_1BYTE_KIND:
        tbx_utf8_to_1(s->text, s->len, PyUnicode_1BYTE_DATA(str));
        break;
    case PyUnicode_2BYTE_KIND:
        tbx_utf8_to_2(s->text, s->len, PyUnicode_2BYTE_DATA(str));
        break;
    default:
        tbx_utf8_to_4(s->text, s->len, PyUnicode_4BYTE_DATA(str));
        break;
    }
    return str;
}

static inline PyObject *
new_str(const tbx_json_str *s)
{
    if (!s->ascii) {
        return new_str_wide(s);
    }
    if (s->len <= 1) { /* the interpreter keeps these itself */
        return PyUnicode_FromStringAndSize((const char *)s->text, (Py_ssize_t)s->len);
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)s->len, 0x7f);
    if (str != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(str), s->text, s->len);
    }
    return str;
}

/* An integer that read_short_int left. */
static PyObject *
new_int(decoder *d, const tbx_json_num *num)
{
    const uint8_t *p = num->text;
    size_t n = num->len;
    if (n > TBX_JSON_MAX_INT) {
        tbx_json_bad(&d->src, TBX_E_JSON_INT, p);
        return NULL;
    }
    char digits[TBX_JSON_MAX_INT + 1];
    memcpy(digits, p, n);
    digits[n] = '\0';
    return PyLong_FromString(digits, NULL, 10);
}

/* Reads an integer of up to 18 digits at p. Returns what follows it, or NULL when there is none
 * such, or it turns out to be a float. */
static inline const uint8_t *
read_short_int(const uint8_t *p, const uint8_t *end, int64_t *value)
{
    bool negative = *p == '-';
    const uint8_t *digits = p + negative;
    const uint8_t *q = digits;
    uint64_t sum = 0;
    while (q < end && *q >= '0' && *q <= '9') {
        if (q - digits == 18) {
            return NULL;
        }
        sum = sum * 10 + (uint64_t)(*q - '0');
        q++;
    }
    if (q == digits || (*digits == '0' && q - digits > 1)) {
        return NULL;
    }
    if (q < end && (*q == '.' || (*q | 0x20) == 'e')) {
        return NULL;
    }
    *value = negative ? -(int64_t)sum : (int64_t)sum;
    return q;
}

/* Reads the literal or number at p onto the values. Returns what follows it, or NULL. */
static const uint8_t *
read_scalar(decoder *d, const uint8_t *p)
{
    const uint8_t *end = d->src.end;
    const uint8_t *next = NULL;
    PyObject *value = NULL;
    if (p < end) {
        switch (*p) {
        case 'n':
            next = tbx_json_lex_literal(p, end, "null", 4);
            value = next ? Py_NewRef(Py_None) : NULL;
            break;
        case 't':
            next = tbx_json_lex_literal(p, end, "true", 4);
            value = next ? Py_NewRef(Py_True) : NULL;
            break;
        case 'f':
            next = tbx_json_lex_literal(p, end, "false", 5);
            value = next ? Py_NewRef(Py_False) : NULL;
            break;
        case 'N':
            next = tbx_json_lex_literal(p, end, "NaN", 3);
            value = next ? PyFloat_FromDouble(Py_NAN) : NULL;
            break;
        case 'I':
            next = tbx_json_lex_literal(p, end, "Infinity", 8);
            value = next ? PyFloat_FromDouble(Py_HUGE_VAL) : NULL;
            break;
        case '-':
            next = tbx_json_lex_literal(p, end, "-Infinity", 9);
            value = next ? PyFloat_FromDouble(-Py_HUGE_VAL) : NULL;
            break;
        default:
            break;
        }
    }
    int64_t number;
    if (next == NULL && p < end && (next = read_short_int(p, end, &number)) != NULL) {
        value = PyLong_FromLongLong(number);
    }
    if (next == NULL) {
        tbx_json_num num;
        next = tbx_json_lex_number(&d->src, p, &num);
        if (next == NULL) {
            return NULL;
        }
        value = num.is_float ? PyFloat_FromDouble(tbx_num_get_f64((const char *)num.text, num.len))
                             : new_int(d, &num);
    }
    return push_value(d, value) < 0 ? NULL : next;
}

/* Reads `"key" :` at p onto the values. Returns the start of the value, or NULL. */
static const uint8_t *
read_key(decoder *d, const uint8_t *p)
{
    const uint8_t *end = d->src.end;
    if (p >= end || *p != '"') {
        return tbx_json_bad(&d->src, TBX_E_JSON_KEY, p);
    }
    tbx_json_str s;
    p = tbx_json_lex_string(&d->src, p + 1, &s);
    if (p == NULL) {
        return NULL;
    }
    PyObject *key =
        s.ascii && s.len <= TBX_KEY_MAX ? tbx_json_key(d->state, s.text, s.len) : new_str(&s);
    if (push_value(d, key) < 0) {
        return NULL;
    }
    p = tbx_json_skip_space(p, end);
    if (p >= end || *p != ':') {
        return tbx_json_bad(&d->src, TBX_E_JSON_COLON, p);
    }
    return tbx_json_skip_space(p + 1, end);
}

/* Replaces the values of the innermost container by the container. */
static int
close_frame(decoder *d)
{
    frame *f = &d->frames[d->n_frames - 1];
    PyObject **items = d->values + f->base;
    size_t n = d->n_values - f->base;
    PyObject *container;
    if (f->is_object) {
        container = PyDict_New(); /* _PyDict_NewPresized makes slower ones, not for str keys */
        if (container == NULL) {
            return -1;
        }
        for (size_t i = 0; i < n; i += 2) {
            if (PyDict_SetItem(container, items[i], items[i + 1]) < 0) {
                Py_DECREF(container);
                return -1;
            }
        }
        for (size_t i = 0; i < n; i++) {
            Py_DECREF(items[i]);
        }
    }
    else {
        container = PyList_New((Py_ssize_t)n);
        if (container == NULL) {
            return -1;
        }
        for (size_t i = 0; i < n; i++) {
            PyList_SET_ITEM(container, (Py_ssize_t)i, items[i]);
        }
    }
    d->n_values = f->base;
    d->n_frames--;
    return push_value(d, container);
}

/* Behind a comma at p: the start of the next value. NULL where the container ends instead, which
 * newer versions of json have an error for. */
static const uint8_t *
after_comma(decoder *d, const uint8_t *comma, bool is_object)
{
    const uint8_t *p = tbx_json_skip_space(comma + 1, d->src.end);
    if (HAS_TRAILING_COMMA && p < d->src.end && *p == (is_object ? '}' : ']')) {
        return tbx_json_bad(
            &d->src, is_object ? TBX_E_JSON_TRAILING_OBJECT : TBX_E_JSON_TRAILING_ARRAY, comma);
    }
    return is_object ? read_key(d, p) : p;
}

/* The value at p, left as the only one on the values. Returns what follows it, or NULL.
 * Longer than most: it is the loop that every byte of a document passes. */
static const uint8_t *
read_document(decoder *d, const uint8_t *p)
{
    const uint8_t *end = d->src.end;
    for (;;) {
        uint8_t c = p < end ? *p : 0;
        if (c == '"') {
            tbx_json_str s;
            p = tbx_json_lex_string(&d->src, p + 1, &s);
            if (p == NULL || push_value(d, new_str(&s)) < 0) {
                return NULL;
            }
        }
        else if (c == '{' || c == '[') {
            bool is_object = c == '{';
            if (push_frame(d, is_object, p) < 0) {
                return NULL;
            }
            p = tbx_json_skip_space(p + 1, end);
            if (p < end && *p == (is_object ? '}' : ']')) {
                p++;
                if (close_frame(d) < 0) {
                    return NULL;
                }
            }
            else {
                if (is_object) {
                    p = read_key(d, p);
                    if (p == NULL) {
                        return NULL;
                    }
                }
                continue;
            }
        }
        else {
            p = read_scalar(d, p);
            if (p == NULL) {
                return NULL;
            }
        }
        for (;;) { /* a value has just ended */
            if (d->n_frames == 0) {
                return p;
            }
            bool is_object = d->frames[d->n_frames - 1].is_object;
            p = tbx_json_skip_space(p, end);
            c = p < end ? *p : 0;
            if (c == ',') {
                p = after_comma(d, p, is_object);
                if (p == NULL) {
                    return NULL;
                }
                break;
            }
            if (c != (is_object ? '}' : ']')) {
                return tbx_json_bad(&d->src, TBX_E_JSON_COMMA, p);
            }
            p++;
            if (close_frame(d) < 0) {
                return NULL;
            }
        }
    }
}

PyObject *
tbx_json_decode(TbxState *state, const uint8_t *text, size_t n, Py_ssize_t max_depth, tbx_err *err)
{
    tbx_buf scratch;
    tbx_buf_init(&scratch);
    decoder d;
    d.state = state;
    d.src = (tbx_json_src){text, text + n, &scratch, {TBX_E_NONE, 0}};
    d.max_depth = max_depth > 0 ? (size_t)max_depth : 0;
    d.values = d.first_values;
    d.n_values = 0;
    d.cap_values = FIRST_VALUES;
    d.frames = d.first_frames;
    d.n_frames = 0;
    d.cap_frames = FIRST_FRAMES;

    PyObject *result = NULL;
    const uint8_t *end = d.src.end;
    const uint8_t *p = read_document(&d, tbx_json_skip_space(text, end));
    if (p != NULL) {
        p = tbx_json_skip_space(p, end);
        if (p == end) {
            result = d.values[--d.n_values];
        }
        else {
            tbx_json_bad(&d.src, TBX_E_JSON_EXTRA, p);
        }
    }
    while (d.n_values > 0) {
        Py_DECREF(d.values[--d.n_values]);
    }
    if (d.values != d.first_values) {
        PyMem_Free(d.values);
    }
    if (d.frames != d.first_frames) {
        PyMem_Free(d.frames);
    }
    tbx_buf_free(&scratch);
    *err = d.src.err;
    return result;
}

int
tbx_text_open(PyObject *str, tbx_text *text)
{
    text->keep = NULL;
    if (PyUnicode_IS_ASCII(str)) {
        text->text = PyUnicode_1BYTE_DATA(str);
        text->len = (size_t)PyUnicode_GET_LENGTH(str);
        return 0;
    }
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(str, &len);
    if (utf8 != NULL) {
        text->text = (const uint8_t *)utf8;
        text->len = (size_t)len;
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        return -1;
    }
    PyErr_Clear(); /* lone surrogates */
    text->keep = PyUnicode_AsEncodedString(str, "utf-8", "surrogatepass");
    if (text->keep == NULL) {
        return -1;
    }
    text->text = (const uint8_t *)PyBytes_AS_STRING(text->keep);
    text->len = (size_t)PyBytes_GET_SIZE(text->keep);
    return 0;
}

static void
raise_bad(TbxState *state, const tbx_err *err, PyObject *doc, Py_ssize_t max_depth)
{
    if (err->code == TBX_E_JSON_DEPTH) {
        PyErr_Format(PyExc_ValueError, "%s: %zd levels, json_max_depth is %zd",
                     tbx_err_text(err->code), max_depth + 1, max_depth);
        return;
    }
    tbx_err_raise(state, err, doc);
}

/* As tbx_json_decode_str; with `tell_bom`, a byte order mark at the start is told as such. */
static PyObject *
decode_str(TbxState *state, PyObject *str, const tbx_text *text, size_t start, Py_ssize_t max_depth,
           bool tell_bom)
{
    tbx_err err;
    const uint8_t *json = text->text + start;
    PyObject *result = tbx_json_decode(state, json, text->len - start, max_depth, &err);
    if (result != NULL || err.code == TBX_E_NONE) {
        return result;
    }
    Py_ssize_t from = (Py_ssize_t)tbx_utf8_count(text->text, start);
    PyObject *doc = PyUnicode_Substring(str, from, PY_SSIZE_T_MAX);
    if (doc == NULL) {
        return NULL;
    }
    err.pos = tbx_utf8_count(json, err.pos);
    if (tell_bom && PyUnicode_GET_LENGTH(doc) > 0 && PyUnicode_READ_CHAR(doc, 0) == 0xfeff) {
        err = (tbx_err){TBX_E_JSON_BOM, 0};
    }
    raise_bad(state, &err, doc, max_depth);
    Py_DECREF(doc);
    return NULL;
}

PyObject *
tbx_json_decode_str(TbxState *state, PyObject *str, const tbx_text *text, size_t start,
                    Py_ssize_t max_depth)
{
    return decode_str(state, str, text, start, max_depth, true);
}

static PyObject *
loads_str(TbxState *state, PyObject *str, Py_ssize_t max_depth, bool tell_bom)
{
    tbx_text text;
    if (tbx_text_open(str, &text) < 0) {
        return NULL;
    }
    PyObject *result = decode_str(state, str, &text, 0, max_depth, tell_bom);
    tbx_text_close(&text);
    return result;
}

/* True where json.detect_encoding would say UTF-8 without a byte order mark. */
static bool
looks_like_utf8(const uint8_t *p, size_t n)
{
    if (n == 0) {
        return true;
    }
    if (p[0] == 0 || p[0] >= 0xef) { /* UTF-16 or -32, or any byte order mark */
        return false;
    }
    return n == 1 || p[1] != 0;
}

static PyObject *
loads_bytes(TbxState *state, PyObject *bytes, Py_ssize_t max_depth)
{
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(bytes);
    size_t n = (size_t)PyBytes_GET_SIZE(bytes);
    if (looks_like_utf8(p, n) && tbx_utf8_valid(p, n) == n) {
        tbx_err err;
        PyObject *result = tbx_json_decode(state, p, n, max_depth, &err);
        if (result != NULL || err.code == TBX_E_NONE) {
            return result;
        }
    } /* what fails is read again as text, for the exception */
    PyObject *encoding = PyObject_CallOneArg(state->detect_encoding, bytes);
    if (encoding == NULL) {
        return NULL;
    }
    const char *name = PyUnicode_AsUTF8(encoding);
    PyObject *str = name ? PyUnicode_FromEncodedObject(bytes, name, "surrogatepass") : NULL;
    Py_DECREF(encoding);
    if (str == NULL) {
        return NULL;
    }
    PyObject *result = loads_str(state, str, max_depth, false);
    Py_DECREF(str);
    return result;
}

PyObject *
tbx_json_loads(TbxState *state, PyObject *doc, Py_ssize_t max_depth)
{
    if (PyUnicode_Check(doc)) {
        return loads_str(state, doc, max_depth, true);
    }
    if (PyBytes_Check(doc)) {
        return loads_bytes(state, doc, max_depth);
    }
    if (PyByteArray_Check(doc)) {
        PyObject *bytes = PyBytes_FromObject(doc); /* a copy that no one can change meanwhile */
        if (bytes == NULL) {
            return NULL;
        }
        PyObject *result = loads_bytes(state, bytes, max_depth);
        Py_DECREF(bytes);
        return result;
    }
    return PyErr_Format(PyExc_TypeError, "the JSON object must be str, bytes or bytearray, not %s",
                        tbx_type_name(doc));
}
