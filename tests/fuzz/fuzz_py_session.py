"""Whole sessions: the input is a sequence of steps of clients, transports, handlers and the server.

Some clients have a transport (connections.py shows how), some come through ASGI. What must hold all
the while, and afterwards, is in sessions.py.
"""

import asyncio
import gc
import itertools
import json
import os
import zlib
from contextlib import suppress

import _fuzz_host
import sessions
import socketio
from connections import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame
from hosted import Input
from sessions import Asgi, Direct, Fault, World

import toolboxsio

TRACE = "FUZZ_TRACE" in os.environ  # the steps are printed

NAMESPACES = ["/", "/", "/a", "/\xe9", "/c", "/none"]
EVENTS = [
    *("echo", "plain", "later", "raise", "hang", "binary", "alien", "deep", "swallow", "cancel"),
    *("feed", "close", "lose", "abort", "emit", "leave", "call", "rooms", "unknown", "large"),
]
ARGS = [
    *("", "1", '"x"', "[]", "{}", "null", "1.5,2", '"\u20ac"', '"\\ud83d\\ude00"', "1e999"),
    *("1,", "["),
    *("[[[[[[[[[[[[1]]]]]]]]]]]]", '{"a":[1,{"b":"c"}]}', '"%s"' % ("y" * 300)),
    *('{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}'),
    '[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]',
]  # fmt: skip
SENT = [
    *(None, 1, "x", "\u20ac\U0001f600", "z" * 400, b"abc", [b"a", {"k": bytearray(b"b")}], (1, 2)),
    *({"a": [None, True]}, [], (), "\ud800", object(), float("nan")),
]
ENGINE = [
    "3",
    "2",
    "2probe",
    "5",
    "6",
    "0",
    "1",
    "4",
    "7",
    "x",
    "bAAE=",
    "b!",
    "",
    "40\ud83d",
    "44{}",
]
JOINS = [
    "40",
    "40",
    "40/a,",
    "40/\xe9,",
    "40/c,",
    "40/none,",
    '40{"token":1}',
    "41",
    "41/a,",
    "41/c,",
]
CODES = [0, 1000, 1000, 1001, 1005, 1008, 1011, 1012, 3000, 999, 1006, 70000]
DELAYS = [0.01, 1, 6, 11, 21, 26, 46, 500]


