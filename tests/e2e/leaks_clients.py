"""Clients of every kind, by hand, each from its connection to its end: see test_leaks.py."""

import contextlib
import http.client
import json
import os
import re
import socket
import struct
import zlib
from collections.abc import Callable

from .frames import BINARY, CLOSE, PING, TEXT, encode
from .machine import SLOWNESS

SECONDS = 10 * SLOWNESS
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
CLOSED = re.compile(rb"\x88[\x02-\x7d]\x03")  # a close frame with its code
HALF = '451-["echo",{"_placeholder":true,"num":0}]'
TWO_HALVES = '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'


class Leaver:
    """A WebSocket client."""

    def __init__(self, port: int, query: str = "", headers: str = "") -> None:
        self.buffer = b""
        self.connection = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(
            (
                f"GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
            ).encode()
        )

    def send(self, *payloads: str | bytes) -> None:
        self.connection.sendall(b"".join(map(encode, payloads)))

    def send_packed(self, text: str) -> None:
        """Send a compressed message."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = packer.compress(text.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
        frame = encode(body[:-4], TEXT)
        self.connection.sendall(bytes([frame[0] | 0x40]) + frame[1:])

    def until(self, text: bytes) -> bytes:
        """Receive up to `text`, and forget it."""
        while text not in self.buffer:
            chunk = self.connection.recv(65536)
            assert chunk, (text, self.buffer[-200:])
            self.buffer += chunk
        before, _, self.buffer = self.buffer.partition(text)
        return before

    def join(self, packet: str = "40") -> "Leaver":
        self.until(b'"maxPayload"')
        self.send(packet)
        self.until(b'"sid":"')
        return self

    def ended(self) -> None:
        """Receive up to the server's close frame, or the end of the connection, and close."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while not CLOSED.search(self.buffer):
                chunk = self.connection.recv(65536)
                if not chunk:
                    break
                self.buffer = self.buffer[-20:] + chunk
            self.connection.sendall(encode(struct.pack(">H", 1000), CLOSE))
        self.connection.close()

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def say_close(self) -> None:
        self.connection.sendall(encode(struct.pack(">H", 1000) + b"bye", CLOSE))
        while self.connection.recv(65536):
            pass
        self.connection.close()


