/* conn.h: the structs of this floor and what its files offer each other.
 *
 * A Hub belongs to one server on one event loop and owns what its connections share: the plan (which
 * steps of python-socketio may be done here), the read buffer, the lists of deadlines, the list of
 * connections with output. A server has a root hub, without a loop and without connections, which owns
 * the others and counts their events; emits on a loop on which the server has no clients are the root's.
 * A Connection is the C half of one Engine.IO session. A Call is a coroutine: one handler at work, or one
 * packet that Python handles.
 * Ownership: a Connection owns its Hub, a Call its Connection; the list of those with output and the
 * queue of those that wait for a turn own them, the lists of deadlines do not, and a Connection leaves
 * them when it is over. Threads: a hub and its connections are used on the thread of their event loop
 * alone, but for what only reads; the root on any: what may run Python may let another thread run.
 * Escapes: handlers are called by call_type.c and the eager_*.c; an application's
 * JSON, json_default and keys wherever data is read, written or compared; the event loop, the transport
 * and toolboxsio's own Python anywhere. Until Python 3.11 what allocates may collect, and so escapes too.
 * A Connection that is entered again while it reads keeps the bytes (`held`) until it is through.
 */
#ifndef TBX_CONN_CONN_H
#define TBX_CONN_CONN_H

#include "py/state.h" /* Python.h comes first */

#include "base/clock.h"
#include "base/histogram.h"
#include "codec/json_enc.h"
#include "conn/eager.h"
#include "conn/watch.h"
#include "wire/sio.h"
#include "wire/ws_message.h"

/* ---- deadlines ---- */

typedef enum {
    TBX_DUE_PING,    /* an Engine.IO PING is to be sent */
    TBX_DUE_PONG,    /* the answer to it should be here */
    TBX_DUE_CONNECT, /* the client should have joined a namespace */
    TBX_DUE_MESSAGE, /* a message that came in pieces should be whole */
    TBX_DUE_LEAVE,   /* the session is over: the client should have gone by itself */
    TBX_DUE_CLOSE,   /* it should have answered a CLOSE frame */
    TBX_DUE_KINDS,
} tbx_due_kind;

/* A node of one of the hub's lists; `next` is NULL when it is in none. */
typedef struct tbx_deadline {
    struct tbx_deadline *next, *prev;
    double due; /* seconds of the monotonic clock */
    tbx_due_kind kind;
} tbx_deadline;

/* ---- structs ---- */

typedef enum {
    TBX_PATH_POLLING, /* no WebSocket yet */
    TBX_PATH_ASGI,    /* messages through receive() and send() */
    TBX_PATH_DIRECT,  /* an asyncio transport */
} tbx_path;

/* The states of a connection: X(name, what Python calls it). conn_state.c has the moves, and what each means. */
#define TBX_STATES(X)                                                                              \
    X(OPEN, "open")                                                                                \
    X(CLOSING, "closing")                                                                          \
    X(LEFT, "left")                                                                                \
    X(GONE, "gone")                                                                                \
    X(ENDING, "ending")                                                                            \
    X(OVER, "over")

#define X(name, text) TBX_STATE_##name,
typedef enum { TBX_STATES(X) TBX_N_STATES } tbx_state;
#undef X

/* Whether anything leaves: what follows has all that comes before it. */
typedef enum {
    TBX_OUTPUT_OPEN,
    TBX_OUTPUT_CLOSED,  /* a CLOSE frame was put, or the session is given up: nothing else is put */
    TBX_OUTPUT_HUNG_UP, /* the transport was told to close, when all that was written has left */
} tbx_output;

/* What plan() of the server told; valid while the watch says so. */
typedef struct {
    bool fast;           /* events may be dispatched here */
    bool async_handlers; /* a task for each event */
    PyObject *reasons;   /* owned tuple of str: why not */
    PyObject *handlers;  /* owned dict, as the rest */
    PyObject *namespace_handlers;
    PyObject *binary_packet; /* clients whose packet waits for attachments */
    PyObject *rooms;
    PyObject *pending_connect;
    PyObject *pending_disconnect;
    PyObject *reserved_events; /* owned sequence */
    PyObject *json_default;    /* owned; None: none */
    PyObject *json; /* owned: the application's; dumps() and loads() take one argument and give
                     * and take a str; None: ours */
    PyObject *trigger_event; /* owned: AsyncNamespace.trigger_event as it was */
    PyObject *acknowledge;   /* owned: (eio_sid, namespace, id, answer) -> coroutine */
    PyObject *handle_packet; /* owned: (session, type, namespace, id, data) -> coroutine */
    PyObject *callbacks; /* owned dict: sid -> id -> callback; None: the application handles them */
    PyObject *call_type; /* owned: the class of callbacks of call() */
    PyObject *report;    /* owned: (exception, what has failed, event, namespace, sid, whether in
                              * a task of its own), which logs it */
    Py_ssize_t max_depth;
    bool has_attachments;   /* bytes in data become attachments; else they are JSON's to refuse */
    PyObject *emit_reasons; /* owned tuple of str: why emits may not leave from here */
    PyObject *sockets;      /* owned dict: eio_sid -> EngineSocket; NULL: they may not */
    PyObject *emit_rooms;   /* owned dict: as rooms */
    PyObject *emit_default; /* owned: as json_default */
    PyObject *emit_json;    /* owned: as json */
    Py_ssize_t emit_depth;
    bool manager_emits; /* the manager's emit() is ours: an emit of the server may pass it by */
} tbx_plan;

