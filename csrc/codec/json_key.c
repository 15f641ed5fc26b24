/* json_key.c: the table of short keys (contract in json_key.h). */
#include "codec/json_key.h"

#include <stdbool.h>
#include <string.h>

/* The first and the last bytes of a key: of one of up to 16 bytes, all there is. */
typedef struct {
    uint64_t head, tail;
} ends;

static inline ends
ends_of(const uint8_t *text, size_t n)
{
    ends e = {0, 0};
    if (n >= 8) {
        memcpy(&e.head, text, 8);
        memcpy(&e.tail, text + n - 8, 8);
    }
    else if (n >= 4) {
        uint32_t head, tail;
        memcpy(&head, text, 4);
        memcpy(&tail, text + n - 4, 4);
        e.head = head;
        e.tail = tail;
    }
    else if (n != 0) {
        e.head = (uint64_t)text[0] << 16 | (uint64_t)text[n / 2] << 8 | text[n - 1];
    }
    return e;
}

/* Keys that agree in their length and ends share a slot. */
static inline size_t
slot_of(ends e, size_t n)
{
    uint64_t mixed = (e.head ^ (e.tail * UINT64_C(0x9e3779b97f4a7c15))) + n;
    mixed *= UINT64_C(0xff51afd7ed558ccd);
    return (size_t)(mixed >> 48) & (TBX_KEY_SLOTS - 1);
}

static inline bool
is_same(PyObject *key, const uint8_t *text, size_t n, ends e)
{
    if ((size_t)PyUnicode_GET_LENGTH(key) != n) {
        return false;
    }
    const uint8_t *kept = PyUnicode_1BYTE_DATA(key);
    ends k = ends_of(kept, n);
    return k.head == e.head && k.tail == e.tail && (n <= 16 || memcmp(kept, text, n) == 0);
}

PyObject *
tbx_json_key(TbxState *state, const uint8_t *text, size_t n)
{
    ends e = ends_of(text, n);
    PyObject **slot = &state->keys[slot_of(e, n)];
    PyObject *key = *slot;
    if (key != NULL && is_same(key, text, n, e)) {
        return Py_NewRef(key);
    }
    if (n <= 1) { /* the interpreter keeps these itself */
        return PyUnicode_FromStringAndSize((const char *)text, (Py_ssize_t)n);
    }
    key = PyUnicode_New((Py_ssize_t)n, 0x7f);
    if (key == NULL) {
        return NULL;
    }
    memcpy(PyUnicode_1BYTE_DATA(key), text, n);
    if (PyObject_Hash(key) == -1) {
        Py_DECREF(key);
        return NULL;
    }
    Py_XSETREF(*slot, Py_NewRef(key));
    return key;
}
