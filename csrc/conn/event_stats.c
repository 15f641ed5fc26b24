/* event_stats.c: how often each event was handled, and how long that took (contract in conn.h).
 *
 * Owns, for the hubs of a server, one entry for each event that has a handler, and a dict of dicts, namespace -> event ->
 * the entry's number, which is never taken back. At most TBX_EVENTS_MAX: what comes later is counted in
 * the first entry, under "*". An entry is 3.7 KB.
 */
#include "conn/conn.h"

#define NS_PER_SECOND 1000000000u
#define BOUNDS_MAX 64

/* Appends an empty entry: its number, or -1 with an exception. */
static Py_ssize_t
append(tbx_event_stats *stats, PyObject *ns, PyObject *event)
{
    if (stats->n == stats->cap) {
        Py_ssize_t cap = stats->cap > 0 ? stats->cap * 2 : 8;
        tbx_event_entry **entries =
            PyMem_Realloc(stats->entries, (size_t)cap * sizeof(tbx_event_entry *));
        if (entries == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        stats->entries = entries;
        stats->cap = cap;
    }
    tbx_event_entry *entry = PyMem_Calloc(1, sizeof *entry);
    if (entry == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    entry->ns = Py_NewRef(ns);
    entry->event = Py_NewRef(event);
    stats->entries[stats->n] = entry;
    return stats->n++;
}

/* The number that the tables have, -1 when there is none; -2 with an exception. */
static Py_ssize_t
look_up(tbx_event_stats *stats, PyObject *ns, PyObject *event)
{
    PyObject *events = PyDict_GetItemWithError(stats->numbers, ns);
    PyObject *number = events != NULL ? PyDict_GetItemWithError(events, event) : NULL;
    if (number == NULL) {
        return PyErr_Occurred() ? -2 : -1;
    }
    return PyLong_AsSsize_t(number);
}

/* Makes an entry, and its place in the tables. Names with lone surrogates, which no report could be
 * written with, raise. */
static Py_ssize_t
add(tbx_event_stats *stats, PyObject *ns, PyObject *event)
{
    if (PyUnicode_AsUTF8(ns) == NULL || PyUnicode_AsUTF8(event) == NULL) {
        return -1;
    }
    PyObject *fresh = PyDict_New(); /* which may collect: what is there now counts */
    PyObject *events = fresh ? PyDict_SetDefault(stats->numbers, ns, fresh) : NULL;
    Py_XINCREF(events);
    Py_XDECREF(fresh);
    if (events == NULL) {
        return -1;
    }
    Py_ssize_t index = look_up(stats, ns, event); /* it may have been added meanwhile */
    if (index != -1) {
        Py_DECREF(events);
        return index < 0 ? -1 : index;
    }
    PyObject *number = PyLong_FromSsize_t(stats->n);
    if (number != NULL && PyDict_SetItem(events, event, number) == 0) {
        index = append(stats, ns, event);
        if (index < 0) {
            tbx_exc raised = tbx_exc_save();
            if (PyDict_DelItem(events, event) < 0) {
                PyErr_Clear();
            }
            tbx_exc_restore(raised);
        }
    }
    Py_XDECREF(number);
    Py_DECREF(events);
    return index;
}

Py_ssize_t
tbx_event_find(TbxHubObject *hub, PyObject *ns, PyObject *event)
{
    tbx_event_stats *stats = &tbx_hub_root(hub)->events;
    if (stats->numbers == NULL || !PyUnicode_CheckExact(ns) || !PyUnicode_CheckExact(event)) {
        return -1;
    }
    Py_ssize_t index = look_up(stats, ns, event);
    if (index == -1) {
        PyObject *star = hub->state->str_star;
        if (stats->n == 0 && add(stats, star, star) < 0) {
            index = -2;
        }
        else if ((index = look_up(stats, ns, event)) >= 0) { /* it was that one */
        }
        else if (stats->n >= TBX_EVENTS_MAX) {
            index = 0;
        }
        else {
            index = add(stats, ns, event);
        }
    }
    if (index < 0) {
        PyErr_Clear(); /* no memory: not counted */
        return -1;
    }
    return index;
}

void
tbx_event_count(TbxHubObject *hub, Py_ssize_t index, uint64_t ns, bool has_failed)
{
    tbx_event_stats *stats = &tbx_hub_root(hub)->events;
    if (index < 0 || index >= stats->n) {
        return;
    }
    tbx_event_entry *entry = stats->entries[index];
    tbx_histogram_add(&entry->durations, ns);
    entry->n_failed += has_failed;
}

static double
seconds(uint64_t ns)
{
    return (double)ns / NS_PER_SECOND;
}

/* How many durations do not exceed each of the bounds: a tuple. */
static PyObject *
counts_up_to(const tbx_histogram *durations, const double *bounds, Py_ssize_t n)
{
    PyObject *counts = PyTuple_New(n);
    for (Py_ssize_t i = 0; counts != NULL && i < n; i++) {
        uint64_t up_to = tbx_histogram_up_to(durations, (uint64_t)(bounds[i] * NS_PER_SECOND));
        PyObject *number = PyLong_FromUnsignedLongLong(up_to);
        if (number == NULL) {
            Py_CLEAR(counts);
            break;
        }
        PyTuple_SET_ITEM(counts, i, number);
    }
    return counts;
}

static PyObject *
describe(const tbx_event_entry *entry, const double *bounds, Py_ssize_t n_bounds)
{
    const tbx_histogram *durations = &entry->durations;
    PyObject *counts = counts_up_to(durations, bounds, n_bounds);
    if (counts == NULL) {
        return NULL;
    }
    return Py_BuildValue("(OOKKddddN)", entry->ns, entry->event,
                         (unsigned long long)durations->count, (unsigned long long)entry->n_failed,
                         seconds(durations->sum), seconds(tbx_histogram_quantile(durations, 0.5)),
                         seconds(tbx_histogram_quantile(durations, 0.99)), seconds(durations->max),
                         counts);
}

PyObject *
tbx_event_list(TbxHubObject *hub, PyObject *bounds)
{
    double numbers[BOUNDS_MAX];
    Py_ssize_t n = PyTuple_GET_SIZE(bounds);
    if (n > BOUNDS_MAX) {
        PyErr_Format(PyExc_ValueError, "more than %d bounds", BOUNDS_MAX);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        numbers[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(bounds, i));
        if (numbers[i] == -1.0 && PyErr_Occurred()) {
            return NULL;
        }
        if (!(numbers[i] >= 0 && numbers[i] <= 1e9)) {
            PyErr_SetString(PyExc_ValueError, "a bound must be between 0 and 1e9 seconds");
            return NULL;
        }
    }
    tbx_event_stats *stats = &tbx_hub_root(hub)->events;
    PyObject *list = PyList_New(0);
    /* entries are only ever added, and do not move */
    for (Py_ssize_t i = 0; list != NULL && i < stats->n; i++) {
        tbx_event_entry *entry = stats->entries[i];
        PyObject *described =
            entry->durations.count > 0 ? describe(entry, numbers, n) : Py_NewRef(Py_None);
        if (described == NULL || (described != Py_None && PyList_Append(list, described) < 0)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(described);
    }
    return list;
}

void
tbx_event_stats_free(tbx_event_stats *stats)
{
    Py_CLEAR(stats->numbers);
    Py_ssize_t n = stats->n;
    stats->n = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_DECREF(stats->entries[i]->ns);
        Py_DECREF(stats->entries[i]->event);
        PyMem_Free(stats->entries[i]);
    }
    PyMem_Free(stats->entries);
    stats->entries = NULL;
    stats->cap = 0;
}
