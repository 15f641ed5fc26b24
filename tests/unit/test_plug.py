"""The package in the place of python-socketio: names, classes, options, accelerate, install."""

import asyncio
import inspect
import json
import logging
import os
import re
import subprocess
import sys

import engineio
import pytest
import socketio
import socketio.packet
import uvicorn
from bidict import bidict
from connections import Client, Messages, Polling, server
from uvicorn.config import WS_PROTOCOLS
from uvicorn.importer import import_from_string

import toolboxsio
from toolboxsio.engine import EngineServer, EngineSocket
from toolboxsio.errors import PacketError
from toolboxsio.plan import (
    _ENGINE_METHODS,
    _MANAGER_METHODS,
    _SERVER_METHODS,
    _SOCKET_METHODS,
)
from toolboxsio.uvicorn import WebSocketProtocol


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
    assert sio.max_attachments == 1000


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
    own = toolboxsio.AsyncServer(async_mode="asgi", serializer=UpstreamsPacket).packet_class
    assert own is UpstreamsPacket


def test_json_is_used():
    class Json:
        dumps = staticmethod(lambda obj, **options: "{}")
        loads = staticmethod(lambda text: [])

    sio = toolboxsio.AsyncServer(async_mode="asgi", json=Json)
    assert sio.packet_class(data=["e"]).encode() == "2{}"
    assert sio.eio.packet_class(0, {"a": 1}).encode() == "0{}"


class UpstreamsPacket(socketio.packet.Packet):
    """Upstream's code does all of it."""

    def encode(self):
        return super().encode()


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
    ['51001-["x"]'],
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
    sio = Recorder(serializer=UpstreamsPacket)
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


class Wire(Messages):
    """A client that has joined, and what the handlers of its server were called with."""

    def __init__(self, sio=None):
        super().__init__(sio or toolboxsio.AsyncServer(async_mode="asgi"))
        self.calls = []

        @self.sio.on("e")
        async def handler(sid, *args):
            self.calls.append(args)
            return ("a", b"1") if args == ("binary",) else len(self.calls)

    async def open(self):
        self.sid = await self.join()
        return self

    def acceleration(self):
        found = self.sio.acceleration(self.sid)
        assert found["path"] == "asgi"
        *reasons, driver = found["reasons"]
        assert driver == f"async_mode is not asgi: the WebSocket is {__name__}.Wire"
        assert found["fast"] is not bool(reasons)
        return reasons


async def test_a_frame_is_dispatched_without_python(monkeypatch):
    wire = await Wire().open()
    for name in ("_decode", "_dispatch", "_handle_event", "_handle_event_internal"):
        monkeypatch.setitem(_SERVER_METHODS, name, None)  # as they were
        monkeypatch.setattr(toolboxsio.AsyncServer, name, None)  # not reached
    monkeypatch.setitem(_SOCKET_METHODS, "receive", None)
    monkeypatch.setattr(EngineSocket, "receive", None)
    assert wire.acceleration() == []
    assert await wire.exchange('42["e",{"k":1}]', "3", '427["e"]') == ["437[2]"]
    assert await wire.exchange('428["e","binary"]') == [
        '461-8["a",{"_placeholder":true,"num":0}]',
        b"1",
    ]
    assert wire.calls == [({"k": 1},), (), ("binary",)]


#: How often a method is called for two events with an id, one of which has a handler.
CALLS = {
    ("sio", "_handle_eio_message"): 2,
    ("sio", "_dispatch"): 2,
    ("sio", "_decode"): 2,
    ("sio", "_handle_event"): 2,
    ("sio", "start_background_task"): 2,
    ("sio", "_handle_event_internal"): 2,
    ("sio", "_trigger_event"): 2,
    ("sio", "_get_event_handler"): 2,
    ("sio", "_get_namespace_handler"): 1,
    ("sio", "_send_packet"): 1,
    ("eio", "send"): 1,
    ("eio", "send_packet"): 1,
    ("eio", "_get_socket"): 1,
    ("eio", "_trigger_event"): 2,
    ("eio", "start_background_task"): 2,
    ("socket", "receive"): 2,
    ("socket", "send"): 1,
    ("socket", "_receive_encoded"): 2,
    ("manager", "sid_from_eio_sid"): 2,
    ("manager", "is_connected"): 2,
}


def counting(function, called):
    """The same function, and a note of each call."""
    if inspect.iscoroutinefunction(function):

        async def replacement(*args, **options):
            called.append(function.__name__)
            return await function(*args, **options)

    else:

        def replacement(*args, **options):
            called.append(function.__name__)
            return function(*args, **options)

    return replacement


