"""The Engine.IO server.

What touches the internals of python-engineio's server stands here, what touches its sockets in
engine_socket.py; each such place names the upstream function.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
import time
import urllib.parse
from binascii import b2a_base64
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from inspect import CO_COROUTINE
from operator import attrgetter
from types import FunctionType
from typing import Any, cast

import engineio.async_drivers.asgi
import engineio.async_socket
import engineio.exceptions
from engineio.async_server import AsyncServer as _UpstreamServer
from engineio.async_socket import AsyncSocket as _UpstreamSocket
from engineio.packet import MESSAGE, OPEN

from ._failures import is_failure
from ._load import core
from ._polling import Messages, is_send_replaced, is_session_replaced, wants_websocket
from ._server_stop import STOP_SECONDS, WEB_SERVER_STOPS, stop_clients, watch_request
from .asgi import Body, refuse_websocket, skip_body, translate_request
from .engine_socket import DUE_CONNECT, EngineSocket
from .errors import PacketError, text_of
from .packet import EnginePacket, EnginePayload

_trigger_event = _UpstreamServer._trigger_event
_generate_id = _UpstreamServer.generate_id
_make_response = _UpstreamServer._make_response
_driver_make_response = engineio.async_drivers.asgi.make_response

__all__ = ["EngineServer", "EngineSocket", "is_send_replaced"]


def _socket_class() -> Any:
    """The class of new sockets: one that the application has put in upstream's place, or ours."""
    current = engineio.async_socket.AsyncSocket
    return EngineSocket if current is _UpstreamSocket else current


#: Seconds until an error of clients that was logged is logged again.
LOG_SECONDS = 60

#: Characters of a line in the log.
LONGEST_MESSAGE = 500

#: How many causes of refusals are told apart in the log.
MOST_CAUSES = 200


#: Of the query, those that are read here, and those whose name must be decoded first. There is one
#: way to match a name: with several the time would grow with the square of its length.
_OWN_PARAMETERS = re.compile(r"(?:^|&)((?:EIO|transport|sid|j|[^=&%]*+%[^=&]*+)=[^&]*)")
MAX_QUERY_CHARACTERS = 65536
MAX_PARAMETERS = 100
MAX_PARAMETER_CHARACTERS = 8192

#: From base64 to what a URL may hold.
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

#: Elements of a header that is a list.
MAX_LIST_ELEMENTS = 100


#: The same of a query in which nothing has to be decoded, as those of clients are.
_SHORT_QUERY = 256
_NAMES = frozenset(("EIO", "transport", "sid", "j"))


def _parse_query(text: str) -> dict[str, list[str]] | None:
    """Return the parameters of a query that Engine.IO knows, as ``parse_qs`` does.

    None: they are too many or too long, and would cost too much time.
    """
    if len(text) <= _SHORT_QUERY and "%" not in text and "+" not in text:
        query: dict[str, list[str]] = {}
        for parameter in text.split("&"):
            name, _, value = parameter.partition("=")
            if value and name in _NAMES:
                query.setdefault(name, []).append(value)
        return query
    if len(text) > MAX_QUERY_CHARACTERS:
        return None
    own = _OWN_PARAMETERS.findall(text)
    if len(own) > MAX_PARAMETERS or sum(map(len, own)) > MAX_PARAMETER_CHARACTERS:
        return None
    return urllib.parse.parse_qs("&".join(own))


if core is not None:
    #: The methods of a class of sockets that are watched: see csrc/conn/watch.h.
    _watched_methods = attrgetter(*core.SOCKET_METHODS)


def _is_coroutine_function(handler: Any) -> bool:
    """The same as ``inspect.iscoroutinefunction``, at once for functions and methods."""
    function = getattr(handler, "__func__", handler)
    if type(function) is FunctionType and function.__code__.co_flags & CO_COROUTINE:
        return True
    return inspect.iscoroutinefunction(handler)


def _is_websocket(environ: dict[str, Any]) -> bool:
    """Whether ASGI takes a request for the handshake of a WebSocket."""
    return (environ.get("asgi.scope") or {}).get("type") == "websocket"


