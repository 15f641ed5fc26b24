"""Nothing that the extension does keeps a reference, on success or on failure.

Counted with `sys.gettotalrefcount` where the interpreter is a debug build (`make refleak`), else
with `sys.getallocatedblocks`.
"""

import asyncio
import contextlib
import gc
import logging
import sys
import zlib

import pytest
from connections import CLOSE, PING, Client, frame, server

import toolboxsio
from toolboxsio import _core

count = getattr(sys, "gettotalrefcount", sys.getallocatedblocks)

#: What a client may leave: references none; blocks some, since tables of the event loop grow.
A_RUN = 1 if hasattr(sys, "gettotalrefcount") else 4


class Text(str):
    pass


class Table(dict):
    pass


class Items(Table):
    def items(self):
        return [("a", 1, 2)]


class Evil:
    """An object whose end runs Python."""

    def __del__(self):
        [[] for _ in range(10)]


def hook(obj):
    if isinstance(obj, set):
        return sorted(obj)
    raise LookupError("no")


class Module:
    loads = staticmethod(toolboxsio.json.loads)


DEEP = []
for _ in range(600):
    DEEP = [DEEP]
CIRCLE = []
CIRCLE.append(CIRCLE)
VALUE = {
    "name": ["text", "\xe9", "\u20ac", "\U0001f600", 'q"\n', "\ud800", 1, -1, 1 << 70, 1.5, True],
    "more": (None, False, {0: 2, 1.5: 3, None: 4, True: 5}, Text("t"), Table(k=Table(z=[]))),
    "long" * 40: [float("nan"), float("inf"), {}, [], ()],
}
TEXT = _core.dumps(VALUE, None, 512)

