/* watch.c: versions of dicts and classes, and snapshots of them (contract in watch.h). */
#include "conn/watch.h"

#include <limits.h>

#define HAS_INLINE_VALUES (PY_VERSION_HEX >= 0x030d0000)

#if TBX_HAS_DICT_WATCHERS
#define N_LAST 8

/* A dict does not say whose it is, and a watcher knows nothing but the dict: one count for all, and the
 * last ones, which are compared with and never read. Only changed with the GIL held. */
static uint64_t n_changes;
static PyObject *last_changed[N_LAST];
uint64_t tbx_watch_n_methods;

static bool
is_method(PyObject *key)
{
#define X(name, text) || PyUnicode_CompareWithASCIIString(key, text) == 0
    return !PyUnicode_Check(key) TBX_SOCKET_METHODS(X);
#undef X
}

static int
on_change(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *Py_UNUSED(value))
{
    last_changed[n_changes++ % N_LAST] = dict;
    if (event != PyDict_EVENT_DEALLOCATED && (key == NULL || is_method(key))) {
        tbx_watch_n_methods++;
    }
    return 0;
}
#else
static uint64_t
dict_version(PyObject *dict)
{
    return ((PyDictObject *)dict)->ma_version_tag;
}
#endif

/* Lets the interpreter tell of changes to a dict. */
static void
follow(TbxState *state, PyObject *dict)
{
#if TBX_HAS_DICT_WATCHERS
    if (state->has_watcher && PyDict_Watch(state->dict_watcher, dict) < 0) {
        PyErr_Clear();
        state->has_watcher = false; /* nobody's any more */
    }
#else
    (void)state;
    (void)dict;
#endif
}

/* The dict of an object's attributes; new reference. Python 3.13.0 tells nothing of changes to
 * values that lie within the object (a split table; github.com/python/cpython/issues/125608): there
 * it gets a dict of its own, as by `obj.__dict__ = {**obj.__dict__}`, and has no such values from
 * then on. */
static PyObject *
dict_of(PyObject *object)
{
    PyObject *dict = PyObject_GenericGetDict(object, NULL);
#if HAS_INLINE_VALUES
    bool is_deaf = dict != NULL && Py_Version < 0x030d0100 && PyDict_CheckExact(dict) &&
                   ((PyDictObject *)dict)->ma_values != NULL;
    if (is_deaf) {
        PyObject *own = PyDict_New();
        PyObject *name = PyUnicode_InternFromString("__dict__");
        /* Not PyObject_GenericSetDict: that of 3.13.0 leaves the values in force. */
        if (own == NULL || name == NULL || PyDict_Update(own, dict) < 0 ||
            PyObject_GenericSetAttr(object, name, own) < 0) {
            Py_CLEAR(own);
        }
        Py_XDECREF(name);
        Py_SETREF(dict, own);
    }
#endif
    return dict;
}

int
tbx_watch_init(TbxState *state)
{
    state->has_watcher = false;
#if TBX_HAS_DICT_WATCHERS
    state->dict_watcher = PyDict_AddWatcher(on_change);
    state->has_watcher = state->dict_watcher >= 0;
    if (!state->has_watcher && !PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        return -1;
    }
    PyErr_Clear(); /* all are taken */
#endif
    return 0;
}

void
tbx_watch_free(TbxState *state)
{
#if TBX_HAS_DICT_WATCHERS
    if (state->has_watcher && PyDict_ClearWatcher(state->dict_watcher) < 0) {
        PyErr_Clear();
    }
#endif
    state->has_watcher = false;
}

/* ---- snapshots ---- */

/* The version of a class as it is now, which may have none yet. */
static unsigned
type_version(PyTypeObject *type, PyObject *names)
{
    if (type->tp_version_tag == 0 && PyTuple_GET_SIZE(names) > 0) {
        (void)_PyType_Lookup(type, PyTuple_GET_ITEM(names, 0)); /* gives it one */
    }
    return type->tp_version_tag;
}

