/* state.h: what one copy of the module owns.
 *
 * Lists make the struct, its traversal and its clearing. All fields are owned; they are set
 * once by tbx_state_init, before any other function of the module can run, and never replaced
 * (the key slots excepted), so a function may use them without taking a reference of its own
 * while the module is alive, which its caller's reference to the function sees to.
 */
#ifndef TBX_PY_STATE_H
#define TBX_PY_STATE_H

#include "py/interface.h" /* Python.h comes first */

#define TBX_STATE_OBJECTS(X)                                                                       \
    X(JSONDecodeError) /* json.JSONDecodeError */                                                  \
    X(detect_encoding) /* json.detect_encoding */                                                  \
    X(b64decode)       /* base64.b64decode */                                                      \
    X(ConnectionType)  /* the types of conn/ */                                                    \
    X(HubType)                                                                                     \
    X(CallType)                                                                                    \
    X(InterruptibleType)                                                                           \
    X(PartialPacketType)                                                                           \
    X(CancelledError)   /* asyncio.CancelledError */                                               \
    X(Task)             /* asyncio.Task */                                                         \
    X(get_running_loop) /* asyncio.get_running_loop */                                             \
    X(task_loop_name)   /* of the arguments of Task(coro, loop) */                                 \
    X(header_names)     /* tables of http/environ.c */                                             \
    X(header_values)

/* Interned strings: attributes and keys of others. Those of this package are in interface.h. */
#define TBX_STATE_NAMES(X)                                                                         \
    X(add, "add")                                                                                  \
    X(bytes, "bytes")                                                                              \
    X(call_later, "call_later")                                                                    \
    X(call_soon, "call_soon")                                                                      \
    X(cancel, "cancel")                                                                            \
    X(close, "close")                                                                              \
    X(context, "context")                                                                          \
    X(create_task, "create_task")                                                                  \
    X(data, "data")                                                                                \
    X(fwdm, "_fwdm")                                                                               \
    X(get_task_factory, "get_task_factory")                                                        \
    X(invm, "_invm")                                                                               \
    X(loop, "loop")                                                                                \
    X(name, "name")                                                                                \
    X(nest_patched, "_nest_patched")                                                               \
    X(num, "num")                                                                                  \
    X(ok, "ok")                                                                                    \
    X(pause_reading, "pause_reading")                                                              \
    X(placeholder, "_placeholder")                                                                 \
    X(receive, "receive")                                                                          \
    X(receive_encoded, "_receive_encoded")                                                         \
    X(resume_reading, "resume_reading")                                                            \
    X(root, "/")                                                                                   \
    X(send, "send")                                                                                \
    X(star, "*")                                                                                   \
    X(text, "text")                                                                                \
    X(throw, "throw")                                                                              \
    X(trigger_event, "trigger_event")                                                              \
    X(ts, "ts")                                                                                    \
    X(type, "type")                                                                                \
    X(websocket_receive, "websocket.receive")                                                      \
    X(websocket_send, "websocket.send")                                                            \
    X(write, "write")

#define TBX_KEY_SLOTS 1024 /* a power of two */

typedef struct {
#define X(name) PyObject *name;
    TBX_STATE_OBJECTS(X)
#undef X
#define X(name, text) PyObject *str_##name;
    TBX_STATE_NAMES(X)
#undef X
    PyObject *py_names[TBX_PY_NAMES]; /* interned names of interface.h; NULL: of a callable */
    int dict_watcher;                 /* of conn/watch.c */
    bool has_watcher;                 /* false: the interpreter has none left */
    PyObject *keys[TBX_KEY_SLOTS];    /* owned exact str, ASCII, or NULL; see codec/json_key.h */
} TbxState;

static inline TbxState *
tbx_state_of(PyObject *module)
{
    return (TbxState *)PyModule_GetState(module);
}

/* Calls what a row of interface.h declares: a method of the object, or the object, with the
 * arguments of that row. The object is held meanwhile. New reference, or NULL with an exception.
 * Escapes. In parentheses: tests/nomem has a macro of this name, so that each call can fail. */
PyObject *(tbx_call_python)(TbxState *state, PyObject *object, tbx_py_name name, ...);

/* 0, or -1 with an exception; what was set before it is released by tbx_state_clear. */
int tbx_state_init(TbxState *state);
int tbx_state_traverse(TbxState *state, visitproc visit, void *arg);
void tbx_state_clear(TbxState *state);

#endif
