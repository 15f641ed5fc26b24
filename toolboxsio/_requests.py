"""Requests of Socket.IO sessions that do not pass through ASGI.

uvicorn's HTTP protocol hands them over where nothing stands between uvicorn and our ASGIApp. C
reads them when they are whole in one read and ordinary (csrc/wire/http_head.h); all others, and all
of other paths, are uvicorn's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import time
from contextvars import Context, copy_context
from operator import attrgetter
from typing import Any

import engineio.async_drivers.asgi
import engineio.async_socket
from engineio.async_drivers.asgi import WebSocket as _AsgiWebSocket
from engineio.async_socket import AsyncSocket as _UpstreamSocket
from socketio.async_server import AsyncServer as _UpstreamServer
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake

from ._handover import OFFER, hand_over
from ._load import core
from ._polling import is_replaced, is_session_replaced
from ._replies import Poll, PollingPost, Reply
from ._server_stop import watch_protocol
from ._sliced_input import Account
from ._upgrade import Upgrade
from .asgi import ASGIApp, environ_of, translate_request
from .engine import EngineServer
from .engine_socket import EngineSocket

__all__ = ["Exchange", "SessionRequests"]

#: Bytes that wait for an answer to be complete, before reading pauses.
MAX_WAITING_BYTES = 64 * 1024

#: Offers of WebSocket extensions whose answer is remembered.
_MAX_OFFERS = 64

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the proxy headers."""


#: What accepts a WebSocket and hands its transport over.
_websocket_methods = attrgetter("handle_get_request", "_upgrade_websocket", "_websocket_handler")
_WEBSOCKET_METHODS = _websocket_methods(_UpstreamSocket)
_OWN_METHODS = _websocket_methods(EngineSocket)


_ENGINE_METHODS = (
    *("handle_request", "_make_response", "_get", "_post", "_respond", "_answer", "_ok"),
    *("_cors_headers", "_cors_allowed_origins"),
)
_engine_methods = attrgetter(*_ENGINE_METHODS)
_socket_methods = attrgetter("receive", "close", "poll_messages", "_receive_lane")


def _polling_methods() -> tuple[Any, ...]:
    """Of what answers the requests of a session that polls."""
    return (
        is_replaced("handle_get_request"),
        is_replaced("handle_post_request"),
        _socket_methods(EngineSocket),
        _engine_methods(EngineServer),
    )


_POLLING_METHODS = _polling_methods() if core is not None else ()


class Target:
    """Where the requests of a uvicorn go that are answered here."""

    __slots__ = ("_app", "_offers", "config", "engine", "prefix", "proxies")

    def __init__(self, config: Any, app: ASGIApp, proxies: ProxyHeadersMiddleware | None) -> None:
        self.config = config
        self._app = app
        self.engine: EngineServer = app.engineio_server.eio
        self.prefix = app.engineio_path.rstrip("/").encode()
        #: uvicorn's own, which changes nothing but the scope.
        self.proxies = proxies
        #: By the client's offer: the answer's field and what it means; None: uvicorn answers.
        self._offers: dict[bytes, Any] = {}

    def is_stock(self) -> bool:
        """Whether nothing on the way of a request was replaced by the application."""
        app, engine = self._app, self.engine
        server, driver = app.engineio_server, engine._async
        return (
            type(app).__call__ is ASGIApp.__call__
            and engine.owner is server
            and type(server).handle_request is _UpstreamServer.handle_request
            and type(engine).handle_request is EngineServer.handle_request
            and type(engine)._make_response is EngineServer._make_response
            and driver["translate_request"] is translate_request
            and driver["make_response"] is engineio.async_drivers.asgi.make_response
            and driver["websocket"] is _AsgiWebSocket
            and "handle_request" not in server.__dict__
            and "handle_request" not in engine.__dict__
            and "_make_response" not in engine.__dict__
        )

    def polling_session(self, sid: str) -> EngineSocket | None:
        """A session that polls, whose usual requests nobody else has to see; None: else."""
        engine = self.engine
        socket = engine.sockets.get(sid)
        if (
            type(socket) is not EngineSocket
            or socket.conn is None
            or socket.conn.path != "polling"
            or socket.conn.hub is not engine.hub()
            or len(engine.transports) < 2
            or not socket.connected
            or socket.upgrading
            or socket.upgraded
            or socket.closing
            or socket.closed
        ):
            return None
        is_plain = (
            not engine.strict
            and engine.__dict__.keys().isdisjoint(_ENGINE_METHODS)
            and "handle_request" not in self._app.engineio_server.__dict__
            and _polling_methods() == _POLLING_METHODS
        )
        return socket if is_plain else None

    def takes_websockets(self) -> bool:
        """Whether a connection is sure to take the transport of a WebSocket."""
        return (
            engineio.async_socket.AsyncSocket is _UpstreamSocket
            and _websocket_methods(_UpstreamSocket) == _WEBSOCKET_METHODS
            and _websocket_methods(EngineSocket) == _OWN_METHODS
            and not is_session_replaced()
        )

    def heed_proxies(self, scope: Any) -> None:
        """Take the client's address and scheme from a proxy that is trusted."""
        if self.proxies is not None and any(n[:12] == b"x-forwarded-" for n, _ in scope["headers"]):
            with contextlib.suppress(StopIteration):
                self.proxies(scope, None, None).send(None)  # type: ignore[arg-type]

    def extensions(self, offer: bytes, state: Any, loop: Any) -> Any:
        """What uvicorn's WebSocket protocol would answer to an offer of extensions.

        :return: the value of the field, and what ``Connection.attach()`` is told: bits of the
            window, whether messages may be compressed, whether the client keeps its window. None:
            the offer is refused.
        """
        if offer not in self._offers:
            if len(self._offers) >= _MAX_OFFERS:
                self._offers.clear()
            protocol = self.config.ws_protocol_class(self.config, state, {}, loop)
            self._offers[offer] = _negotiate(protocol.conn, offer)
        return self._offers[offer]


