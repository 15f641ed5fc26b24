/* deadlines.c: one timer for all the deadlines of a server's clients (contract in conn.h).
 *
 * A list for each kind, sorted by `due`: since the deadlines of a kind are mostly equally far away, a
 * new one goes to the end at once. The timer stands at the earliest head, a little later so that
 * deadlines close to each other are handled together.
 */
#include "conn/conn.h"

#include <stddef.h>

#define NEVER 1e18
#define MAX_SLACK 0.05 /* seconds */

double
tbx_now(void)
{
    return (double)tbx_clock_monotonic_ns() * 1e-9;
}

void
tbx_deadlines_init(TbxHubObject *hub)
{
    for (int kind = 0; kind < TBX_DUE_KINDS; kind++) {
        hub->lists[kind].next = hub->lists[kind].prev = &hub->lists[kind];
    }
    hub->timer_due = NEVER;
}

/* How late a deadline may be handled, so that others which are due soon are handled with it. Not at all
 * where a client is told when it is: a PONG must be here in time, and a client that answers never lets it
 * come to that. */
static double
slack_of(const TbxHubObject *hub, tbx_due_kind kind)
{
    double slack = kind == TBX_DUE_PONG ? 0 : hub->after[kind] / 50;
    return slack < MAX_SLACK ? slack : MAX_SLACK;
}

/* Sees to it that the timer fires for a deadline, or before. */
static void
arm(TbxHubObject *hub, const tbx_deadline *node)
{
    TbxState *state = hub->state;
    double due = node->due + slack_of(hub, node->kind);
    if (hub->timer_due <= due || hub->loop == NULL) {
        return;
    }
    if (hub->timer != NULL) {
        PyObject *done = PyObject_CallMethodNoArgs(hub->timer, state->str_cancel);
        if (done == NULL) { /* it fires once too often */
            PyErr_WriteUnraisable(hub->timer);
        }
        Py_XDECREF(done);
        Py_CLEAR(hub->timer);
    }
    double delay = due - tbx_now();
    PyObject *seconds = PyFloat_FromDouble(delay > 0 ? delay : 0);
    PyObject *timer = NULL;
    if (seconds != NULL) {
        timer = PyObject_CallMethodObjArgs(hub->loop, state->str_call_later, seconds,
                                           hub->tick_call, NULL);
        Py_DECREF(seconds);
    }
    hub->timer_due = timer != NULL ? due : NEVER;
    Py_XSETREF(hub->timer, timer); /* one set meanwhile, by what was collected: it fires, too */
    if (PyErr_Occurred() && tbx_is_loop_closed()) {
        PyErr_Clear();
    }
    else if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(hub->loop);
    }
}

void
tbx_deadline_stop(tbx_deadline *node)
{
    if (node->next != NULL) {
        node->next->prev = node->prev;
        node->prev->next = node->next;
        node->next = node->prev = NULL;
    }
}

void
tbx_deadline_set(TbxHubObject *hub, tbx_deadline *node, tbx_due_kind kind, double seconds)
{
    tbx_deadline_stop(node);
    if (seconds < 0) {
        seconds = hub->after[kind];
        if (seconds <= 0) {
            return;
        }
    }
    node->kind = kind;
    node->due = tbx_now() + seconds;
    tbx_deadline *after = hub->lists[kind].prev;
    while (after != &hub->lists[kind] && after->due > node->due) {
        after = after->prev;
    }
    node->prev = after;
    node->next = after->next;
    after->next->prev = node;
    after->next = node;
    arm(hub, node);
}

void
tbx_conn_await_pong(TbxConnObject *conn)
{
    TbxHubObject *hub = conn->hub;
    double late = 0;
    conn->heard = false;
    if (conn->state != TBX_STATE_OPEN || hub->after[TBX_DUE_PONG] <= 0) {
        return;
    }
    if (conn->beat.kind == TBX_DUE_PING) {
        double slack =
            slack_of(hub, TBX_DUE_PING); /* a loop that was held up is not the client's */
        late = tbx_now() - conn->beat.due;
        late = late < 0 ? 0 : late > slack ? slack : late;
    }
    double seconds = hub->after[TBX_DUE_PONG] - late;
    tbx_deadline_set(hub, &conn->beat, TBX_DUE_PONG, seconds > 0 ? seconds : 0);
}

