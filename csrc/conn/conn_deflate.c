/* conn_deflate.c: permessage-deflate, by Python's zlib module (contract in conn.h).
 *
 * Sending keeps no state for a client: one compressor for each window size serves everybody, and what
 * it gives for a message refers to nothing before it (Z_FULL_FLUSH), which every receiver can read.
 * Receiving keeps a decompressor for a client that compresses, and only where its window goes on from
 * message to message. What a message inflates to is bounded by the limit for messages.
 * Spec: RFC 7692, section 7.2.
 */
#include "conn/conn.h"

#define LEVEL 6     /* of zlib */
#define MEM_LEVEL 5 /* as uvicorn's own */
#define FULL_FLUSH 3

static const char TAIL[] = {0, 0, (char)0xff, (char)0xff};

static PyObject *
zlib_object(const char *name, const char *format, int a, int b, int c, int d)
{
    PyObject *zlib = PyImport_ImportModule("zlib");
    if (zlib == NULL) {
        return NULL;
    }
    PyObject *made = PyObject_CallMethod(zlib, name, format, a, b, c, d);
    Py_DECREF(zlib);
    return made;
}

/* The compressor for a window size, taken out of the hub: it is one message's at a time, and what runs
 * on the way (a collection) may send another. New reference. */
static PyObject *
take_compressor(TbxHubObject *hub, PyObject *key, unsigned bits)
{
    PyObject *found = Py_XNewRef(PyDict_GetItemWithError(hub->compressors, key));
    if (found == NULL) {
        return PyErr_Occurred()
                   ? NULL
                   : zlib_object("compressobj", "iiii", LEVEL, 8, -(int)bits, MEM_LEVEL);
    }
    if (PyDict_DelItem(hub->compressors, key) < 0) {
        Py_CLEAR(found);
    }
    return found;
}

PyObject *
tbx_hub_deflate(TbxHubObject *hub, unsigned bits, const uint8_t *data, size_t len)
{
    PyObject *key = PyLong_FromUnsignedLong(bits);
    PyObject *zip = key ? take_compressor(hub, key, bits) : NULL;
    PyObject *body = zip ? PyObject_CallMethod(zip, "compress", "y#", data, (Py_ssize_t)len) : NULL;
    PyObject *end = body ? PyObject_CallMethod(zip, "flush", "i", FULL_FLUSH) : NULL;
    if (end != NULL) {
        PyBytes_Concat(&body, end); /* NULL on failure */
        Py_DECREF(end);
    }
    else {
        Py_CLEAR(body);
    }
    /* One that failed may hold what is a client's: it is not put back. */
    if (body != NULL && PyDict_SetItem(hub->compressors, key, zip) < 0) {
        Py_CLEAR(body);
    }
    Py_XDECREF(zip);
    Py_XDECREF(key);
    if (body == NULL) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(body) - (Py_ssize_t)sizeof TAIL; /* not sent */
    if (size < 0 || (size_t)size >= len) {
        Py_DECREF(body);
        return NULL;
    }
    _PyBytes_Resize(&body, size);
    return body;
}

/* What data inflates to, at most `max` bytes; *too_big when there is more. */
static PyObject *
inflate_bounded(PyObject *unzip, PyObject *data, Py_ssize_t max, bool *too_big)
{
    Py_ssize_t bound = max < PY_SSIZE_T_MAX ? max + 1 : max;
    PyObject *out = PyObject_CallMethod(unzip, "decompress", "On", data, bound);
    if (out != NULL && !PyBytes_CheckExact(out)) {
        Py_DECREF(out);
        PyErr_SetString(PyExc_TypeError, "decompress() must return bytes");
        return NULL;
    }
    *too_big = out != NULL && PyBytes_GET_SIZE(out) > max;
    return out;
}

PyObject *
tbx_conn_inflate(TbxConnObject *conn, const uint8_t *data, size_t len, unsigned *code)
{
    bool too_big = false;
    *code = 0;
    PyObject *unzip =
        conn->inflate ? Py_NewRef(conn->inflate) : zlib_object("decompressobj", "i", -15, 0, 0, 0);
    if (unzip == NULL) {
        return NULL;
    }
    PyObject *whole = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(len + sizeof TAIL));
    PyObject *out = NULL;
    if (whole != NULL) {
        if (len != 0) {
            memcpy(PyBytes_AS_STRING(whole), data, len);
        }
        memcpy(PyBytes_AS_STRING(whole) + len, TAIL, sizeof TAIL);
        out = inflate_bounded(unzip, whole, conn->max_size, &too_big);
        Py_DECREF(whole);
    }
    if (out == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        /* not deflate data, unless it is we who lack memory */
        *code = PyErr_ExceptionMatches(PyExc_MemoryError) ? 0 : 1002;
    }
    else if (too_big) {
        Py_CLEAR(out);
        PyErr_SetString(PyExc_ValueError, "a compressed message is too large");
        *code = 1009;
    }
    if (out != NULL && conn->keeps_inflate) {
        PyObject *ended = PyObject_GetAttrString(unzip, "eof"); /* of a block that says so */
        Py_XSETREF(conn->inflate, ended == Py_False ? Py_NewRef(unzip) : NULL);
        Py_XDECREF(ended);
        PyErr_Clear();
    }
    Py_DECREF(unzip);
    return out;
}
