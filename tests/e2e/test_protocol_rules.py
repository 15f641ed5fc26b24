"""Every rule of the two protocol documents on every path: see rules.py."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from . import rules_engineio, rules_socketio
from .harness import ROOT, Server, serving_at_once
from .rule_client import Client, new_run
from .rules import KINDS, MODES, PATHS, RULES, SERVERS, Rule, play

pytestmark = pytest.mark.timeout(60)
assert rules_engineio.RULES is rules_socketio.RULES is RULES

AT_ONCE = 6
Key = tuple[str, str, str]


def parameters() -> Iterator[Any]:
    for row in RULES:
        for mode, kind, path in itertools.product(MODES, KINDS, PATHS):
            if mode in row.modes and kind in row.kinds and path in row.paths:
                name = f"{row.name.replace(' ', '-')}-{mode}-{kind}-{path}"
                yield pytest.param(row, mode, kind, path, id=name)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Key, Server]]:
    """One for each mode, path and set of options; all start at the same time."""
    strict = {"default": {}, "strict": {"strict": True}}
    with serving_at_once(
        {
            (options, mode, path): {"path": path, "options": SERVERS[options] | strict[mode]}
            for options, mode, path in itertools.product(SERVERS, MODES, PATHS)
        }
    ) as started:
        yield started


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, servers: dict[Key, Server]
) -> Iterator[Callable[[str], None]]:
    """The cases that were asked for are played a few at a time; a call waits for one of them."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures: dict[str, Future[None]] = {}
        for item in request.session.items:
            if getattr(item, "originalname", "") == "test_rule" and item.path == request.path:
                row, mode, kind, path = (
                    item.callspec.params[name]  # type: ignore[attr-defined]
                    for name in ("row", "mode", "kind", "path")
                )
                server = servers[row.servers, mode, path]
                futures[item.nodeid] = pool.submit(play, row, server, mode, kind)
        yield lambda nodeid: futures[nodeid].result()
        for future in futures.values():
            future.cancel()


@pytest.mark.parametrize(("row", "mode", "kind", "path"), [*parameters()])
def test_rule(
    request: pytest.FixtureRequest,
    outcomes: Callable[[str], None],
    row: Rule,
    mode: str,
    kind: str,
    path: str,
) -> None:
    outcomes(request.node.nodeid)


def test_the_sessions_took_their_paths(servers: dict[Key, Server], outcomes: Any) -> None:
    """What was meant for the direct path was on it, and nothing of ours has raised."""
    for (options, mode, path), server in servers.items():
        with Client(server, new_run("paths"), "websocket") as client:
            client.leave()
        taken = {way for way in server.get("/facts")["paths"] if way.startswith("websocket")}
        assert taken == {f"websocket {path}"}, (options, mode)
        assert f'File "{ROOT / "toolboxsio"}' not in server.stderr()