def _negotiate(conn: Any, offer: bytes) -> Any:
    if not offer:
        return "", 0, False, False
    try:
        headers = Headers([("Sec-WebSocket-Extensions", offer.decode("latin-1"))])
        value, extensions = conn.process_extensions(headers)
    except InvalidHandshake:
        return None
    if not extensions:
        return "", 0, False, False
    [deflate] = extensions
    return value, deflate.local_max_window_bits, True, not deflate.remote_no_context_takeover


def target_of(config: Any, server_state: Any) -> Target | None:
    """Where requests go without ASGI; None: something stands between, or was replaced."""
    try:
        target: Target | None = server_state.toolboxsio_target
    except AttributeError:
        target = server_state.toolboxsio_target = _find_target(config)
    return target if target is not None and target.is_stock() else None


def _find_target(config: Any) -> Target | None:
    app, proxies = config.loaded_app, None
    if type(app) is ProxyHeadersMiddleware:
        proxies = ProxyHeadersMiddleware(_nothing)
        proxies.trusted_hosts = app.trusted_hosts
        app = app.app
    if core is None or not isinstance(app, ASGIApp) or app.engineio_path is None:
        return None
    server = app.engineio_server
    is_ours = isinstance(server, _UpstreamServer) and isinstance(server.eio, EngineServer)
    return Target(config, app, proxies) if is_ours else None


class Exchange:
    """A request and its answer. An environ, which a session keeps, may hold it for long."""

    __slots__ = (
        "_extensions",
        "_is_websocket",
        "_left",
        "_request",
        "keep_alive",
        "on_response",
        "protocol",
        "scope",
    )

    def __init__(self, protocol: SessionRequests, scope: dict[str, Any]) -> None:
        self.protocol: SessionRequests | None = protocol  # until it is over
        self.on_response = protocol.on_response_complete  # tells whose it is
        self.scope: dict[str, Any] | None = scope
        self.keep_alive = True
        self._request: Any = None  # of a WebSocket, until it is over
        self._is_websocket = False
        self._left: asyncio.Future[None] | None = None

    def offer_websocket(self, request: Any, extensions: Any) -> None:
        """It is the handshake of a WebSocket, with these extensions: see Target.extensions()."""
        self._request = request
        self._is_websocket = True
        self._extensions = extensions
        assert self.scope is not None
        self.scope["extensions"][OFFER] = self

    async def receive(self) -> dict[str, Any]:
        """ASGI's: the client has gone, or its answer is complete."""
        if self.protocol is not None:
            if self._left is None:
                self._left = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._left)
        if self._is_websocket:
            return {"type": "websocket.disconnect", "code": 1006}
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's: accepts the WebSocket.

        :raises RuntimeError: for what is sent otherwise: an answer is the server's to give.
        """
        if message["type"] != "websocket.accept" or not self._is_websocket:
            raise RuntimeError("this connection does not go through ASGI")
        if self.protocol is not None:
            self.protocol.accept(self._request, self._request[7][0], self._extensions[0])

    def take(self, connection: Any, context: Context) -> bool:
        """Accept the WebSocket, and let a connection have it; False when the client has gone."""
        protocol = self.protocol
        if protocol is None or protocol.transport.is_closing():
            return False
        protocol.accept(self._request, self._request[7][0], self._extensions[0])
        return self.hand_over(connection, context)

    def hand_over(self, connection: Any, context: Context) -> bool:
        """Let a connection have the transport; False when the client has gone."""
        protocol = self.protocol
        if protocol is None or protocol.transport.is_closing():
            return False
        self.leave()
        _, bits, may_inflate, keeps = self._extensions
        protocol.hand_over(connection, context, (bits, may_inflate, None, keeps))
        return True

    def respond(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer the request.

        :param status: the number and the phrase.
        :raises RuntimeError: for a header that would end before its end.
        """
        protocol, scope = self.protocol, self.scope
        if protocol is not None and scope is not None:
            protocol.respond(scope, int(status[:3]), headers, body, self.keep_alive)
            self.leave()

    def fail(self) -> None:
        """The server has failed: as where uvicorn runs an application."""
        if self.protocol is not None:
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            self.keep_alive = False
            self.respond("500", headers, b"Internal Server Error")

    def leave(self) -> None:
        """It is over: the client has gone, or has its answer."""
        self.protocol = self.scope = self.on_response = self._request = None
        if self._left is not None and not self._left.done():
            self._left.set_result(None)


