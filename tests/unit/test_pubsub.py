"""What servers of a fleet publish for each other (csrc/wire/pubsub.c, csrc/conn/pubsub.c)."""

import asyncio
import json

import pytest
from connections import Client, server

from toolboxsio import _core

OWN, OTHER = "a" * 32, "b" * 32


def published(**fields):
    """A message as python-socketio publishes it."""
    message = {
        "method": "emit",
        "event": "e",
        "data": [1],
        "binary": False,
        "namespace": "/",
        "room": None,
        "skip_sid": None,
        "callback": None,
        "host_id": OTHER,
        **fields,
    }
    return json.dumps(message).encode()


class Fleet:
    """A server with a client, and what it makes of messages."""

    def __init__(self):
        self.sio = server()
        self.client = Client(self.sio)
        self.sid = self.client.join()
        self.hub = self.sio.eio.hub()

    async def hears(self, payload, host_id=OWN):
        outcome = self.hub.deliver(payload, host_id)
        await asyncio.sleep(0)
        return outcome, self.client.taken()


@pytest.mark.parametrize(
    ("data", "args"),
    [
        ([1, {"a": [None, "é"]}], ',1,{"a":[null,"\\u00e9"]}'),
        ([None], ""),
        ([], ""),
        ([[]], ",[]"),
        ([None, None], ",null,null"),
        (["]", '"', "\\"], ',"]","\\"","\\\\"'),
        ([1.5, -0.0, True, 10**99], f",1.5,-0.0,true,{10**99}"),
    ],
)
async def test_the_arguments_are_sent_as_they_came(data, args):
    assert await Fleet().hears(published(data=data)) == (None, [f'42["e"{args}]'])


async def test_the_fields_may_come_in_any_order_and_with_any_space():
    fleet = Fleet()
    text = (
        f' {{ "data" : [ 1 , 2 ] ,\n"x":[{{}},[]],"host_id":"{OTHER}" , "room":"x","room" : null ,'
        '"namespace":"/","event":"old","method":"emit","event" : "né" } '
    )
    assert await fleet.hears(text.encode()) == (None, ['42["né",1,2]'])


async def test_rooms():
    fleet = Fleet()
    await fleet.sio.enter_room(fleet.sid, "r")
    for room in ("r", ["r"], ["x", "r"], fleet.sid):
        assert await fleet.hears(published(room=room)) == (None, ['42["e",1]']), room
    for fields in (
        {"room": "x"},
        {"room": ["x", "y"]},
        {"namespace": "/x"},
        {"skip_sid": fleet.sid},
        {"skip_sid": ["x", fleet.sid]},
        {"host_id": OWN},
        {"method": "disconnect", "host_id": OWN},
        {"method": "callback", "host_id": OTHER},
    ):
        assert await fleet.hears(published(**fields)) == (None, []), fields


@pytest.mark.parametrize(
    "fields",
    [
        {"callback": ["r", "/", 1]},
        {"binary": True},
        {"data": "x"},
        {"data": None},
        {"event": 5},
        {"namespace": None},
        {"namespace": 5},
        {"room": {}},
        {"room": []},
        {"room": [[]]},
        {"room": 1.5},
        {"method": "disconnect"},
        {"method": "enter_room"},
        {"method": "close_room"},
        {"method": "else"},
        {"method": "callback", "host_id": OWN},
        {"data": [10**100]},
    ],
)
async def test_the_rest_is_left_to_python(fields):
    assert await Fleet().hears(published(**fields)) == (False, [])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        published()[:-1],
        published() + b"x",
        published().replace(b"[1]", b"[1,]"),
        published().replace(b"[1]", b"[01]"),
        published().replace(b"[1]", b'["\n"]'),
        published().replace(b"[1]", b'["\xff"]'),
        published().replace(b"[1]", b'["\xed\xa0\x80"]'),
        published().replace(b"[1]", b'[{"a" 1}]'),
        published().replace(b"[1]", b"[1}"),
        published().replace(b"[1]", b"[" * 2000 + b"]" * 2000),
        published().replace(b'"room"', b'"\\u0072oom"'),
        published().replace(OTHER.encode(), b"\\u0062" * 32),
        bytearray(published()),
        None,
    ],
)
async def test_what_cannot_be_read_is_left_to_python(payload):
    assert await Fleet().hears(payload) == (False, [])


async def test_every_prefix():
    fleet = Fleet()
    payload = published(data=[{"a": [1.5e3, "\\u00e9\\n", None, True, False]}, []])
    for end in range(len(payload)):
        assert await fleet.hears(payload[:end]) == (False, [])
    outcome, [text] = await fleet.hears(payload)
    assert outcome is None
    assert json.loads(text[2:])[1:] == json.loads(payload)["data"]


async def test_nesting():
    fleet = Fleet()
    for depth, outcome in ((1023, None), (1024, False)):
        deep = b"[" * depth + b"]" * depth
        assert (await fleet.hears(published().replace(b"[1]", b"[" + deep + b"]")))[0] is outcome


async def test_volatile():
    fleet = Fleet()
    fleet.client.conn.pause_writing()
    assert await fleet.hears(published(volatile=True)) == (None, [])
    assert await fleet.hears(published(data=[2], volatile=False)) == (None, [])
    fleet.client.conn.resume_writing()
    assert await fleet.client.until() == ['42["e",2]']


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, b"[null]"),
        ((), b"[]"),
        ((1, "é"), b'[1,"\\u00e9"]'),
        ([1], b"[[1]]"),
        ({"a": 1}, b'[{"a":1}]'),
    ],
)
async def test_encode_event(data, text):
    assert _core.encode_event("né", data, None, 100) == (b'"n\\u00e9"', text)


async def test_the_depth_of_an_event_is_that_of_its_array():
    """One list within the event's is the second level, as where it is emitted without Redis."""
    assert _core.encode_event("e", [], None, 2) == (b'"e"', b"[[]]")
    with pytest.raises(ValueError, match="nested"):
        _core.encode_event("e", [[]], None, 2)


async def test_encode_event_refuses():
    assert _core.encode_event("e", {"a": b""}, None, 100) is None
    with pytest.raises(TypeError):
        _core.encode_event("e", object(), None, 100)
    assert _core.encode_event("e", object(), lambda obj: 1, 100) == (b'"e"', b"[1]")


async def test_an_encoded_event():
    fleet = Fleet()
    event, args = _core.encode_event("e", (1, [2]), None, 100)
    assert fleet.hub.emit_encoded(event, args, "/", None, None, False) is None
    assert await fleet.client.until() == ['42["e",1,[2]]']
    with pytest.raises(ValueError, match="array"):
        fleet.hub.emit_encoded(event, b"", "/", None, None, False)


async def test_a_socket_of_its_own_is_left_to_python():
    fleet = Fleet()

    async def send(packet):
        raise AssertionError("not called here")

    fleet.client.socket.send = send
    outcome, _ = await fleet.hears(published(data=[1, "x"]))
    assert outcome == ([(fleet.sid, "e1")], ['2["e",1,"x"]'])
