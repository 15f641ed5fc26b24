/* interruptible.c: waits that others may end, without a task of their own (contract in conn.h).
 *
 * class Interruptible:
 *     interrupted = False
 *     def run(self, awaitable): ...  # awaited at once: one at a time
 *     def interrupt(self): ...
 *
 * `await interruptible.run(awaitable)` is the awaitable's result. interrupt() cancels the future that
 * the awaitable waits for, not the task that awaits: that goes on with None, then and ever after. What
 * is cancelled from elsewhere meanwhile is not told apart here: a task counts it (Task.cancelling()).
 */
#include "conn/conn.h"

typedef enum { NOT_INTERRUPTED, INTERRUPTED, DELIVERED /* to what is awaited */ } interruption;

typedef struct {
    PyObject_HEAD PyObject *inner; /* owned; the iterator of what is awaited, or NULL */
    PyObject *future;              /* owned; what that has yielded last, while it waits, or NULL */
    interruption interruption;
} InterruptibleObject;

static PyObject *
interruptible_meth_run(PyObject *op, PyObject *awaitable)
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    if (self->interruption != NOT_INTERRUPTED) { /* not begun: a coroutine would warn of that */
        if (PyCoro_CheckExact(awaitable)) {
            TbxState *state = PyType_GetModuleState(Py_TYPE(op));
            PyObject *done = PyObject_CallMethodNoArgs(awaitable, state->str_close);
            if (done == NULL) {
                return NULL;
            }
            Py_DECREF(done);
        }
        return Py_NewRef(op);
    }
    if (self->inner != NULL || awaitable == op) {
        PyErr_SetString(PyExc_RuntimeError, "it awaits something already");
        return NULL;
    }
    PyObject *inner = tbx_await_of(Py_NewRef(awaitable));
    if (inner == NULL) {
        return NULL;
    }
    Py_XSETREF(self->inner, inner); /* __await__() may have come here, too */
    return Py_NewRef(op);
}

static int
cancel_future(InterruptibleObject *self)
{
    PyObject *future = self->future;
    if (future == NULL || future == Py_None) { /* a step of its task is due anyway */
        return 0;
    }
    TbxState *state = PyType_GetModuleState(Py_TYPE(self));
    Py_INCREF(future);
    PyObject *done = PyObject_CallMethodNoArgs(future, state->str_cancel);
    Py_DECREF(future);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *
interruptible_meth_interrupt(PyObject *op, PyObject *Py_UNUSED(none))
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    if (self->interruption != DELIVERED) { /* again: what cancels may have failed */
        self->interruption = INTERRUPTED;
        if (cancel_future(self) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static void
forget(InterruptibleObject *self)
{
    Py_CLEAR(self->future);
    Py_CLEAR(self->inner);
}

/* A step of what is awaited has ended so, with a result or an exception that is set. */
static PySendResult
go_on(InterruptibleObject *self, PySendResult status, PyObject **result)
{
    if (status == PYGEN_NEXT) {
        Py_XSETREF(self->future, Py_NewRef(*result));
        if (self->interruption == INTERRUPTED && cancel_future(self) < 0) { /* by that step */
            Py_CLEAR(*result);
            return PYGEN_ERROR;
        }
        return PYGEN_NEXT;
    }
    if (status == PYGEN_RETURN) {
        forget(self);
    }
    else {
        tbx_exc raised = tbx_exc_save();
        forget(self);
        tbx_exc_restore(raised);
    }
    if (self->interruption == NOT_INTERRUPTED) {
        return status;
    }
    if (status == PYGEN_ERROR) {
        TbxState *state = PyType_GetModuleState(Py_TYPE(self));
        if (!PyErr_ExceptionMatches(state->CancelledError)) {
            return PYGEN_ERROR;
        }
        PyErr_Clear();
    }
    Py_XSETREF(*result, Py_NewRef(Py_None));
    return PYGEN_RETURN;
}

/* Sets the exception that the arguments of throw() are. */
static void
set_exception(PyObject *args)
{
    PyObject *exc = PyTuple_GET_ITEM(args, 0);
    if (PyExceptionInstance_Check(exc)) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    }
    else {
        PyErr_SetObject(exc, PyTuple_GET_SIZE(args) > 1 ? PyTuple_GET_ITEM(args, 1) : NULL);
    }
}

/* A step of what is awaited, with the arguments of throw(). */
static PySendResult
throw_into(InterruptibleObject *self, PyObject *args, PyObject **result)
{
    TbxState *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *inner = Py_NewRef(self->inner);
    PySendResult status = PYGEN_ERROR;
    *result = NULL;
    if (self->interruption == INTERRUPTED) {
        self->interruption = DELIVERED;
    }
    Py_CLEAR(self->future);
    PyObject *method = PyObject_GetAttr(inner, state->str_throw);
    if (method != NULL) {
        *result = PyObject_Call(method, args, NULL);
        Py_DECREF(method);
        if (*result != NULL) {
            status = PYGEN_NEXT;
        }
        else if (tbx_stop_value(result)) {
            status = PYGEN_RETURN;
        }
    }
    else if (PyErr_ExceptionMatches(PyExc_AttributeError)) { /* PEP 380: it does without */
        PyErr_Clear();
        set_exception(args);
    }
    Py_DECREF(inner);
    return go_on(self, status, result);
}

static PySendResult
interruptible_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    *result = NULL;
    if (self->inner == NULL) {
        if (self->interruption == NOT_INTERRUPTED) {
            PyErr_SetString(PyExc_RuntimeError, "there is nothing that it awaits");
            return PYGEN_ERROR;
        }
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    if (self->interruption == INTERRUPTED) { /* there was no future that could be cancelled */
        TbxState *state = PyType_GetModuleState(Py_TYPE(op));
        PyObject *args = PyTuple_Pack(1, state->CancelledError);
        PySendResult status = args ? throw_into(self, args, result) : PYGEN_ERROR;
        Py_XDECREF(args);
        return status;
    }
    Py_CLEAR(self->future);
    PyObject *inner = Py_NewRef(self->inner);
    PySendResult status = PYGEN_ERROR;
    if (Py_EnterRecursiveCall(" while awaiting") == 0) {
        status = PyIter_Send(inner, value, result);
        Py_LeaveRecursiveCall();
    }
    Py_DECREF(inner);
    return go_on(self, status, result);
}

/* As a method: what is returned ends in StopIteration. */
static PyObject *
as_method(PySendResult status, PyObject *result)
{
    if (status != PYGEN_RETURN) {
        return result;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static PyObject *
interruptible_meth_send(PyObject *op, PyObject *value)
{
    PyObject *result;
    PySendResult status = interruptible_am_send(op, value, &result);
    return as_method(status, result);
}

static PyObject *
interruptible_tp_iternext(PyObject *op)
{
    return interruptible_meth_send(op, Py_None);
}

static PyObject *
interruptible_meth_throw(PyObject *op, PyObject *args)
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    PyObject *type, *value, *traceback, *result;
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback)) {
        return NULL;
    }
    if (self->inner == NULL) {
        set_exception(args);
        return NULL;
    }
    PySendResult status = throw_into(self, args, &result);
    return as_method(status, result);
}

static PyObject *
interruptible_meth_close(PyObject *op, PyObject *Py_UNUSED(none))
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    TbxState *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *inner = self->inner;
    self->inner = NULL;
    Py_CLEAR(self->future);
    PyObject *done = NULL;
    if (inner != NULL) {
        done = PyObject_CallMethodNoArgs(inner, state->str_close);
        Py_DECREF(inner);
        if (done == NULL) {
            return NULL;
        }
        Py_DECREF(done);
    }
    Py_RETURN_NONE;
}

