"""The ASGI application, and how a request becomes an environ."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from engineio.static_files import get_static_file
from socketio.asgi import ASGIApp as UpstreamASGIApp

from ._load import core
from ._server_stop import is_uvicorn_task
from .errors import PacketError
from .options import check_names, parameters

__all__ = [
    "SIO_PATH",
    "ASGIApp",
    "Body",
    "UpstreamASGIApp",
    "environ_of",
    "refuse_websocket",
    "skip_body",
    "translate_request",
]

#: The path that Socket.IO clients use unless told otherwise.
SIO_PATH = "/socket.io"

#: Headers of one request that are translated before other connections have their turn.
HEADERS_AT_ONCE = 1000

#: Pieces of a body that are taken before other connections have their turn: a server that has them
#: all already gives them without a turn of the loop between them.
PIECES_AT_ONCE = 1000

#: Seconds until uvicorn has closed the connection of a refused WebSocket: with TLS, asyncio and
#: uvloop give the client 30 seconds to confirm the end.
REFUSAL_SECONDS = 40.0

#: uvicorn tells of a disconnection when the refusal is sent, and again when the connection is gone.
_DISCONNECTS = 2


class ASGIApp(UpstreamASGIApp):  # type: ignore[misc]
    """A ``socketio.ASGIApp``: Socket.IO below ``socketio_path``, all else to ``other_asgi_app``.

    The path is served with and without a slash at its end. It is looked for in the whole path of a
    request, and in what is left of that without ``root_path``, where the application is mounted in
    another one, or the server has a ``--root-path``. Static files are found in the same way.

    :raises TypeError: for an option that does not exist.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        check_names(options, parameters(type(self)), "ASGIApp")
        super().__init__(*args, **options)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection.

        :raises ValueError: for a type of scope that is not known, when there is no other
            application that could know it.
        """
        kind = scope["type"]
        if kind == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        paths = _paths_of(scope) if kind in ("http", "websocket") else ()
        if self.engineio_path is None and paths:
            await self.engineio_server.handle_request(scope, receive, send)
            return
        for path in paths:
            if self._ensure_trailing_slash(path).startswith(self.engineio_path):
                await self.engineio_server.handle_request(scope, receive, send)
                return
        static_file = self._static_file(paths) if kind == "http" else None
        if static_file is not None:
            await self.serve_static_file(static_file, receive, send)
        elif self.other_asgi_app is not None:
            await self.other_asgi_app(scope, receive, send)
        elif kind == "websocket":
            if (await receive())["type"] == "websocket.connect":
                await refuse_websocket(scope, receive, send, 404, _PLAIN, b"Not Found")
        elif kind == "http":
            await skip_body(scope, Body({"more_body": True}, receive))
            await self.not_found(receive, send)
        else:
            raise ValueError(f"the ASGI scope type {kind!r} is not known here")

    def _static_file(self, paths: tuple[str, ...]) -> dict[str, str] | None:
        for path in paths if self.static_files else ():
            found: dict[str, str] | None = get_static_file(path, self.static_files)
            if found is not None and os.path.isfile(found["filename"]):
                return found
        return None


_PLAIN = [(b"content-type", b"text/plain")]


def _paths_of(scope: Any) -> tuple[str, ...]:
    """The path of a request, and what is left of it without ``root_path``.

    Mirrors: ``starlette._utils.get_route_path``. A path begins with ``root_path`` (ASGI), but not
    with some servers and frameworks: where a proxy has removed it, only what Starlette has added to
    it for mounts may be there.
    """
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            return path, path[len(prefix) :] or "/"
    return (path,)


async def refuse_websocket(
    scope: Any,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    """Answer the handshake of a WebSocket with an HTTP response, or close it.

    On uvicorn it returns when the connection is gone, or after ``REFUSAL_SECONDS``: until then
    uvicorn takes the handshake for unfinished, and logs an error when the application is done.
    Other servers close the connection when the application is done.
    """
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "reason": body.decode()})
        return
    start = "websocket.http.response.start"
    await send({"type": start, "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
    if not is_uvicorn_task():
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REFUSAL_SECONDS):
            for _ in range(_DISCONNECTS):
                while (await receive())["type"] != "websocket.disconnect":
                    pass


class Body:
    """The body of a request. Mirrors: ``AwaitablePayload`` of ``engineio.async_drivers.asgi``."""

    __slots__ = ("_buffer", "_has_more", "_pieces", "_receive")

    def __init__(self, event: dict[str, Any], receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        self._buffer = bytearray(event.get("body") or b"")
        self._has_more = bool(event.get("more_body"))
        self._pieces = 0  # received since others had their turn

    @property
    def is_here(self) -> bool:
        """Whether all of it has been received."""
        return not self._has_more

    async def read(self, length: int | None = None) -> bytes:
        """Return up to ``length`` bytes, fewer only at the end of the body.

        :raises PacketError: when the client has gone before the end of its request.
        """
        while self._has_more and (length is None or len(self._buffer) < length):
            await self._receive_piece()
        taken = bytes(self._buffer[:length])
        del self._buffer[: len(taken)]
        return taken

    async def skip(self, most: int) -> None:
        """Receive what is left, up to ``most`` bytes, and drop it."""
        while self._has_more and most > 0:
            self._buffer.clear()
            await self._receive_piece()
            most -= len(self._buffer)
        self._buffer.clear()

    async def wait_for_disconnect(self) -> None:
        """Return when the client has gone; what is left of the body is dropped."""
        with contextlib.suppress(PacketError):
            while True:
                await self._receive_piece()
                self._buffer.clear()

    async def _receive_piece(self) -> None:
        self._pieces += 1
        if self._pieces > PIECES_AT_ONCE:
            self._pieces = 1
            await asyncio.sleep(0)
        event = await self._receive()
        if event["type"] != "http.request":
            self._has_more = False
            raise PacketError("a request ended before its body did")
        self._buffer += event.get("body") or b""
        self._has_more = bool(event.get("more_body"))


#: Bytes, and seconds, of a body that nobody reads. More ends connections of HTTP/2 on hypercorn.
SKIPPED_BYTES = 10_000_000
SKIP_SECONDS = 45.0


async def skip_body(scope: Any, body: Body, seconds: float = SKIP_SECONDS) -> None:
    """Receive what is left of the body of a request that is not read, and drop it.

    Connections of HTTP/1 outlive an answer that comes before the end of its request.
    """
    if scope.get("http_version", "1.1")[0] != "1":
        with contextlib.suppress(TimeoutError, PacketError):
            async with asyncio.timeout(seconds or None):
                await body.skip(SKIPPED_BYTES)


async def _no_more() -> dict[str, Any]:
    return {"type": "http.disconnect"}


_NO_BODY = Body({"type": "websocket.connect"}, _no_more)


async def translate_request(scope: Any, receive: Any, send: Any) -> dict[str, Any]:
    """Return the environ of a request.

    Mirrors: ``engineio.async_drivers.asgi.translate_request``. What clients have in common is
    kept once, the headers of the scope included.
    """
    event = await receive()
    if event["type"] not in ("http.request", "websocket.connect"):
        return {}
    body = Body(event, receive) if event["type"] == "http.request" else _NO_BODY
    environ = _without_headers(scope, receive, send, body)
    headers = list(scope["headers"])
    repeated: dict[str, list[str]] = {}
    shares = event["type"] == "websocket.connect" and isinstance(scope["headers"], list)
    for start in range(0, len(headers), HEADERS_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        stop = start + HEADERS_AT_ONCE
        _add_headers(environ, headers, start, stop, repeated, shares)
    if shares:
        scope["headers"] = headers
    return _complete(environ, scope, repeated)


def environ_of(scope: Any, receive: Any, send: Any, body: bytes) -> dict[str, Any]:
    """The same for a request that is here as a whole: its body is given.

    :param scope: with a list of headers.
    """
    is_websocket = scope["type"] == "websocket"
    whole = _NO_BODY if is_websocket else Body({"body": body}, _no_more)
    environ, headers = _without_headers(scope, receive, send, whole), scope["headers"]
    repeated: dict[str, list[str]] = {}
    _add_headers(environ, headers, 0, len(headers), repeated, is_websocket)
    return _complete(environ, scope, repeated)


_add_headers: Any = core.environ_headers if core is not None else None


def _without_headers(scope: Any, receive: Any, send: Any, body: Body) -> dict[str, Any]:
    raw_uri = path = scope["path"]
    query_string = ""
    if scope.get("query_string"):
        try:
            query_string = scope["query_string"].decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            raw_uri = f"{path}?{query_string}"
    return {
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "SERVER_SOFTWARE": "asgi",
        "REQUEST_METHOD": scope.get("method", "GET"),
        "PATH_INFO": path,
        "QUERY_STRING": query_string,
        "RAW_URI": raw_uri,
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "SERVER_NAME": "asgi",
        "SERVER_PORT": "0",
        "asgi.receive": receive,
        "asgi.send": send,
        "asgi.scope": scope,
    }


def _complete(
    environ: dict[str, Any], scope: Any, repeated: dict[str, list[str]]
) -> dict[str, Any]:
    for key, texts in repeated.items():  # cookies: RFC 9113, section 8.2.3
        environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(texts)
    environ["wsgi.url_scheme"] = _scheme_of(scope, environ)
    return environ


#: Of a request, whose WebSocket is one of the other scheme.
_HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def _scheme_of(scope: Any, environ: dict[str, Any]) -> str:
    """What the client has asked by: the first that the proxies tell, else the scope's."""
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "").partition(",")[0].strip().lower()
    return _HTTP_SCHEMES.get(forwarded) or _HTTP_SCHEMES.get(scope.get("scheme"), "http")
