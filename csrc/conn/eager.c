/* eager.c: a task whose first step runs at once (contract in conn.h).
 *
 * From Python 3.12 on asyncio does it (eager_start). On 3.11 the task is made as ever, and what its
 * constructor schedules with loop.call_soon is caught and called here, in the task's context. While
 * the constructor runs no other code can: it calls the loop's get_debug, the catchers, and nothing
 * else, and the collector is held off. The set of all tasks knows the task by a plain weak reference
 * while the first step runs, and by its own means once the task waits; so a task that ends in its
 * first step, as most do, costs neither a callback of that reference nor a handle of the loop.
 * Where the loop is not one that can be told so (no __dict__, a call_soon of its own, a task factory,
 * another Task class), or runs within itself (nest_asyncio), the loop makes and starts the task.
 * Who reads a client's bytes (a transport, an ASGI server) takes any exception for its own, so what
 * ends the process is raised again where the loop lets it out: in a callback.
 */
#include "conn/conn.h"

#include "base/num.h"

#define HAS_EAGER_START (PY_VERSION_HEX >= 0x030c0000)

#if !HAS_EAGER_START
static int
find_sets(TbxHubObject *hub)
{
    TbxState *state = hub->state;
    hub->task_kwargs = Py_BuildValue("{OO}", state->str_loop, hub->loop);
    if (hub->task_kwargs == NULL) {
        return -1;
    }
    PyObject *all_tasks = state->all_tasks;
    if ((hub->loop_dict = PyObject_GenericGetDict(hub->loop, NULL)) == NULL ||
        (hub->call_soon = PyObject_GetAttr(hub->loop, state->str_call_soon)) == NULL ||
        (hub->all_dict = PyObject_GenericGetDict(all_tasks, NULL)) == NULL ||
        (hub->all_data = PyObject_GetAttr(all_tasks, state->str_data)) == NULL ||
        !PySet_CheckExact(hub->all_data)) {
        PyErr_Clear();
        Py_CLEAR(hub->loop_dict);
    }
    return 0;
}
#endif

int
tbx_task_init(TbxHubObject *hub)
{
    hub->tasks = PySet_New(NULL);
    if (hub->tasks == NULL) {
        return -1;
    }
#if HAS_EAGER_START
    hub->loop_dict = PyDict_New(); /* says that it may be done */
    return hub->loop_dict ? 0 : -1;
#else
    return find_sets(hub);
#endif
}

PyObject *
tbx_task_catch(TbxHubObject *hub, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    if (hub->caught == NULL && n_args == 1) {
        hub->caught = Py_NewRef(args[0]);
        Py_RETURN_NONE;
    }
    if (hub->call_soon == NULL) { /* it stands in nobody's place */
        PyErr_SetString(PyExc_RuntimeError, "no task is being made");
        return NULL;
    }
    return PyObject_Vectorcall(hub->call_soon, args, (size_t)n_args, names);
}

/* Any task but the one that is being made (there is one only when another thread makes it). */
static PyObject *
add_really(TbxHubObject *hub, PyObject *task)
{
    PyObject *type = (PyObject *)Py_TYPE(hub->state->all_tasks);
    return PyObject_CallMethodObjArgs(type, hub->state->str_add, hub->state->all_tasks, task, NULL);
}

PyObject *
tbx_task_catch_add(TbxHubObject *hub, PyObject *task)
{
    if (hub->added == NULL) {
        hub->added = Py_NewRef(task);
        Py_RETURN_NONE;
    }
    return add_really(hub, task);
}

static TbxCallObject *
as_call(TbxHubObject *hub, PyObject *coro)
{
    return Py_IS_TYPE(coro, (PyTypeObject *)hub->state->CallType) ? (TbxCallObject *)coro : NULL;
}

