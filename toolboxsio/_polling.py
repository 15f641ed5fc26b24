"""The part of an Engine.IO socket that answers polling requests.

Each place names the function of python-engineio that it mirrors.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from operator import attrgetter
from typing import Any, cast

import engineio.exceptions
from engineio.async_socket import AsyncSocket as _UpstreamSocket

from ._load import core
from ._loops import hub_elsewhere
from .asgi import Body
from .errors import PacketError, TooBigError, TooLateError, text_of
from .packet import EnginePacket, EnginePayload

__all__ = [
    "SESSION_METHODS",
    "Messages",
    "PollingSocket",
    "Post",
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
    for name in ("handle_get_request", "handle_post_request", "send", *SESSION_METHODS)
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


#: A NOOP packet, which ends a poll that has nothing else to wait for.
_NOOP = "6"


class Messages(list[Any]):
    """What is sent in the answer to a poll: packets that are encoded, and bytes."""

    def payload(self, jsonp_index: int | None = None) -> bytes:
        """The body of the answer."""
        assert core is not None
        payload: bytes = core.payload_encode(self)
        if jsonp_index is None:
            return payload
        script: str = core.payload_join([payload.decode()], jsonp_index)
        return script.encode()

    def packets(self, packet_class: Any) -> list[Any]:
        """The same as packets."""
        return [packet_class(encoded_packet=message) for message in self]


class _Poll:
    """A GET through ASGI that waits for messages."""

    __slots__ = ("_future", "late")

    def __init__(self) -> None:
        self._future: asyncio.Future[Messages] = asyncio.get_running_loop().create_future()
        self.late: asyncio.TimerHandle | None = None

    def __await__(self) -> Generator[Any, Any, Messages]:
        return self._future.__await__()

    def answer(self, messages: Messages) -> None:
        """Here they are."""
        if not self._future.done():
            self._future.set_result(messages)

    def expire(self) -> None:
        """There are none."""
        if not self._future.done():
            self._future.set_exception(engineio.exceptions.QueueEmpty())


class Post:
    """A POST of a session: its packets are handled by the connection, which then calls `done`."""

    __slots__ = ("_socket", "_was_pinged")

    def __init__(self, socket: PollingSocket) -> None:
        self._socket: PollingSocket | None = socket
        self._was_pinged = socket.conn.awaits_pong
        socket.posts += 1

    def done(self) -> None:
        """The packets were handled, or the session is over."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.posts -= 1
            if not self._was_pinged and socket.conn.awaits_pong:
                socket.conn.pinged()  # clients send one request at a time: the PONG is the next
            failure, socket.failure = socket.failure, None
            self.finish(socket, failure)

    def abandon(self) -> None:
        """It is not looked at."""
        if self._socket is not None:
            self._socket.posts -= 1
            self._socket = None

    def finish(self, socket: PollingSocket, failure: Exception | None) -> None:
        """What comes of it.

        :param failure: what has ended the handling of its packets.
        """
        raise NotImplementedError


