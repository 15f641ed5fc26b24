"""The part of an Engine.IO socket that answers polling requests.

Each place names the function of python-engineio that it mirrors.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import Any, cast

import engineio.exceptions
from engineio.async_socket import AsyncSocket as _UpstreamSocket
from engineio.packet import NOOP

from .asgi import Body
from .errors import PacketError, TooBigError, TooLateError, text_of
from .packet import EnginePacket, EnginePayload

__all__ = [
    "SESSION_METHODS",
    "PollingSocket",
    "is_replaced",
    "is_send_replaced",
    "is_session_replaced",
    "wants_websocket",
]

#: Where an application replaces one of these, its sessions are upstream's from the start.
SESSION_METHODS = (
    "_websocket_handler",
    "_send_ping",
    "schedule_ping",
    "check_ping_timeout",
    "poll",
)

_UPSTREAM_METHODS = {
    name: _UpstreamSocket.__dict__[name]
    for name in ("handle_post_request", "send", *SESSION_METHODS)
}


_get_session_methods = attrgetter(*SESSION_METHODS)
_session_methods = _get_session_methods(_UpstreamSocket)


def is_session_replaced() -> bool:
    """Whether the application has replaced one of ``SESSION_METHODS``."""
    return bool(_get_session_methods(_UpstreamSocket) != _session_methods)


def is_replaced(name: str) -> bool:
    """Whether the application has replaced a method of upstream's class."""
    return _UpstreamSocket.__dict__.get(name) is not _UPSTREAM_METHODS[name]


def is_send_replaced() -> bool:
    """Whether the application has replaced how upstream's sockets send."""
    return is_replaced("send")


def wants_websocket(environ: dict[str, Any]) -> bool:
    """Whether a request asks for a WebSocket.

    Mirrors: ``engineio.async_socket.AsyncSocket.handle_get_request``.
    """
    connection = environ.get("HTTP_CONNECTION", "").lower().split(",")
    is_upgrade = "upgrade" in (word.strip() for word in connection)
    return is_upgrade and environ.get("HTTP_UPGRADE", "").lower() == "websocket"


#: Digits of a Content-Length that are read.
_DIGITS = 18


class _Options:
    """Those of a server that is not ours."""

    strict = False
    message_timeout = 0
    payload_class = EnginePayload