/* The connection that a node is in. */
static TbxConnObject *
owner(tbx_deadline *node, tbx_due_kind kind)
{
    bool is_beat = kind == TBX_DUE_PING || kind == TBX_DUE_PONG;
    size_t offset = is_beat ? offsetof(TbxConnObject, beat) : offsetof(TbxConnObject, life);
    return (TbxConnObject *)(void *)((char *)node - offset);
}

static void
fire(TbxConnObject *conn, tbx_due_kind kind)
{
    TbxHubObject *hub = conn->hub;
    if (conn->state == TBX_STATE_LEFT ||
        conn->state == TBX_STATE_GONE) { /* input is still to be handled, or the end failed */
        if (conn->busy) {
            tbx_deadline_set(hub, &conn->life, TBX_DUE_LEAVE, -1);
        }
        else {
            (void)tbx_conn_end(conn);
        }
    }
    else if (kind == TBX_DUE_PING && conn->path != TBX_PATH_ASGI &&
             tbx_conn_eligibility(conn) == TBX_FAST) {
        tbx_conn_await_pong(conn);
        if (tbx_conn_put(conn, true, (const uint8_t *)"2", 1) == 0) {
            tbx_conn_has_output(conn);
        }
    }
    else if ((kind == TBX_DUE_LEAVE || kind == TBX_DUE_CLOSE) && conn->transport != NULL) {
        bool is_closed = conn->output != TBX_OUTPUT_OPEN;
        if (conn->output == TBX_OUTPUT_HUNG_UP || (is_closed && !conn->can_write)) {
            tbx_conn_abort(conn); /* it does not even read */
        }
        else {
            tbx_conn_close(conn, is_closed ? 0 : 1000, NULL, 0);
        }
    }
    else if (conn->socket != NULL) {
        if (kind == TBX_DUE_CONNECT && !tbx_ws_reader_is_idle(&conn->reader)) {
            conn->is_partial = true; /* a message has come in the shadow of this one */
            tbx_deadline_set(hub, &conn->life, TBX_DUE_MESSAGE, -1);
        }
        PyObject *done = tbx_call_python(hub->state, conn->socket, TBX_PY_DEADLINE, (int)kind);
        Py_XDECREF(done);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable((PyObject *)conn);
    }
}

void
tbx_hub_rest(TbxHubObject *hub)
{
    for (int kind = 0; kind < TBX_DUE_KINDS; kind++) {
        if (hub->lists[kind].next != &hub->lists[kind]) {
            return;
        }
    }
    if (hub->timer != NULL) {
        PyObject *done = PyObject_CallMethodNoArgs(hub->timer, hub->state->str_cancel);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)hub);
        }
        Py_XDECREF(done);
        Py_CLEAR(hub->timer);
    }
    hub->timer_due = NEVER;
}

void
tbx_hub_tick(TbxHubObject *hub)
{
    Py_CLEAR(hub->timer);
    hub->timer_due = 0; /* nobody arms it meanwhile */
    double now = tbx_now();
    for (int kind = 0; kind < TBX_DUE_KINDS; kind++) {
        tbx_deadline *head = &hub->lists[kind];
        while (head->next != head && head->next->due <= now) {
            tbx_deadline *node = head->next;
            TbxConnObject *conn = owner(node, (tbx_due_kind)kind);
            Py_INCREF(conn);
            tbx_deadline_stop(node);
            fire(conn, (tbx_due_kind)kind);
            Py_DECREF(conn);
        }
    }
    hub->timer_due = NEVER;
    for (int kind = 0; kind < TBX_DUE_KINDS; kind++) {
        tbx_deadline *head = &hub->lists[kind];
        if (head->next != head) {
            arm(hub, head->next);
        }
    }
}
