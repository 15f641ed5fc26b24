"""tests/e2e/machine.py: what the tests are told of the machine, and ports of it."""

import contextlib
import random
import socket
import sys

import pytest

from tests.e2e.machine import HOST, free_port, free_ports, is_set

#: Asks for a port where a given one is tried first.
ASKS = """
import random
from tests.e2e.machine import free_port
tried, at_random = [{port}], random.randrange
random.randrange = lambda *among: tried.pop() if tried else at_random(*among)
print(free_port(), tried)
"""


@pytest.mark.parametrize(
    ("value", "expected"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)]
)
def test_a_variable_says_yes_or_no(monkeypatch, value, expected):
    monkeypatch.delenv("TOOLBOXSIO_SOMETHING", raising=False)
    if value is not None:
        monkeypatch.setenv("TOOLBOXSIO_SOMETHING", value)
    assert is_set("TOOLBOXSIO_SOMETHING") is expected


def test_nothing_listens_on_the_ports_that_are_given():
    first = free_ports(3)
    assert first + 3 <= 32768
    with contextlib.ExitStack() as stack:
        for port in range(first, first + 3):
            stack.enter_context(socket.create_server((HOST, port)))


def test_a_port_is_given_once(monkeypatch):
    """Though nothing listens on it yet."""
    first, other = free_ports(2), free_port()
    at_random = random.randrange
    with socket.create_server((HOST, 0)) as listener:
        taken = listener.getsockname()[1]
        for count, start in ((1, first + 1), (2, first - 1), (1, other), (1, taken)):
            tried = [start]
            monkeypatch.setattr(
                random,
                "randrange",
                lambda *among, tried=tried: tried.pop() if tried else at_random(*among),
            )
            assert free_ports(count) != start
            assert tried == []


def test_a_port_is_given_to_one_process(run):
    port = free_port()
    done = run(sys.executable, "-c", ASKS.format(port=port))
    other, tried = done.stdout.split()
    assert (other != str(port), tried) == (True, "[]"), done.stdout
