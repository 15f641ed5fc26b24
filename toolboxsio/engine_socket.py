"""The sockets of the Engine.IO server, with packets, connections and deadlines in C.

What touches the internals of python-engineio's sockets stands here, what touches its server in
engine.py; each such place names the upstream function. Where an application (``instrument()``, for
one) has replaced a method of upstream's socket class, that method runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable
from contextvars import copy_context
from typing import Any, cast

import engineio.async_drivers.asgi
import engineio.exceptions
from engineio.async_socket import AsyncSocket as _UpstreamSocket
from engineio.packet import CLOSE, NOOP, OPEN, PING, PONG, UPGRADE, packet_names

from ._asgi_websocket import ASGIWebSocket, State
from ._bystanders import behind
from ._drain import drain_all
from ._handover import OFFER
from ._load import core
from ._loops import hub_elsewhere
from ._messages import close_websocket, is_longer, reason_of, too_big_text
from ._polling import PollingSocket, is_replaced
from ._server_stop import WEB_SERVER_STOPS, watch_request
from ._sliced_input import SlicedInput, slice_websocket
from ._upgrade import UPGRADE_FAILED, Probe, UpgradeError
from .errors import PacketError, TooBigError, TooLateError, text_of
from .packet import EnginePacket

__all__ = ["EngineSocket"]

#: Kinds of deadlines, as csrc/conn/conn.h numbers them.
DUE_PING, DUE_PONG, DUE_CONNECT, DUE_MESSAGE, DUE_LEAVE, DUE_CLOSE = range(6)

#: What a client may not send; PING and UPGRADE are for the upgrade, which is not read here.
_SERVERS_OWN = (OPEN, PING, UPGRADE, NOOP)

#: Seconds in which a poll of a session that is over may be on its way.
_LATE_SECONDS = 1


_AsgiWebSocket = engineio.async_drivers.asgi.WebSocket


async def _gone(*_: Any) -> Any:
    """What `asgi.receive` and `asgi.send` of an environ are when the connection is direct."""
    raise RuntimeError("this connection does not go through ASGI")


class EngineSocket(PollingSocket):
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
    refusal: PacketError | None = None  # why the session was ended by us
    _environ: dict[str, Any] | None = None  # of the request that is being handled
    _asgi: ASGIWebSocket | None = None  # while there is one
    _turn: asyncio.Future[None] | None = None  # ASGI and polling: for it the next message waits
    _has_grace = False
    _is_leaving = False
    stray_attachments = 0  # of packets that are not handled any more
    asked: set[str] | None = None  # strict: namespaces that the client has asked for
    _input: SlicedInput | None = None  # ASGI: through which uvicorn gets what the client sends

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

    @functools.cached_property
    def queue(self) -> Any:
        return self.server.create_queue()

    def follow_loop(self) -> None:
        """A session that polls goes on here when its event loop is closed: some web servers of
        tests have a loop for each request."""
        conn = self.conn
        if conn is None or hub_elsewhere(conn) is not None:
            return
        hub = self.server.hub()
        if conn.hub is not hub:
            self.polls = None
            hub.take(conn)

    async def refuse(self, reason: object) -> None:
        """Log one line about what is not accepted, and end the session at once.

        :param reason: a :class:`PacketError`, whose ``code`` closes the WebSocket, or a text.
        """
        if self.refusal is None:
            # another one: what the frames of its traceback hold would stay, with this socket
            kind = type(reason) if isinstance(reason, PacketError) else PacketError
            text = text_of(reason) if isinstance(reason, BaseException) else str(reason)
            self.refusal = refusal = kind(text)
            self.server._log_refusal(self.sid, str(refusal))
            await self.end(refusal.code, str(refusal), self.server.reason.TRANSPORT_ERROR)

    def refuse_soon(self, reason: str) -> None:
        """The same from within an emit."""
        hub = hub_elsewhere(self.conn)
        if hub is not None:
            hub.posts.post(self.refuse_soon, reason)
            return
        if not self._is_leaving and not self.closing:
            self._is_leaving = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self.server.hub().start, self.refuse(reason), copy_context())

    def ask_for(self, namespace: str, joined: list[str], most: int) -> None:
        """The client asks for a namespace, and is in those of the list."""
        if self.asked is None or len(self.asked) >= most:
            self.asked = set(joined)
        self.asked.add(namespace)

    async def end(self, code: int, text: str, reason: str) -> None:
        """Send CLOSE, close the WebSocket, then tell the application, which may take its time.

        :param reason: that of the disconnection.
        """
        if not self.closing and not self.closed:
            with contextlib.suppress(Exception):  # the application's send(), say
                await self.send(EnginePacket(CLOSE))
        self._hang_up(code, text)
        self._stop_reading()
        if self._asgi is not None:  # the client may not read
            self.server.hub().start(self._asgi.close(), copy_context())
        await self.close(wait=False, abort=True, reason=reason)

    async def close(
        self, wait: bool = True, abort: bool = False, reason: str | None = None
    ) -> None:
        """End the session. Mirrors: ``engineio.async_socket.AsyncSocket.close``.

        A WebSocket is closed at once when the client has said goodbye, else when it leaves, or
        after ``ping_interval + ping_timeout`` seconds. A poll that waits is answered.
        """
        hub = hub_elsewhere(self.conn)
        if hub is not None:
            await hub.posts.run(self.close, wait, abort, reason)
            return
        conn = self.conn
        if abort and conn is not None:
            self._end_polls()
        # Of ours nobody comes for what is left but a poll that waits.
        wait_for_all = wait and conn is None
        try:
            await super().close(wait=wait_for_all, abort=abort, reason=reason)
        except engineio.exceptions.SocketIsClosedError:  # the client went meanwhile
            if conn is None:
                raise
        if conn is None or not self.closed:
            return
        self._end_polls()
        if self.upgrade is not None:
            self.upgrade.session_over()
        self._resume_reading()  # who waits for a turn sees the end
        if conn.path == "over":  # the client went while the application was told
            self._let_go()
            return
        conn.closing()
        if abort:
            self._hang_up()
        elif not conn.close_sent:
            conn.expect(DUE_LEAVE)

    def _hang_up(self, code: int = 1000, text: str = "") -> None:
        """Close the WebSocket; what was sent before leaves first."""
        conn = self.conn
        if conn is None:
            return
        if conn.path == "direct":
            conn.close(code, reason_of(text))
        elif self._asgi is not None:
            self._asgi.end(code, text)
        elif conn.path == "polling" and self.closed:
            conn.expect(DUE_LEAVE, _LATE_SECONDS)

    def _interrupt(self, at_once: bool = False) -> None:
        """Stop the WebSocket of an ASGI server; called by the connection."""
        if self._asgi is not None:
            self._asgi.stop(at_once)

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
            if self.conn.path == "polling" and self.closed:
                self._let_go()
            elif self.conn.path == "polling":  # it was aborted
                self._start_drop()
            else:
                self._hang_up()
        else:
            self.server.hub().start(self._late(kind), copy_context())

    async def _late(self, kind: int) -> None:
        server = self.server
        if self.closing or self.closed:
            return
        if kind == DUE_PING:
            await self._ping()
        elif kind == DUE_PONG:
            await self._late_pong()
        elif kind == DUE_CONNECT:
            if not server.owner._has_joined(self.sid):
                seconds = server.owner.connect_timeout
                await self.refuse(
                    f"no namespace was joined in {seconds:g} s, which is connect_timeout"
                )
            elif not server.owner._is_connected(self.sid):  # its handler may still refuse
                self.conn.expect(DUE_CONNECT)
        elif kind == DUE_MESSAGE:
            seconds = server.message_timeout
            await self.refuse(
                TooLateError(f"a message was not whole in {seconds:g} s, which is message_timeout")
            )

    async def _ping(self) -> None:
        self.conn.pinged()
        await self.send(EnginePacket(PING))

    def _holds_input(self) -> bool:
        """Whether the client may have sent what is not looked at: until that is, handlers come to
        their end or a request has been read."""
        is_handling = self._asgi is not None and self._asgi.state is State.HANDLING
        return bool(self.conn.holds_input or is_handling or self.posts)

    async def _late_pong(self) -> None:
        """The client has not answered a PING.

        It may have, where we hold its input; the next PING keeps it from leaving meanwhile.

        One that has said nothing at all since then is, as with upstream, found by what waits for
        its messages, or by its poll.
        """
        server = self.server
        if self._holds_input():
            await self._ping()
        elif self.conn.path == "polling" and not self._has_grace and not self._options.strict:
            self._has_grace = True
            self.conn.pinged(server.ping_timeout / 2)
        elif self.conn.path != "polling" and not self.conn.heard:
            self._hang_up()  # what waits for it may still leave, and nobody waits for that
            await self.close(wait=False, abort=True, reason=server.reason.TRANSPORT_CLOSE)
        else:
            await self._give_up()
            self._hang_up()

    def _backlog(self, waiting: int, is_over: bool) -> None:
        """More output waits than may. What is done runs later: an emit may be at work."""
        if not is_over:
            owner = self.server.owner
            asyncio.get_running_loop().call_soon(owner._decide_slow, self, waiting)
            return
        most = getattr(self.server.owner, "max_backlog", 0)
        text = (
            f"{self.sid}: Client is too slow, {waiting} bytes wait for it, max_backlog is {most},"
            " closing socket"
        )
        self.server._log_error_once(text, "too-slow")
        asyncio.get_running_loop().call_soon(self._start_drop)

    def _start_drop(self) -> None:
        self.server.hub().start(self._drop(), copy_context())

    async def _drop(self) -> None:
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        if self.conn is not None:
            self.conn.abort()

    # --- packets in ---

    async def _receive_encoded(self, encoded: str | bytes) -> None:
        """Read one packet and act on it."""
        try:
            packet = self.server.packet_class(encoded_packet=encoded)
            self._check(packet)
        except ValueError as exc:
            await self.refuse(exc)
        else:
            await self.receive(packet)

    def _check(self, packet: EnginePacket) -> None:
        """Raise PacketError for what a client may not send."""
        if packet.packet_type >= len(packet_names):
            raise PacketError("unknown Engine.IO packet type")
        if self._options.strict and packet.packet_type in _SERVERS_OWN:
            raise PacketError(f"{packet_names[packet.packet_type]} packet from a client")
        if packet.packet_type == PONG and self.conn is not None and self.conn.is_flooded:
            raise PacketError(self._flooded_text())

    def _flooded_text(self) -> str:
        n = self.server.owner.max_control_frames
        return f"{n + 1} control frames in a second, max_control_frames is {n}"

    async def _receive_lane(self, encoded: str | bytes) -> None:
        """The same, and what it raises ends here. What follows waits for it.

        Mirrors: the loop of ``engineio.async_socket.AsyncSocket._websocket_handler``.
        """
        await self.until_received(self._receive_encoded(encoded))

    async def until_received(self, receiving: Awaitable[None]) -> None:
        """Wait until a packet is handled; what that raises ends here."""
        try:
            await receiving
        except Exception as exc:
            self._not_received(exc)
        if not self.received():
            await asyncio.sleep(0)

    def received(self) -> bool:
        """A packet is handled; False: what this has started comes before the next message."""
        self._watch_attachments()
        return self.conn is None or bool(self.conn.hub.is_fast)

    def _not_received(self, exc: Exception) -> None:
        """A packet could not be handled."""
        if self.conn.path == "polling":  # its POST is answered with it, as python-engineio does
            self.failure = exc
            self.conn.drop_post()
        elif isinstance(exc, engineio.exceptions.UnknownPacketError):
            pass
        elif isinstance(exc, engineio.exceptions.SocketIsClosedError):
            self.server.logger.info("Receive error -- socket is closed")
            self._hang_up()
        else:
            self.server.logger.error("Unknown receive error", exc_info=exc)

    def _watch_attachments(self) -> None:
        """A deadline for each attachment, as for each message."""
        if self.conn is not None:
            self.conn.watch_attachments(self.sid in self.server.owner._binary_packet)

    # --- packets out ---

    async def check_ping_timeout(self) -> bool:
        """Whether the client lives, as far as is known; one that does not is let go.

        Mirrors: ``engineio.async_socket.AsyncSocket.check_ping_timeout``; PONGs are the
        connection's, which has a deadline for them.
        """
        if self.conn is None or self.closed:
            return cast("bool", await super().check_ping_timeout())
        return True

    async def _give_up(self) -> None:
        if self.closing or self.closed:
            return
        self.server.logger.info("%s: Client is gone, closing socket", self.sid)
        polls, self.polls = self.polls or (), None  # which get no CLOSE, as with python-engineio
        try:
            await self.close(wait=False, abort=False, reason=self.server.reason.PING_TIMEOUT)
        finally:
            for poll in polls:
                poll.expire()

    async def send(self, pkt: Any) -> None:
        """Send a packet. Mirrors: ``engineio.async_socket.AsyncSocket.send``."""
        conn = self.conn
        hub = hub_elsewhere(conn)
        if hub is not None:
            if self.closed:
                raise engineio.exceptions.SocketIsClosedError
            hub.posts.post(self._send_from_elsewhere, pkt)
            await hub.posts.room()
            return
        if conn is None or is_replaced("send"):
            await super().send(pkt)
            self._send_queue()
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

    def _send_from_elsewhere(self, pkt: Any) -> None:
        """Send a packet of another thread."""
        if not self.closed and self.conn is not None:
            self.conn.hub.start(self.send(pkt), copy_context())

    def _send_queue(self) -> None:
        """Send what upstream's send() has put into the queue."""
        queue = vars(self).get("queue") if self.conn is not None else None
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
        is_upgrade = self.connected and self.conn is not None
        if is_upgrade:
            self.upgrading = True  # from here on: the server's accept may take its time
        self._input = slice_websocket(environ, self.conn, may_leave=True)
        try:
            return await super()._upgrade_websocket(environ)
        finally:
            self._environ = None
            if is_upgrade:
                self.upgrading = False
            self._end_input()

    def _end_input(self) -> None:
        if self._input is not None:
            self._input.end_session()
            self._input = None

    async def _websocket_handler(self, ws: Any) -> None:
        """Serve a WebSocket: to its end, or until its transport is taken.

        Mirrors: ``engineio.async_socket.AsyncSocket._websocket_handler``.

        :raises PacketError: when the upgrade failed for a packet that was refused.
        """
        if self.conn is None or is_replaced("_websocket_handler"):
            await super()._websocket_handler(ws)
            return
        if not self.connected:
            self.connected = True
            self.upgraded = True
        else:
            try:
                failure = await self._upgrade(ws)
                if failure or self.closing or self.closed:
                    await close_websocket(ws, 1008, failure or UPGRADE_FAILED)
                    return
            except PacketError as exc:
                await self.refuse(exc)
                await close_websocket(ws, exc.code, str(exc))
                raise
        if self._take_transport(ws):
            self.server.logger.info("%s: Upgrade to websocket successful", self.sid)
            return
        self._input = self._input or slice_websocket(self._environ or {}, self.conn)
        self._asgi = ASGIWebSocket(self, ws)
        watch_request(self._environ or {}, self.server, is_message=True)
        self.conn.attach_messages()
        self._end_polls()
        self.server.logger.info("%s: Upgrade to websocket successful", self.sid)
        try:
            await self._asgi.run()
        finally:
            try:
                reason = self.server.reason.TRANSPORT_CLOSE
                await self.close(wait=False, abort=True, reason=reason)
            finally:
                self._let_go()
                self._asgi = None  # what it has of the web server leads back here

    async def _wait(self, ws: Any) -> str | bytes | None:
        data = await ws.wait()
        if data and is_longer(data, self.server.max_http_buffer_size):
            raise TooBigError(too_big_text(data, self.server.max_http_buffer_size))
        return cast("str | bytes | None", data)

    async def _upgrade(self, ws: Any) -> str:
        """Take a polling connection over: PING "probe", PONG "probe", UPGRADE.

        Returns why that has failed; an empty text when it has not.
        """
        probe = Probe(self)
        try:
            async with asyncio.timeout(self.server.upgrade_timeout or None):
                while (answer := probe.receive(await self._wait(ws))) is not None:
                    await ws.send(answer)
                    probe.end_poll()
        except TimeoutError:
            return str(probe.late())
        except OSError:
            return UPGRADE_FAILED
        except UpgradeError as exc:
            return str(exc)
        else:
            self.upgraded = True
            return ""
        finally:
            self.upgrading = False

    def is_upgraded(self) -> None:
        """The connection has the transport of a WebSocket."""
        self.upgraded = True
        self._end_polls()
        self.server.logger.info("%s: Upgrade to websocket successful", self.sid)

    def _take_transport(self, ws: Any) -> bool:
        """Let the connection have uvicorn's transport, when nothing stands between."""
        environ = self._environ
        if environ is None or type(ws) is not _AsgiWebSocket:
            return False
        scope = environ.get("asgi.scope") or {}
        offer = scope.get("extensions", {}).get(OFFER)
        if offer is None or ws.asgi_receive != offer.receive or behind(ws.asgi_send) != offer.send:
            return False
        if not offer.hand_over(self.conn, copy_context()):
            return False
        ws.asgi_receive = ws.asgi_send = _gone
        self._has_transport(environ)
        self._end_polls()
        return True

    def _has_transport(self, environ: dict[str, Any]) -> None:
        del environ["asgi.scope"]["extensions"][OFFER]
        environ["asgi.receive"] = environ["asgi.send"] = _gone
        asyncio.get_running_loop().call_soon(self.conn.go_on)

    def take_websocket(self, environ: dict[str, Any]) -> bool:
        """Begin with a WebSocket whose handshake has not passed ASGI; False: it has, or the client
        has gone."""
        offer = (environ.get("asgi.scope") or {}).get("extensions", {}).get(OFFER)
        if not hasattr(offer, "take") or not offer.take(self.conn, copy_context()):
            return False
        self._has_transport(environ)
        self.connected = self.upgraded = True
        logger = self.server.logger
        logger.info("%s: Received request to upgrade to %s", self.sid, "websocket")
        logger.info("%s: Upgrade to websocket successful", self.sid)
        return True

    async def _wait_for_turn(self) -> None:
        """The client's next message has to wait: for handlers, or for others' turns."""
        while self.conn.must_wait and not self.closed:
            if self._asgi is not None and self._asgi.state >= State.STOPPING:
                break
            if self._turn is None or self._turn.done():
                self._turn = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._turn)

    def _resume_reading(self) -> None:
        """The client's next message may come; called by the connection."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
        if self._input is not None:
            self._input.go_on()

    def _drain_soon(self, sockets: list[EngineSocket]) -> None:
        """Send what waits for these; called by the hub, on the first of them."""
        websockets = [socket._asgi for socket in sockets if socket._asgi is not None]
        if websockets:
            hub = self.server.hub()
            drain = drain_all(hub, websockets) if len(websockets) > 1 else websockets[0].drain()
            hub.start(drain, copy_context())

    def _broken(self, code: int, text: str) -> None:
        """The client has broken the WebSocket protocol, or a limit of it; called by the
        connection, which closes."""
        self.server._log_refusal(self.sid, f"WebSocket closed with {code} {text}".rstrip())

    def _server_stops(self) -> None:
        """The web server ends its connections; called by the connection."""
        self.server.stop_soon(WEB_SERVER_STOPS, getattr(self.conn.server, "tasks", None))

    async def _connection_over(self) -> None:
        """The WebSocket is closed; called by the connection, once."""
        server = self.conn.server
        task = None if server is None else asyncio.current_task()
        if task is not None:
            server.tasks.add(task)  # uvicorn waits for them
            task.add_done_callback(server.tasks.discard)
        try:
            try:
                self._report_input()
            finally:
                await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
        except BaseException:  # whatever that was, nothing comes after it
            self.closed = True
            raise
        finally:
            self._let_go()

    def _report_input(self) -> None:
        """Log that what the client sent before it left is not handled: handlers took too long."""
        if self.conn.held and not self.closing:
            text = f"{self.conn.held} bytes that were read before the client left are not handled"
            self.server._log_error_once(f"{self.sid}: {text}", "input-dropped")

    def _let_go(self) -> None:
        if self.conn is not None:
            self.conn.release()
        if self.closed and self.server.sockets.get(self.sid) is self:
            del self.server.sockets[self.sid]


if core is None:  # plain python-engineio
    EngineSocket = _UpstreamSocket  # type: ignore[misc]
