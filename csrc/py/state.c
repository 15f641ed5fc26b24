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

static int
intern_names(TbxState *state)
{
    const struct {
        PyObject **place;
        const char *text;
    } names[] = {
#define X(name, text) {&state->str_##name, text},
        TBX_STATE_NAMES(X)
#undef X
#define X(id, protocol, name, args) {&state->py_names[TBX_PY_##id], #name},
            TBX_METHODS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((*names[i].place = PyUnicode_InternFromString(names[i].text)) == NULL) {
            return -1;
        }
    }
    return 0;
}

PyObject *(tbx_call_python)(TbxState *state, PyObject *object, tbx_py_name name, ...)
{
    static const char *const formats[] = {
#define X(id, protocol, method, args) args,
        TBX_INTERFACE(X)
#undef X
    };
    PyObject *key = state->py_names[name];
    PyObject *callee = NULL, *result = NULL;
    va_list values;
    Py_INCREF(object);
    va_start(values, name);
    PyObject *args = Py_VaBuildValue(formats[name], values);
    va_end(values);
    if (args != NULL) {
        callee = key != NULL ? PyObject_GetAttr(object, key) : Py_NewRef(object);
    }
    if (callee != NULL) {
        result = PyObject_Call(callee, args, NULL);
    }
    Py_XDECREF(callee);
    Py_XDECREF(args);
    Py_DECREF(object);
    return result;
}

int
tbx_state_init(TbxState *state)
{
    if ((state->JSONDecodeError = import_attr("json", "JSONDecodeError")) == NULL ||
        (state->detect_encoding = import_attr("json", "detect_encoding")) == NULL ||
        (state->b64decode = import_attr("base64", "b64decode")) == NULL ||
        (state->header_names = PyDict_New()) == NULL ||
        (state->header_values = PyDict_New()) == NULL ||
        (state->CancelledError = import_attr("asyncio", "CancelledError")) == NULL ||
        (state->Task = import_attr("asyncio", "Task")) == NULL ||
        (state->task_loop_name = Py_BuildValue("(s)", "loop")) == NULL ||
        (state->get_running_loop = import_attr("asyncio", "get_running_loop")) == NULL) {
        return -1;
    }
    return intern_names(state);
}

int
tbx_state_traverse(TbxState *state, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(state->name);
    TBX_STATE_OBJECTS(X)
#undef X
#define X(name, text) Py_VISIT(state->str_##name);
    TBX_STATE_NAMES(X)
#undef X
    for (int i = 0; i < TBX_PY_NAMES; i++) {
        Py_VISIT(state->py_names[i]);
    }
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
#define X(name, text) Py_CLEAR(state->str_##name);
    TBX_STATE_NAMES(X)
#undef X
    for (int i = 0; i < TBX_PY_NAMES; i++) {
        Py_CLEAR(state->py_names[i]);
    }
    for (size_t i = 0; i < TBX_KEY_SLOTS; i++) {
        Py_CLEAR(state->keys[i]);
    }
}
