"""Handlers that emit, for app.py: "handlers": "emits_handlers".

The event "emits" carries a program: a list of operations, each a call of a method of the server or
of a namespace. Its answer is the list of their results, or of the names of the exceptions. POST
/perform does the same without a client. Operations name clients by their number in the run
("s7-3" is client 3 of the run "s7"), see `Emits.target`, and make what JSON cannot carry, see
`made`.

"fleet" in the configuration is the address of a Redis server, and "plug" how toolboxsio comes into
the process: "module" (`import toolboxsio as socketio`), "accelerate" or "install".
"""

import asyncio
import ctypes
import gc
import importlib
import os
import sys
import time
from typing import Any

from describe import describe
from emits_values import HALL, SPEAKING, made

PAGE = os.sysconf("SC_PAGE_SIZE")


class Emits:
    """Performs programs."""

    def __init__(self, sio: Any, seen: Any) -> None:
        self.sio = sio
        self.seen = seen

    def number(self, sid: str) -> Any:
        """The number of a client in its run; the sid itself when there is no such client."""
        run = self.seen.run_of.get(sid)
        return int(run.rpartition("-")[2]) if run else sid

    def client(self, run: str, number: int, namespace: str) -> str:
        """The sid of a client in a namespace."""
        for sid in self.sio.manager.rooms.get(namespace, {}).get(None, ()):
            if self.seen.run_of.get(sid) == f"{run}-{number}":
                return str(sid)
        return f"nobody {number}"

    def target(self, run: str, namespace: str, value: Any) -> Any:
        """Make a room: {"client": number}, {"list" | "tuple" | "set": rooms}, or as it is."""
        if not isinstance(value, dict):
            return value
        kind, inside = next(iter(value.items()))
        if kind == "client":
            return self.client(run, inside, namespace)
        maker = {"list": list, "tuple": tuple, "set": set}[kind]
        return maker(self.target(run, namespace, item) for item in inside)

    async def perform(self, operations: list[Any], run: str, caller: str = "") -> list[Any]:
        """Perform operations one after the other, for the client `caller` of a run."""
        results = []
        for operation in operations:
            options = self.options(run, caller, operation)
            try:
                results.append(await self.one(**options))
            except Exception as exc:
                results.append(self.failure(operation, exc))
                self.forget_empty_rooms(operation["namespace"])
        return results

    def forget_empty_rooms(self, namespace: str) -> None:
        """Take away what upstream leaves of a room that somebody was to enter who is not there:
        in a namespace that exists, later emits raise what they do not in one that does not."""
        rooms = self.sio.manager.rooms.get(namespace, {})
        for room in [room for room, members in rooms.items() if not members]:
            del rooms[room]
        if not rooms:
            self.sio.manager.rooms.pop(namespace, None)

    def failure(self, operation: dict[str, Any], exc: Exception) -> str:
        """The exception's name; who is not there is a KeyError or a ValueError of upstream's, as
        the empty room that was left of others decides."""
        name = type(exc).__name__
        if name == "ClientDisconnectedError":  # ours, and a TimeoutError; upstream waits for that
            name = "TimeoutError"
        is_absent = operation["do"] == "enter_room" and name in ("KeyError", "ValueError")
        return "not there" if is_absent else name

    def options(self, run: str, caller: str, operation: dict[str, Any]) -> dict[str, Any]:
        """Make the arguments of an operation."""
        namespace = operation["namespace"]
        options = dict(operation)
        for name in ("to", "room", "skip_sid", "sid"):
            if name in options:
                options[name] = self.target(run, namespace, options[name])
        if "data" in options:
            options["data"] = made(options["data"])
        if "callback" in options:
            options["callback"] = self.callback(caller, options["callback"])
        return options

    async def one(self, do: str, namespace: str, by: str = "server", **options: Any) -> Any:
        """Perform one operation.

        :param by: "namespace": by the namespace's class, which knows its own name.
        """
        if do == "participants":
            found = self.sio.manager.get_participants(namespace, options["room"])
            return [self.number(sid) for sid, _ in found]
        owner = self.sio if by == "server" else self.sio.namespace_handlers[namespace]
        if by == "server" and namespace != "/":
            options["namespace"] = namespace
        result = getattr(owner, do)(**options)
        if do == "rooms":
            return sorted((self.number(room) for room in result), key=repr)
        return describe(await result) if do == "call" else await result

    def callback(self, sid: str, name: str) -> Any:
        """A function, or with a name that begins with "async" a coroutine function."""

        def called(*args: Any) -> None:
            self.seen.add(sid, "callback", name, *args)

        async def called_later(*args: Any) -> None:
            await asyncio.sleep(0)
            called(*args)

        return called_later if name.startswith("async") else called


