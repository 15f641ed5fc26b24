"""Every call of the extension that allocates fails once; what is checked then: __main__.py.

The thorough run is `make nomem`.
"""

import re
import sys

import pytest

from tests.nomem import build

#: What cannot fail for lack of memory, or fails as CPython alone decides: macros and checks, errors
#: (MemoryError takes the place of one that cannot be made), look-ups and removals, which allocate
#: nothing, conversions to C, contexts, the collector, and memory (wrapped under other names).
HARMLESS = re.compile(
    r"""Py(?:Err|GC|Exception|OS|Eval)_\w+ | PyContext_(?:Enter|Exit) | \w+_(?:Check|CheckExact)
    | \w+_(?:GET|SET|AS|IS)_\w+ | PyUnicode_(?:[124]BYTE_DATA|DATA|KIND|READ|READ_CHAR)
    | PyUnicode_(?:Compare|FindChar|Tailmatch) | PyUnicodeDecodeError_GetStart
    | Py_UNICODE_\w+ | Py(?:Long|Float|Number)_As\w+ | PyBool_FromLong | PyBuffer_Release
    | PyDict_(?:GetItemWithError|Contains|Clear|DelItem|Next|AddWatcher|ClearWatcher|Watch)
    | PySet_Discard
    | PyObject_(?:IsTrue|Hash|RichCompareBool|GC_UnTrack|ClearWeakRefs|GenericSetAttr)
    | PySequence_Contains | PyExceptionInstance_Check | PyArg_UnpackTuple | PyMem_Free
    | _PyType_Lookup | _PyObject_GetDictPtr | PyType_IsSubtype | PyGen_GetCode
    | PyUnicode_CompareWithASCIIString | PyModule_GetState | PyType_GetModuleState
    | PyModuleDef_Init | PyInit__core | PyMem_New
    | Py_(?:X?(?:INC|DEC|NEW|SET)REF | X?NewRef | CLEAR | X?SETREF | VISIT | UNUSED | TYPE | SIZE
    | IS_TYPE | EnterRecursiveCall | LeaveRecursiveCall | FatalError)""",
    re.VERBOSE,
)
CALL = re.compile(r"\b_?Py\w*_\w+(?=\()|\b(?:tp_alloc|tp_repr|(?:m|c|re|v)alloc)(?=\()")


def unknown_calls(header, files):
    """`file: name` of calls that are neither wrapped nor harmless."""
    wrapped = set(re.findall(r"#define (\w+)\(", header))
    wrong = set()
    for path, text in files.items():
        text = re.sub(r"/\*.*?\*/|^\s*#.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
        for name in CALL.findall(text):
            if name not in wrapped and not HARMLESS.fullmatch(name):
                wrong.add(f"{path}: {name}")
    return sorted(wrong)


@pytest.fixture(scope="module")
def header(top):
    return (top / "tests/nomem/inject.h").read_text()


def test_every_function_that_allocates_is_wrapped(top, tracked, header):
    names = [name for name in tracked if re.match(r"csrc/.*\.[ch]$", name)]
    assert len(names) > 20
    assert unknown_calls(header, {name: (top / name).read_text() for name in names}) == []


def test_the_check_sees_a_function_that_is_not_wrapped(header):
    files = {"a.c": "x = PyList_New(0); /* PyNone_Of(1) */ y = PyFrozenSet_New(x); z = valloc(1);"}
    assert unknown_calls(header, files) == ["a.c: PyFrozenSet_New", "a.c: valloc"]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the wrapped functions are 3.11's")
@pytest.mark.timeout(300)
def test_every_call_that_allocates_fails_once(run, tmp_path):
    tree = build.build(tmp_path / "tree")
    done = run(sys.executable, "-m", "tests.nomem", cwd=tree, timeout=280, PYTHONPATH=str(tree))
    assert done.returncode == 0, done.stdout
