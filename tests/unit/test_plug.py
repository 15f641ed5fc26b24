"""The package in the place of python-socketio: names, classes, options, accelerate, install."""

import os
import subprocess
import sys

import engineio
import pytest
import socketio
import socketio.packet

import toolboxsio
from toolboxsio.engine import EngineServer, EngineSocket
from toolboxsio.errors import PacketError


def in_new_process(code, **env):
    env = {name: value for name, value in os.environ.items() if name != "TOOLBOXSIO_PURE"} | env
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return done


def test_every_public_name_of_socketio():
    for name in socketio.__all__:
        theirs, ours = getattr(socketio, name), getattr(toolboxsio, name)
        assert ours is theirs or issubclass(ours, theirs)
        assert name in toolboxsio.__all__
    assert toolboxsio.exceptions is socketio.exceptions
    assert {name for name in socketio.packet.__dict__ if name.isupper()} <= set(
        toolboxsio.packet.__dict__
    )
    with pytest.raises(AttributeError):
        _ = toolboxsio.no_such_name


def test_names_of_its_own():
    for name in toolboxsio.__all__:
        assert hasattr(toolboxsio, name)
    assert toolboxsio.ACCELERATED is True
    assert toolboxsio.SIO_PATH == "/socket.io"
    assert issubclass(toolboxsio.Packet, socketio.packet.Packet)


def test_server_uses_our_classes():
    sio = toolboxsio.AsyncServer(async_mode="asgi")
    assert isinstance(sio, socketio.AsyncServer)
    assert type(sio.eio) is EngineServer
    assert sio.packet_class is toolboxsio.Packet
    assert sio.max_attachments == 10


def test_options():
    sio = toolboxsio.AsyncServer(
        async_mode="asgi", max_attachments=3, json_default=repr, json_max_depth=7
    )
    assert issubclass(sio.packet_class, toolboxsio.Packet)
    assert sio.packet_class is not toolboxsio.Packet
    assert (sio.max_attachments, sio.packet_class.max_depth) == (3, 7)
    assert sio.packet_class(data=["e", {1}]).encode() == '2["e","{1}"]'
    with pytest.raises(ValueError, match="nested too deeply"):
        sio.packet_class(data=[[[[[[[[1]]]]]]]]).encode()
    own = toolboxsio.Packet.configure(max_attachments=4, json_default=repr)
    assert toolboxsio.AsyncServer(async_mode="asgi", serializer=own).max_attachments == 4
    sio = toolboxsio.AsyncServer(async_mode="asgi", serializer=own, json_max_depth=7)
    assert (sio.max_attachments, sio.packet_class.max_depth) == (4, 7)
    assert sio.packet_class.json_default is repr


def test_msgpack_and_own_serializers_are_used():
    from socketio.msgpack_packet import MsgPackPacket

    assert toolboxsio.AsyncServer(async_mode="asgi", serializer="msgpack").packet_class is (
        MsgPackPacket
    )
    assert toolboxsio.AsyncServer(
        async_mode="asgi", serializer=socketio.packet.Packet
    ).packet_class is (socketio.packet.Packet)


def test_json_is_used(monkeypatch):
    class Json:
        dumps = staticmethod(lambda obj, **options: "{}")
        loads = staticmethod(lambda text: [])

    monkeypatch.setattr(toolboxsio.Packet, "json", toolboxsio.Packet.json)
    monkeypatch.setattr(engineio.packet.Packet, "json", engineio.packet.Packet.json)
    sio = toolboxsio.AsyncServer(async_mode="asgi", json=Json)
    assert sio.packet_class(data=["e"]).encode() == "2{}"
    assert toolboxsio.packet.EnginePacket(0, {"a": 1}).encode() == "0{}"


class Recorder(toolboxsio.AsyncServer):
    """Keeps what would be dispatched."""

    def __init__(self, **options):
        super().__init__(async_mode="asgi", **options)
        self.seen = []

    async def _handle_event(self, eio_sid, namespace, id, data):
        self.seen.append(("event", namespace, id, data))

    async def _handle_ack(self, eio_sid, namespace, id, data):
        self.seen.append(("ack", namespace, id, data))


async def connected(sio):
    await sio._handle_eio_connect("e1", {})
    sid = await sio.manager.pre_connect("e1", "/")
    await sio.manager.connect(sid, "/")
    return sio


