/* conn_rx.c: the way into a connection (contract in conn.h).
 *
 * One read goes into the buffer that all connections of a hub share, and is parsed before the next:
 * what is left of it lives in the reader, or, while a packet is handled in Python, in `held`. A
 * connection that is read into while it parses (its handler runs the loop) gets a buffer of its own,
 * and its bytes wait in `held` too; so the shared buffer is one connection's at a time. Input is held, too,
 * while no more handlers may begin, and when the connection has had its slice (pump.c). What was held when
 * the peer left is handled before the end is reported.
 * Spec: RFC 6455, sections 5.5, 7.1 and 7.4.
 */
#include "conn/conn.h"

#include <stdlib.h>

#define SECONDS_TO_TRY_AGAIN 1

static int
make_buffer(TbxHubObject *hub)
{
    Py_XSETREF(hub->bytes, PyByteArray_FromStringAndSize(NULL, TBX_READ_SIZE));
    hub->view = hub->bytes ? PyMemoryView_FromObject(hub->bytes) : NULL;
    return hub->view ? 0 : -1;
}

PyObject *
tbx_conn_get_buffer(TbxConnObject *conn)
{
    TbxHubObject *hub = conn->hub;
    if (hub->reading != NULL) {
        Py_XSETREF(conn->spare, PyByteArray_FromStringAndSize(NULL, TBX_READ_SIZE));
        return conn->spare ? PyMemoryView_FromObject(conn->spare) : NULL; /* TLS slices it */
    }
    Py_CLEAR(conn->spare);
    if (hub->view == NULL && make_buffer(hub) < 0) {
        return NULL;
    }
    return Py_NewRef(hub->view);
}

int
tbx_conn_hold(TbxConnObject *conn, const uint8_t *p, size_t n)
{
    if (n == 0) {
        return 0;
    }
    if (conn->held_cap - conn->held_len < n) {
        size_t cap = conn->held_len + n + conn->held_cap / 2;
        uint8_t *held = realloc(conn->held, cap);
        if (held == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        conn->held = held;
        conn->held_cap = cap;
    }
    memcpy(conn->held + conn->held_len, p, n);
    conn->held_len += n;
    return 0;
}

/* The same in front of what is held already, which came later. */
static int
hold_first(TbxConnObject *conn, const uint8_t *p, size_t n)
{
    uint8_t *later = conn->held;
    size_t len = conn->held_len;
    conn->held = NULL;
    conn->held_len = conn->held_cap = 0;
    int status = tbx_conn_hold(conn, p, n);
    if (status == 0) {
        status = tbx_conn_hold(conn, later, len);
    }
    free(later);
    return status;
}

void
tbx_conn_end_later(TbxConnObject *conn)
{
    tbx_exc raised = tbx_exc_save();
    tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_LEAVE, SECONDS_TO_TRY_AGAIN);
    tbx_exc_restore(raised);
}

static void
transport_call(TbxConnObject *conn, PyObject *name)
{
    PyObject *transport = Py_NewRef(conn->transport);
    PyObject *done = PyObject_CallMethodNoArgs(transport, name);
    if (done == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) { /* it may read no more */
        PyErr_WriteUnraisable(transport);
        tbx_conn_abort(conn);
    }
    else if (done == NULL) { /* it is closing */
        PyErr_Clear();
    }
    Py_XDECREF(done);
    Py_DECREF(transport);
}

void
tbx_conn_resume_reader(TbxConnObject *conn)
{
    if (conn->socket != NULL) {
        PyObject *done = tbx_call_python(conn->hub->state, conn->socket, TBX_PY_RESUME);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)conn);
            tbx_conn_end_later(conn);
        }
        Py_XDECREF(done);
    }
}

bool
tbx_conn_is_full(const TbxConnObject *conn)
{
    const TbxHubObject *hub = conn->hub;
    Py_ssize_t running = conn->running - conn->n_calls; /* the others come to their end */
    if (running >= hub->max_running ||
        (running > 0 && conn->running_bytes >= hub->max_running_bytes)) {
        return true;
    }
    if (conn->n_calls <= 0 || conn->running < 2) {
        return false;
    }
    Py_ssize_t max = hub->max_running_bytes;
    max = max > conn->max_size ? max : conn->max_size;
    return conn->running_bytes / TBX_CALLS_FACTOR >= max;
}

