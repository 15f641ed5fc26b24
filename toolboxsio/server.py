"""The Socket.IO server, with packets in C.

What touches python-socketio's internals stands here; each such place names the upstream function.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Unpack

import socketio
import socketio.exceptions
from engineio.async_server import AsyncServer as _UpstreamEngineServer
from socketio.server import Server

from ._adopt import adopt_manager
from ._calls import PendingCall
from ._failures import FAILED_ANSWER, FAILED_HANDLER, is_failure, report
from ._hubs import HubServer
from ._joining import HandlerRun, JoiningServer
from ._load import core
from ._loops import hub_elsewhere
from ._reasons import common_reasons, count_paths, reasons_of
from .engine import EngineServer, EngineSocket
from .errors import ClientDisconnectedError, PacketError, TooBigError, text_of
from .manager import AsyncManager, is_nobody
from .options import (
    OPTIONS,
    SLOW_CLIENT,
    OptionAttributes,
    ServerOptions,
    check,
    check_all,
    check_names,
    describe,
    installed,
    parameters,
)
from .packet import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    LimitedPayload,
    Packet,
    adapt,
    is_stock_json,
)
from .redis import AsyncRedisManager

if core is not None:
    from .packet import loads_of

#: Characters of a packet from which on reading its JSON costs more than to ask first who sends it;
#: ``LARGE_EVENT`` of csrc/conn/packet_in.c.
_LARGE = 1024

_Connection: Any = core.Connection if core is not None else ()

__all__ = ["AsyncServer", "Server"]


_DECODE = Packet.decode  # whatever the application makes of it


def _refuse_data(packet_type: int, data: Any) -> None:
    """Raise for data that the protocol does not have: a CONNECT's is an object, a DISCONNECT's
    nothing."""
    if data is not None and (packet_type == DISCONNECT or not isinstance(data, dict)):
        raise PacketError("data of another kind than the packet may have")


def _is_undefined(data: Any) -> bool:
    """Whether msgpack has read JavaScript's ``undefined``: extension type 0."""
    msgpack = sys.modules.get("msgpack")
    return msgpack is not None and isinstance(data, msgpack.ExtType) and data.code == 0


def _refuse_packet(packet: Any, max_attachments: int) -> None:
    """Raise what ``_core.decode_message`` would: for packets that were decoded elsewhere."""
    packet_type, data = packet.packet_type, packet.data
    if packet_type in (BINARY_EVENT, BINARY_ACK):
        if packet.attachment_count == 0:
            raise PacketError("binary packet without attachments")
        if packet.attachment_count > max_attachments:
            raise PacketError(
                f"{packet.attachment_count} attachments, max_attachments is {max_attachments}"
            )
    if packet_type in (EVENT, BINARY_EVENT):
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise PacketError("an event must be an array that starts with its name")
    elif packet_type in (ACK, BINARY_ACK) and not isinstance(data, list):
        raise PacketError("an acknowledgement must be an array")


#: Options of the serializer: attributes of its class, by another name.
_PACKET_OPTIONS = {
    "json_default": "json_default",
    "json_max_depth": "max_depth",
    "max_attachments": "max_attachments",
}


def _is_ours(serializer: Any) -> bool:
    return isinstance(serializer, type) and issubclass(serializer, Packet)


def _configured(serializer: Any, json: Any, options: dict[str, Any]) -> Any:
    """The serializer with the options that are its own.

    :raises ValueError: when they are those of our JSON, and the application's is used.
    """
    own = {attr: options[name] for name, attr in _PACKET_OPTIONS.items() if name in options}
    is_json_ours = _is_ours(serializer) and is_stock_json(json)
    if not is_json_ours and (own.get("json_default") is not None or "max_depth" in own):
        raise ValueError("json_default and json_max_depth are options of toolboxsio's own JSON")
    return serializer.configure(**own) if own and _is_ours(serializer) else serializer


def _options_in(serializer: Any) -> dict[str, Any]:
    """The options that a serializer has as attributes."""
    names = _PACKET_OPTIONS if _is_ours(serializer) else {}
    return {name: getattr(serializer, attr) for name, attr in names.items()}


