"""What is done with each input, by upstream and by this package."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import engineio.async_socket
import engineio.json
import engineio.packet
import engineio.payload
import socketio

import toolboxsio
from toolboxsio import _core
from toolboxsio.packet import EnginePacket, EnginePayload
from toolboxsio.redis import AsyncRedisManager

from .compare import Outcome, compared, describe_error, flatten, is_same, outcome
from .differences import MAX_ATTACHMENTS, MAX_DEPTH, explain


def _hook(obj: Any) -> Any:
    """A `default` that gives up at some objects."""
    if isinstance(obj, set):
        return sorted(obj)
    if isinstance(obj, complex):
        return {"re": obj.real, "im": obj}
    if isinstance(obj, bytes | bytearray):
        return (obj.hex(), 1j) if len(obj) == 3 else obj.hex()
    raise LookupError(obj)


def _resizing(dumps: Callable[..., str]) -> Callable[[Any], str]:
    def run(_: Any) -> str:
        data = {"a": 1j, "b": 2}

        def resize(obj: Any) -> str:
            data["more"] = 3
            return "x"

        return dumps(data, default=resize)

    return run


def _upstream_dumps(value: Any, **options: Any) -> str:
    return json.dumps(value, separators=(",", ":"), **options)


def _encode(cls: type) -> Callable[[dict[str, Any]], Any]:
    def run(fields: dict[str, Any]) -> Any:
        packet = cls(**fields)
        encoded = packet.encode()
        seen = [packet.packet_type, packet.attachment_count, packet.encode()]
        if isinstance(encoded, list):  # attachments are the very objects
            seen.append([id(item) for item in encoded[1:]])
        return [encoded, seen]

    return run


def _type(cls: type) -> Callable[[dict[str, Any]], Any]:
    """The type is there before, and without, the encoding."""

    def run(fields: dict[str, Any]) -> Any:
        packet = cls(**fields)
        return [packet.packet_type, packet._to_dict()["type"], cls.data_is_binary(packet.data)]

    return run


def _deconstruct(cls: type) -> Callable[[Any], Any]:
    def run(data: Any) -> Any:
        changed, attachments = cls.deconstruct_binary(data)
        return [changed, attachments, [id(item) for item in attachments]]

    return run


def _decode(cls: type) -> Callable[[str], Any]:
    def run(text: str) -> Any:
        packet = cls(encoded_packet=text)
        fields = [packet.packet_type, packet.namespace, packet.id, packet.data]
        again = cls(packet_type=1, namespace="/before", id=7, data="before")
        count = again.decode(text) if text else 0
        reused = [again.packet_type, again.namespace, again.id, again.data, count]
        return [fields, packet.attachment_count, packet.attachments, packet._to_dict(), reused]

    return run


def _upstream_message(text: str) -> Any:
    packet = socketio.packet.Packet()
    count = packet.decode(text)
    return (packet.packet_type, packet.namespace, packet.id, packet.data, count)


def _reconstruct(cls: type) -> Callable[[Any], Any]:
    """Through add_attachment, as a server does it, and by reconstruct_binary."""

    def run(given: Any) -> Any:
        data, attachments = given
        packet = cls(5, data, binary=False)
        packet.attachment_count = len(attachments)
        answers = [packet.add_attachment(attachment) for attachment in attachments]
        over = describe_error(outcome(packet.add_attachment, b"over").error)
        whole = cls.reconstruct_binary(data, attachments)
        return [answers, packet.data, packet.attachments, over, whole]

    return run


def _engine_encode(cls: type) -> Callable[[Any], Any]:
    def run(given: Any) -> Any:
        kind, data, b64 = given
        packet = cls(kind, data)
        return [packet.binary, packet.encode(b64=b64), packet.encode(), packet.encode_cache]

    return run


def _engine_decode(cls: type) -> Callable[[Any], Any]:
    def run(encoded: Any) -> Any:
        packet = cls(encoded_packet=encoded)
        return [packet.packet_type, packet.data, packet.binary, packet.encode_cache]

    return run


def _payload_encode(packet: type, payload: type) -> Callable[[Any], Any]:
    def run(given: Any) -> Any:
        packets, jsonp_index = given
        return payload(packets=[packet(4, data) for data in packets]).encode(jsonp_index)

    return run


def _payload_decode(cls: type) -> Callable[[str], Any]:
    def run(body: str) -> Any:
        packets = cls(encoded_payload=body).packets
        return [[packet.packet_type, packet.data, packet.binary] for packet in packets]

    return run


def _server(cls: type) -> Callable[[str], Any]:
    """What the handlers of a server with one client are called with."""

    async def receive(text: str) -> Any:
        sio, calls = cls(async_mode="asgi", async_handlers=False), []

        async def note(*args: Any) -> None:
            calls.append(list(args))

        for event in ("connect", "disconnect", "e"):
            sio.on(event, note)
        sid = await sio.manager.connect("eio", "/")
        await sio._handle_eio_message("eio", text)
        return [["sid" if arg == sid else arg for arg in call] for call in calls]

    return lambda text: asyncio.run(receive(text))


class TextPacket(socketio.packet.Packet):
    """Bytes are the JSON's to refuse."""

    uses_binary_events = False


