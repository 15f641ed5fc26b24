"""A client by hand for the tables of rules, on polling or WebSocket: it breaks rules on purpose.

All that it waits for has a limit; what is right but too late is `Late`. It answers no PINGs.
"""

import base64
import http.client
import json
import os
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from .frames import BINARY, CLOSE, PING, PONG, TEXT, encode
from .harness import Server
from .machine import SLOWNESS

SECONDS = 8.0 * SLOWNESS  # for what has no limit of its own
#: Within this a client that breaks a rule is gone: no timer of a usual server is that short.
GONE_SECONDS = 0.5 * SLOWNESS
SYNC = '42999["one","sync"]'
SYNCED = '43999["sync"]'
Packet = str | bytes
Kind = Literal["polling", "websocket"]


class Late(AssertionError):
    """What was expected has not come in time."""


@dataclass(frozen=True)
class Response:
    status: int
    body: str
    headers: dict[str, str]


@dataclass(frozen=True)
class End:
    """How a WebSocket ended: the code 1006 stands for no Close frame."""

    code: int
    reason: str = ""
    before: list[Packet] = field(default_factory=list)


class Request:
    """An HTTP request of which pieces may be held back."""

    def __init__(
        self,
        port: int,
        method: str,
        query: str,
        body: bytes | None = None,
        *,
        headers: str = "",
        announced: int | None = None,
        path: str = "/socket.io/",
    ) -> None:
        if body is not None and announced is None:
            announced = len(body)
        length = "" if announced is None else f"Content-Length: {announced}\r\n"
        self.method = method
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(
            (
                f"{method} {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"{length}{headers}Connection: close\r\n\r\n"
            ).encode()
            + (body or b"")
        )

    def __del__(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> bool:
        """Send more; False when the server reads no more."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def response(self, seconds: float = SECONDS) -> Response:
        self.sock.settimeout(seconds)
        answer = http.client.HTTPResponse(self.sock, method=self.method)
        try:
            answer.begin()
            body = answer.read().decode()
        except TimeoutError:
            raise Late(f"no response within {seconds} s") from None
        finally:
            answer.close()
            self.sock.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, body, headers)

    def abandon(self) -> None:
        """Break the request off."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class WebSocket:
    """A WebSocket whose handshake may have been refused: see `status`."""

    def __init__(self, port: int, query: str, headers: str = "") -> None:
        self.buffer = b""
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(
            (
                f"GET /socket.io/?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self._fill(SECONDS)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode().lower()
        self.status = int(head.split()[1])

    def close(self) -> None:
        self.sock.close()

    def __del__(self) -> None:
        self.sock.close()

    def send(self, packet: Packet) -> None:
        self.send_raw(encode(packet))

    def send_raw(self, frames: bytes) -> bool:
        """Send frames; False when the server reads no more."""
        try:
            self.sock.sendall(frames)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _fill(self, seconds: float) -> None:
        self.sock.settimeout(max(seconds, 0.001))
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            chunk = self.sock.recv(1 << 18)
        except TimeoutError:
            raise Late("nothing came") from None
        except OSError:
            chunk = b""
        if not chunk:
            raise EOFError
        self.buffer += chunk

    def _frame(self, deadline: float) -> tuple[int, bytes]:
        def need(count: int) -> None:
            while len(self.buffer) < count:
                self._fill(deadline - time.monotonic())

        need(2)
        first, size = self.buffer[:2]
        start = 2
        if size >= 126:
            start = 4 if size == 126 else 10
            need(start)
            size = int.from_bytes(self.buffer[2:start])
        need(start + size)
        payload, self.buffer = self.buffer[start : start + size], self.buffer[start + size :]
        return first & 0x0F, payload

    def receive(self, seconds: float = SECONDS) -> Packet | End:
        """The next packet, or the end."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                opcode, payload = self._frame(deadline)
            except EOFError:
                return End(1006)
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2]) if payload else 1005
                self.send_raw(encode(payload, CLOSE))  # the server then ends the connection
                return End(code, payload[2:].decode())
            if opcode == TEXT:
                return payload.decode()
            if opcode == BINARY:
                return payload
            assert opcode in (PING, PONG), opcode

    def end(self, seconds: float = SECONDS) -> End:
        """The end, and the packets before it."""
        deadline = time.monotonic() + seconds
        before: list[Packet] = []
        while True:
            got = self.receive(deadline - time.monotonic())
            if isinstance(got, End):
                return End(got.code, got.reason, before)
            before.append(got)


def payload_of(packets: tuple[Packet, ...]) -> bytes:
    """The body that carries packets on polling."""
    return b"\x1e".join(
        packet.encode() if isinstance(packet, str) else b"b" + base64.b64encode(packet)
        for packet in packets
    )


def packets_of(body: str) -> list[Packet]:
    return [
        base64.b64decode(packet[1:]) if packet.startswith("b") else packet
        for packet in body.split("\x1e")
    ]


class Client:
    """A session; `ws` is None on polling.

    :param packet: with which it joins a namespace at once; None: it does not.
    """

    def __init__(
        self,
        server: Server,
        run: str,
        kind: Kind,
        packet: str | None = "40",
        headers: str = "",
    ) -> None:
        self.server = server
        self.port = server.port
        self.run = run
        self.kind = kind
        self.ws: WebSocket | None = None
        self.waiting: list[Packet] = []
        if kind == "websocket":
            query = f"EIO=4&transport=websocket&run={run}"
            self.ws = WebSocket(self.port, query, headers)
            assert self.ws.status == 101, self.ws.status
            opened = self.ws.receive()
        else:
            response = self.request("GET", f"EIO=4&transport=polling&run={run}")
            assert response.status == 200, response
            opened = response.body
        assert isinstance(opened, str)
        assert opened.startswith("0"), opened
        self.opened: dict[str, Any] = json.loads(opened[1:])
        self.sid: str = self.opened["sid"]
        self.query = f"EIO=4&transport=polling&sid={self.sid}"
        if packet is not None:
            self.join(packet)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.ws is not None:
            self.ws.close()

    # --- what both transports have ---

    def join(self, packet: str = "40") -> None:
        """Join a namespace, and take in what its handler says."""
        self.send(packet)
        got: list[Packet] = []
        is_main = not packet.startswith("40/")
        while not (
            any(isinstance(one, str) and one.startswith("40") for one in got)
            and (not is_main or '["welcome"' in str(got))
        ):
            got.append(self.receive())

    def send(self, *packets: Packet) -> Response | None:
        """Send packets, on polling in one POST, whose response is returned."""
        if self.ws is None:
            return self.post(payload_of(packets))
        for packet in packets:
            self.ws.send(packet)
        return None

    def receive(self, seconds: float = SECONDS) -> Packet:
        if self.ws is not None:
            got = self.ws.receive(seconds)
            assert not isinstance(got, End), got
            return got
        while not self.waiting:
            response = self.poll().response(seconds)
            assert response.status == 200, response
            self.waiting = packets_of(response.body)
        return self.waiting.pop(0)

    def answers(self, *packets: Packet) -> list[Packet]:
        """Send packets and return what comes for them: the session goes on."""
        if packets:
            response = self.send(*packets)
            assert response is None or response.status == 200, response
        response = self.send(SYNC)
        assert response is None or response.status == 200, response
        got: list[Packet] = []
        while (packet := self.receive()) != SYNCED:
            got.append(packet)
        return got

    def leave(self) -> None:
        """Say goodbye; the handlers hear of it."""
        if self.ws is not None:
            self.ws.send("1")
            self.ws.end()
        else:
            response = self.post(b"1")
            assert response.status in (200, 400), response
        self.gone(None)

    # --- polling ---

    def request(self, method: str, query: str, body: bytes | None = None, **more: Any) -> Response:
        return Request(self.port, method, query, body, **more).response()

    def post(self, body: bytes, **more: Any) -> Response:
        return self.request("POST", self.query, body, **more)

    def poll(self) -> Request:
        return Request(self.port, "GET", self.query)

    def begun(self) -> None:
        """What was sent has reached the application: two later requests were answered."""
        for _ in range(2):
            assert self.request("GET", "", path="/hello").status == 200

    def waiting_poll(self) -> Request:
        """A poll that the server has begun with."""
        poll = self.poll()
        self.begun()
        return poll

    # --- what the server knows ---

    def status(self) -> dict[str, Any]:
        """What the server holds for the session, and what its handlers have seen."""
        query = f"sid={self.sid}&run={self.run}"
        answer: dict[str, Any] = json.loads(self.request("GET", query, path="/session").body)
        return answer

    def handlers(self) -> list[Any]:
        """What the handlers of this run have seen, the greetings aside."""
        return [line for line in self.status()["lines"] if "connect" not in line[0].split()]

    def gone(self, reason: str | None, seconds: float = SECONDS) -> None:
        """The server holds nothing for the session any more, and its handlers were told why."""
        deadline = time.monotonic() + seconds
        while any((status := self.status())["held"].values()):
            if time.monotonic() > deadline:
                raise Late(f"not within {seconds} s: end of {self.run}, {status}")
            time.sleep(0.001)
        if reason is not None:
            said = [line[1] for line in status["lines"] if "disconnect" in line[0]]
            assert said, status
            assert set(said) == {f"str {reason!r}"}, status

    def refused(
        self,
        *packets: Packet,
        code: int = 1008,
        reason: str | None = "transport error",
        seconds: float = GONE_SECONDS,
    ) -> list[Packet]:
        """Send packets and see the session end within the time; what came before is returned."""
        poll = self.waiting_poll() if self.ws is None else None
        begun = time.monotonic()
        if self.ws is not None:
            for packet in packets:
                self.ws.send(packet)
            before = self.over(code, seconds)
        else:
            assert poll is not None
            response = Request(self.port, "POST", self.query, payload_of(packets)).response()
            assert response.status == 400, response
            before = self.over_poll(poll, seconds)
        left = max(begun + seconds - time.monotonic(), 0.05)
        self.gone(reason, left)
        return before

    def over(self, code: int, seconds: float) -> list[Packet]:
        """The WebSocket ends with the packet `1` and the code; what came before is returned."""
        assert self.ws is not None
        end = self.ws.end(seconds)
        assert end.before, f"no packet before the end: {end}"
        assert end.before[-1] == "1", end
        assert end.code == code, end
        assert code == 1000 or 0 < len(end.reason.encode()) <= 123, end
        return end.before[:-1]

    def over_poll(self, poll: Request, seconds: float, last: str = "1") -> list[Packet]:
        """The poll that waits is answered, and no request is any more."""
        answer = poll.response(seconds)
        assert answer.status == 200, answer
        packets = packets_of(answer.body)
        assert packets[-1] == last, answer
        for method, body in (("GET", None), ("POST", b"3")):
            response = Request(self.port, method, self.query, body).response(seconds)
            assert response.status == 400, response
        return packets[:-1]


def new_run(name: str) -> str:
    """An id for what a case does, which the server's handlers keep their notes under."""
    return f"{name.replace(' ', '-')}-{os.urandom(4).hex()}"
