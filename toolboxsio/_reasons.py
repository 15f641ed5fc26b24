"""Why sessions are not on the direct path, in words for the application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from engineio.async_drivers.asgi import WebSocket
from engineio.async_socket import AsyncSocket as _UpstreamSocket

from ._bystanders import name_of, why_not_direct
from ._polling import SESSION_METHODS, PollingSocket, is_replaced

__all__ = ["common_reasons", "count_paths", "reasons_of"]

#: Sessions that are looked at for the reasons that a server tells.
_SAMPLE = 100


def reasons_of(socket: Any) -> list[str]:
    """Why a session that has a WebSocket, or is python-engineio's, is not direct."""
    conn = getattr(socket, "conn", None)
    if conn is None:
        return _why_upstream(socket)
    if conn.path != "asgi":
        return []
    if socket._asgi is None:
        return ["the WebSocket is about to close"]
    ws = socket._asgi.ws
    if type(ws) is WebSocket:
        return why_not_direct(ws.asgi_receive, ws.asgi_send)
    return [f"async_mode is not asgi: the WebSocket is {name_of(ws)}"]


def count_paths(sockets: Iterable[Any]) -> dict[str, int]:
    """How many sessions are on each way."""
    conns = (getattr(socket, "conn", None) for socket in sockets)
    return dict(Counter("upstream" if conn is None else str(conn.path) for conn in conns))


def common_reasons(sockets: Iterable[Any]) -> list[str]:
    """The reasons of the first sessions, the most frequent first."""
    reasons: Counter[str] = Counter()
    for socket in islice(sockets, _SAMPLE):
        reasons.update(reasons_of(socket))
    return [reason for reason, _ in reasons.most_common()]


def _why_upstream(socket: Any) -> list[str]:
    reasons = [
        f"AsyncSocket.{name} is {name_of(getattr(_UpstreamSocket, name))}"
        for name in SESSION_METHODS
        if is_replaced(name)
    ]
    if not isinstance(socket, PollingSocket):
        reasons.append(f"the class of its socket is {name_of(type(socket))}")
    return reasons or ["the Engine.IO server is not that of an AsyncServer of this package"]