async def both(wire):
    """The two events of CALLS, and the one answer."""
    count = len(wire.calls) + 1
    assert await wire.exchange('427["e"]') == [f"437[{count}]"]
    assert await wire.exchange('428["nobody\'s"]') == []


def test_calls_names_all_methods():
    stock = {
        "sio": _SERVER_METHODS,
        "eio": _ENGINE_METHODS,
        "socket": _SOCKET_METHODS,
        "manager": _MANAGER_METHODS,
    }
    assert set(CALLS) == {(owner, name) for owner, names in stock.items() for name in names}


@pytest.mark.parametrize("where", ["class", "object", "upstream"])
@pytest.mark.parametrize(("owner", "name"), CALLS)
async def test_a_method_that_is_replaced_is_called(monkeypatch, owner, name, where):
    wire = await Wire().open()
    sio = wire.sio
    target = {"sio": sio, "eio": sio.eio, "socket": wire.socket, "manager": sio.manager}[owner]
    await both(wire)
    assert wire.acceleration() == []

    called = []
    place = target if where == "object" else type(target)
    if where == "upstream":
        place = next(cls for cls in reversed(type(target).__mro__) if name in vars(cls))
    stands_in_front = name in vars(type(target)) and where == "upstream"
    monkeypatch.setattr(place, name, counting(getattr(place, name), called), raising=False)
    rebinds = name == "_handle_eio_message" and not (where == "upstream" and stands_in_front)
    if rebinds:
        sio.eio.on("message", sio._handle_eio_message)
    await both(wire)
    if place is type(target) or not stands_in_front:
        assert called == [name] * CALLS[owner, name]
        reason = "a method of the session's socket was replaced"
        if owner != "socket" or where != "object":
            reason = f"{type(target).__name__}.{name} is the application's"
        called.clear()
        assert wire.acceleration() == [reason]
    called.clear()

    monkeypatch.undo()
    if rebinds:
        sio.eio.on("message", sio._handle_eio_message)
    await both(wire)
    assert called == []
    if owner != "socket" or where != "object":
        assert wire.acceleration() == []


async def test_a_socket_class_with_methods_of_its_own(monkeypatch):
    called = []

    class Socket(EngineSocket):
        async def receive(self, pkt):
            called.append("receive")
            await super().receive(pkt)

    monkeypatch.setattr(engineio.async_socket, "AsyncSocket", Socket)
    wire = Wire()
    await wire.end()
    await wire.sio.eio._handle_connect({}, "polling")
    [socket] = wire.sio.eio.sockets.values()
    assert type(socket) is Socket
    assert socket.conn.stock is False


async def test_the_reasons_of_a_session(top):
    """Each that the table in C names is told of a session of which it is so."""
    table = re.search(
        r"#define TBX_INELIGIBLE.*?\n\n", (top / "csrc/conn/conn.h").read_text(), re.S
    )
    texts = [text for text in re.findall(r'X\([A-Z]+, "([^"]*)"', table[0]) if text]
    polling = Polling(server())
    sid = await polling.join()
    assert polling.sio.acceleration(sid) == {
        "path": "polling",
        "fast": True,
        "reasons": [],
    }
    polling.socket.send = polling.socket.send
    assert polling.sio.acceleration(sid)["reasons"] == texts
    polling.sio._send_packet = polling.sio._send_packet
    [of_the_server, *others] = polling.sio.acceleration(sid)["reasons"]
    assert (of_the_server, others) == ("AsyncServer._send_packet is the application's", texts)


@pytest.mark.parametrize("name", ["socketio.server", "engineio.server"])
async def test_loggers_that_log_each_packet(caplog, name):
    wire = await Wire().open()
    logger = logging.getLogger(name)
    assert logger in (wire.sio.logger, wire.sio.eio.logger)
    before = logger.level
    try:
        for _ in range(2):
            await both(wire)
            assert wire.acceleration() == []
            logger.setLevel(logging.INFO)
            caplog.clear()
            await both(wire)
            assert caplog.records
            assert wire.acceleration() == ["each packet is logged"]
            logger.setLevel(logging.ERROR)
            caplog.clear()
            await both(wire)
            assert caplog.records == []
            assert wire.acceleration() == []
        logging.getLogger(name.partition(".")[0]).setLevel(logging.INFO)
        logger.setLevel(logging.NOTSET)
        assert wire.acceleration() == ["each packet is logged"]
        logging.disable(logging.INFO)
        assert wire.acceleration() == []
        logging.disable(logging.NOTSET)
        assert wire.acceleration() == ["each packet is logged"]
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger(name.partition(".")[0]).setLevel(logging.NOTSET)
        logger.setLevel(before)
    assert wire.acceleration() == []


