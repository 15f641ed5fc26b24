"""Beside uvicorn's test_websocket.py: gives it this package's class, and reports as JSON.

A conftest because it has to be nearer to the tests than uvicorn's own, whose `ws_protocol_cls` and
`unused_tcp_port` it overrides. Environment: UPSTREAM_VERSION (of uvicorn) and UPSTREAM_REPORT (the
file to write).
"""

import json
import os
from pathlib import Path

import pytest
import uvicorn
from deselected import DIFFERENT
from machine import free_port

import toolboxsio
from toolboxsio.uvicorn import WebSocketProtocol

VERSION = os.environ["UPSTREAM_VERSION"]
#: Classes that a test names instead of using the fixture.
NAMED = ("WebSocketProtocol", "WebSocketsSansIOProtocol")

report = {
    "uvicorn": uvicorn.__version__,
    "class": f"{WebSocketProtocol.__module__}.{WebSocketProtocol.__qualname__}",
    "made": 0,
    "passed": [],
    "failed": [],
    "different": {},  # as deselected.py lists them: the reason
    "skipped": {},  # the reason
    "problems": [],
}


@pytest.fixture
def ws_protocol_cls():
    return WebSocketProtocol


@pytest.fixture
def unused_tcp_port():
    """One that no client on the machine is given meanwhile."""
    return free_port()


def _count_instances():
    init = WebSocketProtocol.__init__

    def counted(self, *args, **kwargs):
        report["made"] += 1
        init(self, *args, **kwargs)

    WebSocketProtocol.__init__ = counted


def pytest_collection_modifyitems(items):
    if not toolboxsio.ACCELERATED:
        raise pytest.UsageError("toolboxsio runs without its C extension")
    _count_instances()
    for module in {item.module for item in items}:
        for name in NAMED:
            if hasattr(module, name):
                setattr(module, name, WebSocketProtocol)
    for case in DIFFERENT:
        if case.package not in ("uvicorn", f"uvicorn=={VERSION}"):
            continue
        tests = [i for i in items if i.nodeid == case.test or i.nodeid.startswith(f"{case.test}[")]
        for item in tests:
            item.add_marker(pytest.mark.xfail(reason=case.reason, strict=True))
        if not tests:
            report["problems"].append(f"{case.test} is listed, and there is no such test")


def pytest_runtest_logreport(report):
    _note(report)


def pytest_collectreport(report):
    if not report.passed:
        _note(report)


def _note(result):
    if result.failed:
        if result.nodeid not in report["failed"]:
            report["failed"].append(result.nodeid)
    elif result.skipped and hasattr(result, "wasxfail"):
        report["different"][result.nodeid] = result.wasxfail
    elif result.skipped:
        reason = result.longrepr[2] if isinstance(result.longrepr, tuple) else ""
        report["skipped"][result.nodeid] = reason.removeprefix("Skipped: ")
    elif result.when == "call":
        report["passed"].append(result.nodeid)


def pytest_sessionfinish(exitstatus):
    report["exit"] = int(exitstatus)
    report["passed"] = [test for test in report["passed"] if test not in report["failed"]]
    Path(os.environ["UPSTREAM_REPORT"]).write_text(json.dumps(report, indent=1))
