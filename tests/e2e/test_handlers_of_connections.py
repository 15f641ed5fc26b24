"""Connect and disconnect handlers: who disconnects the client in them, and what they are given.

And emits to nobody. Each on every path, with both event loops.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import UPSTREAM, Server, serving, serving_at_once, wait_until
from .machine import SLOWNESS
from .redis_process import RedisProcess
from .rule_client import Client, Kind, new_run

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

#: The server and the client's transport.
WAYS: dict[str, tuple[str, Kind]] = {
    "direct uvloop": ("direct uvloop", "websocket"),
    "direct asyncio": ("direct asyncio", "websocket"),
    "asgi": ("asgi", "websocket"),
    "polling": ("direct uvloop", "polling"),
    "always": ("always", "websocket"),
    "redis": ("redis", "websocket"),
}
APP: dict[str, Any] = {"handlers": "semantics_app", "logs": "ERROR"}
NAMESPACES: dict[str, Any] = {"namespaces": "*"}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def servers(redis: RedisProcess) -> Iterator[dict[str, Server]]:
    configurations: dict[str, dict[str, Any]] = {
        "direct uvloop": {"path": "direct", "loop": "uvloop", "options": NAMESPACES},
        "direct asyncio": {"path": "direct", "loop": "asyncio", "options": NAMESPACES},
        "asgi": {"path": "asgi", "options": NAMESPACES},
        "always": {"path": "direct", "options": {**NAMESPACES, "always_connect": True}},
        "redis": {"path": "asgi", "options": NAMESPACES, "redis": redis.url},
    }
    with serving_at_once({name: {**APP, **more} for name, more in configurations.items()}) as all:
        yield all


def client_of(servers: dict[str, Server], way: str) -> Client:
    name, kind = WAYS[way]
    return Client(servers[name], new_run(way), kind)


# --- emits to nobody ------------------------------------------------------------------------------


@every_way
def test_an_empty_list_is_nobody(servers: dict[str, Server], way: str) -> None:
    with client_of(servers, way) as other, client_of(servers, way) as client:
        assert client.answers('421["to nobody"]') == ["431[[]]"]
        assert other.answers() == []
        client.leave()
        other.leave()


def test_what_is_for_nobody_is_not_published(
    servers: dict[str, Server], redis: RedisProcess
) -> None:
    """And what another process publishes for nobody reaches nobody."""
    with client_of(servers, "redis") as client, redis.subscribed("socketio") as tap:
        wait_until("subscription", lambda: redis.subscribers("socketio") == 1)
        assert client.answers('421["to nobody"]') == ["431[[]]"]
        for room in ([], None):
            message = {"method": "emit", "event": "other", "data": [1], "namespace": "/"}
            with redis.client() as other:
                other.publish("socketio", json.dumps({**message, "host_id": "x", "room": room}))
        assert client.receive() == '42["other",1]'
        assert client.answers() == []
        rooms = [json.loads(payload).get("room") for _, payload in tap.take(2)]
        assert rooms == [[], None]
        client.leave()


@every_way
def test_an_empty_list_beside_a_room(servers: dict[str, Server], way: str) -> None:
    with client_of(servers, way) as other, client_of(servers, way) as client:
        client.send('421["to somebody"]')
        got = [client.receive() for _ in range(5)]
        assert got == ['42["room"]', '42["sid"]', '42["text"]', '42["none"]', "431[]"]
        assert other.answers() == ['42["text"]', '42["none"]']
        client.leave()
        other.leave()


# --- disconnected by its own connect handler ------------------------------------------------------


@every_way
@pytest.mark.parametrize("name", ["leave", "leave-and-refuse", "leave-and-raise", "emit-between"])
def test_disconnected_while_it_connects(servers: dict[str, Server], way: str, name: str) -> None:
    """As in Node's "connection" handler: the answer to CONNECT, then DISCONNECT, and it is gone."""
    with client_of(servers, way) as client:
        got = client.answers(f"40/{name},")
        greeting = got[1] if got[0] == f'42/{name},["before"]' and way != "always" else got[0]
        assert isinstance(greeting, str)
        assert greeting.startswith(f'40/{name},{{"sid":')
        events = [f'42/{name},["before"]'] if name == "emit-between" else []
        assert [packet for packet in got if packet != greeting] == [*events, f"41/{name},"]
        assert client.answers(f'42/{name},1["late"]') == []
        line = [f"/{name} disconnect", "str 'server disconnect'"]
        assert [found for found in client.handlers() if name in found[0]] == [line]
        # it may come again
        assert client.answers(f"40/{name},")[-1] == f"41/{name},"
        client.leave()
        assert [found for found in client.handlers() if name in found[0]] == [line] * 2


