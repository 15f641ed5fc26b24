"""A client of the C Connection without a server in front: frames, a transport, a session."""

import asyncio
import json
from contextvars import copy_context

from engineio.async_drivers.asgi import WebSocket

import toolboxsio
from toolboxsio.engine import EngineSocket

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(payload, opcode=None, fin=True, key=b"\x01\x82\x03\xf4"):
    """A frame as a client sends it."""
    if opcode is None:
        opcode = TEXT if isinstance(payload, str) else BINARY
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    head = bytes([opcode | 0x80 * fin])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(data)) if any(key) else data
    return head + key + masked


def frames(data):
    """What a server's bytes hold: text as str, binary as bytes, else (opcode, payload)."""
    found = []
    while data:
        opcode, size, start = data[0] & 15, data[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        payload, data = data[start : start + size], data[start + size :]
        assert len(payload) == size
        kinds = {TEXT: bytes.decode, BINARY: bytes}
        found.append(kinds[opcode](payload) if opcode in kinds else (opcode, payload))
    return found


class Transport:
    """Keeps what is asked of it. `on` gives functions that are called first, by method."""

    def __init__(self):
        self.calls = []
        self.on = {}
        self.waiting = 0
        self.protocol = None

    def _call(self, name, *args):
        self.calls.append((name, *args))
        if name in self.on:
            self.on[name](*args)

    def write(self, data):
        self._call("write", bytes(data))

    def close(self):
        self._call("close")

    def abort(self):
        self._call("abort")

    def pause_reading(self):
        self._call("pause_reading")

    def resume_reading(self):
        self._call("resume_reading")

    def write_eof(self):
        self._call("write_eof")

    def get_write_buffer_size(self):
        return self.waiting

    def set_protocol(self, protocol):
        self.protocol = protocol

    def names(self):
        return [call[0] for call in self.calls]

    def writes(self):
        return [call[1] for call in self.calls if call[0] == "write"]


def server(**options):
    return toolboxsio.AsyncServer(async_mode="asgi", **options)


def hub_of(sio, slice_seconds=3600):
    """The server's hub; unless told otherwise all that is read at once is handled at once."""
    hub = sio.eio.hub()
    hub.slice_seconds = slice_seconds
    return hub


class Client:
    """A session of a server on a transport; nobody has joined a namespace yet."""

    def __init__(self, sio, eio_sid="e1", transport=None, **attach):
        self.sio = sio
        self.eio_sid = eio_sid
        self.transport = transport or Transport()
        self.socket = EngineSocket(sio.eio, eio_sid)
        self.socket.connected = self.socket.upgraded = True
        sio.eio.sockets[eio_sid] = self.socket
        sio.environ[eio_sid] = {}
        self.conn = self.socket.conn = hub_of(sio).connection(self.socket, eio_sid)
        self.attach(**attach)

    def attach(
        self, max_size=1 << 20, bits=0, may_inflate=False, inflate=None, keeps=False, server=None
    ):
        self.conn.attach(
            self.transport, copy_context(), server, max_size, bits, may_inflate, inflate, keeps
        )

    def read(self, data):
        """Let the connection read, as a transport does."""
        while data:
            view = self.conn.get_buffer(-1)
            n = min(len(view), len(data))
            view[:n] = data[:n]
            data = data[n:]
            del view
            self.conn.buffer_updated(n)

    def send(self, *payloads):
        """Send whole messages in one read."""
        self.read(b"".join(map(frame, payloads)))

    def join(self, packet="40"):
        """Join a namespace; the client's id there."""
        self.send(packet)
        [answer] = self.taken()
        assert answer.startswith(packet)
        return json.loads(answer[answer.index("{") :])["sid"]

    def taken(self):
        """The frames that were written, taken out."""
        data = b"".join(self.transport.writes())
        self.transport.calls = [call for call in self.transport.calls if call[0] != "write"]
        return frames(data)

    async def until(self, count=1):
        """At least so many frames."""
        found = self.taken()
        while len(found) < count:
            await asyncio.sleep(0)
            found += self.taken()
        return found


class Messages:
    """A session whose WebSocket is a driver's: messages in and out."""

    def __init__(self, sio, eio_sid="e1", socket_class=EngineSocket):
        self.sio = sio
        self.inbox = asyncio.Queue()
        self.sent = []
        self.is_closed = False
        self.socket = socket_class(sio.eio, eio_sid)
        sio.eio.sockets[eio_sid] = self.socket
        sio.environ[eio_sid] = {}
        self.conn = self.socket.conn = hub_of(sio).connection(self.socket, eio_sid)
        self.task = asyncio.create_task(self.socket._websocket_handler(self.driver()))

    def driver(self):
        """The WebSocket that the session gets."""
        return self

    async def wait(self):
        """The driver's: the client's next message."""
        return await self.inbox.get()

    async def send(self, message):
        """The driver's: a message for the client."""
        self.sent.append(message)

    async def close(self):
        """The driver's: the end."""
        self.is_closed = True

    async def exchange(self, *messages):
        """Messages of the client, and those they cause."""
        for message in messages:
            self.inbox.put_nowait(message)
        for _ in range(20):
            await asyncio.sleep(0)  # tasks that were started
        sent, self.sent = self.sent, []
        return sent

    async def join(self):
        """Join the root namespace; the client's id there."""
        [answer] = await self.exchange("40")
        return json.loads(answer[2:])["sid"]

    async def end(self):
        """The client leaves."""
        self.inbox.put_nowait(None)
        await self.task


class Events(Messages):
    """The same whose driver is an ASGI server's: events in and out."""

    def driver(self):
        websocket = WebSocket(None, None)
        websocket.asgi_receive, websocket.asgi_send = self.receive, self.send_event
        return websocket

    async def receive(self):
        """ASGI's: the client's next message, or its end."""
        data = await self.inbox.get()
        if data is None:
            return {"type": "websocket.disconnect", "code": 1005}
        return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}

    async def send_event(self, event):
        """ASGI's: a message for the client, or the end."""
        if event["type"] == "websocket.close":
            await self.close()
        else:
            await self.send(event["bytes"] if event["text"] is None else event["text"])


async def until(condition, seconds=5):
    """Wait for a condition, at most so long."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (what is waited for knows nothing of it)
            await asyncio.sleep(0.001)


class Polling:
    """A session that polls."""

    def __init__(self, sio, eio_sid="p"):
        self.sio = sio
        self.socket = EngineSocket(sio.eio, eio_sid)
        self.socket.connected = True
        sio.eio.sockets[eio_sid] = self.socket
        sio.environ[eio_sid] = {}
        self.conn = self.socket.conn = hub_of(sio).connection(self.socket, eio_sid)
        self.seen = []

    async def join(self):
        await self.socket._receive_encoded("40")
        await self.socket.poll()
        self.sid = self.sio.manager.sid_from_eio_sid(self.socket.sid, "/")
        return self.sid

    def waiting(self):
        """What waits for a poll since the client has joined: packets without the type of a
        message, and bytes."""
        self.seen += self.conn.take_messages()
        return [message[1:] if isinstance(message, str) else message for message in self.seen]
