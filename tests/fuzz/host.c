/* host.c: a fuzz target in Python: an interpreter with the extension, instrumented, built in.
 *
 * The name of the executable is the target's: <name> runs `one_input(data)` of fuzz_<name>.py. What
 * that raises is a failure. PyInit__core and all of csrc/ are linked in, so libFuzzer sees which edges
 * an input reaches; the interpreter itself is the machine's.
 * Time: the monotonic clock of the extension (--wrap=clock_gettime) stands still but for
 * _fuzz_host.advance(), so that deadlines fire when the input says so.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fuzz.h"

#include <sanitizer/lsan_interface.h>
#include <time.h>

#define LEAKS_EVERY                                                                                \
    5000 /* inputs: libFuzzer's own search, at each that allocates, is too slow here */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
PyMODINIT_FUNC PyInit__core(void);

static PyObject *one_input;
static double seconds = 1000;

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC || one_input == NULL) {
        return __real_clock_gettime(clock, now);
    }
    now->tv_sec = (time_t)seconds;
    now->tv_nsec = (long)((seconds - (double)now->tv_sec) * 1e9);
    return 0;
}

static PyObject *
host_advance(PyObject *Py_UNUSED(self), PyObject *arg)
{
    double more = PyFloat_AsDouble(arg);
    if (more == -1 && PyErr_Occurred()) {
        return NULL;
    }
    seconds += more;
    return PyFloat_FromDouble(seconds);
}

static PyMethodDef host_methods[] = {
    {"advance", host_advance, METH_O, "Let so many seconds pass; the monotonic time."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef host_module = {PyModuleDef_HEAD_INIT, .m_name = "_fuzz_host",
                                         .m_size = -1, .m_methods = host_methods};

static PyObject *
init_host(void)
{
    return PyModule_Create(&host_module);
}

static void
fail(const char *where)
{
    fprintf(stderr, "%s\n", where);
    if (PyErr_Occurred()) {
        PyErr_Print();
    }
    abort();
}

static void
start(void)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0; /* they are libFuzzer's */
    config.write_bytecode = 0;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, FUZZ_PYTHON);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    setenv("PYTHONMALLOC", "malloc", 1); /* so that the sanitizer sees every object */
    setenv("PYTHONHASHSEED", "0", 1);
    if (PyImport_AppendInittab("toolboxsio._core", PyInit__core) < 0 ||
        PyImport_AppendInittab("_fuzz_host", init_host) < 0) {
        fail("no memory");
    }
    start();
    const char *slash = strrchr((*argv)[0], '/');
    PyObject *path = PySys_GetObject("path");
    PyObject *folder = PyUnicode_FromString(FUZZ_FOLDER);
    if (path == NULL || folder == NULL || PyList_Insert(path, 0, folder) < 0) {
        fail("no sys.path");
    }
    Py_DECREF(folder);
    PyObject *module = PyImport_ImportModule("hosted");
    if (module == NULL) {
        fail("hosted.py cannot be imported");
    }
    PyObject *found =
        PyObject_CallMethod(module, "load", "s", slash != NULL ? slash + 1 : (*argv)[0]);
    Py_DECREF(module);
    if (found == NULL) {
        fail("the target cannot be imported");
    }
    one_input = found;
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *done = PyObject_CallFunction(one_input, "y#", data, (Py_ssize_t)size);
    if (done == NULL) {
        fail("one_input() has raised");
    }
    int result = done == Py_False ? -1 : 0; /* -1: not for the corpus */
    Py_DECREF(done);
    static unsigned long runs;
    if (++runs % LEAKS_EVERY == 0 && __lsan_do_recoverable_leak_check() != 0) {
        fail("an input since the last search leaks");
    }
    return result;
}
