"""Tells how many inputs were compared, and asks for many in the nightly setting."""

from pathlib import Path

import pytest

import toolboxsio
from tests.e2e.machine import NIGHTLY

from .compare import compared

NIGHTLY_LEAST = 200_000
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session", autouse=True)
def _extension_is_there():
    assert toolboxsio.ACCELERATED, "the parity of upstream with itself is not worth a test"


def pytest_collection_modifyitems(items):
    if NIGHTLY:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(1800))


def _is_short(session):
    """Whether a whole nightly run compared too little."""
    files = {item.path.name for item in session.items if HERE in item.path.parents}
    is_whole = files >= {path.name for path in HERE.glob("test_*.py")}
    return NIGHTLY and is_whole and sum(compared.values()) < NIGHTLY_LEAST


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if _is_short(session) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if not compared:
        return
    for name, count in sorted(compared.items()):
        terminalreporter.write_line(f"parity: {count:8,} x {name}")
    total = sum(compared.values())
    terminalreporter.write_line(f"parity: {total:8,} inputs compared")
