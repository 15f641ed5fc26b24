/* eager_py312.c: a task whose first step runs at once, from Python 3.12 on (contract in eager.h).
 *
 * asyncio does it: Task(coro, loop=loop, context=context, eager_start=True). A loop's task factory and
 * its call_soon have no part in that.
 */
#include "conn/conn.h"

struct tbx_eager {
    PyObject *names; /* owned tuple: of the arguments of Task */
};

int
tbx_eager_init(TbxHubObject *hub)
{
    tbx_eager *eager = hub->eager = PyMem_Calloc(1, sizeof *eager);
    if (eager == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    eager->names = Py_BuildValue("(sss)", "loop", "context", "eager_start");
    return eager->names ? 0 : -1;
}

int
tbx_eager_traverse(tbx_eager *eager, visitproc visit, void *arg)
{
    Py_VISIT(eager->names);
    return 0;
}

void
tbx_eager_clear(tbx_eager *eager)
{
    Py_CLEAR(eager->names);
}

int
tbx_eager_is_possible(TbxHubObject *Py_UNUSED(hub))
{
    return 1;
}

int
tbx_eager_start(TbxHubObject *hub, PyObject *coro, PyObject *context)
{
    /* A context that is entered already is refused here: asyncio would refuse it too, but go on
     * with this task as the current one. */
    if (PyContext_Enter(context) < 0 || PyContext_Exit(context) < 0) {
        return -1;
    }
    PyObject *args[] = {coro, hub->loop, context, Py_True};
    PyObject *task = PyObject_Vectorcall(hub->state->Task, args, 1, hub->eager->names);
    if (task == NULL) {
        return -1;
    }
    int status = tbx_task_keep(hub, coro, task);
    Py_DECREF(task);
    return status;
}