/* The handling of one event: its durations, from its reading to its answer. */
typedef struct {
    PyObject *ns;    /* owned str; "*": of a catch-all */
    PyObject *event; /* the same */
    uint64_t n_failed;
    tbx_histogram durations;
} tbx_event_entry;

typedef struct {
    PyObject *numbers;         /* owned dict: namespace -> event -> number of the entry */
    tbx_event_entry **entries; /* owned, as what it points to */
    Py_ssize_t n, cap;
} tbx_event_stats;

typedef struct TbxConnObject TbxConnObject;

typedef struct TbxHubObject {
    PyObject_HEAD TbxState *state; /* borrowed from the module, which the type keeps */
    struct TbxHubObject *root;     /* owned; NULL: it is the root */
    struct TbxHubObject *next_hub; /* owned: the next of the server's; the root owns the first */
    PyObject *loop;                /* owned; None: it is the root */
    PyObject *posts;               /* owned, or NULL: calls of other threads, which Python keeps */
    PyObject *tasks;               /* owned set: tasks that wait, which the loop holds weakly */
    tbx_eager *eager;              /* owned */
    PyObject *make_plan;           /* owned: (hub) -> tuple */
    PyObject *compressors;         /* owned dict: window bits -> zlib.compressobj */
    PyObject *flush_call;          /* owned: bound tbx_hub_flush */
    PyObject *tick_call;           /* owned: bound tbx_hub_tick */
    PyObject *raise_call;          /* owned: bound, raises what it is given */
    PyObject *timer;               /* owned TimerHandle, or NULL */
    double timer_due;
    tbx_watch watch;
    tbx_plan plan;
    tbx_deadline lists[TBX_DUE_KINDS]; /* heads; a node's due never lies before its predecessor's */
    double after[TBX_DUE_KINDS];       /* seconds from the event to the deadline; 0: none */
    TbxConnObject *dirty;              /* owned list: output to be written; linked by next_dirty */
    bool flush_due;                    /* flush_call is scheduled */
    TbxConnObject *turns, *last_turn;  /* owned queue: input to be handled; linked by next_turn */
    Py_ssize_t n_turns;                /* connections in it */
    PyObject *pump_call;               /* owned: bound tbx_hub_pump */
    bool pump_due;                     /* pump_call is scheduled */
    uint64_t slice_ns; /* what one connection, or messages of Redis, may take in an iteration */
    TbxConnObject *reading; /* borrowed: who parses `buffer` now */
    PyObject *bytes;        /* owned bytearray of TBX_READ_SIZE, or NULL before the first read */
    PyObject *view;         /* owned memoryview of it */
    Py_ssize_t max_size;    /* bytes of a message */
    Py_ssize_t max_backlog;
    bool keeps_slow; /* a client with more than that is told to Python, and kept to twice as much */
    Py_ssize_t max_running;          /* handlers of one client before its input waits */
    Py_ssize_t max_running_bytes;    /* bytes of the messages that they handle */
    Py_ssize_t max_fragments;        /* frames of one message */
    Py_ssize_t max_attachments;      /* of a packet */
    Py_ssize_t max_attachment_bytes; /* all of them */
    Py_ssize_t max_control; /* control frames, and PONGs of Engine.IO, of a client in one second */
    bool stopping;          /* no event is handled any more */
    Py_ssize_t compression_threshold;
    Py_ssize_t n_connections;
    size_t n_emits, emitted; /* emits, and bytes put by them, since the loop has turned */
    tbx_event_stats events;  /* of the root alone */
} TbxHubObject;

