"""The Socket.IO server, with packets in C.

What touches python-socketio's internals stands here; each such place names the upstream function.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import socketio
import socketio.asgi
import socketio.async_server
import socketio.packet
from engineio.async_server import AsyncServer as _UpstreamEngineServer
from engineio.async_socket import AsyncSocket as _UpstreamEngineSocket
from socketio.async_server import AsyncServer as _UpstreamServer
from socketio.server import Server

from ._load import core
from .asgi import ASGIApp, UpstreamASGIApp
from .engine import EngineServer, EngineSocket
from .errors import PacketError
from .packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet

__all__ = ["AsyncServer", "Server", "accelerate", "install", "uninstall"]


def _refuse_packet(packet: Any, max_attachments: int) -> None:
    """Raise what ``_core.decode_message`` would: for packets that were decoded elsewhere."""
    packet_type, data = packet.packet_type, packet.data
    if packet_type in (BINARY_EVENT, BINARY_ACK):
        if packet.attachment_count == 0:
            raise PacketError("binary packet without attachments")
        if packet.attachment_count > max_attachments:
            raise PacketError("too many attachments")
    if packet_type in (EVENT, BINARY_EVENT):
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise PacketError("an event must be an array that starts with its name")
    elif packet_type in (ACK, BINARY_ACK) and not isinstance(data, list):
        raise PacketError("an acknowledgement must be an array")


class AsyncServer(_UpstreamServer):  # type: ignore[misc]
    """A ``socketio.AsyncServer`` whose packets are encoded and decoded in C.

    Takes every option of python-socketio, and:

    :param max_attachments: how many binary attachments a client's packet may have; 10.
    :param json_default: called with each object that JSON does not know, such as a pydantic
        model; its result is sent in the place of the object.
    :param json_max_depth: how deep JSON may be nested, both ways; 512.

    One difference on purpose: a packet that cannot be accepted ends its client's connection, with
    one line in the log.
    """

    def __init__(
        self,
        client_manager: Any = None,
        logger: Any = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: Any = None,
        *,
        max_attachments: int | None = None,
        json_default: Callable[[Any], Any] | None = None,
        json_max_depth: int | None = None,
        **kwargs: Any,
    ) -> None:
        serializer = kwargs.pop("serializer", "default")
        if serializer == "default":
            serializer = Packet
        options = (json_default, json_max_depth, max_attachments)
        is_ours = isinstance(serializer, type) and issubclass(serializer, Packet)
        if is_ours and any(option is not None for option in options):
            serializer = serializer.configure(*options)
        if max_attachments is None:
            max_attachments = getattr(serializer, "max_attachments", 10)
        self.max_attachments = max_attachments
        super().__init__(
            client_manager=client_manager,
            logger=logger,
            json=json,
            async_handlers=async_handlers,
            namespaces=namespaces,
            serializer=serializer,
            **kwargs,
        )
        _take_frames(self)

    def _engineio_server_class(self) -> Any:
        """Mirrors: ``socketio.async_server.AsyncServer._engineio_server_class``; an Engine.IO
        server class that the application has put in upstream's place is used."""
        stock = super()._engineio_server_class()
        return EngineServer if stock is _UpstreamEngineServer else stock

    async def _handle_event_internal(
        self, server: Any, sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None
    ) -> None:
        """Call the handler of an event and send its acknowledgement.

        Mirrors: ``socketio.async_server.AsyncServer._handle_event_internal``.
        """
        answer = await server._trigger_event(data[0], namespace, sid, *data[1:])
        if answer is self.not_handled or id is None:
            return
        if answer is None:
            args = []
        elif isinstance(answer, tuple):
            args = list(answer)
        else:
            args = [answer]
        cls = self.packet_class
        eio = self.eio
        if (
            getattr(cls, "_plain", False)
            and cls.encode is _encode_in_c
            and loads_of(cls.json) is None
            and _is_stock(server, "_send_packet")
            and _is_stock(eio, "send")
        ):
            encoded = core.encode_packet(  # type: ignore[union-attr]
                ACK, args, namespace, id, cls.json_default, cls.max_depth, True, True
            )
            if isinstance(encoded, str):
                await eio.send_packet(eio_sid, FramePacket(encoded))
                return
            await eio.send_packet(eio_sid, FramePacket(encoded[0]))
            for attachment in encoded[1:]:
                await eio.send(eio_sid, attachment)
            return
        await server._send_packet(eio_sid, cls(ACK, namespace=namespace, id=id, data=args))

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """Dispatch a message of a client.

        Mirrors: ``socketio.async_server.AsyncServer._handle_eio_message``.

        :raises PacketError: for what no server should accept; nothing was dispatched then.
        """
        if core is None:
            await super()._handle_eio_message(eio_sid, data)
            return
        waiting = self._binary_packet.get(eio_sid)
        try:
            packet = self._decode(data) if waiting is None else self._attach(eio_sid, waiting, data)
        except PacketError:
            raise
        except (ValueError, RecursionError) as exc:
            raise PacketError(str(exc)) from exc
        if packet is not None:
            await self._dispatch(eio_sid, *packet)

    def _decode(self, data: Any) -> tuple[int, str | None, int | None, Any, Any]:
        """Type, namespace, id, data and, for a packet that is not complete yet, the packet."""
        cls = self.packet_class
        is_plain = getattr(cls, "_plain", False) and cls.decode is _decode_in_c
        if is_plain and isinstance(data, str) and loads_of(cls.json) is None:
            packet_type, namespace, id, args, count = core.decode_message(  # type: ignore[union-attr]
                data, self.max_attachments, cls.max_depth
            )
            if count and packet_type in (BINARY_EVENT, BINARY_ACK):
                packet = cls(packet_type, args, namespace, id, binary=False)
                packet.attachment_count = count
                return packet_type, namespace, id, args, packet
            return packet_type, namespace, id, args, None
        try:
            packet = cls(encoded_packet=data)
        except (TypeError, LookupError, RecursionError) as exc:
            raise PacketError(f"not a packet ({exc})") from exc
        _refuse_packet(packet, self.max_attachments)
        is_partial = packet.packet_type in (BINARY_EVENT, BINARY_ACK)
        return (
            packet.packet_type,
            packet.namespace,
            packet.id,
            packet.data,
            packet if is_partial else None,
        )

    def _attach(
        self, eio_sid: str, packet: Any, data: Any
    ) -> tuple[int, str | None, int | None, Any, None] | None:
        """Add an attachment to a packet that waits for it; the packet when it is complete."""
        del self._binary_packet[eio_sid]
        if not isinstance(data, (bytes, bytearray)):
            raise PacketError("text in the place of a binary attachment")
        if packet.add_attachment(data):
            return packet.packet_type, packet.namespace, packet.id, packet.data, None
        self._binary_packet[eio_sid] = packet
        return None

    async def _dispatch(
        self,
        eio_sid: str,
        packet_type: int,
        namespace: str | None,
        id: int | None,
        data: Any,
        partial: Any,
    ) -> None:
        if packet_type in (EVENT, BINARY_EVENT) and data[0] in self.reserved_events:
            raise PacketError(f'reserved event name "{data[0]}"')
        if partial is not None:
            if not self.manager.sid_from_eio_sid(eio_sid, namespace or "/"):
                raise PacketError("binary packet from a client that is not connected")
            self._binary_packet[eio_sid] = partial
        elif packet_type in (EVENT, BINARY_EVENT):
            await self._handle_event(eio_sid, namespace, id, data)
        elif packet_type in (ACK, BINARY_ACK):
            await self._handle_ack(eio_sid, namespace, id, data)
        elif packet_type == CONNECT:
            await self._handle_connect(eio_sid, namespace, data)
        elif packet_type == DISCONNECT:
            await self._handle_disconnect(eio_sid, namespace, self.reason.CLIENT_DISCONNECT)
        elif packet_type == CONNECT_ERROR:
            raise PacketError("CONNECT_ERROR packet from a client")
        else:
            raise PacketError("unknown packet type")


