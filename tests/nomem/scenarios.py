"""What the build of `make nomem` plays while a call fails: each scenario ends in what it has seen.

A scenario of a function is a call whose result or exception is compared. One of connections is a
coroutine function of a Stage; it goes on whatever fails, as an event loop would, and all that is
raised is told to the Stage.
"""

import asyncio
import contextlib
import gc
import importlib.machinery
import importlib.util
import json
import logging
import re
import sys
import time
import zlib
from contextvars import copy_context
from operator import attrgetter

import test_refleak
from connections import CLOSE, PING, Client, Messages, Transport, frame, frames, server
from test_refleak import BAD, GOOD, PUBLISHED, hook

import toolboxsio
from toolboxsio import _core
from toolboxsio._asgi_websocket import State
from toolboxsio._loops import Posts

#: What differs from run to run.
VARYING = re.compile(r'"sid":"[^"]*"|\d{4}-\d\d-\d\dT[^\'"]*|0x[0-9a-f]+|\b[eE]\d+\b')
LONG = re.compile(r"(.)\1{40,}")
ENDED = "the connection has ended"
TURNS = 8


def plain(value):
    """A value as text, without what varies."""
    return LONG.sub(r"\1…", VARYING.sub("*", repr(value)))


class Space(toolboxsio.AsyncNamespace):
    """A namespace handler; what it gets is kept by its Stage."""

    stage = None

    async def on_e(self, sid, *args):
        self.stage.heard.append(("space e", args))
        await asyncio.sleep(0)
        return args

    def on_plain(self, sid, *args):
        self.stage.heard.append(("space plain", args))
        return args


class Triggered(toolboxsio.AsyncNamespace):
    """One with a trigger_event of its own."""

    async def trigger_event(self, event, *args):
        return event


class Marked:
    """A callable that is no function."""

    def __call__(self, sid, *args):
        return args


class Stage:
    """A server, what its handlers heard, and what was told of failures."""

    def __init__(self, **options):
        if "json" not in options:
            options["json_default"] = hook
        self.sio = sio = server(namespaces="*", **options)
        self.heard = []
        self.seen = []
        self.told = []
        self.count = 0
        self.clients = []
        self.stays = []  # who should have gone
        Space.stage = self
        sio.register_namespace(Space("/space"))
        sio.register_namespace(Triggered("/triggered"))
        for namespace in ("/", "/\xe9"):
            self._add_handlers(namespace)

    def _add_handlers(self, namespace):
        sio, heard = self.sio, lambda *args: self.heard.append(args)

        @sio.on("e", namespace=namespace)
        async def at_once(sid, *args):
            heard("e", args)
            return args

        @sio.on("slow", namespace=namespace)
        async def slow(sid, *args):
            heard("slow", args)
            for _ in range(2):
                await asyncio.sleep(0)
            return args

        @sio.on("fails", namespace=namespace)
        async def fails(sid):
            heard("fails")
            raise KeyError("fails")

        @sio.on("stops", namespace=namespace)
        def stops(sid):
            raise StopIteration

        @sio.on("emits", namespace=namespace)
        async def emits(sid):
            heard("emits")
            await sio.emit("x", {"a": [1, b"2"]}, to=sid, namespace=namespace)
            return b"1", {2}

        @sio.on("unknown to JSON", namespace=namespace)
        async def unknown(sid):
            heard("unknown")
            return {1}, object()

        @sio.on("forever", namespace=namespace)
        async def forever(sid):
            heard("forever")
            await asyncio.get_running_loop().create_future()

        sio.on("plain", self._plain, namespace=namespace)
        sio.on("marked", Marked(), namespace=namespace)

    def _plain(self, sid, *args):
        self.heard.append(("plain", args))
        return {"a": [b"1"], "b": {2}}

    def tell(self, exc):
        self.told.append(exc)

    def do(self, function, *args):
        """Call; what is raised is told."""
        try:
            return function(*args)
        except Exception as exc:
            self.tell(exc)

    async def turn(self, turns=TURNS):
        for _ in range(turns):
            await asyncio.sleep(0)

    def answered(self, *args):
        self.heard.append(("answered", args))

    async def call(self, *args, **kwargs):
        try:
            self.answered("call", await self.sio.call(*args, **kwargs))
        except Exception as exc:
            self.tell(exc)

    async def emit(self, *args, **kwargs):
        try:
            await self.sio.emit(*args, **kwargs)
        except Exception as exc:
            self.tell(exc)

    def client(self, joins=("40",), **attach):
        """A client on a transport; None when it could not be made."""
        self.count += 1
        name = f"e{self.count}"
        try:
            client = StagedClient(self, name, **attach)
        except Exception as exc:
            self.tell(exc)
            self.sio.eio.sockets.pop(name, None)
            self.sio.environ.pop(name, None)
            return None
        self.clients.append(client)
        self.do(client.socket.schedule_ping)
        self.do(client.conn.expect, 2)
        client.send(*joins)
        return client

    async def wait_for_ends(self, seconds=3):
        """Until every client has been told to go; those that have, are lost."""
        end = time.monotonic() + seconds
        while self.clients and time.monotonic() < end:
            for client in self.clients:
                if has_end(client):
                    client.lost(None)
            if all(client.is_lost for client in self.clients):
                return
            await asyncio.sleep(0.002)
        self.stays += [client.eio_sid for client in self.clients if not client.is_lost]

    async def end(self):
        """All clients leave; what they were sent is seen."""
        await self.turn()
        for client in self.clients:
            client.lost(None)
            frames = sorted(client.frames(), key=repr)  # of several tasks: in any order
            self.seen.append([client.transport.names().count("abort"), *frames])
        await self.turn()
        self.clients.clear()

    async def settle(self, seconds=3):
        """What has failed may be tried again by a timer."""
        end = time.monotonic() + seconds
        while self.sio.eio.sockets and time.monotonic() < end:  # noqa: ASYNC110 (as in until())
            await asyncio.sleep(0.01)

    def outcome(self):
        """What was seen; afterwards nothing is."""
        self.heard.sort(key=repr)
        seen = plain((self.heard, self.seen))
        self.heard, self.seen, self.count = [], [], 0
        return seen

    def left(self):
        """What should be gone."""
        sio = self.sio
        gc.collect()
        self._forget_pending()
        places = {
            "sockets": sio.eio.sockets,
            "environ": sio.environ,
            "rooms": sio.manager.rooms,
            "callbacks": sio.manager.callbacks,
            "pending": sio.manager.pending_disconnect,
            "binary": sio._binary_packet,
        }
        found = {name: dict(place) for name, place in places.items() if place}
        if self.stays:
            found["stays"], self.stays = self.stays, []
        if sio._hub is not None and sio._hub.n_connections:
            found["connections"] = sio._hub.n_connections
        return found

    def _forget_pending(self):
        """Upstream never drops a client whose CONNECT it could not answer."""
        manager = self.sio.manager
        for namespace, sids in list(manager.pending_connect.items()):
            for sid in list(sids):
                manager.pending_connect[namespace].remove(sid)
                manager.basic_disconnect(sid, namespace)
            manager.pending_connect.pop(namespace, None)


