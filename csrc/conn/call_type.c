/* call_type.c: the coroutine of an event's task.
 *
 *     class Call(collections.abc.Coroutine):         # made by the connection alone
 *         def send(self, value): ...                 # calls the handler, awaits it, answers
 *         def throw(self, type, value=None, traceback=None): ...
 *         def close(self): ...
 *         cr_await, cr_code, cr_frame, cr_running, cr_suspended, __name__, __qualname__  # the handler's
 *
 * Owns the handler until it is called, then what it returned. Phases go forward only: NEW, WAITING
 * (for the handler), ANSWER (Python sends the acknowledgement), DONE. tbx_conn_call_done, or tbx_conn_lane_done, is
 * called exactly once, on the way to DONE.
 * Mirrors: socketio.AsyncServer._handle_event_internal and ._trigger_event, AsyncNamespace.trigger_event.
 */
#include "conn/conn.h"

#include <structmember.h>

#define FEW_ARGS 10

TbxCallObject *
tbx_call_new(TbxConnObject *conn, tbx_call_kind kind)
{
    PyTypeObject *type = (PyTypeObject *)conn->hub->state->CallType;
    TbxCallObject *call = (TbxCallObject *)type->tp_alloc(type, 0);
    if (call != NULL) {
        call->conn = (TbxConnObject *)Py_NewRef(conn);
        call->kind = (uint8_t)kind;
        call->event = -1;
    }
    return call;
}

/* Over, however it ended. */
static void
finish(TbxCallObject *call)
{
    if (call->phase == TBX_PHASE_DONE) {
        return;
    }
    call->phase = TBX_PHASE_DONE;
    Py_CLEAR(call->callee);
    Py_CLEAR(call->data);
    Py_CLEAR(call->inner);
    Py_CLEAR(call->context);
    tbx_task_forget(call);
    if (call->kind == TBX_CALL_LANE || call->ordered) {
        tbx_conn_lane_done(call->conn);
    }
    else {
        tbx_conn_call_done(call->conn, call->size);
    }
}