class EngineServer(_UpstreamServer):  # type: ignore[misc]
    """The Engine.IO server. Mirrors: ``engineio.async_server.AsyncServer``."""

    start_service_task: bool
    _async: Any
    #: The Socket.IO server whose events are dispatched in C; None: nobody's.
    owner: Any = None
    #: Seconds for an upgrade to WebSocket; 0: without an end.
    upgrade_timeout: float = 10
    #: Seconds for the body of a request; 0: without an end.
    message_timeout: float = 45
    #: Seconds that handlers have when the server stops.
    shutdown_timeout: float = STOP_SECONDS
    #: Whether the protocol documents are followed to the letter.
    strict = False
    #: The class of packets, with the JSON of this server.
    packet_class: type[EnginePacket] = EnginePacket
    #: The class of the payloads of clients; its ``max_decode_packets`` is the limit.
    payload_class: type[EnginePayload] = EnginePayload
    _logged_at: dict[str, float]
    #: What a client without a session here is told besides: a fleet may have sent it astray.
    session_hint = ""
    _sequence: list[int]
    #: The ends of the server, and of the clients of one event loop, that are at work, by loop.
    _stops: dict[Any, asyncio.Task[None]]
    _ends: dict[Any, asyncio.Task[None]]

    def __init__(self, *args: Any, json: Any = None, **kwargs: Any) -> None:
        self._sequence = [0]
        super().__init__(*args, **kwargs)
        if json is not None:  # this server's alone
            self.packet_class = type("EnginePacket", (EnginePacket,), {"json": json})
            packets = {"packet_class": self.packet_class}
            self.payload_class = type("EnginePayload", (EnginePayload,), packets)
        self.slim()

    def slim(self) -> None:
        """Use the translation of requests that keeps less for each client."""
        driver = engineio.async_drivers.asgi
        if self._async is driver._async:
            self._async = {**driver._async, "translate_request": translate_request}
        for name in ("_logged_at", "_stops", "_ends"):  # kept when an option is set
            self.__dict__.setdefault(name, {})
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
        owner = self.owner
        if owner is None:
            return None
        root = owner._hub
        return (root is not None and root.here()) or owner._hub_here()

    @property
    def stopping(self) -> bool:
        """Whether no new session is opened on this event loop."""
        owner = self.owner
        root = None if owner is None else owner._hub
        hub = None if root is None else root.here()
        return hub is not None and bool(hub.stopping)

    async def send(self, sid: str, data: Any) -> None:
        """Send a message to a client. Mirrors: ``engineio.async_server.AsyncServer.send``."""
        await self.send_packet(sid, self.packet_class(MESSAGE, data=data))

    async def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        """Call an event handler.

        Mirrors: ``engineio.async_server.AsyncServer._trigger_event``; a packet that the handler of
        messages refuses ends the connection.
        """
        handler = self.handlers.get(event)
        if kwargs.get("run_async") or not _is_coroutine_function(handler):
            return await super()._trigger_event(event, *args, **kwargs)
        if event == "message":
            return await self.run_handler(args[0], handler(*args))
        if _UpstreamServer._trigger_event is not _trigger_event:
            return await super()._trigger_event(event, *args, **kwargs)
        try:
            try:
                return await handler(*args)
            except TypeError:
                if event != "disconnect":
                    raise
                return await handler(*args[:1])  # which may take no reason
        except asyncio.CancelledError:
            return None
        except BaseException:
            self.logger.exception(f"{event} async handler error")
            return False if event == "connect" else None

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
                self._log_error_once(f"{sid}: Packet refused: {text_of(exc)}", "packet-refused")
        except BaseException as exc:
            if not is_failure(exc, is_own_task=False):
                raise
            self.logger.exception("message async handler error")
        return None

    def _open_packet(self, sid: str, transport: str) -> EnginePacket:
        interval = self.ping_interval + self.ping_interval_grace_period
        return self.packet_class(
            OPEN,
            {
                "sid": sid,
                "upgrades": self._upgrades(sid, transport),
                "pingTimeout": int(self.ping_timeout * 1000),
                "pingInterval": int(interval * 1000),
                "maxPayload": self.max_http_buffer_size,
            },
        )

    def generate_id(self) -> str:
        """Generate an id of a session.

        Mirrors: ``engineio.base_server.BaseServer.generate_id``.
        """
        if _UpstreamServer.generate_id is not _generate_id:
            return cast("str", super().generate_id())
        number = self._sequence[0]
        self._sequence[0] = (number + 1) & 0xFFFFFF
        raw = secrets.token_bytes(12) + number.to_bytes(3, "big")
        return b2a_base64(raw, newline=False).translate(_URL_SAFE).decode()

    # --- the log ---

    def _log_error_once(self, message: str, message_key: str) -> None:
        """Log an error of a client: one line of level ERROR for each key and minute.

        Mirrors: ``engineio.base_server.BaseServer._log_error_once``, which has one for all times.
        """
        now = time.monotonic()
        if now - self._logged_at.get(message_key, now) >= LOG_SECONDS:
            self.log_message_keys.discard(message_key)
        if message_key not in self.log_message_keys:
            self._logged_at[message_key] = now
        message = message[:LONGEST_MESSAGE]
        if not message.isprintable():
            message = repr(message)[1 : LONGEST_MESSAGE + 1].removesuffix("'")
        super()._log_error_once(message, message_key)

    def _log_refusal(self, sid: str, text: str) -> None:
        """Log why a client's session was ended."""
        cause = re.split("[\"'({:]", text, maxsplit=1)[0]  # the rest may be the client's
        cause = re.sub("[0-9.]+", "", cause)
        if len(self._logged_at) > MOST_CAUSES:
            cause = ""
        self._log_error_once(f"{sid}: Packet refused: {text}", f"packet-refused {cause}")

    # --- requests ---

    async def handle_request(self, *args: Any, **kwargs: Any) -> Any:
        """Handle a request. Mirrors: ``engineio.async_server.AsyncServer.handle_request``."""
        translate = self._async["translate_request"]
        environ = translate(*args, **kwargs)
        if translate is translate_request or inspect.isawaitable(environ):
            environ = await environ
        if not environ:  # the client has gone
            return None
        response = await self._answer(environ)
        if not isinstance(response, dict):
            return response
        return await self._make_response(response, environ)

    async def serve(self, exchange: Any, environ: dict[str, Any]) -> None:
        """Answer a request that has not come through ASGI: see toolboxsio/_requests.py."""
        try:
            response = await self._answer(environ)
            if isinstance(response, dict):
                headers = [*response["headers"], *self._cors_headers(environ)]
                exchange.respond(response["status"], headers, response["response"])
        except BaseException as exc:  # as uvicorn's, where it runs an application
            self.logger.error("Exception in a request", exc_info=exc)
        exchange.fail()  # unless it is answered

    async def _answer(self, environ: dict[str, Any]) -> Any:
        """The answer to a request; no dict: it was a WebSocket's, which is over or elsewhere."""
        query = _parse_query(environ.get("QUERY_STRING", ""))
        if query is None:
            return self._refused("Too long a query", "bad-query")
        refused = self._refuse_request(environ, query)
        if refused is not None:
            return refused
        response = await self._respond(environ, query)
        if not isinstance(response, dict):
            return response
        if self.http_compression and len(response["response"]) >= self.compression_threshold:
            self._compress(response, environ)
        return response

    def _refuse_request(
        self, environ: dict[str, Any], query: dict[str, list[str]] | None
    ) -> dict[str, Any] | None:
        """The answer to a request of an origin, transport or version that is not accepted."""
        if query is None:
            return self._refused("Too long a query", "bad-query")
        if environ.get("HTTP_CONNECTION", "").count(",") > MAX_LIST_ELEMENTS:
            return self._refused("Too many connection options", "bad-connection")
        refused = self.refuse_origin(environ)
        if refused is not None:
            return refused
        default = [] if self.strict else ["polling"]
        transport = query.get("transport", default)
        if not transport or transport[0] not in self.transports:
            return self._refused("Invalid transport", "bad-transport")
        if query.get("EIO") != ["4"] and (self.strict or "sid" not in query):
            return self._refused(
                "The client is using an unsupported version of the Socket.IO or Engine.IO"
                " protocols",
                "bad-version",
            )
        return None

    def refuse_origin(self, environ: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a request of an origin that is not accepted."""
        origin = environ.get("HTTP_ORIGIN")
        if origin and self.cors_allowed_origins != []:
            allowed = self._cors_allowed_origins(environ)
            if allowed is not None and origin not in allowed:
                return self._refused(f"{origin} is not an accepted origin.", "bad-origin")
        return None

    def _refused(self, message: str, key: str) -> dict[str, Any]:
        self._log_error_once(message, key)
        return cast("dict[str, Any]", self._bad_request(message))

    async def _respond(self, environ: dict[str, Any], query: dict[str, list[str]]) -> Any:
        method = environ["REQUEST_METHOD"]
        jsonp_index = None
        if "j" in query:
            try:
                jsonp_index = int(query["j"][0])
            except ValueError:
                return self._refused("Invalid JSONP index number", "bad-jsonp-index")
        sid = query["sid"][0] if "sid" in query else None
        transport = query.get("transport", ["polling"])[0]
        if method == "GET":
            return await self._get(environ, sid, transport, jsonp_index)
        if method == "POST":
            return await self._post(environ, sid, jsonp_index)
        if method == "OPTIONS":
            return self._ok()
        if self.strict:
            return self._refused("Bad handshake method", "bad-method")
        self.logger.warning("Method %s not supported", method)
        return self._method_not_found()

    async def _get(
        self, environ: dict[str, Any], sid: str | None, transport: str, jsonp_index: int | None
    ) -> Any:
        upgrade = environ["HTTP_UPGRADE"].lower() if "HTTP_UPGRADE" in environ else None
        is_poll = not wants_websocket(environ)
        if is_poll:
            watch_request(environ, self)
        if sid is None:
            if transport != "polling" and not transport == upgrade == "websocket":
                return self._refused("Invalid websocket upgrade", "bad-upgrade")
            if transport == "polling" and _is_websocket(environ):
                return self._refused("Invalid transport", "bad-transport")
            if self.stopping:
                return self._bad_request("The server stops") | {"status": "503 SERVICE UNAVAILABLE"}
            return await self._handle_connect(environ, transport, jsonp_index)
        if self.strict and _is_websocket(environ) and self._has_websocket(sid):
            return await self._close_websocket(environ)
        socket = self._session(sid)
        if isinstance(socket, dict):
            return socket
        if transport != "polling" and transport != upgrade:
            self._log_error_once(f"Invalid transport for session {sid}", "bad-transport")
            return self._bad_request("Invalid transport")
        if socket.upgrading and not is_poll:
            return self._refused(f"Session {sid} is being upgraded", "bad-upgrade")
        response: Any
        try:
            packets = await socket.handle_get_request(environ)
            response = packets
            if isinstance(packets, list):
                response = self._ok(packets, jsonp_index=jsonp_index)
        except engineio.exceptions.EngineIOError:
            if sid in self.sockets:
                await self.disconnect(sid)
            response = self._bad_request()
        self._forget_closed(sid)
        return response

    async def _post(self, environ: dict[str, Any], sid: str | None, jsonp_index: int | None) -> Any:
        socket = self._session(sid)
        if isinstance(socket, dict):
            return socket
        watch_request(environ, self)
        try:
            await socket.handle_post_request(environ)
        except Exception as exc:
            is_http1 = environ.get("asgi.scope", {}).get("http_version", "1.1")[0] == "1"
            return await self.failed_post(socket.sid, exc, jsonp_index, is_http1)
        response = self._ok(jsonp_index=jsonp_index)
        if self.strict:
            response["response"] = response["response"].replace(b"OK", b"ok")
        return response

    async def failed_post(
        self, sid: str, exc: Exception, jsonp_index: int | None = None, is_http1: bool = True
    ) -> dict[str, Any]:
        """The answer to a POST that has ended with an exception."""
        response: dict[str, Any]
        if isinstance(exc, PacketError):
            self._forget_closed(sid)
            response = self._bad_request(str(exc))
            if exc.status != PacketError.status:  # what is left of the body is not read
                response["status"] = exc.status
                if is_http1:
                    response["headers"].append(("Connection", "close"))
        elif isinstance(exc, engineio.exceptions.EngineIOError):
            if sid in self.sockets:
                await self.disconnect(sid)
            response = self._bad_request()
        else:  # the application's
            self.logger.error("post request handler error", exc_info=exc)
            response = self._ok(jsonp_index=jsonp_index)
        return response

    def _session(self, sid: str | None) -> Any:
        """The socket of a session that a request may be for, or the answer to the request."""
        if sid not in self.sockets:
            return self._refused(f"Invalid session {sid}", "bad-sid")
        try:
            socket = self._get_socket(sid)
        except KeyError as exc:  # it is closed
            return self._refused(f"{exc} {sid}", "bad-sid")
        if not socket.connected:
            self._log_error_once(f"Socket for session {sid} is not connected", "not-connected")
            return self._bad_request("Not connected")
        if socket.upgraded:
            self._log_error_once(f"Unexpected HTTP request for session {sid}", "unexpected-http")
            return self._bad_request("Unexpected HTTP request")
        if isinstance(socket, EngineSocket):
            socket.follow_loop()
        return socket

    def _has_websocket(self, sid: str) -> bool:
        """Whether a session is on a WebSocket, or on its way there."""
        socket = self.sockets.get(sid)
        return socket is not None and not socket.closed and (socket.upgraded or socket.upgrading)

    async def _close_websocket(self, environ: dict[str, Any]) -> str:
        """Accept a WebSocket and close it at once, as the protocol's test suite has it."""
        send = environ["asgi.send"]
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        return ""

    def _forget_closed(self, sid: str | None) -> None:
        """A session that a request has ended is over."""
        socket = self.sockets.get(sid)
        if socket is not None and socket.closed:
            del self.sockets[sid]

    def _compress(self, response: dict[str, Any], environ: dict[str, Any]) -> None:
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "").split(",", MAX_LIST_ELEMENTS)
        for encoding in (name.partition(";")[0].strip() for name in accepted):
            if encoding in self.compression_methods:
                response["response"] = getattr(self, f"_{encoding}")(response["response"])
                response["headers"] += [("Content-Encoding", encoding)]
                break

    async def _make_response(self, response: dict[str, Any], environ: dict[str, Any]) -> Any:
        """Send a response. Mirrors: ``engineio.async_server.AsyncServer._make_response``.

        The refusal of a WebSocket has its status where the ASGI server can send one.
        """
        body = environ.get("wsgi.input")
        if isinstance(body, Body) and response["status"][:3] != "408":
            await skip_body(environ["asgi.scope"], body, self.message_timeout)
        status, send = int(response["status"][:3]), cast(Any, environ.get("asgi.send"))
        is_websocket = _is_websocket(environ)
        if (status == 200) if is_websocket else not self._sends_responses():
            return await super()._make_response(response, environ)
        fields = [*response["headers"], *self._cors_headers(environ)]
        headers = [(name.encode(), value.encode()) for name, value in fields]
        if is_websocket:
            scope, receive = environ["asgi.scope"], environ["asgi.receive"]
            await refuse_websocket(scope, receive, send, status, headers, response["response"])
        else:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": response["response"]})
        return None

    def _sends_responses(self) -> bool:
        """Whether responses are ASGI's, and nobody has replaced what sends them."""
        is_stock = self._async["make_response"] is _driver_make_response
        return is_stock and _UpstreamServer._make_response is _make_response

    def _bad_request(self, message: str | None = None) -> Any:
        """Answer 400, with the hint to who asks for a session that is not here.

        Mirrors: ``engineio.base_server.BaseServer._bad_request``.
        """
        if message is not None and message.startswith("Invalid session ") and self.session_hint:
            message = f"{message} ({self.session_hint})"
        body = self._dump("Bad Request" if message is None else message)
        headers = [("Content-Type", "text/plain")]
        return {"status": "400 BAD REQUEST", "headers": headers, "response": body}

    def _unauthorized(self, message: Any = None) -> Any:
        """Answer 401. Mirrors: ``engineio.base_server.BaseServer._unauthorized``."""
        body = self._dump("Unauthorized" if message is None else message)
        headers = [("Content-Type", "application/json")]
        return {"status": "401 UNAUTHORIZED", "headers": headers, "response": body}

    def _dump(self, value: Any) -> bytes:
        text = self.packet_class.json.dumps(value)
        return text.encode() if isinstance(text, str) else bytes(text)

    def _cors_allowed_origins(self, environ: dict[str, Any]) -> Any:
        """Return the origins that are accepted; None: all.

        Mirrors: ``engineio.base_server.BaseServer._cors_allowed_origins``; where that is the
        server's own origin, its scheme is that of ``wsgi.url_scheme``.
        """
        if self.cors_allowed_origins is not None:
            return super()._cors_allowed_origins(environ)
        scheme, host = environ.get("wsgi.url_scheme"), environ.get("HTTP_HOST")
        if scheme is None or host is None:
            return []
        forwarded = environ.get("HTTP_X_FORWARDED_HOST", host).partition(",")[0].strip()
        return [f"{scheme}://{host}", f"{scheme}://{forwarded}"]

    def _cookie_headers(self, sid: str) -> list[tuple[str, str]] | None:
        if not self.cookie:
            return None
        attributes = self.cookie
        if not isinstance(attributes, dict):
            attributes = {"name": attributes, "path": "/", "SameSite": "Lax"}
        return [("Set-Cookie", self._generate_sid_cookie(sid, attributes))]

    # --- sessions ---

    def stop_soon(self, code: int, tasks: set[Any] | None = None) -> asyncio.Task[None]:
        """Begin to end all sessions; ``tasks`` is what the web server waits for."""
        task = self._begin_stop(self.shutdown_timeout, code)
        if tasks is not None and task not in tasks:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task

    def _begin_stop(self, seconds: float, code: int) -> asyncio.Task[None]:
        if self.hub() is not None:
            self.owner._hub.stopping = True
        return self._once(self._stops, self._run_stop, seconds, code)

    def _once(
        self,
        running: dict[Any, asyncio.Task[None]],
        run: Callable[[float, int], Coroutine[Any, Any, None]],
        seconds: float,
        code: int,
    ) -> asyncio.Task[None]:
        """The task of this event loop that runs this; the one that is at work, if there is one."""
        loop = asyncio.get_running_loop()
        task = running.get(loop)
        if task is not None:
            return task

        async def begin() -> None:
            current = asyncio.current_task()
            assert current is not None
            running[loop] = current  # a task that begins at once is not known yet
            await run(seconds, code)

        def done(task: asyncio.Task[None]) -> None:
            running.pop(loop, None)
            if not task.cancelled() and task.exception() is not None:
                self.logger.error("the sessions could not be ended", exc_info=task.exception())

        task = loop.create_task(begin())
        if not task.done():
            running[loop] = task
        task.add_done_callback(done)
        return task

    async def _run_stop(self, seconds: float, code: int) -> None:
        """End the sessions of all event loops, each on its own."""
        loop = asyncio.get_running_loop()
        hubs = [] if self.owner is None else self.owner._hub.hubs()
        others = [hub for hub in hubs if hub.loop is not loop and hub.loop.is_running()]
        ends = [hub.posts.run(self._end_clients, seconds, code) for hub in others]
        await asyncio.gather(self._end_clients(seconds, code), *ends)
        if code == WEB_SERVER_STOPS:  # this one: others, on other loops, may go on
            for hub in others:
                hub.stopping = False

    async def _end_clients(self, seconds: float, code: int) -> None:
        """End the sessions of this event loop."""
        await asyncio.shield(self._once(self._ends, partial(stop_clients, self), seconds, code))

    async def stop(self, seconds: float, code: int) -> None:
        """End all sessions; see :func:`toolboxsio._server_stop.stop_clients`.

        It goes on when who waits for it is cancelled: a handler that asks for it is one of those
        that the end waits for.
        """
        await asyncio.shield(self._begin_stop(seconds, code))

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        """Open a session. Mirrors: ``engineio.async_server.AsyncServer._handle_connect``."""
        sid = self.generate_id()
        socket, conn = _socket_class()(self, sid), None
        hub = self.hub() if isinstance(socket, EngineSocket) else None
        if hub is not None and not is_session_replaced():
            socket.conn = conn = hub.connection(socket, sid)
            if type(socket) is not EngineSocket:
                conn.stock = _watched_methods(type(socket)) == _watched_methods(EngineSocket)
        elif self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        self.sockets[sid] = socket
        packet = self._open_packet(sid, transport)
        try:
            encoded = packet.encode()
        except Exception as exc:  # of the application's JSON
            del self.sockets[sid]
            text = f"The OPEN packet cannot be encoded: {type(exc).__name__}: {exc}"
            self._log_error_once(text, "open-packet")
            return {"status": "500 INTERNAL SERVER ERROR", "headers": [], "response": b""}
        is_ours = conn is not None and conn.stock and not conn.hub.emit_reasons
        if conn is not None and is_ours:
            conn.send(encoded)  # nobody else is to see it
        else:
            await socket.send(packet)

        answer = await self._trigger_event("connect", sid, environ, run_async=False)
        if answer is not None and answer is not True:
            del self.sockets[sid]
            self.logger.warning("Application rejected connection")
            return self._unauthorized(answer or None)
        socket.schedule_ping()
        if conn is not None:
            conn.expect(DUE_CONNECT)

        if transport == "websocket":
            if is_ours and type(socket) is EngineSocket and socket.take_websocket(environ):
                return ""
            response = await socket.handle_get_request(environ)
            if socket.closed and sid in self.sockets:
                del self.sockets[sid]
            return response
        socket.connected = True
        try:
            packets = await (socket.poll() if conn is None else socket.poll_messages())
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
        if isinstance(packets, Messages):
            body = packets.payload(jsonp_index)
        else:
            body = EnginePayload(packets=packets).encode(jsonp_index=jsonp_index).encode()
        return {
            "status": "200 OK",
            "headers": [*(headers or []), ("Content-Type", "text/plain; charset=UTF-8")],
            "response": body,
        }


if core is None:  # plain python-engineio
    EngineServer = _UpstreamServer  # type: ignore[misc]