struct TbxConnObject {
    PyObject_HEAD TbxHubObject *hub; /* owned */
    PyObject *socket;                /* owned EngineSocket; NULL when over */
    tbx_watch_keys socket_keys;      /* its class, and methods put into its dict */
    PyObject *sid;                   /* owned str: of the Engine.IO session */
    PyObject *transport;             /* owned; NULL unless direct */
    PyObject *context; /* owned contextvars.Context: of what is read; NULL with ASGI, or
                                      * where nothing is */
    PyObject
        *outbox; /* owned list: texts and bytes that wait for send(), from `sent` on (ASGI), or for
                       * a poll; NULL: none, and with ASGI nothing is put any more */
    PyObject
        *posts; /* owned list of (payload, who waits, context): POSTs not handled yet; or NULL */
    Py_ssize_t post_at; /* bytes of the first of them that are */
    PyObject *server;   /* owned: uvicorn's connections and tasks, see toolboxsio/uvicorn.py */
    PyObject *inflate;  /* owned zlib.decompressobj, or NULL */
    PyObject *awaited;  /* owned: a coroutine for who reads, see tbx_conn_run, or NULL */
    PyObject *spare;    /* owned: a buffer of its own while the shared one is in use, or NULL */
    tbx_ws_reader reader;
    tbx_deadline beat;         /* PING or PONG */
    tbx_deadline life;         /* CONNECT, MESSAGE, LEAVE or CLOSE */
    TbxConnObject *next_dirty; /* owned by the list while is_dirty */
    TbxConnObject *next_turn;  /* owned by the queue while awaits_turn */
    uint64_t spent;            /* nanoseconds since its last turn: see tbx_conn_charge */
    PyObject *shared;          /* owned bytes: frames that stand before `out`, or NULL */
    uint8_t *out;              /* owned: frames that are not written yet */
    size_t out_len, out_cap;
    uint8_t *held; /* owned: bytes that wait until `busy` or `parsing` is over */
    size_t held_len, held_cap;
    Py_ssize_t
        in_transport;   /* bytes that waited in the transport when it paused us; 0: it has not */
    Py_ssize_t largest; /* bytes of the largest message since nothing waited */
    Py_ssize_t sent;    /* of the outbox: those before it are on their way */
    Py_ssize_t running; /* handlers that are not through */
    Py_ssize_t running_bytes; /* bytes of the messages that they handle */
    Py_ssize_t n_calls;       /* calls that wait for an acknowledgement of the client */
    Py_ssize_t message_bytes; /* of the message that is being handled, attachments included */
    Py_ssize_t max_size;
    uint32_t control_second; /* of the monotonic clock, in which */
    uint32_t n_control;      /* so many control frames came */
    uint8_t path;            /* tbx_path */
    uint8_t state;           /* tbx_state; set by conn_state.c alone */
    uint8_t output;          /* tbx_output */
    uint8_t window_bits;     /* of permessage-deflate, our side; 0: not negotiated */
    bool keeps_inflate;      /* the client's compressor keeps its window */
    bool stock;              /* as far as is known: see tbx_conn_is_stock */
    bool busy;               /* a packet is being handled in Python: what follows it is held */
    bool parsing;
    bool awaits_turn; /* it is in the hub's queue: what comes is held */
    bool is_dirty;
    bool is_slow;           /* more than max_backlog waits, and Python knows */
    bool draining;          /* ASGI: a message of the outbox is being sent: the next one waits */
    bool is_polled;         /* somebody waits for output, and is told of it */
    bool can_write;         /* the transport has not paused us */
    bool paused;            /* we have paused reading */
    bool discards;          /* nothing that comes is read: the client has sent CLOSE, or nonsense */
    bool heard;             /* a message came since the last PING */
    bool is_flooded;        /* more control frames came than may */
    bool awaits_attachment; /* the deadline of kind MESSAGE is an attachment's */
    bool is_partial; /* the deadline of kind MESSAGE is the reader's, not that of attachments */
};

typedef struct {
    PyObject_HEAD TbxConnObject *conn; /* owned */
    PyObject *callee;  /* owned: handler, bound trigger_event, namespace handler; NULL: started */
    PyObject *sid;     /* owned, or NULL */
    PyObject *ns;      /* owned str */
    PyObject *data;    /* owned list [event, *args]; NULL when started */
    PyObject *name;    /* owned str: of the event; NULL when started */
    PyObject *inner;   /* owned: the coroutine that is awaited, or NULL */
    PyObject *task;    /* borrowed from the hub's tasks, where it is until the end; or NULL */
    PyObject *context; /* owned: what each step enters, where the task has only a copy; or NULL */
    PyObject *weakrefs;
    Py_ssize_t event; /* its number for tbx_event_count, -1: none */
    Py_ssize_t size;  /* bytes of its message */
    uint64_t id;
    uint64_t began; /* tbx_clock_monotonic_ns() */
    bool has_id;
    uint8_t kind;    /* tbx_call_kind */
    uint8_t phase;   /* tbx_call_phase */
    bool swallows;   /* a CancelledError of the handler is an answer of None */
    bool with_event; /* catch-all of events, of namespaces: */
    bool with_ns;    /* what stands before sid */
    bool ordered;    /* the connection waits for it (async_handlers=False) */
    bool running;    /* it is being sent into */
} TbxCallObject;

typedef enum {
    TBX_CALL_HANDLER,
    TBX_CALL_NAMESPACE,
    TBX_CALL_TRIGGER,
    TBX_CALL_LANE
} tbx_call_kind;
/* What of a handler has failed, as toolboxsio/_failures.py numbers it. */
typedef enum { TBX_FAILED_HANDLER, TBX_FAILED_ANSWER, TBX_FAILED_START } tbx_failed;
typedef enum { TBX_PHASE_NEW, TBX_PHASE_WAITING, TBX_PHASE_ANSWER, TBX_PHASE_DONE } tbx_call_phase;

