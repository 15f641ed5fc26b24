"""More of app.py: 100 namespaces, batches of attachments, many acknowledgements at a time."""

from typing import Any

NAMESPACES = [f"/n{number}" for number in range(100)]


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return module.AsyncServer


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    for name in NAMESPACES:
        add_namespace(sio, seen, name)

    @sio.event
    async def batch(sid: str, count: int) -> int:
        """Emit so many attachments in one event."""
        await sio.emit("batch", [bytes([n % 256]) * n for n in range(count)], to=sid)
        return count

    @sio.on("ask often")
    async def ask_often(sid: str, count: int) -> int:
        """Emit so many events with callbacks."""
        for number in range(count):

            def called(*args: Any, number: int = number) -> None:
                seen.add(sid, "called", number, *args)

            await sio.emit("asked", number, to=sid, callback=called)
        return count

    return app


def add_namespace(sio: Any, seen: Any, name: str) -> None:
    @sio.on("connect", namespace=name)
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        seen.opened(sid, environ)
        seen.add(sid, "connect", name, auth)

    @sio.on("disconnect", namespace=name)
    async def disconnect(sid: str, reason: str) -> None:
        seen.add(sid, "disconnect", name, reason)
        seen.closed(sid)

    @sio.on("say", namespace=name)
    async def say(sid: str, *args: Any) -> Any:
        await sio.emit("said", args, to=sid, namespace=name)
        return name, *args
