/* inject.h: stands in front of every C file of the extension in the build of `make nomem`.
 *
 * Each call of a function that allocates becomes a site: a record of its own in the section tbx_sites, so
 * that the list of sites is what was compiled. The site that is chosen fails instead of calling, with
 * MemoryError where the function would have set it. Memory of the extension's own is counted.
 */
#ifndef TBX_NOMEM_INJECT_H
#define TBX_NOMEM_INJECT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdlib.h>

#include "../../csrc/base/buf.h"

typedef struct {
    const char *unit, *file, *function;
    int line;
    int number; /* tells apart those of one line */
    unsigned long hits;
} tbx_site;

/* Counts the call; true when it is to fail. */
bool tbx_site_fails(tbx_site *site);
/* The same with MemoryError. */
bool tbx_site_raises(tbx_site *site);
/* The same for what the interpreter does by itself: its next allocation of an object fails. */
void tbx_site_arms(tbx_site *site);
/* An exception is about to be dropped here. */
void tbx_site_clears(const char *file, int line);
void tbx_site_clear_object(PyObject **object);
void *tbx_counted(void *block);
void *tbx_uncounted(void *block);

#define TBX_SITE(name)                                                                             \
    static tbx_site tbx_site_here = {__BASE_FILE__, __FILE__, name, __LINE__, __COUNTER__, 0};     \
    static tbx_site *tbx_site_entry __attribute__((section("tbx_sites"), used)) = &tbx_site_here;  \
    (void)tbx_site_entry

#define TBX_TRY(name, function, failed, ...)                                                       \
    ({                                                                                             \
        TBX_SITE(name);                                                                            \
        tbx_site_raises(&tbx_site_here) ? failed : function(__VA_ARGS__);                          \
    })
#define TBX_MEMORY(name, function, ...)                                                            \
    ({                                                                                             \
        TBX_SITE(name);                                                                            \
        tbx_site_fails(&tbx_site_here) ? NULL : function(__VA_ARGS__);                             \
    })
#define TBX_QUIETLY(name, function, failed, ...)                                                   \
    ({                                                                                             \
        TBX_SITE(name);                                                                            \
        tbx_site_fails(&tbx_site_here) ? failed : function(__VA_ARGS__);                           \
    })
/* For those that take references over also when they fail. */
#define TBX_AFTER(name, function, ...)                                                             \
    ({                                                                                             \
        TBX_SITE(name);                                                                            \
        PyObject *tbx_made = function(__VA_ARGS__);                                                \
        if (tbx_made != NULL && tbx_site_raises(&tbx_site_here)) {                                 \
            tbx_site_clear_object(&tbx_made);                                                      \
        }                                                                                          \
        tbx_made;                                                                                  \
    })
#define TBX_ARMED(name, value)                                                                     \
    ({                                                                                             \
        TBX_SITE(name);                                                                            \
        tbx_site_arms(&tbx_site_here);                                                             \
        value;                                                                                     \
    })

#ifndef TBX_NOMEM_SELF

/* ---- calls of Python, each of which may fail in its own way ---- */

#define tbx_call_python(...) TBX_TRY("tbx_call_python", tbx_call_python, NULL, __VA_ARGS__)

/* ---- memory without exceptions ---- */

#define malloc(size) tbx_counted(TBX_MEMORY("malloc", malloc, size))
#define calloc(n, size) tbx_counted(TBX_MEMORY("calloc", calloc, n, size))
#define realloc(block, size) TBX_RESIZE("realloc", realloc, block, size)
#define free(block) free(tbx_uncounted(block))
#undef PyMem_New
#define PyMem_New(type, n) ((type *)PyMem_Malloc((size_t)(n) * sizeof(type)))
#define PyMem_Malloc(size) tbx_counted(TBX_MEMORY("PyMem_Malloc", PyMem_Malloc, size))
#define PyMem_Calloc(n, size) tbx_counted(TBX_MEMORY("PyMem_Calloc", PyMem_Calloc, n, size))
#define PyMem_Realloc(block, size) TBX_RESIZE("PyMem_Realloc", PyMem_Realloc, block, size)
#define PyMem_Free(block) PyMem_Free(tbx_uncounted(block))
#define TBX_RESIZE(name, function, block, size)                                                    \
    ({                                                                                             \
        void *tbx_old = block;                                                                     \
        void *tbx_new = TBX_MEMORY(name, function, tbx_old, size);                                 \
        tbx_old == NULL ? tbx_counted(tbx_new) : tbx_new;                                          \
    })