#ifdef TBX_DEBUG
#define TBX_READ_SIZE 512 /* so that messages are cut in the ordinary tests */
#else
#define TBX_READ_SIZE (64 * 1024)
#endif
#define TBX_SLICE_NS UINT64_C(2000000) /* nanoseconds, see pump.c */
#define TBX_OUT_MAX (256 * 1024)       /* bytes that one read may produce before they are written */
#define TBX_EMITS_MAX 256              /* in a turn of the loop, before their task lets it turn */
#define TBX_EMITTED_MAX (256 * 1024)   /* bytes put by them */
#define TBX_HELD_MAX (64 * 1024)       /* bytes of input that wait before reading pauses */
#define TBX_POSTS_MAX 16               /* POSTs of a session that wait to be handled */
#define TBX_CALLS_FACTOR 32 /* of max_running_bytes, or max_size, where handlers call() */
#define TBX_EVENTS_MAX 1000 /* events that are counted by themselves */

/* ---- hub_type.c, plan.c ---- */

extern PyType_Spec tbx_hub_spec;

/* Whether events may be dispatched here now. Escapes when the plan has to be made anew. */
bool tbx_hub_is_fast(TbxHubObject *hub);

/* Whether emits may leave from here now. Escapes when the plan has to be made anew. */
bool tbx_hub_sends(TbxHubObject *hub);

/* Sees to it that the hub's plan is that of now; 0 or -1 with an exception. Escapes. */
int tbx_plan_refresh(TbxHubObject *hub);
int tbx_plan_traverse(tbx_plan *plan, visitproc visit, void *arg);
void tbx_plan_clear(tbx_plan *plan);

/* Writes the output of all connections that have some, at the latest in the next iteration of the
 * loop. */
void tbx_hub_schedule_flush(TbxHubObject *hub);

/* Whether the exception that is set says that the event loop is closed, or has lost its attributes since
 * it is being collected. */
static inline bool
tbx_is_loop_closed(void)
{
    return PyErr_ExceptionMatches(PyExc_AttributeError) ||
           (PyErr_ExceptionMatches(PyExc_RuntimeError) &&
            !PyErr_ExceptionMatches(PyExc_RecursionError));
}

void tbx_hub_flush(TbxHubObject *hub);

/* ---- pump.c: the budget of each connection ---- */

/* Accounts for time that a connection has taken: everything that a client can cause is measured. */
void tbx_conn_charge(TbxConnObject *conn, uint64_t ns);
/* Whether it has had its slice: it has to wait for its turn (tbx_conn_await_turn). */
bool tbx_conn_is_spent(const TbxConnObject *conn);
/* Queues the connection behind the others that wait. When its turn comes, in the next iteration of the
 * loop or a later one, its account is empty and its input is handled. Idempotent. */
void tbx_conn_await_turn(TbxConnObject *conn);
/* One iteration of the loop: each in the queue has its turn, or as many as the time allows. 0, or -1 with
 * an exception that is for the loop; the others have their turn all the same. Escapes. */
int tbx_hub_pump(TbxHubObject *hub);
/* Takes a connection out of the queue; whether it was there. */
bool tbx_hub_leave_turns(TbxHubObject *hub, TbxConnObject *conn);
/* Empties the queue: no loop will come to it. */
void tbx_hub_drop_turns(TbxHubObject *hub);
/* ASGI: lets Python send what waits for these sockets, a list. Escapes. */
void tbx_hub_drain(TbxHubObject *hub, PyObject *sockets);

/* ---- hubs.c ---- */

static inline TbxHubObject *
tbx_hub_root(TbxHubObject *hub)
{
    return hub->root != NULL ? hub->root : hub;
}

/* That of the server's hubs which belongs to the running event loop, else the root. New reference; NULL
 * with an exception. */
TbxHubObject *tbx_hub_here(TbxHubObject *hub);
/* Makes it one of the root's. */
void tbx_hub_join(TbxHubObject *root, TbxHubObject *hub);
/* A list of the server's hubs, without the root; or NULL. */
PyObject *tbx_hub_list(TbxHubObject *hub);
/* The root owns another hub no more: its loop is closed. */
void tbx_hub_part(TbxHubObject *hub, TbxHubObject *other);
/* The hub of a connection that is another event loop's, or None: it may be used on this one, as one may
 * that polls and whose loop is closed. New reference; NULL with an exception. Escapes. */
PyObject *tbx_conn_elsewhere(TbxConnObject *conn);
/* Gives a connection that polls to another hub, with its deadlines. 0 or -1 with an exception. */
int tbx_hub_take(TbxHubObject *hub, TbxConnObject *conn);

/* ---- deadlines.c ---- */

void tbx_deadlines_init(TbxHubObject *hub);
double tbx_now(void);

/* Puts a node into the list of its new kind, `seconds` from now (< 0: as long as the hub says; when
 * that is 0 it is taken out). Does not escape into the application. */
void tbx_deadline_set(TbxHubObject *hub, tbx_deadline *node, tbx_due_kind kind, double seconds);
void tbx_deadline_stop(tbx_deadline *node);
/* Handles what is due and sets the timer anew. Escapes. */
void tbx_hub_tick(TbxHubObject *hub);
/* After a PING was sent: its PONG is awaited, as if it had been sent when it was due. */
void tbx_conn_await_pong(TbxConnObject *conn);
/* Cancels the timer when nothing is due any more. Escapes into the event loop. */
void tbx_hub_rest(TbxHubObject *hub);

