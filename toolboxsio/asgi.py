"""The ASGI application, and how a request becomes an environ."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from socketio.asgi import ASGIApp as UpstreamASGIApp

from .errors import PacketError

__all__ = ["SIO_PATH", "ASGIApp", "UpstreamASGIApp", "translate_request"]

#: The path that Socket.IO clients use unless told otherwise.
SIO_PATH = "/socket.io"

#: Headers whose values many clients have in common, and nobody has to keep to himself.
_COMMON = frozenset(
    (
        *(b"host", b"connection", b"upgrade", b"origin", b"user-agent", b"pragma"),
        *(b"cache-control", b"accept", b"accept-encoding", b"accept-language"),
        *(b"sec-websocket-version", b"sec-websocket-extensions"),
    )
)
_MOST_SHARED = 512
_LONGEST_SHARED = 512  # bytes

_names: dict[bytes, tuple[bytes, str]] = {}  # the name itself, and its key in an environ
_values: dict[bytes, tuple[bytes, str]] = {}


class ASGIApp(UpstreamASGIApp):  # type: ignore[misc]
    """A ``socketio.ASGIApp``: Socket.IO below ``socketio_path``, all else to ``other_asgi_app``.

    The path is served with and without a slash at its end.
    """


class _Body:
    """The body of a request. Mirrors: ``AwaitablePayload`` of ``engineio.async_drivers.asgi``."""

    __slots__ = ("event", "payload", "receive")

    def __init__(self, event: dict[str, Any], receive: Callable[[], Awaitable[Any]]) -> None:
        self.event = event
        self.receive = receive
        self.payload: bytearray | None = None if event["type"] == "http.request" else bytearray()

    async def read(self, length: int | None = None) -> bytes:
        """Return up to ``length`` bytes; no more of the request is received than that needs.

        :raises PacketError: when the client has gone before the end of its request.
        """
        if self.payload is None:
            self.payload = bytearray(self.event.get("body") or b"")
            while self.event.get("more_body") and (length is None or len(self.payload) < length):
                self.event = await self.receive()
                if self.event["type"] != "http.request":
                    raise PacketError("a request ended before its body did")
                self.payload += self.event.get("body") or b""
        taken = bytes(self.payload[:length])
        del self.payload[: len(taken)]
        return taken


async def _no_more() -> dict[str, Any]:
    return {"type": "http.disconnect"}


_NO_BODY = _Body({"type": "websocket.connect"}, _no_more)


def _shared(table: dict[bytes, tuple[bytes, str]], raw: bytes, text: str) -> tuple[bytes, str]:
    if len(raw) <= _LONGEST_SHARED:
        if len(table) >= _MOST_SHARED:
            table.clear()
        table[raw] = raw, text
    return raw, text


def _name(raw: bytes) -> tuple[bytes, str]:
    key = raw.upper().decode("utf-8")
    if key not in ("CONTENT-TYPE", "CONTENT-LENGTH"):
        key = "HTTP_" + key
    return _shared(_names, raw, key.replace("-", "_"))


async def translate_request(scope: Any, receive: Any, send: Any) -> dict[str, Any]:
    """Return the environ of a request.

    Mirrors: ``engineio.async_drivers.asgi.translate_request``. What clients have in common is
    kept once, the headers of the scope included.
    """
    event = await receive()
    if event["type"] not in ("http.request", "websocket.connect"):
        return {}
    raw_uri = path = scope["path"]
    query_string = ""
    if scope.get("query_string"):
        try:
            query_string = scope["query_string"].decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            raw_uri = f"{path}?{query_string}"
    environ: dict[str, Any] = {
        "wsgi.input": _Body(event, receive) if event["type"] == "http.request" else _NO_BODY,
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
    headers = []
    for raw_name, raw_value in scope["headers"]:
        name, key = _names.get(raw_name) or (raw_name, None)
        value = raw_value
        try:
            if key is None:
                name, key = _name(raw_name)
            if name in _COMMON:
                value, text = _values.get(raw_value) or _shared(
                    _values, raw_value, raw_value.decode("utf-8")
                )
            else:
                text = raw_value.decode("utf-8")
        except UnicodeDecodeError:  # such a header is left out
            pass
        else:
            if key in environ and key.startswith("HTTP_"):
                text = f"{environ[key]},{text}"
            environ[key] = text
        headers.append((name, value))
    if event["type"] == "websocket.connect" and isinstance(scope["headers"], list):
        scope["headers"] = headers
    environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", "http")
    return environ