class StagedClient(Client):
    """A client that does what an event loop does when a method of the protocol raises."""

    def __init__(self, stage, name, **attach):
        self.stage = stage
        self.is_lost = False
        super().__init__(stage.sio, name, Transport(), **attach)

    def read(self, data):
        for part in [data] if isinstance(data, bytes) else data:
            if self.is_lost:
                return
            try:
                super().read(part)
            except Exception as exc:  # as a transport: told, and the connection is over
                self.stage.tell(exc)
                self.lost(exc)

    def lost(self, exc):
        if not self.is_lost:
            self.is_lost = True
            self.stage.do(self.conn.connection_lost, exc)

    def frames(self):
        data = b"".join(self.transport.writes())
        try:
            return frames(data)
        except Exception as exc:
            return [f"broken output: {exc!r} {data!r}"]


# --- functions ------------------------------------------------------------------------------------


LIMITS = (
    *("ping_interval", "ping_timeout", "connect_timeout", "message_timeout", "leave_timeout"),
    *("close_timeout", "max_size", "max_backlog", "max_running", "compression_threshold"),
    "keeps_slow",
    *("max_fragments", "max_control", "max_running_bytes"),
    *("max_attachments", "max_attachment_bytes"),
)


def fresh_module():
    """The module made once more, and a hub of it."""
    loader = importlib.machinery.ExtensionFileLoader("toolboxsio._core", _core.__file__)
    spec = importlib.util.spec_from_loader("toolboxsio._core", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    loop = asyncio.new_event_loop()
    try:
        hub = module.Hub(loop, tuple, dict.fromkeys(LIMITS, 9))
        connection = hub.connection(None, "\xe9")
        numbers = hub.n_connections, hub.slice_seconds, connection.held, connection.message_bytes
        return connection.path, numbers, connection.backlog, connection.server
    finally:
        loop.close()


def fails(*_):
    raise OSError("this was meant to fail")


class Items(dict):
    """A dict that is not exactly one."""


class List(list):
    """A list that is not exactly one."""


NUMBERS = iter(range(10**9))

FUNCTIONS = {
    **{name: function for name, function in GOOD.items() if name != "loads new keys"},  # vary
    **{f"bad {name}": function for name, function in BAD.items()},
    "import": fresh_module,
    "simd": _core.simd,
    "new keys": lambda: len(_core.loads(f'{{"key{next(NUMBERS)}":1}}', 9)),
    "new headers": lambda: _core.environ_headers(
        {}, [(b"x%d" % next(NUMBERS), b"v")], 0, 1, {}, True
    ),
    "binary of subclasses": lambda: (
        _core.has_binary(List([1])),
        _core.has_binary(Items(a=b"")),
        _core.deconstruct(List([Items(a=b"")])),
    ),
    "more dumps": lambda: [
        _core.dumps(value, hook, 512)
        for value in (
            Items(a={"b": [{}, 1 << 70]}),
            [float("nan"), float("inf"), -float("inf"), 1.5, 10**15],
            {None: None, 1 << 80: True, 1.5: False, float("nan"): [], "\xe9": "\n\x01\xe9"},
            [{1, 2}, (1, (2,)), "x" * 3000, "\U0001f600" * 70],
            "\n" * 500,
            List([1]),
            List(),
            {type("Text", (str,), {})("k"): type("Int", (int,), {})(7)},
        )
    ],
    "more loads": lambda: [
        _core.loads(text, 512)
        for text in (
            "[NaN,Infinity,-Infinity,-0,1e400,1.5,true,false,null]",
            "[" + "9" * 40 + ',"","a","\\n\\u00e9","\xe9","\u20ac","\U0001f600","\\ud800"]',
            '{"a":1,"bb":{"ccc":[[[[]]]]},"' + "d" * 100 + '":[{}]}',
            b'{"\xc3\xa9":"\\n' + b"x" * 3000 + b'"}',
            '"\ud800"',
        )
    ],
    "more packets": lambda: [
        _core.encode_packet(2, ["e", {"a": b"1"}], "/\xe9", 5, None, 9, True, True),
        _core.encode_packet(2, ["e"], "/n", 1 << 70, None, 9, True, True),
        _core.encode_packet(0, None, "/n", None, None, 9, False),
        _core.decode_message('452-/n,7["e",{"_placeholder":true,"num":0}]', 9, 9, True),
        _core.decode_message('2/\xe9,["e"]', 9, 9),
        _core.decode_packet("0/n", None, 9),
        _core.packet_head('2/\xe9,["e"]'),
        _core.decode_packet('2/\ud800,["\ud800"]', None, 9),
        _core.decode_packet('2["\xe9"]', test_refleak.Module.loads, 9),
    ],
}


# --- connections ----------------------------------------------------------------------------------

CONNECTIONS = {}


def scenario(**options):
    """Adds a coroutine function of a Stage, which has these options."""

    def add(function):
        CONNECTIONS[function.__name__] = (function, options)
        return function

    return add


PLACE = '{"_placeholder":true,"num":0}'
SESSION = [
    *('42["e"]', '421["e",1,[2]]', '422["plain"]', '423["nobody"]', "3", '424["marked",1]'),
    *(f'451-5["e",{PLACE}]', b"1", '426["e",1,2,3,4,5,6,7,8,9,10,11,12]'),
    *(f'42{"9" * 18}["e"]', f'42{"9" * 19}["e"]', f'42{"9" * 90}["e"]'),
    *('427["slow",{"a":[]}]', '428["slow"]', '42["slow"]', '429["fails"]', '4210["stops"]'),
    *('4211["emits"]', '4212["unknown to JSON"]'),
]
REFUSED = '42["connect"]'
SPACES = [
    *("40/space,", '42/space,1["e",1]', '42/space,2["plain"]', '42/space,3["none"]', "41/space,"),
    *("40/triggered,", '42/triggered,4["any",1]'),
    *("40/\xe9,", '42/\xe9,5["e","\xe9\u20ac"]', '42/\xe9,6["emits"]'),
]


@scenario()
async def events(stage):
    client = stage.client()
    if client is not None:
        client.send(*SESSION[:12])
        await stage.turn(3)
        client.send(*SESSION[12:])
        await stage.turn(12)
        client.send(REFUSED)
    await stage.end()


@scenario()
async def events_one_by_one(stage):
    client = stage.client()
    for payload in SESSION if client is not None else ():
        client.send(payload)
        await stage.turn(3)
    await stage.end()


@scenario(async_handlers=False)
async def events_in_order(stage):
    client = stage.client()
    if client is not None:
        client.send(*SESSION)
        await stage.turn(30)
    await stage.end()


class OwnJson:
    """A `json=` of the application's."""

    dumps = staticmethod(json.dumps)
    loads = staticmethod(json.loads)


@scenario(json=OwnJson)
async def own_json(stage):
    client = stage.client()
    if client is not None:
        client.send(*SESSION)
        await stage.turn(12)
        await stage.emit("e", ({"a": 1}, "\xe9"))
        await stage.emit("e", [1, b"2"])
        await stage.emit("e", (1, b"2"))
        client.send('42["e",', REFUSED)
    await stage.end()


@scenario()
async def namespaces(stage):
    client = stage.client()
    if client is not None:
        client.send(*SPACES)
        await stage.turn(20)
    await stage.end()


@scenario()
async def answers_by_python(stage):
    client = stage.client()
    if client is not None:
        client.send('421["slow"]', '422["slow",1]')
        client.conn.stock = False
        stage.seen.append(stage.do(getattr, client.conn, "reasons"))
        stage.seen.append(stage.do(getattr, client.conn, "state"))
        await stage.turn()
    await stage.end()


@scenario()
async def frames_in_parts(stage):
    client = stage.client()
    if client is not None:
        data = frame('421["e",', fin=False) + frame(b"x", PING) + frame("1]", 0)
        data += frame('422["e","' + "x" * 700 + '"]') + frame(b"y" * 100, PING)
        client.read(data[i : i + 37] for i in range(0, len(data), 37))
        client.read(frame("1")[:-1])
    await stage.end()


@scenario()
async def wrong_frames(stage):
    wrong = (
        frame(b"\x03\xe8bye", CLOSE),
        frame(b"", CLOSE),
        frame(b"\x03", CLOSE),
        frame(b"\x03\xe8\xff", CLOSE),
        frame("x", 3),
        frame(b"\xff", 1),
        frame('42["e",tru]'),
        frame("x" * 2000, fin=False),
        frame("41") + frame("1"),
    )
    for data in wrong:
        client = stage.client(max_size=1000)
        if client is not None:
            client.read(data)
    await stage.turn()
    await stage.end()


def compressed(text):
    zip = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = zip.compress(text) + zip.flush(zlib.Z_SYNC_FLUSH)
    data = frame(body[:-4], 1)
    return bytes([0xC1]) + data[1:]


@scenario()
async def inflation(stage):
    for keeps in (True, False):
        client = stage.client(bits=15, may_inflate=True, keeps=keeps)
        if client is not None:
            client.read(compressed(b'421["e","' + b"x" * 5000 + b'"]'))
            client.read(compressed(b'422["e"]'))
            client.read(bytes([0xC1]) + frame(b"\xff\xff", 1)[1:])
    client = stage.client(bits=15, may_inflate=True, max_size=2000)
    if client is not None:
        client.read(compressed(b"x" * 5000))
    client = stage.client(bits=15, may_inflate=True)
    if client is not None:
        client.read(compressed(b"\xff"))
    await stage.end()


@scenario()
async def answers(stage):
    """Those of call(), those of callbacks, and one that nobody waits for."""
    client = stage.client()
    calls = []
    for sid in list(stage.sio.manager.rooms.get("/", {}).get(None, ())):
        calls.append(asyncio.create_task(stage.call("e", to=sid)))
        await stage.turn(2)
        await stage.emit("e", to=sid, callback=stage.answered)
        client.send('431["a",2]', "432[1]", "433[]", "43[]")
        await stage.turn(2)
    await stage.end()
    for call in calls:
        await call
    stage.sio.manager.callbacks.clear()


@scenario()
async def attachments(stage):
    client = stage.client(joins=("40", "40/space,"))
    places = f"{PLACE},{PLACE.replace('0', '1')}"
    if client is not None:
        client.send(f'452-/space,7["e",{places}]', b"1", b"2", f'451-["e",{PLACE}]', b"")
        await stage.turn(3)
        sids = list(stage.sio.manager.rooms.get("/", {}).get(None, ()))
        for sid in sids:
            await stage.emit("e", to=sid, callback=stage.answered)
        client.send(f"462-1[{places}]", b"1", b"2")
        await stage.turn(3)
        client.send(f'452-9["e",{places}]', b"1")
        for packet in list(stage.sio._binary_packet.values()):
            names = ("packet_type", "namespace", "id", "attachment_count", "attachments")
            stage.heard.append(stage.do(attrgetter(*names), packet))
        client.send(b"2", f'451-["e",{PLACE}]')
        await stage.turn(2)
        stage.sio.reserved_events = ["e"]  # the packet is Python's to refuse
        client.send(b"1")
        await stage.turn(2)
        del stage.sio.reserved_events
    client = stage.client()
    if client is not None:
        client.send(f'451-["e",{places}]', b"1")
        await stage.turn(2)
    stage.sio.manager.callbacks.clear()
    await stage.end()


async def emits(stage, bits):
    for attach in ({"bits": bits}, {"bits": 0}):
        stage.client(**attach)
    clients, sids = list(stage.clients), list(stage.sio.manager.rooms.get("/", {}).get(None, ()))
    for sid in sids:
        await stage.sio.enter_room(sid, "r")
    await stage.emit("e", ({"a": 1}, b"1"), to=["r", *sids, "nobody"], skip_sid=["x"])
    await stage.emit("e", "x" * 3000)
    await stage.emit("e", "\xe9", room="nobody", skip_sid="x")
    await stage.emit("e", None, skip_sid=sids[:1])
    await stage.emit("e", "y", namespace="/nobody")
    for sid in sids:
        await stage.emit("e", to=sid, callback=print)
        await stage.emit("e", b"1" * 3000, to=sid)
    for client in clients:
        stage.do(client.conn.pause_writing)
    await stage.emit("v", volatile=True)
    await stage.emit("e", "y" * 300_000)
    await stage.emit("e", "z" * 300_000)
    for client in clients:
        stage.do(client.conn.resume_writing)
    await stage.turn(2)
    for client in clients:
        client.conn.stock = False
    await stage.emit("e", [1, b"2"])
    for sid in sids:
        await stage.emit("e", to=sid, callback=print)
    await stage.turn(2)
    stage.sio.manager.callbacks.clear()
    await stage.end()


@scenario(slow_client="drop_volatile", max_backlog=400_000)
async def emits_plain(stage):
    await emits(stage, 0)


@scenario(slow_client="drop_volatile", max_backlog=400_000)
async def emits_compressed(stage):
    await emits(stage, 15)


@scenario()
async def emits_slow(stage):
    client = stage.client()
    sids = list(stage.sio.manager.rooms.get("/", {}).get(None, ()))
    for sid in sids:
        stage.do(client.send, '421["e"]')
        await stage.emit("e", 1, to=sid)
        await stage.emit("e", 2, to=sid, callback=print)
    stage.sio.manager.callbacks.clear()
    await stage.end()


async def deliver(stage, hub, room, skip):
    """What the subscriber of a fleet does with an emit: in C, or, when that says False, itself."""
    fields = {"method": "emit", "host_id": "h", "room": room, "skip_sid": skip, "namespace": "/"}
    payload = json.dumps({**fields, "event": "e", "data": [1, 2]}, ensure_ascii=False).encode()
    result = stage.do(hub.deliver, payload, "own")
    await finish(stage, result, room, skip)


async def finish(stage, result, room=None, skip=None):
    """What an emit in C has left to do."""
    try:
        if result is False and room != {} and room != [[]]:
            await stage.sio.emit("e", (1, 2), room=room, skip_sid=skip)
        elif isinstance(result, tuple):
            await stage.sio.manager._finish_emit(result, "e", (1, 2), "/", None, False)
    except Exception as exc:
        stage.tell(exc)


@scenario()
async def published(stage):
    client = stage.client()
    hub = stage.do(stage.sio.eio.hub)
    if client is None or hub is None:
        return await stage.end()
    seen = stage.seen.append
    for room in (None, ["r", None], "nobody", {}, [[]], "\xe9"):
        for skip in (None, "x", ["y"]):
            await deliver(stage, hub, room, skip)
    for payload in (b"", PUBLISHED, PUBLISHED % b"null" + b"x", b'{"a":"\\ud800"}', None):
        seen(stage.do(hub.deliver, payload, "own"))
    seen(stage.do(hub.deliver, PUBLISHED % b"null", "h"))
    for texts, room in ((b"[null]", None), (b"[1, 2]", ["r", None])):
        await finish(stage, stage.do(hub.emit_encoded, b'"e"', texts, "/", room, None, False))
    seen(stage.do(hub.emit_encoded, b'"e"', b"[1]", "/", [[]], None, False))
    body = PUBLISHED % b"null"
    reply = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(body), body)
    for data in (reply, reply + reply[:9], reply[:9], b":1\r\n", b"?"):
        seen(stage.do(hub.deliver_replies, data, 0, "h2"))
    other = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n{}\r\n"
    seen(stage.do(hub.deliver_replies, other, 0, "\xe9"))
    hub.slice_seconds = 1e-9
    nobody = body.replace(b'"room": null', b'"room": "nobody"')
    nobody = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(nobody), nobody)
    seen(stage.do(hub.deliver_replies, nobody * 2, 0, "h2"))
    hub.slice_seconds = 0.002
    seen(stage.do(_core.resp_size, reply, 0))
    await stage.end()
    return None


