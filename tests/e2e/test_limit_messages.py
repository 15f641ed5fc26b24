"""What a client, and the log, are told of a limit: what was met, the option, and its value."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .frames import BINARY, CLOSE, PING, RSV1, TEXT, encode
from .frames import frame as ws_frame
from .harness import Server, serving_at_once
from .machine import SLOWNESS
from .place import WAYS, every_way
from .rule_client import GONE_SECONDS, Client, Request, WebSocket, new_run, payload_of
from .ws_frames import Closed, Session

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

LIMITS: dict[str, Any] = {
    "max_http_buffer_size": 2000,
    "max_fragments": 8,
    "max_attachments": 10,
    "max_attachment_bytes": 1200,
    "message_timeout": 0.3,
    "json_max_depth": 6,
    "max_payload_packets": 4,
    "max_namespaces": 1,
    "max_pending_acks": 4,
    "max_control_frames": 20,
    "connect_timeout": 0.4,
    "upgrade_timeout": 0.3,
    "max_backlog": 100_000,
}
LOOPS = ("uvloop", "asyncio")
ONE = '["one",{"_placeholder":true,"num":0}]'

each_loop = pytest.mark.parametrize("loop", LOOPS)
each_websocket = pytest.mark.parametrize("way", ["direct", "asgi"])


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[tuple[str, str], Server]]:
    with serving_at_once(
        {
            (path, loop): {"path": path, "loop": loop, "logs": "INFO", "options": LIMITS}
            for path in ("direct", "asgi")
            for loop in LOOPS
        }
    ) as started:
        yield started


class Told:
    """A server, a client on it, and what both were told."""

    def __init__(self, servers: dict[tuple[str, str], Server], way: str, loop: str) -> None:
        path, self.kind = WAYS[way]
        self.server = servers[path, loop]

    def client(self, packet: str | None = "40") -> Client:
        return Client(self.server, new_run("told"), self.kind, packet)

    def after(self, client: Client, *packets: str | bytes, seconds: float = GONE_SECONDS) -> str:
        """The reason of the CLOSE frame, or the body of the answer, to packets."""
        if client.ws is None:
            post = Request(client.port, "POST", client.query, payload_of(packets))
            return str(post.response(seconds).body).strip('"')
        for packet in packets:
            client.ws.send(packet)
        return self.reason(client, seconds)

    def reason(self, client: Client, seconds: float = GONE_SECONDS) -> str:
        assert client.ws is not None
        reason = client.ws.end(seconds).reason
        assert len(reason.encode()) <= 123
        return reason

    def is_logged(self, text: str) -> bool:
        return any(text in line for line in self.server.get("/held")["log"])


@pytest.fixture
def told(servers: dict[tuple[str, str], Server], way: str, loop: str) -> Told:
    return Told(servers, way, loop)


PACKETS = {
    "attachments": (
        ['4511-["one"]'],
        "11 attachments, max_attachments is 10",
    ),
    "depth": (
        ['42["one",[[[[[[1]]]]]]]'],
        "JSON is nested too deeply: 7 levels, json_max_depth is 6",
    ),
    "bytes of attachments": (
        [f"451-{ONE}", bytes(1201)],
        "attachments of 1201 bytes, max_attachment_bytes is 1200",
    ),
    "namespaces": (
        ["40/chat,"],
        "2 namespaces, max_namespaces is 1",
    ),
}


@every_way
@each_loop
@pytest.mark.parametrize("what", PACKETS)
def test_packets(told: Told, what: str) -> None:
    packets, text = PACKETS[what]
    with told.client() as client:
        assert told.after(client, *packets) == text
    assert told.is_logged(f"Packet refused: {text}")


@each_websocket
@each_loop
def test_size_of_a_message(told: Told) -> None:
    text = "2001 bytes, max_http_buffer_size is 2000"
    for packet in ("4" * 2001, b"x" * 2001, "4" * 1999 + "\u00e4"):
        with told.client() as client:
            assert told.after(client, packet) == text
    assert told.is_logged(f"WebSocket closed with 1009 {text}")


@pytest.mark.parametrize("way", ["direct"])
@each_loop
def test_size_of_frames(told: Told) -> None:
    with told.client() as client:
        assert client.ws is not None
        client.ws.send_raw(ws_frame(BINARY, announced=(1 << 63) - 1))
        text = "9223372036854775807 bytes, max_http_buffer_size is 2000"
        assert told.reason(client) == text
    with told.client() as client:
        assert client.ws is not None
        client.ws.send_raw(encode("x" * 1500, TEXT, fin=False) + encode("x" * 1500, 0))
        assert told.reason(client) == "3000 bytes, max_http_buffer_size is 2000"
    with told.client() as client:
        assert client.ws is not None
        client.ws.send_raw(encode("4", TEXT, fin=False) + encode("", 0, fin=False) * 8)
        text = "9 fragments, max_fragments is 8"
        assert told.reason(client) == text
    assert told.is_logged(f"WebSocket closed with 1009 {text}")
    with Session(told.server.port, new_run("inflated"), "permessage-deflate") as session:
        assert session.deflate is not None
        session.send(ws_frame(TEXT, session.deflate.deflate("4" * 2001), rsv=RSV1))
        text = "more than 2000 bytes inflated, max_http_buffer_size is that"
        frames = []
        with contextlib.suppress(Closed):
            while True:
                frames.append(session.frame())
        assert frames[-1] == (CLOSE, (1009).to_bytes(2) + text.encode())


@pytest.mark.parametrize("way", ["polling"])
@each_loop
def test_bodies(told: Told) -> None:
    with told.client() as client:
        text = "a body of 2001 bytes, max_http_buffer_size is 2000"
        assert told.after(client, "4" * 2001) == text
    with told.client() as client:
        chunks = "Transfer-Encoding: chunked\r\n"
        post = Request(client.port, "POST", client.query, headers=chunks)
        post.send(b"7d1\r\n" + b"4" * 2001 + b"\r\n")
        text = "a body of more than 2000 bytes, max_http_buffer_size is 2000"
        assert post.response().body.strip('"') == text
    with told.client() as client:
        text = "5 packets in a request, max_payload_packets is 4"
        assert told.after(client, *["3"] * 5) == text
    assert told.is_logged(f"Packet refused: {text}")
    with told.client() as client:
        post = Request(client.port, "POST", client.query, b"4", announced=100)
        text = "the body of a request was not whole in 0.3 s, which is message_timeout"
        assert post.response().body.strip('"') == text


@every_way
@each_loop
def test_times(told: Told) -> None:
    with told.client(None) as client:
        if client.ws is not None:
            text = "no namespace was joined in 0.4 s, which is connect_timeout"
            assert told.after(client) == text
            assert told.is_logged(text)
    with told.client() as client:
        text = "a message was not whole in 0.3 s, which is message_timeout"
        if client.ws is not None:
            assert told.after(client, f"451-{ONE}") == text
            assert told.is_logged(text)
        else:
            ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
            text = "the upgrade was not complete in 0.3 s, which is upgrade_timeout"
            assert ws.end(GONE_SECONDS).reason == text


@pytest.mark.parametrize("way", ["direct"])
@each_loop
def test_control_frames(told: Told) -> None:
    text = "21 control frames in a second, max_control_frames is 20"
    with told.client() as client:
        assert told.after(client, *["3"] * 50) == text  # 25 of them in one second
    assert told.is_logged(text)
    with told.client() as client:
        assert client.ws is not None
        client.ws.send_raw(encode(b"", PING) * 50)
        assert told.reason(client) == text


@every_way
@each_loop
def test_pending_acks(told: Told) -> None:
    text = "5 acknowledgements are awaited, max_pending_acks is 4"
    with told.client() as client:
        for _ in range(5):
            client.send('42["callback","kind"]')
        if client.ws is not None:
            assert told.reason(client) == text
        client.gone("transport error", GONE_SECONDS)
    assert told.is_logged(text)


@every_way
@each_loop
def test_backlog(told: Told) -> None:
    with told.client() as client:
        (answer,) = client.answers('421["whoami"]')
        sid = json.loads(str(answer)[3:])[0]
        for _ in range(2000 if client.ws is not None else 3):
            if not client.status()["held"]["socket"]:
                break
            told.server.do("emit", event="more", data="x" * 90_000, to=sid)
        client.gone("transport error", GONE_SECONDS)
    assert told.is_logged("bytes wait for it, max_backlog is 100000, closing socket")
