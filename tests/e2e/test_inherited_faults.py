"""Faults that other servers had, each played against ours on every way to it.

Each test goes wrong where the fault is there. Bystanders on the same server notice nothing. Floods
of PONGs (CVE-2026-48802) are in rules_engineio.py, sizes (CVE-2026-48809) and tiny fragments
(CVE-2026-48779) in test_limits.py, memory that nobody has written (CVE-2026-45736) in
test_uninitialised.py.
"""

import json
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .frames import close_frame
from .harness import OURS, Server, serving, wait_until
from .machine import SLOWNESS
from .place import SLACK, Place, every_way, serving_ways
from .redis_process import RedisProcess
from .rule_client import GONE_SECONDS, Client, Packet, Request, WebSocket, new_run

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

MESSAGE_TIMEOUT = 0.5
HOLDER = '{"_placeholder":true,"num":0}'
ONE = f'["one",{HOLDER}]'


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with serving_ways({"message_timeout": MESSAGE_TIMEOUT}) as started:
        yield started


@pytest.fixture
def place(servers: dict[str, Server], way: str) -> Iterator[Place]:
    here = Place(servers, way)
    yield here
    here.check()


# --- pickle on the message queue: CVE-2025-61765 --------------------------------------------------


class Touch:
    """What makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.mark.parametrize("path", ["direct", "asgi"])
def test_what_is_published_is_not_unpickled(redis: RedisProcess, tmp_path: Path, path: Any) -> None:
    mark = tmp_path / "loaded"
    check = tmp_path / "check"
    pickle.loads(pickle.dumps(Touch(check)))
    assert check.exists()
    message = {"method": "emit", "event": "news", "namespace": "/", "room": None, "data": 1}
    with (
        serving(OURS, path=path, redis=redis.url, logs="ERROR") as server,
        Client(server, "pickle", "websocket") as client,
        redis.client() as publisher,
    ):
        wait_until("subscription", lambda: "socketio" in redis.channels())
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            for value in (Touch(mark), {**message, "data": Touch(mark)}, message):
                publisher.publish("socketio", pickle.dumps(value, protocol))
        publisher.publish("socketio", json.dumps({**message, "data": "json", "host_id": "x"}))
        got = client.receive()
        while got == "2":
            got = client.receive()
        assert got == '42["news","json"]'  # and nothing of the others
        assert not mark.exists()
        assert "Traceback" not in server.stderr()
        assert not any(line.endswith("Error") for line in server.get("/held")["log"])
        client.leave()


# --- attachments: CVE-2026-48804, CVE-2026-33151, CVE-2026-69185 ----------------------------------


@every_way
def test_attachments_that_never_come(place: Place) -> None:
    """They have a deadline, and what is held for them is let go of."""
    with place.client() as client:
        poll = client.waiting_poll() if client.ws is None else None
        client.send(f"452-{ONE}", b"one of two")
        if client.ws is not None:
            client.over(1008, MESSAGE_TIMEOUT + SLACK)
        else:
            assert poll is not None
            client.over_poll(poll, MESSAGE_TIMEOUT + SLACK)
        client.gone("transport error", GONE_SECONDS)
        assert client.handlers() == [["disconnect", "str 'transport error'"]]


@every_way
def test_too_many_attachments(place: Place) -> None:
    holders = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(1000))
    blobs: list[Packet] = [bytes([n % 256]) for n in range(1000)]
    with place.client() as client:
        answers = client.answers(f'451000-1["several",{holders}]', *blobs)
        assert answers[1:] == blobs
        client.refused(f"451001-{ONE}")
    for count in ("1001", "4294967296", "4294967297", "18446744073709551617", "9" * 99, "-1"):
        with place.client() as client:
            client.refused(f"45{count}-{ONE}")
        with place.client() as client:
            client.refused(f"46{count}-1{ONE}")


def say_goodbye(client: Client) -> None:
    client.send("1")


def send_a_close_frame(client: Client) -> None:
    assert client.ws is not None
    client.ws.send_raw(close_frame(1000))


def drop_the_connection(client: Client) -> None:
    assert client.ws is not None
    client.ws.close()


def reset_the_connection(client: Client) -> None:
    assert client.ws is not None
    linger = struct.pack("ii", 1, 0)
    client.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.ws.close()


def break_the_protocol(client: Client) -> None:
    client.send("7")


def break_the_frames(client: Client) -> None:
    assert client.ws is not None
    client.ws.send_raw(b"\xff\xff")


def leave_the_namespace(client: Client) -> None:
    """What is awaited is no attachment: refused."""
    client.send("41")


def be_disconnected(client: Client) -> None:
    """The server ends the connection; what it sends is fetched before."""
    poll = client.waiting_poll() if client.ws is None else None
    client.server.do("end", eio_sid=client.sid)
    if poll is not None:
        assert poll.response().body == "1"


ENDS: list[tuple[Callable[[Client], None], bool]] = [
    (say_goodbye, True),
    (break_the_protocol, True),
    (leave_the_namespace, True),
    (be_disconnected, True),
    (send_a_close_frame, False),
    (drop_the_connection, False),
    (reset_the_connection, False),
    (break_the_frames, False),
]


@every_way
@pytest.mark.parametrize("end", [end for end, _ in ENDS], ids=lambda end: end.__name__)
def test_attachments_are_let_go_of_at_every_end(
    place: Place, end: Callable[[Client], None]
) -> None:
    if place.kind == "polling" and (end, True) not in ENDS:
        pytest.skip("an end of a WebSocket")
    with place.client() as client:
        client.send(f"452-{ONE}", b"x" * 100_000)
        client.begun()
        end(client)
        client.gone(None, GONE_SECONDS)
        assert client.handlers()[0][0] == "disconnect"


@every_way
@pytest.mark.parametrize(
    "packets",
    [
        ('450-["x"]',),
        ('450-["one",1]',),
        (f"450-{ONE}",),
        ("460-1[]",),
        (f"460-1[{HOLDER}]",),
        ("450-[]", b"x"),
        ("45-[]",),
        ('45["x"]', b"x"),
        ('451-["x"]', '42["one",1]'),
        ('451-["x"]', '451-["x"]'),
        ("451-[]", b"x"),
        ("451-{}", b"x"),
        ("451-", b"x"),
        (f"451-[{HOLDER}]", b"one"),
        (f"451-{HOLDER}", b"one"),
        ("461-1", b"x"),
        (f"461-1{HOLDER}", b"x"),
    ],
    ids=str,
)
def test_binary_packets_that_are_none(place: Place, packets: tuple[Packet, ...]) -> None:
    """Refused; with 50 and no attachment connections were left deaf."""
    with place.client() as client:
        client.refused(*packets)


@every_way
def test_attachments_that_are_not_used(place: Place) -> None:
    """Nothing is wedged: the event comes without them."""
    with place.client() as client:
        answers = client.answers('451-1["one","x"]', b"unused", '422["one","next"]')
        assert answers == ['431["x"]', '432["next"]']
        two = f'452-3["several",{HOLDER},{HOLDER}]'
        assert client.answers(two, b"a", b"b")[1:] == [b"a", b"a"]
        client.leave()


# --- placeholders: CVE-2022-2421 ------------------------------------------------------------------

NUMBERS = ("-1", "7", "1", '"a"', '"0"', "true", "false", "1.5", "0.0", "null", "[]", "{}")
NUMBERS += ("1e0", "0e0", str(2**31), str(2**63), str(2**64), "-" + "9" * 100)


@every_way
@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_placeholders(place: Place, number: str) -> None:
    holder = f'{{"_placeholder":true,"num":{number}}}'
    for payload in (f'["one",{holder}]', f'["one",{{"a":[[{holder}]]}}]'):
        with place.client() as client:
            client.refused(f"451-1{payload}", b"x")
            assert client.handlers() == [["disconnect", "str 'transport error'"]]


@every_way
def test_numbers_of_placeholders_in_acknowledgements(place: Place) -> None:
    for number in ("-1", "7", '"a"', "true", "1.5"):
        with place.client() as client:
            client.send('42["callback","kind"]')
            assert client.receive() == '421["question","kind"]'
            client.refused(f'461-1[{{"_placeholder":true,"num":{number}}}]', b"x")
            assert [line[0] for line in client.handlers()] == ["disconnect"]


@every_way
def test_placeholders_that_are_none(place: Place) -> None:
    """Without `true`, or in a packet without attachments, they are objects like others."""
    with place.client() as client:
        for value in ('{"_placeholder":false,"num":7}', '{"num":7}', '{"_placeholder":null}'):
            assert client.answers(f'451-1["one",{value}]', b"x") == [f"431[{value}]"]
        value = '{"_placeholder":true,"num":-1}'
        assert client.answers(f'421["one",{value}]') == [f"431[{value}]"]
        client.leave()


# --- packets that raise: CVE-2023-32695, CVE-2024-38355 -------------------------------------------


@every_way
@pytest.mark.parametrize(
    "packet",
    [
        *("42", "42{}", "42[]", "42[1]", "42[null]", "42[true]", "42[[]]", "42[{}]", "42[1.5]"),
        *("42null", "42true", "421", '42"one"', '42{"0":"one"}', '42[{"toString":1}]', "42[-1]"),
        *("431", "43", "43{}", "43null", '431"x"', "431{}", '43{"length":1}'),
        *("42/chat,{}", "42/chat,[]", "42/chat,[1]", "42/nowhere,[]", "43/nowhere,{}"),
        *("44", "44{}", "45", "46", "47", "48[]", "4", "4 ", "4-", "4,", "4\x00", "4/", "4/,"),
        *("40/chat,{", "40/chat,]", '42["__proto__"', '42["one",', "42[", '42["', "42,"),
    ],
)
def test_nothing_raises(place: Place, packet: str) -> None:
    with place.client() as client:
        client.refused(packet)


@every_way
def test_names_of_all_kinds(place: Place) -> None:
    """Names that mean something to Python or JavaScript are unknown events."""
    names = ("__class__", "__init__", "toString", "__proto__", "constructor", "*", "", " ", "\x00")
    names += ("on_say", "emit", "handlers", "trigger_event", "x" * 100_000)
    with place.client() as client:
        client.join("40/chat,")
        for name in names:
            packets = [f'42{ns}["{json.dumps(name)[1:-1]}",1]' for ns in ("", "/chat,")]
            assert client.answers(*packets) == []
        client.leave()


# --- origins: python-engineio #128 ----------------------------------------------------------------


@every_way
def test_origins(place: Place) -> None:
    """Requests of other origins are refused on each way, those of a session too."""
    port = place.server.port
    query = f"EIO=4&transport={place.kind}"

    def status(query: str, origin: str, method: str = "GET", body: bytes | None = None) -> int:
        headers = f"Origin: {origin}\r\n"
        if place.kind == "polling":
            return Request(port, method, query, body, headers=headers).response().status
        ws = WebSocket(port, query, headers)
        ws.close()
        return ws.status

    own = f"http://127.0.0.1:{port}"
    assert status(query, own) == (200 if place.kind == "polling" else 101)
    with place.client() as client, Client(place.server, new_run("origins"), "polling") as polling:
        for origin in ("http://evil.example", f"{own}.evil.example", "null", "http://127.0.0.1"):
            assert status(query, origin) == 400, origin
            of_session = f"EIO=4&transport={place.kind}&sid={polling.sid}"
            assert status(of_session, origin) == 400, origin
            if place.kind == "polling":
                assert status(of_session, origin, "POST", b'42["one",1]') == 400
        assert client.answers() == []
        assert polling.answers() == []
        assert polling.handlers() == [["one", "str 'sync'"]]
        client.leave()
        polling.leave()


# --- reserved names -------------------------------------------------------------------------------

RESERVED = (
    '["connect",{"REQUEST_METHOD":"forged"}]',
    '["connect",{"REQUEST_METHOD":"forged"},{"token":"forged"}]',
    '["connect"]',
    '["disconnect","forged"]',
    '["disconnect"]',
)


@every_way
@pytest.mark.parametrize("payload", RESERVED)
def test_reserved_names(place: Place, payload: str) -> None:
    """The application's own connect and disconnect are no events of a client's."""
    binary = payload.replace("]", f",{HOLDER}]")
    for packets in ((f"42{payload}",), (f"421{payload}",), (f"451-{binary}", b"x")):
        with place.client() as client:
            client.refused(*packets)
            assert client.handlers() == [["disconnect", "str 'transport error'"]]
    for namespace in ("/chat", "/wild"):
        with place.client(f"40{namespace},") as client:
            client.refused(f"42{namespace},{payload}")
            seen = client.handlers()
            assert seen == [[f"{namespace} disconnect", "str 'transport error'"]]


# --- call() ---------------------------------------------------------------------------------------


@every_way
def test_a_call_in_vain_leaves_no_callback(place: Place) -> None:
    with place.client() as client:
        client.send('42["callback","kind"]')  # from here on the client has a table
        assert client.receive() == '421["question","kind"]'
        held = place.held()["callbacks"]
        for number in range(3):
            client.send(f'42{number}["ask_in_vain"]')
        got = [client.receive() for _ in range(6)]
        answers = [packet for packet in got if '"no answer"' not in str(packet)]
        assert sorted(map(str, answers)) == [f'43{n}["TimeoutError"]' for n in range(3)]
        assert place.held()["callbacks"] == held
        assert client.answers('432["too late"]', '434["too late"]') == []
        client.leave()


# --- depth ----------------------------------------------------------------------------------------


def nested(depth: int, opening: str = "[", closing: str = "]", inner: str = "") -> str:
    """A value nested so deep within the array of an event."""
    return opening * (depth - 1) + inner + closing * (depth - 1)


@every_way
def test_depth(place: Place) -> None:
    """512; one past it the client is gone, with one line in the log for all of them."""
    deep: list[tuple[str, str, str]] = [("[", "]", ""), ('{"a":', "}", "1")]
    for opening, closing, inner in deep:
        with place.client() as client:
            value = nested(512, opening, closing, inner)
            assert client.answers(f'421["same",{value}]') == [f"431[{value}]"]
            client.refused(f'421["same",{nested(513, opening, closing, inner)}]')
    for text in (
        '42["one",' + "[" * 200_000,
        '42["one",' + nested(200_000) + "]",
        "40/chat," + '{"a":' * 100_000,
        "431" + "[" * 200_000,
        '42["one",' + '[{"a":' * 100_000,
    ):
        with place.client() as client:
            client.refused(text)
    assert len(place.new_log()) <= 1
