"""What `python -m benchmarks instructions` counts: a script that runs under callgrind.

Each item is the C path of one thing, done again and again between two markers. A marker is a call
of `getppid`, which nothing else here calls: at each callgrind writes down what it has counted since
the last, and begins anew. The connections have no sockets: their clients are those of
tests/unit/connections.py. It prints the items and how often each was done, as JSON.
"""

import asyncio
import gc
import json
import os
import random
import secrets
import sys
from itertools import count
from pathlib import Path

from toolboxsio import _core
from toolboxsio.bench import PAYLOADS
from toolboxsio.bench.codec import ACK, packet
from toolboxsio.bench.codecs import MAX_ATTACHMENTS, MAX_DEPTH
from toolboxsio.bench.emitter import EVENT

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "unit"))

from connections import CLOSE, Client, Events, Transport, frame, server

OFTEN, SELDOM = 500, 50  # how often an item is done, by how long it is
WARMUP = 60  # times before that: what is made once and kept, by us and by the interpreter
CLIENTS = 50
PUBLISHED = {
    "method": "emit",
    "event": "message",
    "data": [EVENT],
    "binary": False,
    "namespace": "/",
    "skip_sid": None,
    "callback": None,
    "host_id": "b" * 32,
}


class Sink(Transport):
    """Drops what is written."""

    def write(self, data):
        pass


def codec_items():
    """{name: (what is done, how often)} of the codec."""
    event = packet((PAYLOADS / "event.json").read_text(), 12)
    document = (PAYLOADS / "document_18k.json").read_text()
    ack = [{"ok": True, "type": "progress_update", "ts": "2025-09-11T21:00:00.123456+00:00"}]
    value = json.loads(document)
    wide = {"é" * 20: ["\u20ac" * 40, "\U0001f600" * 10, '"quoted"\n' * 10]}
    floats = [number / 7 for number in range(100)]

    def decode_event():
        _core.decode_message(event, MAX_ATTACHMENTS, MAX_DEPTH, True)

    def encode_ack():
        _core.encode_packet(ACK, ack, "/", 12, None, MAX_DEPTH, True, True)

    return {
        "decode an event": (decode_event, OFTEN),
        "encode an ack": (encode_ack, OFTEN),
        "dumps, 18 KB": (lambda: _core.dumps(value, None, MAX_DEPTH), SELDOM),
        "loads, 18 KB": (lambda: _core.loads(document, MAX_DEPTH), SELDOM),
        "dumps, many scripts": (lambda: _core.dumps(wide, None, MAX_DEPTH), OFTEN),
        "dumps, 100 floats": (lambda: _core.dumps(floats, None, MAX_DEPTH), SELDOM),
    }


def message_seen(*args):
    """A callback of emit()."""


def answer_messages(sio):
    @sio.event
    async def message(sid, data):
        return {"ok": True, "type": data["type"]}


def read_items(sio, client):
    """The same of what a connection reads."""
    answer_messages(sio)

    @sio.event
    async def waits(sid):
        await asyncio.sleep(0)

    one = frame(packet((PAYLOADS / "event.json").read_text(), 12))
    waiting = frame('4213["waits"]')
    numbers = count()

    async def wait():
        client.read(waiting)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def come_and_leave():
        other = Client(sio, f"x{next(numbers)}", Sink())
        other.read(frame("40") + frame(b"\x03\xe8", CLOSE))
        other.conn.connection_lost(None)

    joining, leaving = frame('40{"token":"secret"}'), frame("41")
    visitor = Client(sio, "visitor", Sink())

    def join():
        visitor.read(joining)
        visitor.read(leaving)

    answered = frame('431[{"ok":true,"type":"message"}]')
    waiting_for = sio.manager.callbacks.setdefault(client.sid, {0: count(2)})

    def acknowledge():
        waiting_for[1] = message_seen
        client.read(answered)

    binary = frame('451-12["message",{"type":"x","data":{"_placeholder":true,"num":0}}]')
    binary += frame(b"\x00\x01" * 50)

    return {
        "an event and its ack": (lambda: client.read(one), OFTEN),
        "16 events in one read": (lambda: client.read(one * 16), SELDOM),
        "an event whose handler waits": (wait, SELDOM),
        "a client joins and leaves": (come_and_leave, SELDOM),
        "a CONNECT and a DISCONNECT": (join, SELDOM),
        "an acknowledgement": (acknowledge, OFTEN),
        "an event with an attachment": (lambda: client.read(binary), OFTEN),
    }


async def asgi_items():
    """The same of what comes through an ASGI server, whose receive() has waited for it."""
    sio = server()
    answer_messages(sio)
    client = Events(sio)
    await client.join()
    one = packet((PAYLOADS / "event.json").read_text(), 12)

    async def come(events):
        for _ in range(events):
            client.inbox.put_nowait(one)
        while len(client.sent) < events:  # noqa: ASYNC110 (in the next iteration)
            await asyncio.sleep(0)
        client.sent.clear()

    return {
        "an event through ASGI and its ack": (lambda: come(1), OFTEN),
        "16 events through ASGI": (lambda: come(16), SELDOM),
    }


def write_items(sio, sids):
    """The same of what is emitted, here and elsewhere."""
    hub = sio.eio.hub()
    here, nobody = (json.dumps({**PUBLISHED, "room": room}).encode() for room in (sids[0], "x"))

    async def emit(**to):
        await sio.emit("message", EVENT, **to)
        await asyncio.sleep(0)

    return {
        "an emit to a room of one": (lambda: emit(room=sids[0]), OFTEN),
        f"an emit to {CLIENTS} clients": (emit, SELDOM),
        "a published emit to a room of one": (lambda: hub.deliver(here, "a" * 32), OFTEN),
        "a published emit to nobody here": (lambda: hub.deliver(nobody, "a" * 32), OFTEN),
    }


async def do(what, times):
    for _ in range(times):
        done = what()
        if asyncio.iscoroutine(done):
            await done


async def main():
    secrets.token_bytes = random.Random(0).randbytes  # the ids of clients are keys of dicts
    sio = server()
    clients = [Client(sio, f"e{number}") for number in range(CLIENTS)]
    sids = [client.join() for client in clients]
    for client, sid in zip(clients, sids, strict=True):
        client.sid = sid
        client.transport.write = lambda data: None
    way = sio.acceleration(sids[0])
    if way["path"] != "direct" or not way["fast"]:
        raise SystemExit(f"events do not take the C path: {way}")
    items = {
        **codec_items(),
        **read_items(sio, clients[0]),
        **await asgi_items(),
        **write_items(sio, sids),
    }
    for what, _ in items.values():
        await do(what, WARMUP)
    gc.collect()
    gc.disable()  # a collection falls to whoever allocates next
    for what, times in items.values():
        await do(what, 1)
        os.getppid()
        await do(what, times)
        os.getppid()
    print(json.dumps({name: times for name, (_, times) in items.items()}))


if __name__ == "__main__":
    asyncio.run(main())