class HexJSON:
    """Bytes as hexadecimal digits."""

    loads = staticmethod(engineio.json.loads)

    @staticmethod
    def dumps(value: Any, **options: Any) -> str:
        return json.dumps(value, default=_hook, **options)


class HexPacket(TextPacket):
    json = HexJSON


def _ours(cls: type) -> Any:
    """The class that a server makes of an application's."""
    ours = toolboxsio.AsyncServer(async_mode="asgi", serializer=cls).packet_class
    assert issubclass(ours, cls)
    assert issubclass(ours, toolboxsio.Packet)
    return ours


def _emit(cls: type) -> Callable[[dict[str, Any]], Any]:
    """Who gets an emit of a server with one client."""

    async def emit(rooms: dict[str, Any]) -> Any:
        sio, got = cls(async_mode="asgi"), []

        async def note(eio_sid: str, packet: Any) -> None:
            got.append(eio_sid)

        sio._send_eio_packet = note
        await sio.manager.connect("eio", "/")
        await sio.emit("e", **rooms)
        return got

    return lambda rooms: asyncio.run(emit(rooms))


def _auth(cls: type) -> Callable[[bytes], Any]:
    """What a connect handler is given for a CONNECT packet of msgpack."""

    async def run(encoded: bytes) -> Any:
        sio, seen = cls(async_mode="asgi", serializer="msgpack"), []

        async def send(*args: Any) -> None:
            pass

        async def connect(sid: str, environ: Any, auth: Any) -> None:
            seen.append(auth)

        sio._send_packet = send
        sio.on("connect", connect)
        sio.eio.sockets["eio"] = engineio.async_socket.AsyncSocket(sio.eio, "eio")
        sio.environ["eio"] = {}
        await sio._handle_eio_message("eio", encoded)
        return seen

    return lambda encoded: asyncio.run(run(encoded))


def _session(cls: type) -> Callable[[tuple[bool, str]], Any]:
    """The calls of the handlers of a client that joins and leaves, and what it is sent.

    Given is whether the connect handler disconnects the client, and which handler raises.
    """

    async def run(leaves: bool, broken: str) -> Any:
        sio, seen = cls(async_mode="asgi"), []

        async def note(eio_sid: str, packet: Any) -> None:
            seen.append(packet.packet_type)

        async def connect(sid: str, environ: Any, auth: Any = None) -> None:
            seen.append("connect")
            if leaves:
                await sio.disconnect(sid)
            if broken == "connect":
                raise TypeError

        async def disconnect(sid: str, reason: Any = None) -> None:
            seen.append("disconnect")
            if broken == "disconnect":
                raise TypeError

        sio._send_packet = note
        sio.on("connect", connect)
        sio.on("disconnect", disconnect)
        sio.eio.sockets["eio"] = engineio.async_socket.AsyncSocket(sio.eio, "eio")
        sio.environ["eio"] = {}
        for text in ("0", "1"):
            with contextlib.suppress(TypeError):
                await sio._handle_eio_message("eio", text)
        return seen

    return lambda given: asyncio.run(run(*given))


def _call(cls: type) -> Callable[[dict[str, Any]], Any]:
    """A call to a client that is not there."""

    async def call(rooms: dict[str, Any]) -> Any:
        return await cls(async_mode="asgi").call("e", timeout=0.01, **rooms)

    return lambda rooms: asyncio.run(call(rooms))


