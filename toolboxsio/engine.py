"""The Engine.IO server and its sockets, with packets, connections and deadlines in C.

What touches python-engineio's internals stands here; each such place names the upstream function.
Where an application (``instrument()``, for one) has replaced a method of upstream's socket class,
that method runs.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, cast

import engineio
import engineio.async_drivers.asgi
import engineio.async_socket
import engineio.exceptions
from engineio.async_server import AsyncServer as _UpstreamServer
from engineio.async_socket import AsyncSocket as _UpstreamSocket
from engineio.packet import MESSAGE, NOOP, OPEN, PING, PONG, UPGRADE, packet_names

from ._drain import drain_all
from ._load import core
from .asgi import translate_request
from .errors import PacketError
from .packet import EnginePacket, EnginePayload

__all__ = ["EngineServer", "EngineSocket"]

#: Kinds of deadlines, as csrc/conn/conn.h numbers them.
DUE_PING, DUE_PONG, DUE_CONNECT, DUE_MESSAGE, DUE_LEAVE, DUE_CLOSE = range(6)

_OFFER = "toolboxsio.direct"

#: Where an application replaces one of these, its sessions are upstream's from the start.
_SESSION_METHODS = (
    "_websocket_handler",
    "_send_ping",
    "schedule_ping",
    "check_ping_timeout",
    "poll",
)

_UPSTREAM_METHODS = {
    name: _UpstreamSocket.__dict__[name]
    for name in ("handle_post_request", "send", *_SESSION_METHODS)
}

#: Where a socket has one of these on itself, each of its packets takes the long way.
_WATCHED = frozenset(("receive", "send", "close", "_receive_encoded"))

_COUNTED = (str, bytes, bytearray)

_AsgiWebSocket = engineio.async_drivers.asgi.WebSocket


def _is_replaced(name: str) -> bool:
    """Whether the application has replaced a method of upstream's class."""
    return _UpstreamSocket.__dict__.get(name) is not _UPSTREAM_METHODS[name]


def is_send_replaced() -> bool:
    """Whether the application has replaced how upstream's sockets send."""
    return _is_replaced("send")


async def _gone(*_: Any) -> Any:
    """What `asgi.receive` and `asgi.send` of an environ are when the connection is direct."""
    raise RuntimeError("this connection does not go through ASGI")


