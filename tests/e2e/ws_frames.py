"""A client that sends WebSocket frames of any shape (frames.py) to a Socket.IO session.

Written from RFC 6455 and RFC 7692 with nothing of the package in it; what the server sends is
checked against the same documents as it is read. `judged` says what wsproto makes of the bytes.
"""

import json
import random
import socket
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from .frames import BINARY, CLOSE, FIN, PING, PONG, RSV1, RSV2, RSV3, TEXT, close_frame, frame
from .machine import SLOWNESS

SECONDS = 10 * SLOWNESS
TAIL = b"\x00\x00\xff\xff"  # of a deflate block that ends at a byte: RFC 7692, 7.2.1
SYNC = 999_999
MEGABYTE = 1 << 20


def event(number: int, value: Any) -> str:
    """An event whose handler answers with its argument."""
    return f'42{number}["one",{json.dumps(value, ensure_ascii=False)}]'


def cut(data: bytes, how: str, seed: str) -> list[bytes]:
    """The pieces in which `data` is sent: "whole", "bytes" or "random"."""
    size = len(data)
    points: list[int] = []
    if how == "bytes":  # the middle of what is long in larger pieces
        head, tail = min(1000, size), max(size - 1000, 0)
        points = sorted({*range(head), *range(head, tail, 4093), *range(tail, size)})
    elif how == "random":
        points = sorted(random.Random(seed).choices(range(size + 1), k=5))
    return [data[a:b] for a, b in zip([0, *points], [*points, size], strict=True) if a < b]


# --- permessage-deflate ---------------------------------------------------------------------------


class Deflate:
    """The client's side of what was negotiated: `agreed` is the server's header."""

    def __init__(self, agreed: str) -> None:
        self.agreed = agreed
        name, *words = (word.strip() for word in agreed.split(";"))
        assert name == "permessage-deflate", agreed
        self.parameters: dict[str, str] = {}
        for word in words:
            key, _, value = word.partition("=")
            assert key not in self.parameters, agreed
            self.parameters[key] = value
        self.client_bits = int(self.parameters.get("client_max_window_bits", "15"))
        self.server_bits = int(self.parameters.get("server_max_window_bits", "15"))
        self.client_forgets = "client_no_context_takeover" in self.parameters
        self.server_forgets = "server_no_context_takeover" in self.parameters
        self.compressor: Any = None
        self.decompressor: Any = None

    def check_answers(self, offer: str) -> None:
        """The parameters that RFC 7692, 7.1, lets a server answer an offer with."""
        _, *words = (word.strip() for word in offer.split(";"))
        offered = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        known = {f"{side}_no_context_takeover" for side in ("client", "server")}
        known |= {f"{side}_max_window_bits" for side in ("client", "server")}
        assert set(self.parameters) <= known, self.agreed
        assert self.server_forgets or "server_no_context_takeover" not in offered, self.agreed
        if "client_max_window_bits" in self.parameters:
            assert "client_max_window_bits" in offered, self.agreed
            assert self.client_bits <= int(offered["client_max_window_bits"] or "15"), self.agreed
        assert 8 <= self.client_bits <= 15, self.agreed
        assert 8 <= self.server_bits <= int(offered.get("server_max_window_bits") or "15")

    def deflate(
        self, data: str | bytes, *, level: int = 6, flush: int = zlib.Z_SYNC_FLUSH
    ) -> bytes:
        """The payload of one compressed message."""
        data = data.encode() if isinstance(data, str) else data
        if self.compressor is None or level != 6:
            self.compressor = zlib.compressobj(level, zlib.DEFLATED, -self.client_bits)
        payload: bytes = self.compressor.compress(data) + self.compressor.flush(flush)
        if flush == zlib.Z_FINISH:  # RFC 7692, 7.2.3.4
            self.compressor = None
            return payload + b"\x00"
        assert payload.endswith(TAIL)
        if self.client_forgets:
            self.compressor = None
        return payload[:-4]

    def message(self, data: str | bytes, **more: Any) -> bytes:
        """One compressed message in one frame."""
        opcode = TEXT if isinstance(data, str) else BINARY
        return frame(opcode, self.deflate(data, **more), rsv=RSV1)

    def inflate(self, payload: bytes) -> bytes:
        if self.decompressor is None or self.server_forgets:
            self.decompressor = zlib.decompressobj(-self.server_bits)
        data: bytes = self.decompressor.decompress(payload + TAIL)
        assert not self.decompressor.unused_data
        return data


# --- the session ----------------------------------------------------------------------------------


@dataclass
class Outcome:
    """How a session went: `close` is None while it goes on, else the code (1005: none was sent)."""

    close: int | None = None
    acks: dict[int, Any] = field(default_factory=dict)
    pongs: list[bytes] = field(default_factory=list)
    compressed: int = 0  # messages of the server


class Closed(Exception):
    """The TCP connection has ended."""


