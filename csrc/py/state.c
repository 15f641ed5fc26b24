/* state.c: making and unmaking the module's state (contract in state.h). */
#include "py/state.h"

#include <stddef.h>

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

typedef struct {
    size_t offset; /* of the field */
    const char *text;
} constant;

#define TEXT(field, text)                                                                          \
    {                                                                                              \
        offsetof(TbxState, field), text                                                            \
    }

static const constant names[] = {
    TEXT(str_placeholder, "_placeholder"),
    TEXT(str_num, "num"),
    TEXT(str_ok, "ok"),
    TEXT(str_ts, "ts"),
    TEXT(str_add, "add"),
    TEXT(str_bytes, "bytes"),
    TEXT(str_call_soon, "call_soon"),
    TEXT(str_call_later, "call_later"),
    TEXT(str_cancel, "cancel"),
    TEXT(str_close, "close"),
    TEXT(str_conn, "conn"),
    TEXT(str_context, "context"),
    TEXT(str_drain_soon, "_drain_soon"),
    TEXT(str_fwdm, "_fwdm"),
    TEXT(str_loop, "loop"),
    TEXT(str_name, "name"),
    TEXT(str_create_task, "create_task"),
    TEXT(str_data, "data"),
    TEXT(str_get_task_factory, "get_task_factory"),
    TEXT(str_invm, "_invm"),
    TEXT(str_nest_patched, "_nest_patched"),
    TEXT(str_pause_reading, "pause_reading"),
    TEXT(str_receive, "receive"),
    TEXT(str_receive_encoded, "_receive_encoded"),
    TEXT(str_resume_reading, "resume_reading"),
    TEXT(str_root, "/"),
    TEXT(str_send, "send"),
    TEXT(str_star, "*"),
    TEXT(str_text, "text"),
    TEXT(str_type, "type"),
    TEXT(str_websocket_receive, "websocket.receive"),
    TEXT(str_websocket_send, "websocket.send"),
    TEXT(str_throw, "throw"),
    TEXT(str_trigger_event, "trigger_event"),
    TEXT(str_write, "write"),
};

static int
intern_names(TbxState *state)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i].text);
        if (name == NULL) {
            return -1;
        }
        *(PyObject **)((char *)state + names[i].offset) = name;
    }
    return 0;
}

/* What conn/ needs of asyncio. */
static int
import_asyncio(TbxState *state)
{
    bool has_eager_start = PY_VERSION_HEX >= 0x030c0000;
    if ((state->CancelledError = import_attr("asyncio", "CancelledError")) == NULL ||
        (state->Task = import_attr("asyncio", "Task")) == NULL ||
        (state->task_loop_name = Py_BuildValue("(s)", "loop")) == NULL ||
        (state->get_running_loop = import_attr("asyncio", "get_running_loop")) == NULL) {
        return -1;
    }
    if (has_eager_start) {
        state->current_tasks = Py_NewRef(Py_None);
        state->all_tasks = Py_NewRef(Py_None);
        state->task_names = Py_BuildValue("(sss)", "loop", "context", "eager_start");
    }
    else {
        state->current_tasks = import_attr("asyncio.tasks", "_current_tasks");
        state->all_tasks = import_attr("asyncio.tasks", "_all_tasks");
        state->task_names = Py_NewRef(Py_None);
    }
    return state->current_tasks && state->all_tasks && state->task_names ? 0 : -1;
}

int
tbx_state_init(TbxState *state)
{
    if ((state->JSONDecodeError = import_attr("json", "JSONDecodeError")) == NULL ||
        (state->detect_encoding = import_attr("json", "detect_encoding")) == NULL ||
        (state->b64decode = import_attr("base64", "b64decode")) == NULL ||
        intern_names(state) < 0) {
        return -1;
    }
    return import_asyncio(state);
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
