"""What a server tells of itself: ``GET /socketio/status`` and Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .asgi import SIO_PATH
from .server import AsyncServer

__all__ = ["endpoint", "status"]


def status(sio: AsyncServer, path: str = SIO_PATH) -> dict[str, Any]:
    """Return how a server is doing, for ``GET /socketio/status``.

    ``{"status": "ok", "connected": int, "acks_enabled": True, "path": str, "acceleration": {...},
    "events": {...}, "redis": {...} | None}``: ``connected`` are the clients in the namespace ``/``
    of this process, the rest is of :meth:`toolboxsio.AsyncServer.status`. On any thread.
    """
    told = sio.status()
    del told["sessions"]
    everybody = sio.manager.rooms.get("/", {}).get(None, ())
    return {
        "status": "ok",
        "connected": len(everybody),
        "acks_enabled": True,
        "path": path,
        **told,
    }


def endpoint(sio: AsyncServer, path: str = SIO_PATH) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Return a route: ``app.get("/socketio/status")(endpoint(sio))``."""

    async def socketio_status() -> dict[str, Any]:
        return status(sio, path)

    return socketio_status