class Player:
    """Plays the steps of one input."""

    def __init__(self, raw):
        self.data = Input(raw)
        self.world = World()
        self.depth = 0  # of steps within steps
        self.is_over = False

    def start(self):
        data, world = self.data, self.world
        options = data.byte()
        self.sio = world.sio = toolboxsio.AsyncServer(
            async_mode="asgi",
            async_handlers=bool(options & 1),
            max_http_buffer_size=data.pick([1 << 20, 1000, 70000]),
            max_backlog=data.pick([1 << 20, 2000, 500]),
            slow_client="drop_volatile" if options & 2 else "disconnect",
            max_running_handlers=2 if options & 4 else 1000,
            json_default=repr if options & 8 else None,
            namespaces=["/", "/a", "/\xe9", "/c"],
        )
        self.sio.eio.generate_id = map("sid{}".format, itertools.count()).__next__
        self.sio.eio.compression_threshold = data.pick([0, 100, 1024])
        self.register()
        self.client()

    def client(self):
        """One client more."""
        data, world = self.data, self.world
        if len(world.clients) == 4:
            return
        sid = f"e{len(world.clients)}"
        how = data.byte()
        if how & 3 == 3:
            world.clients.append(Asgi(world, sid))
        else:
            bits = [0, 9, 12, 15][how >> 2 & 3]
            keeps = bool(how & 16)
            unzip = zlib.decompressobj(-15) if keeps else None
            world.clients.append(
                Direct(world, sid, bits, may_inflate=bool(how & 32), inflate=unzip, keeps=keeps)
            )
        world.clients[-1].eio_sid = sid

    # --- the application ---

    def register(self):
        sio = self.sio
        for namespace in ("/", "/a", "/\xe9"):
            for name in EVENTS:
                function = getattr(self, f"on_{name}", None)
                if function is not None:
                    sio.on(name, function, namespace=namespace)
            sio.on("connect", self.on_connect, namespace=namespace)
            sio.on("disconnect", self.on_disconnect, namespace=namespace)
        sio.register_namespace(Space("/c"))

    async def on_connect(self, sid, environ, auth=None):
        match self.data.byte() if not self.is_over else 255:
            case 0:
                return False
            case 1:
                raise Fault
            case 2:
                raise ConnectionRefusedError("no", {"a": 1})
            case 3:
                await asyncio.sleep(0)
            case 4:
                await self.world.hang()
            case 5:
                await self.sio.emit("hello", to=sid)
        return None

    async def on_disconnect(self, sid, reason):
        match self.data.byte() if not self.is_over else 255:
            case 0:
                await asyncio.sleep(0)
            case 1:
                await self.sio.emit("gone", sid)
            case 2:
                await self.world.hang()
            case 3:
                raise Fault

    async def on_echo(self, sid, *args):
        return args

    def on_plain(self, sid, *args):
        return args[0] if args else None

    async def on_later(self, sid, *args):
        await asyncio.sleep(0)
        return list(args)

    async def on_raise(self, sid, *args):
        if args:
            await asyncio.sleep(0)
        raise Fault

    async def on_hang(self, sid, *args):
        await self.world.hang()
        return "hung"

    async def on_swallow(self, sid, *args):
        try:
            await self.world.hang()
        except asyncio.CancelledError:
            return "swallowed"

    def on_binary(self, sid, *args):
        return b"one", [b"", bytearray(b"two" * 50)]

    def on_large(self, sid, *args):
        return "0123456789" * 100 * (1 + self.data.byte() % 16)

    async def on_alien(self, sid, *args):
        return object()

    async def on_deep(self, sid, *args):
        value = []
        for _ in range(600):
            value = [value]
        return value

    async def on_cancel(self, sid, *args):
        asyncio.current_task().cancel()
        if args:
            await asyncio.sleep(0)

    def on_feed(self, sid, *args):
        self.step()
        return "fed"

    async def on_close(self, sid, *args):
        self.nearest().conn.close(self.data.pick(CODES[:8]))

    def on_lose(self, sid, *args):
        client = self.nearest()
        if isinstance(client, Direct):
            client.transport.lose()

    def on_abort(self, sid, *args):
        self.nearest().conn.abort()

    async def on_emit(self, sid, *args):
        await self.emit()

    async def on_leave(self, sid, *args):
        await self.sio.disconnect(sid)

    async def on_call(self, sid, *args):
        try:
            return await self.sio.call("ask", to=sid, timeout=5)
        except (socketio.exceptions.TimeoutError, RuntimeError):
            return "late"

    async def on_rooms(self, sid, *args):
        with suppress(KeyError, ValueError):  # it has left
            await self.sio.enter_room(sid, "room")
        return self.sio.rooms(sid)

    def answered(self, *args):
        """The callback of an emit."""
        self.step()

    # --- steps ---

    def nearest(self):
        return self.data.pick(self.world.clients)

    def play(self):
        """Steps until the loop has to turn, or the input ends."""
        while self.data and self.step():
            pass

    def step(self):
        """One step; False when the loop has to turn. Steps come within steps, up to a depth."""
        if self.is_over or self.depth > 4:
            return False
        self.depth += 1
        step = self.data.pick(STEPS)
        if TRACE:
            print("  " * self.depth, step.__name__, self.data.data[self.data.at :][:8], flush=True)
        try:
            return step(self) is not False
        finally:
            self.depth -= 1

    def text(self, text):
        """A text message of a client."""
        client = self.nearest()
        if isinstance(client, Asgi):
            client.message(text)
        else:
            client.read(frame(text.encode("utf-8", "surrogatepass"), TEXT))

    def event(self):
        data = self.data
        namespace, name, args = data.pick(NAMESPACES), data.pick(EVENTS), data.pick(ARGS)
        number = data.pick(["", "0", "7", "12345678901234567890"])
        head = "" if namespace == "/" else namespace + ","
        self.text(f'42{head}{number}["{name}"{"," if args else ""}{args}]')

    def join(self):
        self.text(self.data.pick(JOINS))

    def engine(self):
        self.text(self.data.pick(ENGINE))

    def own_text(self):
        self.text(self.data.piece().decode("utf-8", "replace"))

    def binary_event(self):
        """With attachments, which may be too few, too many, or texts."""
        data = self.data
        count, args, name = data.byte() % 4, data.pick(ARGS), data.pick(EVENTS)
        kind = data.pick("5565")
        number = data.pick(["", "1"])
        client = self.nearest()
        parts = [f'4{kind}{count}-{number}["{name}",{args or 1}]']
        parts += [data.pick([b"att", b"", b"b" * 200, "4text"]) for _ in range(data.byte() % 4)]
        for part in parts:
            if isinstance(client, Asgi):
                client.message(part)
            else:
                client.read(frame(part))

    def answer(self):
        """Acknowledge what the server has asked for, or has not."""
        client = self.nearest()
        ids = [t for t in client.texts if t.startswith("42") and "[" in t]
        head = ids[self.data.byte() % len(ids)] if ids else "421["
        head = head[2 : head.index("[")]
        self.text(f"43{head}[{self.data.pick(ARGS)}]")

    def own_frame(self):
        data = self.data
        client = self.nearest()
        opcode = data.pick([TEXT, TEXT, CONT, BINARY, CLOSE, PING, PONG, 3, 11])
        flags = data.byte()
        payload = data.pick([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"x", None])
        payload = data.piece() if payload is None else payload
        key = b"\x01\x82\x03\xf4" if flags & 2 else b"\0\0\0\0"
        whole = bytearray(frame(payload, opcode, not flags & 1, key))
        if flags & 192 == 192:
            whole[0] |= flags & 0x70
        if flags & 60 == 60:
            whole[1] ^= 0x80
        if isinstance(client, Direct):
            client.read(whole[: len(whole) - (flags & 4)])

    def fragments(self):
        """A good message in several frames, a PING within."""
        data = self.data
        client = self.nearest()
        message = f'42["echo",{data.pick(ARGS) or 1}]'.encode()
        cut = 1 + data.byte() % len(message)
        if isinstance(client, Direct):
            client.read(frame(message[:cut], TEXT, False))
            if cut & 1:
                client.read(frame(b"ping", PING))
            if cut & 2:
                client.read(frame(b"", CONT, False))
            client.read(frame(message[cut:], CONT))

    def compressed(self):
        data = self.data
        client = self.nearest()
        flags = data.byte()
        text = f'42{flags & 7}["echo",{data.pick(ARGS) or 1}]' if flags & 16 else "x" * 5000
        if not isinstance(client, Direct):
            return
        squeeze = client.zip if flags & 8 else zlib.compressobj(9, zlib.DEFLATED, -15)
        end = zlib.Z_FINISH if flags & 32 and not flags & 8 else zlib.Z_SYNC_FLUSH
        body = bytearray(squeeze.compress(text.encode()) + squeeze.flush(end))
        if end == zlib.Z_SYNC_FLUSH:
            del body[-4:]
        if flags & 64 and body:
            body[data.byte() % len(body)] ^= data.byte()
        whole = bytearray(frame(bytes(body), BINARY if flags & 128 else TEXT))
        whole[0] |= 0x40
        client.read(whole)

    def raw(self):
        client = self.nearest()
        if isinstance(client, Direct):
            client.read(self.data.piece())

    def pieces(self):
        client = self.nearest()
        if isinstance(client, Direct):
            client.cut = self.data.pick([1, 2, 3, 7, 50, 1 << 16])

    def turn(self):
        return False

    def wait(self):
        _fuzz_host.advance(self.data.pick(DELAYS))
        return False

    def pause(self):
        client = self.nearest()
        if isinstance(client, Direct):
            client.transport.pause(1 + self.data.byte() * 16)

    def resume(self):
        client = self.nearest()
        if isinstance(client, Direct):
            client.transport.resume()

    def lose(self):
        client = self.nearest()
        if isinstance(client, Direct):
            client.transport.lose()
        else:
            client.message(None)

    def eof(self):
        client = self.nearest()
        if isinstance(client, Direct):
            client.transport.end()

    def trap(self):
        """What a method of the transport will do when it is called next."""
        data = self.data
        client = self.nearest()
        what = data.byte()
        if isinstance(client, Asgi):
            client.plan.append(self.fail_later if what & 1 else self.world.hang)
            return
        name = data.pick(["write", "write", "close", "abort", "pause_reading", "resume_reading"])
        actions = [self.step, self.fail, client.transport.lose, gc.collect, self.step]
        client.transport.plans[name].append(actions[what % len(actions)])

    def fail(self):
        raise Fault

    async def fail_later(self):
        raise Fault

    async def emit(self):
        data = self.data
        value = data.pick(SENT)
        options = data.byte()
        namespace = data.pick(NAMESPACES)
        to = [None, None, "room", self.world.sid(self.nearest(), namespace)][options & 3]
        more = {"skip_sid": self.world.sid(self.nearest(), namespace)} if options & 4 else {}
        if options & 8 and to is not None:
            more["callback"] = self.answered
        try:
            await self.sio.emit(
                data.pick(["event", "\xe9vent"]),
                value,
                to=to,
                namespace=namespace,
                volatile=bool(options & 16),
                **more,
            )
        except (TypeError, ValueError):  # what is no JSON
            if value not in SENT[-3:]:
                raise

    def published(self):
        """What another server of a fleet has emitted."""
        data = self.data
        options = data.byte()
        namespace = data.pick(NAMESPACES)
        sid = self.world.sid(self.nearest(), namespace)
        message = {
            "method": "emit" if options & 1 else "other",
            "event": data.pick(["event", "\xe9vent", 1]),
            "data": data.pick([None, 1, "x", ["a", "b"], {"k": "v" * 200}, [1, {"a": [None]}]]),
            "namespace": namespace,
            "room": [None, "room", sid, ["room", "x"]][options >> 1 & 3],
            "skip_sid": [None, None, sid, [sid]][options >> 3 & 3],
            "callback": None,
            "host_id": "other",
        }
        payload = json.dumps(message, ensure_ascii=bool(options & 32)).encode()
        hub = self.sio.eio.hub()
        if options & 64:
            hub.deliver(payload, "this")
        else:
            reply = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(payload), payload)
            at, _, _ = hub.deliver_replies(reply * 3, 0, "this")
            assert 0 <= at <= 3 * len(reply)

    def start_task(self, coro):
        self.world.loop.create_task(self.guarded(coro))

    async def guarded(self, coro):
        with suppress(Fault, KeyError, ValueError):  # no such client
            await coro

    def server_emit(self):
        self.start_task(self.emit())

    def server_disconnect(self):
        namespace = self.data.pick(NAMESPACES)
        sid = self.world.sid(self.nearest(), namespace)
        if sid is not None:
            self.start_task(self.sio.disconnect(sid, namespace))

    def server_room(self):
        client, how = self.nearest(), self.data.byte()
        namespace = self.data.pick(NAMESPACES)
        sid = self.world.sid(client, namespace)
        if sid is None:
            return
        if how & 1:
            self.start_task(self.sio.enter_room(sid, "room", namespace))
        elif how & 2:
            self.start_task(self.sio.leave_room(sid, "room", namespace))
        else:
            self.start_task(self.sio.close_room("room", namespace))

    def close(self):
        client = self.nearest()
        match self.data.byte() % 6:
            case 0:
                client.conn.close(self.data.pick(CODES[:8]))
            case 1:
                client.conn.abort()
            case 2:
                self.start_task(client.socket.close(wait=False))
            case 3:
                client.conn.shutdown()
            case 4:
                client.conn.give_up()
            case _:
                self.start_task(self.sio.eio.disconnect(client.eio_sid))

    def release(self):
        self.world.release(1 + self.data.byte() % 4)

    def cancel(self):
        tasks = [task for task in self.world.handlers if not task.done()]
        if tasks:
            self.data.pick(tasks).cancel()

    def change(self):
        """The application changes itself: what was planned does not hold any more."""
        sio = self.sio
        match self.data.byte() % 6:
            case 0:
                sio.on("*", self.on_echo_any)
            case 1:
                sio.handlers["/"].pop("*", None)
            case 2:
                sio.handlers.get("/", {}).pop("echo", None)
            case 3:
                sio.on("echo", self.on_later)
            case 4:
                self.nearest().conn.stock = False
            case _:
                sio.on("*", self.on_echo_any, namespace="*")

    async def on_echo_any(self, *args):
        return [arg for arg in args if isinstance(arg, str | int)]

    def collect(self):
        gc.collect(0)

    def go_on(self):
        self.nearest().conn.go_on()


class Space(socketio.AsyncNamespace):
    """A namespace that is a class."""

    async def on_echo(self, sid, *args):
        return args

    def on_plain(self, sid, *args):
        raise Fault


STEPS = [
    *(Player.event, Player.event, Player.event, Player.join, Player.join, Player.engine),
    *(Player.own_text, Player.binary_event, Player.binary_event, Player.answer, Player.own_frame),
    *(Player.own_frame, Player.fragments, Player.compressed, Player.compressed, Player.raw),
    *(Player.pieces, Player.turn, Player.turn, Player.turn, Player.wait, Player.pause),
    *(Player.resume, Player.lose, Player.eof, Player.trap, Player.server_emit, Player.server_emit),
    *(Player.server_disconnect, Player.server_room, Player.close, Player.release, Player.cancel),
    *(Player.change, Player.collect, Player.go_on, Player.client, Player.published),
]


def one_input(raw):
    player = Player(raw)
    world = player.world
    world.loop.turn(player.start)
    while player.data:
        world.loop.turn(player.play)
        world.check()
    player.is_over = True
    world.finish()
    player.__dict__.clear()
    del player
    world.dispose(may_count=len(raw) % 4 == 0)
    return True


sessions.warm_up(one_input)