/* ---- task.c ---- */

/* Makes an asyncio.Task of coro in context and runs its first step at once, as if the loop had come
 * to it; what ends the process, the loop raises. 0, or -1 with an error of the loop. Escapes. */
int tbx_task_start(TbxHubObject *hub, PyObject *coro, PyObject *context);
/* Sees to it that a task which is not through is held, which the loop does not do. 0 or -1. */
int tbx_task_keep(TbxHubObject *hub, PyObject *coro, PyObject *task);
int tbx_task_init(TbxHubObject *hub);
/* The task of a call is through: nobody has to hold it any more. */
void tbx_task_forget(TbxCallObject *call);

/* ---- call_type.c ---- */

extern PyType_Spec tbx_call_spec;

/* The call that a coroutine is, or NULL. */
static inline TbxCallObject *
tbx_call_of(TbxHubObject *hub, PyObject *coro)
{
    return Py_IS_TYPE(coro, (PyTypeObject *)hub->state->CallType) ? (TbxCallObject *)coro : NULL;
}

/* A new Call, all fields but conn, kind and phase empty; or NULL. */
TbxCallObject *tbx_call_new(TbxConnObject *conn, tbx_call_kind kind);
/* Takes the exception that is set and logs what has failed: of a call, or, with NULL, of the start of
 * another task. Returns the exception. Escapes. */
PyObject *tbx_call_report(TbxHubObject *hub, TbxCallObject *call, tbx_failed what);
/* The iterator of an awaitable, or NULL; steals the reference. Escapes. */
PyObject *tbx_await_of(PyObject *awaitable);
/* Takes the StopIteration that is set: true, and what it carries, a new reference. */
bool tbx_stop_value(PyObject **value);

/* ---- interruptible.c ---- */

extern PyType_Spec tbx_interruptible_spec;

/* ---- conn_state.c ---- */

/* What Python calls a state. New reference, or NULL. */
PyObject *tbx_state_name(tbx_state state);
/* All moves, a list of (from, to). New reference, or NULL. */
PyObject *tbx_state_moves(void);
/* Goes to a state; a move that is not in the table ends a debug build, and is not made by others. */
void tbx_conn_move(TbxConnObject *conn, tbx_state to);
/* The session is over, or nearly. Idempotent. */
void tbx_conn_begin_closing(TbxConnObject *conn);
/* No more will come of the peer; the end comes when what is held has been handled. Idempotent. */
void tbx_conn_peer_left(TbxConnObject *conn);

/* Whether the session is over, or nearly: answers take the slow path. */
static inline bool
tbx_conn_is_closing(const TbxConnObject *conn)
{
    return conn->state == TBX_STATE_CLOSING || conn->state >= TBX_STATE_GONE;
}

/* Whether the peer has left. */
static inline bool
tbx_conn_is_left(const TbxConnObject *conn)
{
    return conn->state >= TBX_STATE_LEFT;
}

/* ---- conn_type.c ---- */

extern PyType_Spec tbx_conn_spec;

/* Whether the socket's methods are those of the class that it began with. */
static inline bool
tbx_conn_is_stock(TbxConnObject *conn)
{
    if (conn->stock && !tbx_watch_keys_are_known(&conn->socket_keys)) {
        conn->stock = tbx_watch_keys_hold(conn->hub->state, &conn->socket_keys);
    }
    return conn->stock;
}

/* ---- eligibility: whether a client's messages are handled, and answered, here ---- */

/* X(why not, what acceleration() says of it, whether it is so), in the order in which it is asked. For what
 * says nothing there: a session that ends is not worth it, and plan.reasons are the server's own. */
#define TBX_INELIGIBLE(X)                                                                          \
    X(CLOSING, "", tbx_conn_is_closing(conn))                                                      \
    X(SOCKET, "a method of the session's socket was replaced", !tbx_conn_is_stock(conn))           \
    X(SERVER, "", !tbx_hub_is_fast(conn->hub))

#define X(id, text, is_so) TBX_NOT_##id,
typedef enum { TBX_FAST, TBX_INELIGIBLE(X) } tbx_eligibility;
#undef X

/* TBX_FAST: they are. The one question for messages and answers, to be asked again after what escapes.
 * Escapes when the plan has to be made anew. */
static inline tbx_eligibility
tbx_conn_eligibility(TbxConnObject *conn)
{
#define X(id, text, is_so) is_so ? TBX_NOT_##id:
    return TBX_INELIGIBLE(X) TBX_FAST;
#undef X
}

/* A list of what the table says of the connection; NULL with an exception. For any thread. */
PyObject *tbx_conn_reasons(TbxConnObject *conn);

/* ---- conn_rx.c ---- */

