"""uvicorn's WebSocket protocol, from which a Socket.IO connection takes its transport.

``toolboxsio.run(app)`` and ``toolboxsio run main:app`` set both classes. By hand it is
``uvicorn.run(app, ws="toolboxsio.uvicorn:WebSocketProtocol")``, or
``uvicorn main:app --ws toolboxsio.uvicorn:WebSocketProtocol``; uvicorn 0.35 takes only the class.

Handshake, headers, limits, logs, and every WebSocket that is not Socket.IO, are uvicorn's. What
touches its internals stands here.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ._handover import OFFER, hand_over
from ._load import core, logger
from ._sliced_input import MIN_PIECE, REQUEST_PIECE, SlicedInput, slice_input, slice_requests
from ._versions import problem

#: Why no connection leaves ASGI with this uvicorn; None: they do.
UNFIT = problem("uvicorn")

if UNFIT is None or TYPE_CHECKING:
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
    from websockets.protocol import State
else:
    WebSocketsSansIOProtocol = object

__all__ = ["UNFIT", "HTTPProtocol", "WebSocketProtocol"]

#: How many bytes of a client are looked at before it is clear that nobody takes its transport.
MOST_BYTES = 64 * 1024


class _Taken:
    """Stands where the transport was: uvicorn closes that when the application returns."""

    def close(self) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Nothing can be sent here."""
        return True


_TAKEN = _Taken()


def _frame(message: dict[str, Any]) -> bytes:
    """A message that was parsed already, once more as a client sends it."""
    text = message.get("text")
    data: bytes = message["bytes"] if text is None else text.encode()
    size = len(data)
    head = bytes([0x82 if text is None else 0x81])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + data


#: Why a transport is not handed over.
_ENDS = "the WebSocket was about to close"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A ``WebSocketsSansIOProtocol`` that offers its transport to a Socket.IO server."""

    offers_transport = True

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.server_state = server_state
        #: Why the transport was not handed over.
        self.refusal = ""
        #: Bytes of a message that is not whole yet; None: the transport is not to be had.
        self._tail: bytes | None = b"" if core is not None else None
        self._seen = 0

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self.handshake_initiated:
            if len(data) > MIN_PIECE and not isinstance(self.transport, SlicedInput):
                sliced = slice_input(self)
                if sliced is not None:
                    sliced.data_received(data)
                    return
            if self._tail is not None:
                self._look_at(data)
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._turn_away()

    def _turn_away(self) -> None:
        """Answer a request that is not accepted, a line of which is too long, for one.

        uvicorn by itself says nothing, and keeps the connection.
        """
        head = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.transport.write(head)
        self.transport.close()

    def _look_at(self, data: bytes) -> None:
        """Keep what does not make a whole message."""
        assert self._tail is not None
        assert core is not None
        tail = self._tail + data if self._tail else data
        try:
            messages, _ = core.ws_whole(tail, bool(self.conn.extensions))
        except ValueError:
            self._tail = None
            return
        self._tail = tail[messages:] if self._seen <= MOST_BYTES else None
        self._seen += len(data)

    def handle_connect(self, event: Any) -> None:
        """The handshake: the offer goes into the scope."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None and self._tail is not None:
            scope["extensions"][OFFER] = self

    async def run_asgi(self) -> None:
        """The application's task. An eager task factory begins it within ``handle_connect()``."""
        if self._tail is not None and OFFER not in self.scope["extensions"]:
            await asyncio.sleep(0)
        await super().run_asgi()

    def _is_whole(self) -> bool:
        """Whether what was read ends with a message, or in a frame that uvicorn has not seen."""
        assert self._tail is not None
        assert core is not None
        return not self._tail or core.ws_whole(self._tail, True) == (0, 0)

    def _obstacle(self) -> str:
        """Why the transport cannot be handed over; empty: it can be."""
        if not self.handshake_complete:
            return "the handshake of the WebSocket was not complete"
        if (
            self.close_sent
            or self.initial_response is not None
            or self.transport.is_closing()
            or self.conn.state is not State.OPEN
        ):
            return _ENDS
        if self._tail is None:
            return "the client has sent much, or what is no WebSocket frame, before it was accepted"
        if not self._is_whole():
            return "the client has sent a part of a message before it was accepted"
        return ""

    def hand_over(self, connection: Any, context: Context) -> bool:
        """Let a connection have the transport; False when it is not to be had.

        What was read and not yet received by the application is the connection's to handle, once
        ``go_on()`` is called.
        """
        self.refusal = self._obstacle()
        if self.refusal:
            return False
        assert self._tail is not None
        waiting: list[Any] = []
        while not self.queue.empty():
            waiting.append(self.queue.get_nowait())
        if any(message["type"] != "websocket.receive" for message in waiting):
            for message in waiting:
                self.queue.put_nowait(message)
            self.refusal = _ENDS
            return False
        bits, inflate, keeps = 0, None, False
        extension: Any
        for extension in self.conn.extensions:
            bits = extension.local_max_window_bits
            keeps = not extension.remote_no_context_takeover
            if keeps and self._seen:
                inflate = extension.decoder
        may_inflate = bool(self.conn.extensions)
        extensions = bits, may_inflate, inflate, keeps
        is_paused = not self.writable.is_set()
        transport, sent = hand_over(self, connection, context, extensions, is_paused=is_paused)
        stop_keepalive = getattr(self, "stop_keepalive", None)
        if stop_keepalive is not None:
            stop_keepalive()
        self.transport = _TAKEN  # type: ignore[assignment]
        for message in waiting:
            connection.hold(_frame(message))
        connection.hold(self._tail + sent)
        self._tail = None
        if self.read_paused or sent:
            self.read_paused = False
            transport.resume_reading()
        return True