@scenario()
async def posted(stage):
    """An event that another thread has encoded: for each path, and for who has gone."""
    clients = [stage.client(), stage.client(bits=15)]
    hub, manager = stage.do(stage.sio.eio.hub), stage.sio.manager
    if hub is not None:
        recipients = [("sid", client.eio_sid) for client in clients if client] + [("sid", "gone")]
        for parts in ([f'251-["e",{PLACE}]', b"1" * 3000], ['2["\ud800"]']):
            stage.do(manager._send_posted, hub, recipients, parts, False)
        for wrong in (([()], ["2"]), ([], []), ([], [b"2"]), ((), ["2"])):
            stage.do(hub.send_parts, *wrong, False)
        await stage.turn()
    await stage.end()


def fresh_hub(stage):
    """A hub that has done nothing yet, in the place of the server's, whose timer ends."""
    for handle in list(asyncio.get_running_loop()._scheduled):
        handle.cancel()
    stage.sio._hub = None
    return stage.do(stage.sio.eio.hub)


class Uvicorn:
    """What uvicorn is to a connection."""

    def __init__(self):
        self.tasks = set()
        self.n_left = 0

    def left(self, connection):
        self.n_left += 1


@scenario()
async def first_client(stage):
    if fresh_hub(stage) is not None:
        server = Uvicorn()
        client = stage.client(server=server)
        if client is not None:
            client.send('421["e",1]')
            stage.do(client.conn.pinged, 1.0)
            stage.seen.append(stage.do(getattr, client.conn, "running"))
    await stage.end()


