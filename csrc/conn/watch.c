/* watch.c: versions of dicts and classes (contract in watch.h). */
#include "conn/watch.h"

#define HAS_DICT_WATCHERS (PY_VERSION_HEX >= 0x030c0000)
#define HAS_INLINE_VALUES (PY_VERSION_HEX >= 0x030d0000)

#if HAS_DICT_WATCHERS
/* A dict does not say whose it is, and a watcher knows nothing but the dict: one count for all. Only
 * changed with the GIL held. */
static uint64_t n_changes;

static int
on_change(PyDict_WatchEvent Py_UNUSED(event), PyObject *Py_UNUSED(dict), PyObject *Py_UNUSED(key),
          PyObject *Py_UNUSED(value))
{
    n_changes++;
    return 0;
}
#else
static uint64_t
dict_version(PyObject *dict)
{
    return ((PyDictObject *)dict)->ma_version_tag;
}
#endif

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
#if HAS_DICT_WATCHERS
    state->dict_watcher = PyDict_AddWatcher(on_change);
    state->has_watcher = state->dict_watcher >= 0;
    return state->has_watcher ? 0 : -1;
#else
    state->has_watcher = false;
    return 0;
#endif
}

void
tbx_watch_free(TbxState *state)
{
#if HAS_DICT_WATCHERS
    if (state->has_watcher && PyDict_ClearWatcher(state->dict_watcher) < 0) {
        PyErr_Clear();
    }
#endif
    state->has_watcher = false;
}

int
tbx_watch_set(TbxState *state, tbx_watch *w, PyObject *objects, PyObject *types)
{
    tbx_watch_clear(w);
    (void)state;
    if (PyTuple_GET_SIZE(objects) > TBX_WATCH_DICTS || PyTuple_GET_SIZE(types) > TBX_WATCH_TYPES) {
        PyErr_SetString(PyExc_ValueError, "too much to watch");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(objects); i++) {
        PyObject *object = PyTuple_GET_ITEM(objects, i);
        PyObject *dict = PyDict_CheckExact(object) ? Py_NewRef(object) : dict_of(object);
        if (dict == NULL) {
            return -1;
        }
        w->dicts[w->n_dicts] = dict;
        w->n_dicts++;
#if HAS_DICT_WATCHERS
        if (PyDict_Watch(state->dict_watcher, dict) < 0) {
            return -1;
        }
#else
        w->dict_versions[w->n_dicts - 1] = dict_version(dict);
#endif
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
        PyObject *type = PyTuple_GET_ITEM(types, i);
        if (!PyType_Check(type)) {
            PyErr_SetString(PyExc_TypeError, "a type is needed to watch it");
            return -1;
        }
        w->types[w->n_types] = Py_NewRef(type);
        w->type_versions[w->n_types] = ((PyTypeObject *)type)->tp_version_tag;
        w->n_types++;
    }
#if HAS_DICT_WATCHERS
    w->changes = n_changes;
#endif
    return 0;
}

static bool
dicts_hold(const tbx_watch *w)
{
#if HAS_DICT_WATCHERS
    return w->changes == n_changes;
#else
    for (int i = 0; i < w->n_dicts; i++) {
        if (dict_version(w->dicts[i]) != w->dict_versions[i]) {
            return false;
        }
    }
    return true;
#endif
}

bool
tbx_watch_holds(const tbx_watch *w)
{
    for (int i = 0; i < w->n_types; i++) {
        unsigned version = ((PyTypeObject *)w->types[i])->tp_version_tag;
        if (version == 0 || version != w->type_versions[i]) {
            return false;
        }
    }
    return w->n_types > 0 && dicts_hold(w);
}

int
tbx_watch_traverse(tbx_watch *w, visitproc visit, void *arg)
{
    for (int i = 0; i < w->n_dicts; i++) {
        Py_VISIT(w->dicts[i]);
    }
    for (int i = 0; i < w->n_types; i++) {
        Py_VISIT(w->types[i]);
    }
    return 0;
}

void
tbx_watch_clear(tbx_watch *w)
{
    for (int i = 0; i < w->n_dicts; i++) {
        Py_CLEAR(w->dicts[i]);
    }
    for (int i = 0; i < w->n_types; i++) {
        Py_CLEAR(w->types[i]);
    }
    w->n_dicts = w->n_types = 0;
}
