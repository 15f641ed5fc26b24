"""What a subscriber reads from Redis, in whatever pieces it comes (csrc/wire/resp.c)."""

import asyncio
import json
import random
from types import SimpleNamespace

import pytest
from connections import Client, server

from toolboxsio import _core, _redis_listener
from toolboxsio._redis_link import INCOMPLETE, hiredis
from toolboxsio._redis_listener import Listener
from toolboxsio.redis import AsyncRedisManager


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


def message(value):
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"*3\r\n" + bulk(b"message") + bulk(b"socketio") + bulk(payload)


def emitted(number, **more):
    fields = {"method": "emit", "event": "e", "data": [number], "namespace": "/", "room": None}
    return message({**fields, "skip_sid": None, "callback": None, "host_id": "other", **more})


PONG = b"*2\r\n" + bulk(b"pong") + bulk(b"")
CONFIRMED = b"*3\r\n" + bulk(b"subscribe") + bulk(b"room") + b":2\r\n"


@pytest.fixture
async def heard():
    """(listener, wire, client) of a server whose Redis is what the test says."""
    sio = server(client_manager=AsyncRedisManager("redis://127.0.0.1:1"))
    sio.manager_initialized = True
    sio.manager.set_server(sio)
    listener = Listener(sio.manager, asyncio.get_running_loop())
    sio.manager._listener = listener
    wire = SimpleNamespace(
        replies=hiredis.Reader(notEnoughData=INCOMPLETE),
        begun=bytearray(),
        need=0,
        read=lambda on: None,
        abort=lambda cause: None,
    )
    client = Client(sio)
    client.join()
    yield listener, wire, client
    for task in list(listener.tasks):
        task.cancel()


async def taken(client, count):
    """The numbers that a client has got."""
    async with asyncio.timeout(10):
        return [json.loads(text[2:])[1] for text in await client.until(count)]


@pytest.fixture(params=["C", "hiredis alone"])
def way(request, monkeypatch):
    if request.param != "C":
        monkeypatch.setattr(_redis_listener, "core", None)


@pytest.mark.parametrize("seed", range(20))
async def test_any_cuts(heard, way, seed):
    listener, wire, client = heard
    source = random.Random(seed)
    parts, wanted = [], []
    for number in range(200):
        kind = source.choice(["emit"] * 6 + ["own", "pong", "confirmed", "odd", "dict", "nobody"])
        parts.append(
            {
                "emit": emitted(number),
                "own": emitted(number, host_id=listener.manager.host_id),
                "pong": PONG,
                "confirmed": CONFIRMED,
                "odd": message(b"\xff{"),
                "dict": emitted([number], data={"n": number}),  # Python's to handle
                "nobody": emitted(number, room="nobody here"),
            }[kind]
        )
        wanted += [number] if kind == "emit" else [{"n": number}] if kind == "dict" else []
    stream = b"".join(parts)
    while stream:
        size = source.choice((1, 2, 7, 100, 1000, 5000))
        listener.take_data(wire, stream[:size])
        stream = stream[size:]
    assert await taken(client, len(wanted)) == wanted
    assert not wire.begun


async def test_a_long_message_in_small_pieces(heard):
    listener, wire, client = heard
    text = "x" * 3_000_000
    stream = emitted(text) + emitted("y")
    for at in range(0, len(stream), 1000):
        listener.take_data(wire, stream[at : at + 1000])
    assert await taken(client, 2) == [text, "y"]


@pytest.mark.parametrize("stream", [b"x", b"$x\r\n", b"*1\r\n" * 20, b"*?\r\n", b"$-7\r\n"])
async def test_nonsense_ends_the_connection(heard, stream):
    listener, wire, client = heard
    with pytest.raises(hiredis.ProtocolError):
        listener.take_data(wire, emitted(1) + stream)
    assert await taken(client, 1) == [1]


def test_sizes():
    assert _core.resp_size(b"+OK\r\n:1\r\n", 0) == (5, 0)
    assert _core.resp_size(b"+OK\r\n:1\r\n", 5) == (4, 0)
    assert _core.resp_size(b"+OK\r\n", 5) == (0, 1)
    assert _core.resp_size(b"$10\r\nabc", 0) == (0, 17)
    assert _core.resp_size(b"?", 0) == (-1, 0)
    for wrong in (("", 0), (b"", 1), (b"", -1), (b"", "x")):
        with pytest.raises(TypeError):
            _core.resp_size(*wrong)


async def test_arguments(heard):
    hub = heard[0].manager._hearing_hub()
    assert hub.deliver_replies(b"", 0, "h") == (0, 0, None)
    assert hub.deliver_replies(PONG, 0, "h") == (0, 0, len(PONG))
    assert hub.deliver_replies(b"?", 0, "h") == (0, 0, -1)
    assert hub.deliver_replies(message(b"[]") + b"*", 0, "h")[::2] == (
        len(message(b"[]")),
        (b"[]", False),
    )
    for wrong in (("", 0, "h"), (b"", 1, "h"), (b"", -1, "h"), (b"", 0, 1)):
        with pytest.raises((TypeError, ValueError)):
            hub.deliver_replies(*wrong)