#define tbx_buf_room(b, n) TBX_QUIETLY("tbx_buf_room", tbx_buf_room, -1, b, n)
#define tbx_buf_put(b, src, n) TBX_QUIETLY("tbx_buf_put", tbx_buf_put, -1, b, src, n)
#define tbx_buf_put_byte(b, c) TBX_QUIETLY("tbx_buf_put_byte", tbx_buf_put_byte, -1, b, c)

/* ---- what the interpreter allocates by itself ---- */

#define tp_alloc(type, n) tp_alloc(TBX_ARMED("tp_alloc", type), n)
#define tp_repr(obj) tp_repr(TBX_ARMED("tp_repr", obj))

/* ---- functions with exceptions ---- */

#define TBX_NEW(function, ...) TBX_TRY(#function, function, NULL, __VA_ARGS__)
#define TBX_DO(function, ...) TBX_TRY(#function, function, -1, __VA_ARGS__)

#if PY_VERSION_HEX < 0x030d0000 /* where PY_SSIZE_T_CLEAN makes these macros */
#undef Py_BuildValue
#undef Py_VaBuildValue
#undef PyObject_CallMethod
#undef PyObject_CallFunction
#undef PyArg_ParseTuple
#undef PyArg_ParseTupleAndKeywords
#define TBX_SIZED(name) _##name##_SizeT
#else
#define TBX_SIZED(name) name
#endif
#define PyCMethod_New(...) TBX_NEW(PyCMethod_New, __VA_ARGS__)
#define Py_VaBuildValue(...) TBX_AFTER("Py_VaBuildValue", TBX_SIZED(Py_VaBuildValue), __VA_ARGS__)
#define Py_BuildValue(...) TBX_AFTER("Py_BuildValue", TBX_SIZED(Py_BuildValue), __VA_ARGS__)
#define PyObject_CallMethod(...)                                                                   \
    TBX_TRY("PyObject_CallMethod", TBX_SIZED(PyObject_CallMethod), NULL, __VA_ARGS__)
#define PyObject_CallFunction(...)                                                                 \
    TBX_TRY("PyObject_CallFunction", TBX_SIZED(PyObject_CallFunction), NULL, __VA_ARGS__)
#define PyArg_ParseTuple(...)                                                                      \
    TBX_TRY("PyArg_ParseTuple", TBX_SIZED(PyArg_ParseTuple), 0, __VA_ARGS__)
#define PyArg_ParseTupleAndKeywords(...)                                                           \
    TBX_TRY("PyArg_ParseTupleAndKeywords", TBX_SIZED(PyArg_ParseTupleAndKeywords), 0, __VA_ARGS__)

