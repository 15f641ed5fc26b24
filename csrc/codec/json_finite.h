/* json_finite.h: whether a value is JSON that everybody reads. */
#ifndef TBX_CODEC_JSON_FINITE_H
#define TBX_CODEC_JSON_FINITE_H

#include "py/compat.h"

#include <stdbool.h>

/* False when a float in it is NaN or infinite, for which JSON has no words, or lists and dicts are nested
 * deeper than max_depth. What other objects hold is not looked at. Does not escape. */
bool tbx_json_is_finite(PyObject *value, Py_ssize_t max_depth);

#endif