/* The asyncio.BufferedProtocol, for direct connections. */
PyObject *tbx_conn_get_buffer(TbxConnObject *conn);
int tbx_conn_buffer_updated(TbxConnObject *conn, Py_ssize_t n);
int tbx_conn_lost(TbxConnObject *conn);
/* Bytes that came before the connection was direct; handled by tbx_conn_go_on. */
int tbx_conn_hold(TbxConnObject *conn, const uint8_t *p, size_t n);
/* Handles what is held, and the end of the connection when that has come. Escapes. */
int tbx_conn_go_on(TbxConnObject *conn);
/* No more handlers may begin: there are too many, or what they handle is too much. */
bool tbx_conn_is_full(const TbxConnObject *conn);
/* A call() begins to wait for an acknowledgement of the client, whose input may not be held for it then:
 * its handlers may be what waits; or it waits no more. Escapes into the transport. */
void tbx_conn_call_begins(TbxConnObject *conn);
void tbx_conn_call_ends(TbxConnObject *conn);
/* Whether input was read, or may be in the transport, that is not looked at yet. */
bool tbx_conn_holds_input(const TbxConnObject *conn);
/* ASGI: what reads the client's messages goes on. Escapes. */
void tbx_conn_resume_reader(TbxConnObject *conn);
/* The session ends with the next tick of the timer: what should go on, or end, cannot for lack of
 * memory. Needs none. */
void tbx_conn_end_later(TbxConnObject *conn);
/* A handler of a message of so many bytes is through. */
void tbx_conn_call_done(TbxConnObject *conn, Py_ssize_t size);
/* The packet that was handled in Python is through. */
void tbx_conn_lane_done(TbxConnObject *conn);
/* One message of the client: 0, or -1 with an exception that is for the loop. Escapes. */
int tbx_conn_message(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len);
/* Tells Python that the connection is over, once. Escapes. */
int tbx_conn_end(TbxConnObject *conn);
/* Pauses or resumes reading as the counts demand. */
void tbx_conn_regulate(TbxConnObject *conn);
/* Counts a control frame, or a PONG of Engine.IO; false when it is one too many (is_flooded). */
bool tbx_conn_count_control(TbxConnObject *conn);

/* ---- conn_tx.c ---- */

/* Appends one message (direct: a frame; ASGI: an object of the outbox). 0 or -1 with an exception. */
int tbx_conn_put(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len);
int tbx_conn_put_control(TbxConnObject *conn, unsigned opcode, const uint8_t *data, size_t len);
/* An Engine.IO packet as engineio encodes it: str or bytes. */
int tbx_conn_put_object(TbxConnObject *conn, PyObject *encoded);
/* Finished frames, shared with other connections; direct only. 0 or -1 with an exception. */
int tbx_conn_put_frames(TbxConnObject *conn, PyObject *frames);
/* After output was put: it is written when the read is through, or in the loop's next iteration. */
void tbx_conn_has_output(TbxConnObject *conn);
/* The transport has paused us, or there is more to wait: too much of it ends the session, or is told to
 * Python when the hub keeps slow clients (up to twice as much). Escapes into toolboxsio's Python. */
void tbx_conn_check_backlog(TbxConnObject *conn);

/* So many bytes of one message are put: max_backlog is for what waits beside the largest. */
static inline void
tbx_conn_note_size(TbxConnObject *conn, size_t len)
{
    if ((Py_ssize_t)len > conn->largest) {
        conn->largest = (Py_ssize_t)len;
    }
}

/* The client has taken what waited for it. */
static inline void
tbx_conn_caught_up(TbxConnObject *conn)
{
    conn->is_slow = false;
    conn->largest = 0;
}
/* Whether something waits for the client that its transport has not taken. */
bool tbx_conn_is_behind(const TbxConnObject *conn);
/* The client lets too much wait: its session ends, what waits for it is dropped. Escapes. */
void tbx_conn_give_up(TbxConnObject *conn);
/* Writes now what the transport takes. Escapes into the transport. */
void tbx_conn_write(TbxConnObject *conn);
/* ASGI: appends the connection's socket when Python should send its messages. 0 or -1. */
int tbx_conn_may_drain(TbxConnObject *conn, PyObject *sockets);
/* Sends a CLOSE frame and no more, and reads on without heeding until the client has gone. */
void tbx_conn_fail(TbxConnObject *conn, unsigned code, const char *reason, size_t reason_len);
/* Ends the connection at once: what waits is lost. */
void tbx_conn_abort(TbxConnObject *conn);
/* Starts the closing handshake, or, without a code, closes the transport. Idempotent. */
void tbx_conn_close(TbxConnObject *conn, unsigned code, const char *reason, size_t reason_len);
/* Bytes that wait for the client. */
Py_ssize_t tbx_conn_backlog(TbxConnObject *conn);

/* ---- conn_asgi.c ---- */

/* The method attach_messages. Escapes into the event loop. */
PyObject *tbx_conn_meth_attach_messages(PyObject *self, PyObject *none);

/* Handles an event of ASGI's receive(): None, or the first message to be sent; False: Python has to handle
 * it; True: the next one has to wait. New reference or NULL. Escapes. */