/* What is held may go on: nothing that it has to wait for is at work. */
static bool
may_go_on(const TbxConnObject *conn)
{
    if (tbx_conn_has_posts(conn) && (conn->discards || tbx_conn_is_closing(conn))) {
        return !conn->busy; /* they are dropped */
    }
    if (conn->discards) {
        return false;
    }
    return !conn->busy && !tbx_conn_is_full(conn);
}

/* What the peer has sent before it left, and is not handled yet. POSTs want an answer in any case. */
static bool
has_input(const TbxConnObject *conn)
{
    return (conn->held_len > 0 && !conn->discards) || tbx_conn_has_posts(conn);
}

bool
tbx_conn_holds_input(const TbxConnObject *conn)
{
    return conn->busy || conn->paused || conn->awaits_turn || has_input(conn) ||
           tbx_conn_is_full(conn);
}

void
tbx_conn_regulate(TbxConnObject *conn)
{
    if (conn->path == TBX_PATH_POLLING) {
        return; /* its input is here: see conn_polling.c */
    }
    bool is_full = conn->held_len > TBX_HELD_MAX || tbx_conn_is_full(conn);
    bool is_low = conn->held_len <= TBX_HELD_MAX / 2 && !is_full;
    if (!conn->paused && is_full) {
        conn->paused = true;
        if (conn->transport != NULL) {
            transport_call(conn, conn->hub->state->str_pause_reading);
        }
    }
    else if (conn->paused && is_low) {
        conn->paused = false;
        if (conn->beat.next != NULL && conn->beat.kind == TBX_DUE_PONG) {
            tbx_deadline_set(conn->hub, &conn->beat, TBX_DUE_PONG, -1); /* it may be in there */
        }
        if (conn->transport != NULL) {
            transport_call(conn, conn->hub->state->str_resume_reading);
        }
        else if (conn->path == TBX_PATH_ASGI) {
            tbx_conn_resume_reader(conn);
        }
    }
}

/* Tells Python that no more will come; what was sent before has been handled. */
int
tbx_conn_end(TbxConnObject *conn)
{
    if (conn->state >= TBX_STATE_ENDING || conn->socket == NULL) {
        return 0;
    }
    tbx_conn_move(conn, TBX_STATE_ENDING);
    PyObject *coro = tbx_call_python(conn->hub->state, conn->socket, TBX_PY_OVER);
    int status = coro != NULL ? tbx_conn_start_lane(conn, coro) : -1;
    if (status < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) { /* the timer tries again */
        tbx_conn_move(conn, TBX_STATE_GONE);
        tbx_conn_end_later(conn);
    }
    return status;
}

/* The client has broken the protocol. Escapes into toolboxsio's Python, which logs it. */
static void
refuse(TbxConnObject *conn, unsigned code, const char *reason)
{
    conn->discards = true;
    tbx_conn_peer_left(conn);
    tbx_conn_fail(conn, code, reason, strlen(reason));
    if (conn->socket != NULL) {
        PyObject *done =
            tbx_call_python(conn->hub->state, conn->socket, TBX_PY_BROKEN, code, reason);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)conn);
        }
        Py_XDECREF(done);
    }
}

bool
tbx_conn_count_control(TbxConnObject *conn)
{
    uint32_t second = (uint32_t)(uint64_t)tbx_now(); /* which may wrap */
    if (conn->control_second != second) {
        conn->control_second = second;
        conn->n_control = 0;
    }
    if (conn->n_control < (uint32_t)conn->hub->max_control) {
        conn->n_control++;
        return true;
    }
    conn->is_flooded = true;
    return false;
}

/* The same for what a CLOSE frame says; a reason that is no text is told as Python tells it. */
static int
refuse_close(TbxConnObject *conn, const tbx_ws_message *message, const tbx_err *err)
{
    char words[TBX_WS_CONTROL_MAX] = "";
    if (err->code != TBX_E_WS_UTF8) {
        refuse(conn, tbx_ws_close_code(err->code), tbx_err_text(err->code));
        return 0;
    }
    PyObject *text =
        PyUnicode_DecodeUTF8((const char *)message->data + 2, (Py_ssize_t)message->len - 2, NULL);
    Py_XDECREF(text);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyObject *type, *exc, *traceback;
        Py_ssize_t start = 0;
        PyErr_Fetch(&type, &exc, &traceback);
        PyErr_NormalizeException(&type, &exc, &traceback);
        PyObject *reason = PyUnicodeDecodeError_GetReason(exc);
        const char *utf8 = reason != NULL ? PyUnicode_AsUTF8(reason) : NULL;
        if (utf8 != NULL && PyUnicodeDecodeError_GetStart(exc, &start) == 0) {
            PyOS_snprintf(words, sizeof words - 2, "%s at position %zd", utf8, start);
        }
        Py_XDECREF(reason);
        Py_XDECREF(type);
        Py_XDECREF(exc);
        Py_XDECREF(traceback);
    }
    PyErr_Clear();
    refuse(conn, 1007, words);
    return 0;
}