@scenario()
async def no_plan(stage):
    """A hub whose plan cannot be made."""
    loop = asyncio.get_running_loop()
    limits = dict.fromkeys(LIMITS, 9)
    hub = stage.do(_core.Hub, loop, fails, limits)
    for name in ("reasons", "emit_reasons", "is_fast"):
        stage.seen.append(stage.do(getattr, hub, name, None))
    await stage.end()


@scenario()
async def catchers(stage):
    """What the hub puts in the place of the loop's call_soon, called by others."""
    hub = fresh_hub(stage)
    loop = asyncio.get_running_loop()

    def get_debug():  # which the constructor of a task calls
        del loop.get_debug
        stage.do(loop.call_soon, stage.heard.append, "caught")
        for task in others:
            stage.do(asyncio.tasks._all_tasks.add, task)
        return False

    async def nothing():
        stage.heard.append("done")

    others = [asyncio.create_task(nothing()) for _ in range(2)]
    if hub is not None:
        coro = nothing()
        loop.get_debug = get_debug
        stage.do(hub.start, coro, copy_context())
        vars(loop).pop("get_debug", None)
        await stage.turn()
        coro.close()
    await stage.end()


@scenario()
async def counts(stage):
    hub = fresh_hub(stage)
    if hub is None:
        return await stage.end()
    for i in range(12):
        stage.do(hub.count_event, "/", f"counted {i}", 0.1, False)
    stage.do(hub.count_event, "/\xe9", "\u20ac", 0.1, True)
    rows = stage.do(hub.events, (0.1, 1.0)) or []
    stage.seen.append(len(rows) >= 13)
    stage.seen.append([stage.do(getattr, hub, name) for name in ("reasons", "emit_reasons")])
    stage.do(hub.events, ("x",))
    await stage.end()
    return None