/* Fills an entry, which owns what it has got also when that fails. 0 or -1 with an exception. */
static int
look_at(TbxState *state, tbx_watch_entry *e, PyObject *owner, PyObject *names)
{
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    e->names = Py_NewRef(names);
    e->owner = Py_NewRef(owner);
    if (PyDict_CheckExact(owner)) {
        e->dict = Py_NewRef(owner);
        e->dict_place = &e->owner;
    }
    else if (PyType_Check(owner)) {
        e->type_place = (PyTypeObject **)&e->owner;
    }
    else {
        e->dict = dict_of(owner);
        e->dict_place = _PyObject_GetDictPtr(owner);
        e->type_place = &owner->ob_type;
        if (e->dict == NULL || e->dict_place == NULL) {
            return -1;
        }
    }
    if (e->dict != NULL) {
        follow(state, e->dict);
#if !TBX_HAS_DICT_WATCHERS
        e->dict_version = dict_version(e->dict);
#endif
        e->in_dict = PyMem_Calloc((size_t)n + 1, sizeof *e->in_dict);
    }
    if (e->type_place != NULL) {
        e->type_version = type_version(*e->type_place, names);
        e->in_class = PyMem_Calloc((size_t)n + 1, sizeof *e->in_class);
    }
    if ((e->dict != NULL && e->in_dict == NULL) || (e->type_place != NULL && e->in_class == NULL)) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (e->in_dict != NULL) {
            e->in_dict[i] = Py_XNewRef(PyDict_GetItemWithError(e->dict, name));
        }
        if (e->in_class != NULL) {
            e->in_class[i] = Py_XNewRef(_PyType_Lookup(*e->type_place, name));
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

/* Whether the class of an entry is another one's, too, or a base of another one. */
static bool
is_base(const tbx_watch *w, Py_ssize_t at)
{
    PyTypeObject *type = *w->entries[at].type_place;
    for (Py_ssize_t i = 0; i < w->n; i++) {
        PyTypeObject **other = w->entries[i].type_place;
        bool is_before = i < at && other != NULL && *other == type;
        if (is_before || (other != NULL && *other != type && PyType_IsSubtype(*other, type))) {
            return true;
        }
    }
    return false;
}

/* From the entries to what is looked at each time. */
static void
arm(tbx_watch *w)
{
    w->n_dicts = w->n_types = 0;
    for (Py_ssize_t i = 0; i < w->n; i++) {
        tbx_watch_entry *e = &w->entries[i];
        if (e->dict_place != NULL) {
            w->dicts[w->n_dicts].place = e->dict_place;
#if TBX_HAS_DICT_WATCHERS
            w->dicts[w->n_dicts++].dict = e->dict;
#else
            w->dicts[w->n_dicts++].version = e->dict_version;
#endif
        }
        if (e->type_place != NULL && !e->is_base) {
            w->types[w->n_types].place = e->type_place;
            w->types[w->n_types++].version = e->type_version != 0 ? e->type_version : UINT_MAX;
        }
    }
}

int
tbx_watch_set(TbxState *state, tbx_watch *w, PyObject *looked_at)
{
    tbx_watch fresh = {.made = w->made + 1};
    Py_ssize_t n = PyTuple_GET_SIZE(looked_at);
    if (n > TBX_WATCH_MAX) {
        PyErr_SetString(PyExc_ValueError, "too much to watch");
        return -1;
    }
    fresh.entries = PyMem_Calloc((size_t)n + 1, sizeof *fresh.entries);
    if (fresh.entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
#if TBX_HAS_DICT_WATCHERS
    fresh.changes = n_changes;
#endif
    int status = 0;
    for (Py_ssize_t i = 0; i < n && status == 0; i++) {
        PyObject *owner, *names;
        status = -1;
        if (PyArg_ParseTuple(PyTuple_GET_ITEM(looked_at, i), "OO!:watch", &owner, &PyTuple_Type,
                             &names)) {
            fresh.n++;
            status = look_at(state, &fresh.entries[i], owner, names);
        }
    }
    if (status < 0) {
        tbx_exc raised = tbx_exc_save();
        tbx_watch_clear(&fresh);
        tbx_exc_restore(raised);
        return -1;
    }
    tbx_watch old = *w;
    for (Py_ssize_t i = 0; i < n; i++) {
        fresh.entries[i].is_base = fresh.entries[i].type_place != NULL && is_base(&fresh, i);
    }
    *w = fresh;
    arm(w);
    tbx_watch_clear(&old);
    return 0;
}

/* Whether the dict of an entry has the values of the snapshot. Escapes where it has keys that are no
 * strings: the watch may be another one afterwards. */
static bool
is_same_dict(TbxState *state, tbx_watch *w, Py_ssize_t at)
{
    tbx_watch_entry *e = &w->entries[at];
    uint64_t made = w->made;
    if (*e->dict_place == NULL) {
        return false;
    }
    if (*e->dict_place != e->dict) { /* another one was assigned */
        PyObject *old = e->dict;
        e->dict = Py_NewRef(*e->dict_place);
        follow(state, e->dict);
        Py_DECREF(old);
        if (w->made != made) {
            return false;
        }
    }
#if !TBX_HAS_DICT_WATCHERS
    e->dict_version = dict_version(e->dict);
#endif
    PyObject *names = Py_NewRef(e->names);
    PyObject *dict = Py_NewRef(e->dict);
    bool is_same = true;
    for (Py_ssize_t i = 0; is_same && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *found = PyDict_GetItemWithError(dict, PyTuple_GET_ITEM(names, i));
        is_same = w->made == made && found == e->in_dict[i];
    }
    is_same = is_same && !PyErr_Occurred();
    PyErr_Clear();
    Py_DECREF(dict);
    Py_DECREF(names);
    return is_same && w->made == made;
}

static bool
is_same_class(tbx_watch_entry *e)
{
    PyTypeObject *type = *e->type_place;
    e->type_version = type_version(type, e->names);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(e->names); i++) {
        if (_PyType_Lookup(type, PyTuple_GET_ITEM(e->names, i)) != e->in_class[i]) {
            return false;
        }
    }
    return true;
}

/* Whether a dict may not be as it was. */
static inline bool
is_suspect(const TbxState *state, const tbx_watch *w, const tbx_watch_entry *e)
{
    PyObject *dict = *e->dict_place;
#if TBX_HAS_DICT_WATCHERS
    if (dict != e->dict || !state->has_watcher || n_changes - w->changes > N_LAST) {
        return true;
    }
    for (uint64_t i = w->changes; i < n_changes; i++) {
        if (last_changed[i % N_LAST] == dict) {
            return true;
        }
    }
    return false;
#else
    (void)state;
    (void)w;
    return dict == NULL || dict_version(dict) != e->dict_version;
#endif
}

static bool
holds_still(TbxState *state, tbx_watch *w)
{
    uint64_t made = w->made;
#if TBX_HAS_DICT_WATCHERS
    uint64_t changes = n_changes;
#endif
    for (Py_ssize_t i = 0; i < w->n; i++) {
        tbx_watch_entry *e = &w->entries[i];
        unsigned version = e->type_place != NULL ? (*e->type_place)->tp_version_tag : 0;
        bool is_new = version == 0 || version != e->type_version;
        if (e->type_place != NULL && is_new && !is_same_class(e)) {
            return false;
        }
        if (e->dict_place != NULL && is_suspect(state, w, e) && !is_same_dict(state, w, i)) {
            return false;
        }
    }
#if TBX_HAS_DICT_WATCHERS
    w->changes = changes;
#endif
    arm(w);
    return w->made == made;
}

/* Whether nothing at all has changed. */
static bool
is_as_it_was(const TbxState *state, const tbx_watch *w)
{
    for (int i = 0; i < w->n_types; i++) {
        if ((*w->types[i].place)->tp_version_tag != w->types[i].version) {
            return false;
        }
    }
    for (int i = 0; i < w->n_dicts; i++) {
        PyObject *dict = *w->dicts[i].place;
#if TBX_HAS_DICT_WATCHERS
        if (dict != w->dicts[i].dict) {
            return false;
        }
#else
        if (dict == NULL || dict_version(dict) != w->dicts[i].version) {
            return false;
        }
#endif
    }
#if TBX_HAS_DICT_WATCHERS
    return state->has_watcher && w->changes == n_changes;
#else
    (void)state;
    return true;
#endif
}

bool
tbx_watch_holds(TbxState *state, tbx_watch *w)
{
    return w->n > 0 && (is_as_it_was(state, w) || holds_still(state, w));
}

int
tbx_watch_traverse(tbx_watch *w, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < w->n; i++) {
        tbx_watch_entry *e = &w->entries[i];
        Py_VISIT(e->owner);
        Py_VISIT(e->names);
        Py_VISIT(e->dict);
        for (Py_ssize_t k = 0; e->names != NULL && k < PyTuple_GET_SIZE(e->names); k++) {
            if (e->in_dict != NULL) {
                Py_VISIT(e->in_dict[k]);
            }
            if (e->in_class != NULL) {
                Py_VISIT(e->in_class[k]);
            }
        }
    }
    return 0;
}

void
tbx_watch_clear(tbx_watch *w)
{
    tbx_watch_entry *entries = w->entries;
    Py_ssize_t n = w->n;
    w->entries = NULL;
    w->n = w->n_dicts = w->n_types = 0;
    w->made++;
    for (Py_ssize_t i = 0; i < n; i++) {
        tbx_watch_entry *e = &entries[i];
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(e->names); k++) {
            if (e->in_dict != NULL) {
                Py_XDECREF(e->in_dict[k]);
            }
            if (e->in_class != NULL) {
                Py_XDECREF(e->in_class[k]);
            }
        }
        PyMem_Free(e->in_dict);
        PyMem_Free(e->in_class);
        Py_XDECREF(e->dict);
        Py_DECREF(e->owner);
        Py_DECREF(e->names);
    }
    PyMem_Free(entries);
}