static int
on_close(TbxConnObject *conn, const tbx_ws_message *message)
{
    unsigned code;
    tbx_err err;
    if (conn->output != TBX_OUTPUT_OPEN) { /* the answer to ours */
        conn->discards = true;
        tbx_conn_peer_left(conn);
        tbx_conn_close(conn, 0, NULL, 0);
        return 0;
    }
    if (tbx_ws_close_parse(message->data, message->len, &code, &err) < 0) {
        return refuse_close(conn, message, &err);
    }
    conn->discards = true;
    tbx_conn_peer_left(conn);
    const char *reason = message->len > 2 ? (const char *)message->data + 2 : NULL;
    tbx_conn_close(conn, code, reason, message->len > 2 ? message->len - 2 : 0);
    tbx_conn_close(conn, 0, NULL, 0);
    return 0;
}

/* The option that bounds a message; uvicorn has one of its own, which may be smaller. */
static const char *
size_option(const TbxConnObject *conn)
{
    return conn->max_size < conn->hub->max_size ? "ws_max_size" : "max_http_buffer_size";
}

/* A message that was compressed. */
static int
on_compressed(TbxConnObject *conn, const tbx_ws_message *message)
{
    unsigned code;
    PyObject *plain = tbx_conn_inflate(conn, message->data, message->len, &code);
    if (plain == NULL) {
        if (code == 0) {
            return -1;
        }
        PyErr_Clear();
        char words[TBX_WS_CONTROL_MAX] = "";
        if (code == 1009) {
            PyOS_snprintf(words, sizeof words, "more than %zd bytes inflated, %s is that",
                          conn->max_size, size_option(conn));
        }
        refuse(conn, code, words);
        return 0;
    }
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(plain);
    size_t len = (size_t)PyBytes_GET_SIZE(plain);
    bool is_text = message->opcode == TBX_WS_TEXT;
    int status = 0;
    tbx_ws_utf8 utf8 = {0};
    if (is_text && !(tbx_ws_utf8_feed(&utf8, data, len) && tbx_ws_utf8_done(&utf8))) {
        refuse(conn, 1007, "");
    }
    else {
        status = tbx_conn_message(conn, is_text, data, len);
    }
    Py_DECREF(plain);
    return status;
}

static int
on_message(TbxConnObject *conn, const tbx_ws_message *message)
{
    if (message->opcode == TBX_WS_CLOSE) {
        return on_close(conn, message);
    }
    if (conn->output != TBX_OUTPUT_OPEN) {
        return 0;
    }
    bool is_control = message->opcode == TBX_WS_PING || message->opcode == TBX_WS_PONG;
    if (is_control && !tbx_conn_count_control(conn)) {
        char words[TBX_WS_CONTROL_MAX];
        Py_ssize_t max = conn->hub->max_control;
        PyOS_snprintf(words, sizeof words,
                      "%zd control frames in a second, max_control_frames is %zd", max + 1, max);
        refuse(conn, 1008, words);
        return 0;
    }
    switch (message->opcode) {
    case TBX_WS_PING:
        return tbx_conn_put_control(conn, TBX_WS_PONG, message->data, message->len);
    case TBX_WS_PONG:
        return 0;
    default:
        return message->compressed ? on_compressed(conn, message)
                                   : tbx_conn_message(conn, message->opcode == TBX_WS_TEXT,
                                                      message->data, message->len);
    }
}