def has_end(client):
    """Whether a client is to go: a loop would call connection_lost()."""
    names = client.transport.names()
    return "close" in names or "abort" in names or any(f[0] == CLOSE for f in client.frames() if f)


@scenario(ping_interval=0.02, ping_timeout=0.02, connect_timeout=0.02, message_timeout=0.02)
async def deadlines(stage):
    """A client that is silent, one that joins nothing, and one that sends half a message."""
    stage.client()
    stage.client(joins=())
    halfway = stage.client()
    if halfway is not None:
        halfway.read(frame('42["e"]')[:4])
    await stage.wait_for_ends()
    stage.seen = []
    await stage.end()
    stage.seen = []


@scenario(max_backlog=2000)
async def slow_clients(stage):
    for _ in range(3):
        client = stage.client()
        if client is not None:
            stage.do(client.conn.pause_writing)
            client.transport.waiting = 1500
    await stage.emit("e", "x" * 5000)
    await stage.emit("e", "x" * 5000)
    await stage.wait_for_ends()
    await stage.end()


@scenario(max_backlog=2000, slow_client=lambda sids, waiting: "drop_volatile")
async def kept_clients(stage):
    client = stage.client()
    if client is not None:
        stage.do(client.conn.pause_writing)
        for _ in range(2):
            await stage.emit("e", "x" * 2500)
        await stage.turn()
        stage.do(client.conn.resume_writing)
    await stage.end()