class Session:
    """A WebSocket with a Socket.IO session on it, connected; it answers nothing by itself."""

    def __init__(self, port: int, run: str, offer: str | None = None) -> None:
        self.outcome = Outcome()
        self.deflate: Deflate | None = None
        self.received = bytearray()
        self.binary: tuple[int, Any] | None = None  # an ack that waits for its bytes
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.handshake(port, run, offer)
            assert self.message().startswith("0{")
            self.send(frame(TEXT, "40"))
            greeting = sorted((self.message(), self.message()))
            assert greeting[0].startswith('40{"sid"'), greeting
            assert greeting[1].startswith('42["welcome"'), greeting
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def handshake(self, port: int, run: str, offer: str | None) -> None:
        extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        self.send(
            (
                f"GET /socket.io/?EIO=4&transport=websocket&run={run} HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                f"{extensions}\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self.received:
            self.fill()
        head, _, rest = bytes(self.received).partition(b"\r\n\r\n")
        self.received[:] = rest
        first, *lines = head.decode().split("\r\n")
        assert " 101 " in first, head
        headers = {
            name.lower(): value.strip() for name, _, value in (h.partition(":") for h in lines)
        }
        if agreed := headers.get("sec-websocket-extensions"):
            assert offer, agreed
            self.deflate = Deflate(agreed)
            self.deflate.check_answers(offer.split(",")[-1])

    def send(self, data: bytes) -> bool:
        """Send; False when the server has closed the connection."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def fill(self) -> None:
        # asyncio leaves Nagle's algorithm on for a listening socket that it was given
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        try:
            chunk = self.sock.recv(1 << 18)
        except ConnectionResetError:
            chunk = b""
        except TimeoutError:
            raise AssertionError(f"no answer within {SECONDS} s; so far {self.outcome}") from None
        if not chunk:
            raise Closed
        self.received += chunk

    def take(self, count: int) -> bytes:
        while len(self.received) < count:
            self.fill()
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken

    def frame(self) -> tuple[int, bytes]:
        """The next frame, its message decompressed; the server sends none in fragments."""
        first, second = self.take(2)
        opcode, size = first & 0x0F, second
        assert second < 0x80, "a server's frame is masked"
        assert first & FIN, "a server's message is fragmented"
        assert not first & (RSV2 | RSV3), f"reserved bits in {first:#x}"
        if second == 126:
            (size,) = struct.unpack(">H", self.take(2))
            assert size >= 126, "a length is not the shortest"
        elif second == 127:
            (size,) = struct.unpack(">Q", self.take(8))
            assert size >= 65536, "a length is not the shortest"
        payload = self.take(size)
        assert opcode in (TEXT, BINARY, CLOSE, PING, PONG), f"opcode {opcode}"
        if opcode >= CLOSE:
            assert size <= 125
            assert not first & RSV1
        if first & RSV1:
            assert self.deflate is not None, "compressed without negotiation"
            payload = self.deflate.inflate(payload)
            self.outcome.compressed += 1
        return opcode, payload

    def message(self) -> str:
        opcode, payload = self.frame()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def note(self, text: str) -> int:
        """Keep what a text message says; return the number of the ack that it is, or -1."""
        kind = "461-" if text.startswith("461-") else "43"
        assert text.startswith(kind), text[:200]
        digits = text[len(kind) : text.index("[")]
        (value,) = json.loads(text[text.index("[") :])
        number = int(digits)
        assert number not in self.outcome.acks, f"acknowledged twice: {number}"
        if kind == "461-":
            assert value == {"_placeholder": True, "num": 0}
            self.binary = number, value
        else:
            self.outcome.acks[number] = value
        return number

    def step(self) -> int | None:
        """Take one frame in; None after a Close frame, else the number of an ack or -1."""
        opcode, payload = self.frame()
        if opcode == PONG:
            self.outcome.pongs.append(payload)
        elif opcode == CLOSE:
            assert len(payload) != 1
            code = int.from_bytes(payload[:2]) if payload else 1005
            payload[2:].decode()
            self.outcome.close = code
            return None
        elif opcode == BINARY:
            assert self.binary is not None, payload[:100]
            self.outcome.acks[self.binary[0]] = payload
            self.binary = None
        elif opcode == TEXT:
            return self.note(payload.decode())
        else:
            raise AssertionError("the server sent a PING")
        return -1

    def ended(self, close_sent: bool) -> None:
        """After a Close frame: answer it, then nothing more must come but the end."""
        if not close_sent:
            self.send(close_frame(1000))
        assert not self.received, f"after the Close frame: {bytes(self.received[:100])!r}"
        try:
            self.fill()
        except Closed:
            return
        raise AssertionError(f"after the Close frame: {bytes(self.received[:100])!r}")

    def play(self, pieces: list[bytes], *, sync: bool, close_sent: bool = False) -> Outcome:
        """Send pieces, and an event whose ack shows that the session goes on; see what comes.

        :param sync: without it the server has to end the session.
        :param close_sent: the pieces have a Close frame.
        """
        for piece in pieces:
            if not self.send(piece):
                break
        if sync:
            self.send(frame(TEXT, event(SYNC, "sync")))
        try:
            while (number := self.step()) is not None:
                if sync and number == SYNC:
                    del self.outcome.acks[SYNC]
                    return self.outcome
        except Closed:
            raise AssertionError("the connection ended without a Close frame") from None
        self.ended(close_sent)
        return self.outcome


# --- the judge ------------------------------------------------------------------------------------


@dataclass
class Verdict:
    close: int | None = None
    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)


def judged(data: bytes, deflate: Deflate | None = None) -> Verdict:
    """What wsproto, as a server, makes of the same bytes."""
    extensions: list[Extension] = []
    if deflate is not None:
        extension = PerMessageDeflate()
        extension.accept(deflate.agreed)
        extensions = [extension]
    connection = Connection(ConnectionType.SERVER, extensions)
    connection.receive_data(data)
    verdict = Verdict()
    parts: list[Any] = []
    for happened in connection.events():
        if isinstance(happened, CloseConnection):
            verdict.close = int(happened.code)
            break
        if isinstance(happened, Ping):
            verdict.pings.append(bytes(happened.payload))
        elif isinstance(happened, TextMessage | BytesMessage):
            parts.append(happened.data)
            if happened.message_finished:
                empty: Any = "" if isinstance(happened, TextMessage) else b""
                verdict.messages.append(empty.join(parts))
                parts = []
    return verdict
