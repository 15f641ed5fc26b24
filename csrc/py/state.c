/* state.c: making and unmaking the module's state (contract in state.h). */
#include "py/state.h"

/* The attribute of a module of the standard library; new reference. */
static PyObject *
import_attr(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return NULL;
    }
    PyObject *attr = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return attr;
}

int
tbx_state_init(TbxState *state)
{
    if ((state->JSONDecodeError = import_attr("json", "JSONDecodeError")) == NULL ||
        (state->detect_encoding = import_attr("json", "detect_encoding")) == NULL ||
        (state->b64decode = import_attr("base64", "b64decode")) == NULL ||
        (state->str_placeholder = PyUnicode_InternFromString("_placeholder")) == NULL ||
        (state->str_num = PyUnicode_InternFromString("num")) == NULL ||
        (state->str_ok = PyUnicode_InternFromString("ok")) == NULL ||
        (state->str_ts = PyUnicode_InternFromString("ts")) == NULL) {
        return -1;
    }
    return 0;
}

int
tbx_state_traverse(TbxState *state, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(state->name);
    TBX_STATE_OBJECTS(X)
#undef X
    for (size_t i = 0; i < TBX_KEY_SLOTS; i++) {
        Py_VISIT(state->keys[i]);
    }
    return 0;
}

void
tbx_state_clear(TbxState *state)
{
#define X(name) Py_CLEAR(state->name);
    TBX_STATE_OBJECTS(X)
#undef X
    for (size_t i = 0; i < TBX_KEY_SLOTS; i++) {
        Py_CLEAR(state->keys[i]);
    }
}
