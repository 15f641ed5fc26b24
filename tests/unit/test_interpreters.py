"""The extension in several interpreters of one process, and copies of it in one interpreter.

Interpreters that share the GIL with the first one each have a copy of the module; those with a GIL
of their own (Python 3.12 and later) are refused it.
"""

import importlib
import subprocess
import sys

import pytest

from toolboxsio import _core

PROGRAM = "tests/unit/in_interpreters.py"
#: See csrc/conn/watch.c.
COUNTS = {"n_changes", "last_changed", "tbx_watch_n_methods"}
HAS_WATCHERS = sys.version_info >= (3, 12)


def test_interpreters_come_and_go_in_any_order(run, top):
    done = run(sys.executable, top / PROGRAM, "shared", PYTHONPATH=str(top))
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all share one GIL before Python 3.12")
def test_an_interpreter_with_a_gil_of_its_own_is_refused(run, top):
    done = run(sys.executable, top / PROGRAM, "isolated", PYTHONPATH=str(top))
    assert done.returncode == 0, done.stdout


def test_a_copy_of_the_module_ends_before_its_functions():
    kept = sys.modules.pop("toolboxsio._core")
    try:
        copy = importlib.import_module("toolboxsio._core")
        assert copy is not kept
        assert copy.Connection is not kept.Connection
        dumps, loads = copy.dumps, copy.loads
        del sys.modules["toolboxsio._core"], copy
        assert loads(dumps({"key": None}, None, 512), 512) == {"key": None}
    finally:
        sys.modules["toolboxsio._core"] = kept
        sys.modules["toolboxsio"]._core = kept


def test_the_extension_has_no_variables_of_its_process():
    """Nothing in it is written to, but for what the compiler needs and counts that all share."""
    listing = subprocess.run(
        ["nm", "--defined-only", _core.__file__], check=True, capture_output=True, text=True
    )
    symbols = [line.split()[1:] for line in listing.stdout.splitlines()]
    zeroed = {name for kind, name in symbols if kind in "bBcC"}
    mine = {name for name in zeroed if not name.startswith(("__", "completed.", "_ZN"))}
    assert mine == (COUNTS if HAS_WATCHERS else set())
