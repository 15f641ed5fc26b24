"""Each server has its own json=; and packet classes of python-socketio's that set values alone."""

import json

import engineio
import pytest
import socketio
from connections import Client, Polling, server
from socketio.msgpack_packet import MsgPackPacket

import toolboxsio
from toolboxsio.redis import AsyncRedisManager


class Marked:
    """An application's JSON, with its mark in all that it writes."""

    def __init__(self, mark):
        self.mark = mark

    def dumps(self, value, **options):
        return json.dumps(value).replace('"', self.mark + '"', 1)

    def loads(self, text):
        return json.loads(text.replace(self.mark, ""))


@pytest.fixture(autouse=True)
def stock():
    """What upstream's classes have is as it was, whatever servers were given."""
    classes = (socketio.packet.Packet, engineio.packet.Packet, toolboxsio.Packet)
    before = [cls.json for cls in classes]
    yield
    assert [cls.json for cls in classes] == before


def open_packet(sio):
    sio.eio.sockets["o"] = Polling(sio, "o").socket
    return sio.eio._open_packet("o", "polling").encode()


async def said(sio, name="e1"):
    """What a client is told: by events, acknowledgements, emits."""

    @sio.event
    async def same(sid, *args):
        return args

    client = Client(sio, name)
    client.send("40")
    [greeting] = client.taken()
    client.send('427["same","x"]')
    answers = await client.until()
    await sio.emit("e")
    return [greeting[:5], *answers, *await client.until()]


async def test_servers_of_one_process():
    first, second, third = server(json=Marked("1")), server(json=Marked("2")), server()
    for sio, mark in ((second, "2"), (first, "1"), (third, "")):
        assert await said(sio) == [f'40{{{mark}"s'[:5], f'437[{mark}"x"]', f'42[{mark}"e"]']
        assert open_packet(sio).startswith(f'0{{{mark}"sid"')
        assert sio.eio._bad_request("no")["response"] == f'{mark}"no"'.encode()
        assert sio.eio._unauthorized()["response"] == f'{mark}"Unauthorized"'.encode()
        assert sio.manager.json is sio.packet_class.json
    assert first.packet_class.json.mark == "1"


async def test_servers_that_poll():
    sio, other = server(json=Marked("1")), server(json=Marked("2"))
    for one, mark in ((sio, "1"), (other, "2")):
        polling = Polling(one)
        await polling.join()
        await one.emit("e", [1])
        assert polling.waiting() == [f'2[{mark}"e", [1]]']
        [packet] = one.eio.payload_class(encoded_payload=f'4[{mark}"x"]').packets
        assert packet.data == ["x"]


async def test_serializers_with_a_json_of_the_server():
    class Own(toolboxsio.Packet):
        pass

    class Theirs(socketio.packet.Packet):
        json = Marked("0")

    for cls in (Own, Theirs, Own):
        sio = server(serializer=cls, json=Marked("1"))
        assert issubclass(sio.packet_class, cls)
        assert (await said(sio))[1:] == ['437[1"x"]', '42[1"e"]']
    assert Own.json is toolboxsio.Packet.json
    assert Theirs.json.mark == "0"
    assert (await said(server(serializer=Theirs)))[1:] == ['437[0"x"]', '42[0"e"]']
    assert (
        server(serializer="msgpack", json=Marked("1")).packet_class.encode is MsgPackPacket.encode
    )
    assert not isinstance(MsgPackPacket.json, Marked)


async def test_what_the_application_sets_for_all(monkeypatch):
    own, others = server(json=Marked("1")), server()
    assert (await said(others))[1] == '437["x"]'
    with monkeypatch.context() as patch:
        patch.setattr(socketio.packet.Packet, "json", Marked("3"))
        patch.setattr(engineio.packet.Packet, "json", Marked("4"))
        assert (await said(others, "e2"))[1] == '437[3"x"]'
        assert (await said(own))[1] == '437[1"x"]'
        assert open_packet(others).startswith('0{4"sid"')
        assert open_packet(own).startswith('0{1"sid"')
        built_later = server()
        assert (await said(built_later))[1] == '437[3"x"]'
    assert (await said(others, "e3"))[1] == '437["x"]'


def test_managers():
    """Messages of a fleet have the JSON of the server, or of a manager without one."""
    managers = [AsyncRedisManager(), AsyncRedisManager(json=Marked("2"))]
    sio = server(json=Marked("1"), client_manager=managers[0])
    assert sio.manager.json.mark == "1"
    assert managers[1].json.mark == "2"
    assert server(client_manager=AsyncRedisManager()).manager.json is toolboxsio.Packet.json


