"""The Socket.IO server of the application: its handlers and the table of its clients.

Every event is answered with `toolboxsio.ack(...)`; a refusal is `ok: false` with `error` and, where
the handler fails, with `internal_error`, so that no client waits for an answer that never comes.
"""

import functools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import toolboxsio as socketio
from toolboxsio.backend.settings import Settings

logger = logging.getLogger(__name__)

Ack = dict[str, Any]

# Types of `message` that need authentication or channels, which this application does not have.
UNSUPPORTED_TYPES = frozenset(
    {
        "broadcast",
        "collaboration_message",
        "content_request",
        "progress_update",
        "quiz_response",
        "subscribe",
        "unsubscribe",
        "user_message",
    }
)


@dataclass(slots=True)
class Client:
    """A connected client; `role` is None until it is authenticated."""

    role: str | None = None


def utc_now() -> str:
    return datetime.now(UTC).isoformat()


def answered(handler: Callable[..., Awaitable[Ack]]) -> Callable[..., Awaitable[Ack]]:
    """The handler, with an answer for what it does not expect."""

    @functools.wraps(handler)
    async def run(*args: Any) -> Ack:
        try:
            return await handler(*args)
        except Exception:
            logger.exception("%s failed", handler.__name__)
            return socketio.ack(False, error="internal_error")

    return run


class DebugNamespace(socketio.AsyncNamespace):  # type: ignore[misc]
    """`/debug`: `ping` answers, `echo` answers with its data."""

    @answered
    async def on_ping(self, sid: str, *data: Any) -> Ack:
        return socketio.ack(True, event="ping", sid=sid)

    @answered
    async def on_echo(self, sid: str, *data: Any) -> Ack:
        return socketio.ack(True, event="echo", data=list(data))


class SocketServer:
    """`sio`, the server with its handlers, and `clients`, one entry for each connected sid."""

    def __init__(self, settings: Settings) -> None:
        self.clients: dict[str, Client] = {}
        self.sio = socketio.AsyncServer(
            async_mode="asgi",
            # To engineio an empty list means every origin, None the server's own.
            cors_allowed_origins=settings.cors_origins or None,
            cors_credentials=True,
            cookie=None,
            logger=False,
            engineio_logger=False,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            max_http_buffer_size=settings.max_http_buffer_size,
            allow_upgrades=True,
            http_compression=True,
            compression_threshold=1024,
        )
        self.sio.on("connect", self.connect)
        self.sio.on("disconnect", self.disconnect)
        self.sio.on("message", answered(self.message))
        self.sio.register_namespace(DebugNamespace("/debug"))

    async def connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        self.clients[sid] = Client()
        greeting = {
            "message": "connected",
            "sid": sid,
            "authenticated": False,
            "timestamp": utc_now(),
        }
        await self.sio.emit("connected", greeting, to=sid)

    async def disconnect(self, sid: str, reason: str) -> None:
        self.clients.pop(sid, None)

    async def message(self, sid: str, data: Any = None, *more: Any) -> Ack:
        """`{type, payload?}`: `ping` is answered with a `message` of type `pong`, any other type
        is echoed as a `message` of type `ack`."""
        if more or not isinstance(data, dict):
            return socketio.ack(False, error="invalid_format")
        kind = data.get("type")
        if not isinstance(kind, str) or not kind:
            return socketio.ack(False, error="invalid_format")
        kind = kind.lower()
        if kind in UNSUPPORTED_TYPES:
            return socketio.ack(False, error="unsupported_type", type=kind)
        reply: dict[str, Any] = {"type": "pong", "timestamp": utc_now()}
        if kind != "ping":
            reply = {**reply, "type": "ack", "payload": data.get("payload")}
        await self.sio.emit("message", reply, to=sid)
        return socketio.ack(True, type=kind)

    def status(self) -> dict[str, Any]:
        """What GET /socketio/status answers."""
        roles = Counter(client.role for client in self.clients.values() if client.role is not None)
        return {
            "status": "ok",
            "connected": len(self.clients),
            "authenticated": roles.total(),
            "role_distribution": dict(roles),
            "acks_enabled": True,
            "path": socketio.SIO_PATH,
        }