PLACEHOLDER = '{"_placeholder":true,"num":0}'
ATTACK = [
    ['2["connect",{"forged":true}]'],
    ['2["disconnect","x"]'],
    [f'51-["connect",{PLACEHOLDER}]'],
    ["2{}"],
    ["2[]"],
    ["2[1]"],
    ["2[" + "[" * 200_000],
    ['50-["x"]'],
    ['5["x"]'],
    ['511-["x"]'],
    ["4{}"],
    ["7"],
    ["x"],
    [b"binary that nobody asked for"],
    [b"2x"],
    [["already", "decoded"]],
    [f'51-["x",{PLACEHOLDER}]', '2["text in its place"]'],
    ['51-["x",{"_placeholder":true,"num":-1}]', b"1"],
    ['51-["x",{"_placeholder":true,"num":7}]', b"1"],
    ['51-["x",{"_placeholder":true,"num":"a"}]', b"1"],
    [f'51-/other,["x",{PLACEHOLDER}]'],
]


# Upstream's own packet class, asked for by name, keeps its recursion and its negative indices.
ATTACK_ON_UPSTREAMS = [
    messages
    for messages in ATTACK
    if "[[[" not in str(messages[0]) and '"num":-1' not in str(messages[0])
]


async def refused(sio, messages, exceptions):
    await connected(sio)
    for message in messages[:-1]:
        await sio._handle_eio_message("e1", message)
    with pytest.raises(exceptions):
        await sio._handle_eio_message("e1", messages[-1])
    assert sio.seen == []
    assert sio._binary_packet == {}


@pytest.mark.parametrize("messages", ATTACK, ids=lambda messages: str(messages[-1])[:24])
async def test_refused_messages_reach_no_handler(messages):
    await refused(Recorder(), messages, PacketError)


@pytest.mark.parametrize("messages", ATTACK_ON_UPSTREAMS, ids=lambda m: str(m[-1])[:24])
async def test_refused_messages_with_upstreams_packets(messages):
    sio = Recorder(serializer=socketio.packet.Packet)
    await refused(sio, messages, (PacketError, IndexError, TypeError))


async def test_accepted_messages():
    sio = await connected(Recorder())
    for message in (
        '2["a",1]',
        '2/,5["b"]',
        f'52-/,6["c",{PLACEHOLDER}]',
        b"1",
        bytearray(b"2"),
        "31[2]",
        f"61-2[{PLACEHOLDER}]",
        b"3",
    ):
        await sio._handle_eio_message("e1", message)
    assert sio.seen == [
        ("event", None, None, ["a", 1]),
        ("event", "/", 5, ["b"]),
        ("event", "/", 6, ["c", b"1"]),
        ("ack", None, 1, [2]),
        ("ack", None, 2, [b"3"]),
    ]


class Wire:
    """A server with one client that is connected, and the frames that were sent to it."""

    def __init__(self, sio):
        self.sio = sio
        self.sio.async_handlers = False
        self.calls = []

        @sio.on("e")
        async def handler(sid, *args):
            self.calls.append(args)
            return ("a", b"1") if args == ("binary",) else len(self.calls)

    async def open(self):
        self.socket = EngineSocket(self.sio.eio, "e1")
        self.sio.eio.sockets["e1"] = self.socket
        await connected(self.sio)
        return self

    async def exchange(self, frame):
        await self.socket._receive_encoded(frame)
        sent = []
        while not self.socket.queue.empty():
            sent.append(self.socket.queue.get_nowait())
        return [packet.encode() for packet in sent]


async def test_a_frame_is_taken_whole(monkeypatch):
    wire = await Wire(toolboxsio.AsyncServer(async_mode="asgi")).open()
    monkeypatch.setattr(toolboxsio.AsyncServer, "_decode", None)  # not reached
    assert await wire.exchange('42["e",{"k":1}]') == []
    assert await wire.exchange('427["e"]') == ["437[2]"]
    assert await wire.exchange('428["e","binary"]') == [
        '461-8["a",{"_placeholder":true,"num":0}]',
        b"1",
    ]
    assert wire.calls == [({"k": 1},), (), ("binary",)]


@pytest.mark.parametrize("where", ["class", "object", "upstream"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("sio", "_handle_eio_message"),
        ("sio", "_send_packet"),
        ("eio", "send"),
        ("eio", "_trigger_event"),
        ("socket", "receive"),
    ],
)
async def test_a_method_that_was_replaced_is_called(monkeypatch, owner, name, where):
    wire = await Wire(toolboxsio.AsyncServer(async_mode="asgi")).open()
    owners = {"sio": wire.sio, "eio": wire.sio.eio, "socket": wire.socket}
    target = owners[owner]
    plain = getattr(type(target), name)
    called = []

    async def replacement(self, *args, **kwargs):
        called.append(name)
        return await plain(self, *args, **kwargs)

    if where == "class":
        monkeypatch.setattr(type(target), name, replacement)
    elif where == "object":
        monkeypatch.setattr(target, name, replacement.__get__(target), raising=False)
    elif name in type(target).__dict__:
        return  # ours stands in front of upstream's, as a subclass does
    else:
        base = next(cls for cls in type(target).__mro__ if name in cls.__dict__)
        monkeypatch.setattr(base, name, replacement)
    if name == "_handle_eio_message":
        wire.sio.eio.on("message", wire.sio._handle_eio_message)
    assert await wire.exchange('427["e"]') == ["437[1]"]
    assert called == [name]


