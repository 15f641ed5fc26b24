"""A server, its clients and their event loop, for fuzz_py_session.py: no sockets, and no time that
passes by itself.

What the server writes is checked where it is written: whole frames that a client can read, nothing
behind a CLOSE frame, nothing after the end of the transport. `World.finish` lets everybody go and
checks that nothing is left.
"""

import asyncio
import collections
import gc
import selectors
import sys
import traceback
import zlib

import _fuzz_host
import connections
from connections import BINARY, CLOSE, PING, PONG, TEXT

from toolboxsio import _core
from toolboxsio.engine import EngineSocket

MAX_TURNS = 400
LONG = 3600  # seconds in which every deadline fires
DUE_CONNECT = 2
AT_ONCE = 300_000  # bytes that one read, or one message, may add to a backlog that is full


class Fault(Exception):
    """What the application and the transport raise on purpose."""


class _NoSelector(selectors.BaseSelector):
    def register(self, fileobj, events, data=None):
        raise NotImplementedError

    def unregister(self, fileobj):
        raise NotImplementedError

    def select(self, timeout=None):
        return []

    def get_map(self):
        return {}

    def get_key(self, fileobj):
        raise KeyError(fileobj)


class Loop(asyncio.SelectorEventLoop):
    """Turns when it is told to; its time is the extension's, see host.c."""

    def __init__(self):
        super().__init__(_NoSelector())
        self.problems = []
        self.set_exception_handler(self._note)

    def _make_self_pipe(self):
        pass

    def _close_self_pipe(self):
        pass

    def _note(self, loop, context):
        exc = context.get("exception")
        is_answer = isinstance(exc, TypeError | ValueError) and "JSON" in str(exc)
        if not is_answer and not isinstance(exc, Fault | asyncio.CancelledError):
            self.problems.append((context, traceback.format_exception(exc)[-3:]))

    def time(self):
        return _fuzz_host.advance(0)

    def turn(self, function=None):
        """One iteration, in which the function is called, as the loop calls protocols."""
        raised = []

        def run():
            try:
                function()
            except BaseException as exc:
                raised.append(exc)

        if function is not None:
            self.call_soon(run)
        self.call_soon(self.stop)
        self.run_forever()
        if raised:
            raise raised[0]

    def settle(self):
        """Turn until nothing is ready; a number of turns is enough for everything here."""
        for _ in range(MAX_TURNS):
            self.turn()
            if not self._ready:
                return
        raise AssertionError("the loop does not come to rest")


class Output:
    """What a client gets: reads frames, and knows what may follow."""

    def __init__(self, bits):
        self.bits = bits
        self.unzip = zlib.decompressobj(-bits) if bits else None
        self.is_closed = False
        self.texts = collections.deque(maxlen=20)

    def read(self, data):
        assert type(data) is bytes
        assert data
        while data:
            assert not self.is_closed, "a frame behind a CLOSE frame"
            data = self.frame(data)

    def frame(self, data):
        first, size, start = data[0], data[1], 2
        opcode = first & 15
        assert first & 0xB0 == 0x80, "FIN alone may be set, and RSV1"
        assert size < 128, "a server does not mask"
        assert opcode in (TEXT, BINARY, CLOSE, PING, PONG)
        if size >= 126:
            start = 4 if size == 126 else 10
            short = 126 if size == 126 else 65536
            size = int.from_bytes(data[2:start], "big")
            assert size >= short
        assert opcode in (TEXT, BINARY) or size < 126
        payload, rest = data[start : start + size], data[start + size :]
        assert len(payload) == size, "a frame that is not whole"
        if first & 0x40:
            assert opcode in (TEXT, BINARY)
            assert self.unzip is not None
            payload = self.unzip.decompress(payload + b"\0\0\xff\xff")
        if opcode == TEXT:
            self.text(payload.decode())
        elif opcode == CLOSE:
            self.is_closed = True
            code = int.from_bytes(payload[:2], "big")
            payload[2:].decode()
            known = code in (*range(1000, 1004), *range(1007, 1015), *range(3000, 5000))
            assert known if payload else True
        return rest

    def text(self, text):
        assert text[0] in "0123456"
        if text[0] == "4":
            assert text[1] in "0123456"
        self.texts.append(text)


