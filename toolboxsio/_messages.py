"""The messages of a WebSocket that is not direct."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import engineio.async_drivers.asgi

__all__ = ["close_websocket", "is_longer", "messages_of", "reason_of", "too_big_text"]

#: Bytes of a CLOSE frame's reason (RFC 6455, section 5.5).
_LONGEST_REASON = 123

_AsgiWebSocket = engineio.async_drivers.asgi.WebSocket


def is_longer(data: str | bytes, size: int) -> bool:
    """Whether data has more bytes than that; text is measured as UTF-8."""
    if isinstance(data, str) and len(data) <= size < len(data) * 4:
        return len(data.encode("utf-8", "surrogatepass")) > size
    return len(data) > size


def too_big_text(data: str | bytes, most: int) -> str:
    size = len(data.encode("utf-8", "surrogatepass")) if isinstance(data, str) else len(data)
    return f"{size} bytes, max_http_buffer_size is {most}"


def reason_of(text: str) -> str:
    """A text as a CLOSE frame may have it."""
    return text.encode("ascii", "replace").decode()[:_LONGEST_REASON]


async def close_websocket(ws: Any, code: int, text: str) -> None:
    """Close a WebSocket; only ASGI's can tell why."""
    if type(ws) is not _AsgiWebSocket or code == 1000:
        await ws.close()
        return
    message = {"type": "websocket.close", "code": code, "reason": reason_of(text)}
    with contextlib.suppress(Exception):  # it is closed already
        await ws.asgi_send(message)


def messages_of(
    ws: Any,
) -> tuple[Callable[[], Awaitable[Any]], Callable[[dict[str, Any]], Awaitable[None]]]:
    """Another driver's WebSocket, with the messages of ASGI."""

    async def receive() -> dict[str, Any]:
        data = await ws.wait()
        if data is None:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}

    async def send(message: dict[str, Any]) -> None:
        await ws.send(message["text"] if message["bytes"] is None else message["bytes"])

    return receive, send
