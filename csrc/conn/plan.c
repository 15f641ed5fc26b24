/* plan.c: what of python-socketio may be done here, with which of its tables, and why not (contract in
 * conn.h).
 *
 * The plan is made by toolboxsio/plan.py, which knows python-socketio, and is made anew when the
 * watch says that something has changed. Its dicts are python-socketio's own, read at every event.
 */
#include "conn/conn.h"

int
tbx_plan_traverse(tbx_plan *plan, visitproc visit, void *arg)
{
    Py_VISIT(plan->reasons);
    Py_VISIT(plan->handlers);
    Py_VISIT(plan->namespace_handlers);
    Py_VISIT(plan->binary_packet);
    Py_VISIT(plan->rooms);
    Py_VISIT(plan->pending_connect);
    Py_VISIT(plan->pending_disconnect);
    Py_VISIT(plan->reserved_events);
    Py_VISIT(plan->json_default);
    Py_VISIT(plan->json);
    Py_VISIT(plan->trigger_event);
    Py_VISIT(plan->acknowledge);
    Py_VISIT(plan->handle_packet);
    Py_VISIT(plan->callbacks);
    Py_VISIT(plan->call_type);
    Py_VISIT(plan->report);
    Py_VISIT(plan->emit_reasons);
    Py_VISIT(plan->sockets);
    Py_VISIT(plan->emit_rooms);
    Py_VISIT(plan->emit_default);
    Py_VISIT(plan->emit_json);
    return 0;
}

void
tbx_plan_clear(tbx_plan *plan)
{
    plan->fast = false;
    Py_CLEAR(plan->reasons);
    Py_CLEAR(plan->handlers);
    Py_CLEAR(plan->namespace_handlers);
    Py_CLEAR(plan->binary_packet);
    Py_CLEAR(plan->rooms);
    Py_CLEAR(plan->pending_connect);
    Py_CLEAR(plan->pending_disconnect);
    Py_CLEAR(plan->reserved_events);
    Py_CLEAR(plan->json_default);
    Py_CLEAR(plan->json);
    Py_CLEAR(plan->trigger_event);
    Py_CLEAR(plan->acknowledge);
    Py_CLEAR(plan->handle_packet);
    Py_CLEAR(plan->callbacks);
    Py_CLEAR(plan->call_type);
    Py_CLEAR(plan->report);
    Py_CLEAR(plan->emit_reasons);
    Py_CLEAR(plan->sockets);
    Py_CLEAR(plan->emit_rooms);
    Py_CLEAR(plan->emit_default);
    Py_CLEAR(plan->emit_json);
}

/* Fills a zeroed plan with strong references. 0, or -1 with an exception and whatever it owns. */
static int
fill(tbx_plan *plan, PyObject *values)
{
    int async_handlers;
    if (!PyArg_ParseTuple(values, "pO!O!O!O!O!O!OOOnOOOO:plan", &async_handlers, &PyDict_Type,
                          &plan->handlers, &PyDict_Type, &plan->namespace_handlers, &PyDict_Type,
                          &plan->binary_packet, &PyDict_Type, &plan->rooms, &PyDict_Type,
                          &plan->pending_connect, &PyDict_Type, &plan->pending_disconnect,
                          &plan->reserved_events, &plan->json_default, &plan->trigger_event,
                          &plan->max_depth, &plan->json, &plan->handle_packet, &plan->callbacks,
                          &plan->call_type)) {
        memset(plan, 0, sizeof *plan); /* all of it is borrowed */
        return -1;
    }
    plan->async_handlers = async_handlers != 0;
    Py_INCREF(plan->handlers);
    Py_INCREF(plan->namespace_handlers);
    Py_INCREF(plan->binary_packet);
    Py_INCREF(plan->rooms);
    Py_INCREF(plan->pending_connect);
    Py_INCREF(plan->pending_disconnect);
    Py_INCREF(plan->reserved_events);
    Py_INCREF(plan->json_default);
    Py_INCREF(plan->json);
    Py_INCREF(plan->trigger_event);
    Py_INCREF(plan->handle_packet);
    Py_INCREF(plan->callbacks);
    Py_INCREF(plan->call_type);
    return 0;
}

