/* eager_py311.c: a task whose first step runs at once, on Python 3.11 (contract in eager.h).
 *
 * The task is made as by the loop, and what its constructor schedules with loop.call_soon is caught and
 * called here, in the task's context. While the constructor runs no other code can: it calls the loop's
 * get_debug, the catchers, and nothing else, and the collector is held off. The set of all tasks knows
 * the task by a plain weak reference while the first step runs, and by its own means once the task
 * waits; so a task that ends in its first step, as most do, costs neither a callback of that reference
 * nor a handle of the loop.
 * It cannot be done where the loop has no __dict__ for the catcher, or a call_soon of its own there.
 */
#include "conn/conn.h"

#include "base/num.h"

#define OBJECTS(X)                                                                                 \
    X(loop_dict)   /* the loop's __dict__ */                                                       \
    X(call_soon)   /* the loop's */                                                                \
    X(catcher)     /* what stands for it while a task is made */                                   \
    X(caught)      /* what the catcher was given, or NULL */                                       \
    X(kwargs)      /* dict: loop, context and name of the task that is made */                     \
    X(current)     /* dict: asyncio.tasks._current_tasks */                                        \
    X(all_tasks)   /* asyncio.tasks._all_tasks, of the interpreter */                              \
    X(all_dict)    /* its dict */                                                                  \
    X(all_data)    /* its set of weak references */                                                \
    X(add_catcher) /* what stands for its add() while a task is made */                            \
    X(added)       /* what that was given, or NULL */

struct tbx_eager {
#define X(name) PyObject *name; /* owned */
    OBJECTS(X)
#undef X
    uint64_t n_named; /* tasks that have a name with a number */
};

int
tbx_eager_traverse(tbx_eager *eager, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(eager->name);
    OBJECTS(X)
#undef X
    return 0;
}

void
tbx_eager_clear(tbx_eager *eager)
{
#define X(name) Py_CLEAR(eager->name);
    OBJECTS(X)
#undef X
}

/* ---- what stands for loop.call_soon and for the add() of the set of all tasks ---- */

/* The hub of a catcher that somebody has kept was collected. */
static PyObject *
fail_late(void)
{
    PyErr_SetString(PyExc_RuntimeError, "no task is being made");
    return NULL;
}

static PyObject *
catch_call(PyObject *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    tbx_eager *eager = ((TbxHubObject *)self)->eager;
    if (eager->caught == NULL && n_args == 1) {
        eager->caught = Py_NewRef(args[0]);
        Py_RETURN_NONE;
    }
    return eager->call_soon != NULL
               ? PyObject_Vectorcall(eager->call_soon, args, (size_t)n_args, names)
               : fail_late();
}

/* Any task but the one that is being made (there is one only when another thread makes it). */
static PyObject *
add_really(tbx_eager *eager, TbxState *state, PyObject *task)
{
    if (eager->all_tasks == NULL) {
        return fail_late();
    }
    PyObject *type = (PyObject *)Py_TYPE(eager->all_tasks);
    return PyObject_CallMethodObjArgs(type, state->str_add, eager->all_tasks, task, NULL);
}

static PyObject *
catch_add(PyObject *self, PyObject *task)
{
    TbxHubObject *hub = (TbxHubObject *)self;
    if (hub->eager->added == NULL) {
        hub->eager->added = Py_NewRef(task);
        Py_RETURN_NONE;
    }
    return add_really(hub->eager, hub->state, task);
}

static PyMethodDef catchers[] = {
    {"call_soon", (PyCFunction)(void (*)(void))catch_call, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"add", catch_add, METH_O, NULL},
};

/* ---- preparation ---- */

