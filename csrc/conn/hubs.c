/* hubs.c: the hubs of one server, one for each event loop on which it has clients (contract in conn.h).
 *
 * A list that begins at the root and owns its hubs. A hub whose loop is closed is taken out when the next
 * one is made (toolboxsio/_hubs.py), and lives on with the connections that are left of it.
 * Threads: any; the list is only walked and changed where no other thread can run.
 */
#include "conn/conn.h"

TbxHubObject *
tbx_hub_here(TbxHubObject *hub)
{
    PyObject *loop = PyObject_CallNoArgs(hub->state->get_running_loop);
    if (loop == NULL && !PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        return NULL;
    }
    PyErr_Clear();    /* no loop runs here */
    Py_XDECREF(loop); /* it runs: compared, not used */
    if (loop != NULL && loop == hub->loop) {
        return (TbxHubObject *)Py_NewRef(hub);
    }
    TbxHubObject *root = tbx_hub_root(hub);
    for (TbxHubObject *one = root->next_hub; one != NULL && loop != NULL; one = one->next_hub) {
        if (one->loop == loop) {
            return (TbxHubObject *)Py_NewRef(one);
        }
    }
    return (TbxHubObject *)Py_NewRef(root);
}

void
tbx_hub_join(TbxHubObject *root, TbxHubObject *hub)
{
    hub->root = (TbxHubObject *)Py_NewRef(root);
    hub->next_hub = root->next_hub;
    root->next_hub = (TbxHubObject *)Py_NewRef(hub);
}

PyObject *
tbx_hub_list(TbxHubObject *hub)
{
    PyObject *list = PyList_New(0); /* first: it may collect */
    TbxHubObject *one = tbx_hub_root(hub)->next_hub;
    for (; list != NULL && one != NULL; one = one->next_hub) {
        if (PyList_Append(list, (PyObject *)one) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

void
tbx_hub_part(TbxHubObject *hub, TbxHubObject *other)
{
    TbxHubObject **place = &tbx_hub_root(hub)->next_hub;
    while (*place != NULL && *place != other) {
        place = &(*place)->next_hub;
    }
    if (*place != NULL) {
        *place = other->next_hub;
        other->next_hub = NULL;
        Py_DECREF(other);
    }
}

PyObject *
tbx_conn_elsewhere(TbxConnObject *conn)
{
    TbxHubObject *hub = conn->hub;
    PyObject *loop = PyObject_CallNoArgs(hub->state->get_running_loop);
    bool is_here = loop != NULL && loop == hub->loop;
    Py_XDECREF(loop);
    PyErr_Clear(); /* who cannot know posts to the hub, which asks again */
    if (is_here || hub->loop == NULL) {
        Py_RETURN_NONE;
    }
    if (conn->path == TBX_PATH_POLLING) {
        loop = Py_NewRef(hub->loop);
        PyObject *closed = PyObject_CallMethod(loop, "is_closed", NULL);
        Py_DECREF(loop);
        int is_closed = closed != NULL ? PyObject_IsTrue(closed) : -1;
        Py_XDECREF(closed);
        if (is_closed != 0) {
            return is_closed < 0 ? NULL : Py_NewRef(Py_None);
        }
    }
    return Py_NewRef(conn->hub);
}

static void
move_deadline(TbxHubObject *hub, tbx_deadline *node)
{
    if (node->next != NULL) {
        double left = node->due - tbx_now();
        tbx_deadline_set(hub, node, node->kind, left > 0 ? left : 0);
    }
}

/* What waits for the client does not leave by a loop that is closed. */
static void
leave_dirty(TbxHubObject *hub, TbxConnObject *conn)
{
    for (TbxConnObject **place = &hub->dirty; *place != NULL; place = &(*place)->next_dirty) {
        if (*place == conn) {
            *place = conn->next_dirty;
            conn->next_dirty = NULL;
            conn->is_dirty = false;
            Py_DECREF(conn); /* who moves it has it, too */
            return;
        }
    }
}

int
tbx_hub_take(TbxHubObject *hub, TbxConnObject *conn)
{
    if (conn->path != TBX_PATH_POLLING || conn->parsing) {
        PyErr_SetString(PyExc_RuntimeError, "the connection cannot be moved");
        return -1;
    }
    TbxHubObject *old = conn->hub;
    leave_dirty(old, conn);
    (void)tbx_hub_leave_turns(old, conn);
    conn->busy = false; /* what it waits for does not end any more */
    conn->hub = (TbxHubObject *)Py_NewRef(hub);
    old->n_connections--;
    hub->n_connections++;
    move_deadline(hub, &conn->beat);
    move_deadline(hub, &conn->life);
    Py_DECREF(old); /* it has the heads of the lists that the deadlines were in */
    if (tbx_conn_has_posts(conn)) {
        tbx_conn_await_turn(conn);
    }
    return 0;
}