def test_install():
    toolboxsio.install(uvicorn=False)
    try:
        first = socketio.AsyncServer(async_mode="asgi", json=Marked("1"))
        second = socketio.AsyncServer(async_mode="asgi")
    finally:
        toolboxsio.uninstall()
    assert first.packet_class.json.mark == "1"
    assert second.packet_class.json is toolboxsio.Packet.json


# --- classes that set values alone ---


class Text(socketio.packet.Packet):
    uses_binary_events = False


class Mixin:
    json = Marked("1")
    words = ("more", "of", "the", "application")

    def help(self):
        """Not python-socketio's."""


class Mixed(Text, Mixin):
    """Annotated, documented, of two classes."""

    json = Mixin.json
    number: int = 1


@pytest.mark.parametrize("cls", [Text, Mixed, socketio.packet.Packet])
@pytest.mark.parametrize("plug", ["serializer", "accelerate", "install"])
async def test_they_are_fast(cls, plug):
    if plug == "serializer":
        sio = server(serializer=cls)
    elif plug == "accelerate":
        sio = toolboxsio.accelerate(socketio.AsyncServer(async_mode="asgi", serializer=cls))
    else:
        toolboxsio.install(uvicorn=False)
        try:
            sio = socketio.AsyncServer(async_mode="asgi", serializer=cls)
        finally:
            toolboxsio.uninstall()
    mark = "1" if cls is Mixed else ""
    assert await said(sio) == [f'40{{{mark}"s'[:5], f'437[{mark}"x"]', f'42[{mark}"e"]']
    [sid] = [sid for sid in sio.manager.rooms["/"] if sid]
    assert sio.acceleration(sid) == {"path": "direct", "fast": True, "reasons": []}
    assert sio.status()["acceleration"]["emits"] == []
    packet = sio.packet_class(data=["e"])
    assert isinstance(packet, cls)
    assert isinstance(packet, toolboxsio.Packet)
    assert sio.packet_class.__name__ == cls.__name__


async def test_bytes_without_binary_events(caplog):
    """As with python-socketio: the JSON refuses them; those of a client are taken."""
    sio, got = server(serializer=Text), []

    @sio.event
    async def same(sid, *args):
        got.extend(args)
        return args if isinstance(args[0], str) else None

    client = Client(sio)
    client.join()
    for data in (b"x", [b"x"], {"a": bytearray(b"x")}, (1, b"x")):
        with pytest.raises(TypeError, match="not JSON serializable"):
            await sio.emit("e", data)
    client.send('451-1["same",{"_placeholder":true,"num":0}]', b"x")
    assert await client.until() == ["431[]"]
    assert got == [b"x"]
    sio.on("bytes", lambda sid: b"x")
    client.send('422["bytes"]', '423["same","after"]')
    assert await client.until() == ['433["after"]']
    assert any("not JSON serializable" in str(r.exc_info) for r in caplog.records if r.exc_info)
    sio.packet_class.uses_binary_events = True
    client.send('424["bytes"]')
    assert await client.until(2) == ['461-4[{"_placeholder":true,"num":0}]', b"x"]
    await sio.emit("e", b"x")
    assert (await client.until(2))[1] == b"x"


async def test_bytes_that_the_json_takes():
    class Hex(Text):
        json = Marked("")

    Hex.json.dumps = lambda value, **options: json.dumps(value, default=bytes.hex)
    sio = server(serializer=Hex)
    client = Client(sio)
    client.join()
    await sio.emit("e", {"a": b"\xff"})
    assert await client.until() == ['42["e", {"a": "ff"}]']


class Encodes(Text):
    def encode(self):
        return super().encode()


class Constructs(Text):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)


class Finds(socketio.packet.Packet):
    @classmethod
    def data_is_binary(cls, data):
        return super().data_is_binary(data)


class Looks(socketio.packet.Packet):
    @property
    def json(self):
        return json


class Listens(socketio.packet.Packet):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)


class Slots(socketio.packet.Packet):
    __slots__ = ()


class Meta(type):
    pass


class Made(socketio.packet.Packet, metaclass=Meta):
    pass


@pytest.mark.parametrize("cls", [Encodes, Constructs, Finds, Looks, Listens, Slots, Made])
def test_others_are_the_applications(cls):
    sio = server(serializer=cls)
    assert sio.packet_class is cls
    assert (
        toolboxsio.accelerate(socketio.AsyncServer(async_mode="asgi", serializer=cls)).packet_class
        is cls
    )


async def test_json_default_with_such_a_class():
    sio = server(serializer=Text, json_default=lambda value: "default")
    client = Client(sio)
    client.join()
    await sio.emit("e", (object(), b"x"))
    assert await client.until() == ['42["e","default","default"]']
    with pytest.raises(ValueError, match="toolboxsio's own JSON"):
        server(serializer=Mixed, json_default=repr)
