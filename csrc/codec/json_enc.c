/* json_enc.c: the walk over a value and its JSON (contract in json_enc.h).
 *
 * An encoder lives on the C stack for one call. It owns `frames`, one for each open container; a
 * frame owns its container. There is no C recursion. Before every escape the frames are whole and
 * what is being written is held by a strong reference; sizes are read again at every step, so a
 * hook that changes a list or a dict on the way does no harm.
 */
#include "codec/json_enc.h"

#include <math.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/num.h"
#include "codec/json_str.h"

#ifdef TBX_DEBUG
#define FIRST_FRAMES 1
#else
#define FIRST_FRAMES 24
#endif

typedef enum {
    FRAME_LIST,  /* a list: its items may change on the way */
    FRAME_TUPLE, /* a tuple; bytes inside are not attachments, as upstream does not look there */
    FRAME_DICT,  /* an exact dict, read in place */
    FRAME_ITEMS, /* a list of (key, value) pairs: the items() of a dict subclass */
    FRAME_HOOK,  /* what json_default was called for */
} frame_kind;

typedef struct {
    PyObject *origin; /* owned: the container (or object) as the user knows it */
    PyObject *items;  /* owned: what is read: origin itself, or a list made of it */
    Py_ssize_t next;  /* index, or PyDict_Next's position */
    Py_ssize_t size;  /* of an exact dict when it was opened */
    frame_kind kind;
    bool comma; /* something was written in it */
} frame;

typedef struct {
    TbxState *state; /* borrowed */
    tbx_buf *out;    /* borrowed */
    const tbx_json_enc_options *options;
    frame *frames;
    size_t n_frames;
    size_t cap_frames;
    size_t n_tuples; /* frames of kind FRAME_TUPLE */
    frame first_frames[FIRST_FRAMES];
} encoder;

static inline int
room(encoder *e, size_t n)
{
    if (tbx_buf_room(e->out, n) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Appends n bytes, which the caller has made room for. */
static inline void
add(encoder *e, const char *text, size_t n)
{
    memcpy(e->out->data + e->out->len, text, n);
    e->out->len += n;
}

static inline int
put(encoder *e, const char *text, size_t n)
{
    if (room(e, n) < 0) {
        return -1;
    }
    add(e, text, n);
    return 0;
}

static inline int
put_byte(encoder *e, char c)
{
    return put(e, &c, 1);
}

/* The depth is reached: -1 with the exception that json.dumps has for a cycle, or with ours. */
static int
raise_too_deep(encoder *e, PyObject *obj)
{
    for (size_t i = 0; i < e->n_frames; i++) {
        if (e->frames[i].origin == obj) {
            PyErr_SetString(PyExc_ValueError, "Circular reference detected");
            return -1;
        }
        for (size_t j = i + 1; j < e->n_frames; j++) {
            if (e->frames[i].origin == e->frames[j].origin) {
                PyErr_SetString(PyExc_ValueError, "Circular reference detected");
                return -1;
            }
        }
    }
    Py_ssize_t max = e->options->max_depth;
    PyErr_Format(PyExc_ValueError, "%s: %zd levels, json_max_depth is %zd",
                 tbx_err_text(TBX_E_JSON_DEPTH), max + 1, max);
    return -1;
}

/* Opens a frame. Takes the reference to items, also when it fails. */
static int
push_frame(encoder *e, frame_kind kind, PyObject *origin, PyObject *items, Py_ssize_t size)
{
    if (e->n_frames == e->cap_frames) {
        size_t cap = e->cap_frames * 2;
        bool inside = e->frames == e->first_frames;
        frame *grown = PyMem_Realloc(inside ? NULL : e->frames, cap * sizeof *grown);
        if (grown == NULL) {
            Py_DECREF(items);
            PyErr_NoMemory();
            return -1;
        }
        if (inside) {
            memcpy(grown, e->first_frames, sizeof e->first_frames);
        }
        e->frames = grown;
        e->cap_frames = cap;
    }
    e->frames[e->n_frames++] = (frame){Py_NewRef(origin), items, 0, size, kind, false};
    e->n_tuples += kind == FRAME_TUPLE;
    return 0;
}

/* The frame is taken off before anything is dropped: a finaliser sees a whole stack. */
static void
pop_frame(encoder *e)
{
    frame f = e->frames[--e->n_frames];
    e->n_tuples -= f.kind == FRAME_TUPLE;
    Py_DECREF(f.items);
    Py_DECREF(f.origin);
}

static int
put_small_int(encoder *e, int64_t value)
{
    if (room(e, TBX_NUM_MAX) < 0) {
        return -1;
    }
    e->out->len += tbx_num_put_i64((char *)e->out->data + e->out->len, value);
    return 0;
}

/* Escapes for what does not fit 64 bits: repr() of an int looks for signals, and from 3.12 on it
 * may collect garbage. */
static int
put_int(encoder *e, PyObject *number)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0) {
        return value == -1 && PyErr_Occurred() ? -1 : put_small_int(e, value);
    }
    PyObject *digits = tbx_long_repr(number);
    if (digits == NULL) {
        return -1;
    }
    int status =
        put(e, (const char *)PyUnicode_1BYTE_DATA(digits), (size_t)PyUnicode_GET_LENGTH(digits));
    Py_DECREF(digits);
    return status;
}

