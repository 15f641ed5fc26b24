"""The end of a server: its clients get their answers and a goodbye.

uvicorn tells an ASGI application that it stops when all connections are gone, which those of
clients that poll or stay are not. Its protocols are told first, so theirs is the place to hear it:
``shutdown()`` of the object through which a client is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import Any

from ._load import core

__all__ = ["STOP_SECONDS", "stop_clients", "watch_messages", "watch_poll"]

#: Seconds that handlers have to come to their end, unless told otherwise.
STOP_SECONDS = 5.0

#: Seconds for goodbyes: clients have to answer a CLOSE frame, cancelled handlers to end.
GOODBYE_SECONDS = 1.0

_TURN_SECONDS = 0.01  # between two looks


def _handlers_of(socket: Any) -> int:
    """How many handlers of a client are at work."""
    conn = getattr(socket, "conn", None)
    return 0 if conn is None else int(conn.running)


def _is_left(socket: Any) -> bool:
    """Whether the transport of a session that was ended is still there."""
    conn = getattr(socket, "conn", None)
    return conn is not None and conn.path in ("direct", "asgi")


async def stop_clients(eio: Any, seconds: float, code: int) -> None:
    """End all sessions of an Engine.IO server.

    A session ends when its handlers are through and so its answers are on their way, at the latest
    after ``seconds``: with an Engine.IO CLOSE, then a WebSocket CLOSE with ``code``. Handlers that
    are still at work then are cancelled. Who calls it has seen to it that no session is opened and
    no event handled any more.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    hub = eio.hub()
    ends: list[asyncio.Task[None]] = []
    sockets = list(eio.sockets.values())
    try:
        waiting = sockets
        while waiting:
            is_late = loop.time() >= deadline
            ready = [s for s in waiting if is_late or not _handlers_of(s)]
            ends += [loop.create_task(_end(eio, socket, code)) for socket in ready]
            waiting = [] if is_late else [s for s in waiting if _handlers_of(s)]
            if waiting:
                await asyncio.sleep(_TURN_SECONDS)
        if ends:
            await asyncio.wait(ends, timeout=max(deadline - loop.time(), GOODBYE_SECONDS))
        await _wait_for_the_end(sockets)
    finally:
        late = [task for task in ends if not task.done()] + _late_handlers(hub)
        for task in late:
            task.cancel()
        for socket in sockets:
            if _is_left(socket):
                socket.conn.abort()
                socket._interrupt()
            eio.sockets.pop(socket.sid, None)
    if late:
        eio.logger.error("%s handlers were cancelled, the server stops", len(late))
        await asyncio.wait(late, timeout=GOODBYE_SECONDS)
    await _wait_for_the_end(sockets)
    if hub is not None:
        hub.rest()


async def _wait_for_the_end(sockets: list[Any]) -> None:
    """Wait until the transports of these are gone, but not long."""
    loop = asyncio.get_running_loop()
    deadline, left = loop.time() + GOODBYE_SECONDS, sockets
    while (left := [s for s in left if _is_left(s)]) and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_TURN_SECONDS)


def _late_handlers(hub: Any) -> list[asyncio.Task[Any]]:
    """The tasks of handlers that are not through."""
    if hub is None or core is None:
        return []
    return [task for task in hub.tasks() if getattr(task.get_coro(), "is_handler", False)]


async def _end(eio: Any, socket: Any, code: int) -> None:
    reason = eio.reason.SERVER_DISCONNECT
    try:
        if hasattr(socket, "end"):
            await socket.end(code, "the server stops", reason)
        else:  # upstream's
            await socket.close(wait=False, reason=reason)
    except Exception:
        eio.logger.exception("a session could not be ended")


def _protocol_of(environ: dict[str, Any]) -> Any:
    """uvicorn's protocol behind a request: ``receive`` is a method of it, or of the cycle of a
    request, whose ``on_response`` is. None: another server's, or something stands between."""
    owner = getattr(environ.get("asgi.receive"), "__self__", None)
    owner = getattr(getattr(owner, "on_response", None), "__self__", owner)
    module = type(owner).__module__
    is_known = module.startswith("uvicorn.") or module == "toolboxsio.uvicorn"
    return owner if is_known and isinstance(getattr(owner, "tasks", None), set) else None


def watch_poll(environ: dict[str, Any], eio: Any) -> None:
    """Let the sessions of a server end when the uvicorn stops that a poll has come through."""
    _put_before_shutdown(environ, eio, _stop_with_poll)


def watch_messages(environ: dict[str, Any] | None, eio: Any) -> None:
    """The same for a WebSocket that uvicorn keeps itself; our goodbye comes before its own."""
    _put_before_shutdown(environ or {}, eio, _stop_with_messages)


def _put_before_shutdown(
    environ: dict[str, Any], eio: Any, shutdown: Callable[[Any, Any], None]
) -> None:
    protocol = _protocol_of(environ)
    if protocol is not None:
        with contextlib.suppress(AttributeError, TypeError):  # __slots__
            protocol.shutdown = functools.partial(shutdown, weakref.ref(protocol), eio)


def _stop_with_poll(reference: Any, eio: Any) -> None:
    protocol = reference()
    eio.stop_soon(1012, protocol.tasks)
    type(protocol).shutdown(protocol)


def _stop_with_messages(reference: Any, eio: Any) -> None:
    protocol = reference()
    task = eio.stop_soon(1012, protocol.tasks)
    task.add_done_callback(lambda _: type(protocol).shutdown(protocol))
