"""A pytest plugin: puts this package's classes in the place of upstream's, and reports as JSON.

Environment: UPSTREAM_PACKAGE (whose tests these are), UPSTREAM_REPORT (the file to write) and
UPSTREAM_CONTROL (1: nothing is replaced). Loaded with -p before any test module is imported.
"""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
import socketio
from deselected import DESELECTED, DIFFERENT

PACKAGE = os.environ["UPSTREAM_PACKAGE"]
CONTROL = os.environ["UPSTREAM_CONTROL"] == "1"

#: Upstream's class: ours.
PLACES = {
    "engineio.packet.Packet": "toolboxsio.packet.EnginePacket",
    "engineio.payload.Payload": "toolboxsio.packet.EnginePayload",
    "engineio.async_server.AsyncServer": "toolboxsio.engine.EngineServer",
    "engineio.async_socket.AsyncSocket": "toolboxsio.engine.EngineSocket",
    "socketio.packet.Packet": "toolboxsio.packet.Packet",
    "socketio.async_server.AsyncServer": "toolboxsio.AsyncServer",
    "socketio.asgi.ASGIApp": "toolboxsio.ASGIApp",
}

report = {
    "package": PACKAGE,
    "control": CONTROL,
    "replaced": {},
    "made": {},
    "passed": [],
    "failed": [],
    "different": [],  # as deselected.py lists them
    "skipped": [],
    "deselected": {},
    "problems": [],
}
originals: dict[type, type] = {}


def _find(dotted):
    module, name = dotted.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def _upstream_modules():
    names = [n for n in sys.modules if n.split(".")[0] in ("socketio", "engineio")]
    return [sys.modules[n] for n in names]


def _count_instances(name, cls):
    """Count what is made of a class; the tests themselves must make instances of ours."""
    init = cls.__init__

    def counted(self, *args, **kwargs):
        report["made"][name] = report["made"].get(name, 0) + 1
        init(self, *args, **kwargs)

    cls.__init__ = counted


def _replace():
    import toolboxsio

    if not toolboxsio.ACCELERATED:
        raise pytest.UsageError("toolboxsio runs without its C extension")
    for theirs, ours in PLACES.items():
        originals[_find(theirs)] = _find(ours)
    for name in dir(toolboxsio):  # managers and the like, where this package has its own
        ours, theirs = getattr(toolboxsio, name), getattr(socketio, name, None)
        is_pair = isinstance(ours, type) and isinstance(theirs, type) and ours is not theirs
        if is_pair and issubclass(ours, theirs):
            originals[theirs] = ours
    for theirs, ours in originals.items():
        if ours is theirs or not issubclass(ours, theirs):
            raise pytest.UsageError(f"{ours} does not replace {theirs}")
        place = f"{theirs.__module__}.{theirs.__qualname__}"
        report["replaced"][place] = f"{ours.__module__}.{ours.__qualname__}"
        _count_instances(place, ours)
    for module in _upstream_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, type) and value in originals:
                setattr(module, name, originals[value])
    # Managers of upstream that stand on its AsyncManager, as accelerate() puts ours below them.
    manager = toolboxsio.AsyncManager
    for cls in manager.__base__.__subclasses__():
        if cls is not manager:
            cls.__bases__ = tuple(
                manager if base is manager.__base__ else base for base in cls.__bases__
            )


def pytest_configure(config):
    sys.modules["httptools"] = None  # the tests' web server sends headers that only h11 takes
    if not CONTROL:
        _replace()


def _is_within(test, case):
    return test == case.test or test.startswith((f"{case.test}::", f"{case.test}["))


def _case_of(cases, test):
    return next((c for c in cases if c.package == PACKAGE and _is_within(test, c)), None)


def _is_file_deselected(path):
    name = path.relative_to(Path.cwd()).as_posix()
    return name.endswith(".py") and _case_of([c for c in DESELECTED if c.test == name], name)


def pytest_ignore_collect(collection_path):
    if case := _is_file_deselected(collection_path):
        report["deselected"][case.test] = case.reason
        return True
    return None


def pytest_collection_modifyitems(config, items):
    kept = []
    for item in items:
        if case := _case_of(DESELECTED, item.nodeid):
            report["deselected"][item.nodeid] = case.reason
        else:
            kept.append(item)
        if not CONTROL and (case := _case_of(DIFFERENT, item.nodeid)):
            item.add_marker(pytest.mark.xfail(reason=case.reason, strict=True))
    used = [*report["deselected"], *(item.nodeid for item in kept)]
    for case in (*DESELECTED, *DIFFERENT):
        if case.package == PACKAGE and not any(_is_within(test, case) for test in used):
            report["problems"].append(f"{case.test} is listed, and there is no such test")
    items[:] = kept


def _check_places(modules):
    """Note every name through which a test module or upstream reaches a replaced class."""
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, type) and value in originals:
                report["problems"].append(f"{module.__name__}.{name} is upstream's class")


def pytest_collection_finish(session):
    _check_places({item.module for item in session.items})
    _check_places(_upstream_modules())


def pytest_runtest_logreport(report: pytest.TestReport):
    _note(report)


def _note(result):
    if result.failed:
        if result.nodeid not in report["failed"]:
            report["failed"].append(result.nodeid)
    elif result.skipped and hasattr(result, "wasxfail"):
        report["different"].append(result.nodeid)
    elif result.skipped:
        report["skipped"].append(result.nodeid)
    elif result.when == "call":
        report["passed"].append(result.nodeid)


def pytest_collectreport(report: pytest.CollectReport):
    if not report.passed:
        _note(report)


def pytest_sessionfinish(session, exitstatus):
    report["exit"] = int(exitstatus)
    report["passed"] = [test for test in report["passed"] if test not in report["failed"]]
    Path(os.environ["UPSTREAM_REPORT"]).write_text(json.dumps(report, indent=1))
