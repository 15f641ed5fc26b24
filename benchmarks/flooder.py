"""A client that floods a server, as a process: `python -m benchmarks.flooder FLOOD --port N`.

It connects and makes what it will send, prints the line `ready`, floods from when it reads a line
until `--seconds` have passed or `--bytes` were sent, closes everything and prints `over`. After
another line it asks the server how many events, acknowledgements and joins it has handled, and
prints what happened as a line of JSON. It runs below the priority of the clients that are measured
beside it.
"""

import argparse
import base64
import contextlib
import itertools
import json
import os
import re
import select
import socket
import struct
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field

NICE = 10
ANSWER_SECONDS = 80  # for what is asked when there is no flood any more
READ = 1 << 18
TEXT, BINARY, CONTINUATION, PING, PONG = 1, 2, 0, 9, 10
POLLING = "/socket.io/?EIO=4&transport=polling"
SID = re.compile(rb'"sid":"([^"]+)"')
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"


def frame(payload, opcode=TEXT, fin=True, deflated=False):
    """A frame as a client sends it, with a mask of zeros."""
    data = payload.encode() if isinstance(payload, str) else payload
    head = bytes([(0x80 if fin else 0) | (0x40 if deflated else 0) | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 1 << 16:
        head += struct.pack(">BH", 0x80 | 126, len(data))
    else:
        head += struct.pack(">BQ", 0x80 | 127, len(data))
    return head + bytes(4) + data


class Over(Exception):
    """The time or the bytes of the flood are used up."""


@dataclass
class Target:
    """The server, and how long and how much it is flooded."""

    port: int
    redis: int | None
    seconds: float
    bytes: int
    until: float = float("inf")
    sent: int = 0  # bytes
    answered: int = 0  # HTTP requests and handshakes
    refused: int = 0  # connections that the server ended
    peers: list = field(default_factory=list)

    def check(self):
        if time.monotonic() >= self.until or self.sent >= self.bytes:
            raise Over

    def connect(self, port=None):
        return Peer(self, port or self.port)

    def joined(self, join=True, headers=""):
        """A WebSocket; with join, in the namespace `/`."""
        peer = self.connect()
        peer.open(headers)
        if join:
            peer.send(frame("40"))
            assert peer.message().startswith(b"40{")
        return peer

    def pouring(self, chunks, **how):
        """What sends these chunks again and again over a WebSocket, made anew when it is ended."""
        made = [self.joined(**how)]

        def once():
            peer = made.pop() if made else self.joined(**how)
            try:
                peer.pour(itertools.cycle(chunks))
            finally:
                peer.close()

        return once

    def repeat(self, once):
        """Call once() until the flood is over, also after connections that the server ends."""
        while True:
            try:
                self.check()
                once()
            except (EOFError, OSError):
                self.refused += 1


class Peer:
    """A TCP connection on which nothing waits longer than the flood."""

    def __init__(self, target, port):
        self.target = target
        self.input = b""
        self.inflate = zlib.decompressobj(wbits=-15).decompress
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self.sock.setblocking(False)
        target.peers.append(self.sock)

    def close(self):
        self.sock.close()
        self.target.peers.remove(self.sock)

    def wait(self, writing):
        """(whether bytes came, whether some may be written)."""
        self.target.check()
        wanted = [self.sock] if writing else []
        readable, writable, _ = select.select([self.sock], wanted, [], 0.05)
        return bool(readable), bool(writable)

    def fill(self):
        data = self.sock.recv(READ)
        if not data:
            raise EOFError
        self.input += data

    def send(self, data):
        """Send all of it; what comes meanwhile is kept."""
        view = memoryview(data)
        while view:
            readable, writable = self.wait(writing=True)
            if readable:
                self.fill()
            if writable:
                done = self.sock.send(view)
                self.target.sent += done
                view = view[done:]

    def pour(self, chunks):
        """Send all chunks and throw away what comes."""
        for chunk in chunks:
            self.send(chunk)
            self.input = b""

    def read(self, size):
        while len(self.input) < size:
            readable, _ = self.wait(writing=False)
            if readable:
                self.fill()
        data, self.input = self.input[:size], self.input[size:]
        return data

    def message(self):
        """The payload of a frame of a WebSocket."""
        first, size = self.read(2)
        if size >= 126:
            size = int.from_bytes(self.read(2 if size == 126 else 8), "big")
        data = self.read(size)
        return self.inflate(data + b"\0\0\xff\xff") if first & 0x40 else data

    def read_until(self, text):
        """What came before a text; what comes after it is kept."""
        while text not in self.input:
            readable, _ = self.wait(writing=False)
            if readable:
                self.fill()
        before, _, self.input = self.input.partition(text)
        return before

    def response(self):
        """The body of an HTTP response."""
        head = self.read_until(b"\r\n\r\n").lower()
        length = re.search(rb"content-length: (\d+)", head)
        if b"transfer-encoding: chunked" in head:
            body = self.read_until(b"0\r\n\r\n")
        else:
            body = self.read(int(length[1]) if length else 0)
        self.target.answered += 1
        if b"connection: close" in head:
            raise EOFError
        return body

    def request(self, method, path, body=None, headers=""):
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}{headers}\r\n"
        self.send(head.encode() + (body or b""))
        return self.response()

    def open(self, headers=""):
        """The handshake of a WebSocket, and Engine.IO's OPEN."""
        key = base64.b64encode(bytes(16)).decode()
        self.send(
            (
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n{headers}\r\n"
            ).encode()
        )
        head = self.read_until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise EOFError
        self.target.answered += 1
        assert self.message().startswith(b"0{")

    def open_polling(self, join=True):
        """The path of a session by polling."""
        path = POLLING + "&sid=" + SID.search(self.request("GET", POLLING))[1].decode()
        if join:
            self.request("POST", path, b"40")
            self.request("GET", path)
        return path


def handled(port):
    """How many events, acknowledgements and joins of floods the server has handled."""
    target = Target(port, None, ANSWER_SECONDS, 1 << 20)
    target.until = time.monotonic() + ANSWER_SECONDS
    peer = target.joined()
    peer.send(frame('420["handled"]'))
    peer.read_until(b"430[")
    count = int(peer.read_until(b"]"))
    peer.close()
    return count


def run(flood, target, begin):
    """One client's part; begin() returns when all may flood."""
    once = flood.attack(target)
    begin()
    with contextlib.suppress(Over):
        target.repeat(once)


def main():
    from .floods import FLOODS  # which needs this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flood", choices=FLOODS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", type=int, help="port of the server's Redis")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--bytes", type=int, default=1 << 28)
    parser.add_argument("--core", type=int, help="run on this core")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    os.nice(NICE)
    flood = FLOODS[args.flood]
    target = Target(args.port, args.redis, args.seconds, args.bytes)
    ready = threading.Barrier(flood.clients + 1)
    go = threading.Barrier(flood.clients + 1)

    def begin():
        ready.wait()
        go.wait()

    clients = [
        threading.Thread(target=run, args=(flood, target, begin), daemon=True)
        for _ in range(flood.clients)
    ]
    for client in clients:
        client.start()
    ready.wait(ANSWER_SECONDS)
    print("ready", flush=True)
    sys.stdin.readline()
    target.until = time.monotonic() + target.seconds
    target.sent = target.answered = 0
    begun = time.monotonic()
    go.wait()
    for client in clients:
        client.join()
    seconds = time.monotonic() - begun
    for sock in list(target.peers):
        sock.close()
    print("over", flush=True)
    sys.stdin.readline()
    told = {"seconds": round(seconds, 3), "sent": target.sent, "answered": target.answered}
    print(json.dumps({**told, "refused": target.refused, "handled": handled(args.port)}))


if __name__ == "__main__":
    from benchmarks import flooder  # not __main__, another module of the same text

    flooder.main()
