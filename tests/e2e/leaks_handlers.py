"""Handlers of test_leaks.py, for app.py: "handlers": "leaks_handlers".

They keep nothing of a client, unlike those of app.py, whose place they take. GET /kept says what
the process keeps.
"""

import asyncio
import ctypes
import gc
import heapq
import os
import sys
from collections import Counter
from typing import Any

from emits_handlers import resident, sizes, trim_heap

#: Objects of these types go with their clients, and the request that counts them makes none.
COUNTED = (
    *("Connection", "Call", "EngineSocket", "Packet", "EnginePacket", "WebSocketProtocol"),
    *("WebSocketsSansIOProtocol", "Task", "coroutine", "Queue", "socket"),
)


class _MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated() -> int:
    """Bytes that malloc() has given out, of this process; 0 where the C library does not tell."""
    try:
        info = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    info.restype = _MallInfo
    counts = info()
    return int(counts.uordblks + counts.hblkhd)


def references() -> int:
    """The sum of all reference counts, which debug builds of Python know; 0."""
    total = getattr(sys, "gettotalrefcount", None)
    return 0 if total is None else int(total())


# The cache of attributes looked up on classes keeps the names, which may be new ones each time.
forget_names = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def live_timers(loop: Any) -> int:
    """How many timers are set; those that were cancelled are removed, as asyncio does in time.

    Mirrors: ``asyncio.base_events.BaseEventLoop._run_once``. uvloop does not tell, nor keep them.
    """
    heap = getattr(loop, "_scheduled", [])
    gone = [timer for timer in heap if timer.cancelled()]
    for timer in gone:
        timer._scheduled = False
    heap[:] = [timer for timer in heap if not timer.cancelled()]
    heapq.heapify(heap)
    if gone:
        loop._timer_cancelled_count = 0
    return len(heap)


def add_events(sio: Any) -> None:
    @sio.on("echo")
    async def echo(sid: str, *args: Any) -> Any:
        return args

    @sio.on("plain")
    def plain(sid: str, *args: Any) -> Any:
        return args

    @sio.on("slow")
    async def slow(sid: str) -> str:
        await asyncio.sleep(0.02)
        await sio.emit("after", to=sid)  # the client may have left
        return "slow"

    @sio.on("fails")
    async def fails(sid: str) -> None:
        raise RuntimeError("a handler of the tests raises")

    @sio.on("call")
    async def call(sid: str, timeout: float) -> str:
        try:
            await sio.call("question", b"bytes", to=sid, timeout=timeout)
        except Exception as exc:
            return type(exc).__name__
        return "answered"

    @sio.on("callbacks")
    async def callbacks(sid: str, count: int) -> None:
        for _ in range(count):
            await sio.emit("question", to=sid, callback=print)

    @sio.on("rooms")
    async def rooms(sid: str, *names: str) -> int:
        for name in names:
            await sio.enter_room(sid, name)
        await sio.emit("in room", {"to": names}, room=names[0])
        await sio.leave_room(sid, names[0])
        await sio.close_room(names[-1])
        async with sio.session(sid) as session:
            session["names"] = names
        return len(sio.rooms(sid))

    @sio.on("flood")
    async def flood(sid: str, count: int, size: int) -> None:
        for _ in range(count):
            await sio.emit("much", "x" * size, to=sid)

    @sio.on("background")
    async def background(sid: str) -> None:
        sio.start_background_task(slow, sid)

    @sio.on("kick")
    async def kick(sid: str) -> None:
        await sio.disconnect(sid)


def add_namespaces(sio: Any, module: Any) -> None:
    class Other(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
            await self.enter_room(sid, "all")

        async def on_disconnect(self, sid: str, reason: str) -> None:
            await self.emit("gone", sid, room="all")

        async def on_say(self, sid: str, *args: Any) -> Any:
            await self.emit("said", args)
            return args

    sio.register_namespace(Other("/other"))

    @sio.on("connect", namespace="/refuse")
    async def refuse(sid: str, environ: dict[str, Any], auth: Any) -> Any:
        if auth == "false":
            return False
        raise module.exceptions.ConnectionRefusedError("refused", {"code": 7})


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    for table in (sio.handlers, sio.namespace_handlers):
        table.clear()
    add_events(sio)
    add_namespaces(sio, module)

    @web.get("/freeze")
    async def freeze() -> None:
        """Leave out of the count what is here before the clients, which also makes it quicker."""
        gc.collect()
        gc.freeze()

    @web.get("/kept")
    async def kept() -> dict[str, Any]:
        forget_names()
        for _ in range(2):
            gc.collect()
        timers = live_timers(asyncio.get_running_loop())
        objects = gc.get_objects()
        types: Counter[str] = Counter()
        for kind, number in Counter(map(type, objects)).items():
            is_h11 = str(kind.__module__).startswith("h11.")  # which has a Connection, too
            types[f"h11 {kind.__name__}" if is_h11 else kind.__name__] += number
        count = len(objects)
        del objects
        trim_heap()
        return {
            "tables": {
                "sockets": len(sio.eio.sockets),
                "environs": len(sio.environ),
                "half packets": len(sio._binary_packet),
                "manager": sizes(sio.manager),
                "callbacks": sum(len(table) for table in sio.manager.callbacks.values()),
                "tasks": len(asyncio.all_tasks()),
                "background tasks": len(getattr(sio.eio, "background_tasks", ())),
                "timers": max(0, timers - 2),  # uvicorn's own, and the one of deadlines
                "descriptors": len(os.listdir("/proc/self/fd")),
                "threads": len(sys._current_frames()),
                **{name: types[name] for name in COUNTED},
            },
            "types": types,
            "objects": count,
            "blocks": sys.getallocatedblocks(),
            "references": references(),
            "allocated": allocated(),
            "resident": resident(),
        }

    return app


def server_class(module: Any, config: dict[str, Any]) -> Any:
    """The server's class itself."""
    return module.AsyncServer
