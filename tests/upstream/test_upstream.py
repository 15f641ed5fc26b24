"""Upstream's tests, on upstream's classes and on ours: what passes there passes here."""

import functools

import pytest

from .deselected import DIFFERENT
from .run import run
from .sources import PACKAGES

#: At least so many tests, so that a run that collects little is noticed.
LEAST = {"python-engineio": 450, "python-socketio": 600}
#: Classes of ours that the tests of a package must have made objects of.
USED = {
    "python-engineio": (
        "engineio.packet.Packet",
        "engineio.payload.Payload",
        "engineio.async_server.AsyncServer",
        "engineio.async_socket.AsyncSocket",
    ),
    "python-socketio": (
        "engineio.packet.Packet",
        "engineio.async_server.AsyncServer",
        "socketio.packet.Packet",
        "socketio.async_server.AsyncServer",
        "socketio.asgi.ASGIApp",
    ),
}


@functools.cache
def result_of(package, control):
    return run(package, control=control)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", PACKAGES)
def test_control_is_green(package):
    result = result_of(package, True)
    assert result["problems"] == []
    assert result["failed"] == [], result["output"]
    assert result["exit"] == 0, result["output"]
    assert result["replaced"] == {}
    assert len(result["passed"]) >= LEAST[package]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", PACKAGES)
def test_passes_on_our_classes(package):
    result = result_of(package, False)
    assert result["problems"] == []
    assert result["failed"] == [], result["output"]
    assert result["exit"] == 0, result["output"]
    listed = [case.test for case in DIFFERENT if case.package == package]
    assert sorted(result["different"]) == sorted(listed)
    for place in USED[package]:
        assert result["made"].get(place, 0) > 0, f"the tests made no {place} of ours"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("package", PACKAGES)
def test_same_tests_as_the_control(package):
    ours, control = result_of(package, False), result_of(package, True)
    assert sorted(ours["passed"] + ours["different"]) == sorted(control["passed"])
    assert sorted(ours["skipped"]) == sorted(control["skipped"])
    assert ours["deselected"] == control["deselected"]