static PyObject *
interruptible_get_interrupted(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((InterruptibleObject *)op)->interruption != NOT_INTERRUPTED);
}

static int
interruptible_tp_traverse(PyObject *op, visitproc visit, void *arg)
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->inner);
    Py_VISIT(self->future);
    return 0;
}

static int
interruptible_tp_clear(PyObject *op)
{
    InterruptibleObject *self = (InterruptibleObject *)op;
    Py_CLEAR(self->inner);
    Py_CLEAR(self->future);
    return 0;
}

static void
interruptible_tp_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)interruptible_tp_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef interruptible_methods[] = {
    {"run", interruptible_meth_run, METH_O,
     "run($self, awaitable, /)\n--\n\n"
     "What is awaited at once: the awaitable's result, or None when interrupt() was called."},
    {"interrupt", interruptible_meth_interrupt, METH_NOARGS,
     "interrupt($self, /)\n--\n\n"
     "End what is awaited, now and from now on."},
    {"send", interruptible_meth_send, METH_O, NULL},
    {"throw", interruptible_meth_throw, METH_VARARGS, NULL},
    {"close", interruptible_meth_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef interruptible_getset[] = {
    {"interrupted", interruptible_get_interrupted, NULL, "Whether interrupt() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot interruptible_slots[] = {
    {Py_tp_doc, (void *)"Waits, one after the other, that others may end."},
    {Py_tp_new, (void *)PyType_GenericNew},
    {Py_tp_dealloc, (void *)interruptible_tp_dealloc},
    {Py_tp_traverse, (void *)interruptible_tp_traverse},
    {Py_tp_clear, (void *)interruptible_tp_clear},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)interruptible_tp_iternext},
    {Py_tp_methods, interruptible_methods},
    {Py_tp_getset, interruptible_getset},
    {Py_am_await, (void *)PyObject_SelfIter},
    {Py_am_send, (void *)interruptible_am_send},
    {0, NULL},
};

PyType_Spec tbx_interruptible_spec = {
    .name = "toolboxsio._core.Interruptible",
    .basicsize = sizeof(InterruptibleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = interruptible_slots,
};
