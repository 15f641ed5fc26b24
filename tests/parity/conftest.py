"""Tells how many inputs were compared, and asks for many in the nightly setting."""

import pytest

import toolboxsio

from .compare import NIGHTLY, compared

NIGHTLY_LEAST = 200_000


@pytest.fixture(scope="session", autouse=True)
def _extension_is_there():
    assert toolboxsio.ACCELERATED, "the parity of upstream with itself is not worth a test"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    short = NIGHTLY and session.config.args[-1].rstrip("/").endswith("parity")
    if short and sum(compared.values()) < NIGHTLY_LEAST and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for name, count in sorted(compared.items()):
        terminalreporter.write_line(f"parity: {count:8,} x {name}")
    total = sum(compared.values())
    terminalreporter.write_line(f"parity: {total:8,} inputs compared")
    if NIGHTLY and total < NIGHTLY_LEAST:
        terminalreporter.write_line(f"parity: fewer than the {NIGHTLY_LEAST:,} of a nightly run")