/* ---- keys that should not be there ---- */

PyObject *
tbx_watch_methods(TbxState *state)
{
#define X(name, text) state->str_##name,
    PyObject *names[] = {TBX_SOCKET_METHODS(X)};
#undef X
    Py_ssize_t n = (Py_ssize_t)(sizeof names / sizeof names[0]);
    PyObject *methods = PyTuple_New(n);
    for (Py_ssize_t i = 0; methods != NULL && i < n; i++) {
        PyTuple_SET_ITEM(methods, i, Py_NewRef(names[i]));
    }
    return methods;
}

void
tbx_watch_keys_set(TbxState *state, tbx_watch_keys *w, PyObject *object)
{
    w->object = object;
    w->type = (PyTypeObject *)Py_NewRef(Py_TYPE(object));
    w->dict = PyObject_GenericGetDict(object, NULL);
    PyErr_Clear(); /* it has none */
    w->version = TBX_WATCH_UNKNOWN;
    if (w->dict != NULL) {
        w->place = _PyObject_GetDictPtr(object);
        follow(state, w->dict);
    }
}

int
tbx_watch_keys_traverse(tbx_watch_keys *w, visitproc visit, void *arg)
{
    Py_VISIT(w->type);
    Py_VISIT(w->dict);
    return 0;
}

void
tbx_watch_keys_clear(tbx_watch_keys *w)
{
    w->object = NULL;
    w->place = NULL;
    Py_CLEAR(w->type);
    Py_CLEAR(w->dict);
}

bool
tbx_watch_keys_hold(TbxState *state, tbx_watch_keys *w)
{
    if (w->object == NULL) {
        return true;
    }
    if (!Py_IS_TYPE(w->object, w->type) || (w->place != NULL && *w->place != w->dict)) {
        return false;
    }
    if (w->dict == NULL) {
        return true;
    }
#if TBX_HAS_DICT_WATCHERS
    uint64_t version = state->has_watcher ? tbx_watch_n_methods : TBX_WATCH_UNKNOWN;
#else
    uint64_t version = dict_version(w->dict);
#endif
#define X(name, text) state->str_##name,
    PyObject *names[] = {TBX_SOCKET_METHODS(X)};
#undef X
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (PyDict_GetItemWithError(w->dict, names[i]) != NULL || PyErr_Occurred()) {
            PyErr_Clear();
            return false;
        }
    }
    w->version = version;
    return true;
}
