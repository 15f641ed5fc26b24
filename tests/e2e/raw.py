"""HTTP and WebSocket by hand: every byte that the server sends is seen."""

import itertools
import re
import socket
import struct
import zlib
from typing import Any

from .frames import CLOSE, TEXT, encode
from .machine import SLOWNESS

SECONDS = 8 * SLOWNESS
MOVING_HEADERS = ("date", "server", "sec-websocket-accept")
SID = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{16}A[A-Za-z0-9_-]{3}(?![A-Za-z0-9_-])")


def joined(chunked: bytes) -> bytes:
    """Return the body of a response that came in chunks."""
    body = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        body += rest[: int(size, 16)]
        chunked = rest[int(size, 16) + 2 :]
    return body


#: Lines of ours, and upstream's in their place: differences that the README tells.
DIFFERENT: tuple[tuple[list[Any], list[Any]], ...] = (
    (["close", 1008, "the upgrade has failed"], ["closed"]),
)


def as_upstream(lines: list[Any]) -> list[Any]:
    """Our lines with upstream's in the place of those that differ on purpose."""
    table = {repr(line): other for line, other in DIFFERENT}
    mapped = [table.get(repr(line), line) for line in lines]
    return [["close", 1000, ""] if line[:2] == ["close", 1009] else line for line in mapped]


def ends_sorted(lines: list[Any]) -> list[Any]:
    """What handlers saw, with the end of several namespaces at once in one order: it is that of the
    server's table, where upstream keeps namespaces that all have left."""
    ordered: list[Any] = []
    for is_end, group in itertools.groupby(lines, lambda line: line[0].endswith("disconnect")):
        found = list(group)
        ordered += sorted(found, key=repr) if is_end else found
    return ordered


