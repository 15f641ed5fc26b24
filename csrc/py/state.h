/* state.h: what one copy of the module owns.
 *
 * One list makes the struct, its traversal and its clearing. All fields are owned; they are set
 * once by tbx_state_init, before any other function of the module can run, and never replaced
 * (the key slots excepted), so a function may use them without taking a reference of its own
 * while the module is alive, which its caller's reference to the function sees to.
 */
#ifndef TBX_PY_STATE_H
#define TBX_PY_STATE_H

#include "py/compat.h"

#define TBX_STATE_OBJECTS(X)                                                                       \
    X(JSONDecodeError) /* json.JSONDecodeError */                                                  \
    X(detect_encoding) /* json.detect_encoding */                                                  \
    X(b64decode)       /* base64.b64decode */                                                      \
    X(str_placeholder) /* "_placeholder" */                                                        \
    X(str_num)         /* "num" */                                                                 \
    X(str_ok)          /* "ok" */                                                                  \
    X(str_ts)          /* "ts" */                                                                  \
    X(ConnectionType)  /* the types of conn/ */                                                    \
    X(HubType)                                                                                     \
    X(CallType)                                                                                    \
    X(CancelledError)   /* asyncio.CancelledError */                                               \
    X(Task)             /* asyncio.Task */                                                         \
    X(current_tasks)    /* asyncio.tasks._current_tasks, up to 3.11, else None */                  \
    X(all_tasks)        /* asyncio.tasks._all_tasks, up to 3.11, else None */                      \
    X(get_running_loop) /* asyncio.get_running_loop */                                             \
    X(task_names)       /* of the arguments of Task(coro, ...); 3.12 */                            \
    X(task_loop_name)   /* the same of Task(coro, loop=...) */                                     \
    X(str_add)          /* names of attributes */                                                  \
    X(str_bytes)                                                                                   \
    X(str_call_soon)                                                                               \
    X(str_call_later)                                                                              \
    X(str_cancel)                                                                                  \
    X(str_close)                                                                                   \
    X(str_conn)                                                                                    \
    X(str_context)                                                                                 \
    X(str_loop)                                                                                    \
    X(str_name)                                                                                    \
    X(str_create_task)                                                                             \
    X(str_data)                                                                                    \
    X(str_drain_soon) /* "_drain_soon" */                                                          \
    X(str_fwdm)       /* "_fwdm" */                                                                \
    X(str_get_task_factory)                                                                        \
    X(str_invm)         /* "_invm" */                                                              \
    X(str_nest_patched) /* "_nest_patched" */                                                      \
    X(str_pause_reading)                                                                           \
    X(str_receive)                                                                                 \
    X(str_receive_encoded) /* "_receive_encoded" */                                                \
    X(str_resume_reading)                                                                          \
    X(str_root) /* "/" */                                                                          \
    X(str_send)                                                                                    \
    X(str_star) /* "*" */                                                                          \
    X(str_text)                                                                                    \
    X(str_type)                                                                                    \
    X(str_websocket_receive) /* "websocket.receive" */                                             \
    X(str_websocket_send)    /* "websocket.send" */                                                \
    X(str_throw)                                                                                   \
    X(str_trigger_event)                                                                           \
    X(str_write)

#define TBX_KEY_SLOTS 1024 /* a power of two */

typedef struct {
#define X(name) PyObject *name;
    TBX_STATE_OBJECTS(X)
#undef X
    int dict_watcher;              /* of conn/watch.c */
    bool has_watcher;              /* false: the interpreter has none left */
    PyObject *keys[TBX_KEY_SLOTS]; /* owned exact str, ASCII, or NULL; see codec/json_key.h */
} TbxState;

static inline TbxState *
tbx_state_of(PyObject *module)
{
    return (TbxState *)PyModule_GetState(module);
}

/* 0, or -1 with an exception; what was set before it is released by tbx_state_clear. */
int tbx_state_init(TbxState *state);
int tbx_state_traverse(TbxState *state, visitproc visit, void *arg);
void tbx_state_clear(TbxState *state);

#endif