#define PyByteArray_FromStringAndSize(...) TBX_NEW(PyByteArray_FromStringAndSize, __VA_ARGS__)
#define PyBytes_FromObject(...) TBX_NEW(PyBytes_FromObject, __VA_ARGS__)
#define PyBytes_FromStringAndSize(...) TBX_NEW(PyBytes_FromStringAndSize, __VA_ARGS__)
#define PyContext_Copy(...) TBX_NEW(PyContext_Copy, __VA_ARGS__)
#define PyContext_CopyCurrent() TBX_NEW(PyContext_CopyCurrent, )
#define PyDict_New() TBX_NEW(PyDict_New, )
#define PyDict_SetDefault(...) TBX_NEW(PyDict_SetDefault, __VA_ARGS__)
#define PyFloat_FromDouble(...) TBX_NEW(PyFloat_FromDouble, __VA_ARGS__)
#define PyImport_ImportModule(...) TBX_NEW(PyImport_ImportModule, __VA_ARGS__)
#define PyList_AsTuple(...) TBX_NEW(PyList_AsTuple, __VA_ARGS__)
#define PyList_GetSlice(...) TBX_NEW(PyList_GetSlice, __VA_ARGS__)
#define PyList_New(...) TBX_NEW(PyList_New, __VA_ARGS__)
#define PyLong_FromLong(...) TBX_NEW(PyLong_FromLong, __VA_ARGS__)
#define PyLong_FromLongLong(...) TBX_NEW(PyLong_FromLongLong, __VA_ARGS__)
#define PyLong_FromSsize_t(...) TBX_NEW(PyLong_FromSsize_t, __VA_ARGS__)
#define PyLong_FromString(...) TBX_NEW(PyLong_FromString, __VA_ARGS__)
#define PyLong_FromUnsignedLong(...) TBX_NEW(PyLong_FromUnsignedLong, __VA_ARGS__)
#define PyLong_FromUnsignedLongLong(...) TBX_NEW(PyLong_FromUnsignedLongLong, __VA_ARGS__)
#undef PyMapping_Items
#undef PyMapping_Values
#define PyMapping_Items(...) TBX_NEW(PyMapping_Items, __VA_ARGS__)
#define PyMapping_Values(...) TBX_NEW(PyMapping_Values, __VA_ARGS__)
#define PyMemoryView_FromObject(...) TBX_NEW(PyMemoryView_FromObject, __VA_ARGS__)
#define PyObject_Call(...) TBX_NEW(PyObject_Call, __VA_ARGS__)
#define PyObject_CallFunctionObjArgs(...) TBX_NEW(PyObject_CallFunctionObjArgs, __VA_ARGS__)
#define PyObject_CallMethodNoArgs(...) TBX_NEW(PyObject_CallMethodNoArgs, __VA_ARGS__)
#define PyObject_CallMethodObjArgs(...) TBX_NEW(PyObject_CallMethodObjArgs, __VA_ARGS__)
#define PyObject_CallMethodOneArg(...) TBX_NEW(PyObject_CallMethodOneArg, __VA_ARGS__)
#define PyObject_CallNoArgs(...) TBX_NEW(PyObject_CallNoArgs, __VA_ARGS__)
#define PyObject_CallOneArg(...) TBX_NEW(PyObject_CallOneArg, __VA_ARGS__)
#define PyObject_GenericGetDict(...) TBX_NEW(PyObject_GenericGetDict, __VA_ARGS__)
#define PyObject_GetAttr(...) TBX_NEW(PyObject_GetAttr, __VA_ARGS__)
#define PyObject_GetAttrString(...) TBX_NEW(PyObject_GetAttrString, __VA_ARGS__)
#define PyObject_Str(...) TBX_NEW(PyObject_Str, __VA_ARGS__)
#define PyObject_Vectorcall(...) TBX_NEW(PyObject_Vectorcall, __VA_ARGS__)
#define PyObject_VectorcallDict(...) TBX_NEW(PyObject_VectorcallDict, __VA_ARGS__)
#define PySequence_Tuple(...) TBX_NEW(PySequence_Tuple, __VA_ARGS__)
#define PySequence_List(...) TBX_NEW(PySequence_List, __VA_ARGS__)
#define PySet_New(...) TBX_NEW(PySet_New, __VA_ARGS__)
#define PyTuple_New(...) TBX_NEW(PyTuple_New, __VA_ARGS__)
#define PyTuple_Pack(...) TBX_NEW(PyTuple_Pack, __VA_ARGS__)
#define PyType_FromModuleAndSpec(...) TBX_NEW(PyType_FromModuleAndSpec, __VA_ARGS__)
#define PyUnicode_AsEncodedString(...) TBX_NEW(PyUnicode_AsEncodedString, __VA_ARGS__)
#define PyUnicode_AsUTF8(...) TBX_NEW(PyUnicode_AsUTF8, __VA_ARGS__)
#define PyUnicode_AsUTF8AndSize(...) TBX_NEW(PyUnicode_AsUTF8AndSize, __VA_ARGS__)
#define PyUnicode_DecodeUTF8(...) TBX_NEW(PyUnicode_DecodeUTF8, __VA_ARGS__)
#define PyUnicode_FromEncodedObject(...) TBX_NEW(PyUnicode_FromEncodedObject, __VA_ARGS__)
#define PyUnicode_FromFormat(...) TBX_NEW(PyUnicode_FromFormat, __VA_ARGS__)
#define PyUnicode_FromOrdinal(...) TBX_NEW(PyUnicode_FromOrdinal, __VA_ARGS__)
#define PyUnicode_FromString(...) TBX_NEW(PyUnicode_FromString, __VA_ARGS__)
#define PyUnicode_FromStringAndSize(...) TBX_NEW(PyUnicode_FromStringAndSize, __VA_ARGS__)
#define PyUnicode_InternFromString(...) TBX_NEW(PyUnicode_InternFromString, __VA_ARGS__)
#define PyUnicode_Join(...) TBX_NEW(PyUnicode_Join, __VA_ARGS__)
#define PyUnicode_New(...) TBX_NEW(PyUnicode_New, __VA_ARGS__)
#define PyUnicode_Replace(...) TBX_NEW(PyUnicode_Replace, __VA_ARGS__)
#define PyUnicode_Split(...) TBX_NEW(PyUnicode_Split, __VA_ARGS__)
#define PyUnicode_Substring(...) TBX_NEW(PyUnicode_Substring, __VA_ARGS__)
#define PyUnicodeDecodeError_GetReason(...) TBX_NEW(PyUnicodeDecodeError_GetReason, __VA_ARGS__)
#define PyWeakref_NewRef(...) TBX_NEW(PyWeakref_NewRef, __VA_ARGS__)