class Wire:
    """A transport. `plans` says what happens when one of its methods is called, by method."""

    def __init__(self, world, bits):
        self.world = world
        self.output = Output(bits)
        self.conn = None
        self.plans = collections.defaultdict(list)
        self.waiting = 0
        self.reading = True
        self.is_eof = self.is_closing = self.is_lost = False
        self.is_ended = False  # by the loop: what is still written is dropped

    def _called(self, name):
        if self.plans[name]:
            self.plans[name].pop(0)()

    def write(self, data):
        if self.is_ended:
            return
        assert not self.is_closing or self.waiting
        assert not self.is_eof
        self.output.read(data)
        self._called("write")

    def write_eof(self):
        assert not self.is_closing or self.is_ended
        self._called("write_eof")
        self.is_eof = True

    def close(self):
        """As with asyncio: what waits leaves before, and so does what resume_writing() writes."""
        if not self.is_closing:
            self.is_closing = True
            if self.waiting == 0:
                self.world.loop.call_soon(self.lose)
        self._called("close")

    def abort(self):
        self.is_closing = True
        self.waiting = 0
        self.world.loop.call_soon(self.lose)
        self._called("abort")

    def pause(self, waiting):
        """So many bytes wait: the connection is not to write."""
        if not self.is_lost and not self.is_closing:
            self.waiting = waiting
            self.conn.pause_writing()

    def resume(self):
        """All that waited has left."""
        if self.waiting and not self.is_lost:
            self.conn.resume_writing()
            self.waiting = 0
            if self.is_closing:
                self.world.loop.call_soon(self.lose)

    def end(self):
        """The client has sent all that it will; the loop closes unless it is told not to."""
        if not self.is_closing and not self.conn.eof_received():
            self.is_ended = self.is_closing = True
            self.world.loop.call_soon(self.lose)

    def lose(self):
        """What the loop calls once when the connection is gone."""
        if not self.is_lost:
            self.is_lost = self.is_closing = self.is_ended = True
            self.conn.connection_lost(None)

    def pause_reading(self):
        self.reading = False
        self._called("pause_reading")

    def resume_reading(self):
        self.reading = True
        self.world.loop.call_soon(self.world.deliver, self)
        self._called("resume_reading")

    def get_write_buffer_size(self):
        return self.waiting

    def set_protocol(self, protocol):
        raise NotImplementedError


class Direct(connections.Client):
    """A client on a transport."""

    def __init__(self, world, eio_sid, bits, **attach):
        wire = Wire(world, bits)
        self.pending = bytearray()
        self.cut = 1 << 16
        self.zip = zlib.compressobj(9, zlib.DEFLATED, -15)
        wire.client = self
        super().__init__(world.sio, eio_sid, wire, bits=bits, server=world, **attach)
        wire.conn = self.conn
        self.socket.schedule_ping()
        self.conn.expect(DUE_CONNECT)

    @property
    def texts(self):
        return self.transport.output.texts

    def read(self, data):
        self.pending += data
        self.deliver()

    def deliver(self):
        """Let the connection read what the client has sent, as far as it wants to."""
        wire = self.transport
        while self.pending and wire.reading and not wire.is_closing:
            view = self.conn.get_buffer(-1)
            n = min(len(view), len(self.pending), self.cut)
            view[:n] = self.pending[:n]
            del self.pending[:n], view
            self.conn.buffer_updated(n)

    def leave(self):
        self.transport.plans.clear()
        self.transport.resume()
        self.transport.lose()


