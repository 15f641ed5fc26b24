"""The application of the soak: more of tests/e2e/app.py, in the place of its handlers.

It keeps nothing about a client. What it emits is numbered, so that each client can tell by itself
that nothing is missing and nothing came twice. "faults" in the configuration is a list of what it
does wrong on purpose, so that a run can be seen to fail: see `Faults`.
"""

import asyncio
import gc
import itertools
import logging
import os
from collections import Counter
from typing import Any

from emits_handlers import sizes

from toolboxsio.redis import MAX_DEPARTED

#: Bytes of the paddings of ticks: compressed, and not; every tenth tick has an attachment.
PADDINGS = ("", "", "", "padding " * 200)
OTHER = "/other"
#: Tables of a manager that are not about clients.
OWN = ("redis_options", "_counts")
#: What it may remember of clients that have gone, whatever their number.
BOUNDS = {"_departed": MAX_DEPARTED}


class Faults:
    """What goes wrong on purpose, every so many times."""

    EVERY = 20

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.counts: Counter[str] = Counter()
        self.leaked: list[bytearray] = []

    def now(self, name: str) -> bool:
        if name not in self.names:
            return False
        self.counts[name] += 1
        return self.counts[name] % self.EVERY == 0

    def leak(self) -> None:
        if "leak" in self.names:
            self.leaked.append(bytearray(b"x") * 400_000)


CONFIG: dict[str, Any] = {}


def server_class(module: Any, config: dict[str, Any]) -> Any:
    CONFIG.update(config)
    return module.AsyncServer


class Emitter:
    """The numbered events: ticks of each namespace, what is said in rooms."""

    def __init__(self, sio: Any, name: str, faults: Faults) -> None:
        self.sio = sio
        self.name = name
        self.faults = faults
        self.ticks = {"/": 0, OTHER: 0}
        self.volatile = 0
        self.said: Counter[str] = Counter()
        self.tasks: list[Any] = []

    def begin(self) -> None:
        self.tasks = [
            self.sio.start_background_task(self.tick),
            self.sio.start_background_task(self.tick_volatile),
        ]

    async def end(self) -> dict[str, Any]:
        """Stop, and return the last numbers."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        return {"ticks": self.ticks, "said": self.said, "volatile": self.volatile}

    async def tick(self) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(CONFIG["tick_seconds"])
            for namespace in self.ticks:
                padding: Any = PADDINGS[number % len(PADDINGS)]
                if number % 10 == 0:
                    padding = bytes(3000)
                self.ticks[namespace] = number
                data = (self.name, number, padding)
                if not self.faults.now("lost tick"):
                    await self.sio.emit("tick", data, namespace=namespace)

    async def tick_volatile(self) -> None:
        while True:
            await asyncio.sleep(2 * CONFIG["tick_seconds"])
            self.volatile += 1
            await self.sio.emit("volatile", (self.name, self.volatile), volatile=True)

    async def say(self, room: str, data: Any) -> None:
        self.said[room] += 1
        event = (self.name, room, self.said[room], data)
        for _ in range(2 if self.faults.now("said twice") else 1):
            await self.sio.emit("said", event, room=room)


def add_main_handlers(sio: Any, module: Any, emitter: Emitter, faults: Faults) -> None:
    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await sio.save_session(sid, {"remembered": 0, "client": auth})

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        assert (await sio.get_session(sid))["client"] is not None

    @sio.event
    async def echo(sid: str, *args: Any) -> Any:
        faults.leak()
        if faults.now("foreign ack"):
            return "what nobody asked for"
        if faults.now("lost ack"):
            await asyncio.Event().wait()
        if faults.now("log"):
            logging.getLogger("soak").warning("a line on purpose")
        return args

    @sio.event
    def plain(sid: str, *args: Any) -> Any:
        return args

    @sio.event
    async def slow(sid: str, *args: Any) -> Any:
        await asyncio.sleep(0.05)
        return args

    @sio.event
    async def quiet(sid: str, *args: Any) -> None:
        async with sio.session(sid) as session:
            session["quiet"] = args

    @sio.event
    async def enter(sid: str, room: str) -> bool:
        await sio.enter_room(sid, room)
        return room in sio.rooms(sid)

    @sio.event
    async def leave(sid: str, room: str) -> bool:
        await sio.leave_room(sid, room)
        return room in sio.rooms(sid)

    @sio.event
    async def say(sid: str, room: str, data: Any) -> str:
        await emitter.say(room, data)
        return room

    @sio.event
    async def remember(sid: str, value: int) -> int:
        async with sio.session(sid) as session:
            before = session["remembered"]
            session["remembered"] = value
        return int(before)

    @sio.event
    async def ask(sid: str, target: str | None, *args: Any) -> Any:
        """Ask a client, of this server or another, and return its answer."""
        try:
            return await sio.call(
                "question", args, to=target or sid, timeout=CONFIG["call_seconds"]
            )
        except module.exceptions.TimeoutError:  # the one who asks has left, or its answer is lost
            return "no answer"

    @sio.event
    async def kick(sid: str, target: str | None) -> bool:
        await sio.disconnect(target or sid)
        return True

    @sio.event
    async def last_tick(sid: str) -> Any:
        return emitter.name, emitter.ticks["/"]


def add_other_namespace(sio: Any, module: Any) -> None:
    class Other(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
            await self.enter_room(sid, "everybody")

        async def on_disconnect(self, sid: str, reason: str) -> None:
            assert "everybody" in self.rooms(sid)

        async def on_echo(self, sid: str, *args: Any) -> Any:
            return args

        async def on_kick(self, sid: str) -> None:
            await self.disconnect(sid)

    sio.register_namespace(Other(OTHER))


def add_routes(sio: Any, web: Any, emitter: Emitter) -> None:
    @web.post("/begin")
    async def begin() -> None:
        emitter.begin()

    @web.post("/end")
    async def end() -> dict[str, Any]:
        return await emitter.end()

    @web.get("/figures")
    async def figures(objects: bool = False) -> dict[str, Any]:
        """How the server is doing."""
        status = sio.status()
        return {
            "sessions": status["sessions"],
            "tasks": len(asyncio.all_tasks()),
            "callbacks": sum(len(callbacks) for callbacks in sio.manager.callbacks.values()),
            "acceleration": status["acceleration"],
            "redis": status["redis"],
            "objects": len(gc.get_objects()) if objects else None,
        }

    @web.get("/kept")
    async def kept() -> dict[str, Any]:
        """What is kept of clients, all of it zero when they are gone; and what varies."""
        gc.collect()
        return {
            "tables": {
                "sockets": len(sio.eio.sockets),
                "environs": len(sio.environ),
                "half packets": len(sio._binary_packet),
                "callbacks": sum(len(table) for table in sio.manager.callbacks.values()),
                "manager": {
                    name: size
                    for name, size in sizes(sio.manager).items()
                    if name not in OWN and size > BOUNDS.get(name, 0)
                },
                "rooms": sum(len(rooms) for rooms in sio.manager.rooms.values()),
            },
            "tasks": len(asyncio.all_tasks()),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "objects": len(gc.get_objects()),
        }


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    for table in (sio.handlers, sio.namespace_handlers):
        table.clear()
    faults = Faults(CONFIG.get("faults", []))
    emitter = Emitter(sio, CONFIG["name"], faults)
    add_main_handlers(sio, module, emitter, faults)
    add_other_namespace(sio, module)
    add_routes(sio, web, emitter)
    return app
