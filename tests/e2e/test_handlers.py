"""What handlers may expect of asyncio, of their order and of replaced methods, on all three paths.

Each session is played over a WebSocket and by polling; the handlers are those of handlers_app.py.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .harness import Server, Trio, serving_all, wait_until
from .sessions import Client

pytestmark = pytest.mark.timeout(60)

TRANSPORTS = ("websocket", "polling")
#: A task that runs, without cancellations: see task_facts().
FACTS = "true,true,true,true,true,true,true,false,0"
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "asyncio": {"loop": "asyncio"},
    "in order": {"options": {"async_handlers": False}, "logs": "ERROR"},
    "in order, logged": {"options": {"async_handlers": False}, "logs": "INFO"},
    "always connect": {"options": {"always_connect": True}},
    "subclass of the server": {"subclass": "server"},
    "subclass of the socket": {"subclass": "socket"},
}

Session = Callable[[Client], Any]
Start = Callable[[str], Trio]


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def trio(request: pytest.FixtureRequest) -> Iterator[Trio]:
    options = {"namespaces": "*"}
    with serving_all(handlers="handlers_app", options=options, loop=request.param) as servers:
        yield servers


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Give the servers with some of OPTIONS, started when first asked for."""
    started: dict[str, Trio] = {}
    with contextlib.ExitStack() as stack:

        def give(name: str) -> Trio:
            if name not in started:
                servers = serving_all(handlers="handlers_app", **OPTIONS[name])
                started[name] = stack.enter_context(servers)
                for server in started[name]:
                    server.get("/loop", factory="none")
            return started[name]

        yield give


def connected(client: Client, transport: str, packet: str = "40") -> Client:
    client.step_open(transport)
    client.send([packet])
    client.until(packet[:2])
    return client


def play(server: Server, name: str, transport: str, session: Session) -> list[Any]:
    """Play a session of a connected client; return its lines, then those of its handlers."""
    client = Client(server.port, f"{name} {transport}".replace(" ", "-"))
    with client.wire:
        connected(client, transport)
        client.wire.lines.clear()
        session(client)
        client.step_end("packet")
    handlers = server.transcript(client.run)
    assert handlers.pop(0)[0] == "connect"
    return [*client.wire.lines, ["handlers"], *handlers]


def play_all(servers: Trio, name: str, transport: str, session: Session) -> list[Any]:
    """Play on all servers at once; the lines are the same."""
    with ThreadPoolExecutor(len(servers)) as pool:
        upstream, asgi, direct = pool.map(
            lambda server: play(server, name, transport, session), servers
        )
    assert asgi == upstream
    assert direct == upstream
    return upstream


def packets(lines: list[Any]) -> list[Any]:
    """Return what the client received, frames and packets alike."""
    return [line[1] for line in lines if line[0] in ("text", "packet")]


def exchange(*frames: Any, last: str = "") -> Session:
    """A session: frames in one segment, then packets up to one that starts with `last`."""

    def session(client: Client) -> None:
        client.send(list(frames))
        if last:
            client.until(last)
        client.step_sync('42999["one","sync"]', '43999["sync"]')

    return session


def check(servers: Trio, name: str, frames: list[Any], expected: list[str]) -> None:
    """Play over both transports; the client receives what is expected."""
    for transport in TRANSPORTS:
        session = exchange(*frames, last=expected[-1] if expected else "")
        lines = play_all(servers, name, transport, session)
        assert packets(lines) == [*expected, '43999["sync"]']


