"""A hostile client's connection: any bytes out, every frame in, and how it ended."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.e2e.frames import BINARY, CLOSE, PING, TEXT, encode
from tests.e2e.raw import joined

SECONDS = 8  # no answer takes longer
POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"


async def ticks(pause: float) -> AsyncIterator[None]:
    """Now, and again after each pause."""
    while True:
        yield
        await asyncio.sleep(pause)


@dataclass
class Response:
    """What an HTTP request was answered; status 0: nothing, the connection was closed."""

    status: int
    body: bytes
    seconds: float

    @property
    def sid(self) -> str:
        """The session id in an OPEN packet."""
        return self.body.split(b'"sid":"')[1].split(b'"')[0].decode()


@dataclass
class Ending:
    """How a WebSocket ended: the messages before, the close frame, the seconds that it took."""

    code: int | None
    reason: str
    seconds: float
    messages: list[str | bytes] = field(default_factory=list)


class Peer:
    """A TCP connection. What the other side says is read in the background."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.has_ended = False  # no more bytes will come
        self.more = asyncio.Event()
        self.pongs = True
        self.received = 0
        self.status = 0
        self.sid = ""
        self.inbound: list[str | bytes] = []
        self.reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, buffer: int = 0) -> "Peer":
        sock = socket.socket()
        sock.setblocking(False)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while chunk := await loop.sock_recv(self.sock, 1 << 18):
                self.received += len(chunk)
                self.buffer += chunk
                self.more.set()
        self.has_ended = True
        self.more.set()

    def stop_reading(self) -> None:
        self.reader.cancel()

    async def close(self) -> None:
        self.reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reader
        self.sock.close()

    async def __aenter__(self) -> "Peer":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def send(self, data: bytes) -> bool:
        """Send bytes; False: the other side does not take them any more."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)
        except OSError:
            return False
        return not self.has_ended

    async def fill(self) -> bool:
        """Wait for more bytes; False at the end."""
        if self.has_ended:
            return False
        self.more.clear()
        await self.more.wait()
        return not self.has_ended or bool(self.buffer)

    async def send_slowly(self, data: bytes, pause: float, size: int = 1) -> None:
        """Send a piece after each pause, for as long as they are taken; at the end, the last."""
        start = 0
        async for _ in ticks(pause):
            if not await self.send(data[start : start + size]):
                return
            start = min(start + size, len(data) - size)

    # --- HTTP ---

    async def response(self, seconds: float = SECONDS) -> Response:
        """Read a response to its end."""
        begun = time.monotonic()
        async with asyncio.timeout(seconds):
            while b"\r\n\r\n" not in self.buffer:
                if not await self.fill():
                    return Response(0, bytes(self.buffer), time.monotonic() - begun)
            head, _, body = bytes(self.buffer).partition(b"\r\n\r\n")
            self.buffer[:] = body
            status = int(head.split()[1])
            headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
            body = b""
            if headers.get(b"transfer-encoding") == b"chunked":
                while not self.buffer.endswith(b"0\r\n\r\n") and await self.fill():
                    pass
                body = joined(bytes(self.buffer))
                self.buffer.clear()
            elif status != 101:
                size = int(headers.get(b"content-length", 0))
                while len(self.buffer) < size and await self.fill():
                    pass
                body = bytes(self.buffer[:size])
                del self.buffer[:size]
        return Response(status, body, time.monotonic() - begun)

    async def handshake(self, query: str = WEBSOCKET, headers: str = "") -> int:
        """Ask for a WebSocket; return the status of the answer."""
        await self.send(
            (
                f"GET /socket.io/?{query} HTTP/1.1\r\nHost: x\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
            ).encode()
        )
        self.status = (await self.response()).status
        return self.status

    # --- WebSocket ---

    async def frame(
        self, payload: str | bytes, opcode: int | None = None, fin: bool = True
    ) -> bool:
        return await self.send(encode(payload, opcode, fin))

    async def _take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not await self.fill():
                raise EOFError
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload. EOFError at the end."""
        first, size = await self._take(2)
        if size == 126:
            (size,) = struct.unpack(">H", await self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self._take(8))
        return first & 15, await self._take(size)

    async def message(self) -> str | bytes:
        """The next message; Engine.IO's PINGs are answered."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                raise EOFError(payload)
            if opcode == TEXT and payload == b"2" and self.pongs:
                await self.frame("3")
            elif opcode == TEXT:
                return payload.decode()
            elif opcode == BINARY:
                return payload
            elif opcode == PING:
                await self.frame(payload, 10)

    async def until(self, text: str, seconds: float = SECONDS) -> list[str | bytes]:
        """The messages up to one that begins with a text."""
        messages: list[str | bytes] = []
        async with asyncio.timeout(seconds):
            while True:
                message = await self.message()
                messages.append(message)
                if isinstance(message, str) and message.startswith(text):
                    return messages

    async def join(self, packet: str = "40") -> "Peer":
        """Open a WebSocket session and join a namespace."""
        assert await self.handshake() == 101, self.status
        self.sid = Response(0, str((await self.until("0"))[-1]).encode(), 0).sid
        await self.frame(packet)
        await self.until("40")
        return self

    async def same(self, value: int = 1, more: bytes = b"") -> list[str | bytes]:
        """Send an event after `more`; the messages up to its answer."""
        await self.send(more + encode(f'42{value}["same",{value}]'))
        return await self.until(f"43{value}[{value}]")

    async def ending(self, seconds: float) -> Ending:
        """Wait until the WebSocket is closed."""
        begun = time.monotonic()
        messages: list[str | bytes] = []
        code, reason = None, ""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    opcode, payload = await self.receive()
                    if opcode == CLOSE:
                        code, reason = int.from_bytes(payload[:2]), payload[2:].decode()
                        break
                    if opcode == TEXT and payload == b"2":
                        if self.pongs:
                            await self.frame("3")
                    elif opcode in (TEXT, BINARY):
                        messages.append(payload.decode() if opcode == TEXT else payload)
        except EOFError:
            pass
        except TimeoutError:
            raise AssertionError(
                f"not closed within {seconds} s; it sent {messages[-5:]}"
            ) from None
        return Ending(code, reason, time.monotonic() - begun, messages)


async def request(
    port: int,
    method: str,
    query: str,
    body: bytes | None = None,
    *,
    path: str = "/socket.io/",
    seconds: float = SECONDS,
) -> Response:
    """One HTTP request on a connection of its own."""
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    head = f"{method} {path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    async with await Peer.open(port) as peer:
        await peer.send(f"{head}{length}\r\n".encode() + (body or b""))
        return await peer.response(seconds)


class Session:
    """A polling session."""

    def __init__(self, port: int, sid: str) -> None:
        self.port = port
        self.sid = sid
        self.query = f"{POLLING}&sid={sid}"

    @classmethod
    async def open(cls, port: int, join: bool = True) -> "Session":
        session = cls(port, (await request(port, "GET", POLLING)).sid)
        if join:
            assert (await session.post(b"40")).status == 200
            answer = await session.get()
            assert answer.body.startswith(b"40"), answer
        return session

    async def post(self, body: bytes) -> Response:
        return await request(self.port, "POST", self.query, body)

    async def get(self, seconds: float = SECONDS) -> Response:
        return await request(self.port, "GET", self.query, seconds=seconds)

    async def leave(self) -> None:
        assert (await self.post(b"1")).status == 200

    async def ask(self, path: str) -> bytes:
        """What the server's application tells of the session."""
        answer = await request(self.port, "GET", f"sid={self.sid}", path=path)
        assert answer.status == 200, answer
        return answer.body

    async def is_over(self) -> bool:
        """Whether the server knows it no more."""
        return await self.ask("/hostile/session") == b"false"
