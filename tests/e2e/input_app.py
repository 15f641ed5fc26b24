"""Handlers for app.py that take their time, or wait until they are let go: see test_input.py."""

import asyncio
from typing import Any


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return module.AsyncServer


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    gates: dict[str, asyncio.Event] = {}
    at_work: set[str] = set()

    @sio.event
    async def work(sid: str, seconds: float, *data: Any) -> None:
        await asyncio.sleep(seconds)
        seen.add(sid, "worked")

    @sio.event
    async def wait(sid: str, name: str, *data: Any) -> str:
        at_work.add(name)
        try:
            await gates.setdefault(name, asyncio.Event()).wait()
        finally:
            at_work.discard(name)
        return name

    @sio.event
    async def ask(sid: str, name: str) -> Any:
        return await sio.call("question", name, to=sid, timeout=20)

    @sio.on("connect", namespace="/slow")
    async def connect(sid: str, environ: dict[str, Any], auth: dict[str, float]) -> None:
        await asyncio.sleep(auth["seconds"])

    @sio.event(namespace="/slow")
    async def hello(sid: str) -> str:
        return "hello"

    @web.get("/at-work")
    async def names() -> list[str]:
        return sorted(at_work)

    @web.post("/open")
    async def let_go(name: str) -> None:
        gates.setdefault(name, asyncio.Event()).set()

    return app
