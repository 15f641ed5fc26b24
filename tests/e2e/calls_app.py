"""More of app.py: calls of one client to another, and what they came to."""

import asyncio
import time
from typing import Any

from describe import describe


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return module.AsyncServer


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    namespace = module.AsyncNamespace("/calls")
    sio.register_namespace(namespace)
    last: list[Any] = []

    async def outcome(calling: Any) -> list[Any]:
        """What is returned or raised, what `except` catches it, and after how many seconds."""
        began = time.monotonic()
        try:
            return ["answered", describe(await calling), time.monotonic() - began]
        except module.exceptions.TimeoutError as exc:
            return ["TimeoutError", type(exc).__name__, time.monotonic() - began]

    async def call(sid: str, way: str, to: Any, more: dict[str, Any]) -> list[Any]:
        functions = {"server": sio.call, "namespace": namespace.call}
        name = {"namespace": "/"} if way == "namespace" else {}
        return await outcome(functions[way]("question", to=to, timeout=30, **name, **more))

    sio.on("call", call)

    @sio.event
    async def callback(sid: str, to: str) -> None:
        """The arguments of the callback are emitted to who has asked."""

        async def called(*args: Any) -> None:
            await sio.emit("called", describe(args), to=sid)

        await sio.emit("question", to=to, callback=called)

    @sio.on("disconnect", namespace="/slow")
    async def disconnect(sid: str, reason: str) -> None:
        """Takes its time, and calls its client in vain."""
        last.append(await outcome(sio.call("late", to=sid, namespace="/slow", timeout=30)))
        await seen.gate.wait()

    @sio.on("connect", namespace="/slow")
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        pass

    @sio.on("call slow")
    async def call_slow(sid: str, to: str) -> list[Any]:
        calling = asyncio.create_task(sio.call("question", to=to, namespace="/slow", timeout=30))
        return await outcome(calling)

    @sio.on("last")
    async def last_outcome(sid: str) -> list[Any]:
        return last

    return app
