"""Each limit of a server, exactly reached and passed by one, on each way to it.

A client at a limit goes on, one past it is refused as documented: close code or HTTP status, its
disconnect handler, nothing left on the server, at most one line in the log. A bystander on the
same server notices nothing. `shutdown_timeout` is in test_shutdown.py.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .frames import BINARY, CLOSE, PING, PONG, RSV1, TEXT, encode
from .frames import frame as ws_frame
from .harness import Server
from .machine import SLOWNESS
from .place import SLACK, Place, every_way, serving_ways
from .rule_client import GONE_SECONDS, Client, Late, Packet, Request, WebSocket, new_run
from .ws_frames import Closed, Session

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

#: What each server is given. The times are long enough for a busy machine to be at a limit.
LIMITS: dict[str, Any] = {
    "max_http_buffer_size": 2000,
    "max_fragments": 8,
    "max_attachments": 3,
    "max_attachment_bytes": 1200,
    "message_timeout": 0.5,
    "json_max_depth": 6,
    "max_payload_packets": 4,
    "max_namespaces": 2,
    "max_pending_acks": 4,
    "max_control_frames": 20,
    "connect_timeout": 0.6,
    "upgrade_timeout": 0.5,
    "max_backlog": 100_000,
    "max_running_handlers": 3,
}
SIZE: int = LIMITS["max_http_buffer_size"]
WEBSOCKET = ("direct", "asgi")
ONE = '["one",{"_placeholder":true,"num":0}]'

on_direct = pytest.mark.parametrize("way", ["direct"])
on_polling = pytest.mark.parametrize("way", ["polling"])
each_websocket = pytest.mark.parametrize("way", WEBSOCKET)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with serving_ways(LIMITS) as started:
        yield started


@pytest.fixture
def place(servers: dict[str, Server], way: str) -> Iterator[Place]:
    here = Place(servers, way)
    yield here
    assert len(here.check()) <= 1


def too_big(client: Client, *sent: Packet) -> None:
    """What is sent is too much: WebSocket 1009, POST 413; the session is over."""
    if client.ws is not None:
        for packet in sent:
            client.ws.send(packet)
        is_too_big(client)
    else:
        poll = client.waiting_poll()
        response = client.send(*sent)
        assert response is not None
        assert response.status == 413, response
        client.over_poll(poll, GONE_SECONDS)
        client.gone("transport error", GONE_SECONDS)


def is_too_big(client: Client) -> None:
    assert client.ws is not None
    end = client.ws.end(GONE_SECONDS)
    assert end.code == 1009, end
    client.gone(None, GONE_SECONDS)
    assert client.handlers()[-1][1] in ("str 'transport error'", "str 'transport close'")


def event_of(size: int, number: int = 1) -> str:
    """An event of so many bytes, whose argument comes back."""
    frame = f'42{number}["one",""]'
    return f'42{number}["one","{"x" * (size - len(frame))}"]'


def is_answered(packet: Packet, number: int = 1) -> bool:
    return isinstance(packet, str) and packet.startswith(f"43{number}[")


# --- max_http_buffer_size -------------------------------------------------------------------------


@every_way
def test_size_of_a_message(place: Place) -> None:
    with place.client() as client:
        (answer,) = client.answers(event_of(SIZE))
        assert is_answered(answer)
        too_big(client, event_of(SIZE + 1))


@every_way
def test_size_counts_bytes(place: Place) -> None:
    text = '421["one","' + "\u20ac" * ((SIZE - 13) // 3) + '"]'
    assert SIZE - 3 <= len(text.encode()) <= SIZE
    with place.client() as client:
        (answer,) = client.answers(text)
        assert is_answered(answer)
        too_big(client, text.replace('"]', '\u20ac"]'))


@on_direct
def test_size_in_the_header_of_a_frame(place: Place) -> None:
    """What a header announces is refused before it is there."""
    for opcode in (TEXT, BINARY):
        for size in (SIZE + 1, 1 << 40, (1 << 63) - 1):
            with place.client() as client:
                assert client.ws is not None
                client.ws.send_raw(ws_frame(opcode, announced=size))
                is_too_big(client)


@each_websocket
@pytest.mark.parametrize("step", [1500, 700])
def test_size_of_fragments(place: Place, step: int) -> None:
    """It is the sum that counts."""

    def in_fragments(text: str) -> bytes:
        data = text.encode()
        pieces = [data[i : i + step] for i in range(0, len(data), step)]
        last = len(pieces) - 1
        return b"".join(
            encode(piece, 0 if n else TEXT, fin=n == last) for n, piece in enumerate(pieces)
        )

    with place.client() as client:
        assert client.ws is not None
        client.ws.send_raw(in_fragments(event_of(SIZE)))
        assert is_answered(client.receive())
        client.ws.send_raw(in_fragments(event_of(SIZE + 1)))
        is_too_big(client)


@each_websocket
def test_size_after_inflation(place: Place) -> None:
    run = new_run("inflation")
    with Session(place.server.port, run, "permessage-deflate") as session:
        deflate = session.deflate
        assert deflate is not None
        whole = deflate.deflate(event_of(SIZE, 2))
        outcome = session.play([ws_frame(TEXT, whole, rsv=RSV1)], sync=True)
        assert outcome.close is None
        assert 2 in outcome.acks
        session.send(ws_frame(TEXT, deflate.deflate(event_of(SIZE + 1)), rsv=RSV1))
        assert closing_code(session) == 1009
    assert place.server.transcript(run)[-1][0] == "disconnect"


def closing_code(session: Session) -> int:
    with contextlib.suppress(Closed):
        while True:
            opcode, payload = session.frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2])
    return 1006


@on_polling
def test_size_announced_by_a_post(place: Place) -> None:
    with place.client() as client:
        poll = client.waiting_poll()
        post = Request(client.port, "POST", client.query, b"4", announced=SIZE + 1)
        assert post.response(GONE_SECONDS).status == 413
        client.over_poll(poll, GONE_SECONDS)
        client.gone("transport error", GONE_SECONDS)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@on_polling
def test_size_of_a_post_of_unknown_length(place: Place) -> None:
    """It is counted as it comes: the answer is there before the end of the body is."""
    body = event_of(SIZE).encode()
    chunks = "Transfer-Encoding: chunked\r\n"
    with place.client() as client:
        post = Request(client.port, "POST", client.query, headers=chunks)
        post.send(chunked(body[:700]) + chunked(body[700:]) + b"0\r\n\r\n")
        assert post.response(GONE_SECONDS).status == 200
        assert is_answered(client.receive())
        poll = client.waiting_poll()
        post = Request(client.port, "POST", client.query, headers=chunks)
        post.send(chunked(body[:700]) + chunked(body[700:]) + chunked(b"x"))
        assert post.response(GONE_SECONDS).status == 413
        client.over_poll(poll, GONE_SECONDS)
        client.gone("transport error", GONE_SECONDS)


# --- max_fragments --------------------------------------------------------------------------------


@on_direct
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_fragments(place: Place, opcode: int) -> None:
    most = LIMITS["max_fragments"]
    with place.client() as client:
        assert client.ws is not None
        if opcode == TEXT:
            head = '421["one"'
            middle = [encode(",", 0, fin=False), *[encode(b"", 0, fin=False)] * (most - 3)]
            whole = [encode(head, TEXT, fin=False), *middle, encode("2]", 0)]
            answers: list[Packet] = ["431[2]"]
        else:
            client.send(f"451-1{ONE}")
            middle = [encode(b"", 0, fin=False)] * (most - 2)
            whole = [encode(b"\x01", BINARY, fin=False), *middle, encode(b"\x02", 0)]
            answers = ['461-1[{"_placeholder":true,"num":0}]', b"\x01\x02"]
        assert len(whole) == most
        client.ws.send_raw(encode(b"between", PING).join(whole))  # those are not counted
        assert client.answers() == answers
        if opcode == BINARY:
            client.send(f"451-1{ONE}")
        client.ws.send_raw(whole[0] + encode(b"", 0, fin=False) * most)
        is_too_big(client)


# --- attachments ----------------------------------------------------------------------------------


def binary_event(count: int, number: int = 1) -> str:
    holders = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(count))
    return f'45{count}-{number}["several",{holders}]'


@every_way
def test_attachments(place: Place) -> None:
    most = LIMITS["max_attachments"]
    with place.client() as client:
        blobs = [bytes([n]) for n in range(most)]
        answers = client.answers(binary_event(most), *blobs)
        assert answers[1:] == blobs
        client.refused(binary_event(most + 1))
    for header in ("45999999999999999999-1", f"4{'5' * 20}-"):
        with place.client() as client:
            client.refused(header + ONE)


@every_way
@pytest.mark.parametrize("count", [1, 3])
def test_bytes_of_attachments(place: Place, count: int) -> None:
    most: int = LIMITS["max_attachment_bytes"]
    sizes = [most // count] * (count - 1)
    blobs = [bytes(size) for size in (*sizes, most - sum(sizes))]
    with place.client() as client:
        for _ in range(2):  # each packet has them anew
            for packet in (binary_event(count), *blobs):  # by itself: a POST has its own limit
                response = client.send(packet)
                assert response is None or response.status == 200
            assert client.answers()[1:] == blobs
        for packet in (binary_event(count), *blobs[:-1]):
            client.send(packet)
        too_big(client, blobs[-1] + b"x")


# --- times ----------------------------------------------------------------------------------------


def is_refused_late(
    client: Client,
    poll: Request | None,
    begun: float,
    seconds: float,
    reason: str | None = "transport error",
) -> None:
    """The session ends when the time since `begun` is over, and not much before."""
    if poll is None:
        client.over(1008, seconds + SLACK)
    else:
        client.over_poll(poll, seconds + SLACK)
    took = time.monotonic() - begun
    assert seconds - 0.1 < took < seconds + SLACK, took
    client.gone(reason, GONE_SECONDS)


@every_way
def test_time_of_attachments(place: Place) -> None:
    """All of a packet's have the time together, however they drip."""
    seconds = LIMITS["message_timeout"]
    with place.client() as client:
        client.send(binary_event(2), b"1")
        time_passes(seconds / 2)
        client.send(b"2")
        assert client.answers()[1:] == [b"1", b"2"]
        poll = client.waiting_poll() if client.ws is None else None
        begun = time.monotonic()
        client.send(binary_event(3))
        for _ in range(2):
            time_passes(seconds / 3)
            client.send(b"x")
        is_refused_late(client, poll, begun, seconds)


