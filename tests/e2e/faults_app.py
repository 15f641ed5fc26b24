"""More of app.py, for the tests of faults: what handlers do is on disk before they answer.

"record" in the configuration names the file; a process that is killed leaves what it had done. Each
line is a JSON list: what, the client's run (`run` in its query), and what belongs to it.
"""

import asyncio
import importlib
import json
import os
import time
from typing import Any, ClassVar
from urllib.parse import parse_qs

import engineio.payload

EVER = 3600


def server_class(module: Any, config: dict[str, Any]) -> Any:
    Record.path = config["record"]
    if "close_seconds" in config:  # how long a WebSocket may take to close
        importlib.import_module("toolboxsio._hubs").CLOSE_SECONDS = config["close_seconds"]
    # python-socketio's client sends what has waited in one payload, however much that is
    engineio.payload.Payload.max_decode_packets = 10_000
    return module.AsyncServer


class Record:
    """The file."""

    path: ClassVar[str]

    def __init__(self) -> None:
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.run_of: dict[str, str] = {}
        self.hanging: set[asyncio.Task[Any]] = set()

    def add(self, what: str, sid: str, *more: Any) -> None:
        self.note(what, self.run_of[sid], *more)

    def note(self, *values: Any) -> None:
        os.write(self.file, json.dumps(values).encode() + b"\n")


async def emit_numbers(sio: Any, record: Record, sid: str, pause: float) -> None:
    """Number events to a client, each with a callback, for as long as it is there."""

    run = record.run_of[sid]

    def send(number: int) -> Any:
        def answered(*answer: Any) -> None:
            record.note("answered", run, number, *answer)

        return sio.emit("number", number, to=sid, callback=answered)

    number = 0
    while sio.manager.is_connected(sid, "/"):
        await send(number)
        record.note("emitted", run, number)
        number += 1
        await asyncio.sleep(pause)


def add_handlers(sio: Any, record: Record) -> None:
    @sio.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        record.run_of[sid] = parse_qs(environ["QUERY_STRING"])["run"][0]
        record.add("joined", sid)

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        record.add("left", sid, reason, time.time())
        del record.run_of[sid]

    @sio.event
    async def numbered(sid: str, number: int, *more: Any) -> int:
        record.add("handled", sid, number)
        return number

    @sio.event
    async def numbers(sid: str, pause: float) -> None:
        sio.start_background_task(emit_numbers, sio, record, sid, pause)

    @sio.event
    async def shout(sid: str, number: int) -> int:
        """To everybody, of all servers."""
        await sio.emit("shouted", [record.run_of[sid], number])
        record.add("handled", sid, number)
        return number

    @sio.event
    async def raises(sid: str, number: int) -> None:
        record.add("handled", sid, number)
        raise LookupError("a handler of the tests raises")

    @sio.event
    async def hangs(sid: str, number: int) -> None:
        record.add("handled", sid, number)
        task = asyncio.current_task()
        assert task is not None
        record.hanging.add(task)
        try:
            await asyncio.sleep(EVER)
        finally:
            record.hanging.discard(task)

    @sio.event
    async def cancelled(sid: str, number: int) -> None:
        record.add("handled", sid, number)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(EVER)

    @sio.event
    async def gives_up(sid: str, number: int) -> None:
        record.add("handled", sid, number)
        raise asyncio.CancelledError


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    record = Record()
    add_handlers(sio, record)

    @web.get("/left")
    async def left() -> dict[str, Any]:
        """What the server has of its clients."""
        rooms = sio.manager.rooms
        return {
            "sessions": len(sio.eio.sockets),
            "environs": len(sio.environ),
            "half packets": len(sio._binary_packet),
            "callbacks": sum(len(callbacks) for callbacks in sio.manager.callbacks.values()),
            "rooms": sum(len(members) for of in rooms.values() for members in of.values()),
            "tasks": len(asyncio.all_tasks()),
            "files": len(os.listdir("/proc/self/fd")),
            "hanging": len(record.hanging),
        }

    @web.post("/unhang")
    async def unhang() -> int:
        """Cancel the handlers that hang."""
        tasks = list(record.hanging)
        for task in tasks:
            task.cancel()
        return len(tasks)

    return app