static void
on_error(TbxConnObject *conn, const tbx_err *err)
{
    if (conn->output != TBX_OUTPUT_OPEN) {
        conn->discards = true;
        tbx_conn_peer_left(conn);
        return;
    }
    char words[TBX_WS_CONTROL_MAX];
    unsigned long long met = tbx_ws_reader_met(&conn->reader);
    const char *text = err->code == TBX_E_WS_UTF8 ? "" : tbx_err_text(err->code);
    if (err->code == TBX_E_WS_TOO_BIG) {
        PyOS_snprintf(words, sizeof words, "%llu bytes, %s is %zd", met, size_option(conn),
                      conn->max_size);
        text = words;
    }
    else if (err->code == TBX_E_WS_FRAGMENTS) {
        PyOS_snprintf(words, sizeof words, "%llu fragments, max_fragments is %llu", met, met - 1);
        text = words;
    }
    refuse(conn, tbx_ws_close_code(err->code), text);
}

/* The message whose deadline runs is whole. */
static void
stop_partial(TbxConnObject *conn)
{
    if (conn->is_partial && conn->life.next != NULL && conn->life.kind == TBX_DUE_MESSAGE) {
        tbx_deadline_stop(&conn->life);
    }
    conn->is_partial = false;
}

/* Handles bytes until they are used up, or the rest has to wait. */
static int
parse(TbxConnObject *conn, uint8_t *p, size_t n)
{
    tbx_ws_message message;
    tbx_err err;
    uint64_t began = tbx_clock_monotonic_ns();
    while (n > 0 && !conn->discards) {
        if (conn->busy || tbx_conn_is_full(conn) || tbx_conn_is_spent(conn)) {
            return hold_first(conn, p, n);
        }
        ptrdiff_t used = tbx_ws_reader_feed(&conn->reader, p, n, &message, &err);
        if (used == TBX_BAD) {
            on_error(conn, &err);
            return 0;
        }
        p += used;
        n -= (size_t)used;
        if (message.opcode == TBX_WS_TEXT || message.opcode == TBX_WS_BINARY) {
            stop_partial(conn);
        }
        if (message.opcode != 0 && on_message(conn, &message) < 0) {
            return n > 0 ? hold_first(conn, p, n), -1 : -1;
        }
        uint64_t now = tbx_clock_monotonic_ns();
        tbx_conn_charge(conn, now - began);
        began = now;
    }
    (void)tbx_ws_reader_feed(&conn->reader, p, 0, &message, &err); /* a large message is freed */
    return 0;
}

/* Bytes of a message that are here start its deadline. */
static void
watch_message(TbxConnObject *conn)
{
    if (tbx_ws_reader_is_idle(&conn->reader)) {
        stop_partial(conn);
    }
    else if (conn->life.next == NULL && !tbx_conn_is_closing(conn)) {
        conn->is_partial = true;
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_MESSAGE, -1);
    }
}

/* Ends what has ended, or lets what is held have its turn. 0 or -1. */
static int
settle(TbxConnObject *conn)
{
    if (conn->busy) {
        return 0;
    }
    if (!has_input(conn)) {
        return tbx_conn_is_left(conn) ? tbx_conn_end(conn) : 0;
    }
    if (may_go_on(conn)) {
        tbx_conn_await_turn(conn);
    }
    return 0;
}

int
tbx_conn_go_on(TbxConnObject *conn)
{
    int status = 0;
    if (conn->parsing) {
        return 0;
    }
    conn->parsing = true;
    if (tbx_conn_has_posts(conn)) {
        status = tbx_conn_go_on_posts(conn);
    }
    while (status == 0 && conn->held_len > 0 && !tbx_conn_has_posts(conn) && may_go_on(conn) &&
           !tbx_conn_is_spent(conn)) {
        uint8_t *held = conn->held;
        size_t len = conn->held_len;
        conn->held = NULL;
        conn->held_len = conn->held_cap = 0;
        status = parse(conn, held, len);
        free(held);
    }
    conn->parsing = false;
    tbx_exc raised = tbx_exc_save();
    watch_message(conn);
    tbx_conn_regulate(conn);
    tbx_conn_write(conn);
    tbx_exc_restore(raised);
    return status == 0 ? settle(conn) : status;
}

/* After a read, when something is unusual: `status` is what its parsing gave. */
static int
go_on_after(TbxConnObject *conn, int status)
{
    if (status == 0) {
        return tbx_conn_go_on(conn);
    }
    tbx_exc raised = tbx_exc_save();
    if (tbx_conn_go_on(conn) < 0) {
        PyErr_WriteUnraisable((PyObject *)conn);
    }
    tbx_exc_restore(raised);
    return status;
}