@scenario()
async def endings(stage):
    for how in (("close", 1000, "bye"), ("close", 1001), ("abort",), ("give_up",)):
        client = stage.client()
        if client is not None:
            stage.do(getattr(client.conn, how[0]), *how[1:])
            client.send('421["e"]')
    client = stage.client()
    if client is not None:
        client.transport.on["write_eof"] = fails
        client.read(frame("x", 3))
    client = stage.client()
    if client is not None:
        for sid in list(stage.sio.manager.rooms.get("/", {}).get(None, ())):
            try:
                await stage.sio.disconnect(sid)
            except Exception as exc:
                stage.tell(exc)
    await stage.turn()
    await stage.end()


@scenario()
async def the_web_server_stops(stage):
    eio = stage.sio.eio
    client, other = stage.client(server=Uvicorn()), stage.client()
    if client is not None and other is not None:
        other.send('421["e"]')
        stage.do(client.conn.shutdown)
        client.send('421["e"]')
        await stage.wait_for_ends()
        end = time.monotonic() + 3
        while eio._stops and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    await stage.end()
    stage.sio._hub.stopping = False


@scenario()
async def held(stage):
    client = stage.client(joins=())
    if client is not None:
        for data in (frame("40"), frame('421["e"]'), frame('422["e"]')):
            stage.do(client.conn.hold, data)
        stage.do(client.conn.go_on)
        client.send("40/space,", '423["e"]', "40/triggered,", '424["e"]')
        client.send('425["e"]')
    await stage.turn()
    await stage.end()


