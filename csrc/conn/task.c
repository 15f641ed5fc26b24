/* task.c: tasks of coroutines, started as early as may be (contract in conn.h).
 *
 * Their first step runs at once (eager.h). Where the loop has a task factory, or runs within itself
 * (nest_asyncio), or is one for which that is not possible, the loop makes and starts the task.
 * Who reads a client's bytes (a transport, an ASGI server) takes any exception for its own, so what
 * ends the process is raised again where the loop lets it out: in a callback.
 */
#include "conn/conn.h"

int
tbx_task_init(TbxHubObject *hub)
{
    hub->tasks = PySet_New(NULL);
    return hub->tasks ? tbx_eager_init(hub) : -1;
}

int
tbx_task_keep(TbxHubObject *hub, PyObject *coro, PyObject *task)
{
    TbxCallObject *call = tbx_call_of(hub, coro);
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
    TbxCallObject *call = tbx_call_of(hub, coro);
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
    TbxCallObject *call = tbx_call_of(hub, coro);
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
    int status = tbx_task_keep(hub, coro, task);
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
    if (hub->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server is gone");
        return -1;
    }
    int is_eager = 0;
    if (hub->eager != NULL) {
        int by_loop = is_loops_own(hub);
        is_eager = by_loop == 0 ? tbx_eager_is_possible(hub) : by_loop < 0 ? -1 : 0;
        if (is_eager < 0) {
            return -1;
        }
    }
    int status = is_eager ? tbx_eager_start(hub, coro, context) : start_by_loop(hub, coro, context);
    return status < 0 ? raise_in_loop(hub) : status;
}
