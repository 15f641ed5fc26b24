"""`call()`: to clients that go, have gone or never were; bytes from other processes."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .harness import OURS, UPSTREAM, Server, serving, serving_at_once, wait_until
from .machine import SLOWNESS
from .redis_process import RedisProcess
from .rule_client import Client, Kind, Request, new_run

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

SERVERS: dict[str, dict[str, Any]] = {
    "direct uvloop": {"path": "direct", "loop": "uvloop"},
    "direct asyncio": {"path": "direct", "loop": "asyncio"},
    "asgi": {"path": "asgi"},
}
WAYS: dict[str, tuple[str, Kind]] = {
    **{name: (name, "websocket") for name in SERVERS},
    "polling": ("direct uvloop", "polling"),
}
every_way = pytest.mark.parametrize("way", WAYS)
SOON = 3 * SLOWNESS  # the timeout of the calls is ten times that


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module", params=["alone", "redis"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def servers(mode: str, redis: RedisProcess) -> Iterator[dict[str, Server]]:
    more = {"handlers": "calls_app", "logs": "ERROR"}
    more |= {"redis": redis.url} if mode == "redis" else {}
    with serving_at_once({name: {**one, **more} for name, one in SERVERS.items()}) as started:
        yield started


@contextlib.contextmanager
def two(servers: dict[str, Server], way: str) -> Iterator[tuple[Client, Client, str]]:
    """Who calls, who is called, and its id."""
    name, kind = WAYS[way]
    with (
        Client(servers[name], new_run("caller"), "websocket") as caller,
        Client(servers[name], new_run("called"), kind) as called,
    ):
        yield caller, called, sid_of(called)
        caller.leave()


def sid_of(client: Client) -> str:
    [answer] = client.answers('421["whoami"]')
    sid: str = json.loads(str(answer)[3:])[0]
    return sid


def begin(caller: Client, to: Any, way: str = "server", **more: Any) -> None:
    caller.send(f"427{json.dumps(['call', way, to, more])}")


def outcome(caller: Client) -> list[Any]:
    """How a call has ended."""
    [result] = json.loads(str(caller.receive(SOON)).removeprefix("437"))
    assert result.pop() < SOON
    return list(result)


GONE = ["TimeoutError", "ClientDisconnectedError"]


def question(client: Client) -> str:
    packet = str(client.receive())
    assert packet.endswith('["question"]')
    return packet[2 : -len('["question"]')]


def say_goodbye(client: Client) -> None:
    client.send("1")


def leave_the_namespace(client: Client) -> None:
    client.send("41")


def drop_the_connection(client: Client) -> None:
    assert client.ws is not None
    client.ws.close()


def break_a_rule(client: Client) -> None:
    client.send("4nonsense")


ENDS = [say_goodbye, leave_the_namespace, drop_the_connection, break_a_rule]


@every_way
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_client_that_goes(
    servers: dict[str, Server], way: str, end: Callable[[Client], None]
) -> None:
    if way == "polling" and end is drop_the_connection:
        pytest.skip("a poll that is broken off is no end")
    with two(servers, way) as (caller, called, sid):
        begin(caller, sid)
        question(called)
        end(called)
        assert outcome(caller) == GONE
        begin(caller, sid)
        assert outcome(caller) == GONE


@every_way
def test_a_client_that_is_disconnected(servers: dict[str, Server], way: str) -> None:
    with two(servers, way) as (caller, called, sid):
        begin(caller, sid)
        question(called)
        called.server.do("disconnect", sid=sid)
        assert outcome(caller) == GONE


@every_way
def test_a_namespace_calls(servers: dict[str, Server], way: str) -> None:
    with two(servers, way) as (caller, called, sid):
        begin(caller, sid, "namespace")
        called.send(f'43{question(called)}["here"]')
        assert outcome(caller) == ["answered", "str 'here'"]
        begin(caller, sid, "namespace")
        question(called)
        called.send("1")
        assert outcome(caller) == GONE


@every_way
def test_a_disconnect_handler_at_work(servers: dict[str, Server], way: str) -> None:
    """A call ends before the handler does, which itself calls in vain."""
    with two(servers, way) as (caller, called, _):
        [answer] = called.answers("40/slow,")
        slow = json.loads(str(answer)[len("40/slow,") :])["sid"]
        caller.send(f'427["call slow","{slow}"]')
        packet = str(called.receive())
        assert packet.startswith("42/slow,"), packet
        if called.ws is None:  # the request is answered when the handler is through
            request = Request(called.port, "POST", called.query, b"41/slow,")
        else:
            called.send("41/slow,")
        assert outcome(caller) == GONE

        def last() -> Any:
            [answer] = caller.answers('428["last"]')
            return json.loads(str(answer)[3:])[0]

        assert wait_until("the handler's call", last)[-1][:2] == GONE
        caller.request("POST", "", b"", path="/release")
        if called.ws is None:
            assert request.response().status == 200
        called.leave()


@pytest.mark.parametrize("name", SERVERS)
def test_nobody(servers: dict[str, Server], mode: str, name: str) -> None:
    """An empty list of rooms; and, where no other process may know it, an unknown id."""
    with Client(servers[name], new_run("caller"), "websocket") as caller:
        begin(caller, [])
        assert outcome(caller) == GONE
        if mode == "alone":
            begin(caller, "unknown")
            assert outcome(caller) == GONE
        begin(caller, "unknown", ignore_queue=True)
        assert outcome(caller) == GONE
        caller.leave()


def test_a_room(servers: dict[str, Server], mode: str) -> None:
    """The first answer counts; the call ends when the last member has gone."""
    server = servers["direct uvloop"]
    if mode == "redis":
        pytest.skip("whether others are in a room, no process knows")
    with contextlib.ExitStack() as stack:
        caller, first, second = (
            stack.enter_context(Client(server, new_run("room"), "websocket")) for _ in range(3)
        )
        for client in (first, second):
            client.answers('421["join","both"]')
        for does_answer in (True, False):
            begin(caller, "both")
            question(first)
            id = question(second)
            if does_answer:
                first.answers("41", "40")[0]
                second.send(f"43{id}[2]")
                assert outcome(caller) == ["answered", "int 2"]
                first.answers('421["join","both"]')
            else:
                first.leave()
                second.leave()
                assert outcome(caller) == GONE
        caller.leave()


# --- other processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(redis: RedisProcess) -> Iterator[dict[str, Server]]:
    """Ours direct, ours on ASGI, python-socketio's."""
    more = {"handlers": "calls_app", "logs": "ERROR", "redis": redis.url}
    n = redis.subscribers("socketio")
    with (
        serving(OURS, path="direct", **more) as direct,
        serving(OURS, path="asgi", **more) as asgi,
        serving(UPSTREAM, **more) as stock,
    ):
        servers = {"direct": direct, "asgi": asgi, "stock": stock}
        for server in servers.values():  # the first session begins the subscription
            with Client(server, new_run("first"), "polling"):
                pass
        wait_until("subscriptions", lambda: redis.subscribers("socketio") == n + 3)
        yield servers


