"""The Engine.IO server and its sockets, with packets and payloads in C.

What touches python-engineio's internals stands here; each such place names the upstream function.
Where an application (``instrument()``, for one) has replaced a method of upstream's socket class,
that method runs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any, Protocol, cast

import engineio
import engineio.async_socket
import engineio.exceptions
from engineio.async_server import AsyncServer as _UpstreamServer
from engineio.async_socket import AsyncSocket as _UpstreamSocket
from engineio.packet import MESSAGE, NOOP, OPEN, PING, PONG, UPGRADE, packet_names

from ._load import core
from .errors import PacketError
from .packet import EnginePacket, EnginePayload

__all__ = ["EngineServer", "EngineSocket"]

_UPSTREAM_METHODS = {
    name: _UpstreamSocket.__dict__[name] for name in ("handle_post_request", "_websocket_handler")
}


class FrameReceiver(Protocol):
    """What takes Engine.IO messages as they came."""

    def takes(self, socket: EngineSocket, frame: str | bytes) -> bool:
        """Whether this frame may skip the packet and the handlers of the Engine.IO server."""

    async def receive(self, sid: str, frame: Any) -> None:
        """Dispatch what is in the frame."""


def _is_replaced(name: str) -> bool:
    return _UpstreamSocket.__dict__.get(name) is not _UPSTREAM_METHODS[name]


class EngineSocket(_UpstreamSocket):  # type: ignore[misc]
    """A client's connection. Mirrors: ``engineio.async_socket.AsyncSocket``.

    One difference on purpose: a packet that cannot be read ends the connection.
    """

    connected: bool
    refused = False  # a packet was refused: the connection is over

    async def refuse(self, reason: object) -> None:
        """Log one line about a packet that is not accepted, and close the connection."""
        self.refused = True
        self.server._log_error_once(f"{self.sid}: Packet refused: {reason}", "packet-refused")
        await self.close(wait=False, reason=self.server.reason.TRANSPORT_ERROR)

    async def _receive_encoded(self, encoded: str | bytes) -> None:
        """Read one packet and act on it."""
        frames = self.server.frames if isinstance(self.server, EngineServer) else None
        if frames is not None and frames.takes(self, encoded):
            await self.server.run_handler(self.sid, frames.receive(self.sid, encoded))
            return
        try:
            packet = EnginePacket(encoded_packet=encoded)
            if packet.packet_type >= len(packet_names):
                raise PacketError("unknown Engine.IO packet type")
        except ValueError as exc:
            await self.refuse(exc)
        else:
            await self.receive(packet)

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

    async def _websocket_handler(self, ws: Any) -> None:
        """Serve a WebSocket from its acceptance to its end.

        Mirrors: ``engineio.async_socket.AsyncSocket._websocket_handler``.

        :raises PacketError: when the upgrade failed for a packet that was refused.
        """
        if _is_replaced("_websocket_handler"):
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
        writer = asyncio.ensure_future(self._write(ws))
        self.server.logger.info("%s: Upgrade to websocket successful", self.sid)
        await self._read(ws)
        await self.queue.put(None)  # lets the writer end
        await asyncio.wait_for(writer, timeout=None)
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    async def _wait(self, ws: Any) -> str | bytes | None:
        data = await ws.wait()
        if data and len(data) > self.server.max_http_buffer_size:
            raise PacketError("packet is too large")
        return cast("str | bytes | None", data)

    async def _upgrade(self, ws: Any) -> bool:
        """Take a polling connection over: PING "probe", PONG "probe", UPGRADE."""
        self.upgrading = True  # packets are held meanwhile
        try:
            try:
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
            except OSError:
                return False
            except ValueError as exc:
                raise PacketError(str(exc)) from exc
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

    async def _write(self, ws: Any) -> None:
        """Send what the queue holds until the connection ends."""
        try:
            while packets := await self.poll():
                for packet in packets:
                    encoded = packet.encode()
                    if isinstance(encoded, bytearray):  # ASGI knows bytes alone
                        encoded = bytes(encoded)
                    await ws.send(encoded)
        except engineio.exceptions.QueueEmpty:
            pass
        except (Exception, asyncio.CancelledError):  # the peer is gone; the reader sees it too
            self.server.logger.info("%s: Write error, closing connection", self.sid)
        await ws.close()

    async def _read(self, ws: Any) -> None:
        """Receive packets until the connection ends."""
        timeout = self.server.ping_interval + self.server.ping_timeout
        while not self.refused:
            try:
                encoded = await asyncio.wait_for(self._wait(ws), timeout)
            except (Exception, asyncio.CancelledError):
                break
            if encoded is None:
                break
            try:
                await self._receive_encoded(encoded)
            except engineio.exceptions.UnknownPacketError:
                pass
            except engineio.exceptions.SocketIsClosedError:
                self.server.logger.info("Receive error -- socket is closed")
                break
            except Exception:
                self.server.logger.exception("Unknown receive error")


def _socket_class() -> Any:
    """The class of new sockets: one that the application has put in upstream's place, or ours."""
    current = engineio.async_socket.AsyncSocket
    return EngineSocket if current is _UpstreamSocket else current


class EngineServer(_UpstreamServer):  # type: ignore[misc]
    """The Engine.IO server. Mirrors: ``engineio.async_server.AsyncServer``."""

    start_service_task: bool
    #: Who takes text frames as they are, before a packet is made of them; None: nobody.
    frames: FrameReceiver | None = None

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
        if self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self.generate_id()
        socket = _socket_class()(self, sid)
        self.sockets[sid] = socket
        await socket.send(self._open_packet(sid, transport))

        answer = await self._trigger_event("connect", sid, environ, run_async=False)
        if answer is not None and answer is not True:
            del self.sockets[sid]
            self.logger.warning("Application rejected connection")
            return self._unauthorized(answer or None)
        socket.schedule_ping()

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
