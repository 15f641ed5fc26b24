"""The application of the hostile tests: more of tests/e2e/app.py.

It keeps nothing about a client, so that what the process grows by is the server's doing.
"""

import asyncio
import importlib
import os
from typing import Any

#: Namespaces that a client may join, more than a server lets it.
MANY = 150


#: Seconds for a WebSocket to close, once and once more, and for a request's headers.
CLOSE_SECONDS = REQUEST_SECONDS = 1


def server_class(module: Any, config: dict[str, Any]) -> Any:
    importlib.import_module("toolboxsio._hubs").CLOSE_SECONDS = CLOSE_SECONDS
    importlib.import_module("toolboxsio.uvicorn").REQUEST_SECONDS = REQUEST_SECONDS
    return module.AsyncServer


class State:
    """What the handlers count."""

    def __init__(self) -> None:
        self.running = 0
        self.most_running = 0
        self.counted = 0


def add_handlers(sio: Any, state: State) -> None:
    @sio.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        pass

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        pass

    @sio.event
    async def same(sid: str, value: Any) -> Any:
        return value

    @sio.event
    async def counted(sid: str, *args: Any) -> None:
        state.counted += 1

    @sio.event
    async def asks(sid: str, count: int) -> None:
        """Ask the client as often as it wishes."""
        for _ in range(count):
            await sio.emit("question", to=sid, callback=lambda *_: None)

    @sio.event
    async def pours(sid: str, count: int, size: int) -> None:
        """Send as much as the client wishes."""
        text = "x" * size
        for _ in range(count):
            await sio.emit("poured", text, to=sid)

    @sio.event
    async def slow(sid: str, seconds: float) -> None:
        state.running += 1
        state.most_running = max(state.most_running, state.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            state.running -= 1

    async def join(sid: str, environ: dict[str, Any]) -> None:
        pass

    for number in range(MANY):
        sio.on("connect", join, namespace=f"/many-{number}")


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    state = State()
    add_handlers(sio, state)

    @web.get("/hostile")
    async def hostile() -> dict[str, Any]:
        """What the server has of its clients."""
        status = sio.status()
        manager = sio.manager
        return {
            "sessions": status["sessions"],
            "paths": status["acceleration"]["paths"],
            "environs": len(sio.environ),
            "half packets": len(sio._binary_packet),
            "callbacks": sum(len(callbacks) for callbacks in manager.callbacks.values()),
            "rooms": sum(len(rooms) for rooms in manager.rooms.values()),
            "tasks": len(asyncio.all_tasks()),
            "files": len(os.listdir("/proc/self/fd")),
            "counted": state.counted,
            "running": state.running,
            "most running": state.most_running,
        }

    @web.get("/hostile/session")
    async def has_session(sid: str) -> bool:
        socket = sio.eio.sockets.get(sid)
        return socket is not None and not socket.closed

    @web.get("/hostile/polls")
    async def polls(sid: str) -> int:
        """Polls of an Engine.IO session that wait; 0: there is no session any more, too."""
        socket = sio.eio.sockets.get(sid)
        return 0 if socket is None else len(socket.polls or ())

    @web.get("/hostile/backlog")
    async def backlog(sid: str) -> int:
        """Bytes that wait for an Engine.IO session; -1: there is none any more."""
        socket = sio.eio.sockets.get(sid)
        return -1 if socket is None else int(socket.conn.backlog)

    return app
