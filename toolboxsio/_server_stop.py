"""The end of a server: its clients get their answers and a goodbye.

uvicorn tells an ASGI application that it stops when all connections are gone, which those of
clients that poll or stay are not. Its protocols are told first, so theirs is the place to hear it:
``shutdown()`` of the object through which a client is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable
from typing import Any

from ._loops import hub_elsewhere

__all__ = [
    "STOP_SECONDS",
    "WEB_SERVER_STOPS",
    "is_uvicorn",
    "is_uvicorn_task",
    "protocol_of",
    "stop_clients",
    "wait_while",
    "watch_protocol",
    "watch_request",
]

#: Seconds that handlers have to come to their end, unless told otherwise.
STOP_SECONDS = 5.0

#: Seconds for goodbyes: clients have to answer a CLOSE frame, cancelled handlers to end.
GOODBYE_SECONDS = 1.0

#: The close code of a web server that stops (RFC 6455, section 7.4.1, and its registry).
WEB_SERVER_STOPS = 1012

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
    """End the sessions that an Engine.IO server has on this event loop.

    A session ends when its handlers are through and so its answers are on their way, at the latest
    after ``seconds``: with an Engine.IO CLOSE, then a WebSocket CLOSE with ``code``. Handlers that
    are still at work then are cancelled. Who calls it has seen to it that no session is opened and
    no event handled any more.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    hub = eio.hub()
    ends: list[asyncio.Task[None]] = []
    sockets = []
    for socket in list(eio.sockets.values()):
        elsewhere = hub_elsewhere(getattr(socket, "conn", None))
        if elsewhere is None:
            sockets.append(socket)
            if hasattr(socket, "follow_loop"):
                socket.follow_loop()
        elif elsewhere.loop.is_closed():  # nobody else will
            await _forget(eio, socket)
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
        await wait_while(lambda: _handler_tasks(eio), deadline)  # who has left before, say
        await wait_while(lambda: any(map(_is_left, sockets)), loop.time() + GOODBYE_SECONDS)
    finally:
        late = (
            {task for task in ends if not task.done()} | _handler_tasks(eio) | _late_handlers(hub)
        )
        for task in late:
            task.cancel()
        for socket in sockets:
            _drop(eio, socket)
    if late:
        eio.logger.error("%s handlers were cancelled, the server stops", len(late))
        await asyncio.wait(late, timeout=GOODBYE_SECONDS)
    await wait_while(lambda: any(map(_is_left, sockets)), loop.time() + GOODBYE_SECONDS)
    if hub is not None:
        hub.rest()


async def wait_while(is_at_work: Callable[[], Any], deadline: float) -> None:
    """Wait until nothing is at work, but not longer than that."""
    loop = asyncio.get_running_loop()
    while is_at_work() and loop.time() < deadline:  # noqa: ASYNC110 (each ends in its own way)
        await asyncio.sleep(_TURN_SECONDS)


def _drop(eio: Any, socket: Any) -> None:
    """Let go of a session, whatever its client does."""
    conn: Any = getattr(socket, "conn", None)
    if _is_left(socket):
        conn.abort()
    elif conn is not None:
        conn.release()
    eio.sockets.pop(socket.sid, None)


def _handler_tasks(eio: Any) -> set[asyncio.Task[Any]]:
    """The tasks in which handlers are at work that Python has started."""
    tasks: set[asyncio.Task[Any]] = getattr(eio.owner, "handler_tasks", set())
    return {task for task in list(tasks) if task.get_loop() is asyncio.get_running_loop()}


def _late_handlers(hub: Any) -> set[asyncio.Task[Any]]:
    """The same, that C has started."""
    if hub is None:
        return set()
    return {task for task in hub.tasks() if getattr(task.get_coro(), "is_handler", False)}


async def _forget(eio: Any, socket: Any) -> None:
    """Tell the application that a session is over whose event loop is closed."""
    eio.sockets.pop(socket.sid, None)
    try:
        reason = eio.reason.TRANSPORT_CLOSE
        await eio._trigger_event("disconnect", socket.sid, reason, run_async=False)
    except Exception:
        eio.logger.exception("a session could not be ended")


async def _end(eio: Any, socket: Any, code: int) -> None:
    reason = eio.reason.SERVER_DISCONNECT
    try:
        if hasattr(socket, "end"):
            await socket.end(code, "the server stops", reason)
        else:  # upstream's
            await socket.close(wait=False, reason=reason)
    except Exception:
        eio.logger.exception("a session could not be ended")


def _is_module_of_uvicorn(name: str) -> bool:
    return name.startswith("uvicorn.") or name == "toolboxsio.uvicorn"


def is_uvicorn(owner: Any) -> bool:
    """Whether an object is one of uvicorn's protocols, or of ours on top of them."""
    return _is_module_of_uvicorn(type(owner).__module__)


def is_uvicorn_task() -> bool:
    """Whether the current task is the one in which uvicorn runs the application.

    Mirrors: ``run_asgi`` of uvicorn's protocols, whatever stands between them and the caller.
    """
    task = asyncio.current_task()
    frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    return frame is not None and _is_module_of_uvicorn(frame.f_globals.get("__name__", ""))


def protocol_of(environ: dict[str, Any]) -> Any:
    """uvicorn's protocol behind a request: ``receive`` is a method of it, or of the cycle of a
    request, whose ``on_response`` is. None: another server's, or something stands between."""
    owner = getattr(environ.get("asgi.receive"), "__self__", None)
    owner = getattr(getattr(owner, "on_response", None), "__self__", owner)
    has_tasks = isinstance(getattr(owner, "tasks", None), set)
    return owner if has_tasks and is_uvicorn(owner) else None


class _Shutdown:
    """Stands before ``shutdown()`` of one of uvicorn's protocols, on the object.

    A connection may be of several servers of an application, one after the other.
    """

    __slots__ = ("is_message", "protocol", "servers")

    def __init__(self, protocol: Any, is_message: bool) -> None:
        self.protocol = weakref.ref(protocol)  # which holds this
        self.servers: set[Any] = set()
        self.is_message = is_message

    def __call__(self) -> None:
        protocol = self.protocol()
        if protocol is None:
            return
        stops = [eio.stop_soon(WEB_SERVER_STOPS, protocol.tasks) for eio in self.servers]
        if self.is_message:  # our goodbye comes before its own
            for task in stops:
                task.add_done_callback(lambda _: _shut_down(protocol))
        else:
            type(protocol).shutdown(protocol)


def _shut_down(protocol: Any) -> None:
    """uvicorn's own ``shutdown()`` of a WebSocket, which fails where the client has said goodbye;
    uvicorn waits for the connection, but not for a client that takes nothing."""
    transport = protocol.transport
    if not transport.is_closing():
        type(protocol).shutdown(protocol)
    asyncio.get_running_loop().call_later(GOODBYE_SECONDS, transport.abort)


def watch_request(environ: dict[str, Any], eio: Any, is_message: bool = False) -> None:
    """Let the sessions of a server end when the uvicorn stops that a request has come through.

    :param is_message: it is a WebSocket that uvicorn keeps itself.
    """
    protocol = protocol_of(environ)
    if protocol is not None:
        watch_protocol(protocol, eio, is_message)


def watch_protocol(protocol: Any, eio: Any, is_message: bool = False) -> None:
    """The same for one of uvicorn's protocols."""
    shutdown = protocol.shutdown
    if not isinstance(shutdown, _Shutdown):
        shutdown = _Shutdown(protocol, is_message)
        with contextlib.suppress(AttributeError):  # __slots__
            protocol.shutdown = shutdown
    shutdown.servers.add(eio)