def time_passes(seconds: float) -> None:
    """Be a slow client."""
    threading.Event().wait(seconds)


@on_direct
def test_time_of_fragments(place: Place) -> None:
    seconds = LIMITS["message_timeout"]
    with place.client() as client:
        assert client.ws is not None
        client.ws.send_raw(encode('421["one",', TEXT, fin=False))
        time_passes(seconds / 2)
        client.ws.send_raw(encode("1]", 0))
        assert client.receive() == "431[1]"
        begun = time.monotonic()
        client.ws.send_raw(encode('421["one",', TEXT, fin=False))
        for _ in range(2):
            time_passes(seconds / 3)
            client.ws.send_raw(encode(" ", 0, fin=False) + encode(b"", PING))
        end = client.ws.end(seconds + SLACK)
        assert end.code == 1008, end
        assert seconds - 0.1 < time.monotonic() - begun < seconds + SLACK
        client.gone("transport error", GONE_SECONDS)


@on_polling
def test_time_of_a_body(place: Place) -> None:
    seconds = LIMITS["message_timeout"]
    body = b'421["one",1]'
    with place.client() as client:
        post = Request(client.port, "POST", client.query, body[:5], announced=len(body))
        time_passes(seconds / 2)
        post.send(body[5:])
        assert post.response(GONE_SECONDS).status == 200
        assert client.receive() == "431[1]"
        poll = client.waiting_poll()
        begun = time.monotonic()
        post = Request(client.port, "POST", client.query, body[:5], announced=len(body))
        for byte in body[5:7]:
            time_passes(seconds / 3)
            post.send(bytes([byte]))
        assert post.response(seconds + SLACK).status == 408
        assert seconds - 0.1 < time.monotonic() - begun < seconds + SLACK
        client.over_poll(poll, GONE_SECONDS)
        client.gone("transport error", GONE_SECONDS)