class _AwaitedPost(Post):
    """A POST through ASGI."""

    __slots__ = ("_failure", "_future")

    def __init__(self, socket: PollingSocket) -> None:
        super().__init__(socket)
        self._future: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    def finish(self, socket: PollingSocket, failure: Exception | None) -> None:
        self._failure = failure
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Wait for its end; what has ended it is raised."""
        if self._socket is not None:
            self._future = asyncio.get_running_loop().create_future()
            await self._future
        if self._failure is not None:
            raise self._failure


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
    posts = 0  # requests that are being handled
    failure: Exception | None = None  # of the POST that is being handled
    upgrade: Any = None  # see toolboxsio/_upgrade.py
    polls: deque[Any] | None = None  # those that wait for messages; all have an `answer`

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

    # --- POSTs ---

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Receive the packets of a polling request.

        Mirrors: ``engineio.async_socket.AsyncSocket.handle_post_request``.
        """
        if is_replaced("handle_post_request"):
            await super().handle_post_request(environ)
        elif self.conn is None:
            await self._receive_payload(environ)
        else:
            post = _AwaitedPost(self)
            try:
                if self._options.strict and self.posts > 1:
                    raise PacketError("a POST while another is being read")
                payload = await self._read_payload(environ)
                hub = hub_elsewhere(self.conn)
                if hub is None:
                    await self._handle(payload, post)
                else:  # the request came by another event loop
                    await hub.posts.run(self._handle, payload, post)
            except PacketError as exc:
                await self.refuse(exc)
            finally:
                post.done()
        refusal = self.refused()
        if refusal is not None:
            raise refusal

    def refused(self) -> PacketError | None:
        """Why the session was ended by us; not the same object, whose traceback would grow."""
        return None if self.refusal is None else type(self.refusal)(str(self.refusal))

    async def _handle(self, payload: bytes, post: _AwaitedPost) -> None:
        """Wait until the packets of a request are handled; on the event loop of the session."""
        self.hand_in(payload, post)
        await post.wait()

    async def _receive_payload(self, environ: dict[str, Any]) -> None:
        """The same for a session without a connection."""
        try:
            payload = await self._read_payload(environ)
            for packet in self._packets_of(payload):
                if self.closed:  # what follows a goodbye, or comes too late
                    break
                await self.receive(packet)
        except PacketError as exc:
            await self.refuse(exc)

    def hand_in(self, payload: bytes, post: Post) -> None:
        """Let the connection handle the packets of a request.

        :raises PacketError: when there is one that is not accepted, or too much of them.
        """
        options = self._options
        limit, is_strict = options.payload_class.packet_limit(), options.strict
        is_taken = self.conn.post(payload, post, limit, is_strict)
        if is_taken is False:
            self._packets_of(payload)
            is_taken = self.conn.post(payload, post, -1, False)
        if is_taken is None:
            raise PacketError(
                f"{self.posts} POSTs at once: more than 16 wait, or more than"
                f" {self.server.max_http_buffer_size} bytes, max_http_buffer_size"
            )

    def _packets_of(self, payload: bytes) -> list[EnginePacket]:
        """The packets of a request.

        :raises PacketError: when there is one that is not accepted, or too much of them.
        """
        options = self._options
        packet_class = options.payload_class.packet_class
        try:
            encoded = options.payload_class().split(payload.decode()) if payload else []
            packets = [packet_class(encoded_packet=packet) for packet in encoded]
        except PacketError:
            raise
        except ValueError as exc:
            raise PacketError(text_of(exc)) from exc
        for packet in packets:
            self._check(packet)
        return packets

    async def _read_payload(self, environ: dict[str, Any]) -> bytes:
        """The payload of a request, which may be in a form.

        :raises PacketError: when there is none.
        """
        return self.payload_of(await self._read_body(environ))

    def payload_of(self, body: bytes) -> bytes:
        """The payload in a body; see :meth:`_read_payload`."""
        if not body.startswith(b"d="):
            return body
        try:
            payload: str = self._options.payload_class.of_form(body.decode())
        except ValueError as exc:
            raise PacketError(text_of(exc)) from exc
        except KeyError:
            raise PacketError("a JSONP request without packets") from None
        return payload.encode()

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
        if isinstance(source, Body) and source.is_here:
            body += await source.read(end)
            return self._whole_body(body, length, most)
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
        return self._whole_body(body, length, most)

    @staticmethod
    def _whole_body(body: bytearray, length: int | None, most: int) -> bytes:
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

    # --- GETs ---

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """Answer a poll, or accept a WebSocket.

        Mirrors: ``engineio.async_socket.AsyncSocket.handle_get_request``.

        :return: of a poll, ``Messages`` or a list of packets.
        """
        is_poll = not wants_websocket(environ)
        is_strict_poll = is_poll and self._options.strict
        if is_strict_poll and self.polls:
            await self.refuse("a poll while another is waiting")
            raise engineio.exceptions.EngineIOError("two polls")
        watch = None
        if is_strict_poll and "asgi.receive" in environ:
            watch = asyncio.create_task(self._watch_poll(environ["asgi.receive"]))
        try:
            if is_poll and self.conn is not None and not is_replaced("handle_get_request"):
                return await self._answer_poll()
            return await super().handle_get_request(environ)
        except PacketError:  # the log has it
            return ""
        finally:
            if watch is not None:
                watch.cancel()

    async def _answer_poll(self) -> Messages:
        hub = hub_elsewhere(self.conn)
        if hub is not None:  # a request of another event loop
            return await hub.posts.run(self._answer_poll) or Messages([_NOOP])
        if self.upgrading or self.upgraded:
            return Messages([_NOOP])
        try:
            return await self.poll_messages()
        except engineio.exceptions.QueueEmpty:
            await self.close(wait=False, reason=self.server.reason.TRANSPORT_ERROR)
            raise

    async def _watch_poll(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """A client that breaks its poll off has gone."""
        await Body({"more_body": True}, receive).wait_for_disconnect()
        if self.polls:  # not in this task: it ends with the poll
            self.refuse_soon("a poll was broken off")

    async def poll(self) -> list[Any]:
        """Wait for packets. Mirrors: ``engineio.async_socket.AsyncSocket.poll``."""
        if self.conn is None:
            return cast("list[Any]", await super().poll())
        return (await self.poll_messages()).packets(self.server.packet_class)

    async def poll_messages(self) -> Messages:
        """Wait for messages.

        :raises QueueEmpty: when there are none in time, or the request is cancelled.
        """
        messages = self.take_messages()
        if messages:
            return messages
        poll = _Poll()
        self.await_messages(poll)
        try:
            return await poll
        except asyncio.CancelledError:
            raise engineio.exceptions.QueueEmpty from None
        finally:
            self.forget_poll(poll)

    def take_messages(self) -> Messages:
        """What waits for a poll."""
        return Messages(self.conn.take_messages())

    def await_messages(self, poll: Any) -> None:
        """Let a poll wait, whose ``answer(messages)`` or ``expire()`` is called once. There are no
        messages.

        A PING that is to be sent ends the wait. Where one has been sent, and its PONG does not
        come, the wait has an end of its own, as ``engineio.async_socket.AsyncSocket.poll``.
        """
        if self.polls is None:
            self.polls = deque()
        self.polls.append(poll)
        if self.conn.awaits_pong:
            seconds = self.server.ping_interval + self.server.ping_timeout
            loop = asyncio.get_running_loop()
            poll.late = loop.call_later(seconds, self._expire, poll)

    def _expire(self, poll: Any) -> None:
        if self.polls and poll in self.polls:
            self.polls.remove(poll)
            poll.expire()

    def _pop_poll(self) -> Any:
        """The poll that has waited for the longest."""
        assert self.polls is not None
        poll = self.polls.popleft()
        if poll.late is not None:
            poll.late.cancel()
        return poll

    def forget_poll(self, poll: Any) -> None:
        """It waits no more."""
        if poll.late is not None:
            poll.late.cancel()
        if self.polls:
            with contextlib.suppress(ValueError):
                self.polls.remove(poll)

    def _output_ready(self) -> None:
        """There are messages; called by the connection."""
        while self.polls and (messages := self.take_messages()):
            self._pop_poll().answer(messages)

    def _end_polls(self) -> None:
        """No poll waits any more."""
        while self.polls:
            self._pop_poll().answer(self.take_messages() or Messages([_NOOP]))
