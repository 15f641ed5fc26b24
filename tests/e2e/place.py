"""A server with a bystander on it, and the ways to it: for tests of what one client does wrong."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import Server, serving_at_once
from .machine import SLOWNESS
from .rule_client import Client, Kind, new_run

#: The way of a session: the server's path and the client's transport.
WAYS: dict[str, tuple[str, Kind]] = {
    "direct": ("direct", "websocket"),
    "asgi": ("asgi", "websocket"),
    "polling": ("direct", "polling"),
}
SLACK = 0.5 * SLOWNESS  # seconds by which a deadline may be late on a busy machine

every_way = pytest.mark.parametrize("way", WAYS)


@contextlib.contextmanager
def serving_ways(options: dict[str, Any]) -> Iterator[dict[str, Server]]:
    """A server for each path while the block runs, with the same options."""
    side = {"logs": "ERROR", "options": options}
    with serving_at_once({path: {"path": path, **side} for path in ("direct", "asgi")}) as started:
        yield started


class Place:
    """A server with a bystander on it, and a way to reach it."""

    def __init__(self, servers: dict[str, Server], way: str) -> None:
        path, self.kind = WAYS[way]
        self.way = way
        self.server = servers[path]
        self.bystander = Client(self.server, new_run("bystander"), "websocket")
        self.before = self.held()
        self.said = len(self.server.stderr())

    def client(self, packet: str | None = "40") -> Client:
        return Client(self.server, new_run(self.way), self.kind, packet)

    def held(self) -> dict[str, Any]:
        held: dict[str, Any] = self.server.get("/held")
        return held

    def new_log(self) -> list[str]:
        """The lines of the log since then."""
        lines: list[str] = self.held()["log"]
        return lines[len(self.before["log"]) :]

    def check(self) -> list[str]:
        """The bystander goes on, nothing has raised, nothing is left, the log has one line for each
        cause. These are returned without that of requests for a session that is over."""
        assert self.bystander.answers('421["one","bystander"]') == ['431["bystander"]']
        held = self.held()
        assert held["half packets"] == self.before["half packets"]
        assert held["callbacks"] <= self.before["callbacks"]
        new = self.new_log()
        assert not any(line.endswith("Error") for line in new), new
        causes = [line.partition(": ")[2] for line in new if "Invalid session" not in line]
        assert len(causes) == len(set(causes)), new
        assert "Traceback" not in self.server.stderr()[self.said :]
        self.bystander.leave()
        return causes