@scenario()
async def read_again(stage):
    """A handler that reads: the shared buffer is in use."""
    client, other = stage.client(), stage.client()
    if client is not None and other is not None:
        reading = frame('422["e","' + "y" * 100 + '"]')

        def again(sid, *args):
            stage.heard.append(("again", args))
            other.read(reading)
            client.read(reading)

        stage.sio.on("again", again)
        client.send('421["again"]')
        await stage.turn()
        del stage.sio.handlers["/"]["again"]
    await stage.end()


@scenario(max_running_handlers=2)
async def pauses(stage):
    client = stage.client()
    if client is not None:
        client.send(*(f'42{i}["slow"]' for i in range(5)))
        await stage.turn(20)
        names = client.transport.names()
        stage.seen.append(names.count("pause_reading") <= names.count("resume_reading"))
    await stage.end()


def age(task):
    """By which the oldest of its kind comes first."""
    kind, _, number = task.get_name().partition("-")
    return kind, int(number)


@scenario()
async def tasks(stage):
    loop = asyncio.get_running_loop()
    own = asyncio.current_task()  # while what names it cannot fail
    hub = stage.do(stage.sio.eio.hub)

    async def wait():
        stage.heard.append("waited")
        await asyncio.sleep(0)
        stage.heard.append("went on")

    for _ in range(2):
        coro = wait()
        stage.do(hub.start, coro, copy_context())
        await stage.turn(3)
        coro.close()
    client = stage.client()
    if client is not None:
        loop.set_task_factory(lambda loop, coro, **more: asyncio.Task(coro, loop=loop, **more))
        client.send('421["slow"]')
        await stage.turn()
        loop.set_task_factory(None)
        client.send('42["forever"]')
        client.send('42["forever"]')
        await stage.turn()  # Python's way to them is longer
        tasks = sorted(asyncio.all_tasks() - {own}, key=age)
        for task in tasks[:1]:
            stage.do(task.get_coro().close)
        for task in tasks:
            stage.do(lambda task=task: repr(task))
            stage.do(task.get_stack)
            task.cancel()
        await stage.turn()
        for task in tasks:
            with contextlib.suppress(BaseException):
                task.result()  # is not told of later
    await stage.end()


@scenario()
async def no_task(stage):
    """A task factory that fails: for an event, for a packet that Python handles, for the end."""
    loop = asyncio.get_running_loop()
    client = stage.client()
    if client is not None:
        for packet in ('421["e"]', "40/\xe9,", "1"):
            loop.set_task_factory(fails)
            client.send(packet)
            await stage.turn(3)  # in which Python may have to handle it
            loop.set_task_factory(None)
    await stage.end()


@scenario()
async def decoded(stage):
    client = stage.client()
    if client is not None:
        conn = client.conn
        for args, packet in (
            (("/", 1, ["e", 1]), '421["e",1]'),
            ((None, None, ["slow"]), '42["slow"]'),
            (("/", 1 << 70, ["e"]), '423["e"]'),
        ):
            if stage.do(conn.dispatch, *args) is False:  # Python has to
                client.send(packet)
        await stage.turn()
        names = ("path", "backlog", "draining", "is_behind", "must_wait", "server", "close_sent")
        stage.seen.append([stage.do(getattr, conn, name) for name in names])
        for payload in ("\xe9", b"1", bytearray(b"2")):
            stage.do(conn.send, payload)
    await stage.end()


async def leave(client):
    """The client of an ASGI server goes, and its session ends."""
    client.inbox.put_nowait(None)
    async with asyncio.timeout(5):
        await client.task
    for _ in range(TURNS):  # what its end has posted
        await asyncio.sleep(0)


@scenario(max_running_handlers=2)
async def asgi(stage):
    try:
        client = Messages(stage.sio, "m1")
    except Exception as exc:
        stage.tell(exc)
        stage.sio.eio.sockets.pop("m1", None)
        stage.sio.environ.pop("m1", None)
        return await stage.end()
    seen = await client.exchange("40", *SESSION[:5], '4211["emits"]', '427["slow",{"a":[]}]')
    seen += await client.exchange(f'451-5["e",{PLACE}]', b"1", *('42["slow"]',) * 5)
    await stage.emit("e", {"a": b"1"})
    await stage.emit("e", "\xe9")
    for i in range(80):
        await stage.emit("e", i)
    stage.do(client.conn.send, bytearray(b"2"))
    stage.do(client.conn.go_on)
    seen += await client.exchange('42["emits"]', "3")
    try:
        websocket = client.socket._asgi
        if client.is_closed or websocket is None or websocket.state is State.STOPPED:
            stage.seen.append(ENDED)
        await leave(client)
    except Exception as exc:
        stage.tell(exc)
        stage.sio.eio.sockets.pop("m1", None)
        stage.sio.environ.pop("m1", None)
    stage.seen.append(sorted(map(str, seen)))
    await stage.end()
    return None


@scenario()
async def asgi_aborted(stage):
    """The connection gives up; its reader has to be told."""
    try:
        client = Messages(stage.sio, "m2")
        await client.exchange("40")
        client.conn.abort()
        await stage.turn()
        if not client.task.done():
            stage.seen.append(ENDED)
        await leave(client)
    except Exception as exc:
        stage.tell(exc)
    for table in (stage.sio.eio.sockets, stage.sio.environ):
        table.pop("m2", None)
    await stage.end()


