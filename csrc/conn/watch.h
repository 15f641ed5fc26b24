/* watch.h: whether objects and classes are as they were when they were last looked at.
 *
 * What an application replaces on a server (a method on the object, or on one of its classes) shows
 * in the version that the interpreter keeps of each class, and on 3.11 of each dict; from 3.12 on the
 * interpreter tells of changes to a dict (PyDict_Watch), and any such change voids all watches.
 * Owner: the hub; all references are its own.
 */
#ifndef TBX_CONN_WATCH_H
#define TBX_CONN_WATCH_H

#include "py/state.h"

#define TBX_WATCH_DICTS 8
#define TBX_WATCH_TYPES 8

typedef struct {
    PyObject *dicts[TBX_WATCH_DICTS];        /* owned: dicts, and the __dict__ of other objects */
    uint64_t dict_versions[TBX_WATCH_DICTS]; /* 3.11 */
    uint64_t changes;                        /* 3.12 and later: changes of any dict until then */
    PyObject *types[TBX_WATCH_TYPES];        /* owned */
    unsigned type_versions[TBX_WATCH_TYPES];
    int n_dicts, n_types;
} tbx_watch;

/* Called once for a module state. 0 or -1 with an exception. */
int tbx_watch_init(TbxState *state);
void tbx_watch_free(TbxState *state);

/* Watches the objects of a tuple (dicts, and others by their __dict__) and the types of another.
 * 0 or -1 with an exception. */
int tbx_watch_set(TbxState *state, tbx_watch *w, PyObject *objects, PyObject *types);

/* True when nothing has changed since tbx_watch_set. No escapes. */
bool tbx_watch_holds(const tbx_watch *w);

int tbx_watch_traverse(tbx_watch *w, visitproc visit, void *arg);
void tbx_watch_clear(tbx_watch *w);

#endif