class EngineSocket(_UpstreamSocket):  # type: ignore[misc]
    """A client's session. Mirrors: ``engineio.async_socket.AsyncSocket``.

    ``conn`` is its C half: deadlines, and from a WebSocket on its transport (``conn.path``). It is
    None where a session is upstream's. One difference on purpose: a packet that cannot be read ends
    the connection.
    """

    conn: Any = None
    connected: bool
    server: Any
    sid: str
    last_ping: float | None
    upgrading: bool
    upgraded: bool
    closing: bool
    closed: bool
    session: dict[str, Any]
    refused = False  # a packet was refused: the connection is over
    _environ: dict[str, Any] | None = None  # of the request that is being handled
    _reader: asyncio.Task[Any] | None = None  # ASGI: who waits for messages
    _interrupted = False  # it need not wait any more
    _handles_event = False  # it is in the application's code
    _waiter: asyncio.Future[None] | None = None  # ASGI: reading goes on when it is done
    _has_grace = False
    _send_message: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    _is_uvicorn = False  # it is uvicorn's, which does not ask in which task it runs

    def __init__(self, server: Any, sid: str) -> None:
        """Mirrors: ``engineio.base_socket.BaseSocket.__init__``; the queue is made when needed."""
        self.__dict__.update(
            server=server,
            sid=sid,
            last_ping=time.time(),
            connected=False,
            upgrading=False,
            upgraded=False,
            closing=False,
            closed=False,
            session={},
        )

    def __getattr__(self, name: str) -> Any:
        if name != "queue":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        queue = self.server.create_queue()
        self.__dict__["queue"] = queue
        return queue

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _WATCHED and self.conn is not None:
            self.conn.stock = False
        super().__setattr__(name, value)

    async def refuse(self, reason: object) -> None:
        """Log one line about a packet that is not accepted, and close the connection."""
        self.refused = True
        self.server._log_error_once(f"{self.sid}: Packet refused: {reason}", "packet-refused")
        await self.close(wait=False, reason=self.server.reason.TRANSPORT_ERROR)
        self._hang_up()

    async def close(
        self, wait: bool = True, abort: bool = False, reason: str | None = None
    ) -> None:
        """End the session. Mirrors: ``engineio.async_socket.AsyncSocket.close``.

        A WebSocket is closed at once when the client has said goodbye, else when it leaves, or
        after ``ping_interval + ping_timeout`` seconds.
        """
        await super().close(wait=wait, abort=abort, reason=reason)
        conn = self.conn
        if conn is None or not self.closed or conn.path == "over":
            return
        conn.closing()
        if abort:
            self._hang_up()
        elif not conn.close_sent:
            conn.expect(DUE_LEAVE)

    def _hang_up(self) -> None:
        """Close the WebSocket; what was sent before leaves first."""
        conn = self.conn
        if conn is None:
            return
        if conn.path == "direct":
            conn.close(1000)
        elif conn.path == "asgi":
            self._interrupt()
        elif conn.path == "polling" and self.closed:
            conn.expect(DUE_LEAVE, max(self.server.ping_timeout, 0.1))  # a poll may be on its way

    def _interrupt(self) -> None:
        """Let the reader of messages come to its end; what it handles just now, it handles."""
        self._interrupted = True
        self._resume_reading()
        reader = self._reader
        if reader is not None and not self._handles_event and reader is not asyncio.current_task():
            reader.cancel()

    # --- deadlines ---

    def schedule_ping(self) -> None:
        """Let a PING be due. Mirrors: ``engineio.async_socket.AsyncSocket.schedule_ping``."""
        if self.conn is None:
            super().schedule_ping()
        else:
            self.last_ping = None
            self._has_grace = False
            self.conn.heartbeat()

    def _deadline(self, kind: int) -> None:
        """A deadline has passed; called by the timer."""
        if kind in (DUE_LEAVE, DUE_CLOSE):
            if self.conn.path == "polling":
                self._let_go()
            else:
                self._hang_up()
        else:
            self.server.hub().start(self._late(kind), copy_context())

    async def _late(self, kind: int) -> None:
        server = self.server
        if self.closing or self.closed:
            return
        if kind == DUE_PING:
            self.conn.pinged()
            self.last_ping = time.time()
            await self.send(EnginePacket(PING))
        elif kind == DUE_PONG:
            await self._late_pong()
        elif kind == DUE_CONNECT:
            if not server.owner._has_joined(self.sid):
                server.logger.info("%s: Client joins no namespace, closing socket", self.sid)
                await self.close(wait=False, abort=False, reason=server.reason.TRANSPORT_ERROR)
                self._hang_up()
        elif kind == DUE_MESSAGE:
            await self.refuse("a message was not whole in time")

    async def _late_pong(self) -> None:
        """The client has not answered a PING.

        One that has said nothing at all since then is, as with upstream, found by what waits for
        its messages, or by its poll.
        """
        server = self.server
        if self.conn.path == "polling" and not self._has_grace:
            self._has_grace = True
            self.conn.pinged(server.ping_timeout / 2)
        elif self.conn.path != "polling" and not self.conn.heard:
            self._hang_up()
            if self.conn.path == "direct":
                await self.close(wait=False, abort=True, reason=server.reason.TRANSPORT_CLOSE)
        else:
            server.logger.info("%s: Client is gone, closing socket", self.sid)
            await self.close(wait=False, abort=False, reason=server.reason.PING_TIMEOUT)
            self._hang_up()

    def _too_slow(self, waiting: int) -> None:
        """More output waits than may; called by the connection, which drops all of it.

        The application's handler runs later: an emit may be at work for other clients.
        """
        server = self.server
        server.logger.error(
            "%s: Client is too slow, %s bytes wait for it, closing socket", self.sid, waiting
        )
        asyncio.get_running_loop().call_soon(self._start_drop)

    def _start_drop(self) -> None:
        self.server.hub().start(self._drop(), copy_context())

    def _slow(self, waiting: int) -> None:
        """More output waits than may, and slow clients are kept; called by the connection."""
        owner = self.server.owner
        asyncio.get_running_loop().call_soon(owner._decide_slow, self, waiting)

    async def _drop(self) -> None:
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        queue = vars(self).get("queue")
        while queue is not None and not queue.empty():
            queue.get_nowait()
            queue.task_done()
        if self.conn is not None:
            self.conn.abort()

    # --- packets in ---

    async def _receive_encoded(self, encoded: str | bytes) -> None:
        """Read one packet and act on it."""
        try:
            packet = EnginePacket(encoded_packet=encoded)
            if packet.packet_type >= len(packet_names):
                raise PacketError("unknown Engine.IO packet type")
        except ValueError as exc:
            await self.refuse(exc)
        else:
            await self.receive(packet)

    async def _receive_lane(self, encoded: str | bytes) -> None:
        """The same, and what it raises ends here. What follows waits for it.

        Mirrors: the loop of ``engineio.async_socket.AsyncSocket._websocket_handler``.
        """
        try:
            await self._receive_encoded(encoded)
        except engineio.exceptions.UnknownPacketError:
            pass
        except engineio.exceptions.SocketIsClosedError:
            self.server.logger.info("Receive error -- socket is closed")
            self._hang_up()
        except Exception:
            self.server.logger.exception("Unknown receive error")
        if not self.server.hub().is_fast:
            await asyncio.sleep(0)  # what this has started comes before the next message
        if self.conn is not None:
            if self.server.awaits_attachments(self.sid):
                self.conn.expect(DUE_MESSAGE)
            else:
                self.conn.relax(DUE_MESSAGE)

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Receive the packets of a polling request.

        Mirrors: ``engineio.async_socket.AsyncSocket.handle_post_request``.
        """
        if _is_replaced("handle_post_request"):
            await super().handle_post_request(environ)
            return
        length = int(environ.get("CONTENT_LENGTH", "0"))
        if length > self.server.max_http_buffer_size:
            raise engineio.exceptions.ContentTooLongError
        body = await environ["wsgi.input"].read(length)
        try:
            packets = EnginePayload(encoded_payload=body.decode("utf-8")).packets
            if any(packet.packet_type >= len(packet_names) for packet in packets):
                raise PacketError("unknown Engine.IO packet type")
        except (ValueError, KeyError) as exc:
            await self.refuse(exc)
        else:
            for packet in packets:
                await self.receive(packet)
                if self.refused:
                    break
        if self.refused:
            raise engineio.exceptions.EngineIOError("invalid payload")

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """Answer a poll, or accept a WebSocket.

        Mirrors: ``engineio.async_socket.AsyncSocket.handle_get_request``.
        """
        try:
            return await super().handle_get_request(environ)
        except PacketError:  # the log has it
            return ""

    # --- packets out ---

    async def send(self, pkt: Any) -> None:
        """Send a packet. Mirrors: ``engineio.async_socket.AsyncSocket.send``."""
        conn = self.conn
        if conn is None or conn.path == "polling":
            await super().send(pkt)
            if conn is not None and not self.closed and isinstance(pkt.data, _COUNTED):
                conn.queued(len(pkt.data))
            return
        if _is_replaced("send"):
            await super().send(pkt)
            self._send_waiting()
            return
        if self.closed:
            raise engineio.exceptions.SocketIsClosedError
        conn.send(pkt.encode())
        self.server.logger.info(
            "%s: Sending packet %s data %s",
            self.sid,
            packet_names[pkt.packet_type],
            pkt.data if not isinstance(pkt.data, bytes) else "<binary>",
        )

    async def poll(self) -> list[Any]:
        """Wait for packets. Mirrors: ``engineio.async_socket.AsyncSocket.poll``, without a task."""
        queue = self.queue
        try:
            async with asyncio.timeout(self.server.ping_interval + self.server.ping_timeout):
                packet = await queue.get()
            queue.task_done()
        except (TimeoutError, asyncio.CancelledError):
            raise engineio.exceptions.QueueEmpty from None
        if self.conn is not None:
            self.conn.fetched()
        if packet is None:
            return []
        packets = [packet]
        while not queue.empty():
            packet = queue.get_nowait()
            queue.task_done()
            if packet is None:
                queue.put_nowait(None)
                break
            packets.append(packet)
        return packets

    def _send_waiting(self) -> None:
        """Send what waited for a poll."""
        queue = self.__dict__.pop("queue", None)
        while queue is not None and not queue.empty():
            packet = queue.get_nowait()
            queue.task_done()
            if packet is not None:
                self.conn.send(packet.encode())

    # --- WebSocket ---

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        """Accept a WebSocket.

        Mirrors: ``engineio.async_socket.AsyncSocket._upgrade_websocket``.
        """
        self._environ = environ
        try:
            return await super()._upgrade_websocket(environ)
        finally:
            self._environ = None

    async def _websocket_handler(self, ws: Any) -> None:
        """Serve a WebSocket: to its end, or until its transport is taken.

        Mirrors: ``engineio.async_socket.AsyncSocket._websocket_handler``.

        :raises PacketError: when the upgrade failed for a packet that was refused.
        """
        if self.conn is None or _is_replaced("_websocket_handler"):
            await super()._websocket_handler(ws)
            return
        if not self.connected:
            self.connected = True
            self.upgraded = True
        else:
            try:
                if not await self._upgrade(ws):
                    return
            except PacketError as exc:
                await self.refuse(exc)
                raise
        if self._take_transport(ws):
            self.server.logger.info("%s: Upgrade to websocket successful", self.sid)
            return
        self._reader = asyncio.current_task()
        self.conn.attach_messages()
        if type(ws) is _AsgiWebSocket:
            receive, self._send_message = ws.asgi_receive, ws.asgi_send
            sender = type(getattr(ws.asgi_send, "__self__", None))
            self._is_uvicorn = sender.__module__.startswith("uvicorn.")
        else:
            receive, self._send_message = _messages_of(ws)
        self._send_waiting()
        self.server.logger.info("%s: Upgrade to websocket successful", self.sid)
        try:
            await self._read(receive)
        finally:
            self._reader = None
            await self._drain()
            await ws.close()
            await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
            self._let_go()

    async def _wait(self, ws: Any) -> str | bytes | None:
        data = await ws.wait()
        if data and len(data) > self.server.max_http_buffer_size:
            raise PacketError("packet is too large")
        return cast("str | bytes | None", data)

    async def _upgrade(self, ws: Any) -> bool:
        """Take a polling connection over: PING "probe", PONG "probe", UPGRADE."""
        self.upgrading = True  # packets are held meanwhile
        try:
            async with asyncio.timeout(self.server.upgrade_timeout or None):
                packet = EnginePacket(encoded_packet=await self._wait(ws))
                if packet.packet_type != PING or packet.data != "probe":
                    self.server.logger.info(
                        "%s: Failed websocket upgrade, no PING packet", self.sid
                    )
                    return False
                await ws.send(EnginePacket(PONG, data="probe").encode())
                await self.queue.put(EnginePacket(NOOP))  # ends the poll that waits
                encoded = await self._wait(ws)
                packet = EnginePacket(encoded_packet=encoded)
        except OSError as exc:
            if isinstance(exc, TimeoutError):
                self.server.logger.info("%s: Failed websocket upgrade, timeout", self.sid)
                await ws.close()
            return False
        except ValueError as exc:
            raise PacketError(str(exc)) from exc
        else:
            if packet.packet_type != UPGRADE:
                self.server.logger.info(
                    "%s: Failed websocket upgrade, expected UPGRADE packet, received %s instead.",
                    self.sid,
                    encoded,
                )
                return False
            self.upgraded = True
            return True
        finally:
            self.upgrading = False

    def _take_transport(self, ws: Any) -> bool:
        """Let the connection have uvicorn's transport, when nothing stands between."""
        environ = self._environ
        if environ is None or type(ws) is not _AsgiWebSocket:
            return False
        scope = environ.get("asgi.scope") or {}
        offer = scope.get("extensions", {}).get(_OFFER)
        if offer is None or ws.asgi_receive != offer.receive or ws.asgi_send != offer.send:
            return False
        if not offer.hand_over(self.conn, copy_context()):
            return False
        del scope["extensions"][_OFFER]
        environ["asgi.receive"] = environ["asgi.send"] = _gone
        ws.asgi_receive = ws.asgi_send = _gone
        self._send_waiting()
        asyncio.get_running_loop().call_soon(self.conn.go_on)
        return True

    async def _read(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """Receive messages until the connection ends."""
        conn, send = self.conn, self._send_message
        assert send is not None
        feed, next_message = conn.feed, conn.next_message
        while not self._interrupted:
            try:
                event = await receive()
            except asyncio.CancelledError:
                self._stop_cancelling()
                break
            except Exception:
                break
            message = feed(event)
            if message.__class__ is bool:
                self._handles_event = True
                try:
                    if not await self._receive_event(event, not message):
                        break
                finally:
                    self._handles_event = False
            try:
                while message.__class__ is dict:
                    await send(message)
                    message = next_message()
            except asyncio.CancelledError:
                if not self._stop_cancelling():
                    raise
            except Exception:
                self._cannot_send()

    def _stop_cancelling(self) -> bool:
        """Whether it was _interrupt() that has cancelled the reader: then it is undone."""
        task = asyncio.current_task()
        if self._interrupted and task is not None:
            task.uncancel()
        return self._interrupted

    async def _receive_event(self, event: Any, is_whole: bool) -> bool:
        """Handle what the connection has left to Python; False at the end of the connection.

        :param is_whole: all of the event, instead of the wait that it has caused.
        """
        conn = self.conn
        if is_whole:
            if event["type"] != "websocket.receive":
                return False
            data = event.get("bytes")
            if data is None:
                data = event.get("text")
            if data is None or len(data) > self.server.max_http_buffer_size:
                return False
            await self._receive_lane(data)
        await self._drain()
        while conn.must_wait and not self._interrupted:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return True

    def _resume_reading(self) -> None:
        """The client's next message may come; called by the connection."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drain_soon(self, sockets: list[EngineSocket]) -> None:
        """Send what waits for these; called by the hub, on the first of them."""
        hub = self.server.hub()
        drain = drain_all(hub, sockets) if len(sockets) > 1 else self._drain()
        hub.start(drain, copy_context())

    async def _drain(self) -> None:
        """Send what waits, in order. One at a time."""
        conn, send = self.conn, self._send_message
        if conn is None or send is None or conn.draining:
            return
        try:
            while (message := conn.next_message()) is not None:
                await send(message)
        except Exception:
            self._cannot_send()

    def _cannot_send(self) -> None:
        """The peer is gone; the reader sees it too."""
        self.server.logger.info("%s: Write error, closing connection", self.sid)
        self._send_message = None
        self._interrupt()

    async def _connection_over(self) -> None:
        """The WebSocket is closed; called by the connection, once."""
        server = self.conn.server
        task = asyncio.current_task()
        if server is not None and task is not None:
            server.tasks.add(task)  # uvicorn waits for them
            task.add_done_callback(server.tasks.discard)
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
        self._let_go()

    def _let_go(self) -> None:
        if self.conn is not None:
            self.conn.release()
        if self.closed and self.server.sockets.get(self.sid) is self:
            del self.server.sockets[self.sid]


def _messages_of(
    ws: Any,
) -> tuple[Callable[[], Awaitable[Any]], Callable[[dict[str, Any]], Awaitable[None]]]:
    """Another driver's WebSocket, with the messages of ASGI."""

    async def receive() -> dict[str, Any]:
        data = await ws.wait()
        if data is None:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}

    async def send(message: dict[str, Any]) -> None:
        await ws.send(message["text"] if message["bytes"] is None else message["bytes"])

    return receive, send