if UNFIT is not None:
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

    logger.warning("WebSockets go through ASGI: %s", UNFIT)
    WebSocketProtocol = AutoWebSocketsProtocol  # type: ignore[misc, assignment]

#: Seconds, and bytes, for all before the body of a request.
REQUEST_SECONDS = 60.0
MOST_HEADER_BYTES = 64 * 1024


class _Timed:
    """Ends the connection of a client whose request does not come to the end of its headers."""

    loop: asyncio.AbstractEventLoop
    transport: Any
    _late: asyncio.TimerHandle | None = None
    _in_headers = False
    _header_bytes = 0
    _read_bytes = 0  # since this request began, with what stood before it in the same read

    def connection_made(self, transport: Any) -> None:
        """A client is here."""
        super().connection_made(transport)  # type: ignore[misc]
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._stop_waiting()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """Bytes of the client, of which no more is parsed at once than takes a slice of the event
        loop's time. Headers that are whole in one piece are measured where they end."""
        if len(data) > REQUEST_PIECE and not isinstance(self.transport, SlicedInput):
            sliced = slice_requests(self)
            if sliced is not None:
                sliced.data_received(data)
                return
        was_in_headers = self._in_headers
        self._read_bytes = len(data) + (self._read_bytes if was_in_headers else 0)
        super().data_received(data)  # type: ignore[misc]
        if was_in_headers and self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self._turn_away(b"431 Request Header Fields Too Large")

    def _await_headers(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(
                REQUEST_SECONDS, self._turn_away, b"408 Request Timeout"
            )

    def _begin_request(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        self._await_headers()

    def _stop_waiting(self) -> None:
        self._in_headers = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _turn_away(self, status: bytes) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            head = b"HTTP/1.1 " + status
            self.transport.write(head + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()


class _TimedHttpTools(_Timed):
    """What httptools tells of a request."""

    url: bytes
    headers: list[tuple[bytes, bytes]]

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begin_request()
        super().on_message_begin()  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        """Its headers are whole; those that came in one read are measured now."""
        self._stop_waiting()
        if self._read_bytes > MOST_HEADER_BYTES:
            size = sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
            if len(self.url) + size > MOST_HEADER_BYTES:
                self._turn_away(b"431 Request Header Fields Too Large")
                raise ValueError("too large")  # ends the parser, and what uvicorn does with it
        super().on_headers_complete()  # type: ignore[misc]

    def on_response_complete(self) -> None:
        """A request was answered: after the last of those that were parsed others may be."""
        super().on_response_complete()  # type: ignore[misc]
        if isinstance(self.transport, SlicedInput):
            self.transport.give_more()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless it has been answered."""
        if not self.transport.is_closing():
            super().send_400_response(msg)  # type: ignore[misc]


class _TimedH11(_Timed):
    """h11 bounds the bytes of headers itself, and tells in which state it is."""

    conn: Any

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        super().data_received(data)
        is_waiting = str(self.conn.their_state) == "IDLE" and self.conn.trailing_data[0]
        if not is_waiting:
            self._stop_waiting()
        elif not self._in_headers:
            self._begin_request()


_Own = _TimedHttpTools if hasattr(AutoHTTPProtocol, "on_message_begin") else _TimedH11


if UNFIT is None and _Own is _TimedHttpTools:
    from ._requests import SessionRequests
else:

    class SessionRequests:  # type: ignore[no-redef]
        """All requests are uvicorn's."""


class HTTPProtocol(SessionRequests, _Own, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol with an end for clients that do not come to theirs.

    Requests of sessions are answered here where nothing stands between uvicorn and our ASGIApp:
    toolboxsio/_requests.py.

    A request whose headers are not whole after 60 seconds is answered 408, one that has more than
    64 KiB of them 431, and the connection is closed: uvicorn by itself waits, and keeps them.
    Bodies have their time.

    ``toolboxsio.run(app)``, or ``uvicorn.run(app, http=toolboxsio.uvicorn.HTTPProtocol)``
    """