PAIRS = [(a, b) for a in ("direct", "asgi", "stock") for b in ("direct", "asgi", "stock") if a != b]
OURS_PAIRS = [pair for pair in PAIRS if "stock" not in pair]
by_pair = pytest.mark.parametrize(("here", "there"), PAIRS, ids=str)
by_our_pair = pytest.mark.parametrize(("here", "there"), OURS_PAIRS, ids=str)
kinds = pytest.mark.parametrize("kind", ["websocket", "polling"])


@contextlib.contextmanager
def apart(
    fleet: dict[str, Server], here: str, there: str, kind: Kind
) -> Iterator[tuple[Client, Client, str]]:
    with (
        Client(fleet[here], new_run("caller"), "websocket") as caller,
        Client(fleet[there], new_run("called"), kind) as called,
    ):
        yield caller, called, sid_of(called)


HOLDERS = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(3))
#: What a client acknowledges with, and what the caller gets.
BINARY: list[tuple[str, list[bytes], Any]] = [
    ('61-{id}[{"_placeholder":true,"num":0}]', [b"\x00\xff"], "bytes 00ff"),
    (f"63-{{id}}[1,[{HOLDERS}],null]", [b"a", b"", b"c"], None),
    ('61-{id}[{"deep":[{"x":{"_placeholder":true,"num":0}}]},"\u00e9"]', [b"x" * 70_000], None),
]


@kinds
@by_our_pair
@pytest.mark.parametrize("number", range(len(BINARY)))
def test_answers_with_bytes(
    fleet: dict[str, Server], here: str, there: str, kind: Kind, number: int
) -> None:
    """They are as from a client of the same process: of `call()` and of callbacks."""
    text, attachments, _ = BINARY[number]
    results = []
    for place in (here, there):
        with apart(fleet, here, place, kind) as (caller, called, sid):
            begin(caller, sid)
            called.send(f"4{text.replace('{id}', question(called))}", *attachments)
            results.append(outcome(caller))
            caller.send(f'42["callback","{sid}"]')
            called.send(f"4{text.replace('{id}', question(called))}", *attachments)
            results.append([caller.receive()])
            caller.leave()
            called.leave()
    assert results[:2] == results[2:]
    assert results[0][0] == "answered"
    assert "bytes" in str(results[0][1])


@kinds
@by_our_pair
def test_a_client_of_another_process_goes(
    fleet: dict[str, Server], here: str, there: str, kind: Kind
) -> None:
    with apart(fleet, here, there, kind) as (caller, called, sid):
        begin(caller, sid)
        question(called)
        called.send("1")
        assert outcome(caller) == GONE
        begin(caller, sid)  # it has gone
        assert outcome(caller) == GONE
        caller.leave()


@by_pair
def test_answers_come_back(fleet: dict[str, Server], here: str, there: str) -> None:
    """With and without python-socketio's process, before and after what it does not know."""
    with apart(fleet, here, there, "websocket") as (caller, called, sid):
        for value in (1, 2):
            begin(caller, sid)
            called.send(f"43{question(called)}[{value}]")
            assert outcome(caller) == ["answered", f"int {value}"]
            if value == 1:
                caller.send(f'42["callback","{sid}"]')
                called.send(f'461-{question(called)}[{{"_placeholder":true,"num":0}}]', b"x")
                if "stock" not in (here, there):  # it loses bytes
                    assert str(caller.receive()).startswith('42["called",')
        called.send("1")
    assert "Traceback" not in fleet["stock"].stderr()
