"""The Socket.IO server, with packets in C.

What touches python-socketio's internals stands here; each such place names the upstream function.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import socketio
import socketio.asgi
import socketio.async_redis_manager
import socketio.async_server
import socketio.exceptions
import socketio.packet
from engineio.async_server import AsyncServer as _UpstreamEngineServer
from engineio.async_socket import AsyncSocket as _UpstreamEngineSocket
from socketio.async_manager import AsyncManager as _UpstreamManager
from socketio.async_namespace import AsyncNamespace as _UpstreamNamespace
from socketio.async_redis_manager import AsyncRedisManager as _UpstreamRedisManager
from socketio.async_server import AsyncServer as _UpstreamServer
from socketio.base_manager import BaseManager
from socketio.server import Server

from ._load import core
from .asgi import ASGIApp, UpstreamASGIApp
from .engine import EngineServer, EngineSocket, is_send_replaced
from .errors import PacketError
from .manager import AsyncManager
from .packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet
from .redis import AsyncRedisManager, is_available

__all__ = ["AsyncServer", "Server", "accelerate", "install", "uninstall"]


SlowClient = str | Callable[[dict[str, str], int], str]
_SLOW_CLIENT = ("disconnect", "drop_volatile")


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
    :param connect_timeout: seconds until a client must have joined a namespace; 45; 0: no limit.
    :param upgrade_timeout: seconds for an upgrade to WebSocket; 10; 0: no limit.
    :param message_timeout: seconds for a message that comes in pieces: fragments, or attachments;
        45; 0: no limit.
    :param max_backlog: bytes that may wait for one client; 8 MiB.
    :param slow_client: what becomes of a client for which more than that waits: ``"disconnect"``;
        ``"drop_volatile"``: it is kept, gets no volatile events until it has caught up, and is
        disconnected when twice as much waits; or a function ``(sids, waiting) -> str`` of its ids
        (``{namespace: sid}``) and the bytes that wait, which returns one of the two. It is called
        once, until the client has caught up.
    :param max_running_handlers: how many handlers of one client may be at work before no more of
        its messages are read; 1000.

    One difference on purpose: a packet that cannot be accepted ends its client's connection, with
    one line in the log.
    """

    _hub: Any = None

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
        connect_timeout: float = 45,
        upgrade_timeout: float = 10,
        message_timeout: float = 45,
        max_backlog: int = 8 * 1024 * 1024,
        slow_client: SlowClient = "disconnect",
        max_running_handlers: int = 1000,
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
        self.connect_timeout = connect_timeout
        self.message_timeout = message_timeout
        self.max_backlog = max_backlog
        if slow_client not in _SLOW_CLIENT and not callable(slow_client):
            raise ValueError(f"slow_client must be one of {_SLOW_CLIENT} or a function")
        self.slow_client = slow_client
        self.max_running_handlers = max_running_handlers
        if core is not None:
            if client_manager is None:
                client_manager = AsyncManager()
            else:  # one of another kind stands on ours
                _adopt_manager(client_manager)
        super().__init__(
            client_manager=client_manager,
            logger=logger,
            json=json,
            async_handlers=async_handlers,
            namespaces=namespaces,
            serializer=serializer,
            **kwargs,
        )
        _join_halves(self, upgrade_timeout)

    def _engineio_server_class(self) -> Any:
        """Mirrors: ``socketio.async_server.AsyncServer._engineio_server_class``; an Engine.IO
        server class that the application has put in upstream's place is used."""
        stock = super()._engineio_server_class()
        return EngineServer if stock is _UpstreamEngineServer else stock

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
        *,
        volatile: bool = False,
    ) -> None:
        """Emit an event. Mirrors: ``socketio.async_server.AsyncServer.emit``.

        :param volatile: drop the event for each client that cannot take it now: its transport has
            not taken what was sent before, or, on polling, it has not come for it.
        """
        hub = self._hub
        if hub is not None and callback is None:
            left = hub.emit_directly(event, data, to, room, skip_sid, namespace, volatile)
            if left is None:
                return
            if left is not NotImplemented:
                await self.manager._finish_emit(left, event, data, namespace or "/", None, volatile)
                return
        namespace = namespace or "/"
        room = to or room
        self.logger.info('emitting event "%s" to %s [%s]', event, room or "all", namespace)
        more = {"volatile": True} if volatile else {}
        await self.manager.emit(
            event,
            data,
            namespace,
            room=room,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
            **more,
        )

    async def call(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        sid: Any = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Emit an event to a client and wait for its acknowledgement, which is returned.

        Mirrors: ``socketio.async_server.AsyncServer.call``. One difference on purpose: when nobody
        waits any more, because of the timeout or a cancellation, nothing is left behind.

        :raises socketio.exceptions.TimeoutError: after ``timeout`` seconds.
        """
        if to is None and sid is None:
            raise ValueError("Cannot use call() to broadcast.")
        if not self.async_handlers:
            raise RuntimeError("Cannot use call() when async_handlers is False.")
        answered = self.eio.create_event()
        answers: list[tuple[Any, ...]] = []

        def event_callback(*args: Any) -> None:
            answers.append(args)
            answered.set()

        room = to or sid
        try:
            await self.emit(
                event,
                data=data,
                room=room,
                namespace=namespace,
                callback=event_callback,
                ignore_queue=ignore_queue,
            )
            await asyncio.wait_for(answered.wait(), timeout)
        except TimeoutError:
            raise socketio.exceptions.TimeoutError from None
        finally:
            if not answers:
                self._forget_callback(room, event_callback)
        args = answers[0]
        return args if len(args) > 1 else args[0] if args else None

    def _forget_callback(self, room: Any, callback: Callable[..., Any]) -> None:
        """Let go of a callback that nobody waits for any more, and of what leads to it."""
        tables = self.manager.callbacks
        gone = set()
        for owner in [room] if isinstance(room, str) and room in tables else list(tables):
            for id in [id for id, found in tables[owner].items() if found is callback]:
                del tables[owner][id]
                gone.add((owner, id))
            if list(tables[owner]) == [0] and not any(
                owner in rooms.get(None, ()) for rooms in self.manager.rooms.values()
            ):  # a client of another server
                del tables[owner]
        # Pub/sub managers: what a client here answers to. (host_id, room, namespace, id)
        for table in tables.values():
            for id, found in list(table.items()):
                args = found.args if isinstance(found, functools.partial) else ()
                if len(args) == 4 and (args[1], args[3]) in gone:
                    del table[id]

    async def _handle_event_internal(
        self, server: Any, sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None
    ) -> None:
        """Call the handler of an event and send its acknowledgement.

        Mirrors: ``socketio.async_server.AsyncServer._handle_event_internal``.
        """
        begun = time.perf_counter()
        answer, has_failed = self.not_handled, True
        try:
            answer = await server._trigger_event(data[0], namespace, sid, *data[1:])
            if answer is not self.not_handled and id is not None:
                await self._acknowledge(eio_sid, namespace, id, answer)
            has_failed = False
        finally:
            self._count_event(namespace, data[0], time.perf_counter() - begun, has_failed)

    def _count_event(self, namespace: str, event: str, seconds: float, has_failed: bool) -> None:
        """Count an event that went through Python, as csrc/conn/call_type.c does for others.

        What clients made up is counted with the catch-all that has handled it, or not at all.
        """
        if self._hub is None:
            return
        for ns in (namespace, "*"):
            handlers = self.handlers.get(ns, ())
            if event in handlers or "*" in handlers:
                name = event if event in handlers else "*"
                self._hub.count_event(ns, name, seconds, has_failed)
                return
        for ns in (namespace, "*"):
            handler = self.namespace_handlers.get(ns)
            if handler is not None:  # looked at without running its code
                is_known = inspect.getattr_static(handler, f"on_{event}", None) is not None
                if is_known or hasattr(type(handler), "__getattr__"):
                    self._hub.count_event(ns, event if is_known else "*", seconds, has_failed)
                return

    async def _acknowledge(self, eio_sid: str, namespace: str, id: int, answer: Any) -> None:
        """Send what a handler has answered."""
        if answer is None:
            args = []
        elif isinstance(answer, tuple):
            args = list(answer)
        else:
            args = [answer]
        packet = self.packet_class(ACK, namespace=namespace, id=id, data=args)
        await self._send_packet(eio_sid, packet)

    def _has_joined(self, eio_sid: str) -> bool:
        """Whether a client is in a namespace."""
        manager = self.manager
        names = list(manager.get_namespaces())
        return any(manager.sid_from_eio_sid(eio_sid, name) for name in names)

    def acceleration(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """Tell how the packets of a client are handled.

        ``{"path": str, "fast": bool, "reasons": [str, ...]}``: the way to the client ("direct",
        "asgi", "polling", "upstream"), whether its events are dispatched in C, and if not, why.

        :raises KeyError: when there is no such client.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
        socket = self.eio._get_socket(eio_sid)
        conn = getattr(socket, "conn", None)
        if conn is None:
            return {"path": "upstream", "fast": False, "reasons": ["the session is upstream's"]}
        reasons = list(self.eio.hub().reasons)
        if not conn.stock:
            reasons.append("a method of the session's socket was replaced")
        if conn.path == "polling":
            reasons.append("there is no WebSocket")
        return {"path": conn.path, "fast": not reasons, "reasons": reasons}

    def backlog(self, sid: str, namespace: str | None = None) -> int:
        """Return how many bytes wait for a client.

        :raises KeyError: when there is no such client.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
        conn = getattr(self.eio._get_socket(eio_sid), "conn", None)
        return 0 if conn is None else int(conn.backlog)

    def _decide_slow(self, socket: Any, waiting: int) -> None:
        """A client for which more than max_backlog waits: keep it or not."""
        if socket.closed or socket.conn is None:
            return
        decision = self.slow_client
        if callable(decision):
            manager = self.manager
            sids = {name: manager.sid_from_eio_sid(socket.sid, name) for name in manager.rooms}
            try:
                decision = decision({name: sid for name, sid in sids.items() if sid}, waiting)
                if decision not in _SLOW_CLIENT:
                    raise ValueError(
                        f"slow_client returned {decision!r}, not one of {_SLOW_CLIENT}"
                    )
            except Exception:
                self.logger.exception("slow_client failed")
                decision = "disconnect"
        if decision == "disconnect":
            socket.conn.give_up()
        else:
            self.logger.error("%s: Client is slow, %s bytes wait for it", socket.sid, waiting)

    def _emit_hub(self) -> Any:
        """What emits from C on this event loop; None: nothing does."""
        is_ours = core is not None and isinstance(self.eio, EngineServer)
        return self.eio.hub() if is_ours else None

    def status(self) -> dict[str, Any]:
        """Tell how the server is doing.

        ``{"sessions": int, "acceleration": {...}, "events": {...}, "redis": {...} | None}``:
        Engine.IO sessions that exist; which ways they are on (``paths``, named as by
        :meth:`acceleration`) and why events and emits do not go through C (``events``, ``emits``:
        lists of texts, empty when they do); what was handled since the start, by event (one of
        another namespace than ``/`` as ``"/namespace event"``, of a catch-all as ``*``): ``count``,
        ``failed``, and ``p50`` and ``p99`` of the milliseconds from reading to answer; what
        ``AsyncRedisManager.status()`` says. Called on the event loop.
        """
        hub = self._emit_hub()
        why = ["the extension is missing or the Engine.IO server is the application's"]
        manager, sockets = self.manager, self.eio.sockets
        conns = [getattr(socket, "conn", None) for socket in list(sockets.values())]
        paths = Counter("upstream" if conn is None else str(conn.path) for conn in conns)
        return {
            "sessions": len(sockets),
            "acceleration": {
                "paths": dict(paths),
                "events": why if hub is None else list(hub.reasons),
                "emits": why if hub is None else list(hub.emit_reasons),
            },
            "events": {
                name if ns == "/" else f"{ns} {name}": {
                    "count": count,
                    "failed": failed,
                    "p50": round(p50 * 1000, 3),
                    "p99": round(p99 * 1000, 3),
                }
                for ns, name, count, failed, _, p50, p99, _, _ in self.event_counts()
            },
            "redis": manager.status() if isinstance(manager, AsyncRedisManager) else None,
        }

    def event_counts(self, bounds: tuple[float, ...] = ()) -> list[tuple[Any, ...]]:
        """Tell what was handled: a list of ``(namespace, event, count, failed, seconds, p50, p99,
        longest, counts)``, with the number of durations up to each of the bounds (seconds) in
        ``counts``. Durations are known to 1/32.
        """
        return [] if self._hub is None else list(self._hub.events(tuple(bounds)))

    async def shutdown(self) -> None:
        """Stop the background tasks; what was published leaves before.

        Mirrors: ``socketio.async_server.AsyncServer.shutdown``.
        """
        await super().shutdown()
        if isinstance(self.manager, AsyncRedisManager):
            await self.manager.flush(FLUSH_SECONDS)

    def _is_behind(self, eio_sid: str) -> bool:
        """Whether something waits for a client that it has not taken."""
        socket = self.eio.sockets.get(eio_sid)
        conn = getattr(socket, "conn", None)
        if conn is None or conn.path != "polling":
            return bool(conn is not None and conn.is_behind)
        queue = vars(socket).get("queue")
        return queue is not None and not queue.empty()

    def _sends_at_once(self) -> bool:
        """Whether sending a packet waits for nothing: all methods on the way are as they were."""
        return (
            isinstance(self.eio, EngineServer)
            and not _replaced(self, _SEND_METHODS)
            and not _replaced(self.eio, _ENGINE_SEND_METHODS)
            and EngineSocket.send is _SOCKET_METHODS["send"]
            and not is_send_replaced()
        )

    def _make_hub(self, loop: Any) -> Any:
        """What the connections of an event loop share."""
        eio = self.eio
        limits = {
            "ping_interval": eio.ping_interval,
            "ping_timeout": eio.ping_timeout if eio.start_service_task else 0,
            "connect_timeout": self.connect_timeout,
            "message_timeout": self.message_timeout,
            "leave_timeout": eio.ping_interval + eio.ping_timeout,
            "close_timeout": CLOSE_SECONDS,
            "max_size": eio.max_http_buffer_size,
            "max_backlog": self.max_backlog,
            "max_running": self.max_running_handlers,
            "compression_threshold": eio.compression_threshold,
            "keeps_slow": self.slow_client != "disconnect",
        }
        assert core is not None
        self._hub = core.Hub(loop, functools.partial(make_plan, self), limits)
        return self._hub

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
            # one that has just lost this namespace may have sent it before it knew
            is_here = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
            if not is_here and not self._has_joined(eio_sid):
                raise PacketError("binary packet from a client that is not connected")
            self._binary_packet[eio_sid] = partial
        elif packet_type in (EVENT, BINARY_EVENT):
            socket = self.eio.sockets.get(eio_sid)
            conn = getattr(socket, "conn", None) if isinstance(socket, EngineSocket) else None
            if conn is None or not conn.dispatch(namespace, id, data):
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
    from .packet import loads_of

    _decode_in_c = Packet.decode
    _encode_in_c = Packet.encode
else:  # plain python-socketio
    del AsyncServer._handle_event_internal

#: Seconds for what was published, when the server is shut down.
FLUSH_SECONDS = 1

#: Seconds that a client has to answer a CLOSE frame.
CLOSE_SECONDS = 10

# What events dispatched in C leave out or stand for, as it was before any application.
_SERVER_METHODS = {
    name: getattr(AsyncServer, name)
    for name in (
        "_handle_eio_message",
        "_handle_event",
        "_handle_event_internal",
        "_dispatch",
        "_decode",
        "_trigger_event",
        "_get_event_handler",
        "_get_namespace_handler",
        "_send_packet",
        "start_background_task",
    )
}
_ENGINE_METHODS = {
    name: getattr(EngineServer, name)
    for name in ("send", "send_packet", "_trigger_event", "_get_socket", "start_background_task")
}
_SEND_METHODS = {name: getattr(AsyncServer, name) for name in ("_send_packet", "_send_eio_packet")}
_ENGINE_SEND_METHODS = {name: _ENGINE_METHODS[name] for name in ("send", "send_packet")}
_SOCKET_METHODS = {
    name: getattr(EngineSocket, name, None) for name in ("receive", "send", "_receive_encoded")
}
_ENGINE_EMIT_METHODS = {
    name: _ENGINE_METHODS[name] for name in ("send", "send_packet", "_get_socket")
}
_MEMBER_METHODS = {"get_participants": BaseManager.get_participants}
_MANAGER_METHODS = {
    name: getattr(BaseManager, name) for name in ("sid_from_eio_sid", "is_connected")
}
_TRIGGER_EVENT = _UpstreamNamespace.trigger_event


def _replaced(obj: Any, stock: dict[str, Any]) -> list[str]:
    """The names of methods that are not as they were: on a class, or on the object."""
    cls = obj if isinstance(obj, type) else type(obj)
    own = {} if isinstance(obj, type) else vars(obj)
    return [
        f"{cls.__name__}.{name} is the application's"
        for name, method in stock.items()
        if name in own or getattr(cls, name) is not method
    ]


def make_plan(sio: Any) -> tuple[Any, ...]:
    """What of a server may be done in C, for csrc/conn/plan.c.

    (reasons why not, how to acknowledge, how to report an exception, objects and classes whose
    change makes the plan void, the server's tables or None; and for emits the reasons why not, and
    the tables or None).
    """
    eio, manager, cls = sio.eio, sio.manager, sio.packet_class
    reasons = [
        *_replaced(sio, _SERVER_METHODS),
        *_replaced(eio, _ENGINE_METHODS),
        *_replaced(EngineSocket, _SOCKET_METHODS),
        *_replaced(manager, _MANAGER_METHODS),
    ]
    common = _reasons_of_encoding(sio)
    emit_reasons = [
        *_replaced(sio, _SEND_METHODS),
        *_replaced(eio, _ENGINE_EMIT_METHODS),
        *_replaced(EngineSocket, {"send": _SOCKET_METHODS["send"]}),
        *_replaced(manager, _MEMBER_METHODS),
        *common,
    ]
    reasons += common
    if cls.decode is not _decode_in_c and getattr(cls, "_plain", False):
        reasons.append(f"{cls.__name__}.decode is the application's")
    if eio.handlers.get("message") != sio._handle_eio_message:
        reasons.append("the Engine.IO message handler is the application's")
    loggers = (sio.logger, eio.logger)
    values = None
    if not reasons:
        values = (
            sio.async_handlers,
            sio.handlers,
            sio.namespace_handlers,
            sio._binary_packet,
            manager.rooms,
            manager.pending_connect,
            manager.pending_disconnect,
            sio.reserved_events,
            cls.json_default,
            _TRIGGER_EVENT,
            cls.max_depth,
        )
    emits = None
    if not emit_reasons:
        is_ours = not _replaced(manager, {"emit": AsyncManager.emit})
        emits = (eio.sockets, manager.rooms, cls.json_default, cls.max_depth, is_ours)
    objects = [sio, eio, manager, eio.handlers]
    for logger in loggers:
        if isinstance(logger, logging.Logger):  # what it remembers is emptied when a level is set
            objects += [logger, vars(logger)["_cache"]]
    types: tuple[type, ...] = (type(sio), type(eio), type(manager), EngineSocket)
    if isinstance(cls, type):
        types = (*types, cls)
    return (
        tuple(reasons),
        sio._acknowledge,
        functools.partial(_report, eio),
        tuple(objects),
        types,
        values,
        tuple(emit_reasons),
        emits,
    )


def _reasons_of_encoding(sio: Any) -> list[str]:
    """Why packets may not be encoded and sent in C."""
    cls, loggers, reasons = sio.packet_class, (sio.logger, sio.eio.logger), []
    if is_send_replaced():
        reasons.append("AsyncSocket.send is the application's")
    if not getattr(cls, "_plain", False):
        reasons.append("serializer= is the application's")
    elif cls.encode is not _encode_in_c:
        reasons.append(f"{cls.__name__}.encode is the application's")
    elif loads_of(cls.json) is not None:
        reasons.append("json= is the application's")
    if not all(isinstance(logger, logging.Logger) for logger in loggers):
        reasons.append("logger= is not a logging.Logger")
    elif any(logger.isEnabledFor(logging.INFO) for logger in loggers):
        reasons.append("each packet is logged")
    return reasons


def _report(eio: Any, exc: BaseException) -> None:
    """Log what a handler has raised where it would end in the reader.

    Mirrors: ``engineio.async_server.AsyncServer._trigger_event``.
    """
    eio.logger.error("message async handler error", exc_info=exc)


def _join_halves(sio: Any, upgrade_timeout: float) -> None:
    if core is not None and isinstance(sio.eio, EngineServer):
        sio.eio.owner = sio
        sio.eio.upgrade_timeout = upgrade_timeout
        sio.eio.slim()


def _swap_class(obj: Any, upstream: type, ours: type) -> None:
    """Make obj an instance of ours too, in front of upstream's class and behind its own."""
    cls = type(obj)
    if cls is upstream:
        obj.__class__ = ours
    elif isinstance(obj, upstream) and not isinstance(obj, ours):
        obj.__class__ = type(cls.__name__, (cls, ours), {"__module__": cls.__module__})


def _adopt_manager(manager: Any) -> None:
    """Put our manager below one that the application has made; a Redis manager becomes ours."""
    if is_available():
        _swap_class(manager, _UpstreamRedisManager, AsyncRedisManager)
    _swap_class(manager, _UpstreamManager, AsyncManager)


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
    sio.connect_timeout = sio.message_timeout = 45
    sio.max_backlog = 8 * 1024 * 1024
    sio.slow_client = "disconnect"
    sio.max_running_handlers = 1000
    _swap_class(sio, _UpstreamServer, AsyncServer)
    _adopt_manager(sio.manager)
    _swap_class(sio.eio, _UpstreamEngineServer, EngineServer)
    for socket in sio.eio.sockets.values():
        _swap_class(socket, _UpstreamEngineSocket, EngineSocket)
    _join_halves(sio, 10)
    handler = sio.eio.handlers.get("message")
    if getattr(handler, "__func__", None) is _UpstreamServer._handle_eio_message:
        sio.eio.on("message", sio._handle_eio_message)
    return sio


def _replaceable() -> list[tuple[Any, str, type, type]]:
    redis = (_UpstreamRedisManager, AsyncRedisManager) if is_available() else ()
    return [
        *(
            (module, "AsyncRedisManager", *redis)
            for module in (socketio, socketio.async_redis_manager)
            if redis
        ),
        (socketio, "AsyncServer", _UpstreamServer, AsyncServer),
        (socketio.async_server, "AsyncServer", _UpstreamServer, AsyncServer),
        (socketio, "AsyncManager", _UpstreamManager, AsyncManager),
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
