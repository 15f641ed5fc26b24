/* watch.h: whether what was looked at of objects and classes is as it was then.
 *
 * Truth is a snapshot: of each object the values of some names in its dict and in its class. Versions say
 * cheaply that nothing at all has changed: that which the interpreter keeps of each class, and on 3.11 of
 * each dict; from 3.12 on the interpreter tells of changes to a dict (PyDict_Watch). Where it cannot, since
 * all its watchers are taken, the snapshot is compared each time.
 * Owner: the hub, or the connection; all references are its own.
 */
#ifndef TBX_CONN_WATCH_H
#define TBX_CONN_WATCH_H

#include "py/state.h"

#define TBX_HAS_DICT_WATCHERS (PY_VERSION_HEX >= 0x030c0000)
#define TBX_WATCH_UNKNOWN UINT64_MAX /* a version that nothing has */

#define TBX_WATCH_MAX 16

/* The methods of a session's socket in whose place C stands. Where a socket has one of its own, Python
 * handles its messages. */
#define TBX_SOCKET_METHODS(X)                                                                      \
    X(receive, "receive")                                                                          \
    X(send, "send")                                                                                \
    X(close, "close")                                                                              \
    X(receive_encoded, "_receive_encoded")

typedef struct {
    PyObject *owner;           /* owned: an object, a dict or a class */
    PyObject *names;           /* owned tuple: keys that were looked at */
    PyObject **in_dict;        /* owned array of owned values, NULL where there is none; or NULL */
    PyObject **in_class;       /* the same of the class, and its bases */
    PyObject **dict_place;     /* where the owner's dict is; NULL: it has none */
    PyObject *dict;            /* owned: that dict */
    PyTypeObject **type_place; /* where its class is; NULL: it is a dict */
    uint64_t dict_version;     /* 3.11 */
    unsigned type_version;
    bool is_base; /* the class need not be looked at each time */
} tbx_watch_entry;

typedef struct {
    tbx_watch_entry *entries; /* owned */
    Py_ssize_t n;
    uint64_t changes; /* 3.12 and later: of any watched dict until then */
    uint64_t made;    /* how often it was set */
    /* What is looked at each time: the dicts and classes of the entries. A class is left out that is a
     * base of another one, whose version changes with its own. */
    struct {
        PyObject **place; /* of the dict */
#if TBX_HAS_DICT_WATCHERS
        PyObject *dict; /* borrowed from the entry */
#else
        uint64_t version;
#endif
    } dicts[TBX_WATCH_MAX];
    struct {
        PyTypeObject **place;
        unsigned version;
    } types[TBX_WATCH_MAX];
    int n_dicts, n_types;
} tbx_watch;

/* An object that should keep its class, and whose dict should not have some keys. */
typedef struct {
    PyObject *object;   /* borrowed from who clears this before it lets go of it; or NULL */
    PyTypeObject *type; /* owned: its class */
    PyObject **place;   /* where its dict is; NULL: it has none */
    PyObject *dict;     /* owned: that dict, or NULL */
    uint64_t version;   /* 3.11: of the dict; later: of all such dicts */
} tbx_watch_keys;

/* Called once for a module state. 0 or -1 with an exception. */
int tbx_watch_init(TbxState *state);
void tbx_watch_free(TbxState *state);

/* Takes a snapshot: a tuple of (object, dict or class, tuple of names). 0 or -1 with an exception. May
 * collect, and so escapes. */
int tbx_watch_set(TbxState *state, tbx_watch *w, PyObject *looked_at);

/* True when nothing of it has changed. Escapes only where something has, or may have. */
bool tbx_watch_holds(TbxState *state, tbx_watch *w);

int tbx_watch_traverse(tbx_watch *w, visitproc visit, void *arg);
void tbx_watch_clear(tbx_watch *w);

/* The names of TBX_SOCKET_METHODS, a tuple. New reference; NULL with an exception. */
PyObject *tbx_watch_methods(TbxState *state);
/* Watches the class of an object, and its dict for these names. */
void tbx_watch_keys_set(TbxState *state, tbx_watch_keys *w, PyObject *object);
int tbx_watch_keys_traverse(tbx_watch_keys *w, visitproc visit, void *arg);
void tbx_watch_keys_clear(tbx_watch_keys *w);
/* False when it has one of them, or the class or the dict is another one. Does not escape: the keys are
 * names of attributes. */
bool tbx_watch_keys_hold(TbxState *state, tbx_watch_keys *w);

#if TBX_HAS_DICT_WATCHERS
extern uint64_t tbx_watch_n_methods; /* changes of such names in any watched dict */
#endif

/* Whether they were looked at since the last change. */
static inline bool
tbx_watch_keys_are_known(const tbx_watch_keys *w)
{
#if TBX_HAS_DICT_WATCHERS
    bool is_known = w->version == tbx_watch_n_methods;
#else
    bool is_known = w->dict == NULL || w->version == ((PyDictObject *)w->dict)->ma_version_tag;
#endif
    return w->object == NULL || (is_known && Py_IS_TYPE(w->object, w->type) &&
                                 (w->place == NULL || *w->place == w->dict));
}

#endif
