"""Sends what waits for many clients of ASGI servers, without a task for each."""

from __future__ import annotations

import functools
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._asgi_websocket import ASGIWebSocket

__all__ = ["drain_all"]


async def drain_all(hub: Any, websockets: list[ASGIWebSocket]) -> None:
    """Send what waits for several clients; one that has to wait does so in a task of its own."""
    for websocket in websockets:
        drain = websocket.drain()
        if not websocket.is_uvicorn:
            hub.start(drain, copy_context())
            continue
        try:
            future = drain.send(None)
        except StopIteration:
            continue
        hub.start(_go_on(drain, future), copy_context())


async def _go_on(coro: Coroutine[Any, Any, None], future: Any) -> None:
    """The rest of a coroutine that waits for a future."""
    await _Rest(coro, future)


class _Rest:
    def __init__(self, coro: Coroutine[Any, Any, None], future: Any) -> None:
        self.coro, self.future = coro, future

    def __await__(self) -> Generator[Any, Any, None]:
        future = self.future
        while True:
            try:
                value = yield future
            except BaseException as exc:
                step = functools.partial(self.coro.throw, exc)
            else:
                step = functools.partial(self.coro.send, value)
            try:
                future = step()
            except StopIteration:
                return
