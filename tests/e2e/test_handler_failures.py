"""What is logged of handlers that fail, and who else is told."""

from collections.abc import Iterator
from typing import Any

import pytest

from .harness import Server, serving_at_once
from .loop_client import Joined
from .test_exits import HANDLERS

pytestmark = pytest.mark.timeout(120)

SERVERS: dict[str, dict[str, Any]] = {
    "asgi asyncio": {"path": "asgi", "loop": "asyncio"},
    "direct uvloop": {"path": "direct", "loop": "uvloop"},
    "asgi uvloop, in order": {
        "path": "asgi",
        "loop": "uvloop",
        "options": {"async_handlers": False},
    },
    "direct asyncio, in order": {
        "path": "direct",
        "loop": "asyncio",
        "options": {"async_handlers": False},
    },
}
SIDES = [
    *((name, "websocket") for name in SERVERS),
    ("direct uvloop", "polling"),
    ("direct asyncio, in order", "polling"),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    configurations = {name: {**config, "handlers": "loop_app"} for name, config in SERVERS.items()}
    with serving_at_once(configurations) as found:
        yield found


@pytest.fixture(params=SIDES, ids=" ".join)
def client(servers: dict[str, Server], request: pytest.FixtureRequest) -> Iterator[Joined]:
    name, transport = request.param
    servers[name].get("/records")
    joined = Joined(servers[name], transport)
    yield joined
    joined.wire.end()


def record(event: str, sid: str, namespace: str, kind: str, last: Any) -> list[Any]:
    text = f'handler of event "{event}" from {sid} [{namespace}] failed'
    return ["socketio.server", "ERROR", text, kind, last]


RAISES = ["fail", "raise EXCEPTIONS[kind]()"]


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("handler", list(HANDLERS))
def test_one_record(client: Joined, handler: str, rounds: int) -> None:
    """It names event, namespace and client, and ends in the application's code."""
    namespace, packet = HANDLERS[handler]
    sid = client.joined if not namespace else client.join(f"40{namespace}")
    client.do(packet.format("LookupError", rounds))
    event = packet.split('"')[1]
    last = ["plainly", RAISES[1]] if handler == "plain" else RAISES
    path = namespace.rstrip(",") or "/"
    assert client.records() == [record(event, sid, path, "LookupError", last)]
    client.do('420["one",1]')


def test_a_wrong_number_of_arguments(client: Joined) -> None:
    """It names the function with its signature, where its traceback ends."""
    sid = client.joined
    client.do('42["fail"]')
    client.do('42["fail plainly",1,2,3]')
    client.join("40/class,")
    client.do('42/class,["fail"]')
    found = client.records(3)
    assert len(found) == 3
    signature = "(sid: str, kind: str, rounds: int) -> None at "
    names = ("add_failures.<locals>.at_root", "add_failures.<locals>.plainly")
    for line, event, name in zip(found, ("fail", "fail plainly"), names, strict=False):
        [text, place] = line[2].split(signature)
        assert text == f'handler of event "{event}" from {sid} [/] failed: {name}'
        assert place.split(":")[0].endswith("loop_app.py")
        assert line[3] == "TypeError"
        assert line[4] == [name.split(".")[-1], f'@sio.on("{event}")']
    assert "Space.on_fail(sid: str, kind: str, rounds: int) -> None at " in found[2][2]
    assert found[2][4] == [
        "on_fail",
        "async def on_fail(self, sid: str, kind: str, rounds: int) -> None:",
    ]


def test_an_answer_that_is_no_json(client: Joined) -> None:
    client.do('421["not JSON"]')
    [line] = client.records()
    text = f'answer to event "not JSON" from {client.joined} [/] cannot be sent'
    assert line[:4] == ["socketio.server", "ERROR", text, "TypeError"]


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("kind", ["LookupError", "SystemExit"])
def test_connect_and_disconnect(client: Joined, kind: str, rounds: int) -> None:
    """What ends the process elsewhere does not here, as with python-socketio."""
    auth = f'{{"kind":"{kind}","rounds":{rounds}}}'
    client.do(f"40/connect,{auth}")
    [line] = client.records()
    [text, rest] = line[2].split(" from ")
    assert text == 'handler of event "connect"'
    assert rest.endswith(" [/connect] failed")
    assert line[3:] == [kind, RAISES]
    sid = client.join(f"40/disconnect,{auth}")
    client.do("41/disconnect,")
    assert client.records() == [record("disconnect", sid, "/disconnect", kind, RAISES)]
    sid = client.join(f"40/disconnect,{auth}")
    client.leave()
    assert client.records() == [record("disconnect", sid, "/disconnect", kind, RAISES)]


IN_ORDER = [(name, transport) for name, transport in SIDES if "in order" in name]


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("client", IN_ORDER, indirect=True, ids=" ".join)
def test_in_order_nothing_ends_the_process(client: Joined, kind: str) -> None:
    """As with python-socketio, whose reader logs all that a handler raises in it."""
    client.do(f'42["fail","{kind}",0]')
    assert client.records() == [record("fail", client.joined, "/", kind, RAISES)]


def test_exception_handlers_of_the_loop(client: Joined) -> None:
    """One of the application is told of tasks, as by python-socketio."""
    assert client.server.get("/errors", watch=True) == []
    try:
        client.do('42["fail","LookupError",0]', '42["fail","LookupError",2]')
        assert len(client.records(2)) == 2
        told = client.server.get("/errors", watch=True)
    finally:
        client.server.get("/errors")
    assert told in ([], ["Task exception was never retrieved"] * 2)
    assert bool(told) == client.server.get("/async_handlers")


def test_names_that_clients_make_up(client: Joined) -> None:
    """They do not forge lines, nor fill the log."""
    client.join("40/all,")
    client.do('42/all,["a\\nb%s","LookupError",0]')
    client.do(f'42/all,["{"x" * 1000}","LookupError",0]')
    first, second = client.records(2)
    assert first[2].startswith('handler of event "a\\nb%s" from ')
    assert second[2].startswith(f'handler of event "{"x" * 100}" from ')