/* The same for what emits need. */
static int
fill_emits(tbx_plan *plan, PyObject *values)
{
    PyObject *sockets, *rooms, *hook, *json;
    int manager_emits;
    if (!PyArg_ParseTuple(values, "O!O!OnpO:plan", &PyDict_Type, &sockets, &PyDict_Type, &rooms,
                          &hook, &plan->emit_depth, &manager_emits, &json)) {
        return -1;
    }
    plan->manager_emits = manager_emits;
    plan->sockets = Py_NewRef(sockets);
    plan->emit_rooms = Py_NewRef(rooms);
    plan->emit_default = Py_NewRef(hook);
    plan->emit_json = Py_NewRef(json);
    return 0;
}

int
tbx_plan_refresh(TbxHubObject *hub)
{
    tbx_plan plan, old;
    memset(&plan, 0, sizeof plan);
    PyObject *reasons, *acknowledge, *report, *values, *emit_reasons, *emits;
    int has_attachments;
    /* which watches first */
    PyObject *made = tbx_call_python(hub->state, hub->make_plan, TBX_PY_MAKE_PLAN, hub);
    if (made == NULL) {
        return -1;
    }
    int status = -1;
    if (PyArg_ParseTuple(made, "O!OOOO!Op:plan", &PyTuple_Type, &reasons, &acknowledge, &report,
                         &values, &PyTuple_Type, &emit_reasons, &emits, &has_attachments) &&
        (values == Py_None || fill(&plan, values) == 0) &&
        (emits == Py_None || fill_emits(&plan, emits) == 0)) {
        plan.fast = values != Py_None;
        plan.has_attachments = has_attachments != 0;
        plan.reasons = Py_NewRef(reasons);
        plan.emit_reasons = Py_NewRef(emit_reasons);
        plan.acknowledge = Py_NewRef(acknowledge);
        plan.report = Py_NewRef(report);
        old = hub->plan;
        hub->plan = plan;
        tbx_plan_clear(&old);
        status = 0;
    }
    else {
        tbx_plan_clear(&plan);
    }
    Py_DECREF(made);
    return status;
}

/* Makes the plan anew where it has to be. */
static void
keep_up(TbxHubObject *hub)
{
    if (!tbx_watch_holds(hub->state, &hub->watch) && tbx_plan_refresh(hub) < 0) {
        PyErr_WriteUnraisable((PyObject *)hub);
        tbx_watch_clear(&hub->watch);
        hub->plan.fast = false;
        Py_CLEAR(hub->plan.sockets);
    }
}

bool
tbx_hub_is_fast(TbxHubObject *hub)
{
    keep_up(hub);
    return hub->plan.fast;
}

bool
tbx_hub_sends(TbxHubObject *hub)
{
    keep_up(hub);
    return hub->plan.sockets != NULL;
}

/* 0, or -1 with an exception. */
static int
add_reason(PyObject *reasons, const char *text, bool is_so)
{
    PyObject *reason = is_so ? PyUnicode_FromString(text) : NULL;
    int status = reason != NULL ? PyList_Append(reasons, reason) : -(int)is_so;
    Py_XDECREF(reason);
    return status;
}

PyObject *
tbx_conn_reasons(TbxConnObject *conn)
{
    PyObject *reasons = PyList_New(0);
#define X(id, text, is_so) &&add_reason(reasons, text, sizeof(text) > 1 && (is_so)) == 0
    bool is_whole = reasons != NULL TBX_INELIGIBLE(X);
#undef X
    if (!is_whole) {
        Py_CLEAR(reasons);
    }
    return reasons;
}