if core is not None:
    from .packet import FramePacket, loads_of

    _decode_in_c = Packet.decode
    _encode_in_c = Packet.encode
else:  # plain python-socketio
    del AsyncServer._handle_event_internal


# The methods that the fast paths leave out or stand for, as they were before any application.
_STOCK = {
    "_send_packet": _UpstreamServer._send_packet,
    "_handle_eio_message": AsyncServer._handle_eio_message,
    "send": EngineServer.send,
    "_trigger_event": EngineServer._trigger_event,
    "receive": EngineSocket.receive,
}


def _is_stock(obj: Any, name: str) -> bool:
    """Whether a method is the one that was there: replaced on no class, and not on the object."""
    return name not in vars(obj) and getattr(type(obj), name) is _STOCK[name]


class _Frames:
    """Events and acknowledgements in WebSocket messages, decoded without a packet for each layer.

    Each step that is left out (``EngineSocket.receive``, the engine's ``_trigger_event``, the
    server's ``_handle_eio_message``) runs as ever where the application has replaced it, or logs.
    """

    def __init__(self, sio: AsyncServer) -> None:
        self.sio = sio

    def takes(self, socket: EngineSocket, frame: str | bytes) -> bool:
        sio = self.sio
        cls = sio.packet_class
        eio = sio.eio
        return (
            isinstance(frame, str)
            and frame.startswith(("42", "43"))
            and getattr(cls, "_plain", False)
            and cls.decode is _decode_in_c
            and loads_of(cls.json) is None
            and socket.sid not in sio._binary_packet
            and eio.handlers.get("message") == sio._handle_eio_message
            and _is_stock(sio, "_handle_eio_message")
            and _is_stock(socket, "receive")
            and _is_stock(eio, "_trigger_event")
            and not eio.logger.isEnabledFor(logging.INFO)
        )

    async def receive(self, sid: str, frame: str) -> None:
        sio = self.sio
        try:
            packet_type, namespace, id, args, _ = core.decode_message(  # type: ignore[union-attr]
                frame, sio.max_attachments, sio.packet_class.max_depth, True
            )
        except ValueError as exc:
            raise PacketError(str(exc)) from exc
        await sio._dispatch(sid, packet_type, namespace, id, args, None)