/* `on_<event>` of a namespace handler, or NULL: without an exception when there is none. */
static PyObject *
find_method(PyObject *namespace_handler, PyObject *event)
{
    PyObject *name = PyUnicode_FromFormat("on_%U", event);
    if (name == NULL) {
        return NULL;
    }
    PyObject *method = PyObject_GetAttr(namespace_handler, name);
    Py_DECREF(name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return method;
}

/* Whether what handles an event of a namespace handler is its method of that name, and not what it makes
 * of any name (__getattr__). */
static bool
is_own_method(PyObject *method, PyObject *event)
{
    PyObject *function = PyMethod_Check(method) ? PyMethod_GET_FUNCTION(method) : NULL;
    if (function == NULL || !PyFunction_Check(function)) {
        return false;
    }
    PyObject *name = ((PyFunctionObject *)function)->func_name;
    Py_ssize_t len = PyUnicode_GET_LENGTH(event);
    return PyUnicode_GET_LENGTH(name) == len + 3 && PyUnicode_READ_CHAR(name, 0) == 'o' &&
           PyUnicode_READ_CHAR(name, 1) == 'n' && PyUnicode_READ_CHAR(name, 2) == '_' &&
           PyUnicode_Tailmatch(name, event, 3, len + 3, 1) == 1;
}

/* The entry of the call's event. Names that the application does not know are counted with its
 * catch-alls: clients make no entries. Escapes. */
static Py_ssize_t
find_event(TbxCallObject *call, PyObject *callee, PyObject *event)
{
    TbxHubObject *hub = call->conn->hub;
    PyObject *star = hub->state->str_star;
    if (call->kind == TBX_CALL_NAMESPACE && !is_own_method(callee, event)) {
        event = star;
    }
    PyObject *ns = Py_NewRef(call->with_ns ? star : call->ns);
    Py_ssize_t number = tbx_event_find(hub, ns, call->with_event ? star : event);
    Py_DECREF(ns);
    return number;
}

/* Calls the callee with what stands before sid, sid, and the arguments of the event. */
static PyObject *
call_with_args(TbxCallObject *call, PyObject *callee, PyObject *data)
{
    PyObject *few[FEW_ARGS];
    PyObject **args = few;
    Py_ssize_t n = 1; /* args[0] is the callee's to use */
    Py_ssize_t n_data = PyList_GET_SIZE(data);
    if (n_data + 4 > FEW_ARGS) {
        args = PyMem_Malloc((size_t)(n_data + 4) * sizeof(PyObject *));
        if (args == NULL) {
            return PyErr_NoMemory();
        }
    }
    if (call->with_event) {
        args[n++] = PyList_GET_ITEM(data, 0);
    }
    if (call->with_ns) {
        args[n++] = call->ns;
    }
    args[n++] = call->sid;
    for (Py_ssize_t i = 1; i < n_data; i++) {
        args[n++] = PyList_GET_ITEM(data, i);
    }
    PyObject *result = PyObject_Vectorcall(callee, args + 1,
                                           (size_t)(n - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (args != few) {
        PyMem_Free(args);
    }
    return result;
}

/* Whether it is a generator that types.coroutine() has marked. */
static bool
is_generator_coroutine(PyObject *value)
{
    if (!PyGen_CheckExact(value)) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030c0000
    PyCodeObject *code = PyGen_GetCode((PyGenObject *)value);
#else
    PyCodeObject *code = (PyCodeObject *)Py_NewRef(((PyGenObject *)value)->gi_code);
#endif
    bool is_one = (code->co_flags & CO_ITERABLE_COROUTINE) != 0;
    Py_DECREF(code);
    return is_one;
}

/* What inspect.isawaitable says. */
static bool
is_awaitable(PyObject *value)
{
    PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
    return (methods != NULL && methods->am_await != NULL) || is_generator_coroutine(value);
}

PyObject *
tbx_await_of(PyObject *awaitable)
{
    if (PyCoro_CheckExact(awaitable) || is_generator_coroutine(awaitable)) {
        return awaitable;
    }
    PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
    PyObject *iterator = NULL;
    if (methods == NULL || methods->am_await == NULL) {
        PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
                     Py_TYPE(awaitable)->tp_name);
    }
    else {
        iterator = methods->am_await(awaitable);
        if (iterator != NULL && !PyIter_Check(iterator)) {
            PyErr_Format(PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'",
                         Py_TYPE(iterator)->tp_name);
            Py_CLEAR(iterator);
        }
    }
    Py_DECREF(awaitable);
    return iterator;
}

/* The first step. 1: *answer is there; 0: `inner` is to be awaited; -1. */
static int
begin(TbxCallObject *call, PyObject **answer)
{
    call->phase = TBX_PHASE_WAITING;
    if (call->kind == TBX_CALL_LANE) {
        return 0;
    }
    PyObject *callee = call->callee;
    PyObject *data = call->data;
    call->callee = call->data = NULL;
    int status = -1;
    if (call->kind == TBX_CALL_NAMESPACE) {
        PyObject *method = find_method(callee, PyList_GET_ITEM(data, 0));
        Py_SETREF(callee, method);
        if (callee == NULL) {
            if (!PyErr_Occurred()) {
                *answer = Py_NewRef(Py_None);
                status = 1;
            }
            goto done;
        }
    }
    call->event = find_event(call, callee, PyList_GET_ITEM(data, 0));
    PyObject *result = call_with_args(call, callee, data);
    if (result == NULL) {
        goto done;
    }
    if (call->kind == TBX_CALL_TRIGGER) { /* which is one to await, or an error */
        call->inner = tbx_await_of(result);
        status = call->inner != NULL ? 0 : -1;
    }
    else {
        *answer = result;
        status = 1;
    }
done:
    Py_XDECREF(callee);
    Py_DECREF(data);
    return status;
}

/* The handler has answered; steals the answer. 1: all is done; 0: `inner` is to be awaited; -1. */
static int
answered(TbxCallObject *call, PyObject *answer)
{
    TbxConnObject *conn = call->conn;
    int status = 1;
    if (call->has_id) {
        status = tbx_conn_answer(conn, call->ns, call->id, answer);
        if (status == 0) {
            unsigned long long id = call->id;
            PyObject *coro = tbx_call_python(conn->hub->state, conn->hub->plan.acknowledge,
                                             TBX_PY_ACKNOWLEDGE, conn->sid, call->ns, id, answer);
            call->phase = TBX_PHASE_ANSWER;
            call->swallows = false;
            PyObject *inner = coro ? tbx_await_of(coro) : NULL;
            Py_XSETREF(call->inner, inner);
            status = inner ? 0 : -1;
        }
    }
    Py_DECREF(answer);
    return status;
}

/* An exception is set: takes it where upstream does not let it out. 1: *answer; -1. */
static int
failed(TbxCallObject *call, PyObject **answer)
{
    TbxHubObject *hub = call->conn->hub;
    if (call->phase == TBX_PHASE_WAITING && call->swallows &&
        PyErr_ExceptionMatches(hub->state->CancelledError)) {
        PyErr_Clear();
        *answer = Py_NewRef(Py_None);
        return 1;
    }
    return -1;
}

/* A coroutine that lets StopIteration out raises RuntimeError (PEP 479). An exception is set. */
static void
no_stop_iteration(void)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return;
    }
    PyObject *cause = tbx_exc_take();
    PyErr_SetString(PyExc_RuntimeError, "coroutine raised StopIteration");
    PyObject *exc = tbx_exc_take();
    PyException_SetContext(exc, Py_NewRef(cause));
    PyException_SetCause(exc, cause);
    tbx_exc_put(exc);
}