async def test_a_refused_frame_closes_the_connection(caplog):
    wire = await Wire(toolboxsio.AsyncServer(async_mode="asgi")).open()
    assert await wire.exchange('42["connect"]') == ["1"]
    assert wire.socket.closed
    assert wire.calls == []
    [record] = caplog.records
    assert record.getMessage().startswith('e1: Packet refused: reserved event name "connect"')


def test_accelerate():
    class Own(socketio.AsyncServer):
        async def emit(self, *args, **kwargs):
            return "own"

    for cls in (socketio.AsyncServer, Own):
        sio = cls(async_mode="asgi", cors_allowed_origins="*")
        assert toolboxsio.accelerate(sio) is sio
        assert isinstance(sio, toolboxsio.AsyncServer)
        assert isinstance(sio, cls)
        assert type(sio).emit is cls.emit
        assert type(sio.eio) is EngineServer
        assert sio.packet_class is toolboxsio.Packet
        handler = sio.eio.handlers["message"]
        assert handler.__func__ is toolboxsio.AsyncServer._handle_eio_message
        assert toolboxsio.accelerate(sio) is sio


def test_accelerate_leaves_what_the_application_chose():
    sio = toolboxsio.accelerate(socketio.AsyncServer(async_mode="asgi", serializer="msgpack"))
    assert sio.packet_class.__name__ == "MsgPackPacket"
    for other in (None, socketio.Server(), object()):
        with pytest.raises(TypeError, match="accelerate"):
            toolboxsio.accelerate(other)


def test_install_and_uninstall():
    stock = socketio.AsyncServer, socketio.ASGIApp
    toolboxsio.install()
    toolboxsio.install()
    try:
        assert socketio.AsyncServer is toolboxsio.AsyncServer
        assert socketio.async_server.AsyncServer is toolboxsio.AsyncServer
        assert socketio.ASGIApp is toolboxsio.ASGIApp
        assert type(socketio.AsyncServer(async_mode="asgi").eio) is EngineServer
    finally:
        toolboxsio.uninstall()
    assert (socketio.AsyncServer, socketio.ASGIApp) == stock
    toolboxsio.uninstall()
    assert (socketio.AsyncServer, socketio.ASGIApp) == stock


def test_classes_that_the_application_replaced_are_used(monkeypatch):
    class Engine(engineio.AsyncServer):
        pass

    class Socket(EngineSocket):
        pass

    monkeypatch.setattr(engineio, "AsyncServer", Engine)
    assert type(toolboxsio.AsyncServer(async_mode="asgi").eio) is Engine
    monkeypatch.undo()
    monkeypatch.setattr(engineio.async_socket, "AsyncSocket", Socket)
    from toolboxsio.engine import _socket_class

    assert _socket_class() is Socket


def test_without_the_extension():
    done = in_new_process(
        "import toolboxsio as s, socketio, engineio\n"
        "assert s.ACCELERATED is False\n"
        "sio = s.AsyncServer(async_mode='asgi', max_attachments=3, json_default=repr)\n"
        "assert type(sio.eio) is engineio.AsyncServer\n"
        "assert sio.packet_class(data=['e', {1}]).encode() == '2[\"e\",\"{1}\"]'\n"
        "assert s.Packet(data=['e', b'1']).encode()[1] == b'1'\n"
        "assert s.json.dumps({'a': [1]}) == '{\"a\":[1]}' and s.json.loads('[1]') == [1]\n"
        "assert list(s.ack(True, a=1)) == ['ok', 'a', 'ts']\n"
        "assert s.accelerate(socketio.AsyncServer(async_mode='asgi'))\n"
        "s.install(); s.uninstall()\n",
        TOOLBOXSIO_PURE="1",
    )
    assert done.stderr.count("toolboxsio runs as plain python-socketio") == 1


def test_import_says_nothing_when_accelerated():
    done = in_new_process("import toolboxsio; assert toolboxsio.ACCELERATED")
    assert done.stderr == ""
