/* json_key.c: the table of short keys (contract in json_key.h). */
#include "codec/json_key.h"

#include <string.h>

/* Mixes the length, the first and the last bytes; keys that agree in all of that share a slot. */
static size_t
slot_of(const uint8_t *text, size_t n)
{
    uint64_t head = 0, tail = 0;
    if (n >= 8) {
        memcpy(&head, text, 8);
        memcpy(&tail, text + n - 8, 8);
    }
    else if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, text, 4);
        memcpy(&high, text + n - 4, 4);
        head = low;
        tail = high;
    }
    else if (n != 0) {
        head = (uint64_t)text[0] << 16 | (uint64_t)text[n / 2] << 8 | text[n - 1];
    }
    uint64_t mixed = (head ^ (tail * UINT64_C(0x9e3779b97f4a7c15))) + n;
    mixed *= UINT64_C(0xff51afd7ed558ccd);
    return (size_t)(mixed >> 48) & (TBX_KEY_SLOTS - 1);
}

PyObject *
tbx_json_key(TbxState *state, const uint8_t *text, size_t n)
{
    PyObject **slot = &state->keys[slot_of(text, n)];
    PyObject *key = *slot;
    if (key != NULL && (size_t)PyUnicode_GET_LENGTH(key) == n &&
        memcmp(PyUnicode_1BYTE_DATA(key), text, n) == 0) {
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
