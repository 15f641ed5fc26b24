"""Answers to the usual requests of a session that polls, which have not passed ASGI.

A GET is answered by the session when it has messages, a POST when its packets were handled; neither
has a task.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ._polling import Messages, Post
from .asgi import environ_of
from .errors import PacketError

if TYPE_CHECKING:
    from ._requests import SessionRequests
    from .engine import EngineServer
    from .engine_socket import EngineSocket

__all__ = ["Poll", "PollingPost", "Reply"]

_CREDENTIALS = b"\r\naccess-control-allow-credentials: true"


class Reply:
    """The answer to a usual request of a session that polls."""

    __slots__ = ("_eio", "_environ", "_protocol", "_request", "_scope", "keep_alive")

    def __init__(self, protocol: SessionRequests, request: Any, eio: EngineServer) -> None:
        self._protocol: SessionRequests | None = protocol  # until it is answered, or nobody waits
        self._request = request
        self._eio = eio
        self.keep_alive = not request[6]
        self._scope: Any = None
        self._environ: dict[str, Any] | None = None  # None: no header matters
        _, is_plain, origin, host = request[8]
        if not is_plain or callable(eio.cors_allowed_origins):
            self._look_at_headers(protocol)
        elif origin is not None:
            self._environ = {
                "REQUEST_METHOD": request[1],
                "HTTP_ORIGIN": origin,
                "HTTP_HOST": host,
                "wsgi.url_scheme": protocol.scheme,
            }

    def _look_at_headers(self, protocol: SessionRequests) -> dict[str, Any]:
        """The answer depends on headers."""
        if self._scope is None:
            self._scope = protocol.scope_of(self._request)
            self._environ = environ_of(self._scope, None, None, b"")
        assert self._environ is not None
        return self._environ

    def is_refused(self) -> bool:
        """Whether its origin is not accepted; then it is answered."""
        if self._environ is None:
            return False
        try:
            refused = self._eio.refuse_origin(self._environ)
        except Exception as exc:  # of the application's function
            self.fail(exc)
            return True
        if refused is not None:
            self.respond(refused)
        return refused is not None

    def fail(self, exc: Exception) -> None:
        """The server has failed: as where uvicorn runs an application."""
        self._eio.logger.error("Exception in a request", exc_info=exc)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            scope = protocol.scope_of(self._request)
            protocol.respond(scope, 500, headers, b"Internal Server Error", False)

    def leave(self) -> None:
        """The client has gone."""
        self._protocol = None

    def respond_ok(self, kind: bytes, body: bytes) -> None:
        """Answer with what is usual.

        :param kind: the type of the content.
        """
        eio = self._eio
        if self._protocol is None:
            return
        is_compressed = eio.http_compression and len(body) >= eio.compression_threshold
        if is_compressed or self._scope is not None:
            headers = [("Content-Type", kind.decode())]
            self.respond({"status": "200 OK", "headers": headers, "response": body})
            return
        try:
            if self._environ is not None:
                for name, value in eio._cors_headers(self._environ):
                    kind += b"\r\n%b: %b" % (name.lower().encode(), value.encode())
            elif eio.cors_credentials and eio.cors_allowed_origins != []:
                kind += _CREDENTIALS
        except Exception as exc:
            self.fail(exc)
            return
        protocol, self._protocol = self._protocol, None
        protocol.respond_ok(self._request, kind, body, self.keep_alive)

    def respond(self, response: Any) -> None:
        """Answer with all that depends on headers of the request."""
        eio, protocol = self._eio, self._protocol
        if protocol is None:
            return
        try:
            environ = self._look_at_headers(protocol)
            status, headers = int(response["status"][:3]), response["headers"]
            if eio.http_compression and len(response["response"]) >= eio.compression_threshold:
                eio._compress(response, environ)
            headers += eio._cors_headers(environ)
            protocol.respond(self._scope, status, headers, response["response"], self.keep_alive)
        except Exception as exc:
            self.fail(exc)
        self._protocol = None


class Poll(Reply):
    """A GET that waits for messages."""

    __slots__ = ("_socket", "late")

    def __init__(self, protocol: SessionRequests, request: Any, socket: EngineSocket) -> None:
        super().__init__(protocol, request, socket.server)
        self._socket = socket
        self.late: asyncio.TimerHandle | None = None

    def answer(self, messages: Messages) -> None:
        """Here they are."""
        try:
            payload = messages.payload()
        except Exception as exc:
            self.fail(exc)
        else:
            self.respond_ok(b"text/plain; charset=UTF-8", payload)

    def expire(self) -> None:
        """There are none: the session ends."""
        self._eio.hub().start(self._end(), copy_context())

    async def _end(self) -> None:
        eio, socket = self._eio, self._socket
        try:
            await socket.close(wait=False, reason=eio.reason.TRANSPORT_ERROR)
            if socket.sid in eio.sockets:
                await eio.disconnect(socket.sid)
        finally:
            self.respond(eio._bad_request())
            eio._forget_closed(socket.sid)

    def leave(self) -> None:
        """The client has gone: what waits for it, the next poll gets."""
        super().leave()
        self._socket.forget_poll(self)


class PollingPost(Post):
    """A POST; it is answered when its packets are handled."""

    __slots__ = ("_eio", "_sid", "reply")

    def __init__(self, protocol: SessionRequests, request: Any, socket: EngineSocket) -> None:
        super().__init__(socket)
        self.reply = Reply(protocol, request, socket.server)
        self._eio: EngineServer = socket.server
        self._sid = socket.sid

    def hand_in(self, socket: EngineSocket, body: bytes) -> None:
        """Let its packets be handled."""
        try:
            socket.hand_in(socket.payload_of(body), self)
        except PacketError as exc:
            self._eio.hub().start(self._refuse(socket, exc), copy_context())
        except Exception as exc:
            socket.failure = exc
            self.done()

    async def _refuse(self, socket: EngineSocket, exc: PacketError) -> None:
        try:
            await socket.refuse(exc)
        finally:
            self.done()

    def finish(self, socket: Any, failure: Exception | None) -> None:
        """Answer it."""
        failure = failure or socket.refused()
        if failure is None:
            self.reply.respond_ok(b"text/plain", b"OK")
        else:
            self._eio.hub().start(self._fail(failure), copy_context())

    async def _fail(self, failure: Exception) -> None:
        try:
            self.reply.respond(await self._eio.failed_post(self._sid, failure))
        except Exception as exc:
            self.reply.fail(exc)