/* Sees to it that a task which is not through is held, which the loop does not do. 0 or -1. */
static int
keep(TbxHubObject *hub, PyObject *coro, PyObject *task)
{
    TbxCallObject *call = as_call(hub, coro);
    if (call != NULL && call->phase == TBX_PHASE_DONE) {
        return 0;
    }
    if (PySet_Add(hub->tasks, task) < 0) {
        return -1;
    }
    if (call != NULL) {
        call->task = task;
        return 0;
    }
    PyObject *discard = PyObject_GetAttrString(hub->tasks, "discard");
    PyObject *done = discard ? PyObject_CallMethod(task, "add_done_callback", "O", discard) : NULL;
    Py_XDECREF(discard);
    if (done == NULL) { /* what a task factory gives need not be a task */
        PySet_Discard(hub->tasks, task);
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

void
tbx_task_forget(TbxCallObject *call)
{
    PyObject *task = call->task;
    TbxHubObject *hub = call->conn->hub;
    call->task = NULL;
    if (task != NULL && hub->tasks != NULL && PySet_Discard(hub->tasks, task) < 0) {
        PyErr_WriteUnraisable(hub->loop);
    }
}

/* A task that the factory of the loop has not made, for the exception that is set, which is logged. An
 * event is lost; what belongs to the life of a session is not: NULL without an exception, or a task of
 * asyncio's. */
static PyObject *
without_factory(TbxHubObject *hub, PyObject *coro)
{
    TbxCallObject *call = as_call(hub, coro);
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    if (call != NULL && call->kind != TBX_CALL_LANE) {
        Py_DECREF(tbx_call_report(hub, call, TBX_FAILED_START));
        return NULL;
    }
    Py_DECREF(tbx_call_report(hub, NULL, TBX_FAILED_START));
    PyObject *args[] = {coro, hub->loop};
    return PyObject_Vectorcall(hub->state->Task, args, 1, hub->state->task_loop_name);
}

/* As the loop would have it: with its factory, in a copy of the context (factories need not take one).
 * A call that shares the context of its connection enters that by itself. */
static int
start_by_loop(TbxHubObject *hub, PyObject *coro, PyObject *context)
{
    TbxCallObject *call = as_call(hub, coro);
    bool is_shared = call != NULL && context == call->conn->context;
    if (is_shared) {
        Py_XSETREF(call->context, Py_NewRef(context));
    }
    else if (PyContext_Enter(context) < 0) {
        return -1;
    }
    PyObject *task = PyObject_CallMethodOneArg(hub->loop, hub->state->str_create_task, coro);
    if (task == NULL) {
        task = without_factory(hub, coro);
    }
    tbx_exc raised = tbx_exc_save();
    if (!is_shared && PyContext_Exit(context) < 0) {
        PyErr_WriteUnraisable(context);
    }
    tbx_exc_restore(raised);
    if (task == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int status = keep(hub, coro, task);
    Py_DECREF(task);
    return status;
}

/* Whether the loop has to start tasks: it has a task factory, or handlers may run it again, where the
 * callback that reads must not be entered twice. -1 with an exception. */
static int
is_loops_own(TbxHubObject *hub)
{
    if (_PyType_Lookup(Py_TYPE(hub->loop), hub->state->str_nest_patched) != NULL) {
        return 1;
    }
    PyObject *factory = PyObject_CallMethodNoArgs(hub->loop, hub->state->str_get_task_factory);
    if (factory == NULL) {
        return -1;
    }
    Py_DECREF(factory);
    return factory != Py_None;
}

#if HAS_EAGER_START
static int
start(TbxHubObject *hub, PyObject *coro, PyObject *context)
{
    /* A context that is entered already is refused here: asyncio would refuse it too, but go on
     * with this task as the current one. */
    if (PyContext_Enter(context) < 0 || PyContext_Exit(context) < 0) {
        return -1;
    }
    PyObject *args[] = {coro, hub->loop, context, Py_True};
    PyObject *task = PyObject_Vectorcall(hub->state->Task, args, 1, hub->state->task_names);
    if (task == NULL) {
        return -1;
    }
    int status = keep(hub, coro, task);
    Py_DECREF(task);
    return status;
}
#else

/* `sio-<number>`: asyncio would format `Task-<number>`, which takes as long as all else here. */
static PyObject *
next_name(TbxHubObject *hub)
{
    char digits[TBX_NUM_MAX];
    size_t n = tbx_num_put_i64(digits, (int64_t)++hub->n_named);
    PyObject *name = PyUnicode_New((Py_ssize_t)n + 4, 127);
    if (name != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(name), "sio-", 4);
        memcpy(PyUnicode_1BYTE_DATA(name) + 4, digits, n);
    }
    return name;
}

/* Makes the task; *step becomes the call that runs its first step. New references. Nothing that may collect
 * stands before the catchers: another thread, which would run then, may have put its own in their place
 * since they were looked for. */
static PyObject *
make(TbxHubObject *hub, PyObject *coro, PyObject *context, PyObject **step)
{
    TbxState *state = hub->state;
    PyObject *task = NULL;
    PyObject *name = next_name(hub);
    *step = NULL;
    if (name == NULL || PyDict_SetItem(hub->task_kwargs, state->str_context, context) < 0 ||
        PyDict_SetItem(hub->task_kwargs, state->str_name, name) < 0) {
        goto done;
    }
    int was_enabled = PyGC_Disable();
    if (PyDict_SetItem(hub->loop_dict, state->str_call_soon, hub->catcher) == 0) {
        if (PyDict_SetItem(hub->all_dict, state->str_add, hub->add_catcher) == 0) {
            task = PyObject_VectorcallDict(state->Task, &coro, 1, hub->task_kwargs);
            if (PyDict_DelItem(hub->all_dict, state->str_add) < 0) {
                Py_CLEAR(task);
            }
        }
        if (PyDict_DelItem(hub->loop_dict, state->str_call_soon) < 0) {
            Py_CLEAR(task);
        }
    }
    if (was_enabled) {
        PyGC_Enable();
    }
    if (hub->added != NULL && task != NULL && hub->added != task) {
        PyObject *added = add_really(hub, hub->added);
        Py_XDECREF(added);
        if (added == NULL) {
            Py_CLEAR(task);
        }
    }
    Py_CLEAR(hub->added);
    *step = hub->caught;
    hub->caught = NULL;
    if (task != NULL && *step == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a task has not scheduled its first step");
        Py_CLEAR(task);
    }
    if (PyDict_SetItem(hub->task_kwargs, state->str_context, Py_None) < 0) {
        Py_CLEAR(task);
    }
done:
    Py_XDECREF(name);
    return task;
}

/* Runs the step in the context, with no task current: what _leave_task and _enter_task of asyncio do
 * for the one within which this is called. */
static int
run(TbxHubObject *hub, PyObject *step, PyObject *context)
{
    PyObject *table = hub->state->current_tasks;
    PyObject *current = Py_XNewRef(PyDict_GetItemWithError(table, hub->loop));
    if (current == NULL ? PyErr_Occurred() != NULL : PyDict_DelItem(table, hub->loop) < 0) {
        Py_XDECREF(current);
        return -1;
    }
    PyObject *result = NULL;
    if (PyContext_Enter(context) == 0) {
        result = PyObject_CallNoArgs(step);
        tbx_exc raised = tbx_exc_save();
        if (PyContext_Exit(context) < 0) {
            PyErr_WriteUnraisable(context);
        }
        tbx_exc_restore(raised);
    }
    if (current != NULL) {
        tbx_exc raised = tbx_exc_save();
        if (PyDict_SetItem(table, hub->loop, current) < 0) {
            PyErr_WriteUnraisable(hub->loop);
        }
        tbx_exc_restore(raised);
        Py_DECREF(current);
    }
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

static int
start(TbxHubObject *hub, PyObject *coro, PyObject *context)
{
    PyObject *step = NULL, *ref = NULL;
    int status = -1;
    PyObject *task = make(hub, coro, context, &step);
    if (task == NULL) {
        goto done;
    }
    ref = PyWeakref_NewRef(task, NULL);
    if (ref == NULL || PySet_Add(hub->all_data, ref) < 0) {
        goto done;
    }
    status = run(hub, step, context);
    tbx_exc raised = tbx_exc_save();
    int removed = PySet_Discard(hub->all_data, ref);
    TbxCallObject *call = as_call(hub, coro);
    /* Through, or not begun since its context is in use, say: nobody has to hold it. */
    bool is_over = status < 0 || (call != NULL &&
                                  (call->phase == TBX_PHASE_DONE || call->phase == TBX_PHASE_NEW));
    if (removed >= 0 && !is_over) {
        PyObject *added =
            PyObject_CallMethodOneArg(hub->state->all_tasks, hub->state->str_add, task);
        Py_XDECREF(added);
        if (added == NULL || keep(hub, coro, task) < 0) {
            removed = -1;
        }
    }
    if (removed < 0) {
        PyErr_WriteUnraisable(task);
    }
    tbx_exc_restore(raised);
done:
    Py_XDECREF(ref);
    Py_XDECREF(step);
    Py_XDECREF(task);
    return status;
}
#endif

/* Takes the exception that is set when it ends the process: the loop raises it in its next iteration.
 * 0, or -1 with the exception. */
static int
raise_in_loop(TbxHubObject *hub)
{
    if (!PyErr_ExceptionMatches(PyExc_SystemExit) &&
        !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        return -1;
    }
    PyObject *exc = tbx_exc_take();
    PyObject *handle = PyObject_CallMethodObjArgs(hub->loop, hub->state->str_call_soon,
                                                  hub->raise_call, exc, NULL);
    if (handle == NULL) { /* the loop is closed */
        PyErr_Clear();
        tbx_exc_put(exc);
        return -1;
    }
    Py_DECREF(handle);
    Py_DECREF(exc);
    return 0;
}

int
tbx_task_start(TbxHubObject *hub, PyObject *coro, PyObject *context)
{
    int by_loop = 1;
    if (hub->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server is gone");
        return -1;
    }
    if (hub->loop_dict != NULL) {
        by_loop = is_loops_own(hub);
        if (by_loop < 0) {
            return -1;
        }
#if !HAS_EAGER_START
        by_loop = by_loop || PyDict_GetItemWithError(hub->loop_dict, hub->state->str_call_soon) ||
                  PyDict_GetItemWithError(hub->all_dict, hub->state->str_add);
        if (PyErr_Occurred()) {
            return -1;
        }
#endif
    }
    int status = by_loop ? start_by_loop(hub, coro, context) : start(hub, coro, context);
    return status < 0 ? raise_in_loop(hub) : status;
}
