"""A server of the benchmarks: one process that answers events, emits them, or both.

Prints one JSON line with its port as soon as it listens, and serves until it gets SIGTERM.
The application is the same for every side; the module that it imports, the server that runs it and
that server's WebSocket class are what differs (peers.py).
"""

import argparse
import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from . import emitter
from .peers import LOOPS, SIDES, Side

BACKLOG = 2048
Serve = Callable[[Any, Side, str, socket.socket], None]


def check_path(sio: Any, sid: str, expected: str | None) -> None:
    """Ends the process when events of a client do not take the path that is to be measured."""
    path = None if expected is None else sio.acceleration(sid)["path"]
    if path != expected:
        print(f"events take the path {path!r}, not {expected!r}", file=sys.stderr, flush=True)
        os._exit(1)


def add_handler(sio: Any, path: str | None) -> None:
    """The handler of the event `message`; with a path, the first event is looked at."""

    @sio.event  # type: ignore[untyped-decorator]
    async def message(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "type": data["type"], "ts": datetime.now(UTC).isoformat()}

    async def first_message(sid: str, data: dict[str, Any]) -> Any:
        sio.on("message", message)  # from now on
        check_path(sio, sid, path)
        return await message(sid, data)

    if path is not None:
        sio.on("message", first_message)


def add_cpu(sio: Any) -> None:
    """An event that asks for the CPU time of this process, in nanoseconds."""

    @sio.event  # type: ignore[untyped-decorator]
    async def cpu(sid: str) -> int:
        return time.process_time_ns()


def make_server(side: Side, **options: Any) -> Any:
    """The server of a side, as an unchanged application would make it."""
    assert side.module is not None
    socketio = importlib.import_module(side.module)
    if side.module == "toolboxsio" and not socketio.ACCELERATED:
        raise SystemExit("toolboxsio is not accelerated: there is nothing to measure")
    if side.orjson:
        options["json"] = importlib.import_module("toolboxsio.bench.orjson_json")
    return socketio.AsyncServer(async_mode="asgi", **options)


def make_app(
    side: Side,
    emits: str | None = None,
    answers: bool = True,
    path: str | None = None,
    **options: Any,
) -> Any:
    """The application: it answers events, or emits as emits names it (emitter.SHAPES), or both.

    :param path: that events have to take; the side's when it is None. Options are the server's.
    """
    sio = make_server(side, **options)
    path = (path or side.path) if side.path and hasattr(sio, "acceleration") else None
    if emits is not None:
        emitter.install(sio, emits, lambda sid: check_path(sio, sid, path))
    if answers:
        add_handler(sio, path)
    if emits is not None and answers:
        add_cpu(sio)
    assert side.module is not None
    app = importlib.import_module(side.module).ASGIApp(sio)
    return middleware(app) if side.middleware else app


def middleware(app: Any) -> Any:
    """A plain ASGI middleware, which passes on what it gets."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            await send(message)

        await app(scope, receive, sending)

    return call


def loaded(option: str) -> Any:
    """The class that an option of uvicorn names, or the name of one of its own."""
    module, colon, name = option.partition(":")
    return getattr(importlib.import_module(module), name) if colon else option


def run_uvicorn(app: Any, side: Side, loop: str, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        loop=loop,
        http=loaded(side.http),
        ws=loaded(side.ws),
        log_level="warning",
        access_log=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


SERVERS: dict[str, Serve] = {"uvicorn": run_uvicorn}


def listen() -> socket.socket:
    """A listening socket like those that uvicorn has from asyncio.

    It names its protocol, which connections inherit: else asyncio leaves Nagle's algorithm on.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    return listener


def parser(sides: Mapping[str, Side]) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    python = [name for name, side in sides.items() if side.module is not None]
    made.add_argument("--side", choices=python, required=True)
    made.add_argument("--loop", choices=LOOPS, required=True)
    made.add_argument("--emits", choices=emitter.SHAPES, help="instead of answering events")
    made.add_argument("--core", type=int, help="run on this core")
    return made


def serve(app: Any, side: Side, args: argparse.Namespace, servers: Mapping[str, Serve]) -> None:
    """Tell the port and serve."""
    listener = listen()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    servers[side.server](app, side, args.loop, listener)


def pin(core: int | None) -> None:
    """Run on this core alone, where that can be said."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def main() -> None:
    made = parser(SIDES)
    made.add_argument("--answers", action="store_true", help="answer events besides --emits")
    args = made.parse_args()
    pin(args.core)
    side = SIDES[args.side]
    app = make_app(side, args.emits, args.answers or args.emits is None)
    serve(app, side, args, SERVERS)


if __name__ == "__main__":
    main()