class SessionRequests:
    """The part of uvicorn's HTTP protocol that answers the requests of sessions.

    Mirrors: ``uvicorn.protocols.http.httptools_impl.HttpToolsProtocol``; requests that uvicorn
    answers and those that are answered here may follow each other on a connection.
    """

    _exchange: Exchange | Reply | Upgrade | None = None  # that is not answered yet
    _upgrade: Upgrade | None = None  # the same, when it is one
    _is_watched = False  # shutdown() ends the sessions of the server
    _defaults: Any = None  # of uvicorn's headers, and the beginning of an answer with them
    _ok_head = b""
    _waiting = b""  # for its answer, or for a turn
    _in_message = False  # uvicorn's parser is
    _is_serving = False
    _account: Account | None = None  # made when it is needed

    # uvicorn's
    app_state: Any
    client: Any
    config: Any
    connections: set[Any]
    cycle: Any
    flow: Any
    loop: asyncio.AbstractEventLoop
    on_response_complete: Any
    pipeline: Any
    root_path: str
    scheme: Any
    server: Any
    server_state: Any
    tasks: set[Any]
    timeout_keep_alive: Any
    timeout_keep_alive_handler: Any
    timeout_keep_alive_task: asyncio.TimerHandle | None
    transport: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._target = target_of(self.config, self.server_state)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._upgrade is not None:
            self._upgrade.data_received(data)
            return
        if self._exchange is not None or self._waiting:
            self._wait_with(data)
            return
        if self._target is not None and self._is_idle():
            if self.flow.write_paused:  # the client does not take its answers
                self._wait_with(data)
                return
            data = self._serve(data)
            if not data:
                return
        super().data_received(data)  # type: ignore[misc]

    def on_message_begin(self) -> None:
        """uvicorn's parser has begun with a request."""
        self._in_message = True
        super().on_message_begin()  # type: ignore[misc]

    def on_message_complete(self) -> None:
        """It has come to the end of it."""
        self._in_message = False
        super().on_message_complete()  # type: ignore[misc]

    def _is_idle(self) -> bool:
        """Whether uvicorn has nothing to do with the connection just now."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and not self._in_message and not self.pipeline

    def _is_full(self) -> bool:
        """Whether uvicorn has more to do than it may, and refuses requests."""
        most = self.config.limit_concurrency
        return most is not None and (len(self.connections) >= most or len(self.tasks) >= most)

    def _wait_with(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > MAX_WAITING_BYTES:
            self.flow.pause_reading()

    def _serve(self, data: bytes) -> bytes:
        """Answer the requests of sessions; what is left is uvicorn's."""
        assert core is not None
        assert self._target is not None
        at = 0
        self._is_serving = True
        try:
            while at < len(data):
                began = time.monotonic_ns()
                request = core.http_request(data, at, self._target.prefix)
                if request is None or self._is_full() or not self._begin(request, data):
                    break
                is_taken = self._waiting or self._upgrade is not None
                at = len(data) if is_taken else request[0]
                if self.transport.is_closing() or self.transport.get_protocol() is not self:
                    return b""
                if at < len(data) and self._must_wait(time.monotonic_ns() - began):
                    self._wait_with(data[at:])
                    return b""
        finally:
            self._is_serving = False
        if at < len(data):
            return data[at:] if at else data
        if self._exchange is None:
            self._keep_alive()
        return b""

    def _must_wait(self, ns: int) -> bool:
        """Whether the next request waits: for an answer, or for others' turns after a slice.

        :param ns: the nanoseconds that the last one has taken.
        """
        if self._exchange is not None or self.flow.write_paused:
            return True
        if self._account is None:
            self._account = Account(self.loop, self._go_on)
        if not self._account.charge(ns):
            return False
        self.flow.pause_reading()
        return True

    def _begin(self, request: Any, data: bytes) -> bool:
        """Let a request be answered; False: it is left to uvicorn."""
        end, _, _, query, _, body, closes, websocket, session = request
        target = self._target
        assert target is not None
        socket = None
        if session is not None and len(body) <= target.engine.max_http_buffer_size:
            socket = target.polling_session(session[0])
        extensions = None
        if websocket is not None:
            is_first = session is None and b"sid" not in query and b"%" not in query
            if is_first or socket is not None:
                extensions = self._accepts(websocket[1])
            if extensions is None:
                return False
        self._stop_waiting()  # type: ignore[attr-defined]
        self._unset_keepalive_if_required()  # type: ignore[attr-defined]
        if socket is not None:
            self._watch()
            if websocket is None:
                self._begin_polling(request, socket)
            else:
                self._begin_upgrade(request, socket, extensions, data[end:])
            return True
        scope = self.scope_of(request)
        self._exchange = exchange = Exchange(self, scope)
        if websocket is not None:
            exchange.offer_websocket(request, extensions)
            self._waiting = data[end:]
        exchange.keep_alive = not closes
        environ = environ_of(scope, exchange.receive, exchange.send, body)
        target.engine.hub().start(target.engine.serve(exchange, environ), self._new_context())
        return True

    def _new_context(self) -> Context:
        """In which a request is handled."""
        return Context() if getattr(self.config, "reset_contextvars", False) else copy_context()

    def _begin_polling(self, request: Any, socket: EngineSocket) -> None:
        """The usual GET or POST of a session that polls."""
        if request[1] == "POST":
            post = PollingPost(self, request, socket)
            self._exchange = post.reply
            if post.reply.is_refused():
                post.abandon()
                return
            self._new_context().run(post.hand_in, socket, request[5])
            return
        poll = Poll(self, request, socket)
        if poll.is_refused():
            return
        messages = socket.take_messages()
        if messages:
            poll.answer(messages)
        else:
            self._exchange = poll
            socket.await_messages(poll)

    def _watch(self) -> None:
        """Let sessions end when the web server stops."""
        if not self._is_watched:
            self._is_watched = True
            assert self._target is not None
            watch_protocol(self, self._target.engine)

    def _begin_upgrade(
        self, request: Any, socket: EngineSocket, extensions: Any, rest: bytes
    ) -> None:
        """The handshake of the WebSocket to which a session is upgraded."""
        reply = Reply(self, request, socket.server)
        if reply.is_refused():
            return
        self.accept(request, request[7][0], extensions[0])
        self._exchange = self._upgrade = upgrade = Upgrade(self, socket, extensions)
        if rest:
            upgrade.data_received(rest)

    def scope_of(self, request: Any) -> dict[str, Any]:
        """The ASGI scope of a request."""
        _, method, path, query, headers, _, _, websocket, _ = request
        assert self._target is not None
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": headers,
            "state": self.app_state.copy(),
            "method": method,
            "path": self.root_path + path,
            "raw_path": (self.root_path + path).encode(),
            "query_string": query,
        }
        if websocket is not None:
            del scope["method"]
            scope["type"] = "websocket"
            scope["asgi"]["spec_version"] = "2.4"
            scope["scheme"] = "wss" if self.scheme == "https" else "ws"
            scope["subprotocols"] = [
                token.strip()
                for name, value in headers
                if name == b"sec-websocket-protocol"
                for token in value.decode("latin-1").split(",")
            ]
            scope["extensions"] = {"websocket.http.response": {}}
        self._target.heed_proxies(scope)
        return scope

    def _accepts(self, offer: bytes) -> Any:
        """The extensions of a WebSocket that is accepted here: see Target.extensions(). None: it is
        left to uvicorn."""
        target = self._target
        assert target is not None
        is_open = getattr(self.config.ws_protocol_class, "offers_transport", False)
        if not is_open or not target.takes_websockets():
            return None
        return target.extensions(offer, self.server_state, self.loop)

    # --- what an exchange does ---

    def respond(
        self,
        scope: Any,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        keep_alive: bool,
    ) -> None:
        """Write the answer to a request. Mirrors: ``RequestResponseCycle.send``."""
        is_websocket = scope["type"] == "websocket"
        lines = [STATUS_LINE[status]]
        for raw_name, raw_value in self.server_state.default_headers:
            lines += (raw_name, b": ", raw_value, b"\r\n")
        for name, value in headers:
            raw_name, raw_value = name.lower().encode(), value.encode()
            if HEADER_VALUE_RE.search(raw_value):
                raise RuntimeError("Invalid HTTP header value.")
            if raw_name == b"connection" and value.lower() == "close":
                keep_alive = False
            else:
                lines += (raw_name, b": ", raw_value, b"\r\n")
        keep_alive = keep_alive and not is_websocket
        if is_websocket:
            self.logger.info(  # type: ignore[attr-defined]
                '%s - "WebSocket %s" %d',
                get_client_addr(scope),
                get_path_with_query_string(scope),
                status,
            )
        elif self.access_log:  # type: ignore[attr-defined]
            self._log_access(scope, status)
        self._write_answer(b"".join(lines), body, keep_alive)

    def respond_ok(self, request: Any, kind: bytes, body: bytes, keep_alive: bool) -> None:
        """Write the usual answer to a session that polls.

        :param kind: the type of the content, and further lines.
        """
        if self.access_log:  # type: ignore[attr-defined]
            self._log_access(self.scope_of(request), 200)
        defaults = self.server_state.default_headers
        if self._defaults is not defaults:
            self._defaults = defaults
            lines = [b"%b: %b\r\n" % each for each in defaults]
            self._ok_head = STATUS_LINE[200] + b"".join(lines) + b"content-type: "
        self._write_answer(b"%b%b\r\n" % (self._ok_head, kind), body, keep_alive)

    def _log_access(self, scope: Any, status: int) -> None:
        self.access_logger.info(  # type: ignore[attr-defined]
            '%s - "%s %s HTTP/%s" %d',
            get_client_addr(scope),
            scope["method"],
            get_path_with_query_string(scope),
            scope["http_version"],
            status,
        )

    def _write_answer(self, head: bytes, body: bytes, keep_alive: bool) -> None:
        self._exchange = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n%b%b" % (head, len(body), end, body))
        if not keep_alive:
            self.transport.close()
        elif not self._is_serving:
            self._go_on()

    def accept(self, request: Any, key: bytes, extensions: str) -> None:
        """Write that a WebSocket is accepted.

        :param key: the client's.
        :param extensions: the field, or an empty text.
        """
        if self.logger.isEnabledFor(logging.INFO):  # type: ignore[attr-defined]
            scope: Any = self.scope_of(request)
            self.logger.info(  # type: ignore[attr-defined]
                '%s - "WebSocket %s" [accepted]',
                get_client_addr(scope),
                get_path_with_query_string(scope),
            )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        lines = [_SWITCHING, b"Sec-WebSocket-Accept: ", accept, b"\r\n"]
        if extensions:
            lines += (b"Sec-WebSocket-Extensions: ", extensions.encode(), b"\r\n")
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))
        self.logger.info("connection open")  # type: ignore[attr-defined]

    def hand_over(
        self, connection: Any, context: Context, extensions: tuple[Any, ...], rest: bytes = b""
    ) -> None:
        """Let a connection have the transport.

        :param rest: what was read, and is the connection's.
        """
        self._exchange = self._upgrade = None
        is_paused = self.flow.write_paused
        transport, sent = hand_over(self, connection, context, extensions, is_paused=is_paused)
        waiting, self._waiting = rest + self._waiting, b""
        connection.hold(waiting + sent)
        if self.flow.read_paused or sent:
            transport.resume_reading()

    def _go_on(self) -> None:
        """Handle what has waited."""
        if self._exchange is not None or self.transport.is_closing():
            return
        if self._waiting:
            data, self._waiting = self._waiting, b""
            self.flow.resume_reading()
            self.data_received(data)
        elif not self._is_serving:
            self._keep_alive()

    def _keep_alive(self) -> None:
        """The client may stay for a while without a request."""
        self._unset_keepalive_if_required()  # type: ignore[attr-defined]
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    # --- uvicorn's ---

    def resume_writing(self) -> None:
        """The client has taken enough of what was written."""
        super().resume_writing()  # type: ignore[misc]
        if self._waiting:  # else uvicorn may be answering
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        exchange, self._exchange, self._waiting = self._exchange, None, b""
        self._upgrade = None
        if exchange is not None:
            exchange.leave()
        super().connection_lost(exc)  # type: ignore[misc]

    def shutdown(self) -> None:
        """The server stops. A request is answered first."""
        if self._upgrade is not None:
            self._upgrade.shutdown()
        elif self._exchange is not None:
            self._exchange.keep_alive = False
        else:
            super().shutdown()  # type: ignore[misc]
