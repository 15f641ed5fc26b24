"""uvicorn's WebSocket protocol: ``uvicorn main:app --ws toolboxsio.uvicorn:WebSocketProtocol``."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["WebSocketProtocol"]


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sans-I/O WebSocket protocol."""
