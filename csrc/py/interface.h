/* interface.h: what of this package's Python is called from C, each call declared once.
 *
 * A row is a method of a protocol class in toolboxsio/_interface.py, where it is told when it is called
 * and what it may do; toolboxsio/_core.pyi says where the objects come from. tests/unit/test_interface.py
 * compares the three. What belongs to others (event loops, transports, zlib, bidict, an application's
 * handlers) is called by its own names, not from here.
 */
#ifndef TBX_PY_INTERFACE_H
#define TBX_PY_INTERFACE_H

#include "py/compat.h"

/* X(id, protocol, name, arguments as Py_BuildValue takes them; "": an attribute that is read). Those that
 * return a coroutine say so, the others return None. */
#define TBX_METHODS(X)                                                                             \
    /* the connection of the session, or None */                                                   \
    X(CONN, SessionInterface, conn, "")                                                            \
    /* a deadline has passed; kind: tbx_due_kind */                                                \
    X(DEADLINE, SessionInterface, _deadline, "(i)")                                                \
    /* more output waits than may, `waiting` bytes; is_over: the session is to end */              \
    X(BACKLOG, SessionInterface, _backlog, "(nO)")                                                 \
    /* a message that is not handled in C, str or bytes; a coroutine */                            \
    X(MESSAGE, SessionInterface, _receive_lane, "(O)")                                             \
    /* ASGI: the client's next message may be read */                                              \
    X(RESUME, SessionInterface, _resume_reading, "()")                                             \
    /* ASGI: the reader of messages is to end, at_once */                                          \
    X(INTERRUPT, SessionInterface, _interrupt, "(O)")                                              \
    /* ASGI: output waits in these sessions, a list of which this is the first */                  \
    X(DRAIN, SessionInterface, _drain_soon, "(O)")                                                 \
    /* polling: messages wait, for Connection.take_messages() */                                   \
    X(OUTPUT, SessionInterface, _output_ready, "()")                                               \
    /* polling: the packets of this POST were handled */                                           \
    X(POSTED, PostInterface, done, "()")                                                           \
    /* the client has broken the WebSocket protocol: close code, reason */                         \
    X(BROKEN, SessionInterface, _broken, "(Is)")                                                   \
    /* the web server closes its connections */                                                    \
    X(STOP, SessionInterface, _server_stops, "()")                                                 \
    /* the WebSocket is closed, and its input was handled; a coroutine */                          \
    X(OVER, SessionInterface, _connection_over, "()")                                              \
    /* uvicorn: this connection is lost */                                                         \
    X(LEFT, WebServerInterface, left, "(O)")                                                       \
    /* an application's JSON; returns a str, a value */                                            \
    X(DUMPS, JSONInterface, dumps, "(O)")                                                          \
    X(LOADS, JSONInterface, loads, "(O)")

/* The same of objects that are called themselves. */
#define TBX_CALLABLES(X)                                                                           \
    /* what may be done in C: hub; a tuple, see conn/plan.c */                                     \
    X(MAKE_PLAN, MakePlan, __call__, "(O)")                                                        \
    /* sends an answer in Python: eio_sid, namespace, id, answer; a coroutine */                   \
    X(ACKNOWLEDGE, Acknowledge, __call__, "(OOKO)")                                                \
    /* session, type, namespace or None, id or None, data; a coroutine */                          \
    X(HANDLE_PACKET, HandlePacket, __call__, "(OiOOO)")                                            \
    /* logs: exception, tbx_failed, event, namespace, sid, is_own_task */                          \
    X(REPORT, Report, __call__, "(OiOOOO)")

#define TBX_INTERFACE(X) TBX_METHODS(X) TBX_CALLABLES(X)

#define X(id, protocol, name, args) TBX_PY_##id,
typedef enum { TBX_INTERFACE(X) TBX_PY_NAMES } tbx_py_name;
#undef X

#endif