def _take_frames(sio: Any) -> None:
    if core is not None and isinstance(sio.eio, EngineServer):
        sio.eio.frames = _Frames(sio)


def _swap_class(obj: Any, upstream: type, ours: type) -> None:
    """Make obj an instance of ours too, in front of upstream's class and behind its own."""
    cls = type(obj)
    if cls is upstream:
        obj.__class__ = ours
    elif isinstance(obj, upstream) and not isinstance(obj, ours):
        obj.__class__ = type(cls.__name__, (cls, ours), {"__module__": cls.__module__})


def accelerate(sio: Any) -> Any:
    """Make a server that was built by others a :class:`toolboxsio.AsyncServer`, and return it.

    Methods that the server's own class overrides stay in force. Call it before clients connect.

    :raises TypeError: for anything but a ``socketio.AsyncServer``.
    """
    if not isinstance(sio, _UpstreamServer):
        raise TypeError(f"accelerate() takes a socketio.AsyncServer, not {type(sio).__name__}")
    if core is None or isinstance(sio, AsyncServer):
        return sio
    if sio.packet_class is socketio.packet.Packet:
        sio.packet_class = Packet
    sio.max_attachments = getattr(sio.packet_class, "max_attachments", 10)
    _swap_class(sio, _UpstreamServer, AsyncServer)
    _swap_class(sio.eio, _UpstreamEngineServer, EngineServer)
    for socket in sio.eio.sockets.values():
        _swap_class(socket, _UpstreamEngineSocket, EngineSocket)
    _take_frames(sio)
    handler = sio.eio.handlers.get("message")
    if getattr(handler, "__func__", None) is _UpstreamServer._handle_eio_message:
        sio.eio.on("message", sio._handle_eio_message)
    return sio


def _replaceable() -> list[tuple[Any, str, type, type]]:
    return [
        (socketio, "AsyncServer", _UpstreamServer, AsyncServer),
        (socketio.async_server, "AsyncServer", _UpstreamServer, AsyncServer),
        (socketio, "ASGIApp", UpstreamASGIApp, ASGIApp),
        (socketio.asgi, "ASGIApp", UpstreamASGIApp, ASGIApp),
    ]


def install() -> None:
    """Put this package's server classes in the place of python-socketio's.

    For frameworks that build their own server: ``import socketio`` then gives them the fast one.
    Names that are imported already, as in ``from socketio import AsyncServer``, are not reached.
    """
    for module, name, upstream, ours in _replaceable():
        if getattr(module, name) is upstream:
            setattr(module, name, ours)


def uninstall() -> None:
    """Undo :func:`install`. Servers that exist stay as they are."""
    for module, name, upstream, ours in _replaceable():
        if getattr(module, name) is ours:
            setattr(module, name, upstream)
