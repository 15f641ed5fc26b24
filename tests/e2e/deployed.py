"""The application of test_deployments.py, for `uvicorn deployed:app`."""

import asyncio
import contextlib
import functools
import gc
import json
import os
from collections.abc import Callable
from typing import Any

import toolboxsio as socketio
from tests.e2e.machine import SLOWNESS

sio = socketio.AsyncServer(async_mode="asgi", shutdown_timeout=1 * SLOWNESS)


@sio.event
async def where(sid: str) -> list[Any]:
    return [sio.acceleration(sid)["path"], os.getpid()]


@sio.event
async def about(sid: str) -> list[Any]:
    return [sio.acceleration(sid), sio.status()["acceleration"]["paths"]]


@sio.event
async def much(sid: str, size: int) -> str:
    return "x" * size


@sio.event
async def slow(sid: str, seconds: float) -> str:
    print("slow begins", flush=True)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("slow is cancelled", flush=True)
        raise
    return "done"


@sio.event
async def disconnect(sid: str, reason: str) -> None:
    print("disconnect", reason, flush=True)


app = socketio.ASGIApp(sio)


def _say(text: str) -> Callable[[], None]:
    return functools.partial(print, text, flush=True)


#: The application with something to do at its start and its end.
with_lifespan = socketio.ASGIApp(sio, on_startup=_say("begun"), on_shutdown=_say("ended"))


async def wrapped(scope: Any, receive: Any, send: Any) -> None:
    """The application behind a middleware that looks at what is sent."""

    async def send_on(message: Any) -> None:
        await send(message)

    await app(scope, receive, send_on)


other_sio = socketio.AsyncServer(async_mode="asgi", shutdown_timeout=1 * SLOWNESS)


@other_sio.on("disconnect")
async def other_disconnect(sid: str, reason: str) -> None:
    print("other disconnect", reason, flush=True)


#: Two servers in one application.
two = socketio.ASGIApp(other_sio, other_asgi_app=app, socketio_path="/other")


@sio.event
async def ends_the_server(sid: str) -> str:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sio.shutdown(), 0.05)
    return "asked"


async def stoppable(scope: Any, receive: Any, send: Any) -> None:
    """The application, and `GET /stop`: `sio.shutdown()`, then what is left of the server."""
    if scope["type"] != "http" or scope["path"] != "/stop":
        await app(scope, receive, send)
        return
    await sio.shutdown()
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)  # what was answered is gone in the next turn
    gc.collect()
    ours = [task for task in asyncio.all_tasks() if "toolboxsio" in repr(task.get_coro())]
    timers = [
        handle
        for handle in gc.get_objects()
        if isinstance(handle, asyncio.TimerHandle)
        and not handle.cancelled()
        and "toolboxsio" in repr(handle)
    ]
    left = {
        "tasks": [repr(task) for task in ours if task is not asyncio.current_task(loop)],
        "timers": [repr(timer) for timer in timers],
        "sockets": len(sio.eio.sockets),
        "connections": sio.eio.hub().n_connections,
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(left).encode()})
