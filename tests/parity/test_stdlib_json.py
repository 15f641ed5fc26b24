"""CPython's own tests of json, with toolboxsio.json's dumps and loads in the place of json's."""

import importlib
import re
import sys
import unittest

import pytest

import toolboxsio

MODULES = (
    *("decode", "default", "dump", "encode_basestring_ascii", "enum", "fail", "float", "indent"),
    *("pass1", "pass2", "pass3", "recursion", "scanstring", "separators", "speedups", "unicode"),
)
#: Tests that must fail, and why; one that passes is an error.
DIFFERENT = {
    "decode.TestCDecode.test_limit_int": (
        "an integer of 5,000 digits: engineio.json, which is mirrored, allows 100 characters"
    ),
    "decode.TestCDecode.test_keys_reuse": "equal keys are one object only where they are ASCII",
    "recursion.TestCRecursion.test_highly_nested_objects_decoding": "depth-limit: ValueError",
    "recursion.TestCRecursion.test_highly_nested_objects_encoding": "depth-limit: ValueError",
}
#: Tests that CPython itself skips.
SKIPPED = {
    "encode_basestring_ascii.TestCEncodeBasestringAscii.test_overflow": (
        "needs gigabytes, and does not call dumps or loads"
    ),
}
LEAST = 70
_PUNCTUATION = re.compile(r'("(?:[^"\\]|\\.)*")|([,:])')

calls = {"dumps": 0, "loads": 0}


def dumps(obj, **options):
    """Ours; where no separators are asked for, with the spaces that json.dumps writes."""
    calls["dumps"] += 1
    text = toolboxsio.json.dumps(obj, **options)
    if "separators" in options or options.get("indent") is not None:
        return text
    return _PUNCTUATION.sub(lambda found: found[1] or f"{found[2]} ", text)


def loads(s, **options):
    """Ours."""
    calls["loads"] += 1
    return toolboxsio.json.loads(s, **options)


def stdlib_tests():
    """The tests of CPython's classes for its C code, with our functions, by name."""
    base = importlib.import_module("test.test_json").CTest
    ours = {"dumps": staticmethod(dumps), "loads": staticmethod(loads)}
    for name in MODULES:
        module = importlib.import_module(f"test.test_json.test_{name}")
        for cls in list(vars(module).values()):
            if isinstance(cls, type) and issubclass(cls, base) and cls is not base:
                injected = type(cls.__name__, (cls,), ours)
                for test in unittest.defaultTestLoader.getTestCaseNames(injected):
                    yield f"{name}.{cls.__name__}.{test}", injected(test)


def test_stdlib_tests_pass():
    try:
        importlib.import_module("test.test_json")
    except ImportError as exc:
        package = f"libpython{sys.version_info.major}.{sys.version_info.minor}-testsuite"
        pytest.fail(f"CPython's tests are not there ({exc}): apt-get install {package}")
    failures, passed, skipped = {}, [], []
    for name, test in stdlib_tests():
        result = unittest.TestResult()
        test.run(result)
        for _, trace in result.failures + result.errors:
            failures[name] = trace
        if result.skipped:
            skipped.append(name)
        elif name not in failures:
            passed.append(name)
    unlisted = [trace for name, trace in failures.items() if name not in DIFFERENT]
    assert unlisted == [], "\n".join(unlisted)
    assert set(failures) == set(DIFFERENT)
    assert set(skipped) <= set(SKIPPED)
    assert len(passed) + len(failures) + len(skipped) >= LEAST
    assert calls["dumps"] > 100
    assert calls["loads"] > 50_000
