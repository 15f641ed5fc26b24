/* pump.c: the budget of a connection, and its turn when that is spent (contract in conn.h).
 *
 * What a connection does at once is what it has read: small messages of a client that waits for answers
 * never reach the end of a slice. Who has had a slice waits in one queue, first come first served, and
 * each iteration of the event loop lets every one of the queue have a turn, until its time is over: so what others have sent is read between two turns, however much one client sends. The more wait, the
 * shorter is a slice. The account is not emptied by the clock: whether the loop has turned since the last
 * read cannot be seen from here, and to wait one iteration for each slice of work costs next to nothing.
 * Owner: the queue owns its connections. Invariant: awaits_turn says that a connection is in it; while
 * there is one, pump_call is scheduled or running.
 */
#include "conn/conn.h"

/* Nanoseconds for all turns of an iteration, but for the message that ends it. */
static uint64_t
iteration_ns(const TbxHubObject *hub)
{
    return hub->slice_ns * 5 / 2;
}

/* What a connection may take now, at least. */
static uint64_t
least_ns(const TbxHubObject *hub)
{
    return hub->slice_ns / 20;
}

static uint64_t
share_ns(const TbxHubObject *hub)
{
    uint64_t share = iteration_ns(hub) / (uint64_t)(hub->n_turns + 1);
    uint64_t least = least_ns(hub);
    return share > hub->slice_ns ? hub->slice_ns : share < least ? least : share;
}

void
tbx_conn_charge(TbxConnObject *conn, uint64_t ns)
{
    conn->spent += ns;
}

bool
tbx_conn_is_spent(const TbxConnObject *conn)
{
    return conn->spent >= least_ns(conn->hub) && conn->spent >= share_ns(conn->hub);
}

/* Sees to it that the pump runs in the next iteration. 0, or -1 with an exception. */
static int
schedule(TbxHubObject *hub)
{
    if (hub->pump_due) {
        return 0;
    }
    PyObject *handle =
        PyObject_CallMethodOneArg(hub->loop, hub->state->str_call_soon, hub->pump_call);
    if (handle == NULL) {
        return -1;
    }
    Py_DECREF(handle);
    hub->pump_due = true;
    return 0;
}

/* Nobody would come for the input of a connection, and an exception says why: its session ends. */
static void
give_up(TbxConnObject *conn)
{
    if (tbx_is_loop_closed()) {
        PyErr_Clear();
        return;
    }
    PyErr_WriteUnraisable((PyObject *)conn);
    conn->discards = true;
    if (conn->path == TBX_PATH_DIRECT) {
        tbx_conn_peer_left(conn);
    }
    tbx_conn_abort(conn);
    tbx_conn_end_later(conn);
}

void
tbx_conn_await_turn(TbxConnObject *conn)
{
    TbxHubObject *hub = conn->hub;
    if (conn->awaits_turn || hub->loop == NULL) {
        return;
    }
    tbx_exc raised = tbx_exc_save();
    conn->awaits_turn = true; /* nothing of it comes here again */
    if (schedule(hub) < 0) {
        give_up(conn);
        conn->awaits_turn = false;
    }
    else {
        conn->next_turn = NULL;
        if (hub->last_turn != NULL) {
            hub->last_turn->next_turn = (TbxConnObject *)Py_NewRef(conn);
        }
        else {
            hub->turns = (TbxConnObject *)Py_NewRef(conn);
        }
        hub->last_turn = conn;
        hub->n_turns++;
    }
    tbx_exc_restore(raised);
}

/* Takes the first one out of the queue: a new reference, or NULL. */
static TbxConnObject *
take(TbxHubObject *hub)
{
    TbxConnObject *conn = hub->turns;
    if (conn != NULL) {
        hub->turns = conn->next_turn;
        hub->last_turn = hub->turns == NULL ? NULL : hub->last_turn;
        hub->n_turns--;
        conn->next_turn = NULL;
        conn->awaits_turn = false;
        conn->spent = 0;
    }
    return conn;
}

/* The turn of a connection. 0, or -1 with an exception that is for the loop. */
static int
give_turn(TbxConnObject *conn)
{
    bool has_reader = conn->path == TBX_PATH_ASGI;
    if (conn->busy || (has_reader && !tbx_conn_has_posts(conn)) || tbx_conn_go_on(conn) == 0) {
        if (has_reader && !conn->busy && !tbx_conn_has_posts(conn)) {
            tbx_conn_resume_reader(conn);
        }
        return 0;
    }
    if (conn->path == TBX_PATH_DIRECT && PyErr_ExceptionMatches(PyExc_Exception)) {
        tbx_exc raised = tbx_exc_save();
        tbx_conn_abort(conn);
        tbx_exc_restore(raised);
    }
    return -1;
}

int
tbx_hub_pump(TbxHubObject *hub)
{
    hub->pump_due = false;
    uint64_t end = tbx_clock_monotonic_ns() + iteration_ns(hub);
    Py_ssize_t n = hub->n_turns; /* who comes meanwhile has the next iteration */
    int status = 0;
    while (n-- > 0 && status == 0 && hub->turns != NULL) {
        TbxConnObject *conn = take(hub);
        status = give_turn(conn);
        Py_DECREF(conn);
        if (tbx_clock_monotonic_ns() >= end) {
            break;
        }
    }
    if (hub->turns != NULL && hub->loop != NULL) {
        tbx_exc raised = tbx_exc_save();
        TbxConnObject *conn;
        while (schedule(hub) < 0 && (conn = take(hub)) != NULL) {
            give_up(conn);
            Py_DECREF(conn);
        }
        tbx_exc_restore(raised);
    }
    return status;
}

bool
tbx_hub_leave_turns(TbxHubObject *hub, TbxConnObject *conn)
{
    TbxConnObject *before = NULL;
    for (TbxConnObject **place = &hub->turns; *place != NULL; place = &(*place)->next_turn) {
        if (*place == conn) {
            *place = conn->next_turn;
            hub->last_turn = hub->last_turn == conn ? before : hub->last_turn;
            hub->n_turns--;
            conn->next_turn = NULL;
            conn->awaits_turn = false;
            Py_DECREF(conn); /* who moves it has it, too */
            return true;
        }
        before = *place;
    }
    return false;
}

void
tbx_hub_drop_turns(TbxHubObject *hub)
{
    TbxConnObject *conn;
    while ((conn = take(hub)) != NULL) {
        Py_DECREF(conn);
    }
}