class PollEnd:
    """A poll that waits."""

    late = None

    def __init__(self):
        self.seen = []

    def answer(self, messages):
        self.seen += messages


class PostEnd:
    """Who waits for the end of a POST."""

    def __init__(self, stage):
        self.stage = stage

    def done(self):
        self.stage.count += 1


@scenario(max_backlog=100)
async def polling(stage):
    from toolboxsio.engine import EngineSocket
    from toolboxsio.packet import EnginePacket

    eio = stage.sio.eio
    socket = EngineSocket(eio, "p1")
    socket.connected = True
    conn = stage.do(eio.hub().connection, socket, "p1")
    if conn is not None:
        socket.conn = conn
        for size in (50, 40):
            await socket.send(EnginePacket(4, data="x" * size))
        stage.do(socket.schedule_ping)
        stage.do(conn.expect, 2)
        stage.do(conn.relax, 2)
        stage.do(conn.heartbeat)
        messages = stage.do(conn.take_messages)
        if messages is not None:
            stage.do(_core.payload_encode, [*messages, b"bytes", "4\ud800"])
        for payload in (b"3", b'42["no such event"]\x1ebAQID', b"9"):
            stage.do(conn.post, payload, PostEnd(stage), 10, False)
        await stage.turn()
        stage.do(conn.send, "4\ud800")
        for _ in range(2):
            stage.do(conn.take_messages)
        poll = PollEnd()
        socket.await_messages(poll)
        for _ in range(2):
            stage.do(conn.send, "6")
            await stage.turn()
        if len(poll.seen) != 2:
            stage.seen.append("a poll was not answered")
            stage.do(conn.take_messages)
        stage.do(conn.release)
    await stage.turn()
    await stage.end()


@scenario()
async def polling_on_a_closed_loop(stage):
    """A session goes on here whose event loop is closed."""
    from toolboxsio.engine import EngineSocket
    from toolboxsio.packet import EnginePacket

    eio = stage.sio.eio
    root = stage.do(eio.hub)
    loop = asyncio.new_event_loop()
    loop.close()
    hub = root and stage.do(stage.sio._make_hub, loop, root)
    socket = EngineSocket(eio, "p2")
    socket.connected = True
    conn = hub and stage.do(hub.connection, socket, "p2")
    if conn is not None:
        socket.conn = conn
        stage.do(socket.follow_loop)
        try:
            await socket.send(EnginePacket(4, data="x"))
        except Exception as exc:
            stage.tell(exc)
        await stage.turn()
        stage.seen.append(stage.do(conn.take_messages))
        stage.do(conn.release)
    if hub is not None:
        root.part(hub)
    await stage.end()


# --- running --------------------------------------------------------------------------------------


class Recorder(logging.Handler):
    """Tells a Stage of errors that were logged."""

    def __init__(self, stage):
        super().__init__(logging.ERROR)
        self.stage = stage

    def emit(self, record):
        self.stage.tell(record.exc_info[1] if record.exc_info else record.getMessage())


class Theatre:
    """Plays one scenario again and again."""

    def __init__(self, name):
        self.name = name
        self.told = []
        self.stage = None
        if name in CONNECTIONS:
            self.function, options = CONNECTIONS[name]
            self.stage = Stage(**options)
            self.loop = asyncio.new_event_loop()
            self.loop.set_exception_handler(self._on_loop_error)
            logging.getLogger().addHandler(Recorder(self.stage))
            sys.unraisablehook = lambda args: self.stage.tell(args.exc_value or args.exc_type)

    def _on_loop_error(self, loop, context):
        self.stage.tell(context.get("exception") or context["message"])

    def play(self):
        """One run: what was seen."""
        if self.stage is None:
            try:
                return plain(FUNCTIONS[self.name]())
            except Exception as exc:
                if isinstance(exc, MemoryError):
                    self.told = [exc]
                return plain(exc)
        try:
            self.loop.run_until_complete(self.function(self.stage))
        except Exception as exc:
            self.stage.tell(exc)
            self.stage.clients.clear()
        return self.stage.outcome()

    def forked(self):
        """In a process of its own: a hub takes no calls of the one that it was forked from."""
        root = self.stage and self.stage.sio._hub
        if root is not None:
            for hub in root.hubs():
                hub.posts = Posts(hub.loop)

    def take_told(self):
        """What was said of failures since the last time."""
        told, self.told = self.told, []
        if self.stage is not None:
            told, self.stage.told = self.stage.told, []
        return told

    def settle(self):
        """Time for what goes on after a run."""
        if self.stage is not None:
            self.loop.run_until_complete(self.stage.settle())

    def left(self):
        """What is left of a run, and should not be."""
        return {} if self.stage is None else self.stage.left()


NAMES = [*FUNCTIONS, *CONNECTIONS]
