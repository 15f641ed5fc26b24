"""More of app.py, for test_redis_faults.py: a Redis manager, and emits for as long as it is asked.

The configuration's "redis_url" is that of Redis, "manager" the manager's own options.
"""

import asyncio
import functools
from typing import Any


def manager_of(module: Any, config: dict[str, Any]) -> Any:
    if module.__name__ == "toolboxsio":
        from toolboxsio.redis import AsyncRedisManager

        return AsyncRedisManager(config["redis_url"], **config.get("manager", {}))
    # without a time limit an idle subscription stays
    options = {"socket_timeout": None}
    return module.AsyncRedisManager(config["redis_url"], redis_options=options)


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return functools.partial(module.AsyncServer, client_manager=manager_of(module, config))


class Load:
    """Numbered events: `n`, with {"from": name, "n": number, "pad": text}."""

    def __init__(self, sio: Any) -> None:
        self.sio = sio
        self.sent = 0
        self.most_pending = 0
        self.task: asyncio.Task[None] | None = None

    async def run(self, name: str, pause: float, size: int) -> None:
        pad = "x" * size
        while True:
            # counted before it is there: an emit that is cancelled may have arrived
            self.sent += 1
            await self.sio.emit("n", {"from": name, "n": self.sent - 1, "pad": pad})
            await self.look()
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """See how much is pending."""
        if hasattr(self.sio.manager, "status"):
            self.most_pending = max(self.most_pending, self.sio.manager.status()["pending"])


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    load = Load(sio)

    @web.post("/load")
    async def start(arguments: dict[str, Any]) -> None:
        load.sent = load.most_pending = 0
        load.task = asyncio.create_task(load.run(**arguments))

    @web.post("/unload")
    async def end() -> dict[str, int]:
        if load.task is not None:
            load.task.cancel()
            await asyncio.wait([load.task])
        return {"sent": load.sent, "most_pending": load.most_pending}

    @web.post("/configure")
    async def configure(arguments: dict[str, Any]) -> None:
        vars(sio.manager).update(arguments)

    @web.get("/status")
    async def status() -> Any:
        return sio.manager.status()

    return app
