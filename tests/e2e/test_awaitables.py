"""Handlers that are no coroutine functions, and return what is to be awaited."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import Server, serving_at_once, wait_until
from .loop_client import Joined

pytestmark = pytest.mark.timeout(90)

SERVERS: dict[str, dict[str, Any]] = {
    "asgi": {"path": "asgi", "loop": "asyncio"},
    "direct": {"path": "direct", "loop": "uvloop"},
    "in order": {"path": "direct", "loop": "uvloop", "options": {"async_handlers": False}},
    "in Python": {"path": "direct", "loop": "asyncio", "logs": "INFO"},
    "in Python, in order": {
        "path": "asgi",
        "loop": "uvloop",
        "logs": "INFO",
        "options": {"async_handlers": False},
    },
}
SIDES = [*((name, "websocket") for name in SERVERS), ("direct", "polling"), ("in order", "polling")]
NAMES = ("object", "partial", "decorated", "lambda", "awaitable", "generator", "task")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    configurations = {name: {**config, "handlers": "loop_app"} for name, config in SERVERS.items()}
    with serving_at_once(configurations) as found:
        yield found


@pytest.fixture(params=SIDES, ids=" ".join)
def client(servers: dict[str, Server], request: pytest.FixtureRequest) -> Iterator[Joined]:
    name, transport = request.param
    joined = Joined(servers[name], transport)
    yield joined
    joined.wire.end()


def test_events(client: Joined) -> None:
    for number, name in enumerate(NAMES):
        client.send([f'42{number}["{name}",1,2]'])
        count = 4 if name == "partial" else 3
        assert client.until(f"43{number}") == f"43{number}[{count}]"


@pytest.mark.parametrize("namespace", ["class", "object", "decorated"])
def test_namespaces(client: Joined, namespace: str) -> None:
    """Connect and disconnect handlers, catch-alls and methods of a class."""

    def seen() -> list[Any]:
        return [line for line in client.server.get("/seen") if sid in line]

    name = f"/awaitable {namespace}"
    sid = client.join(f"40{name},")
    client.send([f'42{name},1["decorated",7]'])
    assert client.until(f"43{name},1") == f"43{name},1[3]"
    client.do(f"41{name},")
    wait_until("the disconnect handler", lambda: len(seen()) == 3)
    event = [] if namespace == "class" else ["decorated"]
    assert seen() == [[sid], [*event, sid, 7], [sid, "client disconnect"]]


def test_refusal(client: Joined) -> None:
    client.send(["40/awaitable refusal,"])
    answer = client.until("44/awaitable refusal,") or ""
    assert json.loads(answer[answer.index("{") :])["message"]