def _publish_answer(cls: type) -> Callable[[Any], Any]:
    """The message that brings the answer of a client to the process that has asked."""

    async def publish(args: Any) -> Any:
        manager, published = cls(), []

        async def keep(message: Any) -> None:
            published.append(json.dumps(message))

        manager._publish = keep
        await manager._return_callback("host", "room", "/", 1, *args)
        return published

    return lambda args: asyncio.run(publish(args))


@contextlib.contextmanager
def _restored_json() -> Iterator[None]:
    """Upstream's packet classes keep the JSON that a server was given."""
    classes = (socketio.packet.Packet, engineio.packet.Packet)
    before = [one.json for one in classes]
    try:
        yield
    finally:
        for one, stock in zip(classes, before, strict=True):
            one.json = stock


def _json_of(cls: type) -> Callable[[str], Any]:
    """What a server encodes with a JSON that gives bytes, or beside one with a JSON of its own."""

    def run(given: str) -> Any:
        with _restored_json():
            sio = cls(async_mode="asgi")
            dumps = (lambda value: b"[]") if given == "bytes" else lambda value, **options: "[1]"
            own = cls(async_mode="asgi", json=type("Json", (), {"dumps": staticmethod(dumps)}))
            return (own if given == "bytes" else sio).packet_class(data=["e"]).encode()

    return run


class _Awaitable:
    """What a handler may return that is no coroutine function."""

    def __init__(self, done: list[str]) -> None:
        self.done = done

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()
        self.done.append("awaited")


def _handler(cls: type) -> Callable[[str], Any]:
    """What comes of a handler that fails, or returns what can be awaited."""

    async def receive(kind: str) -> Any:
        sio, done = cls(async_mode="asgi", async_handlers=False), []

        @sio.on("e")  # type: ignore[untyped-decorator]
        def handler(sid: str) -> Any:
            if kind == "fails":
                raise LookupError(kind)
            return _Awaitable(done)

        await sio.manager.connect("eio", "/")
        await sio._handle_eio_message("eio", '2["e"]')
        return done

    return lambda kind: asyncio.run(receive(kind))


def _options_of(cls: type) -> Callable[[dict[str, Any]], Any]:
    """What the options of a server that is built with these ones are then."""

    def build(options: dict[str, Any]) -> Any:
        sio = cls(async_mode="asgi", **options)
        return [sio.eio.ping_interval, sio.eio.ping_timeout, sio.async_handlers]

    return build


class _UnreadEnd(Exception):
    """The answer came before the end of the request's body was received."""


def _request(module: Any) -> Callable[[dict[str, Any]], Any]:
    """What an application answers to the scope of a request, and what its environ says."""

    async def ask(given: dict[str, Any]) -> Any:
        sio, environs, sent = module.AsyncServer(async_mode="asgi"), [], []
        app = module.ASGIApp(sio, static_files={"/files": str(Path(__file__).parent)})
        opened = sio.eio.handlers["connect"]

        async def connect(sid: str, environ: dict[str, Any]) -> Any:
            environs.append(environ)
            return await opened(sid, environ)

        sio.eio.on("connect", connect)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/socket.io/",
            "query_string": b"EIO=4&transport=polling",
            "headers": [(b"host", b"x")],
            **given,
        }
        body = scope.pop("body", [b""])
        events = [
            {"type": "http.request", "body": piece, "more_body": number < len(body)}
            for number, piece in enumerate(body, 1)
        ]
        if scope["type"] == "websocket":
            events = [{"type": "websocket.connect"}]

        async def receive() -> Any:
            return events.pop(0)

        async def send(message: Any) -> None:
            if events and scope["http_version"] == "2":
                raise _UnreadEnd
            sent.append(message["type"])
            if message["type"].endswith("start"):
                sent.append(message["status"])

        await app(scope, receive, send)
        names = ("wsgi.url_scheme", "HTTP_COOKIE", "HTTP_X_A")
        return [sent, [[environ.get(name) for name in names] for environ in environs]]

    return lambda given: asyncio.run(ask(given))


def _sessions_after_a_failure(cls: type) -> Callable[[str], Any]:
    """How many sessions there are after a handshake whose OPEN packet cannot be encoded."""

    def dumps(value: Any, **options: Any) -> str:
        raise ArithmeticError

    async def run(transport: str) -> Any:
        json = type("Json", (), {"dumps": staticmethod(dumps)})
        sio = cls(async_mode="asgi", json=json, monitor_clients=False)
        with contextlib.suppress(ArithmeticError):
            await sio.eio._handle_connect({}, transport)
        return len(sio.eio.sockets)

    def restoring(transport: str) -> Any:
        with _restored_json():
            return asyncio.run(run(transport))

    return restoring