int
tbx_conn_buffer_updated(TbxConnObject *conn, Py_ssize_t n)
{
    TbxHubObject *hub = conn->hub;
    PyObject *spare = conn->spare;
    conn->spare = NULL;
    PyObject *bytes = spare != NULL ? spare : hub->bytes;
    uint8_t *p = bytes != NULL ? (uint8_t *)PyByteArray_AS_STRING(bytes) : NULL;
    int status = 0;
    if (p == NULL || n < 0 || n > PyByteArray_GET_SIZE(bytes) ||
        (spare == NULL && hub->reading != NULL)) {
        PyErr_SetString(PyExc_ValueError, "that many bytes cannot have been read");
        status = -1;
    }
    else if (conn->path != TBX_PATH_DIRECT || conn->discards) {
        /* nobody is interested any more */
    }
    else if (conn->parsing || conn->busy || conn->awaits_turn || conn->held_len > 0 ||
             tbx_conn_has_posts(conn) || spare != NULL) {
        status = tbx_conn_hold(conn, p, (size_t)n);
        if (status == 0 && !conn->parsing && !conn->busy && !conn->awaits_turn) {
            status = tbx_conn_go_on(conn);
        }
        else {
            tbx_conn_regulate(conn);
        }
    }
    else {
        hub->reading = conn;
        conn->parsing = true;
        status = parse(conn, p, (size_t)n);
        conn->parsing = false;
        hub->reading = NULL;
        if (status == 0 && conn->held_len == 0 && !tbx_conn_is_left(conn) &&
            conn->path == TBX_PATH_DIRECT && !tbx_conn_has_posts(conn)) {
            watch_message(conn); /* the usual end */
            if (tbx_conn_is_full(conn)) {
                tbx_conn_regulate(conn);
            }
            tbx_conn_write(conn);
        }
        else {
            status = go_on_after(conn, status);
        }
    }
    Py_XDECREF(spare);
    return status;
}

int
tbx_conn_lost(TbxConnObject *conn)
{
    tbx_conn_peer_left(conn);
    Py_CLEAR(conn->transport);
    tbx_deadline_stop(&conn->beat);
    tbx_deadline_stop(&conn->life);
    free(conn->out);
    conn->out = NULL;
    conn->out_len = conn->out_cap = 0;
    Py_CLEAR(conn->shared);
    if (has_input(conn)) { /* no longer than a client has to leave: handlers may never end */
        tbx_deadline_set(conn->hub, &conn->life, TBX_DUE_LEAVE, -1);
    }
    else {
        tbx_conn_begin_closing(conn);
    }
    return conn->parsing ? 0 : settle(conn); /* the end comes after what is being handled */
}

/* Fewer handlers count: what is held, or not read, goes on when there is room now. Whether there was none
 * before does not matter: the limits may have been changed. */
static void
has_room(TbxConnObject *conn)
{
    if (tbx_conn_is_full(conn) || (conn->parsing && conn->path != TBX_PATH_ASGI)) {
        return; /* what parses looks at it in the end */
    }
    if (has_input(conn)) { /* which comes before what is still in the transport */
        if (may_go_on(conn)) {
            tbx_conn_await_turn(conn);
        }
    }
    else if (conn->paused) {
        tbx_conn_regulate(conn);
    }
}

void
tbx_conn_call_done(TbxConnObject *conn, Py_ssize_t size)
{
    conn->running--;
    conn->running_bytes -= size;
    has_room(conn);
}

void
tbx_conn_call_begins(TbxConnObject *conn)
{
    conn->n_calls++;
    has_room(conn);
}

void
tbx_conn_call_ends(TbxConnObject *conn)
{
    conn->n_calls--;
}

void
tbx_conn_lane_done(TbxConnObject *conn)
{
    conn->busy = false;
    if (conn->parsing) {
        return;
    }
    if (has_input(conn) || (tbx_conn_is_left(conn) && conn->path != TBX_PATH_ASGI)) {
        tbx_conn_await_turn(conn);
    }
    else if (conn->path == TBX_PATH_ASGI) {
        tbx_conn_resume_reader(conn);
    }
}

int
tbx_conn_message(TbxConnObject *conn, bool is_text, const uint8_t *data, size_t len)
{
    if (conn->socket == NULL) {
        return 0;
    }
    conn->heard = true;
    conn->message_bytes = (Py_ssize_t)len;
    int handled = tbx_conn_packet(conn, is_text, data, len);
    return handled != 0 ? (handled < 0 ? -1 : 0) : tbx_conn_lane(conn, is_text, data, len);
}
