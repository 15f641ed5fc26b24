"""Connections of every kind, to their ends of every kind, leave nothing behind in the server.

TOOLBOXSIO_NIGHTLY=1 plays some 10,000 clients on each server instead of 1,000, and on more servers.
With a debug build of Python (make refleak) the sum of all reference counts is looked at, too.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from .harness import OURS, Server, serving, wait_until
from .leaks_clients import KINDS
from .machine import NIGHTLY

IS_DEBUG_BUILD = hasattr(sys, "gettotalrefcount")
SERIES = 140 if NIGHTLY else 5  # clients of a kind
MOST_SERIES = 8
SETTLE_SECONDS = 8
#: What goes with the last client.
OF_CLIENTS = ("sockets", "environs", "half packets", "manager", "callbacks", "timers")
OF_CLIENTS += ("Connection", "Call", "EngineSocket", "WebSocketProtocol")
#: How much a client may leave behind in the best of several series: others allocate, too.
LIMITS = {
    "objects": 0.2,
    "blocks": 0.2,
    "references": 0.2,
    "allocated": 30 if NIGHTLY else 400,  # bytes
}
#: Bytes of the process's memory that a client may leave, once all kinds were there many times.
MOST_RESIDENT = 100 if NIGHTLY else 4000
MOST_RUNNING = 8  # handlers of a client

if IS_DEBUG_BUILD:  # modules that were built for other ones do not count their references
    SERVERS = [("direct", "asyncio"), ("asgi", "asyncio")]
elif NIGHTLY:
    SERVERS = [(path, loop) for path in ("direct", "asgi") for loop in ("auto", "asyncio")]
else:
    SERVERS = [("direct", "auto")]

pytestmark = pytest.mark.timeout(1800 if NIGHTLY else 120)


class Watch:
    """What a server keeps, from when it has seen a client of every kind."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.played = 0
        for path in ("/kept", "/freeze"):  # the first request leaves something
            server.get(path)
        for kind in KINDS.values():
            kind(server.port)
        self.first: Any = wait_until("the end of all clients", self.at_rest, SETTLE_SECONDS)

    def at_rest(self) -> Any:
        """What is kept, when nothing is there of any client and nothing moves."""
        kept = [self.server.get("/kept") for _ in range(5)]
        tables = kept[0]["tables"]
        is_empty = not any(tables[name] for name in OF_CLIENTS)
        return kept[-1] if is_empty and all(k["tables"] == tables for k in kept) else None

    def settled(self) -> Any:
        """What is kept once all clients are gone, or what is left when they do not go."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            kept = self.server.get("/kept")
            if kept["tables"] == self.first["tables"] or time.monotonic() > deadline:
                return kept
            time.sleep(0.01)

    def play(self, kind: Callable[[int], None], count: int, wait: bool = True) -> Any:
        for _ in range(count):
            kind(self.server.port)
        self.played += count
        return self.settled() if wait else None

    def growth(self, kind: Callable[[int], None]) -> tuple[dict[str, float], Any]:
        """How much each of a kind's clients leaves, in the best of the series; and the last."""
        best = dict.fromkeys(LIMITS, float("inf"))
        before = self.play(kind, 3)
        for _ in range(MOST_SERIES):
            after = self.play(kind, SERIES)
            for name in best:
                best[name] = min(best[name], (after[name] - before[name]) / SERIES)
            types = Counter(after["types"])
            types.subtract(before["types"])
            before = after
            if not over(best):
                break
        return best, {name: count for name, count in types.items() if count > 0}


def over(figures: dict[str, float]) -> list[str]:
    return [name for name, value in figures.items() if value > LIMITS[name]]


@pytest.mark.parametrize(("path", "loop"), SERVERS)
def test_clients_leave_nothing(path: Any, loop: Any) -> None:
    options = {"ping_interval": 2 if NIGHTLY else 1, "ping_timeout": 0.1, "max_backlog": 300_000}
    options["max_running_handlers"] = MOST_RUNNING
    config = {"handlers": "leaks_handlers", "options": options}
    http = "h11" if IS_DEBUG_BUILD else "auto"
    wrong: dict[str, Any] = {}
    with serving(OURS, path=path, loop=loop, http=http, **config) as server:
        watch = Watch(server)
        for name, kind in KINDS.items():
            figures, types = watch.growth(kind)
            print(name, {key: round(value, 2) for key, value in figures.items()})  # shown with -s
            if over(figures):
                wrong[name] = {key: figures[key] for key in over(figures)} | {"types": types}
        middle, count = watch.settled(), watch.played
        for _ in range(SERIES):
            for kind in KINDS.values():
                watch.play(kind, 1, wait=False)
        last = watch.settled()
        for what, before, n in (
            ("all", watch.first, watch.played),
            ("the last", middle, watch.played - count),
        ):
            per_client = {key: (last[key] - before[key]) / n for key in (*LIMITS, "resident")}
            print(f"{what} {n} clients, each of them left:", per_client)
        assert last["tables"] == watch.first["tables"]
        assert wrong == {}
        assert per_client["resident"] < MOST_RESIDENT
