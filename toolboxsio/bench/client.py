"""Socket.IO clients over WebSocket in Python, as quick as that may be: a load generator.

It need not keep up with the server: what is measured is the server's CPU time for what it has done.
What a server sends is compared with what it should send; anything else ends the run.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from . import PAYLOADS

EVENT = (PAYLOADS / "event.json").read_bytes()
MESSAGE = b'["message",' + EVENT + b"]"
ACK = b'[{"ok":true,"type":"progress_update","ts":"2'
MASK = b"\x37\xfa\x21\x3d"
SECONDS = 20  # that a server may be silent
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


def frame(payload: bytes, first: int = _TEXT) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    head = bytes([first, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    key = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + MASK + masked.to_bytes(size, "big")


class WrongAnswer(Exception):
    """The server sent what it should not."""


class Client(asyncio.Protocol):
    """One client: it connects, joins, and then sends events or counts those that come."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acks = 0  # that came
        self.received = 0  # events that came
        self.again: list[bytes] | None = None  # frames: number i is sent again at ack i
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._next_id = 1000  # of what ask() sends; less is of `again`
        self._failed = failed
        self._rest = b""
        self._upgraded = False
        self._closing = False
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)
        async with asyncio.timeout(SECONDS):
            await self.joined

    async def ask(self, event: bytes) -> bytes:
        """Send an event, `["name",...]`; what its acknowledgement holds, `[...]`."""
        number = self._next_id
        self._next_id += 1
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self.write(frame(b"42%d%b" % (number, event)))
        async with asyncio.timeout(SECONDS):
            data: bytes = await answer
            return data

    def start(self, in_flight: int) -> None:
        """Send so many events, and each again when its acknowledgement comes."""
        self.again = [frame(b"42%d%b" % (number, MESSAGE)) for number in range(in_flight)]
        self.write(b"".join(self.again))

    def stop(self) -> None:
        self.again = None

    async def leave(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is None:
            return
        if not self._closing:
            self._closing = True
            self.write(frame(b"\x03\xe8", _CLOSE))
            self._transport.close()
        await self.gone

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    # --- asyncio's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dG9vbGJveHNpby1iZW5jaA==\r\n\r\n"
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)
        if not self._closing:
            self._fail(WrongAnswer(f"the server closed a connection ({exc})"))

    def data_received(self, data: bytes) -> None:
        try:
            self._rest = self._take(self._rest + data if self._rest else data)
        except WrongAnswer as problem:
            self._fail(problem)
            return
        if self._out:
            self.write(b"".join(self._out))
            self._out.clear()

    # --- what came ---

    def _fail(self, problem: Exception) -> None:
        self._closing = True
        waiting: list[asyncio.Future[Any]] = [self.joined, *self._asked.values()]
        for future in waiting:
            future.cancel()
        self._failed(problem)
        if self._transport is not None:
            self._transport.abort()

    def _take(self, data: bytes) -> bytes:
        """Take the frames of data; the rest, which is not whole."""
        if not self._upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                return head
            if not head.startswith(b"HTTP/1.1 101"):
                raise WrongAnswer(f"the upgrade was refused: {head[:60]!r}")
            self._upgraded = True
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size >= 126:
                start += 2
                if size > 126:
                    raise WrongAnswer(f"a long or masked frame: {data[at : at + 2]!r}")
                if start > end:
                    break
                size = int.from_bytes(data[start - 2 : start], "big")
            if start + size > end:
                break
            self._frame(data[at], data[start : start + size])
            at = start + size
        return data[at:]

    def _frame(self, first: int, payload: bytes) -> None:
        if first == _TEXT:
            self._packet(payload)
        elif first == _PING:
            self._out.append(frame(payload, _PONG))
        else:
            raise WrongAnswer(f"a frame that begins with {first:#x}: {payload[:60]!r}")

    def _packet(self, packet: bytes) -> None:
        kind = packet[:2]
        if kind == b"43":
            at = packet.index(b"[")
            self._acknowledged(int(packet[2:at]), packet[at:])
        elif kind == b"42":
            if packet[2:] != MESSAGE:
                raise WrongAnswer(f"an event that was not expected: {packet[:60]!r}")
            self.received += 1
        elif packet == b"2":
            self._out.append(frame(b"3"))
        elif kind == b"0{" and not self.joined.done():
            self._out.append(frame(b"40"))
        elif kind == b"40" and not self.joined.done():
            self.joined.set_result(None)
        elif not self._closing:
            raise WrongAnswer(f"a packet that was not expected: {packet[:60]!r}")

    def _acknowledged(self, number: int, data: bytes) -> None:
        answer = self._asked.pop(number, None)
        if answer is not None:
            if not answer.done():
                answer.set_result(data)
            return
        if not data.startswith(ACK):
            raise WrongAnswer(f"an acknowledgement that was not expected: {data[:60]!r}")
        self.acks += 1
        if self.again is not None:
            self._out.append(self.again[number])
