"""What need not fail, or may fail with less said ("file: part of the line"), and why."""

REASON = "the CLOSE frame leaves all the same, without the words of its reason"
COUNT = "conn.h says so of tbx_event_find(): the event is handled, and not counted"

LEFT = "the client is one of those that Python sends to: no client lacks the event"

POSTED = (
    "the session's own loop does it a turn later: after what follows, or when the client has closed"
)

EXIT = "the event loop of the scenarios would end: tests/e2e/test_exits.py sees that it does"

#: Sites that no scenario comes to.
UNREACHED = {
    "conn/task.c: PyObject_CallMethodObjArgs(hub->loop, hub->state->str_call_soon": EXIT,
}

#: Sites after whose failure something is missing that nobody is told of.
TOLERATED = {
    "conn/hubs.c: get_running_loop); bool is_here": POSTED,
    "conn/fanout.c: PyObject_GetAttr(socket, hub->state->py_names[TBX_PY_CONN])": LEFT,
    "conn/conn_rx.c: PyUnicode_DecodeUTF8((const char *)message->data + 2": REASON,
    "conn/conn_rx.c: PyUnicodeDecodeError_GetReason(exc)": REASON,
    "conn/conn_rx.c: PyUnicode_AsUTF8(reason)": REASON,
    "conn/event_stats.c: PyMem_Realloc(stats->entries": COUNT,
    "conn/event_stats.c: PyMem_Calloc(1, sizeof *entry)": COUNT,
    "conn/event_stats.c: PyUnicode_AsUTF8(ns)": COUNT,
    "conn/event_stats.c: fresh = PyDict_New()": COUNT,
    "conn/event_stats.c: PyDict_SetDefault(stats->numbers": COUNT,
    "conn/event_stats.c: PyLong_FromSsize_t(stats->n)": COUNT,
    "conn/event_stats.c: PyDict_SetItem(events, event": COUNT,
}

#: Sites that do not fail for good.
PASSING = {
    "conn/hubs.c: get_running_loop); bool is_here": "a look-up, after whose failure the session's"
    " own loop is to do what is wanted: it looks again",
}