HANDSHAKE = (
    b"GET /s HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def environ_headers():
    environ, repeated = {}, {}
    headers = [
        *((b"Host", b"x"), (b"Content-Type", b"y"), (b"cookie", b"a"), (b"cookie", b"b")),
        *((b"cookie", b"c"), (b"\xff", b"z"), (b"a", b"\xff"), (b"user-agent", b"u" * 600)),
        (bytes(bytearray(b"host")), bytes(bytearray(b"x"))),
    ]
    _core.environ_headers(environ, headers, 0, len(headers), repeated, True)
    return environ, repeated, headers


class Waits:
    """An iterator of what an awaitable waits for; without throw()."""

    def __init__(self, *futures):
        self.futures = iter(futures)

    def __await__(self):
        return self

    def __next__(self):
        return next(self.futures)


async def waits(*futures):
    await Waits(*futures)
    return futures


async def waits_badly():
    raise LookupError


class Cancelled:
    """A future."""

    def cancel(self):
        return True


def interruptible():
    """What waits, and ends so: by itself, by an interruption with a future and without, closed."""
    wait = _core.Interruptible()
    seen = [list(wait.run(waits(1, None))), list(wait.run(Waits(2)))]
    wait.run(waits(3)).send(None)
    wait.close()
    for awaitable in (waits(Cancelled()), Waits(None)):
        wait = _core.Interruptible()
        next(wait.run(awaitable))
        wait.interrupt()
        with contextlib.suppress(StopIteration):
            seen.append(wait.throw(asyncio.CancelledError))
    next(_core.Interruptible().run(Waits(None)))
    wait = _core.Interruptible()
    next(wait.run(waits(None)))
    wait.interrupt()
    return [*seen, list(wait), list(wait.run(waits(4))), wait.interrupted]


GOOD = {
    "interruptible": interruptible,
    "dumps": lambda: _core.dumps(VALUE, None, 512),
    "dumps hook": lambda: _core.dumps([{3, 1}, {"a": {2}}], hook, 512),
    "loads": lambda: _core.loads(TEXT, 512),
    "loads bytes": lambda: _core.loads(TEXT.encode(), 512),
    "loads bytearray": lambda: _core.loads(bytearray(TEXT.encode()), 512),
    "loads utf-16": lambda: _core.loads(TEXT.encode("utf-16"), 512),
    "loads wide": lambda: _core.loads('["\xe9\u20ac\U0001f600", "\ud800\\ud83d"]', 512),
    "loads many": lambda: _core.loads("[" + "[1]," * 200 + "2]", 512),
    "loads new keys": lambda: _core.loads(f'{{"k{id(object()) % 7}":1}}', 512),
    "encode": lambda: _core.encode_packet(2, ["e", VALUE], "/n\xe9", 12, None, 512),
    "encode binary": lambda: _core.encode_packet(2, ["e", b"1", {"x": b"2"}], None, None, None, 9),
    "encode long id": lambda: _core.encode_packet(3, [], "/", 1 << 90, None, 512),
    "decode": lambda: _core.decode_packet('2/n\xe9?q=1,123["e",{"a":[1]}]', None, 512),
    "decode module": lambda: _core.decode_packet('2["e"]', Module.loads, 512),
    "decode long id": lambda: _core.decode_packet("3" + "9" * 90 + "[]", None, 512),
    "packet head": lambda: _core.packet_head('2/n\xe9?q=1,123["e"]'),
    "decode message": lambda: _core.decode_message('51-["e",{"_placeholder":true,"num":0}]', 9, 9),
    "has binary": lambda: _core.has_binary([1, {"a": Table(b=b"")}]),
    "deconstruct": lambda: _core.deconstruct(["e", b"1", Table(a=[bytearray(b"2")])]),
    "reconstruct": lambda: _core.reconstruct(["e", {"_placeholder": True, "num": 0}], [b"1"]),
    "eio base64": lambda: _core.eio_base64(b"12345"),
    "eio decode": lambda: [
        _core.eio_decode(p, None, 512)
        for p in ('42["e"]', '4["e"]', "4", "4x", "bAQI=", "bA Q I =", b"1", bytearray(b"2"))
    ],
    "eio decode module": lambda: _core.eio_decode("4[1]", Module.loads, 512),
    "payload": lambda: _core.payload_split(_core.payload_join(["4a", "4b"], None), 2),
    "form value": lambda: (_core.form_value("a%E4+b%"), _core.form_value("\xe9%C3%A9")),
    "jsonp": lambda: _core.payload_join(('4"', "4b"), 12),
    "ack": lambda: (_core.ack(True), _core.ack(ok=0, a=1), _core.ack(False, ts=1, b=[])),
    "iso8601": lambda: _core.iso8601(1),
    "encode event": lambda: (
        _core.encode_event("e", (1, {2}), hook, 512),
        _core.encode_event("\xe9", None, None, 512),
        _core.encode_event("e", [b""], None, 512),
    ),
    "is_finite": lambda: (
        _core.is_finite([1, {"a": (1.5, None)}], 9),
        _core.is_finite([[[float("nan")]]], 9),
        _core.is_finite([[[]]], 2),
    ),
    "resp_size": lambda: (
        _core.resp_size(b"+OK\r\n", 0),
        _core.resp_size(b"$9\r\n", 0),
        _core.resp_size(b"?", 0),
    ),
    "ws_whole": lambda: (
        _core.ws_whole(frame("x") + frame(b"y") + b"\x81", False),
        _core.ws_whole(frame("x", fin=False), True),
    ),
    "payload_encode": lambda: _core.payload_encode(["2", b"x", "4\ud800", ""]),
    "connection_moves": lambda: _core.connection_moves(),
    "http_request": lambda: (
        _core.http_request(b"x" + HANDSHAKE, 1, b"/s"),
        _core.http_request(b"POST /s/?a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 0, b"/s"),
        _core.http_request(b"GET /t HTTP/1.1\r\n\r\n", 0, b"/s"),
        _core.http_request(
            b"GET /s/?EIO=4&transport=polling&sid=a HTTP/1.1\r\nHost: h\r\nOrigin: o\r\n\r\n",
            0,
            b"/s",
        ),
    ),
    "environ_headers": environ_headers,
    "evil": lambda: _core.dumps([{1}, [[{2}]]], lambda obj: [Evil().__class__.__name__], 512),
}
BAD = {
    "interruptible": lambda: next(_core.Interruptible().run(waits_badly())),
    "interruptible without": lambda: _core.Interruptible().throw(LookupError, "x"),
    "interruptible type": lambda: _core.Interruptible().run(1),
    "payload_encode": lambda: _core.payload_encode(["2", 1]),
    "http_request": lambda: _core.http_request("", 0, b""),
    "environ_headers": lambda: _core.environ_headers({}, [("a", b"b")], 0, 1, {}, True),
    "dumps type": lambda: _core.dumps([1, {"a": {1}}], None, 512),
    "dumps bytes": lambda: _core.dumps([b""], None, 512),
    "dumps key": lambda: _core.dumps({"a": {(): 1}}, None, 512),
    "dumps depth": lambda: _core.dumps(DEEP, None, 512),
    "dumps circle": lambda: _core.dumps(CIRCLE, None, 512),
    "dumps items": lambda: _core.dumps([Items(a=1)], None, 512),
    "dumps hook": lambda: _core.dumps([{1}, object()], hook, 512),
    "dumps hook circle": lambda: _core.dumps([object()], lambda obj: obj, 512),
    "dumps hook depth": lambda: _core.dumps([{1}], lambda obj: [{1}], 512),
    "loads text": lambda: _core.loads('[{"a": [1, "b", {}]}, {"c": [tru', 512),
    "loads key": lambda: _core.loads('{"a":1,"b":{"c":[],d', 512),
    "loads extra": lambda: _core.loads("[[1]] 2", 512),
    "loads escape": lambda: _core.loads('["\\x"]', 512),
    "loads depth": lambda: _core.loads("[" * 600 + "]" * 600, 512),
    "loads int": lambda: _core.loads("[1," + "9" * 101 + "]", 512),
    "loads utf-8": lambda: _core.loads(b'["\xff"]', 512),
    "loads bom": lambda: _core.loads("\ufeff[]", 512),
    "loads type": lambda: _core.loads(None, 512),
    "encode type": lambda: _core.encode_packet(77, None, None, None, None, 512),
    "encode data": lambda: _core.encode_packet(2, ["e", b"", {1}], None, None, None, 512),
    "encode tuple": lambda: _core.encode_packet(2, ["e", (b"",)], None, None, None, 512),
    "encode namespace": lambda: _core.encode_packet(2, ["e"], 1, None, None, 512),
    "encode event": lambda: _core.encode_event("e", [b"", {1}], None, 512),
    "encode event arguments": lambda: _core.encode_event("e", [], None, "x"),
    "decode type": lambda: _core.decode_packet("x", None, 512),
    "decode id": lambda: _core.decode_packet("2" + "1" * 101 + "[]", None, 512),
    "decode json": lambda: _core.decode_packet('2/n,["\xe9",', None, 512),
    "decode not str": lambda: _core.decode_packet(b"2[]", None, 512),
    "message event": lambda: _core.decode_message("2[1]", 10, 512),
    "message ack": lambda: _core.decode_message("3{}", 10, 512),
    "message count": lambda: _core.decode_message('50-["e"]', 10, 512),
    "reconstruct": lambda: _core.reconstruct(["e", {"_placeholder": True, "num": 1}], [b"1"]),
    "eio empty": lambda: _core.eio_decode("", None, 512),
    "eio base64": lambda: _core.eio_decode("bA", None, 512),
    "payload": lambda: _core.payload_split("4\x1e4\x1e4", 2),
    "form value": lambda: _core.form_value("\ud800"),
    "form value type": lambda: _core.form_value(b""),
    "ack": lambda: _core.ack(True, ok=1),
    "ws_whole": lambda: _core.ws_whole(b"\x81\x01x", False),
    "arguments": lambda: _core.dumps(1),
}


def fails(function):
    try:
        function()
    except (ValueError, TypeError, LookupError):
        return
    raise AssertionError("this was meant to fail")


# The cache of attributes looked up on classes keeps the names, which may be new ones each time.
forget_names = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def leaked(function, runs=100):
    """How much the count grows in `runs` calls; the least of four series: others allocate too."""
    for _ in range(runs):
        function()
    grown = []
    for _ in range(4):
        forget_names()
        gc.collect()
        before = count()
        for _ in range(runs):
            function()
        forget_names()
        gc.collect()
        grown.append(count() - before)
    return min(grown)


@pytest.mark.parametrize("name", GOOD)
def test_success_keeps_nothing(name):
    assert leaked(GOOD[name]) < 30


@pytest.mark.parametrize("name", BAD)
def test_failure_keeps_nothing(name):
    function = BAD[name]
    assert leaked(lambda: fails(function)) < 30


def test_packet_classes_keep_nothing():
    def packets():
        packet = toolboxsio.Packet(data=["e", b"1"], id=1)
        text, *attachments = packet.encode()
        copy = toolboxsio.Packet(encoded_packet=text)
        for attachment in attachments:
            copy.add_attachment(attachment)
        toolboxsio.packet.EnginePacket(encoded_packet="4[1]").encode()
        toolboxsio.packet.EnginePayload(encoded_payload="4a\x1e4b").encode()

    assert leaked(packets) < 30


# --- connections ----------------------------------------------------------------------------------


class Space(toolboxsio.AsyncNamespace):
    async def on_e(self, sid, *args):
        await asyncio.sleep(0)
        return args

    def on_plain(self, sid, *args):
        return args


def application(**options):
    """A server with handlers of every kind."""
    sio = server(namespaces="*", json_default=hook, **options)
    sio.register_namespace(Space("/space"))

    @sio.on("e")
    async def at_once(sid, *args):
        return args

    @sio.on("slow")
    async def slow(sid, *args):
        for _ in range(2):
            await asyncio.sleep(0)
        return args

    @sio.on("fails")
    async def fails(sid):
        raise KeyError("fails")

    @sio.on("cancelled")
    async def cancelled(sid):
        raise asyncio.CancelledError

    @sio.on("forever")
    async def forever(sid):
        await asyncio.get_running_loop().create_future()

    @sio.on("unknown to JSON")
    async def unknown(sid):
        return {1}, object()

    @sio.on("emits")
    async def emits(sid):
        await sio.emit("x", {"a": [1, b"2"]}, to=sid)

    sio.on("plain", lambda sid, *args: {"a": [b"1"], "b": {2}})
    return sio


PLACE = '{"_placeholder":true,"num":0}'
EVENTS = {
    "events": ['42["e"]', '421["e",1,[2]]', '422["plain"]', '423["nobody"]', "3"],
    "binary": [f'451-1["e",{PLACE}]', b"1", '422["e","x"]'],
    "many arguments": ['421["e",1,2,3,4,5,6,7,8,9,10,11,12]'],
    "long ids": [f'42{"9" * 19}["e"]', f'42{"9" * 90}["e"]'],
    "slow": ['421["slow",{"a":[]}]', '422["slow"]', '42["slow"]'],
    "fails": ['421["fails"]', '421["cancelled"]', '421["unknown to JSON"]'],
    "emits": ['421["emits"]'],
    "other namespace": ["40/space,", '42/space,1["e",1]', '42/space,2["plain"]', "41/space,"],
    "not read": ['42["e",tru]'],
    "refused": ['42["connect"]'],
    "leaves": ["41", "1"],
}
FRAMES = {
    "in parts": frame('42["e"', fin=False) + frame(b"x", PING) + frame("]", 0),
    "half": frame('421["e","' + "x" * 700 + '"]')[:-3],
    "close": frame(b"\x03\xe8bye", CLOSE),
    "nonsense": frame("x", 3),
    "not UTF-8": frame(b"\xff", 1),
}


NUMBERS = iter(range(10**9))


def new_client(sio, **attach):
    return Client(sio, f"e{next(NUMBERS)}", **attach)


def plays(**options):
    """A function that plays a client of one server, from its session to its end."""
    sio = application(**options)

    async def play(data=b"", payloads=(), **attach):
        client = new_client(sio, **attach)
        client.send("40")
        client.socket.schedule_ping()
        client.conn.expect(2)
        if payloads:
            client.send(*payloads)
        client.read(data)
        for _ in range(6):
            await asyncio.sleep(0)
        client.conn.connection_lost(None)
        for _ in range(6):
            await asyncio.sleep(0)
        assert client.conn.path == "over"

    return play


@pytest.fixture
def loop():
    """An event loop, and nothing in the log of what is meant to fail."""
    names = ("asyncio", "socketio.server", "engineio.server")
    for name in names:
        logging.getLogger(name).disabled = True
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()
    for name in names:
        logging.getLogger(name).disabled = False


def leaks_of(loop, coroutine_function, *args, **options):
    """leaked() of a coroutine function."""

    def run():
        loop.run_until_complete(coroutine_function(*args, **options))

    run()
    return leaked(run, runs=30) / 30


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("name", EVENTS)
def test_events_keep_nothing(loop, name, in_order):
    play = plays(async_handlers=not in_order)
    assert leaks_of(loop, play, payloads=EVENTS[name]) < A_RUN


@pytest.mark.parametrize("name", FRAMES)
def test_frames_keep_nothing(loop, name):
    assert leaks_of(loop, plays(), FRAMES[name]) < A_RUN


def test_compression_keeps_nothing(loop):
    zip = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = zip.compress(b'421["e","' + b"x" * 5000 + b'"]') + zip.flush(zlib.Z_SYNC_FLUSH)
    good, bad = frame(body[:-4], 1), frame(b"\xff\xff", 1)
    for data in (good, bad):
        data = bytes([0xC1]) + data[1:]
        assert leaks_of(loop, plays(), data, bits=15, may_inflate=True, keeps=True) < A_RUN


PUBLISHED = b'{"method":"emit","host_id":"h","room":%b,"namespace":"/","event":"e","data":[1, 2]}'


async def many_emits(sio, client, sid):
    """Emits of every kind, good and bad."""
    hub = sio.eio.hub()
    await sio.enter_room(sid, "r")
    await sio.emit("e", ({"a": 1}, b"1"), to=["r", sid, "nobody"], skip_sid=["x"])
    await sio.emit("e", "x" * 3000)
    await sio.emit("e", room="nobody")
    await sio.emit("e", to=sid, callback=print)
    with pytest.raises(LookupError):
        await sio.emit("e", object())
    client.conn.pause_writing()
    await sio.emit("e", volatile=True)
    await sio.emit("e", "x" * 300_000)
    client.conn.resume_writing()
    client.conn.stock = False
    assert client.conn.reasons
    await sio.emit("e", [1, b"2"])
    client.conn.stock = True
    for room in (b'"r"', b'["r","x"]', b"null", b'"nobody"', b"{}", b"[[]]"):
        hub.deliver(PUBLISHED % room, "own")
    for payload in (b"", PUBLISHED, PUBLISHED % b"null" + b"x", b'{"a":"\\ud800"}', None):
        hub.deliver(payload, "own")
    hub.deliver(PUBLISHED % b"null", "h")
    hub.emit_encoded(b'"e"', b"[null]", "/", None, None, False)
    hub.count_event("/", "counted", 0.1, False)
    reply = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n{}\r\n"
    for data in (reply, reply[:9], b":1\r\n", b"?"):
        hub.deliver_replies(data, 0, "h")
        _core.resp_size(data, 0)
    hub.events((0.1, 1.0))
    for wrong in (
        (hub.emit, "e"),
        (hub.emit_directly, "e"),
        (hub.emit_encoded, b'"e"', b"", "/", None, None, False),
        (hub.deliver, b"", 1),
        (hub.count_event, "/", "e", -1.0, False),
        (hub.deliver_replies, b"", 1, "h"),
        (_core.resp_size, b"", 1),
        (hub.events, (-1.0,)),
        (hub.events, ("x",)),
        (client.conn.post, "x", None, 1, False),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong[0](*wrong[1:])


@pytest.mark.parametrize("bits", [0, 15])
def test_emits_keep_nothing(loop, bits):
    sio = application(slow_client="drop_volatile", max_backlog=200_000)

    async def play():
        client = new_client(sio, bits=bits)
        await many_emits(sio, client, client.join())
        for _ in range(3):
            await asyncio.sleep(0)
        client.conn.connection_lost(None)
        for _ in range(6):
            await asyncio.sleep(0)
        assert not sio.manager.rooms

    assert leaks_of(loop, play) < A_RUN


def test_handlers_that_never_end_keep_nothing(loop):
    sio = application()

    async def play():
        client = new_client(sio)
        client.send("40", '421["forever"]')
        [task] = (task for task in asyncio.all_tasks() if task is not asyncio.current_task())
        task.cancel()
        await asyncio.wait([task])
        client.conn.connection_lost(None)
        del task
        for _ in range(3):
            await asyncio.sleep(0)

    assert leaks_of(loop, play) < A_RUN


def test_hubs_keep_nothing():
    async def play():
        client = Client(application())
        client.send("40", '421["forever"]', '422["slow"]')
        await client.sio.emit("x")
        client.socket.schedule_ping()
        client.conn.hold(b"x")

    logging.getLogger("asyncio").disabled = True  # tasks that were pending
    try:
        assert leaked(lambda: run_in_new_loop(play), runs=10) < 5
    finally:
        logging.getLogger("asyncio").disabled = False


def run_in_new_loop(coroutine_function):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(coroutine_function())
    loop.close()
    gc.collect()


def test_misuse_of_connections_keeps_nothing(loop):
    sio = application()

    async def play():
        client = new_client(sio)
        client.join()
        conn = client.conn
        for call, *args in (
            (conn.buffer_updated, -1),
            (conn.buffer_updated, "x"),
            (conn.send, 1),
            (conn.hold, 1),
            (conn.expect, 77),
            (conn.dispatch, "/", "x", []),
            (conn.attach, None, None, None, 1, 0, False, None, False),
            (type(sio.eio.hub()), None, None, {}),
        ):
            with pytest.raises((TypeError, ValueError, RuntimeError)):
                call(*args)
        conn.dispatch("/", 1 << 70, ["e"])
        conn.dispatch(None, 1, ["e"])
        conn.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)

    assert leaks_of(loop, play) < A_RUN


def test_plans_keep_nothing(loop):
    sio = application()

    async def play():
        client = new_client(sio)
        client.sid = client.join()
        sio.handlers = {**sio.handlers}
        assert sio.acceleration(client.sid)["fast"]
        sio._send_packet = sio._send_packet
        assert not sio.acceleration(client.sid)["fast"]
        del sio._send_packet
        rooms, sio.manager.rooms = sio.manager.rooms, None
        hook, sys.unraisablehook = sys.unraisablehook, lambda args: None
        assert not sio.eio.hub().is_fast
        sys.unraisablehook = hook
        sio.manager.rooms = rooms
        client.conn.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)

    assert leaks_of(loop, play) < A_RUN


def test_the_count_sees_a_leak():
    kept = []
    assert leaked(lambda: kept.append(bytes(100)), runs=100) >= 100


def test_every_function_is_counted():
    used = {name for case in (GOOD, BAD) for f in case.values() for name in f.__code__.co_names}
    nested = {
        name
        for case in (GOOD, BAD)
        for f in case.values()
        for const in f.__code__.co_consts
        if hasattr(const, "co_names")
        for name in const.co_names
    }
    types = {"Call", "Connection", "Hub", "PartialPacket"}  # have tests of their own
    offered = {name for name in dir(_core) if callable(getattr(_core, name))}
    offered = {name for name in offered if not name.startswith("_")} - {"simd"} - types
    assert offered <= used | nested