@every_way
def test_time_to_connect(place: Place) -> None:
    seconds = LIMITS["connect_timeout"]
    with place.client(None) as client, place.client(None) as other:
        poll = client.waiting_poll() if client.ws is None else None
        begun = time.monotonic()
        time_passes(seconds / 2)
        other.join()
        is_refused_late(client, poll, begun, seconds, None)
        assert other.answers('421["one",1]') == ["431[1]"]
        other.leave()


@on_polling
def test_time_to_upgrade(place: Place) -> None:
    seconds = LIMITS["upgrade_timeout"]
    with place.client() as client:
        for first in (None, "2probe"):
            begun = time.monotonic()
            ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
            assert ws.status == 101
            if first:
                ws.send(first)
            end = ws.end(seconds + SLACK)
            assert end.code == 1008, end
            assert seconds - 0.1 < time.monotonic() - begun < seconds + SLACK
            answers = client.answers('421["one",1]')
            assert [packet for packet in answers if packet != "6"] == ["431[1]"]
        ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
        time_passes(seconds / 2)
        ws.send("2probe")
        assert ws.receive() == "3probe"
        ws.send("5")
        client.ws = ws
        assert client.answers('421["transport"]')[-1] == '431["websocket"]'
        client.leave()


# --- JSON, packets, namespaces --------------------------------------------------------------------