PyObject *tbx_conn_feed(TbxConnObject *conn, PyObject *event);
/* What ASGI's send() is to be called with next, or None; then nothing is on its way. New reference or
 * NULL. */
PyObject *tbx_conn_next_message(TbxConnObject *conn);

/* ---- conn_polling.c ---- */

/* Whether payloads of POSTs wait to be handled. They come before what a WebSocket has brought. */
static inline bool
tbx_conn_has_posts(const TbxConnObject *conn)
{
    return conn->posts != NULL && PyList_GET_SIZE(conn->posts) > 0;
}

/* Handles packets of POSTs until there are none, or the next one has to wait. 0, or -1 with an exception
 * that is for the loop: the rest of its payload is dropped. Escapes. */
int tbx_conn_go_on_posts(TbxConnObject *conn);
/* The rest of the payload of which a packet is being handled is dropped. */
void tbx_conn_drop_post(TbxConnObject *conn);
/* Nothing of the client is handled any more: all that wait are told. Escapes. */
void tbx_conn_end_posts(TbxConnObject *conn);
/* The session is over: what is left of them is dropped, in a turn of the connection. */
void tbx_conn_close_posts(TbxConnObject *conn);
/* Tells who waits that there is output. Escapes. */
void tbx_conn_answer_poll(TbxConnObject *conn);
/* The methods post, drop_post and take_messages. The first escapes. */
PyObject *tbx_conn_meth_post(PyObject *self, PyObject *args);
PyObject *tbx_conn_meth_drop_post(PyObject *self, PyObject *none);
PyObject *tbx_conn_meth_take_messages(PyObject *self, PyObject *none);

/* ---- conn_deflate.c ---- */

/* Bytes in place of the compressed payload. New reference, NULL with an exception; *code is the close
 * code for the client, 0 when the fault is not the client's. */
PyObject *tbx_conn_inflate(TbxConnObject *conn, const uint8_t *data, size_t len, unsigned *code);
/* A compressed payload, or NULL without an exception when it would not be smaller. */
PyObject *tbx_hub_deflate(TbxHubObject *hub, unsigned bits, const uint8_t *data, size_t len);

/* ---- packet_out.c ---- */

/* Leaves the gap and appends `[namespace,][id]` to an empty buffer. 0 or -1 with an exception. */
int tbx_packet_begin(tbx_buf *out, PyObject *ns, bool has_id, uint64_t id);
/* Appends the JSON array of an event (event is its name) or an answer (event is NULL): a value of None
 * is none, a tuple is several. `json` makes the text unless it is None. 0 or -1 with an exception.
 * Escapes as tbx_json_encode, and into json. */
int tbx_packet_put_array(TbxState *state, tbx_buf *out, PyObject *json, PyObject *event,
                         PyObject *value, const tbx_json_enc_options *options);
/* Writes '4', the type ('2', '3', or the binary kind) and the number of attachments into the end of the
 * gap; returns where the packet begins. */
size_t tbx_packet_finish(uint8_t *gap, char type, Py_ssize_t n_attachments);

/* ---- fanout.c ---- */

/* Emits: args are event, data, namespace, room, skip_sid, new_id (a function of the sid, or None) and
 * whether the event is volatile. NotImplemented: nothing was done, all of it is Python's. None; True: the
 * emitter should let the loop turn; else (recipients, parts): what is left to Python, a list of
 * (sid, eio_sid), and the encoded packet (None when there are ids). NULL with an exception: what the
 * encoder raised; nothing was sent. Escapes. */
PyObject *tbx_hub_emit(TbxHubObject *hub, PyObject *const *args);

/* The same for AsyncServer.emit: args are event, data, to, room, skip_sid, namespace (None: "/") and
 * volatile. NotImplemented, too, when the manager has to see it. */
PyObject *tbx_hub_emit_directly(TbxHubObject *hub, PyObject *const *args);

/* Whether a packet for the client may be put here and now, past the methods on its way in Python.
 * Escapes. */
bool tbx_conn_sends(TbxConnObject *conn);

/* Sends an encoded packet, a list of its text and its attachments, to recipients, a list of (sid, eio_sid):
 * as tbx_hub_emit. On the hub's event loop. */
PyObject *tbx_hub_send_parts(TbxHubObject *hub, PyObject *recipients, PyObject *parts,
                             bool is_volatile);

/* JSON that is there already: a string, and the elements of an array without its brackets. Borrowed. */
typedef struct {
    const char *event;
    size_t event_len;
    const char *args;
    size_t args_len;
} tbx_emit_text;

/* The same for them, without callbacks. One argument of null is none. */
PyObject *tbx_hub_emit_text(TbxHubObject *hub, const tbx_emit_text *text, PyObject *ns,
                            PyObject *room, PyObject *skip, bool is_volatile);

/* ---- pubsub.c ---- */

/* A message that was published, as bytes. None: there is nothing more to do; False: all of it is
 * Python's; else as tbx_hub_emit. NULL with an exception. Escapes. */
PyObject *tbx_hub_deliver(TbxHubObject *hub, PyObject *payload, PyObject *host_id);