class Asgi(connections.Messages):
    """A client behind an ASGI server."""

    transport = None

    def __init__(self, world, eio_sid):
        self.world = world
        self.texts = collections.deque(maxlen=20)
        self.plan = []
        super().__init__(world.sio, eio_sid)
        self.output = Output(0)
        self.socket.schedule_ping()
        self.conn.expect(DUE_CONNECT)

    async def send(self, message):
        assert not self.is_closed
        if isinstance(message, str):
            self.output.text(message)
            self.texts.append(message)
        else:
            assert isinstance(message, bytes | bytearray)
        if self.plan:
            await self.plan.pop(0)()

    def message(self, message):
        self.inbox.put_nowait(message)

    def leave(self):
        self.plan.clear()
        self.inbox.put_nowait(None)


class World:
    """All that lives while one input is played. Stands for uvicorn's server, too."""

    def __init__(self):
        self.loop = Loop()
        self.tasks = set()  # uvicorn's
        self.clients = []
        self.handlers = []  # tasks of handlers that wait
        self.hung = []  # what they wait for
        self.unraisable = []
        sys.unraisablehook = self._note

    def _note(self, args):
        if not isinstance(args.exc_value, Fault):
            self.unraisable.append((repr(args.exc_value), repr(args.object)))

    def left(self, conn):
        """Called by a connection that has been lost."""

    def deliver(self, wire):
        wire.client.deliver()

    async def hang(self):
        future = self.loop.create_future()
        self.hung.append(future)
        self.handlers.append(asyncio.current_task())
        await future

    def release(self, count=1000):
        for future in self.hung[:count]:
            if not future.done():
                future.set_result(None)
        del self.hung[:count]

    def sid(self, client, namespace):
        return self.sio.manager.sid_from_eio_sid(client.eio_sid, namespace)

    def check(self):
        assert not self.loop.problems, self.loop.problems
        assert not self.unraisable, self.unraisable
        for client in self.clients:
            if isinstance(client, Direct) and client.conn.path == "direct":
                waiting = client.conn.backlog - client.transport.waiting
                assert waiting <= 2 * self.sio.max_backlog + AT_ONCE

    def finish(self):
        """Let everybody go; nothing is left."""
        loop, sio = self.loop, self.sio
        self.is_over = True
        for leave in (*(client.leave for client in self.clients), self.release):
            loop.turn(leave)
            loop.settle()
        for _ in range(4):
            while self.hung:  # handlers that wait one after the other, too
                self.release()
                loop.settle()
            _fuzz_host.advance(LONG)
            loop.settle()
        self.check()
        for client in self.clients:
            assert client.socket.closed
            assert client.conn.path == "over"
        manager = sio.manager
        left = {
            "sockets": sio.eio.sockets,
            "environ": sio.environ,
            "binary": sio._binary_packet,
            "rooms": manager.rooms,
            "sids": manager.eio_to_sid,
            "callbacks": manager.callbacks,
            "connecting": manager.pending_connect,
            "leaving": manager.pending_disconnect,
            "tasks": asyncio.all_tasks(loop),
            "served": self.tasks,
            "timers": [timer for timer in loop._scheduled if not timer.cancelled()],
        }
        assert not any(left.values()), {name: what for name, what in left.items() if what}
        loop.close()

    def dispose(self, may_count):
        """Drop all of it; afterwards no object of the package lives.

        :param may_count: look at the hub's number of connections, which takes twice as long.
        """
        hub = self.sio._hub if may_count else None
        for kept in (self.clients, self.handlers, self.hung):
            kept.clear()
        if hub is not None:
            gc.collect()
            assert hub.n_connections == 0
        hub = None
        self.__dict__.clear()
        gc.collect()
        left = [type(obj) for obj in gc.get_objects() if isinstance(obj, KINDS)]
        assert left == []


KINDS = (_core.Hub, _core.Connection, _core.Call, EngineSocket, Loop)


def warm_up(one_input):
    """What is made once and kept is made now, and not looked at by the collector afterwards."""
    for _ in range(2):
        one_input(b"\1" + bytes(12) + bytes(range(256)))
    gc.collect()
    gc.freeze()
