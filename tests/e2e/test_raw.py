"""The same bytes on all three paths, for sessions scripted by hand."""

import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest

from .frames import BINARY, CLOSE, PING, PONG, TEXT
from .harness import Server, Trio, serving_all
from .raw import Wire, as_upstream

pytestmark = pytest.mark.timeout(60)

EIO = "EIO=4&transport=polling"
ONE = '["one",{"_placeholder":true,"num":0}]'
LIMIT = 1_000_000
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "options": {
        "options": {
            "cookie": "io",
            "cors_allowed_origins": "*",
            "allow_upgrades": False,
            "always_connect": True,
            "async_handlers": False,
            "ping_interval": [3, 2],
            "ping_timeout": 4,
            "max_http_buffer_size": 5000,
            "compression_threshold": 100,
            "transports": ["polling", "websocket"],
        }
    },
    "pings": {"options": {"ping_interval": 0.2, "ping_timeout": 0.4}},
    "own json": {"json": True},
    "msgpack": {"options": {"serializer": "msgpack"}},
}

Case = Callable[[Wire], None]
CASES: list[Any] = []


def case(variant: str = "default", *parameters: Any) -> Callable[[Any], Any]:
    """Register a session, once for each of the parameters when there are any."""

    def register(function: Any) -> Any:
        name = function.__name__.replace("_", " ")
        if not parameters:
            CASES.append(pytest.param(variant, function, id=name))
        for number, parameter in enumerate(parameters):

            def play(wire: Wire, parameter: Any = parameter) -> None:
                function(wire, parameter)

            CASES.append(pytest.param(variant, play, id=f"{name} {number}"))
        return function

    return register


# --- HTTP -----------------------------------------------------------------------------------------


@case("default", "/socket.io/", "/socket.io", "/socket.io/more")
def open_packet(wire: Wire, path: str) -> None:
    wire.request("GET", EIO, path=path)


@case("default", "/socket.iox", "/", "/hello", "/hello/")
def other_paths(wire: Wire, path: str) -> None:
    wire.request("GET", EIO, path=path)


@case()
def polling_session(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, '40{"token":"t\u00f6ken"}')
    wire.get(sid)
    wire.post(sid, '420["one",1]\x1e421["several",1,"\u00e9",null]\x1e422["nothing"]')
    wire.get(sid)
    wire.post(sid, '423["one","\U0001f600 \\u2028 \\" \\\\ "]')
    wire.get(sid)
    wire.post(sid, '40/chat?x=1,{"n":1}\x1e42/chat,7["say","x"]')
    wire.packets_until(sid, '43/chat,7["x","said"]')
    wire.post(sid, '428["burst",3]')
    wire.packets_until(sid, "438[]")


@case()
def polling_connect_and_events_at_once(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, '40\x1e420["one",1]\x1e421["one",2]\x1e42["numbered",3]')
    wire.get(sid)


