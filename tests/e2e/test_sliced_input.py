"""What uvicorn parses for us, it parses in turns: nobody holds its event loop for long, and nothing
of what clients send is lost or reordered. On each of its WebSocket protocols and event loops."""

import asyncio
import contextlib
import gc
import random
import select
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import toolboxsio
from benchmarks.floods import fragmented_event
from toolboxsio.uvicorn import HTTPProtocol

from .frames import CLOSE, CONT, PING, PONG, TEXT, encode, frame
from .harness import wait_until
from .machine import SLOWNESS
from .test_refused_handshakes import wrapped
from .web import DIRECT, LOOPS, Tls, Web, on_uvicorn

pytestmark = [
    pytest.mark.timeout(60 * SLOWNESS),
    pytest.mark.filterwarnings("ignore:.*deprecated", "ignore::DeprecationWarning"),
]

SANSIO = "websockets-sansio"
PROTOCOLS = (SANSIO, "websockets", "wsproto")
#: Seconds of the processor's time that an iteration of the event loop may take beside a flood: some
#: slices, and a collection of garbage. All of a read at once takes more than 0.2.
LONG_SECONDS = 0.06 * SLOWNESS
FLOOD_SECONDS = 0.4
FLOOD_BYTES = 1 << 21
FLOODS = {
    "pings": frame(PING),
    "pongs": frame(PONG),
    "PONG packets": frame(TEXT, "3"),
    "fragments": fragmented_event(),
}
each_loop = pytest.mark.parametrize("loop", LOOPS)
each_protocol = pytest.mark.parametrize("ws", PROTOCOLS)


class Application:
    """A Socket.IO server, and how long an iteration of its event loop took at the most."""

    def __init__(self, is_measured: bool = False, **options: Any) -> None:
        self._is_measured = is_measured
        self.longest = 0.0
        self.clock = 0  # of the processor's time that the event loop's thread took
        self.got: list[Any] = []
        self.gone: list[str] = []
        self._ticks: asyncio.Task[None] | None = None
        sio = toolboxsio.AsyncServer(async_mode="asgi", **options)
        self.app = toolboxsio.ASGIApp(sio)

        @sio.event
        async def take(sid: str, value: Any) -> int:
            self.got.append(value)
            return len(value)

        @sio.event
        async def disconnect(sid: str, reason: str) -> None:
            self.gone.append(reason)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.clock = time.pthread_getcpuclockid(threading.get_ident())
        if self._is_measured and self._ticks is None:
            self._ticks = asyncio.create_task(self._tick())
        await self.app(scope, receive, send)

    async def _tick(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.thread_time() - began)


def flood(sock: socket.socket, data: bytes) -> None:
    """Send this again and again, as much as the server takes for a while; it may end it."""
    whole = data * (FLOOD_BYTES // len(data))
    todo = memoryview(whole)
    end = time.monotonic() + FLOOD_SECONDS
    sock.setblocking(False)
    with contextlib.suppress(ConnectionError):
        while (left := end - time.monotonic()) > 0:
            readable, writable, _ = select.select([sock], [sock], [], left)
            if readable and not sock.recv(1 << 18):
                break
            if writable:
                todo = todo[sock.send(todo) :] or memoryview(whole)


class Client:
    """A WebSocket with a session that has joined."""

    def __init__(self, web: Web) -> None:
        self.sock = web.connect()
        self.received = b""
        self.sock.sendall(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self.until(b"0{")
        self.sock.sendall(frame(TEXT, "40"))
        self.until(b"40{")

    def until(self, text: bytes) -> None:
        while text not in self.received:
            piece = self.sock.recv(1 << 18)
            assert piece, self.received
            self.received += piece

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: Any) -> Tls:
    folder: Path = tmp_path_factory.mktemp("tls")
    return Tls(folder)


# --- the event loop -------------------------------------------------------------------------------


@each_loop
@each_protocol
@pytest.mark.parametrize("kind", FLOODS)
def test_small_frames_do_not_hold_the_event_loop(kind: str, ws: str, loop: str) -> None:
    application = Application(is_measured=True, max_control_frames=2**31 - 1)
    with on_uvicorn(application, loop, ws=ws) as web, Client(web) as client:
        flood(client.sock, FLOODS[kind])
    assert 0 < application.longest < LONG_SECONDS


@each_loop
def test_nor_where_something_stands_before_the_application(loop: str) -> None:
    """With our class of uvicorn the transport is not taken, and its input in turns all the same."""
    application = Application(is_measured=True)
    with on_uvicorn(wrapped(application), loop, ws=DIRECT) as web, Client(web) as client:
        flood(client.sock, FLOODS["pings"])
    assert 0 < application.longest < LONG_SECONDS


@each_loop
def test_pipelined_requests_do_not_hold_the_event_loop(loop: str) -> None:
    application = Application(is_measured=True)
    request = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        on_uvicorn(application, loop, http=HTTPProtocol) as web,
        web.connect() as connection,
    ):
        flood(connection, request)
    assert 0 < application.longest < LONG_SECONDS