static int
put_float(encoder *e, double value)
{
    if (isfinite(value)) {
        if (room(e, TBX_NUM_MAX) < 0) {
            return -1;
        }
        e->out->len += tbx_num_put_f64((char *)e->out->data + e->out->len, value);
        return 0;
    }
    if (isnan(value)) {
        return put(e, "NaN", 3);
    }
    return value > 0 ? put(e, "Infinity", 8) : put(e, "-Infinity", 9);
}

static int
put_str(encoder *e, PyObject *str)
{
    if (tbx_json_put_str(e->out, str) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Writes obj when its type is one that holds no other object. 1, 0 when it is not, or -1.
 * No escapes: the types are exact. */
static inline int
put_leaf(encoder *e, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    int status;
    if (type == &PyUnicode_Type) {
        status = put_str(e, obj);
    }
    else if (type == &PyLong_Type) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(obj, &overflow);
        if (overflow != 0) { /* its digits may run Python: see put_int */
            return 0;
        }
        status = put_small_int(e, number);
    }
    else if (type == &PyFloat_Type) {
        status = put_float(e, PyFloat_AS_DOUBLE(obj));
    }
    else if (obj == Py_None) {
        status = put(e, "null", 4);
    }
    else if (obj == Py_True) {
        status = put(e, "true", 4);
    }
    else if (obj == Py_False) {
        status = put(e, "false", 5);
    }
    else {
        return 0;
    }
    return status < 0 ? -1 : 1;
}

/* A key that is not an exact str. Escapes as put_int. */
static int
put_odd_key(encoder *e, PyObject *key)
{
    if (PyUnicode_Check(key)) {
        return put_str(e, key);
    }
    if (put_byte(e, '"') < 0) {
        return -1;
    }
    int status;
    if (PyFloat_Check(key)) {
        status = put_float(e, PyFloat_AS_DOUBLE(key));
    }
    else if (PyLong_Check(key) && !PyBool_Check(key)) {
        status = put_int(e, key);
    }
    else if (key == Py_None || PyBool_Check(key)) {
        status = put_leaf(e, key);
    }
    else {
        PyErr_Format(PyExc_TypeError, "keys must be str, int, float, bool or None, not %.100s",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    return status < 0 ? -1 : put_byte(e, '"');
}

static inline int
put_comma(encoder *e, frame *f)
{
    if (!f->comma) {
        f->comma = true;
        return 0;
    }
    return put_byte(e, ',');
}

/* Writes a key and, where it is a leaf, its value: 0. Else 1 and a new reference to the value, which
 * is still to be written; or -1. Escapes with 1 and -1 only. */
static inline int
put_pair(encoder *e, frame *f, PyObject *key, PyObject *item, PyObject **value)
{
    if (put_comma(e, f) < 0) {
        return -1;
    }
    if (PyUnicode_CheckExact(key)) {
        if (put_str(e, key) < 0) {
            return -1;
        }
        e->out->data[e->out->len++] = ':'; /* TBX_JSON_STR_ROOM */
        int leaf = put_leaf(e, item);
        if (leaf == 0) {
            *value = Py_NewRef(item);
            return 1;
        }
        return leaf < 0 ? -1 : 0;
    }
    Py_INCREF(key);
    Py_INCREF(item);
    int status = put_odd_key(e, key) < 0 || put_byte(e, ':') < 0 ? -1 : 1;
    Py_DECREF(key);
    if (status < 0) {
        Py_DECREF(item);
    }
    else {
        *value = item;
    }
    return status;
}

static int
put_attachment(encoder *e, PyObject *data)
{
    Py_ssize_t index = PyList_GET_SIZE(e->options->attachments);
    if (PyList_Append(e->options->attachments, data) < 0) {
        return -1;
    }
    static const char head[] = "{\"_placeholder\":true,\"num\":";
    return put(e, head, sizeof head - 1) < 0 || put_small_int(e, index) < 0 ? -1 : put_byte(e, '}');
}

/* Opens a list, tuple or dict, or writes it when it is empty. */
static int
open_container(encoder *e, PyObject *obj)
{
    bool is_dict = PyDict_Check(obj);
    frame_kind kind;
    PyObject *items;
    Py_ssize_t size = 0;
    if ((Py_ssize_t)e->n_frames >= e->options->max_depth) {
        return raise_too_deep(e, obj);
    }
    if (is_dict) {
        if (PyDict_GET_SIZE(obj) == 0) {
            return put(e, "{}", 2);
        }
    }
    else if (PyList_CheckExact(obj) || PyTuple_CheckExact(obj)) {
        if (Py_SIZE(obj) == 0) {
            return put(e, "[]", 2);
        }
    }
    if (PyDict_CheckExact(obj)) {
        kind = FRAME_DICT;
        items = Py_NewRef(obj);
        size = PyDict_GET_SIZE(obj);
    }
    else if (is_dict) {
        kind = FRAME_ITEMS;
        items = PyMapping_Items(obj);
    }
    else if (PyList_CheckExact(obj)) {
        kind = FRAME_LIST;
        items = Py_NewRef(obj);
    }
    else if (PyTuple_CheckExact(obj)) {
        kind = FRAME_TUPLE;
        items = Py_NewRef(obj);
    }
    else { /* a subclass shows its items through its iterator */
        kind = PyTuple_Check(obj) ? FRAME_TUPLE : FRAME_LIST;
        items = PySequence_List(obj);
        if (items != NULL && PyList_GET_SIZE(items) == 0) {
            Py_DECREF(items);
            return put(e, "[]", 2);
        }
    }
    if (items == NULL || push_frame(e, kind, obj, items, size) < 0) {
        return -1;
    }
    return put_byte(e, is_dict ? '{' : '[');
}

/* Calls json_default for obj; its result becomes the next value of a frame of its own. */
static int
open_hook(encoder *e, PyObject *obj, PyObject **next)
{
    PyObject *hook = e->options->json_default;
    if (hook == NULL || hook == Py_None) {
        PyErr_Format(PyExc_TypeError, "Object of type %.100s is not JSON serializable",
                     tbx_type_name(obj));
        return -1;
    }
    if ((Py_ssize_t)e->n_frames >= e->options->max_depth) {
        return raise_too_deep(e, obj);
    }
    PyObject *result = PyObject_CallOneArg(hook, obj);
    if (result == NULL) {
        return -1;
    }
    if (result == obj) {
        Py_DECREF(result);
        PyErr_SetString(PyExc_ValueError, "Circular reference detected");
        return -1;
    }
    if (push_frame(e, FRAME_HOOK, obj, result, 0) < 0) {
        return -1;
    }
    *next = result; /* the frame owns it */
    return 0;
}

/* Writes an obj that is no leaf, or opens a frame for it. *next is set where another value takes
 * its place. */
static int
put_value(encoder *e, PyObject *obj, PyObject **next)
{
    if (PyDict_Check(obj) || PyList_Check(obj) || PyTuple_Check(obj)) {
        return open_container(e, obj);
    }
    if (PyUnicode_Check(obj)) {
        return put_str(e, obj);
    }
    if (PyLong_Check(obj)) {
        return put_int(e, obj);
    }
    if (PyFloat_Check(obj)) {
        return put_float(e, PyFloat_AS_DOUBLE(obj));
    }
    if (e->options->attachments != NULL && e->n_tuples == 0 &&
        (PyBytes_Check(obj) || PyByteArray_Check(obj))) {
        return put_attachment(e, obj);
    }
    return open_hook(e, obj, next);
}

/* The functions below write what is left of a frame up to a value that is no leaf, whose key and
 * comma they write: 1 and a new reference to it, 0 at the end of the frame, or -1. They escape with
 * 1 and -1 only, so that what they read stays as it is while they run; between calls anything may
 * change. */

static int
next_in_sequence(encoder *e, frame *f, PyObject **value)
{
    bool is_list = PyList_Check(f->items);
    while (f->next < Py_SIZE(f->items)) {
        PyObject *item =
            is_list ? PyList_GET_ITEM(f->items, f->next) : PyTuple_GET_ITEM(f->items, f->next);
        f->next++;
        int leaf = put_comma(e, f) < 0 ? -1 : put_leaf(e, item);
        if (leaf == 0) {
            *value = Py_NewRef(item);
            return 1;
        }
        if (leaf < 0) {
            return -1;
        }
    }
    return 0;
}

static int
next_in_dict(encoder *e, frame *f, PyObject **value)
{
    PyObject *key, *item;
    if (PyDict_GET_SIZE(f->items) != f->size) {
        PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during iteration");
        return -1;
    }
    while (PyDict_Next(f->items, &f->next, &key, &item)) {
        int status = put_pair(e, f, key, item, value);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static int
next_in_items(encoder *e, frame *f, PyObject **value)
{
    while (f->next < PyList_GET_SIZE(f->items)) {
        PyObject *pair = PyList_GET_ITEM(f->items, f->next);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_ValueError, "items must return 2-tuples");
            return -1;
        }
        f->next++;
        int status = put_pair(e, f, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), value);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static int
next_value(encoder *e, frame *f, PyObject **value)
{
    switch (f->kind) {
    case FRAME_LIST:
    case FRAME_TUPLE:
        return next_in_sequence(e, f, value);
    case FRAME_DICT:
        return next_in_dict(e, f, value);
    case FRAME_ITEMS:
        return next_in_items(e, f, value);
    case FRAME_HOOK:
        break;
    }
    return 0;
}

static int
close_frame(encoder *e, const frame *f)
{
    frame_kind kind = f->kind;
    pop_frame(e);
    if (kind == FRAME_HOOK) {
        return 0;
    }
    return put_byte(e, kind == FRAME_LIST || kind == FRAME_TUPLE ? ']' : '}');
}

/* Writes `value` (a reference that is taken over) itself, or opens a frame for it. */
static int
enter(encoder *e, PyObject *value)
{
    for (;;) {
        PyObject *next = NULL;
        int leaf = put_leaf(e, value);
        int status = leaf == 0 ? put_value(e, value, &next) : leaf;
        if (status < 0 || next == NULL) {
            Py_DECREF(value);
            return status < 0 ? -1 : 0;
        }
        Py_INCREF(next);
        Py_SETREF(value, next);
    }
}

/* Writes obj and all below it. `e->n_frames` is 0 before, and 0 after unless it failed. */
static int
encode(encoder *e, PyObject *obj)
{
    if (enter(e, Py_NewRef(obj)) < 0) {
        return -1;
    }
    while (e->n_frames > 0) {
        frame *f = &e->frames[e->n_frames - 1];
        PyObject *value;
        int found = next_value(e, f, &value);
        if (found > 0) {
            found = enter(e, value);
        }
        else if (found == 0) {
            found = close_frame(e, f);
        }
        if (found < 0) {
            return -1;
        }
    }
    return 0;
}

int
tbx_json_encode(TbxState *state, tbx_buf *out, PyObject *obj, const tbx_json_enc_options *options)
{
    encoder e;
    e.state = state;
    e.out = out;
    e.options = options;
    e.frames = e.first_frames;
    e.n_frames = 0;
    e.cap_frames = FIRST_FRAMES;
    e.n_tuples = 0;
    int status = encode(&e, obj);
    if (e.n_frames > 0) { /* dropping a container may run a finaliser: not with the error set */
        tbx_exc saved = tbx_exc_save();
        while (e.n_frames > 0) {
            pop_frame(&e);
        }
        tbx_exc_restore(saved);
    }
    if (e.frames != e.first_frames) {
        PyMem_Free(e.frames);
    }
    return status;
}

PyObject *
tbx_ascii_str(const uint8_t *text, size_t n)
{
    PyObject *str = PyUnicode_New((Py_ssize_t)n, 0x7f);
    if (str != NULL && n != 0) {
        memcpy(PyUnicode_1BYTE_DATA(str), text, n);
    }
    return str;
}

PyObject *
tbx_json_dumps(TbxState *state, PyObject *obj, PyObject *json_default, Py_ssize_t max_depth)
{
    tbx_json_enc_options options = {json_default, max_depth, NULL};
    tbx_buf out;
    tbx_buf_init(&out);
    PyObject *result = NULL;
    if (tbx_json_encode(state, &out, obj, &options) == 0) {
        result = tbx_ascii_str(out.data, out.len);
    }
    tbx_buf_free(&out);
    return result;
}