/* What a call has, or would have, had nobody collected it. */
static PyObject *
or_none(PyObject *object)
{
    return object != NULL ? object : Py_None;
}

PyObject *
tbx_call_report(TbxHubObject *hub, TbxCallObject *call, tbx_failed what)
{
    PyObject *exc = tbx_exc_take();
    (void)tbx_hub_is_fast(hub); /* which makes the plan, where none was needed yet */
    PyObject *report = Py_NewRef(hub->plan.report ? hub->plan.report : Py_None);
    bool has_task = call != NULL && !call->ordered && what != TBX_FAILED_START;
    PyObject *done =
        tbx_call_python(hub->state, report, TBX_PY_REPORT, exc, (int)what,
                        or_none(call ? call->name : NULL), or_none(call ? call->ns : NULL),
                        or_none(call ? call->sid : NULL), has_task ? Py_True : Py_False);
    if (done == NULL) {
        PyErr_WriteUnraisable(report);
    }
    Py_XDECREF(done);
    Py_DECREF(report);
    return exc;
}

/* An exception is set, with which a call ends. 1: it goes no further, as in python-socketio's reader
 * where the client's next message waits for the handler; -1. */
static int
ended(TbxCallObject *call, bool has_answered)
{
    bool is_cancelled = PyErr_ExceptionMatches(call->conn->hub->state->CancelledError);
    bool is_exit =
        PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    if (call->kind == TBX_CALL_LANE || PyErr_ExceptionMatches(PyExc_GeneratorExit) ||
        (!call->ordered && (is_cancelled || is_exit))) {
        return -1;
    }
    if (is_cancelled) {
        PyErr_Clear();
        return 1;
    }
    PyObject *exc = tbx_call_report(call->conn->hub, call,
                                    has_answered ? TBX_FAILED_ANSWER : TBX_FAILED_HANDLER);
    if (call->ordered) {
        Py_DECREF(exc);
        return 1;
    }
    tbx_exc_put(exc);
    return -1;
}

/* Goes on with what an await gave: `status` and `result` of PyIter_Send. */
static PySendResult
go_on(TbxCallObject *call, PySendResult status, PyObject **result)
{
    for (;;) {
        PyObject *answer = NULL;
        int next = -1;
        if (status == PYGEN_NEXT) {
            return PYGEN_NEXT;
        }
        if (status == PYGEN_RETURN) {
            answer = *result;
            *result = NULL;
            next = 1;
        }
        else {
            next = failed(call, &answer);
        }
        Py_CLEAR(call->inner);
        bool is_handler = call->phase == TBX_PHASE_WAITING && call->kind != TBX_CALL_LANE;
        if (next == 1 && is_handler && is_awaitable(answer)) {
            call->swallows = call->kind != TBX_CALL_TRIGGER;
            call->inner = tbx_await_of(answer);
            if (call->inner != NULL) {
                status = PyIter_Send(call->inner, Py_None, result);
                continue;
            }
            next = -1;
        }
        bool has_answered = next == 1 || call->phase == TBX_PHASE_ANSWER;
        if (next == 1 && is_handler) {
            next = answered(call, answer);
        }
        else if (next == 1) {
            Py_DECREF(answer);
        }
        if (is_handler) {
            uint64_t ns = tbx_clock_monotonic_ns() - call->began;
            tbx_event_count(call->conn->hub, call->event, ns, next < 0);
        }
        if (next < 0) {
            no_stop_iteration();
            next = ended(call, has_answered);
        }
        if (next != 0) {
            tbx_exc raised = tbx_exc_save();
            finish(call);
            tbx_exc_restore(raised);
            *result = next == 1 ? Py_NewRef(Py_None) : NULL;
            return next == 1 ? PYGEN_RETURN : PYGEN_ERROR;
        }
        status = PyIter_Send(call->inner, Py_None, result);
    }
}