async def test_loggers_that_are_no_loggers():
    class Logger:
        def __getattr__(self, name):
            return lambda *args, **options: None

    wire = await Wire(toolboxsio.AsyncServer(async_mode="asgi", logger=Logger())).open()
    await both(wire)
    assert wire.acceleration() == ["logger= is not a logging.Logger"]


async def test_json_of_the_application():
    class Json:
        dumps = staticmethod(lambda obj, **options: json.dumps(obj, separators=(", ", ":")))
        loads = staticmethod(json.loads)

    wire = await Wire(toolboxsio.AsyncServer(async_mode="asgi", json=Json)).open()
    assert await wire.exchange('427["e",[1,2]]') == ["437[1]"]
    assert wire.acceleration() == []
    wire.sio.packet_class.json = toolboxsio.json
    assert await wire.exchange('427["e",[1,2]]') == ["437[2]"]
    assert wire.acceleration() == []


async def test_serializer_of_the_application(monkeypatch):
    wire = Wire(toolboxsio.AsyncServer(async_mode="asgi", serializer=UpstreamsPacket))
    await wire.open()
    await both(wire)
    assert wire.acceleration() == ["serializer= is the application's"]

    class Packet(toolboxsio.Packet):
        def encode(self):
            return super().encode()

    wire = await Wire(toolboxsio.AsyncServer(async_mode="asgi", serializer=Packet)).open()
    await both(wire)
    assert wire.acceleration() == ["Packet.encode is the application's"]
    del Packet.encode
    await both(wire)
    assert wire.acceleration() == []
    called = []
    monkeypatch.setattr(toolboxsio.Packet, "encode", counting(Packet.encode, called))
    await both(wire)
    assert wire.acceleration() == ["Packet.encode is the application's"]
    assert called == ["encode"]
    monkeypatch.undo()
    wire.sio.packet_class = socketio.packet.Packet
    await both(wire)
    assert wire.acceleration() == ["serializer= is the application's"]
    wire.sio.packet_class = toolboxsio.Packet
    await both(wire)
    assert wire.acceleration() == []


async def test_message_handler_of_the_application():
    wire = await Wire().open()
    seen = []
    await both(wire)
    stock = wire.sio.eio.handlers["message"]

    @wire.sio.eio.on("message")
    async def message(sid, data):
        seen.append(data)
        await stock(sid, data)

    await both(wire)
    assert seen == ['27["e"]', '28["nobody\'s"]']
    assert wire.acceleration() == ["the Engine.IO message handler is the application's"]
    wire.sio.eio.on("message", stock)
    await both(wire)
    assert len(seen) == 2
    assert wire.acceleration() == []


async def test_handlers_that_change():
    wire = await Wire().open()
    sio = wire.sio

    async def other(sid, *args):
        return "other"

    sio.on("later", other)
    assert await wire.exchange('421["later"]') == ['431["other"]']
    sio.on("e", other)
    assert await wire.exchange('421["e"]') == ['431["other"]']
    del sio.handlers["/"]["e"]
    assert await wire.exchange('421["e"]') == []
    sio.on("*", lambda event, sid, *args: [event, *args])
    assert await wire.exchange('421["e",1]') == ['431[["e",1]]']
    sio.handlers = {"/": {"e": lambda sid: "new table"}}
    assert await wire.exchange('421["e"]') == ['431["new table"]']
    assert await wire.exchange('421["later"]') == []
    sio.handlers = {}
    assert await wire.exchange('421["e"]') == []

    class Namespace(toolboxsio.AsyncNamespace):
        def on_e(self, sid):
            return "of a namespace"

    sio.register_namespace(Namespace("/"))
    assert await wire.exchange('421["e"]') == ['431["of a namespace"]']
    sio.namespace_handlers = {
        "*": type("Other", (Namespace,), {"on_e": lambda *args: args[1]})("*")
    }
    assert await wire.exchange('421["e"]') == ['431["/"]']
    sio.reserved_events = [*sio.reserved_events, "e"]
    assert await wire.exchange('421["e"]') == ["1"]
    assert wire.socket.closed


async def test_async_handlers_changes():
    wire = await Wire().open()
    order = []

    @wire.sio.on("task")
    async def task(sid, i):
        order.append(str(i))
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(str(i))
        return "done"

    events = [f'42{i}["task",{i}]' for i in range(3)]
    assert await wire.exchange(*events) == ['430["done"]', '431["done"]', '432["done"]']
    assert order == ["0", "1", "2", "0", "1", "2"]
    wire.sio.async_handlers = False
    order.clear()
    assert await wire.exchange(*events) == ['430["done"]', '431["done"]', '432["done"]']
    assert order == ["0", "0", "1", "1", "2", "2"]