# --- signatures -----------------------------------------------------------------------------------

#: What a handler is given besides sid and environ, without and with auth; and by a disconnection.
GIVEN: dict[str, tuple[list[str], list[str] | None, list[str]]] = {
    "plain": (["NoneType None"], ["AUTH"], ["REASON"]),
    "legacy": ([], None, []),
    "async": (["NoneType None"], ["AUTH"], ["REASON"]),
    "async-legacy": ([], None, []),
    "default": (["NoneType None"], ["AUTH"], ["REASON"]),
    "keyword": (["str 'keyword'"], None, ["str 'keyword'"]),
    "all": (["NoneType None"], ["AUTH"], ["REASON"]),
    "partial": (["str 'given'"], None, ["str 'given'"]),
    "wrapped": ([], None, []),
    "unnamed": ([], None, []),
    "adding": (["str 'added'"], None, ["str 'added'"]),
    "methods": ([], None, []),
    "objects": ([], None, []),
    "namespace": (["NoneType None"], ["AUTH"], ["REASON"]),
    "namespace-legacy": ([], None, []),
}
AUTH = {"type": "dict", "items": [["str 'token'", "str 't'"]]}
SAID = {"AUTH": AUTH, "REASON": "str 'client disconnect'"}


def calls(client: Client, *events: str) -> list[Any]:
    """The calls of handlers of the signatures' namespaces."""
    return [line for line in client.status()["lines"][1:] if line[0] in events]


def expected(event: str, given: list[str]) -> list[Any]:
    return [event, *(SAID.get(value, value) for value in given)]


def checked_calls(client: Client, kind: str) -> None:
    """A client that joins and leaves, without auth and with it: its handlers get what they take."""
    without, with_auth, at_end = GIVEN[kind]
    expect = []
    for auth, given in (("", without), ('{"token":"t"}', with_auth)):
        if given is not None:
            [answer] = client.answers(f"40/fine-{kind},{auth}")
            assert str(answer).startswith(f'40/fine-{kind},{{"sid"')
            assert client.answers(f"41/fine-{kind},") == []
            expect += [expected("connect", given), expected("disconnect", at_end)]
    assert calls(client, "connect", "disconnect") == expect


@every_way
@pytest.mark.parametrize("kind", GIVEN)
def test_handlers_get_what_they_take(servers: dict[str, Server], way: str, kind: str) -> None:
    with client_of(servers, way) as client:
        checked_calls(client, kind)
        client.leave()


def test_python_socketio_gives_the_same() -> None:
    with serving(UPSTREAM, **APP, options=NAMESPACES) as server:
        for kind in GIVEN:
            with Client(server, new_run(kind), "websocket") as client:
                checked_calls(client, kind)


@every_way
@pytest.mark.parametrize("kind", GIVEN)
def test_handlers_that_raise_type_errors_are_called_once(
    servers: dict[str, Server], way: str, kind: str
) -> None:
    without, with_auth, at_end = GIVEN[kind]
    with client_of(servers, way) as client:
        client.answers(f"40/broken-{kind},")
        expect = [expected("connect", without)]
        if with_auth is not None:
            client.answers(f'40/broken-{kind},{{"token":"t"}}')
            expect.append(expected("connect", with_auth))
        assert calls(client, "connect", "disconnect") == expect
        [answer] = client.answers(f"40/half-{kind},")
        assert str(answer).startswith(f"40/half-{kind},")
        client.answers(f"41/half-{kind},")
        expect += [expected("connect", without), expected("disconnect", at_end)]
        assert calls(client, "connect", "disconnect") == expect
        client.leave()