class Poller:
    """A polling client."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.web = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        opened = self.get("")
        self.sid = json.loads(opened[1:])["sid"]

    def request(self, method: str, query: str, body: str | None = None) -> tuple[int, str]:
        path = f"/socket.io/?EIO=4&transport=polling{query}"
        self.web.request(method, path, body)
        response = self.web.getresponse()
        return response.status, response.read().decode()

    def get(self, query: str | None = None) -> str:
        status, body = self.request("GET", f"&sid={self.sid}" if query is None else query)
        assert status == 200, (status, body)
        return body

    def post(self, *packets: str, status: int = 200) -> None:
        found = self.request("POST", f"&sid={self.sid}", "\x1e".join(packets))
        assert found[0] == status, found

    def until(self, text: str) -> None:
        while text not in self.get():
            pass

    def join(self) -> "Poller":
        self.post("40")
        self.until('"sid":"')
        return self

    def wait(self) -> socket.socket:
        """Begin a poll that nobody reads."""
        connection = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        connection.sendall(
            f"GET /socket.io/?EIO=4&transport=polling&sid={self.sid} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\n\r\n".encode()
        )
        return connection

    def probe(self, packet: str = "2probe") -> Leaver:
        """Begin an upgrade."""
        socket = Leaver(self.port, f"&sid={self.sid}")
        socket.until(b"\r\n\r\n")
        socket.send(packet)
        return socket

    def upgrade(self) -> Leaver:
        socket = self.probe()
        socket.until(b"3probe")
        while "6" not in self.get().split("\x1e"):
            pass
        socket.send("5")
        return socket

    def leave(self) -> None:
        self.post("1")
        self.web.close()


def use(client: Leaver) -> None:
    """Events of many kinds, text and bytes, both ways."""
    client.send('42["echo"]', '421["echo",1,{"a":[null]}]', '422["plain","x"]', "3")
    client.send(HALF.replace("-", "-3"), b"bytes", '424["fails"]')
    client.until(b'432["x"]')
    client.until(b'461-3[{"_placeholder":true,"num":0}]')
    client.until(b"bytes")


# --- WebSocket ------------------------------------------------------------------------------------


def close_frame(client: Leaver) -> None:
    use(client)
    client.say_close()


def engine_close(client: Leaver) -> None:
    client.send('421["slow"]', "1")
    client.ended()


def leaves_namespace(client: Leaver) -> None:
    client.send("40/other,", '42/other,7["say",1]')
    client.until(b"43/other,7[1]")
    client.send("41/other,", "41")
    client.say_close()


def tcp_reset(client: Leaver) -> None:
    use(client)
    client.reset()


def tcp_end(client: Leaver) -> None:
    client.send("40/other,", '421["slow"]')
    client.connection.close()


def kicked(client: Leaver) -> None:
    client.send('42["kick"]')
    client.until(b"41")
    client.say_close()


def refused(client: Leaver) -> None:
    client.send("40/refuse,", '40/refuse,"false"', "40/nowhere,")
    for _ in range(3):
        client.until(b"44/")
    client.say_close()


def bad_frame(client: Leaver) -> None:
    client.connection.sendall(b"\x83\x80\0\0\0\0")
    client.ended()


def bad_packet(client: Leaver) -> None:
    client.send('42["echo",tru]')
    client.ended()


def bad_type(client: Leaver) -> None:
    client.send('420["echo",1]', "9")
    client.ended()


def bad_utf8(client: Leaver) -> None:
    client.connection.sendall(encode(b'42["\xff"]', TEXT))
    client.ended()


def bad_reason(client: Leaver) -> None:
    client.connection.sendall(encode(b"\x03\xe8\xff", CLOSE))
    client.ended()


def half_binary(client: Leaver) -> None:
    client.send(TWO_HALVES, b"one")
    client.send()
    client.reset()


def half_binary_goodbye(client: Leaver) -> None:
    client.send(HALF, "1")
    client.ended()


def half_frame(client: Leaver) -> None:
    client.connection.sendall(encode('42["echo","' + "x" * 300_000 + '"]')[:-9])
    client.connection.close()


def half_message(client: Leaver) -> None:
    client.connection.sendall(encode('42["echo"', fin=False) + encode(b"x", PING))
    client.until(b"\x8a\x01x")
    client.reset()


def pending_acks(client: Leaver) -> None:
    client.send('421["callbacks",20]')
    client.until(b"431[]")
    client.say_close()


def some_acks(client: Leaver) -> None:
    client.send('421["callbacks",3]')
    client.until(b"431[]")
    client.send("431[1]", "432[]", "4377[]")
    client.reset()


def call_times_out(client: Leaver) -> None:
    client.send('421["call",0.02]')
    client.until(b'431["TimeoutError"]')
    client.say_close()


def leaves_in_call(client: Leaver) -> None:
    client.send('421["call",0.05]')
    client.until(b"question")
    client.reset()


def in_rooms(client: Leaver) -> None:
    client.send(f'421["rooms","all","{os.urandom(4).hex()}","b","c","last"]')
    client.until(b"431[")
    client.say_close()


def in_background(client: Leaver) -> None:
    client.send('42["background"]', '42["slow"]', '42["slow"]')
    client.reset()


def busy(client: Leaver) -> None:
    """Asks for more than may be at work at once."""
    client.send(*(f'42{number}["slow"]' for number in range(10, 31)))
    for _ in range(21):
        client.until(b'["slow"]')
    client.say_close()


def leaves_busy(client: Leaver) -> None:
    client.send(*['42["slow"]'] * 20)
    client.connection.close()


def flooded(client: Leaver) -> None:
    client.send('42["flood",40,50000]')
    client.until(b"much")
    client.reset()


def too_slow(client: Leaver) -> None:
    client.send('42["flood",400,50000]')
    client.until(b"much")
    client.ended()


# --- WebSocket, not joined ------------------------------------------------------------------------


def never_joins(port: int) -> None:
    client = Leaver(port)
    client.until(b'"maxPayload"')
    client.reset()


def first_is_refused(port: int) -> None:
    client = Leaver(port)
    client.until(b'"maxPayload"')
    client.send("40/refuse,")
    client.until(b"44/refuse")
    client.say_close()


def gone_at_once(port: int) -> None:
    Leaver(port).reset()


def compressing(port: int) -> Leaver:
    """A client whose messages may be compressed; those of the server are not looked at."""
    client = Leaver(port, headers=DEFLATE)
    client.until(b"\r\n\r\n")
    client.send("40")
    return client


def compressed(port: int) -> None:
    client = compressing(port)
    for _ in range(3):
        client.send_packed("421" + json.dumps(["echo", "y" * 3000]))
    client.say_close()


def bad_compressed(port: int) -> None:
    client = compressing(port)
    client.connection.sendall(b"\xc1\x82\0\0\0\0\xff\xff")
    client.ended()


def half_compressed(port: int) -> None:
    client = compressing(port)
    client.send_packed('421["echo",1]')
    frame = encode(b"x" * 100, BINARY, fin=False)
    client.connection.sendall(bytes([frame[0] | 0x40]) + frame[1:-7])
    client.connection.shutdown(socket.SHUT_WR)
    client.connection.close()


# --- polling --------------------------------------------------------------------------------------


def polls(port: int) -> None:
    client = Poller(port).join()
    client.post('421["echo",1]', HALF.replace("-", "-2"), "bYnl0ZXM=")
    client.until("461-2[")
    client.leave()


def polls_in_rooms(port: int) -> None:
    client = Poller(port).join()
    client.post('421["rooms","all","b","c"]', '42["callbacks",5]', '422["call",0.02]')
    client.until('432["TimeoutError"]')
    client.leave()


def polls_half_binary(port: int) -> None:
    client = Poller(port).join()
    client.post(HALF)
    client.leave()


def polls_badly(port: int) -> None:
    client = Poller(port).join()
    client.post('42["echo",tru]', status=400)
    client.web.close()


def polls_and_is_kicked(port: int) -> None:
    client = Poller(port).join()
    client.post('42["kick"]')
    client.until("41")
    client.leave()


def polls_refused(port: int) -> None:
    client = Poller(port)
    client.post("40/refuse,")
    client.until("44/refuse")
    client.leave()


def polls_and_vanishes(port: int) -> None:
    client = Poller(port).join()
    client.wait().close()
    client.web.close()


def polls_strangely(port: int) -> None:
    client = Poller(port)
    for method, query in (("GET", "&sid=none"), ("PUT", ""), ("GET", "&EIO=3")):
        client.request(method, query)
    client.leave()


# --- upgrades -------------------------------------------------------------------------------------


def upgrades(port: int) -> None:
    client = Poller(port).join()
    close_frame(client.upgrade())
    client.web.close()


def upgrades_and_leaves(port: int) -> None:
    client = Poller(port).join()
    client.post('42["callbacks",5]', '42["rooms","all","b","c"]')
    socket = client.upgrade()
    socket.send('425["echo",5]')
    socket.until(b"435[5]")
    socket.send("41", "1")
    socket.ended()
    client.web.close()


def half_upgrade(port: int) -> None:
    client = Poller(port).join()
    socket = client.probe()
    socket.until(b"3probe")
    socket.reset()
    client.leave()


def wrong_upgrade(port: int) -> None:
    client = Poller(port).join()
    socket = client.probe("4nonsense")
    socket.ended()
    client.leave()


def joined(end: Callable[[Leaver], None]) -> Callable[[int], None]:
    """A client that joins the root namespace before."""
    return lambda port: end(Leaver(port).join())


JOINED = (
    *(close_frame, engine_close, leaves_namespace, tcp_reset, tcp_end, kicked, refused),
    *(bad_frame, bad_packet, bad_type, bad_utf8, bad_reason, half_binary, half_binary_goodbye),
    *(half_frame, half_message, pending_acks, some_acks, call_times_out, leaves_in_call, in_rooms),
    *(in_background, busy, leaves_busy, flooded, too_slow),
)
KINDS: dict[str, Callable[[int], None]] = {
    **{end.__name__: joined(end) for end in JOINED},
    **{
        kind.__name__: kind
        for kind in (
            *(never_joins, first_is_refused, gone_at_once, compressed, bad_compressed),
            *(half_compressed, polls, polls_in_rooms, polls_half_binary, polls_badly),
            *(polls_and_is_kicked, polls_refused, polls_and_vanishes, polls_strangely, upgrades),
            *(upgrades_and_leaves, half_upgrade, wrong_upgrade),
        )
    },
}