Theirs, Ours = socketio.packet.Packet, toolboxsio.Packet
TextOurs, HexOurs = _ours(TextPacket), _ours(HexPacket)
EngineTheirs, PayloadTheirs = engineio.packet.Packet, engineio.payload.Payload

#: Upstream's function and ours.
ACTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "dumps": (_upstream_dumps, toolboxsio.json.dumps),
    "dumps_hook": (
        lambda value: _upstream_dumps(value, default=_hook),
        lambda value: toolboxsio.json.dumps(value, default=_hook),
    ),
    "dumps_resized": (_resizing(_upstream_dumps), _resizing(toolboxsio.json.dumps)),
    "loads": (engineio.json.loads, toolboxsio.json.loads),
    "encode": (_encode(Theirs), _encode(Ours)),
    "encode_text": (_encode(TextPacket), _encode(TextOurs)),
    "encode_hex": (_encode(HexPacket), _encode(HexOurs)),
    "decode_text": (_decode(TextPacket), _decode(TextOurs)),
    "decode_hex": (_decode(HexPacket), _decode(HexOurs)),
    "type_text": (_type(TextPacket), _type(TextOurs)),
    "type": (_type(Theirs), _type(Ours)),
    "deconstruct": (_deconstruct(Theirs), _deconstruct(Ours)),
    "decode": (_decode(Theirs), _decode(Ours)),
    "decode_message": (
        _upstream_message,
        lambda text: _core.decode_message(text, MAX_ATTACHMENTS, MAX_DEPTH),
    ),
    "emit": (_emit(socketio.AsyncServer), _emit(toolboxsio.AsyncServer)),
    "call": (_call(socketio.AsyncServer), _call(toolboxsio.AsyncServer)),
    "publish_answer": (
        _publish_answer(socketio.AsyncRedisManager),
        _publish_answer(AsyncRedisManager),
    ),
    "auth": (_auth(socketio.AsyncServer), _auth(toolboxsio.AsyncServer)),
    "session": (_session(socketio.AsyncServer), _session(toolboxsio.AsyncServer)),
    "open": (
        _sessions_after_a_failure(socketio.AsyncServer),
        _sessions_after_a_failure(toolboxsio.AsyncServer),
    ),
    "json_of": (_json_of(socketio.AsyncServer), _json_of(toolboxsio.AsyncServer)),
    "request": (_request(socketio), _request(toolboxsio)),
    "server": (_server(socketio.AsyncServer), _server(toolboxsio.AsyncServer)),
    "options": (_options_of(socketio.AsyncServer), _options_of(toolboxsio.AsyncServer)),
    "handler": (_handler(socketio.AsyncServer), _handler(toolboxsio.AsyncServer)),
    "reconstruct": (_reconstruct(Theirs), _reconstruct(Ours)),
    "engine_encode": (_engine_encode(EngineTheirs), _engine_encode(EnginePacket)),
    "engine_decode": (_engine_decode(EngineTheirs), _engine_decode(EnginePacket)),
    "payload_encode": (
        _payload_encode(EngineTheirs, PayloadTheirs),
        _payload_encode(EnginePacket, EnginePayload),
    ),
    "payload_decode": (_payload_decode(PayloadTheirs), _payload_decode(EnginePayload)),
}


def both(action: str, given: Any) -> tuple[Outcome, Outcome]:
    """Do it, upstream and here."""
    theirs, ours = ACTIONS[action]
    return outcome(theirs, given), outcome(ours, given)


def check(action: str, given: Any) -> str | None:
    """Do it, upstream and here; the outcomes are equal, or differ in a documented way.

    Returns the name of that difference, or None.
    """
    theirs, ours = both(action, given)
    compared[action] = compared.get(action, 0) + 1
    if is_same(theirs, ours):
        return None
    name = explain(action, given, theirs, ours)
    assert name is not None, (
        f"{action} of {given!r}\n"
        f"upstream: {theirs.error!r} {describe_error(theirs.error)} {flatten(theirs.value)}\n"
        f"here:     {ours.error!r} {describe_error(ours.error)} {flatten(ours.value)}"
    )
    return name