int
tbx_eager_init(TbxHubObject *hub)
{
    TbxState *state = hub->state;
    tbx_eager *eager = hub->eager = PyMem_Calloc(1, sizeof *eager);
    if (eager == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *tasks = PyImport_ImportModule("asyncio.tasks");
    if (tasks == NULL) {
        return -1;
    }
    eager->current = PyObject_GetAttrString(tasks, "_current_tasks");
    eager->all_tasks = eager->current ? PyObject_GetAttrString(tasks, "_all_tasks") : NULL;
    Py_DECREF(tasks);
    if (eager->all_tasks == NULL ||
        (eager->kwargs = Py_BuildValue("{OO}", state->str_loop, hub->loop)) == NULL ||
        (eager->catcher = PyCMethod_New(&catchers[0], (PyObject *)hub, NULL, NULL)) == NULL ||
        (eager->add_catcher = PyCMethod_New(&catchers[1], (PyObject *)hub, NULL, NULL)) == NULL) {
        return -1;
    }
    if ((eager->loop_dict = PyObject_GenericGetDict(hub->loop, NULL)) == NULL ||
        (eager->call_soon = PyObject_GetAttr(hub->loop, state->str_call_soon)) == NULL ||
        (eager->all_dict = PyObject_GenericGetDict(eager->all_tasks, NULL)) == NULL ||
        (eager->all_data = PyObject_GetAttr(eager->all_tasks, state->str_data)) == NULL ||
        !PySet_CheckExact(eager->all_data)) {
        PyErr_Clear();
        hub->eager = NULL;
        tbx_eager_clear(eager);
        PyMem_Free(eager);
    }
    return 0;
}

int
tbx_eager_is_possible(TbxHubObject *hub)
{
    tbx_eager *eager = hub->eager;
    bool is_taken = PyDict_GetItemWithError(eager->loop_dict, hub->state->str_call_soon) ||
                    PyDict_GetItemWithError(eager->all_dict, hub->state->str_add);
    return PyErr_Occurred() ? -1 : !is_taken;
}

/* ---- a task ---- */

/* `sio-<number>`: asyncio would format `Task-<number>`, which takes as long as all else here. */
static PyObject *
next_name(TbxHubObject *hub)
{
    char digits[TBX_NUM_MAX];
    size_t n = tbx_num_put_i64(digits, (int64_t)++hub->eager->n_named);
    PyObject *name = PyUnicode_New((Py_ssize_t)n + 4, 127);
    if (name != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(name), "sio-", 4);
        memcpy(PyUnicode_1BYTE_DATA(name) + 4, digits, n);
    }
    return name;
}

/* Makes the task; *step becomes the call that runs its first step. New references. Nothing that may
 * collect stands before the catchers: another thread, which would run then, may have put its own in
 * their place since they were looked for. */
static PyObject *
make(TbxHubObject *hub, PyObject *coro, PyObject *context, PyObject **step)
{
    TbxState *state = hub->state;
    tbx_eager *eager = hub->eager;
    PyObject *task = NULL;
    PyObject *name = next_name(hub);
    *step = NULL;
    if (name == NULL || PyDict_SetItem(eager->kwargs, state->str_context, context) < 0 ||
        PyDict_SetItem(eager->kwargs, state->str_name, name) < 0) {
        goto done;
    }
    int was_enabled = PyGC_Disable();
    if (PyDict_SetItem(eager->loop_dict, state->str_call_soon, eager->catcher) == 0) {
        if (PyDict_SetItem(eager->all_dict, state->str_add, eager->add_catcher) == 0) {
            task = PyObject_VectorcallDict(state->Task, &coro, 1, eager->kwargs);
            if (PyDict_DelItem(eager->all_dict, state->str_add) < 0) {
                Py_CLEAR(task);
            }
        }
        if (PyDict_DelItem(eager->loop_dict, state->str_call_soon) < 0) {
            Py_CLEAR(task);
        }
    }
    if (was_enabled) {
        PyGC_Enable();
    }
    if (eager->added != NULL && task != NULL && eager->added != task) {
        PyObject *added = add_really(eager, state, eager->added);
        Py_XDECREF(added);
        if (added == NULL) {
            Py_CLEAR(task);
        }
    }
    Py_CLEAR(eager->added);
    *step = eager->caught;
    eager->caught = NULL;
    if (task != NULL && *step == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a task has not scheduled its first step");
        Py_CLEAR(task);
    }
    if (PyDict_SetItem(eager->kwargs, state->str_context, Py_None) < 0) {
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
    PyObject *table = hub->eager->current;
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

int
tbx_eager_start(TbxHubObject *hub, PyObject *coro, PyObject *context)
{
    tbx_eager *eager = hub->eager;
    PyObject *step = NULL, *ref = NULL;
    int status = -1;
    PyObject *task = make(hub, coro, context, &step);
    if (task == NULL) {
        goto done;
    }
    ref = PyWeakref_NewRef(task, NULL);
    if (ref == NULL || PySet_Add(eager->all_data, ref) < 0) {
        goto done;
    }
    status = run(hub, step, context);
    tbx_exc raised = tbx_exc_save();
    int removed = PySet_Discard(eager->all_data, ref);
    TbxCallObject *call = tbx_call_of(hub, coro);
    /* Through, or not begun since its context is in use, say: nobody has to hold it. */
    bool is_over = status < 0 || (call != NULL &&
                                  (call->phase == TBX_PHASE_DONE || call->phase == TBX_PHASE_NEW));
    if (removed >= 0 && !is_over) {
        PyObject *added = PyObject_CallMethodOneArg(eager->all_tasks, hub->state->str_add, task);
        Py_XDECREF(added);
        if (added == NULL || tbx_task_keep(hub, coro, task) < 0) {
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