/* Before a step: into the context that the task has only a copy of. *context is for leave(). */
static int
enter(TbxCallObject *call, PyObject **context)
{
    *context = call->context;
    if (*context != NULL && PyContext_Enter(*context) < 0) {
        return -1;
    }
    Py_XINCREF(*context);
    call->running = true;
    return 0;
}

static void
leave(TbxCallObject *call, PyObject *context)
{
    call->running = false;
    if (context != NULL) {
        tbx_exc raised = tbx_exc_save();
        if (PyContext_Exit(context) < 0) {
            PyErr_WriteUnraisable(context);
        }
        Py_DECREF(context);
        tbx_exc_restore(raised);
    }
}

static PySendResult
call_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    TbxCallObject *call = (TbxCallObject *)self;
    *result = NULL;
    if (call->phase == TBX_PHASE_DONE || call->running) {
        PyErr_SetString(call->running ? PyExc_ValueError : PyExc_RuntimeError,
                        call->running ? "coroutine already executing"
                                      : "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    PyObject *context;
    if (enter(call, &context) < 0) {
        return PYGEN_ERROR;
    }
    PySendResult status;
    if (call->phase == TBX_PHASE_NEW) {
        PyObject *answer = NULL;
        int begun = begin(call, &answer);
        if (begun == 0) {
            status = PyIter_Send(call->inner, Py_None, result);
        }
        else {
            *result = answer;
            status = begun == 1 ? PYGEN_RETURN : PYGEN_ERROR;
        }
    }
    else {
        status = PyIter_Send(call->inner, value, result);
    }
    status = go_on(call, status, result);
    leave(call, context);
    return status;
}

/* As a method: what is returned ends in StopIteration. */
static PyObject *
as_method(PySendResult status, PyObject *result)
{
    if (status != PYGEN_RETURN) {
        return result;
    }
    Py_XDECREF(result); /* always None */
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *
call_meth_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult status = call_am_send(self, value, &result);
    return as_method(status, result);
}

static PyObject *
call_tp_iternext(PyObject *self)
{
    return call_meth_send(self, Py_None);
}

bool
tbx_stop_value(PyObject **value)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return false;
    }
    PyObject *type, *exc, *traceback;
    PyErr_Fetch(&type, &exc, &traceback);
    PyErr_NormalizeException(&type, &exc, &traceback);
    *value = Py_NewRef(((PyStopIterationObject *)exc)->value);
    Py_XDECREF(type);
    Py_XDECREF(exc);
    Py_XDECREF(traceback);
    return true;
}

static PyObject *
call_meth_throw(PyObject *self, PyObject *args)
{
    TbxCallObject *call = (TbxCallObject *)self;
    PyObject *type, *value = NULL, *traceback = NULL, *result = NULL;
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback)) {
        return NULL;
    }
    if (call->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    if (call->phase == TBX_PHASE_DONE) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return NULL;
    }
    if (call->kind == TBX_CALL_LANE && call->phase == TBX_PHASE_NEW) {
        call->phase = TBX_PHASE_WAITING; /* its coroutine is told */
    }
    if (call->inner == NULL) { /* not begun */
        if (PyExceptionInstance_Check(type)) {
            PyErr_SetObject((PyObject *)Py_TYPE(type), type);
        }
        else {
            PyErr_SetObject(type, value);
        }
        tbx_exc raised = tbx_exc_save();
        finish(call);
        tbx_exc_restore(raised);
        return NULL;
    }
    PyObject *context;
    if (enter(call, &context) < 0) {
        return NULL;
    }
    PyObject *inner = Py_NewRef(call->inner);
    PyObject *method = PyObject_GetAttr(inner, call->conn->hub->state->str_throw);
    PySendResult status = PYGEN_ERROR;
    if (method != NULL) {
        result = PyObject_Call(method, args, NULL);
        Py_DECREF(method);
        if (result != NULL) {
            status = PYGEN_NEXT;
        }
        else if (tbx_stop_value(&result)) {
            status = PYGEN_RETURN;
        }
    }
    Py_DECREF(inner);
    status = go_on(call, status, &result);
    leave(call, context);
    return as_method(status, result);
}

static PyObject *
call_meth_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    TbxCallObject *call = (TbxCallObject *)self;
    PyObject *done = NULL;
    if (call->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    if (call->inner != NULL) {
        PyObject *inner = Py_NewRef(call->inner);
        done = PyObject_CallMethodNoArgs(inner, call->conn->hub->state->str_close);
        Py_DECREF(inner);
        if (done == NULL) {
            return NULL;
        }
        Py_DECREF(done);
    }
    finish(call);
    Py_RETURN_NONE;
}