class Wire:
    """One scripted session: what came over the wire, as lines in which ids are numbered."""

    def __init__(self, port: int, run: str) -> None:
        self.port = port
        self.run = run
        self.lines: list[Any] = []
        self.sids: list[str] = []
        self.polling: list[str] = []
        self.open: list[socket.socket] = []

    def __enter__(self) -> "Wire":
        return self

    def end(self) -> None:
        """Close what is still open."""
        count = len(self.lines)
        for sid in self.polling:
            self.post(sid, "1")
        del self.lines[count:]
        for connection in self.open:
            connection.close()

    def __exit__(self, *exc: object) -> None:
        for connection in self.open:
            connection.close()

    def label(self, text: str) -> str:
        """Replace each session id by its number in the order of appearance."""

        def number(match: re.Match[str]) -> str:
            if match[0] not in self.sids:
                self.sids.append(match[0])
            return f"<sid {self.sids.index(match[0])}>"

        return SID.sub(number, text).replace(f":{self.port}", ":<port>")

    def note(self, *values: Any) -> None:
        self.lines.append(
            [self.label(value) if isinstance(value, str) else value for value in values]
        )

    def connection(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        self.open.append(connection)
        return connection

    def start(
        self,
        method: str,
        query: str,
        body: bytes | None = None,
        *,
        path: str = "/socket.io/",
        headers: str = "",
    ) -> socket.socket:
        """Send a request and leave its response for `finish`."""
        query = f"{query}&run={self.run}" if "sid=" not in query and query else query
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = (
            f"{method} {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"{length}Connection: close\r\n{headers}\r\n"
        )
        connection = self.connection()
        connection.sendall(head.encode() + (body or b""))
        return connection

    def finish(self, connection: socket.socket) -> str:
        """Note the response to a request that was started and return its body."""
        answer = b""
        while not answer.endswith(b"\r\n0\r\n\r\n") and (chunk := connection.recv(65536)):
            answer += chunk
        connection.close()
        head, _, payload = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = sorted(h for h in rest if h.split(":")[0].lower() not in MOVING_HEADERS)
        if "transfer-encoding: chunked" in headers:
            payload = joined(payload)
            headers.remove("transfer-encoding: chunked")
        elif f"content-length: {len(payload)}" in headers:  # the other way to tell the end
            headers.remove(f"content-length: {len(payload)}")
        for header in headers:
            if header.lower() in ("content-encoding: gzip", "content-encoding: deflate"):
                payload = zlib.decompress(payload, 47)
                headers = [h for h in headers if not h.lower().startswith("content-length")]
        text = payload.decode()
        self.note("response", first, *headers, text if len(text) < 2000 else len(text))
        return text

    def poll(self, sid: str) -> socket.socket:
        """Start a poll and return it when the server has begun with it."""
        waiting = self.start("GET", f"EIO=4&transport=polling&sid={sid}")
        count = len(self.lines)
        for _ in range(2):  # answered after what was sent before
            self.request("GET", "", path="/hello")
        del self.lines[count:]
        return waiting

    def request(self, method: str, query: str, body: bytes | None = None, **more: Any) -> str:
        return self.finish(self.start(method, query, body, **more))

    def get(self, sid: str, more: str = "") -> str:
        return self.request("GET", f"EIO=4&transport=polling&sid={sid}{more}")

    def post(self, sid: str, body: str | bytes, more: str = "", **kw: Any) -> str:
        data = body.encode() if isinstance(body, str) else body
        return self.request("POST", f"EIO=4&transport=polling&sid={sid}{more}", data, **kw)

    def packets_until(self, sid: str, last: str) -> None:
        """Poll and note each packet by itself, up to `last`."""
        packets: list[str] = []
        while last not in packets:
            packets += self.get(sid).split("\x1e")
            self.lines.pop()
        self.note("packets", *packets)

    def open_polling(self) -> str:
        """Begin a polling session and return its id."""
        match = SID.search(self.request("GET", "EIO=4&transport=polling"))
        assert match is not None, self.lines
        self.polling.append(match[0])
        return match[0]

    def websocket(self, sid: str | None = None, **more: Any) -> "WebSocket":
        query = "EIO=4&transport=websocket" + (f"&sid={sid}" if sid else f"&run={self.run}")
        return WebSocket(self, query, **more)


class WebSocket:
    """A WebSocket client that answers nothing by itself."""

    def __init__(
        self, wire: Wire, query: str, path: str = "/socket.io/", headers: str = ""
    ) -> None:
        self.wire = wire
        self.ended = False
        self.connection = wire.connection()
        self.buffer = b""
        self.connection.sendall(
            (
                f"GET {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{wire.port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                break
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        kept = sorted(h for h in rest if h.split(":")[0].lower() not in MOVING_HEADERS)
        wire.note("handshake", first, *kept)
        self.accepted = " 101 " in first
        if not self.accepted:
            while self.fill():
                pass
            wire.note("refusal", self.buffer.decode())

    def fill(self) -> bool:
        try:
            chunk = self.connection.recv(65536)
        except ConnectionResetError:
            chunk = b""
        self.buffer += chunk
        return bool(chunk)

    def frame(self, payload: str | bytes, opcode: int | None = None, fin: bool = True) -> None:
        """Send one masked frame."""
        self.send(encode(payload, opcode, fin), len(payload))

    def send(self, frames: bytes, size: int) -> None:
        """Send encoded frames with `size` bytes in them at once."""
        try:
            self.connection.sendall(frames)
        except (BrokenPipeError, ConnectionResetError):
            self.wire.note("the connection was closed before the end of", size)

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.fill():
                raise EOFError
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self) -> str | bytes | None:
        """Note one frame of the server; None: the connection is closed."""
        try:
            first, size = self.take(2)
            if size == 126:
                (size,) = struct.unpack(">H", self.take(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self.take(8))
            payload = self.take(size)
        except EOFError:
            self.wire.note("closed")
            self.ended = True
            return None
        if first == 0x80 | TEXT:
            self.wire.note("text", payload.decode() if size < 2000 else len(payload.decode()))
            return payload.decode()
        if first == 0x80 | CLOSE:
            self.wire.note("close", int.from_bytes(payload[:2]), payload[2:].decode())
            self.ended = True
            self.connection.close()
            return None
        self.wire.note(f"frame {first:#x}", payload.decode("latin-1") if size < 1000 else size)
        return payload

    def until(self, text: str) -> None:
        """Note frames up to one that is `text`, or the end of the connection."""
        while not self.ended and self.receive() != text:
            pass

    def synchronise(self, *frames: str | bytes, namespace: str = "") -> None:
        """Send frames, then an event, and note all that comes up to its ack or the end."""
        if self.ended:
            return
        for frame in frames:
            self.wire.note("sent", frame.hex() if isinstance(frame, bytes) else frame[:100])
            self.frame(frame)
        self.frame(f'42{namespace}999["one","sync"]')
        self.until(f'43{namespace}999["sync"]')

    def connect(self, packet: str = "40") -> "WebSocket":
        """Receive the open packet, connect and receive the answer up to the server's id."""
        if self.receive() is not None:
            self.frame(packet)
            while not self.ended:
                got = self.receive()
                if isinstance(got, str) and got.startswith(("40", "44")):
                    break
        return self
