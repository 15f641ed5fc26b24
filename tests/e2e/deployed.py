"""The application of test_deployments.py, for `uvicorn deployed:app`."""

import os
from typing import Any

import toolboxsio as socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def where(sid: str) -> list[Any]:
    return [sio.acceleration(sid)["path"], os.getpid()]


@sio.event
async def disconnect(sid: str, reason: str) -> None:
    print("disconnect", reason, flush=True)


app = socketio.ASGIApp(sio)


async def wrapped(scope: Any, receive: Any, send: Any) -> None:
    """The application behind a middleware that looks at what is sent."""

    async def send_on(message: Any) -> None:
        await send(message)

    await app(scope, receive, send_on)