@case()
def polling_binary(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.post(sid, f"451-5{ONE}\x1ebAQID")
    wire.get(sid)
    wire.post(sid, '452-6["several",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]')
    wire.post(sid, "bYQ==\x1ebYg==")
    wire.get(sid)
    wire.post(sid, '427["answer","bytearray"]')
    wire.get(sid)
    wire.post(sid, '428["answer","bytes inside"]')
    wire.get(sid)


@case()
def jsonp(wire: Wire) -> None:
    wire.request("GET", f"{EIO}&j=3")
    sid = wire.open_polling()
    wire.post(sid, "d=" + quote('40{"token":"a\\"b"}', safe=""), "&j=0")
    wire.get(sid, "&j=12")
    wire.post(sid, "d=" + quote('420["one","quote \\" back \\\\ tag </script> \u2028 +"]'), "&j=1")
    wire.get(sid, "&j=1")
    wire.get(sid, "&j=x")
    wire.post(sid, "40", "&j=")


@case(
    "default",
    "EIO=4",
    "EIO=4&transport=foo",
    "EIO=4&transport=websocket",
    "EIO=3&transport=polling",
    "EIO=4&EIO=4&transport=polling",
    "transport=polling",
    "",
    f"{EIO}&sid=unknown",
    f"{EIO}&sid=%22%00%C3%A9",
    f"{EIO}&j=abc",
)
def bad_queries(wire: Wire, query: str) -> None:
    wire.request("GET", query)
    wire.request("POST", query, b"40")


@case("default", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
def other_methods(wire: Wire, method: str) -> None:
    wire.request(method, EIO)


@case("default", "http://example.com", "http://127.0.0.1:{port}", "null")
def origins(wire: Wire, origin: str) -> None:
    headers = f"Origin: {origin.format(port=wire.port)}\r\n"
    wire.request("GET", EIO, headers=headers)
    preflight = headers + "Access-Control-Request-Headers: content-type\r\n"
    wire.request("OPTIONS", EIO, headers=preflight)
    wire.websocket(headers=headers)


@case()
def sixteen_packets(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.post(sid, "\x1e".join(f'42["numbered",{number}]' for number in range(16)))
    wire.post(sid, '420["one","after"]')
    wire.get(sid)


@case("default", b"", b"3", b"6", b"2probe", b"5", b"0{}")
def odd_posts(wire: Wire, body: bytes) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    waiting = wire.poll(sid)
    wire.post(sid, body)
    if body == b"5":  # is answered, before the next request is
        wire.finish(waiting)
        waiting = wire.poll(sid)
    wire.post(sid, '429["one","after"]')
    wire.finish(waiting)


@case("default", "1", '1\x1e420["one",1]')
def closed_by_a_post(wire: Wire, body: str) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.post(sid, body)
    wire.post(sid, '429["one","after"]')


@case()
def largest_post(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    start = '420["one","'
    wire.post(sid, start + "x" * (LIMIT - len(start) - 2) + '"]')
    wire.get(sid)


@case()
def post_over_the_limit(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    waiting = wire.poll(sid)
    # the length that is announced is enough
    head = f"POST /socket.io/?{EIO}&sid={sid} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    connection = wire.connection()
    connection.sendall(f"{head}Content-Length: {LIMIT + 1}\r\n\r\n4".encode())
    wire.finish(connection)
    wire.finish(waiting)


@case("default", "gzip", "deflate", "br, gzip;q=0.5", "identity")
def compression(wire: Wire, encoding: str) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.post(sid, f'420["one","{"x" * 3000}"]')
    query = f"{EIO}&sid={sid}"
    wire.request("GET", query, headers=f"Accept-Encoding: {encoding}\r\n")


@case()
def two_polls_at_once(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    waiting = wire.poll(sid)
    wire.post(sid, '420["one",1]')
    wire.finish(waiting)


@case("options")
def http_options(wire: Wire) -> None:
    wire.request("GET", EIO, headers="Origin: http://example.com\r\nAccept-Encoding: gzip\r\n")
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.post(sid, "40/refuse,\x1e40/chat,")
    wire.get(sid)
    waiting = wire.poll(sid)
    wire.post(sid, "4" + "2" * 5000)
    wire.finish(waiting)


# --- upgrade --------------------------------------------------------------------------------------


@case()
def upgrade(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    waiting = wire.poll(sid)
    ws = wire.websocket(sid)
    ws.frame("2probe")
    ws.receive()
    wire.finish(waiting)
    ws.frame("5")
    ws.synchronise('421["transport"]')
    wire.get(sid)
    wire.post(sid, "40")
    wire.websocket(sid)


@case()
def upgrade_with_messages_waiting(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    ws = wire.websocket(sid)
    ws.frame("2probe")
    ws.receive()
    wire.get(sid)
    wire.post(sid, '420["one",1]')
    wire.get(sid)
    ws.frame("5")
    ws.synchronise()


@case("default", "2", "2x", "3probe", "5", "4x", b"2probe")
def failed_probe(wire: Wire, first: str | bytes) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    ws = wire.websocket(sid)
    ws.frame(first)
    ws.receive()
    wire.post(sid, '420["one",1]')
    wire.get(sid)


@case()
def failed_upgrade(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    ws = wire.websocket(sid)
    ws.frame("2probe")
    ws.receive()
    ws.frame("2probe")
    ws.receive()
    wire.get(sid)
    wire.post(sid, '420["one",1]')
    wire.get(sid)


# --- WebSocket ------------------------------------------------------------------------------------


@case("default", "/socket.io/", "/socket.io")
def websocket_session(wire: Wire, path: str) -> None:
    ws = wire.websocket(path=path, headers="Authorization: Bearer x\r\nCookie: a=b\r\n")
    ws.connect('40{"token":"x"}')
    ws.synchronise('420["nothing"]', '421["one",1.0]', '422["several",1,[2],{"a":null}]')
    ws.synchronise('423["answer","unicode"]', '424["answer","huge"]', '425["answer","tiny"]')
    ws.synchronise('426["answer","nested"]', '427["answer","empty tuple"]')
    ws.frame('428["burst",2]')
    ws.until("438[]")
    ws.frame("40/chat?a=b,1")
    ws.frame('42/chat,9["say","\u00e9"]')
    ws.until('43/chat,9["\\u00e9","said"]')  # emit() lets upstream read on, from Python 3.12 on
    ws.synchronise("41/chat,", '42/chat,10["say"]')
    ws.synchronise('42["no such event",1]', '4211["no such event",1]', '4212["boom"]')
    ws.synchronise('42["numbered",1]', '42["numbered", 2 ]', '42 ["numbered",3]')
    ws.synchronise('42["send_message"]', '42["to_room",null,{"b":1},false]')


@case()
def websocket_binary(wire: Wire) -> None:
    ws = wire.websocket().connect()
    ws.synchronise(f"451-1{ONE}", b"\x01\x02")
    ws.synchronise(f"451-{ONE}", b"")
    two = '["several",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]'
    ws.synchronise(f"452-2{two}", b"a", b"b")
    ws.synchronise('423["answer","bytes"]', '424["answer","bytes inside"]')
    ws.synchronise('425["answer","several with bytes"]', '426["answer","empty bytes"]')


@case()
def acks_of_the_client(wire: Wire) -> None:
    ws = wire.websocket().connect()
    ws.frame('42["callback","kind"]')
    ws.receive()
    ws.synchronise('431["answer",2]', '431["again"]', "43999[]", "43[]", '43/chat,1["x"]')
    ws.frame('42["callback","binary"]')
    ws.receive()
    ws.synchronise('461-2[{"_placeholder":true,"num":0}]', b"bin")


@case()
def large_frames(wire: Wire) -> None:
    ws = wire.websocket().connect()
    for size in (100, 125, 126, 65535, 65536, 900_000):
        ws.synchronise(f'420["one","{"x" * (size - 11)}"]')


@case("default", LIMIT, LIMIT + 1)
def size_of_a_frame(wire: Wire, size: int) -> None:
    ws = wire.websocket().connect()
    ws.synchronise(f'420["one","{"x" * (size - 13)}"]')


@case()
def fragments_and_control_frames(wire: Wire) -> None:
    ws = wire.websocket().connect()
    ws.frame('420["on', TEXT, fin=False)
    ws.frame(b"ping", PING)
    ws.frame('e",', 0, fin=False)
    ws.frame(b"unasked", PONG)
    ws.frame("1]", 0)
    ws.synchronise()
    ws.frame(b"\x03\xe8bye", CLOSE)
    ws.until("")


@case("default", (b"\xff", TEXT, True), (b"\xc3", TEXT, True), (b"x", 3, True), (b"x", 0, True))
def frames_against_the_protocol(wire: Wire, bad: tuple[bytes, int, bool]) -> None:
    ws = wire.websocket().connect()
    ws.frame(*bad)
    ws.until("")


@case()
def left_and_joined_again(wire: Wire) -> None:
    ws = wire.websocket().connect()
    ws.frame("41")
    ws.frame('420["one",1]')
    ws.frame("40")
    ws.receive()
    ws.receive()
    ws.synchronise()
    ws.frame("1")


@case("default", "2", "2probe", "3", "3x", "5", "6", "0", "0{}")
def engine_packets(wire: Wire, packet: str) -> None:
    ws = wire.websocket().connect()
    ws.synchronise(packet)


@case(
    "default",
    "40/refuse,",
    '40/refuse,"false"',
    '40/refuse,"builtin"',
    "40/nowhere,",
    "40/nowhere",
    "40/chat",
    "40/chat,[]",
    "40/chat,{}",
    "40/chat,null",
    "40/wild?a=b,1",
    "40/legacy,",
    "40/,",
)
def connects(wire: Wire, packet: str) -> None:
    ws = wire.websocket().connect(packet)
    ws.frame("40")
    ws.receive()
    ws.synchronise()


@case()
def events_before_connect(wire: Wire) -> None:
    ws = wire.websocket()
    ws.receive()
    ws.frame('420["one",1]')
    ws.frame("43[]")
    ws.frame("41")
    ws.frame("40")
    ws.receive()
    ws.receive()
    ws.synchronise()


@case()
def disconnected_by_the_server(wire: Wire) -> None:
    ws = wire.websocket().connect("40/chat,")
    ws.frame("40")
    ws.receive()
    ws.receive()
    ws.synchronise('42/chat,["kick"]')
    ws.frame('42["kick"]')
    ws.receive()


@case("options")
def websocket_options(wire: Wire) -> None:
    ws = wire.websocket(headers="Origin: http://example.com\r\n").connect()
    ws.synchronise('420["answer","nested"]', f'421["one","{"x" * 4000}"]')
    ws.synchronise("40/refuse,", "40/chat,", "40/nowhere,")
    ws.synchronise(f'421["one","{"x" * 5000}"]')


@case("own json")
def own_json(wire: Wire) -> None:
    ws = wire.websocket().connect('40{"b":1.5,"a":"\u00e9"}')
    ws.synchronise('420["one",1.5]', '421["answer","unicode"]', '422["answer","nested"]')
    ws.synchronise(f"451-1{ONE}", b"\x01", '423["answer","bytes inside"]')
    ws.synchronise("40/refuse,")
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)


@case("msgpack")
def msgpack_frames(wire: Wire) -> None:
    import msgpack

    ws = wire.websocket()
    ws.receive()

    def send(**packet: Any) -> None:
        ws.frame(msgpack.dumps({"nsp": "/", **packet}), BINARY)

    send(type=0, data={"token": "x"})
    ws.receive()
    ws.receive()
    for number, value in enumerate([1, 1.5, b"\x00", {"a": [b"b"]}, None]):
        send(type=2, data=["one", value], id=number)
        ws.receive()
    send(type=0, nsp="/nowhere")
    ws.receive()
    send(type=1)


# --- pings ----------------------------------------------------------------------------------------


@case("pings")
def pings_that_are_answered(wire: Wire) -> None:
    ws = wire.websocket().connect()
    for _ in range(3):
        ws.until("2")
        ws.frame("3")
    ws.frame("1")
    ws.until("")


@case("pings")
def pings_without_answer(wire: Wire) -> None:
    ws = wire.websocket().connect()
    ws.until("")


@case("pings")
def polling_without_answer(wire: Wire) -> None:
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.get(sid)
    wire.get(sid)
    wire.get(sid)


# --- packets that our server refuses and upstream's does not --------------------------------------

REFUSED = {
    "attachment count 0": ['450-["one"]'],
    "attachment count missing": ['45["one","x"]'],
    "attachments over the limit": [f"4511-{ONE}"],
    "placeholder number negative": ['451-["one",{"_placeholder":true,"num":-1}]', b"x"],
    "placeholder number too big": ['451-["one",{"_placeholder":true,"num":7}]', b"x"],
    "placeholder number a string": ['451-["one",{"_placeholder":true,"num":"a"}]', b"x"],
    "event an object": ["42{}"],
    "event empty": ["42[]"],
    "event without data": ["42"],
    "event a string": ['42"one"'],
    "event headed by a number": ["42[1]"],
    "event headed by a list": ["42[[]]"],
    "ack an object": ["431{}"],
    "ack without data": ["431"],
    "reserved connect": ['42["connect",{"REQUEST_METHOD":"forged"}]'],
    "reserved disconnect": ['42["disconnect","forged"]'],
    "nested too deep": ['420["one",' + "[" * 600 + "]" * 600 + "]"],
    "digits beyond ASCII": ['42\u0663["one",1]'],
    "not JSON": ['420["one",'],
    "JSON and more": ['420["one",1]]'],
    "unknown type": ['47["one"]'],
    "no digit": ["4x"],
    "no packet": ["4"],
    "connect error from a client": ['44{"message":"x"}'],
    "binary frame unasked": [b"\x01"],
    "text while an attachment is due": [f"451-{ONE}", '420["one",1]'],
    "id too long": [f'42{"1" * 101}["one",1]'],
    "Engine.IO type 7": ["7"],
    "Engine.IO type 9": ["9"],
    "no Engine.IO type": ["x"],
    "empty frame": [""],
}
REFUSED_POSTS = {
    "not UTF-8": b"\xff\xfe",
    "no Socket.IO packet": b"4",
    "Engine.IO type 9": b"9",
    "no Engine.IO type": b"x",
    "binary unasked": b"bAQID",
    "not base64": b"b!!!!!",
    "empty packets": b"\x1e",
    "empty packet at the end": b'420["one",1]\x1e',
    "good and bad": b'7\x1e420["one",1]',
    "not JSON": b'420["one",',
    "digit beyond ASCII": "\u0664[]".encode(),
    "10,001 packets": b"\x1e".join([b'42["numbered",1]'] * 10_001),
    "JSONP without packets": b"d=",
}


SHORT_PING = ('"pingInterval":200,', '"pingInterval":0,')


TOO_LARGE = f"HTTP/1.1 413 {HTTPStatus(413).phrase}"  # another one since Python 3.13
FORBIDDEN = [
    *("handshake", "HTTP/1.1 403 Forbidden", "Connection: close", "Content-Length: 0"),
    "Content-Type: text/plain; charset=utf-8",
]


def also_as_upstream(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """The same for what differs only here."""
    lines: list[Any] = []
    is_too_big = any(line[1:2] == [TOO_LARGE] for line in ours)
    for line in as_upstream(ours):
        other = theirs[len(lines)] if len(lines) < len(theirs) else None
        if line[:2] == ["handshake", "HTTP/1.1 400 Bad Request"]:  # a refusal with its status
            line = FORBIDDEN
        elif line[0] == "refusal":
            line = ["refusal", ""]
        elif line[1:2] == [TOO_LARGE]:
            line = [line[0], "HTTP/1.1 400 Bad Request", *line[2:-1], '"Bad Request"']
        elif line[1:2] == ["HTTP/1.1 400 Bad Request"] and other and " 500 " in other[1]:
            line = other
        elif is_too_big and line[1:] == ["str 'transport error'"]:
            line = [line[0], "str 'server disconnect'"]
        lines.append([v.replace(*SHORT_PING) if isinstance(v, str) else v for v in line])
    return lines


#: Its poll is given up when its ping times out: which of the two is seen first is the machine's.
EITHER_FIRST = {polling_without_answer: ("str 'ping timeout'", "str 'transport error'")}


def play(server: Server, function: Case, name: str) -> list[Any]:
    run = f"raw-{abs(hash(name))}"
    with Wire(server.port, run) as wire:
        function(wire)
        wire.end()
    one, other = EITHER_FIRST.get(function, ("", None))
    told = [[one if word == other else word for word in line] for line in server.transcript(run)]
    return [*wire.lines, ["handlers"], *told]


@pytest.fixture(scope="module")
def trios(trio: Trio) -> Iterator[Callable[[str], Trio]]:
    """Give the servers for a variant, started when first asked for."""
    started = {"default": trio}
    with contextlib.ExitStack() as stack:

        def give(variant: str) -> Trio:
            if variant not in started:
                started[variant] = stack.enter_context(serving_all(**VARIANTS[variant]))
            return started[variant]

        yield give


@pytest.mark.parametrize(("variant", "function"), CASES)
def test_same_bytes(
    request: pytest.FixtureRequest, trios: Any, variant: str, function: Case
) -> None:
    upstream, asgi, direct = (
        play(server, function, request.node.name) for server in trios(variant)
    )
    assert len(upstream) > 1
    assert also_as_upstream(asgi, upstream) == upstream
    assert also_as_upstream(direct, upstream) == upstream


@pytest.mark.parametrize("name", REFUSED)
def test_refused(trio: Trio, name: str) -> None:
    """Our server closes the connection, and no handler sees the packet."""

    def session(wire: Wire) -> None:
        ws = wire.websocket().connect()
        wire.lines.clear()
        ws.synchronise(*REFUSED[name])

    for server in trio[1:]:
        lines = [line[:2] for line in play(server, session, name) if line[0] != "sent"]
        assert [lines[-2][0], *lines[:-2], lines[-1]] == [
            "connect",
            ["text", "1"],
            ["close", 1008],
            ["handlers"],
            ["disconnect", "str 'transport error'"],
        ], server.name


@pytest.mark.parametrize("more", ["", "x"])
def test_a_post_without_a_length(trio: Trio, more: str) -> None:
    """Our server reads a body that comes in chunks, up to the limit."""

    def session(wire: Wire) -> None:
        sid = wire.open_polling()
        wire.post(sid, "40")
        wire.get(sid)
        connection = wire.connection()
        head = f"POST /socket.io/?{EIO}&sid={sid} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        start = '420["one","'
        body = start + "x" * (LIMIT - len(start) - 2) + '"]' + more
        for part in (body[:7], body[7:]):
            connection.sendall(f"{len(part):x}\r\n{part}\r\n".encode())
        if not more:
            connection.sendall(b"0\r\n\r\n")
        wire.lines.clear()
        wire.finish(connection)
        wire.get(sid)

    for server in trio[1:]:
        lines = play(server, session, f"chunked: {more}")
        if more:
            assert [line[1] for line in lines[:2]] == [
                TOO_LARGE,
                "HTTP/1.1 400 Bad Request",
            ], server.name
            assert lines[-1] == ["disconnect", "str 'transport error'"]
        else:
            assert [line[-1] for line in lines[:2]] == ["OK", LIMIT - 6]


@pytest.mark.parametrize("name", REFUSED_POSTS)
def test_refused_post(trio: Trio, name: str) -> None:
    """Our server answers 400 and ends the session; nothing of the payload is dispatched."""

    def session(wire: Wire) -> None:
        sid = wire.open_polling()
        wire.post(sid, "40")
        wire.get(sid)
        wire.lines.clear()
        waiting = wire.poll(sid)
        wire.post(sid, REFUSED_POSTS[name])
        wire.finish(waiting)
        wire.post(sid, '429["one","after"]')

    for server in trio[1:]:
        lines = play(server, session, f"post: {name}")
        refusal, last, after = ((line[1], line[-1]) for line in lines[:3])
        assert refusal[0] == "HTTP/1.1 400 Bad Request", server.name
        assert len(refusal[1]) > 5, server.name  # it says why
        assert last == ("HTTP/1.1 200 OK", "1")
        assert after == ("HTTP/1.1 400 Bad Request", '"Invalid session <sid 0>"')
        assert [line[0] for line in lines[3:]] == ["handlers", "connect", "disconnect"]
        assert lines[-1] == ["disconnect", "str 'transport error'"]