/* The same for the bytes that a subscriber has read from Redis, from `start` on. A tuple (at, need, left):
 * left is None when all whole replies were delivered (need: bytes that the one at `at` takes at least, 0:
 * there is none), True: the slice is over, the rest from `at` on is for the next iteration of the loop, a
 * number: the size of the reply at `at`, which is no message (TBX_BAD: nonsense), or
 * (payload, outcome) of a message before `at`: as tbx_hub_deliver, or the exception. Escapes. */
PyObject *tbx_hub_deliver_replies(TbxHubObject *hub, PyObject *data, Py_ssize_t start,
                                  PyObject *host_id);

/* ---- event_stats.c ---- */

/* The number of an event's entry, which is made when it is not there; -1: it is not counted. May collect,
 * and so escapes. */
Py_ssize_t tbx_event_find(TbxHubObject *hub, PyObject *ns, PyObject *event);
/* Counts an event that was handled. */
void tbx_event_count(TbxHubObject *hub, Py_ssize_t number, uint64_t ns, bool has_failed);
/* A list of (namespace, event, count, failed, seconds in all, p50, p99, longest, (count up to each bound)),
 * or NULL with an exception. bounds is a tuple of seconds. */
PyObject *tbx_event_list(TbxHubObject *hub, PyObject *bounds);
void tbx_event_stats_free(tbx_event_stats *stats);

/* ---- packet_in.c ---- */

#define TBX_ID_DIGITS 18 /* fit 64 bits */

/* A packet whose header was read. */
typedef struct {
    tbx_sio header;      /* of at most TBX_ID_DIGITS */
    PyObject *ns;        /* owned str */
    const uint8_t *json; /* what follows the header */
    size_t json_len;
} tbx_packet_in;

/* Handles a message here if it may: 1; 0: Python has to; -1: an exception for the loop. Escapes. */
int tbx_conn_packet(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len);
/* PONG. */
void tbx_conn_pong(TbxConnObject *conn);

/* The id of a packet, of up to 18 digits. */
static inline uint64_t
tbx_packet_id(const tbx_sio *header)
{
    uint64_t id = 0;
    for (size_t i = 0; i < header->id_len; i++) {
        id = id * 10 + (uint64_t)(header->id[i] - '0');
    }
    return id;
}

/* The same as an object: None when there is none. New reference or NULL. */
static inline PyObject *
tbx_packet_id_object(const tbx_sio *header)
{
    return header->id_len > 0 ? PyLong_FromUnsignedLongLong(tbx_packet_id(header))
                              : Py_NewRef(Py_None);
}

/* Hands an acknowledgement to who waits for it: as tbx_conn_packet. */
int tbx_conn_acknowledge(TbxConnObject *conn, const tbx_packet_in *packet, PyObject *data);

/* ---- attachments.c ---- */

extern PyType_Spec tbx_partial_packet_spec;

/* The packet's attachments follow: 1, or -1 with an exception. Escapes. */
int tbx_conn_await_attachments(TbxConnObject *conn, const tbx_packet_in *packet, PyObject *data);
/* Adds one to the packet that waits for it, and handles that when it is complete: as tbx_conn_packet. */
int tbx_conn_attachment(TbxConnObject *conn, PyObject *waiting, const uint8_t *data, size_t len);
/* The method watch_attachments. */
PyObject *tbx_conn_watch_attachments(PyObject *self, PyObject *arg);

/* ---- conn_dispatch.c ---- */

/* Whether it is the data of an event, by a name that is not reserved. Escapes. */
bool tbx_hub_takes_event(TbxHubObject *hub, PyObject *data);
/* What a dict has for a key: new reference, or NULL without an exception. To compare keys may run Python. */
PyObject *tbx_look_up(PyObject *table, PyObject *key);
/* The id of the client in a namespace, from the manager's tables. New reference; NULL: not connected,
 * or an exception that was cleared. Escapes. */
PyObject *tbx_conn_find_sid(TbxConnObject *conn, PyObject *ns);
/* Starts the handler of an EVENT, if it may: as tbx_conn_packet; steals data. */
int tbx_conn_dispatch(TbxConnObject *conn, PyObject *ns, const tbx_sio *header, PyObject *data);
/* Hands a message to toolboxsio's Python: socket._receive_encoded(encoded). 0 or -1. Escapes. */
int tbx_conn_lane(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len);
/* Starts a coroutine that the connection waits for; steals the reference. */
int tbx_conn_start_lane(TbxConnObject *conn, PyObject *coro);
/* The same; where who reads has a task and a context of its own (ASGI, polling), that is to await it: it
 * stands in `awaited`. */
int tbx_conn_run(TbxConnObject *conn, PyObject *coro);
/* The method send_sid: a client has joined a namespace. Escapes. */
PyObject *tbx_conn_send_sid(PyObject *self, PyObject *args);
/* Sends the answer of a handler: 1; 0: Python has to; -1: an exception of the answer. Escapes. */
int tbx_conn_answer(TbxConnObject *conn, PyObject *ns, uint64_t id, PyObject *answer);

#endif