def _socket_class() -> Any:
    """The class of new sockets: one that the application has put in upstream's place, or ours."""
    current = engineio.async_socket.AsyncSocket
    return EngineSocket if current is _UpstreamSocket else current


class EngineServer(_UpstreamServer):  # type: ignore[misc]
    """The Engine.IO server. Mirrors: ``engineio.async_server.AsyncServer``."""

    start_service_task: bool
    _async: Any
    #: The Socket.IO server whose events are dispatched in C; None: nobody's.
    owner: Any = None
    #: Seconds for an upgrade to WebSocket; 0: without an end.
    upgrade_timeout: float = 10
    #: What a client without a session here is told besides: a fleet may have sent it astray.
    session_hint = ""
    _hub: Any = None
    _hub_loop: Any = None
    _sequence: list[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sequence = [0]
        super().__init__(*args, **kwargs)
        self.slim()

    def slim(self) -> None:
        """Use the translation of requests that keeps less for each client."""
        driver = engineio.async_drivers.asgi
        if self._async is driver._async:
            self._async = {**driver._async, "translate_request": translate_request}
        if "_sequence" not in self.__dict__:  # built as upstream's
            self._sequence = [self.__dict__.pop("sequence_number", 0)]

    @property
    def sequence_number(self) -> int:
        """Part of the next id. Kept aside: what is watched for changes does not change with it."""
        return self._sequence[0]

    @sequence_number.setter
    def sequence_number(self, number: int) -> None:
        self._sequence[0] = number

    def hub(self) -> Any:
        """What the connections share on this event loop; None without a Socket.IO server."""
        loop = asyncio.get_running_loop()
        if self._hub_loop is not loop and self.owner is not None:
            self._hub = self.owner._make_hub(loop)
            self._hub_loop = loop
        return self._hub

    def awaits_attachments(self, sid: str) -> bool:
        """Whether a client has announced binary attachments that are not here yet."""
        return self.owner is not None and sid in self.owner._binary_packet

    async def send(self, sid: str, data: Any) -> None:
        """Send a message to a client. Mirrors: ``engineio.async_server.AsyncServer.send``."""
        await self.send_packet(sid, EnginePacket(MESSAGE, data=data))

    async def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        """Call an event handler.

        Mirrors: ``engineio.async_server.AsyncServer._trigger_event`` for messages that are not
        handled in a task of their own: there a refused packet ends the connection.
        """
        handler = self.handlers.get(event)
        if (
            event != "message"
            or kwargs.get("run_async")
            or not inspect.iscoroutinefunction(handler)
        ):
            return await super()._trigger_event(event, *args, **kwargs)
        return await self.run_handler(args[0], handler(*args))

    async def run_handler(self, sid: str, handling: Awaitable[Any]) -> Any:
        """Wait for a message handler; what it raises ends here."""
        try:
            return await handling
        except asyncio.CancelledError:
            pass
        except PacketError as exc:
            socket = self.sockets.get(sid)
            if isinstance(socket, EngineSocket):
                await socket.refuse(exc)
            else:
                self._log_error_once(f"{sid}: Packet refused: {exc}", "packet-refused")
        except Exception:
            self.logger.exception("message async handler error")
        return None

    def _open_packet(self, sid: str, transport: str) -> EnginePacket:
        interval = self.ping_interval + self.ping_interval_grace_period
        return EnginePacket(
            OPEN,
            {
                "sid": sid,
                "upgrades": self._upgrades(sid, transport),
                "pingTimeout": int(self.ping_timeout * 1000),
                "pingInterval": int(interval) * 1000,
                "maxPayload": self.max_http_buffer_size,
            },
        )

    def _bad_request(self, message: str | None = None) -> Any:
        """Answer 400, with the hint to who asks for a session that is not here."""
        if message is not None and message.startswith("Invalid session ") and self.session_hint:
            message = f"{message} ({self.session_hint})"
        return super()._bad_request(message)

    def _cookie_headers(self, sid: str) -> list[tuple[str, str]] | None:
        if not self.cookie:
            return None
        attributes = self.cookie
        if not isinstance(attributes, dict):
            attributes = {"name": attributes, "path": "/", "SameSite": "Lax"}
        return [("Set-Cookie", self._generate_sid_cookie(sid, attributes))]

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        """Open a session. Mirrors: ``engineio.async_server.AsyncServer._handle_connect``."""
        sid = self.generate_id()
        socket = _socket_class()(self, sid)
        self.sockets[sid] = socket
        hub = self.hub() if isinstance(socket, EngineSocket) else None
        if hub is not None and not any(map(_is_replaced, _SESSION_METHODS)):
            socket.conn = hub.connection(socket, sid)
            socket.conn.stock = all(
                getattr(type(socket), name) is getattr(EngineSocket, name) for name in _WATCHED
            )
        elif self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        await socket.send(self._open_packet(sid, transport))

        answer = await self._trigger_event("connect", sid, environ, run_async=False)
        if answer is not None and answer is not True:
            del self.sockets[sid]
            self.logger.warning("Application rejected connection")
            return self._unauthorized(answer or None)
        socket.schedule_ping()
        if hub is not None and socket.conn is not None:
            socket.conn.expect(DUE_CONNECT)

        if transport == "websocket":
            response = await socket.handle_get_request(environ)
            if socket.closed and sid in self.sockets:
                del self.sockets[sid]
            return response
        socket.connected = True
        try:
            packets = await socket.poll()
        except engineio.exceptions.QueueEmpty:
            return self._bad_request()
        return self._ok(packets, headers=self._cookie_headers(sid), jsonp_index=jsonp_index)

    def _ok(
        self,
        packets: list[Any] | None = None,
        headers: list[tuple[str, str]] | None = None,
        jsonp_index: int | None = None,
    ) -> dict[str, Any]:
        """Answer a polling request. Mirrors: ``engineio.base_server.BaseServer._ok``."""
        if packets is None:
            return cast("dict[str, Any]", super()._ok(headers=headers, jsonp_index=jsonp_index))
        body = EnginePayload(packets=packets).encode(jsonp_index=jsonp_index)
        return {
            "status": "200 OK",
            "headers": [*(headers or []), ("Content-Type", "text/plain; charset=UTF-8")],
            "response": body.encode("utf-8"),
        }


if core is None:  # plain python-engineio
    EngineServer = _UpstreamServer  # type: ignore[misc]
    EngineSocket = _UpstreamSocket  # type: ignore[misc]
