"""The WebSocket of a session through ASGI, or another driver's: what is received, sent, and closed.

The request's task receives. It is not cancelled when the session ends: it waits for a message or
for the end, whichever comes first (see csrc/conn/interruptible.c).
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Awaitable
from contextvars import copy_context
from typing import Any

import engineio.async_drivers.asgi

from ._bystanders import behind
from ._load import core
from ._messages import close_websocket, is_longer, messages_of, too_big_text
from ._server_stop import is_uvicorn
from .errors import TooBigError

__all__ = ["ASGIWebSocket", "State"]

#: Seconds for an ASGI server to take the last messages.
CLOSE_SECONDS = 10

_UpstreamWebSocket = engineio.async_drivers.asgi.WebSocket


class State(enum.IntEnum):
    """What the reader does, and what it still may do."""

    READING = 0  #: it waits for a message, or sends what one has caused
    HANDLING = 1  #: Python handles a message, or what that has begun is waited for
    STOPPING = 2  #: no more is received; what waits for the client is sent, then it is closed
    STOPPED = 3  #: nothing is sent any more either


def _data_of(event: Any) -> str | bytes | None:
    """What a client has sent; None: the connection is over."""
    if event["type"] != "websocket.receive":
        return None
    data: str | bytes | None = event.get("bytes")
    return event.get("text") if data is None else data


class ASGIWebSocket:
    """The WebSocket of a session whose connection is on the path "asgi".

    Messages that wait for the client are in ``conn``, which gives them to one sender at a time: the
    request's task, which has just received something, or ``drain()``.
    """

    __slots__ = (
        "_closed",
        "_conn",
        "_receive",
        "_receiving",
        "_send",
        "_sending",
        "_sent",
        "_socket",
        "ending",
        "is_uvicorn",
        "state",
        "ws",
    )

    def __init__(self, socket: Any, ws: Any) -> None:
        """
        :param socket: the session, an :class:`toolboxsio.engine_socket.EngineSocket`.
        :param ws: the WebSocket of python-engineio's driver, which is accepted.
        """
        assert core is not None
        self.ws = ws
        self.state = State.READING
        #: The code and the reason that it is closed with.
        self.ending: tuple[int, str] = (1000, "")
        #: It is uvicorn's, which does not ask in which task it runs.
        self.is_uvicorn = False
        self._socket = socket
        self._conn = socket.conn
        if type(ws) is _UpstreamWebSocket:
            self._receive, self._send = ws.asgi_receive, ws.asgi_send
            self.is_uvicorn = is_uvicorn(getattr(behind(ws.asgi_send), "__self__", None))
        else:
            self._receive, self._send = messages_of(ws)
        self._receiving = core.Interruptible()
        self._sending = core.Interruptible()
        self._sent: asyncio.Future[None] | None = None  # close() waits for it
        self._closed: asyncio.Event | None = None  # who closes it has come to the end

    async def run(self) -> None:
        """Receive messages until the connection ends, and close it."""
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        try:
            await self._read()
            if task.cancelling() > cancelling:  # as it was stopped
                raise asyncio.CancelledError
        finally:
            await self.close()

    async def _read(self) -> None:
        conn, send, receive = self._conn, self._send, self._receive
        feed, next_message = conn.feed, conn.next_message
        receiving, sending, stopped = self._receiving.run, self._sending.run, State.STOPPED
        await self._socket._wait_for_turn()  # POSTs come first
        while True:
            try:
                event = await receiving(receive())
            except Exception:
                return
            if event is None:
                return
            message = feed(event)
            if message is not None and type(message) is not dict:
                self.state = max(self.state, State.HANDLING)
                if not await self._handle(event, message):
                    return
                if self.state is State.HANDLING:
                    self.state = State.READING
                continue
            try:
                while message is not None:
                    await sending(send(message))
                    if self.state is stopped:
                        return
                    message = next_message()
            except Exception:
                self._cannot_send()
            except BaseException:
                self.stop(at_once=True)
                raise
            if self._sent is not None:
                self._tell_sent()

    async def _handle(self, event: Any, left: bool | Awaitable[None]) -> bool:
        """Handle what the connection has left to Python; False at the end of the connection.

        :param left: False: all of the event; True: the wait that it has caused; else that, and what
            has to be awaited first.
        """
        socket, conn = self._socket, self._conn
        began = time.monotonic_ns()
        if not isinstance(left, bool):
            await left
            conn.charge(time.monotonic_ns() - began)
        elif not left:
            data = _data_of(event)
            if data is None:
                return False
            most = socket.server.max_http_buffer_size
            if is_longer(data, most):
                self.end(TooBigError.code, too_big_text(data, most))
                socket._broken(*self.ending)
                return False
            conn.message_bytes = len(data)
            await socket._receive_lane(data)
            conn.charge(time.monotonic_ns() - began)
        await self.drain()
        await socket._wait_for_turn()
        return True

    # --- out ---

    async def drain(self) -> None:
        """Send what waits, in order, unless somebody does."""
        conn = self._conn
        if conn.draining:
            return
        try:
            while self.state is not State.STOPPED and (message := conn.next_message()) is not None:
                await self._sending.run(self._send(message))
        except Exception:
            self._cannot_send()
        except BaseException:
            self.stop(at_once=True)
            raise
        if self._sent is not None:
            self._tell_sent()

    def _is_sending(self) -> bool:
        return self.state is not State.STOPPED and bool(self._conn.draining)

    def _tell_sent(self) -> None:
        if self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    def _cannot_send(self) -> None:
        """The peer is gone; the reader sees it too."""
        socket = self._socket
        socket.server.logger.info("%s: Write error, closing connection", socket.sid)
        self.stop(at_once=True)

    # --- the end ---

    def end(self, code: int, text: str) -> None:
        """Close it with this code and reason, after what waits; the first that is told counts."""
        if self.state < State.STOPPING:
            self.ending = (code, text)
        self.stop()

    def stop(self, at_once: bool = False) -> None:
        """Receive no more. What is handled just now is handled; what waits is sent.

        :param at_once: it is not sent either.
        """
        self.state = State.STOPPED if at_once else max(self.state, State.STOPPING)
        self._receiving.interrupt()
        self._socket._resume_reading()  # who waits for a turn
        if at_once:
            self._sending.interrupt()
            self._tell_sent()
        elif self._is_sending():  # the client may not read, which close() bounds
            self._socket.server.hub().start(self.close(), copy_context())

    async def close(self) -> None:
        """Send what waits, then close the WebSocket; once, others wait for it."""
        if self._closed is not None:
            await self._closed.wait()
            return
        self._closed = asyncio.Event()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):  # the client may not read
                while self._is_sending():
                    self._sent = asyncio.get_running_loop().create_future()
                    await self._sent
                await self.drain()
                self._socket._end_input()  # some wait for the client's CLOSE frame
                await close_websocket(self.ws, *self.ending)
        except TimeoutError:
            pass
        finally:
            self._closed.set()
            self.stop(at_once=True)
