/* conn_state.c: the states of a connection, and the moves between them (contract in conn.h).
 *
 *   OPEN ------> CLOSING      OPEN     messages come and go
 *     |  <······    |         CLOSING  the session is over, or nearly: no event is begun in C, answers are
 *     v             v                  Python's; the client is to leave
 *   LEFT ------> GONE         LEFT     the peer has left; what it sent before is still handled
 *     |             |         GONE     both
 *     +--> ENDING <-+         ENDING   its end is being told to the application
 *            |   ······> GONE
 *            v                OVER     released: no socket, no transport
 *          OVER
 *
 * Each state but OVER may go to OVER. A dotted move takes back what failed: a session that could not be
 * given up, an end that could not be told for lack of memory. Polling connections know OPEN, CLOSING and
 * OVER alone.
 */
#include "conn/conn.h"

#define TO(name) (1u << TBX_STATE_##name)

static const unsigned moves[TBX_N_STATES] = {
    [TBX_STATE_OPEN] = TO(CLOSING) | TO(LEFT) | TO(OVER),
    [TBX_STATE_CLOSING] = TO(OPEN) | TO(GONE) | TO(OVER),
    [TBX_STATE_LEFT] = TO(GONE) | TO(ENDING) | TO(OVER),
    [TBX_STATE_GONE] = TO(ENDING) | TO(OVER),
    [TBX_STATE_ENDING] = TO(GONE) | TO(OVER),
    [TBX_STATE_OVER] = 0,
};

static const char *const names[TBX_N_STATES] = {
#define X(name, text) text,
    TBX_STATES(X)
#undef X
};

PyObject *
tbx_state_name(tbx_state state)
{
    return PyUnicode_FromString(names[state]);
}

PyObject *
tbx_state_moves(void)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < TBX_N_STATES * TBX_N_STATES; i++) {
        int from = i / TBX_N_STATES, to = i % TBX_N_STATES;
        if ((moves[from] & 1u << to) == 0) {
            continue;
        }
        PyObject *move = Py_BuildValue("(ss)", names[from], names[to]);
        if (move == NULL || PyList_Append(list, move) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(move);
    }
    return list;
}

void
tbx_conn_move(TbxConnObject *conn, tbx_state to)
{
    if (conn->state == to) {
        return;
    }
    if ((moves[conn->state] & 1u << to) == 0) {
#ifdef TBX_DEBUG
        Py_FatalError("a connection made a move that is not in the table of conn_state.c");
#else
        return;
#endif
    }
    conn->state = (uint8_t)to;
}

void
tbx_conn_begin_closing(TbxConnObject *conn)
{
    if (!tbx_conn_is_closing(conn)) {
        tbx_conn_move(conn, conn->state == TBX_STATE_LEFT ? TBX_STATE_GONE : TBX_STATE_CLOSING);
    }
}

void
tbx_conn_peer_left(TbxConnObject *conn)
{
    if (!tbx_conn_is_left(conn)) {
        tbx_conn_move(conn, tbx_conn_is_closing(conn) ? TBX_STATE_GONE : TBX_STATE_LEFT);
    }
}