# --- asyncio --------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[list[Any], list[str]]] = {
    "facts": (['421["facts"]'], [f"431[[{FACTS}]]"]),
    "facts after a wait": (['421["facts after a wait"]'], [f"431[[{FACTS},true]]"]),
    "facts of a plain function": (['421["facts of a plain function"]'], [f"431[[{FACTS}]]"]),
    "renamed": (['421["renamed"]'], ['431["new name"]']),
    "no factory": (['421["factory"]'], ['431[["Task",false]]']),
    "two tasks": (
        ['421["first of two"]', '422["second of two"]'],
        ["432[[true,true,false]]", '431["first"]'],
    ),
    "timeout expires": (['421["timeout",0.001]'], ['431[["expired",true,0]]']),
    "timeout at once": (['421["timeout",0]'], ['431[["expired",true,0]]']),
    "timeout does not expire": (['421["timeout",5]'], ['431[["done",false,0]]']),
    "wait_for": (['421["wait_for",5]'], ['431["done"]']),
    "wait_for expires": (['421["wait_for",0.001]'], ['431["expired"]']),
    "gather": (['421["gather"]'], ["431[[1,2,3]]"]),
    "task group": (['421["task group",false]'], ["431[[0,1,2]]"]),
    "task group fails": (['421["task group",true]'], ['431[["KeyError(1)"]]']),
    "shield": (['421["shield"]'], ['431[["expired","inner"]]']),
    "to_thread": (['421["to_thread"]'], ['431["for the thread"]']),
    "move_on_after": (['421["move_on_after",5]'], ["431[[false,false]]"]),
    "move_on_after moves": (['421["move_on_after",0.001]'], ["431[[true,true]]"]),
    "cancel scope": (['421["cancel scope"]'], ['431[["shielded",true]]']),
    "fail_after": (['421["fail_after"]'], ['431["TimeoutError"]']),
    "anyio task group": (['421["anyio task group"]'], ["431[[1,2]]"]),
    "anyio thread": (['421["anyio thread"]'], ['431[["from the thread",true]]']),
    "slow answer": (['421["wait",0.01,{"a":[1]}]'], ['431[{"a":[1]}]']),
    "order of completion": (
        ['421["wait",0.06,"slow"]', '422["wait",0.03,"faster"]', '423["one","fast"]'],
        ['433["fast"]', '432["faster"]', '431["slow"]'],
    ),
    "cancels itself": (['421["cancels itself","wait"]'], ["431[]"]),
    "cancels itself and answers": (
        ['421["cancels itself","answer"]'],
        ['431["answer of answer"]'],
    ),
    "raises CancelledError": (['421["cancels itself","raise"]'], ["431[]"]),
    "catches its cancellation": (
        ['421["cancels itself","caught"]'],
        ['431["answer of caught"]'],
    ),
    "is cancelled by another": (
        ['421["is cancelled"]', '422["cancels"]'],
        ["432[[true,1,false]]", "431[]"],
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_asyncio(trio: Trio, name: str) -> None:
    check(trio, name, *ANSWERS[name])


def test_a_handler_outlives_its_client(trio: Trio) -> None:
    for transport in TRANSPORTS:
        lines = play_all(trio, "lingers", transport, exchange('421["linger"]'))
        assert packets(lines) == ['43999["sync"]']
        handlers = [line[0] for line in lines[lines.index(["handlers"]) :]]
        assert handlers == ["handlers", "begins", "one", "disconnect", "ends"]
        assert lines[-1] == ["ends", "bool False", "int 0"]


def test_every_kind_of_value_after_a_wait(trio: Trio) -> None:
    for value in ("[]", '"\\u00e9"', "1.5", '[[],{"a":[]}]', "false", "0", "null"):
        expected = "" if value == "null" else value
        check(trio, "value", [f'421["wait",0,{value}]'], [f"431[{expected}]"])


# --- context --------------------------------------------------------------------------------------


def context_session(client: Client) -> None:
    client.send(["40/context,"])
    client.until("40/context,")
    for frame in (
        '421["values"]',
        '42/context,1["values"]',
        '42/context,1["change","first"]',
        '42/context,1["change","second"]',
        '42/context,1["change plain","third"]',
        '42/context,1["values"]',
        '421["values"]',
    ):
        client.send([frame])
        client.until("43")
    client.send(['42/context,["from callback"]'])
    client.until('42/context,1["question"]')
    client.send(["43/context,1[]"])
    client.send(['42/context,1["values"]'])
    client.until("43")
    client.send(["41/context,"])
    client.step_sync('42999["one","sync"]', '43999["sync"]')


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_context(trio: Trio, transport: str) -> None:
    """The connection has a context, in which its connect handlers run; each event has a copy."""
    lines = play_all(trio, "context", transport, context_session)
    request = "http request"
    after_connect = after_callback = "unset"
    if transport == "websocket":
        request, after_connect, after_callback = (
            "websocket request",
            "from connect",
            "from callback",
        )
    answers = [packet for packet in packets(lines) if packet.startswith("43")]
    assert answers == [
        f'431[["{after_connect}","{request}"]]',
        f'43/context,1[["{after_connect}","{request}"]]',
        f'43/context,1[["{after_connect}","first"]]',
        f'43/context,1[["{after_connect}","second"]]',
        f'43/context,1["{after_connect}"]',
        f'43/context,1[["{after_connect}","{request}"]]',
        f'431[["{after_connect}","{request}"]]',
        f'43/context,1[["{after_callback}","{request}"]]',
        '43999["sync"]',
    ]
    handlers = {line[0]: line[1:] for line in lines[lines.index(["handlers"]) :]}
    assert handlers["callback"] == [f"str '{after_connect}'"]
    assert lines[-1][:2] == ["disconnect", "str 'client disconnect'"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_context_with_a_task_factory(trio: Trio, transport: str) -> None:
    with factory(trio, "own"):
        test_context(trio, transport)
        if transport == "polling":
            test_context_of_an_upgraded_connection(trio)


def test_context_of_an_upgraded_connection(trio: Trio) -> None:
    def session(client: Client) -> None:
        client.step_upgrade("2probe", "5", True)
        context_session(client)

    lines = play_all(trio, "upgraded context", "polling", session)
    assert '431[["from connect","websocket request"]]' in packets(lines)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_context_in_order(start: Start, transport: str) -> None:
    """Handlers that run in order share the context of the connection."""
    lines = play_all(start("in order"), "context", transport, context_session)
    answers = [packet for packet in packets(lines) if packet.startswith("43")]
    assert (answers[3] == '43/context,1[["first","second"]]') == (transport == "websocket")


# --- failures -------------------------------------------------------------------------------------

FAILURES = ("RuntimeError", "TypeError", "StopIteration", "StopAsyncIteration", "ValueError")
FAILURES += ("OSError", "group", "not JSON", "key not JSON")
WAYS = ("fail", "fail later", "fail plainly")


def errors(server: Server, count: int) -> list[Any]:
    """Return what the loop's exception handler was told, when it is as much as expected."""
    wait_until(f"{count} exceptions are told", lambda: len(server.get("/errors")) >= count)
    found: list[Any] = server.get("/errors", clear=True)
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_failures(trio: Trio, transport: str) -> None:
    """What a handler raises is no answer, and reaches the loop's exception handler."""

    def session(client: Client) -> None:
        for way in WAYS:
            for kind in FAILURES:
                client.send([f'421["{way}","{kind}"]', f'42["{way}","{kind}"]'])
                client.step_sync('42999["one","sync"]', '43999["sync"]')
        client.send(['421["fail"]', '422["fail",1,2]', '423["fail plainly"]'])
        client.step_sync('42999["one","sync"]', '43999["sync"]')

    for server in trio:
        server.get("/loop")
        server.get("/errors", clear=True)
    lines = play_all(trio, "failures", transport, session)
    assert set(packets(lines)) == {'43999["sync"]'}
    count = len(WAYS) * (2 * len(FAILURES) - 2) + 3
    upstream, asgi, direct = (errors(server, count) for server in trio)
    assert len(upstream) == count
    told = f"{upstream[0][0].split()[0]} exception was never retrieved"  # the class of the task
    what = ["exception", "future", "message"]
    assert upstream[0] == [told, "RuntimeError", "a handler raises RuntimeError", what]
    # When each is told depends on the collector, for exceptions that refer to themselves.
    assert sorted(asgi) == sorted(upstream)
    assert sorted(direct) == sorted(upstream)


#: What of our lines python-socketio's do not have.
UNNAMED = re.compile(r"(?<=^ERROR )(?:handler of|answer to) event .* (?=[A-Za-z]+$)")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ["in order", "in order, logged"])
def test_failures_in_order(start: Start, name: str, transport: str) -> None:
    """Without tasks a failure is logged, and the next event is handled."""

    def session(client: Client) -> None:
        for way in WAYS:
            client.send([f'421["{way}","{kind}"]' for kind in FAILURES])
            client.step_sync('42999["one","sync"]', '43999["sync"]')
        client.send(['421["fail"]', '422["fail",1,2]', '423["fail plainly"]'])
        client.send(['424["cancels itself","raise"]', '42["fail","RuntimeError"]'])
        client.step_sync('42999["one","sync"]', '43999["sync"]')
        for kind in FAILURES[:3]:
            client.send([f'42["callback fails","{kind}"]'])
            answer = client.until("42", '["question"]')
            assert answer is not None
            client.send([f"43{answer[2 : answer.index('[')]}[]"])
            client.step_sync('42999["one","sync"]', '43999["sync"]')

    servers = start(name)
    before = [len(server.get("/facts")["log"]) for server in servers]
    lines = play_all(servers, "failures", transport, session)
    assert "434[]" in packets(lines)
    logs = []
    for server, count in zip(servers, before, strict=True):
        client = Client(server.port, "")
        found = server.get("/facts")["log"][count:]
        found = [UNNAMED.sub("message async handler error ", line) for line in found]
        logs.append([client.wire.label(line) for line in found])
    line = "ERROR message async handler error RuntimeError"
    assert logs[0].count(line) >= len(WAYS) + 2
    assert logs[1] == logs[0]
    assert logs[2] == logs[0]
    assert [server.get("/errors", clear=True) for server in servers] == [[], [], []]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_failing_callbacks(trio: Trio, transport: str) -> None:
    def session(client: Client) -> None:
        for kind in FAILURES[:6]:
            client.send([f'42["callback fails","{kind}"]'])
            answer = client.until("42", '["question"]')
            assert answer is not None
            client.send([f"43{answer[2 : answer.index('[')]}[]", '421["facts"]'])
            client.until("431[")

    play_all(trio, "callbacks", transport, session)


# --- order ----------------------------------------------------------------------------------------


def test_in_order(start: Start) -> None:
    """async_handlers=False: a client's events are handled one after the other."""
    frames = ['421["wait",0.05,"slow"]', '422["wait",0.01,"fast"]', '423["one",3]', '42["facts"]']
    expected = ['431["slow"]', '432["fast"]', "433[3]"]
    check(start("in order"), "in order", frames, expected)
    check(start("in order, logged"), "in order", frames, expected)


def test_in_order_facts(start: Start) -> None:
    for name in ("facts", "facts of a plain function", "timeout expires", "cancel scope"):
        check(start("in order"), name, *ANSWERS[name])


PLACE = '{"_placeholder":true,"num":0}'
ORDER: dict[str, tuple[list[Any], list[str]]] = {
    "emit first": (
        ['421["emit first"]'],
        [f'451-["first",{PLACE}]', '42["second"]', '431["then the answer"]'],
    ),
    "emit around a wait": (
        ['421["emit around a wait"]'],
        ['42["before"]', '42["after"]', f'461-1[{PLACE},"then the answer"]'],
    ),
    "emit in the background": (
        ['421["emit in the background"]'],
        ['431["answer"]', '42["from the background"]'],
    ),
}


@pytest.mark.parametrize("name", ORDER)
def test_order(trio: Trio, name: str) -> None:
    frames, expected = ORDER[name]
    for transport in TRANSPORTS:
        lines = play_all(trio, name, transport, exchange(*frames, last=expected[-1]))
        texts = [packet for packet in packets(lines) if packet[0] != "b"]
        assert texts == [*expected, '43999["sync"]']


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_call_in_a_handler(trio: Trio, transport: str) -> None:
    def session(client: Client) -> None:
        client.send(['421["call and emit"]'])
        client.until('421["question"]')
        client.send(['422["one","meanwhile"]'])
        client.until('432["meanwhile"]')
        client.send(['431["answer"]'])
        client.until("431[")

    lines = play_all(trio, "call", transport, session)
    called = ['421["question"]', '432["meanwhile"]', '42["called","answer"]']
    assert packets(lines) == [*called, '431["then the answer"]']


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("event", ["disconnect me", "disconnect later"])
def test_disconnected_in_its_handler(trio: Trio, event: str, transport: str) -> None:
    def session(client: Client) -> None:
        client.send([f'421["{event}"]'])
        client.until("431[")
        client.send(['423["one","too late"]', "40"])
        client.until("40")
        client.step_sync('42999["one","sync"]', '43999["sync"]')

    lines = play_all(trio, "disconnected", transport, session)
    got = packets(lines)
    assert got.index("41") < got.index('431["the answer of the disconnected"]')
    assert not [packet for packet in got if "never" in packet or packet.startswith("433")]
    assert ["disconnect", "str 'server disconnect'"] in lines


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("other_transport", TRANSPORTS)
def test_other_client_is_disconnected(trio: Trio, transport: str, other_transport: str) -> None:
    def session(client: Client) -> None:
        other = Client(client.wire.port, client.run + "-other")
        with other.wire:
            connected(other, other_transport)
            sid = max(other.wire.sids, key=other.wire.sids.index)
            client.send([f'421["disconnect other","{sid}"]'])
            client.until("431[")
            other.until("41")
            other.step_end("packet")
            assert ["never"] not in packets(other.wire.lines)
        client.wire.lines.append(packets(other.wire.lines)[1:])

    lines = play_all(trio, f"other {other_transport}", transport, session)
    assert '431["the other is gone"]' in packets(lines)
    upstream, asgi, direct = (
        server.transcript(f"other-{other_transport}-{transport}-other") for server in trio
    )
    assert upstream[-1] == ["disconnect", "str 'server disconnect'"]
    assert asgi == upstream
    assert direct == upstream


def slow_connect_session(client: Client) -> None:
    events = ['42/slow,1["x",1]', '42/slow,2["x",2]', '421["one","while it connects"]']
    client.send(["40/slow,", *events])
    client.until('431["while')
    client.step_sync('42/slow,3["x",3]', "43/slow,3[3]")
    client.send(["41/slow,", '42/slow,4["x",4]', '422["one","while it disconnects"]'])
    client.until('432["while')
    client.send(['40/slow,"refuse"', '42/slow,5["x",5]', '423["one","refused"]'])
    client.until('433["refused"]')


def check_slow_connect(servers: Trio, transport: str) -> None:
    lines = play_all(servers, "slow", transport, slow_connect_session)
    got = [packet for packet in packets(lines) if packet.startswith(("43/", "431"))]
    handlers = lines[lines.index(["handlers"]) :]
    assert len([line for line in handlers if line[0] == "slow event"]) == 3
    assert got == ["43/slow,1[1]", "43/slow,2[2]", '431["while it connects"]', "43/slow,3[3]"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_slow_connect(trio: Trio, transport: str) -> None:
    """What follows in the same segment waits for the connect handler."""
    check_slow_connect(trio, transport)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ["in order", "always connect"])
def test_slow_connect_with_options(start: Start, name: str, transport: str) -> None:
    check_slow_connect(start(name), transport)


# --- kinds of handlers ----------------------------------------------------------------------------

KINDS = {
    "partial": '["partial",1,"a"]',
    "plain partial": '["plain partial",1,"a"]',
    "plain object": '["plain object",1,"a"]',
    "method": '["Handler",1,"a"]',
    "plain method": '["plain method",1,"a"]',
    "static": '["static",1,"a"]',
    "class method": '["Handler",1,"a"]',
    "lambda": '"lambda",1,"a"',
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_handlers(trio: Trio, kind: str) -> None:
    check(trio, kind, [f'421["{kind}",1,"a"]'], [f"431[{KINDS[kind]}]"])


def test_namespaces(trio: Trio) -> None:
    """Classes: methods, plain ones, cancelled and failing ones, and a trigger_event of its own."""

    def session(client: Client) -> None:
        client.send(["40/routed,"])
        client.until("40/routed,")
        client.send(["40/classic,"])
        client.until("40/classic,")
        for frame in (
            '42/routed,1["anything",1,null]',
            '42/routed,1["super",2]',
            '42/classic,1["wait",1,[2]]',
            '42/classic,1["plain"]',
            '42/classic,1["cancel"]',
            '42/classic,1["emit",1]',
            '42/classic,1["not there",1]',
            f'451-/classic,1["wait",{PLACE}]',
        ):
            client.send([frame, b"\x01"] if frame.startswith("45") else [frame])
            client.step_until(f"43{frame[frame.index('/') : frame.index('[')]}[")
        client.send(['42/classic,2["fail"]', "41/classic,", '42/classic,3["plain"]'])
        client.step_sync('42999["one","sync"]', '43999["sync"]')

    for transport in TRANSPORTS:
        got = packets(play_all(trio, "namespaces", transport, session))
        assert [packet for packet in got if packet.startswith("43/")] == [
            '43/routed,1[["anything",1,null]]',
            '43/routed,1[["of the class",2,true,true]]',
            "43/classic,1[1,[2]]",
            "43/classic,1[[true,true]]",
            "43/classic,1[]",
            '43/classic,1["after"]',
            "43/classic,1[]",
        ]


#: Changes, an event after them, and its answer; "" when there is none.
CHANGES: list[tuple[str, str, str]] = [
    ("", '421["late",1]', ""),
    ("add late", '421["late",1]', '431[["late",1]]'),
    ("replace late", '421["late",1]', '431[["replaced",1]]'),
    ("new table", '421["late",2]', '431[["replaced",2]]'),
    ("remove late", '421["late",1]', ""),
    ("add late", '421["late",1]', '431[["late",1]]'),
    ("add any event", '421["no one",{"a":1}]', '431[["any event","no one",SIZE,{"a":1}]]'),
    ("", '421["late",1]', '431[["late",1]]'),
    ("remove late", '421["late"]', '431[["any event","late",SIZE]]'),
    ("add any namespace", '421["no one",1]', '431[["any event","no one",SIZE,1]]'),
    ("remove any event", '421["no one",1]', '431[["any namespace","no one","/",SIZE,1]]'),
    ("", '42/else,1["no one",1]', '43/else,1[["any namespace","no one","/else",SIZE,1]]'),
    ("add named", '42/else,1["named",1]', '43/else,1[["named","/else",SIZE,1]]'),
    ("", '421["named",1]', '431[["named","/",SIZE,1]]'),
    ("remove any namespace", '42/else,1["named",1]', ""),
    ("add class for any", '42/else,1["x"]', '43/else,1[["class for any namespace","/else",SIZE]]'),
    ("", '421["x"]', '431[["class for any namespace","/",SIZE]]'),
    ("remove class for any", '42/else,1["x"]', ""),
    ("add class", '42/new,1["plain"]', "43/new,1[[true,true]]"),
    ("add method", '42/new,1["late",1]', '43/new,1[["new method",1]]'),
    ("replace method", '42/new,1["plain",1]', '43/new,1[["new method",1]]'),
    ("remove class", '42/new,1["plain",1]', ""),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_changed_handlers(trio: Trio, transport: str) -> None:
    """Handlers come, change and go while the client is connected."""

    def session(client: Client) -> None:
        for namespace in ("/else", "/new"):
            client.send([f"40{namespace},"])
            client.until(f"40{namespace},")
        for change, frame, answer in CHANGES:
            if change:
                client.send([f'429["change handlers","{change}"]'])
                client.until("439[]")
            client.send([frame])
            if answer:
                client.until("43")
            client.step_sync('42999["one","sync"]', '43999["sync"]')

    lines = play_all(trio, "changes", transport, session)
    kept = ("439", "43999")
    got = [p for p in packets(lines) if p.startswith("43") and not p.startswith(kept)]
    assert got == [answer.replace("SIZE", "20") for _, _, answer in CHANGES if answer]


# --- task factories -------------------------------------------------------------------------------


def factory_session(client: Client) -> None:
    client.send(['421["factory"]', '422["facts after a wait"]', '423["wait",0.05,3]'])
    client.until("433[3]")
    client.send(['421["factory"]', '42["facts"]', '422["one",2]'])
    client.until("432[2]")
    client.send(['421["timeout",0.001]', '422["anyio task group"]'])
    client.until("432[")
    client.send(['421["cancels itself","wait"]'])
    client.until("431[]")
    client.send(['422["fail","RuntimeError"]'])
    client.step_sync('42999["one","sync"]', '43999["sync"]')


@contextlib.contextmanager
def factory(servers: Trio, name: str) -> Iterator[None]:
    for server in servers:
        server.get("/loop", factory=name)
    try:
        yield
    finally:
        for server in servers:
            server.get("/loop", factory="none")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_task_factory(trio: Trio, transport: str) -> None:
    with factory(trio, "own"):
        got = packets(play_all(trio, "factory", transport, factory_session))
    assert got.count('431[["Made",true]]') == 2
    assert f"432[[{FACTS},true]]" in got


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_task_factory_changes(trio: Trio, transport: str) -> None:
    """The loop's factory is that of the moment."""
    servers = {server.port: server for server in trio}

    def session(client: Client) -> None:
        for name in ("none", "own", "none"):
            servers[client.wire.port].get("/loop", factory=name)
            client.send(['421["factory"]'])
            client.until("431[")

    got = packets(play_all(trio, "changed factory", transport, session))
    none = '431[["Task",false]]'
    assert got == [none, '431[["Made",true]]', none]


# --- replaced methods -----------------------------------------------------------------------------


def traffic(client: Client) -> None:
    """Some of everything that a client does."""
    client.send(['421["one",{"a":[1.5,null]}]', '42["nothing"]', '42["no such event",1]'])
    client.send([f'451-2["one",{PLACE}]', b"\x01\x02"])
    client.step_until("432[")
    client.send(['421["echo","e",2]'])
    client.until("431[")
    client.send(['421["plain"]', '422["answer","nested"]', '423["wait",0,3]'])
    client.until("433[3]")
    for answer in (["43ID[1]"], [f"461-ID[{PLACE}]", b"\x00"]):
        client.step_question(['421["callback","kind"]'], list(answer), "431[", True)
        client.step_question(['421["ask","kind"]'], list(answer), "431[", False)
    client.send(["40/chat,"])
    client.until("40/chat,")
    client.send(['42/chat,1["say","x"]'])
    client.until("43/chat,1")
    client.send(["41/chat,", '422["one",2]', "43999[]"])
    client.until("432[2]")
    client.step_sync('42999["one","sync"]', '43999["sync"]')


def calls(servers: Trio, sids: dict[int, list[str]]) -> list[dict[str, list[Any]]]:
    """Return the calls of each method by server, ids numbered as the client saw them.

    What is in one segment may all be read before the first handler starts; so an order holds
    among the calls of one method.
    """
    found: list[dict[str, list[Any]]] = []
    for server in servers:
        wire = Client(server.port, "").wire
        wire.sids = sids[server.port]
        found.append({})
        for name, *arguments in server.get("/unpatch"):
            found[-1].setdefault(name, []).append(labelled(wire.label, arguments))
    return found


def labelled(label: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, list):
        return [labelled(label, item) for item in value]
    if isinstance(value, dict):
        return {label(key): labelled(label, item) for key, item in value.items()}
    return label(value) if isinstance(value, str) else value


REPLACED = (
    "sio._trigger_event",
    "sio._handle_event",
    "sio._handle_event_internal",
    "sio._send_packet",
    "sio._send_eio_packet",
    "sio._handle_ack",
    "sio._handle_connect",
    "sio._handle_disconnect",
    "sio._get_event_handler",
    "sio._get_namespace_handler",
    "sio.start_background_task",
    "sio.emit",
    "handlers.message",
    "eio.send",
    "eio.send_packet",
    "eio._trigger_event",
    "eio._get_socket",
    "manager.emit",
    "manager.trigger_callback",
    "manager.is_connected",
    "manager.sid_from_eio_sid",
    "manager.get_participants",
    "socket.send",
    "socket.receive",
    "AsyncSocket.send",
    "AsyncSocket.receive",
    "AsyncServer._send_packet",
    "AsyncServer._trigger_event",
    "AsyncServer._handle_event",
    "sio._send_packet eio.send eio.send_packet socket.send",
    "sio._trigger_event sio._handle_event sio._handle_event_internal",
    "sio._handle_eio_message",  # never called: its bound method is a handler of the engine
)
#: Questions: that they are asked matters, not how often.
QUESTIONS = {
    *("eio._get_socket", "manager.is_connected", "manager.sid_from_eio_sid"),
    *("manager.get_participants", "sio._get_event_handler", "sio._get_namespace_handler"),
}


def check_calls(paths: str, recorded: list[dict[str, list[Any]]]) -> None:
    upstream, asgi, direct = recorded
    assert set(upstream) == set(paths.split()) - {"sio._handle_eio_message"}
    if paths in QUESTIONS:
        for side in recorded:
            side[paths] = sorted({json.dumps(call) for call in side.get(paths, [])})
    assert asgi == upstream
    assert direct == upstream


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("paths", REPLACED)
def test_replaced_methods(start: Start, paths: str, transport: str) -> None:
    """A method that is replaced while its client is connected is called, as upstream's is."""
    trio = start("default")
    servers = {server.port: server for server in trio}
    sids: dict[int, list[str]] = {}

    def session(client: Client) -> None:
        server = servers[client.wire.port]
        sids[server.port] = client.wire.sids
        server.get("/patch", paths=paths, eio_sid=client.wire.sids[0])
        traffic(client)

    try:
        play_all(trio, "replaced", transport, session)
    finally:
        recorded = calls(trio, sids)
    check_calls(paths, recorded)


@pytest.mark.parametrize("paths", [paths for paths in REPLACED if "socket" not in paths])
def test_methods_replaced_before(start: Start, paths: str) -> None:
    """The same, replaced before the client connects."""
    trio = start("default")
    sids: dict[int, list[str]] = {}

    def session(client: Client) -> None:
        sids[client.wire.port] = client.wire.sids
        traffic(client)

    for server in trio:
        server.get("/patch", paths=paths)
    try:
        play_all(trio, "replaced before", "websocket", session)
    finally:
        recorded = calls(trio, sids)
    check_calls(paths, recorded)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ["subclass of the server", "subclass of the socket"])
def test_subclasses(start: Start, name: str, transport: str) -> None:
    """Methods that a subclass of the server or of the socket overrides are called."""
    sids: dict[int, list[str]] = {}

    def session(client: Client) -> None:
        sids[client.wire.port] = client.wire.sids
        traffic(client)

    servers = start(name)
    play_all(servers, "subclass", transport, session)
    upstream, asgi, direct = calls(servers, sids)
    methods = {"subclass of the server": 4, "subclass of the socket": 2}
    assert len(upstream) == methods[name]
    assert asgi == upstream
    assert direct == upstream
