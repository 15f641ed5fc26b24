"""Polling over HTTP/2: one connection for all, which no answer of the server may break."""

import asyncio
import json
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

import toolboxsio

from .machine import SLOWNESS
from .web import LOOPS, Tls, Web, on_hypercorn

pytestmark = pytest.mark.timeout(60)

SESSIONS = 15
LIMIT = 200_000
TARGET = "/socket.io/?EIO=4&transport=polling"


def application(**options: Any) -> Any:
    sio = toolboxsio.AsyncServer(async_mode="asgi", max_http_buffer_size=LIMIT, **options)

    @sio.event
    async def size(sid: str, text: str) -> int:
        return len(text)

    return toolboxsio.ASGIApp(sio)


async def session(client: httpx.AsyncClient, url: str, length: int) -> None:
    """A session from its beginning to its end."""
    opened = await client.get(url)
    sid = json.loads(opened.text[1:])["sid"]
    own = f"{url}&sid={sid}"
    for packet, answer in (("40", '40{"sid"'), (f'421["size","{"x" * length}"]', f"431[{length}]")):
        posted = await client.post(own, content=packet)
        assert (posted.status_code, posted.http_version) == (200, "HTTP/2")
        assert (await client.get(own)).text.startswith(answer)
    assert (await client.post(own, content="1")).status_code == 200


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_sessions(loop: str, over: str, tmp_path: Path) -> None:
    tls = Tls(tmp_path) if over == "tls" else None

    async def talk(web: Web) -> None:
        scheme = "https" if tls else "http"
        url = f"{scheme}://localhost:{web.port}{TARGET}"
        context = tls.context if tls else False
        async with httpx.AsyncClient(http1=False, http2=True, verify=context) as client:
            lengths = (0, 10, 50_000)
            ends = [session(client, url, lengths[n % len(lengths)]) for n in range(SESSIONS)]
            results = await asyncio.gather(*ends, return_exceptions=True)
            assert results == [None] * SESSIONS

    with on_hypercorn(application(), loop, tls) as web:
        asyncio.run(talk(web))
    assert web.errors == []


class Http2:
    """A client that sends the parts of its requests when it is told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.statuses: dict[int, str] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.is_closed = False

    async def __aenter__(self) -> "Http2":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.h2.initiate_connection()
        self.flush()
        self.task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.task

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def _read(self) -> None:
        while data := await self.reader.read(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.statuses[event.stream_id] = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    body = self.bodies.get(event.stream_id, b"")
                    self.bodies[event.stream_id] = body + event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
            self.flush()
        self.is_closed = True

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10 * SLOWNESS):
            while not condition():
                assert not self.is_closed, "the server has closed the connection"
                await asyncio.sleep(0.005)

    def begin(self, method: str, target: str, *headers: tuple[str, str], end: bool = False) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":path", target), (":scheme", "http"), (":authority", "x")]
        self.h2.send_headers(stream, [*head, *headers], end_stream=end)
        self.flush()
        return stream

    async def send(self, stream: int, body: bytes, end: bool = False) -> None:
        while body:
            await self.until(lambda: self.h2.local_flow_control_window(stream) > 0)
            size = min(self.h2.local_flow_control_window(stream), 16_000)
            self.h2.send_data(stream, body[:size])
            self.flush()
            body = body[size:]
        if end:
            self.h2.end_stream(stream)
            self.flush()

    async def answer(self, stream: int) -> tuple[str, bytes]:
        await self.until(lambda: stream in self.ended)
        return self.statuses[stream], self.bodies.get(stream, b"")

    async def open(self) -> str:
        status, body = await self.answer(self.begin("GET", TARGET, end=True))
        assert status == "200"
        return str(json.loads(body[1:])["sid"])


#: Name: method, target ({} is a session), body, status.
POSTS = {
    "accepted": ("POST", TARGET + "&sid={}", b"40", "200"),
    "unknown session": ("POST", TARGET + "&sid=none", b"4" * 100_000, "400"),
    "no session": ("POST", TARGET, b"4" * 100_000, "400"),
    "another version": ("POST", "/socket.io/?EIO=3&transport=polling", b"4" * 100_000, "400"),
    "bad packet": ("POST", TARGET + "&sid={}", b"9" * 100_000, "400"),
    "another method": ("PUT", TARGET + "&sid={}", b"4" * 100_000, "405"),
    "too large": ("POST", TARGET + "&sid={}", b"4" * (LIMIT + 50_000), "413"),
    "another path": ("POST", "/elsewhere", b"4" * 100_000, "404"),
}


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("name", POSTS)
def test_the_connection_outlives_every_answer(name: str, has_length: bool) -> None:
    """The request comes in parts, and its end after what may seem to be all of it."""
    method, target, body, status = POSTS[name]
    length = (("content-length", str(len(body))),) if has_length else ()

    async def talk(web: Web) -> None:
        async with Http2(web.port) as client:
            sid = await client.open()
            stream = client.begin(method, target.format(sid), *length)
            for start in range(0, len(body), 70_000):
                await client.send(stream, body[start : start + 70_000])
                await asyncio.sleep(0.01)  # it is read before the rest is there
            await client.send(stream, b"", end=True)
            assert (await client.answer(stream))[0] == status
            assert await client.open() != sid

    with on_hypercorn(application()) as web:
        asyncio.run(talk(web))
    assert web.errors == []


@pytest.mark.parametrize("target", [TARGET + "&sid={}", TARGET + "&sid=none"])
def test_a_body_without_an_end(target: str) -> None:
    """It is waited for, for so long."""

    async def talk(web: Web) -> None:
        async with Http2(web.port) as client:
            sid = await client.open()
            stream = client.begin("POST", target.format(sid), ("content-length", "2"))
            await client.send(stream, b"40")
            status, _ = await client.answer(stream)
            assert status == ("408" if "none" not in target else "400")
            assert await client.open() != sid

    with on_hypercorn(application(message_timeout=0.3)) as web:
        asyncio.run(talk(web))
    assert web.errors == []