#define PyDict_SetItem(...) TBX_DO(PyDict_SetItem, __VA_ARGS__)
#define PyDict_Update(...) TBX_DO(PyDict_Update, __VA_ARGS__)
#define PyList_Append(...) TBX_DO(PyList_Append, __VA_ARGS__)
#define PyList_SetItem(...) TBX_DO(PyList_SetItem, __VA_ARGS__)
#define PyList_Insert(...) TBX_DO(PyList_Insert, __VA_ARGS__)
#define PyList_SetSlice(...) TBX_DO(PyList_SetSlice, __VA_ARGS__)
#define PyModule_AddType(...) TBX_DO(PyModule_AddType, __VA_ARGS__)
#define PyModule_AddObjectRef(...) TBX_DO(PyModule_AddObjectRef, __VA_ARGS__)
#define PyObject_GetBuffer(...) TBX_DO(PyObject_GetBuffer, __VA_ARGS__)
#define PySet_Add(...) TBX_DO(PySet_Add, __VA_ARGS__)

#define PyIter_Send(iter, value, result)                                                           \
    ({                                                                                             \
        TBX_SITE("PyIter_Send");                                                                   \
        PyObject **tbx_result = result;                                                            \
        tbx_site_raises(&tbx_site_here) ? (*tbx_result = NULL, PYGEN_ERROR)                        \
                                        : PyIter_Send(iter, value, tbx_result);                    \
    })
/* These two drop the bytes when they fail. */
#define _PyBytes_Resize(bytes, n)                                                                  \
    ({                                                                                             \
        TBX_SITE("_PyBytes_Resize");                                                               \
        bool tbx_raises = tbx_site_raises(&tbx_site_here);                                         \
        tbx_raises ? (tbx_site_clear_object(bytes), -1) : _PyBytes_Resize(bytes, n);               \
    })
#define PyBytes_Concat(bytes, more)                                                                \
    ({                                                                                             \
        TBX_SITE("PyBytes_Concat");                                                                \
        bool tbx_raises = tbx_site_raises(&tbx_site_here);                                         \
        tbx_raises ? tbx_site_clear_object(bytes) : PyBytes_Concat(bytes, more);                   \
    })

/* ---- where MemoryError may end ---- */

#define PyErr_Clear() (tbx_site_clears(__FILE__, __LINE__), PyErr_Clear())

#endif
#endif
