/* json_finite.c: a walk over lists, tuples and dicts (contract in json_finite.h).
 *
 * Recursion is bounded by max_depth, of which at most TBX_FINITE_DEPTH is heeded. No reference is taken:
 * nothing that could change the containers runs meanwhile.
 */
#include "codec/json_finite.h"

#include <math.h>

#define TBX_FINITE_DEPTH 2000 /* some 100 bytes of the C stack each */

static bool
is_finite(PyObject *value, Py_ssize_t depth)
{
    if (PyFloat_CheckExact(value)) {
        return isfinite(PyFloat_AS_DOUBLE(value));
    }
    bool is_dict = PyDict_CheckExact(value);
    if (!is_dict && !PyList_CheckExact(value) && !PyTuple_CheckExact(value)) {
        return true;
    }
    if (depth <= 0) {
        return false;
    }
    if (is_dict) {
        PyObject *key, *item;
        Py_ssize_t at = 0;
        while (PyDict_Next(value, &at, &key, &item)) {
            if (!is_finite(item, depth - 1)) {
                return false;
            }
        }
        return true;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); i++) {
        if (!is_finite(PySequence_Fast_GET_ITEM(value, i), depth - 1)) {
            return false;
        }
    }
    return true;
}

bool
tbx_json_is_finite(PyObject *value, Py_ssize_t max_depth)
{
    return is_finite(value, max_depth < TBX_FINITE_DEPTH ? max_depth : TBX_FINITE_DEPTH);
}