def add_namespace(sio: Any, module: Any, seen: Any, emits: Emits) -> None:
    class Speaking(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        """Tells everybody who comes and goes."""

        async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
            seen.opened(sid, environ)
            seen.add(sid, "speaking connect", auth)
            await self.enter_room(sid, HALL)
            await self.emit("arrived", (emits.number(sid), b"bytes"), skip_sid=sid)
            await self.emit("present", len(self.rooms(sid)), to=sid)
            await self.send({"to": "the hall"}, room=HALL)

        async def on_disconnect(self, sid: str, reason: str) -> None:
            seen.add(sid, "speaking disconnect", reason)
            await self.emit("gone", emits.number(sid), room=HALL)
            await self.leave_room(sid, HALL)
            await self.send("not for who leaves", room=HALL)
            await self.emit("goodbye", to=sid)
            seen.closed(sid)

        def on_sync(self, sid: str) -> str:
            return "sync"

        async def on_emits(self, sid: str, operations: list[Any]) -> Any:
            return await emits.perform(operations, seen.run_of[sid].rpartition("-")[0], sid)

    sio.register_namespace(Speaking(SPEAKING))

    @sio.on("emits")
    async def on_emits(sid: str, operations: list[Any]) -> Any:
        return await emits.perform(operations, seen.run_of[sid].rpartition("-")[0], sid)


# --- for the scenarios of test_emits.py -----------------------------------------------------------


def add_scenarios(sio: Any) -> None:
    state: dict[str, int] = {"flood": 0}
    passed: dict[int, asyncio.Event] = {}

    @sio.on("emit and answer")
    async def emit_and_answer(sid: str, number: int) -> int:
        await sio.emit("emitted", (number, bytes([number])), to=sid)
        return number

    @sio.on("emit around a call")
    async def emit_around_call(sid: str) -> Any:
        await sio.emit("before", (b"1", [b"2"]), to=sid)
        answer = await sio.call("question", to=sid, timeout=5)
        await sio.emit("between", answer, to=[sid])
        await sio.emit("asked", to=sid, callback=lambda *args: None)
        await sio.send("after", to=(sid,))
        return b"answer", answer

    @sio.on("flood")
    async def flood(sid: str, to: str, count: int) -> int:
        for number in range(count):
            state["flood"] = number + 1
            await sio.emit("drop", number, to=to)
            if number in passed:
                passed[number].set()
        state["flood"] = 0
        return count

    @sio.on("where is the flood")
    async def where_is_the_flood(sid: str) -> int:
        return state["flood"]

    @sio.on("await the flood")
    async def await_the_flood(sid: str, *marks: int) -> list[int]:
        passed.clear()
        passed.update((mark, asyncio.Event()) for mark in marks)
        await sio.emit("awaiting", to=sid)
        seen = []
        for mark in marks:
            await passed[mark].wait()
            seen.append(state["flood"])
        return seen

    @sio.on("emit from")
    async def emit_from(sid: str, where: str, count: int) -> str:
        async def emit(number: int) -> None:
            await sio.emit("from", (where, number), to=sid)

        async def emit_all() -> None:
            for number in range(count):
                await emit(number)

        loop = asyncio.get_running_loop()

        def submit(is_waiting: bool) -> None:
            futures = []
            for number in range(count):
                futures.append(asyncio.run_coroutine_threadsafe(emit(number), loop))
                if is_waiting:
                    futures[-1].result(5)
            for future in futures:
                future.result(5)

        if where == "task":
            await asyncio.create_task(emit_all())
        elif where == "background":
            await sio.start_background_task(emit_all)
        elif where == "gathered":
            await asyncio.gather(*map(emit, range(count)))
        else:
            await asyncio.to_thread(submit, where == "thread")
        return "answer"

    @sio.on("broadcast")
    async def broadcast(sid: str, data: Any) -> None:
        await sio.emit("broadcast", made(data))


# --- for fleets and crowds ------------------------------------------------------------------------


def sizes(owner: Any) -> dict[str, int]:
    """How much is in the tables of an object that are not empty."""
    tables = [(n, t) for n, t in vars(owner).items() if isinstance(t, (dict, list, set))]
    return {name: len(table) for name, table in tables if table}


def trim_heap() -> None:
    """Let the C library give back what it can, where it offers that."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def add_routes(sio: Any, seen: Any, web: Any, emits: Emits) -> None:
    crowd: dict[str, float] = {"here": 0, "empty at": 0}

    @sio.on("connect", namespace="/crowd")
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        crowd["here"] += 1

    @sio.on("disconnect", namespace="/crowd")
    async def disconnect(sid: str, reason: str) -> None:
        crowd["here"] -= 1
        if not crowd["here"]:
            crowd["empty at"] = time.process_time()
            await sio.emit("the crowd is gone")

    @sio.on("enter", namespace="/crowd")
    async def enter(sid: str, rooms: list[str]) -> Any:
        for room in rooms:
            await sio.enter_room(sid, room, namespace="/crowd")
        path = sio.acceleration(sid, namespace="/crowd")["path"]
        return path, len(sio.rooms(sid, namespace="/crowd"))

    @web.get("/crowd")
    async def usage() -> dict[str, Any]:
        return {**crowd, "cpu": time.process_time()}

    @web.get("/tables")
    async def tables() -> dict[str, Any]:
        gc.collect()
        trim_heap()
        return {
            "resident": resident(),
            "blocks": sys.getallocatedblocks(),
            "sockets": len(sio.eio.sockets),
            "environs": len(sio.environ),
            "manager": sizes(sio.manager),
        }

    @web.post("/perform")
    async def perform(operations: list[dict[str, Any]]) -> list[Any]:
        return await emits.perform(operations, "")

    @web.post("/numbers")
    async def numbers(sender: int, count: int) -> None:
        for number in range(count):
            await sio.emit("number", (sender, number), room="numbers")


def redis_manager(module: Any, url: str) -> Any:
    """The manager of a fleet; without a time limit an idle subscription stays."""
    return module.AsyncRedisManager(url, redis_options={"socket_timeout": None})


def require_ours(sio: Any, has_redis: bool) -> None:
    """Raise TypeError when the server or its manager stayed python-socketio's."""
    import toolboxsio  # not by upstream's side

    kind = toolboxsio.AsyncRedisManager if has_redis else toolboxsio.AsyncManager
    for part, wanted in ((sio, toolboxsio.AsyncServer), (sio.manager, kind)):
        if not isinstance(part, wanted):
            raise TypeError(f"{type(part)} is not a {wanted}")


def server_class(module: Any, config: dict[str, Any]) -> Any:
    """What makes the server of a configuration."""
    plug = config.get("plug", "module")

    def build(**options: Any) -> Any:
        if plug == "install":
            importlib.import_module("toolboxsio").install()
        if "fleet" in config:
            options["client_manager"] = redis_manager(module, config["fleet"])
        sio = module.AsyncServer(**options)
        if plug == "accelerate":
            importlib.import_module("toolboxsio").accelerate(sio)
        if plug != "module" or module.__name__ == "toolboxsio":
            require_ours(sio, "fleet" in config)
        return sio

    return build


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    emits = Emits(sio, seen)
    add_namespace(sio, module, seen, emits)
    add_scenarios(sio)
    add_routes(sio, seen, web, emits)
    return app