@each_loop
@each_protocol
def test_a_refused_client_is_not_parsed_for_long(ws: str, loop: str) -> None:
    """Until its CLOSE frame comes, or uvicorn has waited for it for 10 seconds."""
    application = Application()
    with on_uvicorn(application, loop, ws=ws) as web, Client(web) as client:
        client.sock.sendall(frame(TEXT, "9"))
        wait_until("the session is over", lambda: application.gone)
        began = time.clock_gettime(application.clock)
        flood(client.sock, FLOODS["pings"])
        assert time.clock_gettime(application.clock) - began < FLOOD_SECONDS / 2


# --- nothing is kept ------------------------------------------------------------------------------

#: Bytes of a message, and of the largest that may be.
LARGE = 900_000
MAX_SIZE = 1_000_000


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """The bytes that Python objects have, of which none go as cycles that are collected."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    gc.enable()


def event(size: int) -> bytes:
    return frame(TEXT, '42["nobody","%s"]' % ("x" * size))


def bad_packet(size: int) -> bytes:
    return frame(TEXT, "9" + "x" * size)


def too_large(size: int) -> bytes:
    return frame(TEXT, "x" * size, fin=False) + frame(CONT, announced=MAX_SIZE)


@each_loop
@pytest.mark.parametrize("message", [event, bad_packet, too_large])
def test_the_last_message_of_a_client_goes_with_it(
    traced: Callable[[], int], loop: str, message: Callable[[int], bytes]
) -> None:
    """It may be as large as ws_max_size, and garbage is seldom collected."""
    application = Application()
    with on_uvicorn(application, loop, ws=SANSIO, ws_max_size=MAX_SIZE) as web:

        def visit(size: int) -> None:
            count = len(application.gone)
            with Client(web) as client:
                client.sock.sendall(message(size))
                if message is not event:
                    wait_until("it is refused", lambda: len(application.gone) > count)
            wait_until("it is gone", lambda: len(application.gone) > count)

        visit(1)
        before = traced()
        visit(LARGE)
        wait_until("the message is gone", lambda: traced() - before < LARGE // 2, 3)


# --- nothing is lost ------------------------------------------------------------------------------


def pieces(data: bytes, seed: str) -> Iterator[bytes]:
    """The data in pieces of random sizes, from a byte to more than a read."""
    dice = random.Random(seed)
    at = 0
    while at < len(data):
        size = int(2 ** dice.uniform(0, 19))
        yield data[at : at + size]
        at += size


@each_loop
@each_protocol
@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_large_uploads_arrive_as_they_were_sent(ws: str, loop: str, over: str, tls: Tls) -> None:
    application = Application()
    dice = random.Random(ws + loop)
    texts = ["".join(dice.choices("abcdefäöü€😀", k=size)) for size in (200_000, 3, 90_000, 0)] * 2
    data = b"".join(
        encode(f'42{number}["take","{text}"]') + frame(PING, b"%d" % number)
        for number, text in enumerate(texts)
    )
    with (
        on_uvicorn(application, loop, tls if over == "tls" else None, ws=ws) as web,
        Client(web) as client,
    ):
        for piece in pieces(data, ws + loop + over):
            client.sock.sendall(piece)
        client.until(b"43%d[" % (len(texts) - 1))
        for number in range(len(texts)):
            client.until(bytes([0x8A, 1]) + b"%d" % number)
    assert application.got == texts


@each_loop
@each_protocol
@pytest.mark.parametrize("over", ["tcp", "tls"])
@pytest.mark.parametrize("how", ["closes", "says CLOSE", "resets"])
def test_what_was_sent_before_a_client_goes_is_handled(
    ws: str, loop: str, over: str, how: str, tls: Tls
) -> None:
    """As without us a client that resets its connection has no claim to what was not read."""
    application = Application()
    count = 3_000
    data = b"".join(frame(TEXT, f'42["take",[{number}]]') for number in range(count))
    with (
        on_uvicorn(application, loop, tls if over == "tls" else None, ws=ws) as web,
        Client(web) as client,
    ):
        client.sock.sendall(data + (frame(CLOSE) if how == "says CLOSE" else b""))
        if how == "resets":
            wait_until("some of it is handled", lambda: application.got)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        wait_until("the client is gone", lambda: application.gone)
    assert application.got == [[number] for number in range(len(application.got))]
    assert how == "resets" or len(application.got) == count
    assert web.errors == []


@each_loop
def test_pipelined_requests_are_answered_in_their_order(loop: str) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            body, more = b"", True
            while more:
                event = await receive()
                body, more = body + event["body"], event["more_body"]
            body = scope["path"].encode() + b"=%d" % len(body)
            headers = [(b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    sizes = [random.Random(loop).choice([0, 1, 5_000, 100_000]) for _ in range(200)]
    data = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (number, size) + b"x" * size
        for number, size in enumerate(sizes)
    )
    with on_uvicorn(echo, loop, http=HTTPProtocol) as web, web.connect() as connection:
        connection.setblocking(False)
        answer, todo = b"", memoryview(data)
        wanted = [b"/%d=%d" % pair for pair in enumerate(sizes)]

        def exchange() -> bool:
            nonlocal answer, todo
            with contextlib.suppress(BlockingIOError):
                todo = todo[connection.send(todo) :]
            with contextlib.suppress(BlockingIOError):
                answer += connection.recv(1 << 18)
            return answer.endswith(wanted[-1])

        wait_until("all answers", exchange)
    assert [part.split(b"\r\n\r\n")[1] for part in answer.split(b"HTTP/1.1 ")[1:]] == wanted