def nested(depth: int) -> str:
    """An event whose payload is nested so deep."""
    return f'421["one",{"[" * (depth - 1)}{"]" * (depth - 1)}]'


def objects(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@every_way
def test_depth_of_json(place: Place) -> None:
    most = LIMITS["json_max_depth"]
    with place.client() as client:
        (answer,) = client.answers(nested(most))
        assert is_answered(answer)
        client.refused(nested(most + 1))
    with place.client(f"40{objects(most)}") as client:
        assert client.answers(f"431[{objects(most - 1)}]") == []
        client.refused(f"431[{objects(most)}]")
    for packet in (f"40/chat,{objects(most + 1)}", nested(SIZE)[:SIZE]):
        with place.client() as client:
            client.refused(packet)


@on_polling
def test_packets_of_a_post(place: Place) -> None:
    most = LIMITS["max_payload_packets"]
    with place.client() as client:
        events = [f'42{n}["one",{n}]' for n in range(most + 1)]
        response = client.send(*events[:most])
        assert response is not None
        assert response.status == 200
        assert client.answers() == [f"43{n}[{n}]" for n in range(most)]
        assert client.refused(*events) == []
        assert ["one", "int 4"] not in client.handlers()


@every_way
def test_namespaces(place: Place) -> None:
    """Of those that a client is in; one that it has left, or that refused it, is not counted."""
    with place.client() as client:
        (refusal,) = client.answers("40/refuse,")
        assert str(refusal).startswith("44/refuse,")
        client.join("40/chat,")
        assert client.answers("41/chat,") == []
        client.join("40/wild,")
        client.refused("40/chat,", reason=None)
        seen = [line for line in client.handlers() if line[0] != "one"]
        assert sorted(seen) == [
            ["/chat disconnect", "str 'client disconnect'"],
            ["/wild disconnect", "str 'transport error'"],
            ["disconnect", "str 'transport error'"],
        ]


@every_way
def test_namespaces_being_joined(place: Place) -> None:
    """All at once, before the first has answered."""
    with place.client(None) as client:
        response = client.send("40", "40/chat,", "40/wild,")
        if client.ws is not None:
            end = client.ws.end(GONE_SECONDS)
            assert (end.code, end.before[-1]) == (1008, "1")
        else:
            assert response is not None
            assert response.status == 400
        client.gone("transport error", GONE_SECONDS)


# --- what one client may let the server do --------------------------------------------------------


@every_way
def test_pending_acks(place: Place) -> None:
    most = LIMITS["max_pending_acks"]
    ask = '42["callback","kind"]'
    with place.client() as client:
        for _ in range(2):
            for _ in range(most):
                response = client.send(ask)
                assert response is None or response.status == 200
            asked = client.answers()
            assert [str(packet)[-19:] for packet in asked] == ['["question","kind"]'] * most
            numbers = [str(packet)[2:-19] for packet in asked]
            for number in numbers:
                client.send(f'43{number}["answer"]')
            assert client.answers() == []
        for _ in range(most):
            client.send(ask)
        assert len(client.answers()) == most
        poll = client.waiting_poll() if client.ws is None else None
        client.send(ask)
        if client.ws is not None:
            assert client.ws.end(GONE_SECONDS).code == 1008
        else:
            assert poll is not None
            poll.response(GONE_SECONDS)
        client.gone("transport error", GONE_SECONDS)


@pytest.mark.parametrize(("way", "what"), [("direct", PING), ("direct", PONG), ("direct", "3")])
def test_control_frames(place: Place, what: int | str) -> None:
    """The second is the clock's."""
    most = LIMITS["max_control_frames"]
    one = encode(what) if isinstance(what, str) else encode(b"", what)
    with place.client() as client:
        assert client.ws is not None
        for _ in range(2 if what == PING else 1):
            time_passes(1 - time.monotonic() % 1)
            client.ws.send_raw(one * most)
            assert client.answers('421["one",1]') == ["431[1]"]
        client.ws.send_raw(one)
        end = client.ws.end(GONE_SECONDS)
        assert end.code == 1008, end
        assert end.before == ([] if isinstance(what, int) else ["1"])
        client.gone(None, GONE_SECONDS)
        assert client.handlers()[-1][1] in ("str 'transport error'", "str 'transport close'")


@each_websocket
def test_running_handlers(place: Place) -> None:
    """Past the limit a client's messages wait; one that is through lets the next one in."""
    most = LIMITS["max_running_handlers"]
    with place.client() as client:
        for number in range(most - 1):
            client.send(f'42{number}["hold",{number}]')
        assert client.answers('429["one","at work"]') == ['439["at work"]']
        client.send(f'42{most - 1}["hold",{most - 1}]')
        client.begun()
        client.send('429["one","waits"]')
        client.begun()
        assert place.bystander.answers('421["one","goes on"]') == ['431["goes on"]']
        assert ["one", "str 'waits'"] not in client.handlers()
        Request(client.port, "POST", "", b"", path="/release").response()
        answers = sorted(map(str, client.answers()))
        assert answers == [*(f"43{n}[{n}]" for n in range(most)), '439["waits"]']
        client.leave()


@on_polling
def test_running_handlers_of_posts(place: Place) -> None:
    """Past the limit a POST is not answered until there is room for it."""
    most = LIMITS["max_running_handlers"]
    with place.client() as client:
        for _ in range(most):
            response = client.send('42["count and hold"]')
            assert response is not None
            assert response.status == 200
        post = Request(client.port, "POST", client.query, b'429["one","waits"]')
        client.begun()
        assert client.handlers() == [["held"]] * most
        Request(client.port, "POST", "", b"", path="/release").response()
        assert post.response().status == 200
        assert client.receive() == '439["waits"]'
        client.leave()


@each_websocket
def test_running_handlers_in_one_read(place: Place) -> None:
    """The limit holds for what comes at once too."""
    most = LIMITS["max_running_handlers"]
    with place.client() as client:
        assert client.ws is not None
        events = [f'42{n}["count and hold"]' for n in range(20)]
        client.ws.send_raw(b"".join(map(encode, events)))
        client.begun()
        assert len(client.handlers()) == most
        answers: list[Packet] = []
        while len(answers) < len(events):
            Request(client.port, "POST", "", b"", path="/release").response()
            with contextlib.suppress(Late):
                answers.append(client.receive(0.02))
        client.leave()


@every_way
def test_backlog(place: Place) -> None:
    """What waits for a client that takes nothing."""
    most: int = LIMITS["max_backlog"]
    with place.client() as client:
        (answer,) = client.answers('421["whoami"]')
        sid = json.loads(str(answer)[3:])[0]
        text = "x" * (most // 2)
        if client.ws is not None:
            fill(place, client, sid, text)
        else:
            place.server.do("emit", event="more", data=text[: most // 2 - 100], to=sid)
            place.server.do("emit", event="more", data=text[: most // 2 - 100], to=sid)
            assert [str(client.receive())[:9] for _ in range(2)] == ['42["more"'] * 2
            for _ in range(3):
                place.server.do("emit", event="more", data=text, to=sid)
        client.gone("transport error", GONE_SECONDS)


def fill(place: Place, client: Client, sid: str, text: str) -> None:
    """Emit until the client, which reads nothing, is dropped."""
    deadline = time.monotonic() + 10 * SLOWNESS
    while client.status()["held"]["socket"]:
        assert time.monotonic() < deadline, "a client that reads nothing is kept"
        place.server.do("emit", event="more", data=text, to=sid)