async def test_tables_of_the_manager_that_change():
    wire = await Wire().open()
    manager = wire.sio.manager
    rooms = manager.rooms
    manager.rooms = {}
    assert await wire.exchange('421["e"]') == []
    assert wire.calls == []
    manager.rooms = {"/": {None: bidict({"own": "e1"})}}
    assert await wire.exchange('421["e"]') == ["431[1]"]
    manager.rooms = rooms
    for table in (manager.pending_connect, manager.pending_disconnect):
        table["/"] = [wire.sid]
        assert await wire.exchange('421["e"]') == []
        del table["/"]
    manager.pending_disconnect = {"/": [wire.sid]}
    assert await wire.exchange('421["e"]') == []
    manager.pending_disconnect = {}
    assert await wire.exchange('421["e"]') == ["431[2]"]
    assert wire.acceleration() == []


async def test_a_refused_frame_closes_the_connection(caplog):
    wire = await Wire().open()
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
        assert type(sio).emit is (Own.emit if cls is Own else toolboxsio.AsyncServer.emit)
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


def test_install_in_uvicorn():
    ours = "toolboxsio.uvicorn:WebSocketProtocol"
    stock = dict(WS_PROTOCOLS)
    toolboxsio.install(uvicorn=False)
    assert stock == WS_PROTOCOLS
    toolboxsio.install()
    toolboxsio.install()
    try:
        for ws in ("auto", "websockets", "wsproto"):
            assert WS_PROTOCOLS[ws] == ours
            config = uvicorn.Config("no:app", ws=ws)
            assert import_from_string(WS_PROTOCOLS[config.ws]) is WebSocketProtocol
        changed = {name for name in stock if WS_PROTOCOLS[name] != stock[name]}
        assert changed == {"auto", "websockets", "wsproto"}
        WS_PROTOCOLS["wsproto"] = "the application's"
    finally:
        toolboxsio.uninstall()
    assert stock | {"wsproto": "the application's"} == WS_PROTOCOLS
    WS_PROTOCOLS["wsproto"] = stock["wsproto"]


@pytest.mark.parametrize("missing", ["uvicorn", "websockets"])
def test_install_without_uvicorn(missing):
    in_new_process(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import toolboxsio, socketio; toolboxsio.install()\n"
        "assert socketio.AsyncServer is toolboxsio.AsyncServer\n"
        "toolboxsio.uninstall()\n"
    )


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


async def test_a_stock_redis_manager_becomes_ours():
    for make in (
        lambda manager: toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager),
        lambda manager: toolboxsio.accelerate(
            socketio.AsyncServer(async_mode="asgi", client_manager=manager)
        ),
    ):
        manager = socketio.AsyncRedisManager("redis://127.0.0.1:1/0", channel="c")
        sio = make(manager)
        assert sio.manager is manager
        assert isinstance(manager, toolboxsio.AsyncRedisManager)
        assert sio.status()["redis"] == {
            "connected": False,
            "last_message_age": None,
            "dropped": 0,
            "pending": 0,
            "reconnects": 0,
            "room_channels": False,
        }

        class Own(socketio.AsyncRedisManager):
            async def _publish(self, data):
                raise AssertionError("not called here")

        own = Own("redis://127.0.0.1:1/0")
        assert isinstance(make(own).manager, toolboxsio.AsyncRedisManager)
        assert type(own)._publish is Own._publish


def test_install_brings_the_redis_manager():
    toolboxsio.install()
    try:
        assert socketio.AsyncRedisManager is toolboxsio.AsyncRedisManager
        assert socketio.async_redis_manager.AsyncRedisManager is toolboxsio.AsyncRedisManager
    finally:
        toolboxsio.uninstall()
    assert socketio.AsyncRedisManager is not toolboxsio.AsyncRedisManager


async def test_status():
    sio = server()
    client = Client(sio)
    client.join()
    assert sio.status() == {
        "sessions": 1,
        "acceleration": {"paths": {"direct": 1}, "not_direct": [], "events": [], "emits": []},
        "events": {},
        "redis": None,
    }
    sio.eio.send_packet = sio.eio.send_packet
    assert sio.status()["acceleration"]["events"] == [
        "EngineServer.send_packet is the application's"
    ]
    assert sio.status()["acceleration"]["emits"] == [
        "EngineServer.send_packet is the application's"
    ]
