/* watch.c: versions of dicts and classes (contract in watch.h). */
#include "conn/watch.h"

#define HAS_DICT_VERSIONS (PY_VERSION_HEX < 0x030e0000)

#if HAS_DICT_VERSIONS
static uint64_t
dict_version(PyObject *dict)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return ((PyDictObject *)dict)->ma_version_tag;
#pragma GCC diagnostic pop
}
#endif

int
tbx_watch_set(tbx_watch *w, PyObject *objects, PyObject *types)
{
    tbx_watch_clear(w);
    if (PyTuple_GET_SIZE(objects) > TBX_WATCH_DICTS || PyTuple_GET_SIZE(types) > TBX_WATCH_TYPES) {
        PyErr_SetString(PyExc_ValueError, "too much to watch");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(objects); i++) {
        PyObject *object = PyTuple_GET_ITEM(objects, i);
        PyObject *dict = PyDict_CheckExact(object) ? Py_NewRef(object)
                                                   : PyObject_GenericGetDict(object, NULL);
        if (dict == NULL) {
            return -1;
        }
        w->dicts[w->n_dicts] = dict;
#if HAS_DICT_VERSIONS
        w->dict_versions[w->n_dicts] = dict_version(dict);
#endif
        w->n_dicts++;
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
    return 0;
}

/* True when the dict has what it had, as far as it matters. */
static bool
dict_holds(const tbx_watch *w, int i)
{
#if HAS_DICT_VERSIONS
    return dict_version(w->dicts[i]) == w->dict_versions[i];
#else
    (void)w, (void)i;
    return false;
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
    for (int i = 0; i < w->n_dicts; i++) {
        if (!dict_holds(w, i)) {
            return false;
        }
    }
    return w->n_types > 0;
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
