"""The floods beside which honest clients are measured: what each client of one sends.

`attack(target)` prepares everything, connects where that is no part of the flood, and returns a
function that is called again and again until the flood is over, also after the server has ended a
connection. The handlers are those of flooded.py.
"""

import itertools
import json
import re
import threading
import zlib
from typing import Any, NamedTuple

from .flooder import BINARY, CONTINUATION, DEFLATE, PING, POLLING, PONG, TEXT, Over, frame

PYTHON = ("direct-http", "asgi", "upstream")
EVERYBODY = (*PYTHON, "node")
CHUNK = 1 << 16  # bytes that are sent at once, about
BIG = 900_000  # bytes of a message that is within the default limits
ATTACHMENTS = 10
ASKED = 100  # acknowledgements that the server is let ask for at a time
FRAGMENTS = 4000  # of one byte, in a message


class Flood(NamedTuple):
    label: str
    attack: Any
    clients: int = 1
    sides: tuple[str, ...] = EVERYBODY
    redis: bool = False  # needs a server with a Redis
    theirs: tuple[str, ...] = ()  # sides whose web server reads it, which is not ours to bound


def repeated(data, size=CHUNK):
    """Some data so often that it is of this size, about."""
    return data * max(size // len(data), 1)


def events(text, count=1 << 16):
    """Events `42...` in one chunk; `{id}` in the text is a number of its own for each."""
    if "{id}" not in text:
        return [repeated(frame(text))]
    frames = [frame(text.replace("{id}", str(number))) for number in range(count // len(text))]
    return [b"".join(frames)]


def websocket(text, **how):
    """Small text packets over one WebSocket."""
    return lambda target: target.pouring(events(text), **how)


def frames(data, **how):
    """These bytes, again and again, over one WebSocket."""
    return lambda target: target.pouring([repeated(data())], **how)


def big_json():
    """A list of small objects as a client would send it."""
    one = {"id": 12345, "name": "Some name", "values": [1.5, 2, None, True], "at": "2026-01-01"}
    count = BIG // len(json.dumps(one, separators=(",", ":")) + ",") - 1
    return json.dumps([one] * count, separators=(",", ":"))


def big_event():
    return f'42["take",{big_json()}]'


def deflated_event():
    """An event that is large and takes few bytes."""
    row = "[0,1,2,3,4,5,6,7]"
    text = '42["take",[' + ",".join([row] * (BIG // (len(row) + 1))) + "]]"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(text.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(data[:-4], deflated=True)


def deflated(join, limit):
    """Deflated messages of so many bytes in all."""

    def attack(target):
        message = deflated_event()
        chunks = [message] * (limit // len(message))
        peers = [target.joined(join, DEFLATE)]

        def once():
            if not chunks:
                raise Over
            peer = peers.pop() if peers else target.joined(join, DEFLATE)
            while chunks:
                peer.pour([chunks.pop()])
            while True:  # the server has them before the connection is closed
                peer.read_until(b"\0\0")

        return once

    return attack


def binary_event():
    places = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(ATTACHMENTS))
    head = frame(f'45{ATTACHMENTS}-["take",{places}]')
    return head + frame(b"12345678", BINARY) * ATTACHMENTS


def fragmented_event():
    text = '42["take","' + "x" * (FRAGMENTS - 13) + '"]'
    first, *middle, last = (text[at : at + 1] for at in range(len(text)))
    return (
        frame(first, TEXT, fin=False)
        + b"".join(frame(byte, CONTINUATION, fin=False) for byte in middle)
        + frame(last, CONTINUATION)
    )


def acks_asked(target):
    """The server is let ask, and every question is answered."""
    question = re.compile(rb'42(\d+)\["question"')
    peer = target.joined()

    def once():
        peer.send(frame(f'42["asks",{ASKED}]'))
        answers = []
        while len(answers) < ASKED:
            [number] = question.findall(peer.read_until(b'["question"') + b'["question"')[-1:]
            answers.append(frame(f"43{number.decode()}[]"))
        peer.send(b"".join(answers))

    return once


def posts(body, join=True):
    """POSTs of one session on one connection, each after the answer to the one before."""

    def attack(target):
        data = body().encode()
        peer = target.connect()
        made = [(peer, peer.open_polling(join))]

        def once():
            if made:
                peer, path = made.pop()
            else:
                peer = target.connect()
                path = peer.open_polling(join)
            while True:
                peer.request("POST", path, data)

        return once

    return attack


def small_payload():
    return "\x1e".join(['42["busy",0]'] * 16)


def big_payload():
    packet = '42["take",' + "[" + ",".join(["[]"] * (BIG // 16 // 3)) + "]]"
    return "\x1e".join([packet] * 16)


def requests(method, path, headers=""):
    """Requests on one connection, each after the answer to the one before."""

    def attack(target):
        made = [target.connect()]

        def once():
            peer = made.pop() if made else target.connect()
            while True:
                peer.request(method, path, headers=headers)

        return once

    return attack


def pipelined(target):
    """Small requests, none of which waits for an answer."""
    chunk = repeated(f"GET {POLLING}&sid=none HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    made = [target.connect()]

    def once():
        peer = made.pop() if made else target.connect()
        peer.pour(itertools.repeat(chunk))

    return once


def chunked(target):
    """Bodies of POSTs in chunks of one byte."""
    peer = target.connect()
    made = [(peer, peer.open_polling())]
    body = '42["take","' + "x" * 100_000 + '"]'
    data = b"".join(b"1\r\n" + byte.encode() + b"\r\n" for byte in body) + b"0\r\n\r\n"

    def once():
        if made:
            peer, path = made.pop()
        else:
            peer = target.connect()
            path = peer.open_polling()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        while True:
            peer.send(head + data)
            peer.response()

    return once


def handshakes(target):
    """A WebSocket, opened and closed."""

    def once():
        peer = target.joined(join=False)
        peer.close()

    return once


def published(rooms, data):
    """Messages of Redis to these rooms; one client is in the room `flooded`."""

    def attack(target):
        from . import broker

        member = target.joined()
        member.send(frame('420["joins"]'))
        member.read_until(b"430")
        lines = [line.encode() for line in broker.messages(rooms, data())]
        head = b"*3\r\n$7\r\nPUBLISH\r\n$8\r\nsocketio\r\n"
        commands = b"".join(head + b"$%d\r\n%s\r\n" % (len(line), line) for line in lines)
        peer = target.connect(target.redis)

        def drain():
            try:
                while True:
                    member.wait(writing=False)
                    member.fill()
                    member.input = b""
            except (Over, OSError, EOFError):
                pass

        def once():
            threading.Thread(target=drain, daemon=True).start()
            peer.pour(itertools.repeat(repeated(commands)))

        return once

    return attack


def small():
    return {"n": 1}


HERE, NOWHERE = ["flooded"], [f"nobody:{number}" for number in range(100)]
FLOODS = {
    "events-100us": Flood("events, a handler of 100 µs", websocket('42["busy",100]')),
    "events-10us": Flood("events, a handler of 10 µs", websocket('42["busy",10]')),
    "events-acked": Flood("the same, acknowledged", websocket('42{id}["busy",10]')),
    "events-awaiting": Flood("events, a handler that awaits", websocket('42["sleeps"]')),
    "acks-unasked": Flood("acknowledgements never asked for", websocket("43{id}[]")),
    "acks-asked": Flood("acknowledgements asked for", acks_asked),
    "pings": Flood("PING frames", frames(lambda: frame(b"", PING))),
    "pongs": Flood("PONG frames", frames(lambda: frame(b"", PONG))),
    "pong-packets": Flood("Engine.IO PONG packets", websocket("3")),
    "deflate": Flood("65 KB of deflated JSON", deflated(True, 65_000), sides=PYTHON),
    "deflate-not-joined": Flood("the same, not joined", deflated(False, 65_000), sides=PYTHON),
    "attachments": Flood("binary events, 10 attachments", frames(binary_event)),
    "big": Flood("events of 900 KB", frames(lambda: frame(big_event()))),
    "big-not-joined": Flood("the same, not joined", frames(lambda: frame(big_event()), join=False)),
    "namespaces": Flood(
        "CONNECT and DISCONNECT", frames(lambda: frame("40/other,") + frame("41/other,"))
    ),
    "fragments": Flood("fragments of one byte", frames(fragmented_event)),
    "payloads": Flood("POSTs of 16 events", posts(small_payload)),
    "payloads-big": Flood("POSTs of 16 events, 900 KB", posts(big_payload)),
    "sessions": Flood("sessions opened by polling", requests("GET", POLLING), clients=4),
    "headers": Flood(
        "requests with 5 MB of headers",
        requests("GET", POLLING, f"X-A: {'a' * 1000}\r\n" * 5000),
    ),
    "chunks": Flood("POST bodies in chunks of one byte", chunked),
    "pipelined": Flood("pipelined requests", pipelined, theirs=("asgi",)),
    "handshakes": Flood("WebSockets opened and closed", handshakes, clients=4),
    "redis": Flood(
        "Redis: messages to a client here", published(HERE, small), sides=PYTHON, redis=True
    ),
    "redis-nobody": Flood(
        "Redis: messages to nobody here", published(NOWHERE, small), sides=PYTHON, redis=True
    ),
    "redis-big": Flood(
        "Redis: 900 KB to a client here",
        published(HERE, lambda: json.loads(big_json())),
        sides=PYTHON,
        redis=True,
    ),
    "redis-big-nobody": Flood(
        "Redis: 900 KB to nobody here",
        published(NOWHERE[:1], lambda: json.loads(big_json())),
        sides=PYTHON,
        redis=True,
    ),
}
QUICK = ("events-100us", "events-10us", "acks-unasked", "deflate-not-joined", "payloads")
