"""The ASGI application."""

from __future__ import annotations

from socketio.asgi import ASGIApp as UpstreamASGIApp

__all__ = ["SIO_PATH", "ASGIApp", "UpstreamASGIApp"]

#: The path that Socket.IO clients use unless told otherwise.
SIO_PATH = "/socket.io"


class ASGIApp(UpstreamASGIApp):  # type: ignore[misc]
    """A ``socketio.ASGIApp``: Socket.IO below ``socketio_path``, all else to ``other_asgi_app``.

    The path is served with and without a slash at its end.
    """