class AsyncServer(OptionAttributes, HubServer, JoiningServer):
    __doc__ = f"""A ``socketio.AsyncServer`` whose packets are encoded and decoded in C.

    Takes every option of python-socketio, and these, limits among them; what a client gets past
    one, the README tells. Each is an attribute, too, which can be assigned at any time: that takes
    effect for the clients that are connected as well, unless the option says otherwise.

{describe()}

    One difference on purpose: a packet that cannot be accepted ends its client's session, with
    one line in the log.

    :raises TypeError: for an option that does not exist, or a value of the wrong type.
    :raises ValueError: for a value out of range.
    """

    packet_class: Any

    def __init__(
        self,
        client_manager: Any = None,
        logger: Any = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: Any = None,
        **kwargs: Unpack[ServerOptions],
    ) -> None:
        upstream: dict[str, Any] = dict(kwargs)
        given = {name: check(name, upstream.pop(name)) for name in OPTIONS if name in upstream}
        engine_class = self._engineio_server_class()
        if isinstance(engine_class, type):  # else nobody knows what it takes
            known = parameters(type(self), engine_class)
            check_names(upstream, {*OPTIONS, *known}, "AsyncServer")
        serializer = upstream.pop("serializer", "default")
        if serializer == "default":
            serializer = Packet
        if serializer == "msgpack":
            serializer = import_module("socketio.msgpack_packet").MsgPackPacket
        serializer = adapt(serializer, json)
        json_in_use = json or getattr(serializer, "json", None)
        options = self._options_of(serializer, json_in_use, given)
        serializer = _configured(serializer, json_in_use, options)
        self.__dict__.update(options | _options_in(serializer))
        if core is not None:
            if client_manager is None:
                client_manager = AsyncManager()
            else:  # one of another kind stands on ours
                adopt_manager(client_manager)
        super().__init__(
            client_manager=client_manager,
            logger=logger,
            json=json,
            async_handlers=async_handlers,
            namespaces=namespaces,
            serializer=serializer,
            **upstream,
        )
        join_halves(self)

    @staticmethod
    def _options_of(serializer: Any, json: Any, given: dict[str, Any]) -> dict[str, Any]:
        """The options of a new server: what it was given, and what install() was."""
        options = {**installed, **given}
        if serializer is not Packet or not is_stock_json(json):
            for name in ("json_default", "json_max_depth"):
                if name not in given:
                    options.pop(name, None)
        return options

    def _use_installed(self, given: dict[str, Any]) -> None:
        """Set the options of a server that was built as upstream's."""
        json = getattr(self.packet_class, "json", None)
        self.__dict__.update(_options_in(self.packet_class))
        self._set_options(self._options_of(self.packet_class, json, given))

    def _set_options(self, given: Mapping[str, Any]) -> None:
        """Set options; clients may be connected.

        :raises TypeError: for an option that does not exist, or a value of the wrong type.
        :raises ValueError: for a value out of range.
        :raises RuntimeError: for ``strict`` while there are clients.
        """
        options = check_all(given, type(self).__name__, OPTIONS)
        if options.get("strict", self.strict) is not self.strict and self.eio.sockets:
            raise RuntimeError("strict cannot be changed while there are clients")
        if not _PACKET_OPTIONS.keys().isdisjoint(options):
            json = getattr(self.packet_class, "json", None)
            self.packet_class = _configured(self.packet_class, json, options)
        self.__dict__.update(options)
        join_halves(self)

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
        if is_nobody(to, room):
            return
        namespace = namespace or "/"
        room = to or room
        self.logger.info('emitting event "%s" to %s [%s]', event, room or "all", namespace)
        more = {"volatile": True} if volatile and core is not None else {}
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

        Mirrors: ``socketio.async_server.AsyncServer.call``. Two differences on purpose: it ends
        when the client goes, and when nobody waits any more nothing is left behind.

        :raises ClientDisconnectedError: a ``socketio.exceptions.TimeoutError``, when the client
            goes, has gone, or never was; of a client of another process when that can tell.
        :raises socketio.exceptions.TimeoutError: after ``timeout`` seconds.
        """
        if to is None and sid is None:
            raise ValueError("Cannot use call() to broadcast.")
        if not self.async_handlers:
            raise RuntimeError("Cannot use call() when async_handlers is False.")
        room, manager = to or sid, self.manager
        is_ours = isinstance(manager, AsyncManager)
        if is_nobody(to, sid) or (
            is_ours and manager.has_nobody(room, namespace or "/", ignore_queue)
        ):
            raise ClientDisconnectedError
        over = self.eio.create_event()
        call = PendingCall(over)
        conn = self._connection_here(room, namespace or "/")
        if conn is not None:
            conn.call_begins()
        try:
            await self.emit(
                event,
                data=data,
                room=room,
                namespace=namespace,
                callback=call,
                ignore_queue=ignore_queue,
            )
            call.emitted()
            await asyncio.wait_for(over.wait(), timeout)
        except TimeoutError:
            raise socketio.exceptions.TimeoutError from None
        finally:
            if conn is not None:
                conn.call_ends()
            if call.answer is None:
                self._forget_callback(call)
        args = call.answer
        if args is None:
            raise ClientDisconnectedError
        return args if len(args) > 1 else args[0] if args else None

    def _connection_here(self, sid: Any, namespace: str) -> Any:
        """The C half of a client's session, when it is one of this event loop's; else None."""
        try:
            eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        except (KeyError, TypeError):
            return None
        conn = getattr(self.eio.sockets.get(eio_sid), "conn", None)
        return conn if isinstance(conn, _Connection) and hub_elsewhere(conn) is None else None

    def _forget_callback(self, callback: PendingCall) -> None:
        """Let go of a callback that nobody waits for any more, and of what leads to it."""
        manager = self.manager
        tables = manager.callbacks
        places = callback.places
        if not isinstance(manager, AsyncManager):  # nobody has noted them
            places = [
                (owner, id)
                for owner, table in list(tables.items())
                for id, found in list(table.items())
                if found is callback
            ]
        for owner, id in places:
            table = tables.get(owner, {})
            table.pop(id, None)
            if (
                len(table) == 1
                and 0 in table
                and not any(owner in rooms.get(None, ()) for rooms in list(manager.rooms.values()))
            ):  # a client of another server
                del tables[owner]

    def _let_go_of(self, sid: str) -> bool:
        """End the session of a client that acknowledges nothing; False when it is not here."""
        n = self.max_pending_acks
        text = f"{n + 1} acknowledgements are awaited, max_pending_acks is {n}"
        for name, rooms in list(self.manager.rooms.items()):
            if sid in rooms.get(None, ()):
                eio_sid = self.manager.eio_sid_from_sid(sid, name)
                socket = self.eio.sockets.get(eio_sid)
                if isinstance(socket, EngineSocket):
                    socket.refuse_soon(text)
                return True
        self.eio._log_error_once(f"{sid}: {text}, the oldest is forgotten", "pending-acks")
        return False

    def _has_asked(self, eio_sid: str, namespace: str | None) -> bool:
        """Whether a client is, or was, in a namespace: strict alone."""
        socket = self.eio.sockets.get(eio_sid)
        asked = getattr(socket, "asked", None)
        return asked is not None and (namespace or "/") in asked

    async def _handle_event_internal(
        self, server: Any, sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None
    ) -> None:
        """Call the handler of an event and send its acknowledgement.

        Mirrors: ``socketio.async_server.AsyncServer._handle_event_internal``.
        """
        begun = time.perf_counter()
        what, has_failed = FAILED_HANDLER, True
        is_own_task = self.async_handlers
        try:
            with HandlerRun(self, eio_sid):
                answer = await server._trigger_event(data[0], namespace, sid, *data[1:])
                what = FAILED_ANSWER
                if answer is not self.not_handled and id is not None:
                    await self._acknowledge(eio_sid, namespace, id, answer)
            has_failed = False
        except BaseException as exc:
            if not is_failure(exc, is_own_task):
                raise
            report(self, exc, what, data[0], namespace, sid, is_own_task)
            if is_own_task:
                raise
        finally:
            self._count_event(namespace, data[0], time.perf_counter() - begun, has_failed)

    def _count_event(self, namespace: str, event: str, seconds: float, has_failed: bool) -> None:
        """Count an event that went through Python, as csrc/conn/call_type.c does for others.

        What clients made up is counted with the catch-all that has handled it, or not at all.
        """
        hub = self._emit_hub()
        if hub is None:
            return
        for ns in (namespace, "*"):
            handlers = self.handlers.get(ns, ())
            if event in handlers or "*" in handlers:
                name = event if event in handlers else "*"
                hub.count_event(ns, name, seconds, has_failed)
                return
        for ns in (namespace, "*"):
            handler = self.namespace_handlers.get(ns)
            if handler is not None:  # looked at without running its code
                is_known = inspect.getattr_static(handler, f"on_{event}", None) is not None
                if is_known or hasattr(type(handler), "__getattr__"):
                    hub.count_event(ns, event if is_known else "*", seconds, has_failed)
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

    def acceleration(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """Tell how the packets of a client are handled.

        ``{"path": str, "fast": bool, "reasons": [str, ...]}``: the way to the client ("direct",
        under :func:`toolboxsio.run` for example, "asgi", "polling", "upstream"; "over" when it has
        gone), whether its events are dispatched in C, and each reason why they are not, or why the
        way is not direct.

        :raises KeyError: when there is no such client.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
        socket = self.eio._get_socket(eio_sid)
        conn = getattr(socket, "conn", None)
        if conn is None:
            return {"path": "upstream", "fast": False, "reasons": reasons_of(socket)}
        reasons = self._why_not_fast()[0] + conn.reasons
        why = reasons + reasons_of(socket)
        return {"path": conn.path, "fast": not reasons, "reasons": why}

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
            sids = {
                name: manager.sid_from_eio_sid(socket.sid, name) for name in list(manager.rooms)
            }
            try:
                decision = decision({name: sid for name, sid in sids.items() if sid}, waiting)
                if decision not in SLOW_CLIENT:
                    raise ValueError(f"slow_client returned {decision!r}, not one of {SLOW_CLIENT}")
            except Exception:
                self.logger.exception("slow_client failed")
                decision = "disconnect"
        if decision == "disconnect":
            socket.conn.give_up()
        else:
            text = f"{socket.sid}: Client is slow, {waiting} bytes wait for it"
            self.eio._log_error_once(text, "slow")

    def status(self) -> dict[str, Any]:
        """Tell how the server is doing.

        ``{"sessions": int, "acceleration": {...}, "events": {...}, "redis": {...} | None}``:
        Engine.IO sessions that exist; which ways they are on (``paths``, named as by
        :meth:`acceleration`), why WebSockets are not direct (``not_direct``, of the first 100
        sessions) and why events and emits do not go through C (``events``, ``emits``:
        lists of texts, empty when they do); what was handled since the start, by event (one of
        another namespace than ``/`` as ``"/namespace event"``, of a catch-all as ``*``): ``count``,
        ``failed``, and ``p50`` and ``p99`` of the milliseconds from reading to answer; what
        ``AsyncRedisManager.status()`` says. On any thread, also before there is an event loop.
        """
        events, emits = self._why_not_fast()
        manager, sockets = self.manager, list(self.eio.sockets.values())
        return {
            "sessions": len(sockets),
            "acceleration": {
                "paths": count_paths(sockets),
                "not_direct": common_reasons(sockets),
                "events": events,
                "emits": emits,
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

    async def shutdown(self, timeout: float | None = None) -> None:
        """End the sessions of all clients and stop the background tasks.

        Each client gets the answers of its handlers that are at work, then a goodbye; what was
        published leaves before the connections to Redis end. No new session is opened. uvicorn's
        stop does the same for the clients by itself.

        Mirrors: ``socketio.async_server.AsyncServer.shutdown``, which stops the tasks alone.

        :param timeout: seconds that handlers have, then they are cancelled; ``shutdown_timeout``.
        """
        if core is not None and isinstance(self.eio, EngineServer):
            await self.eio.stop(self.shutdown_timeout if timeout is None else timeout, 1001)
        await super().shutdown()
        if isinstance(self.manager, AsyncRedisManager):
            await self.manager.flush(FLUSH_SECONDS)
            await self.manager.close()

    def _is_behind(self, eio_sid: str) -> bool:
        """Whether something waits for a client that it has not taken."""
        socket = self.eio.sockets.get(eio_sid)
        conn = getattr(socket, "conn", None)
        return bool(conn is not None and conn.is_behind)

    def _sends_at_once(self) -> bool:
        """Whether sending a packet waits for nothing: all methods on the way are as they were."""
        from .plan import sends_at_once

        return sends_at_once(self)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """Dispatch a message of a client.

        Mirrors: ``socketio.async_server.AsyncServer._handle_eio_message``.

        :raises PacketError: for what no server should accept; nothing was dispatched then.
        """
        if core is None:
            await super()._handle_eio_message(eio_sid, data)
            return
        waiting = self._binary_packet.get(eio_sid)
        if waiting is None and isinstance(data, (bytes, bytearray)):
            socket = self.eio.sockets.get(eio_sid)
            if isinstance(socket, EngineSocket) and socket.stray_attachments > 0:
                socket.stray_attachments -= 1
                return
        try:
            if waiting is None and self._is_from_nobody(eio_sid, data):
                return
            packet = self._decode(data) if waiting is None else self._attach(eio_sid, waiting, data)
        except PacketError:
            raise
        except (ValueError, RecursionError) as exc:
            raise PacketError(text_of(exc)) from exc
        except (TypeError, LookupError) as exc:  # what another serializer raises
            raise PacketError(f"not a packet ({text_of(exc)})") from exc
        if packet is not None:
            await self._dispatch(eio_sid, *packet)

    def _is_from_nobody(self, eio_sid: str, data: Any) -> bool:
        """Whether a large event or acknowledgement is for a namespace that its client is not in.

        Upstream reads its JSON before it asks: work that anybody could cause.

        :raises PacketError: strict: when the client has not asked for the namespace either.
        :raises ValueError: when there is no header of a packet.
        """
        if not isinstance(data, str) or len(data) < _LARGE:
            return False
        cls = self.packet_class
        if not getattr(cls, "_plain", False) or cls.decode is not _DECODE:
            return False
        packet_type, namespace = core.packet_head(data)  # type: ignore[union-attr]
        if packet_type not in (EVENT, ACK):
            return False
        namespace = namespace or "/"
        if self.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            return False
        if self.strict and not self._has_asked(eio_sid, namespace):
            raise PacketError("packet for a namespace that the client is not in")
        self.logger.warning("%s is not connected to namespace %s", None, namespace)
        return True

    def _decode(self, data: Any) -> tuple[int, str | None, int | None, Any, Any]:
        """Type, namespace, id, data and, for a packet that is not complete yet, the packet."""
        cls = self.packet_class
        is_plain = getattr(cls, "_plain", False) and cls.decode is _DECODE
        if is_plain and isinstance(data, (bytes, bytearray)):
            raise PacketError("binary data that no packet has announced")
        if is_plain and isinstance(data, str) and loads_of(cls.json) is None:
            packet_type, namespace, id, args, count = core.decode_message(  # type: ignore[union-attr]
                data, self.max_attachments, cls.max_depth
            )
            if count and packet_type in (BINARY_EVENT, BINARY_ACK):
                packet = cls(packet_type, args, namespace, id, binary=False)
                packet.attachment_count = count
                return packet_type, namespace, id, args, packet
            return packet_type, namespace, id, args, None
        packet = cls(encoded_packet=data)
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
        most = self._attachments_limit()
        size = sum(map(len, packet.attachments)) + len(data)
        if size > most:
            raise TooBigError(f"attachments of {size} bytes, max_attachment_bytes is {most}")
        if packet.add_attachment(data):
            conn = getattr(self.eio.sockets.get(eio_sid), "conn", None)
            if isinstance(conn, _Connection):
                conn.message_bytes = sum(map(len, packet.attachments))
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
        if packet_type in (CONNECT, DISCONNECT):
            if data is not None and _is_undefined(data):  # the official client has no auth
                data = None
            if self.strict:
                _refuse_data(packet_type, data)
        if self.strict and packet_type != CONNECT and not self._has_asked(eio_sid, namespace):
            raise PacketError("packet for a namespace that the client is not in")
        if partial is not None:
            # one that has just lost this namespace may have sent it before it knew
            is_here = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
            if not is_here and not self._has_joined(eio_sid):
                raise PacketError("binary packet from a client that is not connected")
            self._binary_packet[eio_sid] = partial
        elif packet_type in (EVENT, BINARY_EVENT):
            socket = self.eio.sockets.get(eio_sid)
            conn = getattr(socket, "conn", None) if isinstance(socket, EngineSocket) else None
            is_here = conn is not None and conn.dispatch(namespace, id, data)
            if not is_here and getattr(self.eio, "stopping", False) is not True:
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


if core is None:  # plain python-socketio: nothing that stands for its internals
    for _cls in AsyncServer.__mro__[: AsyncServer.__mro__.index(socketio.AsyncServer)]:
        for _name in set(vars(_cls)) & set(dir(socketio.AsyncServer)):
            if not _name.startswith("__") and _name not in ("emit", "shutdown"):
                delattr(_cls, _name)


#: Seconds for what was published, when the server is shut down.
FLUSH_SECONDS = 1


def join_halves(sio: Any) -> None:
    """Let the Engine.IO server know its owner, and both and their hub the options in force."""
    eio = sio.eio
    if core is None or not isinstance(eio, EngineServer):
        return
    eio.owner = sio
    for name in ("upgrade_timeout", "shutdown_timeout", "strict"):
        setattr(eio, name, getattr(sio, name))
    seconds = sio.message_timeout
    eio.message_timeout = eio.ping_interval + eio.ping_timeout if seconds is None else seconds
    base = getattr(eio.payload_class, "unlimited", eio.payload_class)
    more = {"max_packets": sio.max_payload_packets, "unlimited": base}
    eio.payload_class = type("LimitedPayload", (LimitedPayload, base), more)
    eio.slim()
    sio._limit_hubs()