class PollingSocket(_UpstreamSocket):  # type: ignore[misc]
    """The half of :class:`toolboxsio.engine_socket.EngineSocket` that waits for requests."""

    conn: Any
    server: Any
    last_ping: float | None
    refusal: PacketError | None
    opening: EnginePacket | None = None  # sent when the WebSocket is there
    _polls = 0  # requests that are being handled
    _posts = 0

    @functools.cached_property
    def _bodies(self) -> set[asyncio.Timeout]:
        """The deadlines of bodies that are being read."""
        return set()

    @property
    def _options(self) -> Any:
        return self.server if hasattr(type(self.server), "payload_class") else _Options

    async def refuse(self, reason: object) -> None:
        """End the session."""
        raise NotImplementedError

    def refuse_soon(self, reason: str) -> None:
        """The same, in a task of its own."""
        raise NotImplementedError

    def _check(self, packet: EnginePacket) -> None:
        raise NotImplementedError

    def _watch_attachments(self) -> None:
        raise NotImplementedError

    async def _wait_for_turn(self) -> None:
        raise NotImplementedError

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Receive the packets of a polling request.

        Mirrors: ``engineio.async_socket.AsyncSocket.handle_post_request``.
        """
        if is_replaced("handle_post_request"):
            await super().handle_post_request(environ)
            return
        self._posts += 1
        begun = time.time()
        try:
            if self._options.strict and self._posts > 1:
                raise PacketError("a POST while another is being read")
            for packet in await self._read_payload(environ):
                conn = self.conn
                if conn is not None:
                    await self._wait_for_turn()
                if self.closed:  # what follows a goodbye, or comes too late
                    break
                began = time.monotonic_ns()
                if conn is not None and isinstance(packet.data, (str, bytes, bytearray)):
                    conn.message_bytes = len(packet.data)
                await self.receive(packet)
                self._watch_attachments()
                if conn is not None:
                    conn.charge(time.monotonic_ns() - began)
        except PacketError as exc:
            await self.refuse(exc)
        finally:
            self._posts -= 1
            if self.conn is not None and self.last_ping and self.last_ping >= begun:
                self.conn.pinged()  # clients send one request at a time: the PONG is the next
                self.last_ping = time.time()
        if self.refusal is not None:
            raise type(self.refusal)(str(self.refusal))

    async def _read_payload(self, environ: dict[str, Any]) -> list[EnginePacket]:
        """The packets of a request.

        :raises PacketError: when there is one that is not accepted, or too much of them.
        """
        body = await self._read_body(environ)
        try:
            packets = self._options.payload_class(encoded_payload=body.decode("utf-8")).packets
        except PacketError:
            raise
        except ValueError as exc:
            raise PacketError(text_of(exc)) from exc
        except KeyError:
            raise PacketError("a JSONP request without packets") from None
        for packet in packets:
            self._check(packet)
        return cast("list[EnginePacket]", packets)

    async def _read_body(self, environ: dict[str, Any]) -> bytes:
        """The body of a request, which has been received to its end.

        :raises PacketError: when it is too large, late, or not as long as was declared.
        """
        most = self.server.max_http_buffer_size
        declared, length = environ.get("CONTENT_LENGTH"), None
        if declared is not None:
            digits = str(declared)
            if not (digits.isascii() and digits.isdigit()):
                raise PacketError("Content-Length is not a number")
            length = int(digits[-_DIGITS:]) if not digits[:-_DIGITS].strip("0") else most + 1
            if length > most:
                size = digits.lstrip("0") if len(digits.lstrip("0")) <= _DIGITS else "far too many"
                raise TooBigError(f"a body of {size} bytes, max_http_buffer_size is {most}")
        body, source = bytearray(), environ["wsgi.input"]
        # What is not ASGI's may have no end of its own.
        end = most + 1 if length is None or isinstance(source, Body) else length
        try:
            async with asyncio.timeout(self._options.message_timeout or None) as deadline:
                self._bodies.add(deadline)
                while len(body) < end and (piece := await source.read(end - len(body))):
                    body += piece
        except TimeoutError:
            seconds = self._options.message_timeout
            raise TooLateError(
                f"the body of a request was not whole in {seconds:g} s, which is message_timeout"
            ) from None
        finally:
            self._bodies.discard(deadline)
        if len(body) > most:
            raise TooBigError(f"a body of more than {most} bytes, max_http_buffer_size is {most}")
        if length is not None and len(body) < length:
            raise PacketError("a request ended before its body did")
        return bytes(body[:length])

    def _stop_reading(self) -> None:
        """The session is over: bodies that are on their way are not waited for."""
        now = asyncio.get_running_loop().time()
        for deadline in self._bodies:
            with contextlib.suppress(RuntimeError):  # it is past
                deadline.reschedule(now)

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """Answer a poll, or accept a WebSocket.

        Mirrors: ``engineio.async_socket.AsyncSocket.handle_get_request``.
        """
        is_strict_poll = self._options.strict and not wants_websocket(environ)
        if is_strict_poll and self._polls:
            await self.refuse("a poll while another is waiting")
            raise engineio.exceptions.EngineIOError("two polls")
        watch = None
        if is_strict_poll and "asgi.receive" in environ:
            watch = asyncio.create_task(self._watch_poll(environ["asgi.receive"]))
        try:
            return await super().handle_get_request(environ)
        except PacketError:  # the log has it
            return ""
        finally:
            if watch is not None:
                watch.cancel()

    async def _watch_poll(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """A client that breaks its poll off has gone."""
        await Body({"more_body": True}, receive).wait_for_disconnect()
        if self._polls:  # not in this task: it ends with the poll
            self.refuse_soon("a poll was broken off")

    async def poll(self) -> list[Any]:
        """Wait for packets. Mirrors: ``engineio.async_socket.AsyncSocket.poll``, without a task."""
        if self.opening is not None:
            opening, self.opening = self.opening, None
            return [opening]
        queue = self.queue
        self._polls += 1
        try:
            async with asyncio.timeout(self.server.ping_interval + self.server.ping_timeout):
                packet = await queue.get()
        except asyncio.CancelledError:
            raise engineio.exceptions.QueueEmpty from None
        except TimeoutError:
            if queue.empty():
                raise engineio.exceptions.QueueEmpty from None
            packet = queue.get_nowait()  # the loop was late, for the packet as for this
        finally:
            self._polls -= 1
        queue.task_done()
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
        if self.closed and self._polls and queue.empty():
            queue.put_nowait(EnginePacket(NOOP))  # ends the next of several
        return packets