/* An attribute of the coroutine that is awaited, or what stands for it. */
static PyObject *
of_inner(TbxCallObject *call, const char *name, PyObject *otherwise)
{
    PyObject *found = call->inner ? PyObject_GetAttrString(call->inner, name) : NULL;
    if (found == NULL) {
        PyErr_Clear();
        found = Py_NewRef(otherwise);
    }
    return found;
}

/* The handler's frame; of a plain function, while it runs, that of who asks. */
static PyObject *
call_get_frame(PyObject *self, void *name)
{
    TbxCallObject *call = (TbxCallObject *)self;
    PyObject *current = (PyObject *)PyEval_GetFrame();
    if (call->inner == NULL && call->running && current != NULL) {
        return Py_NewRef(current);
    }
    return of_inner(call, name, Py_None);
}

static PyObject *
call_get_inner(PyObject *self, void *name)
{
    return of_inner((TbxCallObject *)self, name, Py_None);
}

static PyObject *
call_get_name(PyObject *self, void *name)
{
    PyObject *fallback = PyUnicode_FromString("Call");
    PyObject *found = fallback ? of_inner((TbxCallObject *)self, name, fallback) : NULL;
    Py_XDECREF(fallback);
    return found;
}

static PyObject *
call_get_running(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((TbxCallObject *)self)->running);
}

static PyObject *
call_get_suspended(PyObject *self, void *Py_UNUSED(closure))
{
    TbxCallObject *call = (TbxCallObject *)self;
    bool is_begun = call->phase == TBX_PHASE_WAITING || call->phase == TBX_PHASE_ANSWER;
    return PyBool_FromLong(is_begun && !call->running);
}

static PyObject *
call_get_is_handler(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((TbxCallObject *)self)->kind != TBX_CALL_LANE);
}

static int
call_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    TbxCallObject *call = (TbxCallObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(call->conn);
    Py_VISIT(call->callee);
    Py_VISIT(call->sid);
    Py_VISIT(call->ns);
    Py_VISIT(call->data);
    Py_VISIT(call->name);
    Py_VISIT(call->inner);
    Py_VISIT(call->context);
    return 0;
}

static int
call_tp_clear(PyObject *self)
{
    TbxCallObject *call = (TbxCallObject *)self;
    Py_CLEAR(call->callee);
    Py_CLEAR(call->sid);
    Py_CLEAR(call->ns);
    Py_CLEAR(call->data);
    Py_CLEAR(call->name);
    Py_CLEAR(call->inner);
    Py_CLEAR(call->context);
    return 0; /* conn is kept: finish() needs it */
}

static void
call_tp_dealloc(PyObject *self)
{
    TbxCallObject *call = (TbxCallObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (call->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    tbx_exc raised = tbx_exc_save();
    call_tp_clear(self);
    if (call->conn != NULL && call->phase != TBX_PHASE_DONE) { /* dropped on the way */
        finish(call);
    }
    Py_CLEAR(call->conn);
    tbx_exc_restore(raised);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef call_methods[] = {
    {"send", call_meth_send, METH_O, NULL},
    {"throw", call_meth_throw, METH_VARARGS, NULL},
    {"close", call_meth_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef call_getset[] = {
    {"cr_await", call_get_inner, NULL, NULL, "cr_await"},
    {"cr_code", call_get_inner, NULL, NULL, "cr_code"},
    {"cr_frame", call_get_frame, NULL, NULL, "cr_frame"},
    {"cr_running", call_get_running, NULL, NULL, NULL},
    {"cr_suspended", call_get_suspended, NULL, NULL, NULL},
    {"is_handler", call_get_is_handler, NULL, "Whether it is a handler of the application.", NULL},
    {"__name__", call_get_name, NULL, NULL, "__name__"},
    {"__qualname__", call_get_name, NULL, NULL, "__qualname__"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef call_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TbxCallObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, (void *)"A handler at work: the coroutine of its task."},
    {Py_tp_dealloc, (void *)call_tp_dealloc},
    {Py_tp_traverse, (void *)call_tp_traverse},
    {Py_tp_clear, (void *)call_tp_clear},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)call_tp_iternext},
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_getset},
    {Py_tp_members, call_members},
    {Py_am_await, (void *)PyObject_SelfIter},
    {Py_am_send, (void *)call_am_send},
    {0, NULL},
};

PyType_Spec tbx_call_spec = {
    .name = "toolboxsio._core.Call",
    .basicsize = sizeof(TbxCallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};
