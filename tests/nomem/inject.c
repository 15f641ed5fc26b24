/* inject.c: which call fails, and the module `nomem` by which the tests choose it.
 *
 *     sites() -> [(unit, file, line, function, number, hits)]
 *     choose(places, skip, stays)    # the sites that fail, after `skip` hits; once, or from then on
 *     state() -> (failures, blocks)
 *     cleared() -> ["file:line"]     # where MemoryError was dropped since choose()
 */
#define TBX_NOMEM_SELF
#include "inject.h"
extern tbx_site *__start_tbx_sites[], *__stop_tbx_sites[];

enum { CHOSEN_MAX = 200, CLEARED_MAX = 50 };

static tbx_site *chosen[CHOSEN_MAX];
static size_t n_chosen;
static unsigned long skip;
static bool stays, armed;
static unsigned long failures;
static long blocks;
static struct {
    const char *file;
    int line;
} cleared[CLEARED_MAX];
static size_t n_cleared;

/* ---- the allocators of the interpreter ---- */

static PyMemAllocatorEx originals[2];

static bool
is_out_of_memory(void)
{
    if (armed) {
        armed = false;
        failures++;
        return true;
    }
    return false;
}

static void *
hook_malloc(void *original, size_t size)
{
    PyMemAllocatorEx *a = original;
    return is_out_of_memory() ? NULL : a->malloc(a->ctx, size);
}

static void *
hook_calloc(void *original, size_t n, size_t size)
{
    PyMemAllocatorEx *a = original;
    return is_out_of_memory() ? NULL : a->calloc(a->ctx, n, size);
}

static void *
hook_realloc(void *original, void *block, size_t size)
{
    PyMemAllocatorEx *a = original;
    return is_out_of_memory() ? NULL : a->realloc(a->ctx, block, size);
}

static void
hook_free(void *original, void *block)
{
    PyMemAllocatorEx *a = original;
    a->free(a->ctx, block);
}

static void
hook_allocators(void)
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &originals[i]);
        PyMemAllocatorEx hook = {&originals[i], hook_malloc, hook_calloc, hook_realloc, hook_free};
        PyMem_SetAllocator(domains[i], &hook);
    }
}

/* ---- sites ---- */

static bool
is_chosen(tbx_site *site)
{
    site->hits++;
    for (size_t i = 0; i < n_chosen; i++) {
        if (chosen[i] == site) {
            if (skip > 0) {
                skip--;
                return false;
            }
            return stays || failures == 0;
        }
    }
    return false;
}

bool
tbx_site_fails(tbx_site *site)
{
    if (is_chosen(site)) {
        failures++;
        return true;
    }
    return false;
}

bool
tbx_site_raises(tbx_site *site)
{
    if (is_chosen(site)) {
        failures++;
        PyErr_NoMemory();
        return true;
    }
    return false;
}

void
tbx_site_arms(tbx_site *site)
{
    armed = armed || is_chosen(site);
}

void
tbx_site_clears(const char *file, int line)
{
    if (PyErr_Occurred() != NULL && PyErr_ExceptionMatches(PyExc_MemoryError) &&
        n_cleared < CLEARED_MAX) {
        cleared[n_cleared].file = file;
        cleared[n_cleared++].line = line;
    }
}

void
tbx_site_clear_object(PyObject **object)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_CLEAR(*object);
    PyErr_Restore(type, value, traceback);
}

void *
tbx_counted(void *block)
{
    blocks += block != NULL;
    return block;
}

void *
tbx_uncounted(void *block)
{
    blocks -= block != NULL;
    return block;
}

/* ---- the module ---- */

static PyObject *
nomem_sites(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *list = PyList_New(0);
    for (tbx_site **p = __start_tbx_sites; list != NULL && p < __stop_tbx_sites; p++) {
        PyObject *one = Py_BuildValue("(ssisik)", (*p)->unit, (*p)->file, (*p)->line,
                                      (*p)->function, (*p)->number, (*p)->hits);
        if (one == NULL || PyList_Append(list, one) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(one);
    }
    return list;
}

static void
reset(void)
{
    failures = skip = 0;
    n_chosen = n_cleared = 0;
    armed = stays = false;
}

static PyObject *
nomem_choose(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *places;
    Py_ssize_t to_skip;
    int for_good;
    if (!PyArg_ParseTuple(args, "O!np:choose", &PyList_Type, &places, &to_skip, &for_good)) {
        return NULL;
    }
    reset();
    Py_ssize_t n_sites = __stop_tbx_sites - __start_tbx_sites;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(places); i++) {
        Py_ssize_t place = PyLong_AsSsize_t(PyList_GET_ITEM(places, i));
        if (place < 0 || place >= n_sites || i == CHOSEN_MAX) {
            reset();
            PyErr_SetString(PyExc_ValueError, "no such site, or too many");
            return NULL;
        }
        chosen[i] = __start_tbx_sites[place];
    }
    n_chosen = (size_t)PyList_GET_SIZE(places);
    skip = (unsigned long)to_skip;
    stays = for_good != 0;
    Py_RETURN_NONE;
}

static PyObject *
nomem_state(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    unsigned long n_failures = failures;
    long n_blocks = blocks;
    n_chosen = 0;
    armed = false;
    return Py_BuildValue("(kl)", n_failures, n_blocks);
}

static PyObject *
nomem_cleared(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < n_cleared; i++) {
        PyObject *one = PyUnicode_FromFormat("%s:%d", cleared[i].file, cleared[i].line);
        if (one == NULL || PyList_Append(list, one) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(one);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"sites", nomem_sites, METH_NOARGS, NULL},
    {"choose", nomem_choose, METH_VARARGS, NULL},
    {"state", nomem_state, METH_NOARGS, "What happened; from now on nothing fails."},
    {"cleared", nomem_cleared, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "nomem", .m_size = -1,
                                        .m_methods = methods};

PyMODINIT_FUNC
PyInit_nomem(void)
{
    hook_allocators();
    return PyModule_Create(&definition);
}
