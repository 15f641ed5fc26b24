"""A Python server of the benchmarks: one process, one handler or the emitters of emitter.py.

Prints one JSON line with its port as soon as it listens, and serves until it gets SIGTERM.
The application is the same for every side; the module that it imports, the server that runs it and
that server's WebSocket class are what differs (peers.py).
"""

import argparse
import asyncio
import importlib
import json
import os
import socket
import sys
from datetime import UTC, datetime

from . import emitter
from .peers import LOOPS, SIDES

BACKLOG = 2048


def check_path(sio, sid, expected):
    """Ends the process when events of a WebSocket do not take the path that is to be measured."""
    path = sio.acceleration(sid)["path"]
    if path != expected:
        print(f"events take the path {path!r}, not {expected!r}", file=sys.stderr, flush=True)
        os._exit(1)


def manager_owner(socketio):
    """The package that the Redis manager of a module comes from."""
    return socketio.AsyncRedisManager.__module__.split(".")[0]


def make_manager(socketio, url):
    """The client manager of a server that shares its rooms through Redis.

    No timeout: with redis-py's own an idle subscription would be made anew all the time.
    """
    owner = manager_owner(socketio)
    if owner != socketio.__name__:
        raise SystemExit(f"the AsyncRedisManager of {socketio.__name__} is {owner}'s")
    return socketio.AsyncRedisManager(url, redis_options={"socket_timeout": None})


def make_app(side, emits=None, redis=None):
    """The Socket.IO application, as an unchanged one would be written.

    It answers events, or emits as emits names it (emitter.SHAPES), through the Redis at a URL.
    """
    socketio = importlib.import_module(side.module)
    if side.module == "toolboxsio" and not socketio.ACCELERATED:
        raise SystemExit("toolboxsio is not accelerated: there is nothing to measure")
    options = {}
    if side.orjson:
        options["json"] = importlib.import_module("benchmarks.orjson_json")
    if redis is not None:
        options["client_manager"] = make_manager(socketio, redis)
    sio = socketio.AsyncServer(async_mode="asgi", **options)
    looks = side.path is not None and hasattr(sio, "acceleration")
    if emits is not None:
        emitter.install(sio, emits, lambda sid: looks and check_path(sio, sid, side.path))
        return socketio.ASGIApp(sio)

    @sio.event
    async def message(sid, data):
        return {"ok": True, "type": data["type"], "ts": datetime.now(UTC).isoformat()}

    async def first_message(sid, data):
        sio.on("message", message)  # from now on
        check_path(sio, sid, side.path)
        return await message(sid, data)

    if looks:
        sio.on("message", first_message)
    return socketio.ASGIApp(sio)


def run_uvicorn(app, side, loop, listener):
    import uvicorn

    ws = "websockets-sansio"
    if side.path == "direct":
        ws = importlib.import_module("toolboxsio.uvicorn").WebSocketProtocol
    config = uvicorn.Config(app, loop=loop, ws=ws, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def run_hypercorn(app, side, loop, listener):
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.backlog = BACKLOG
    config.loglevel = "WARNING"
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(app, config))


SERVERS = {"uvicorn": run_uvicorn, "hypercorn": run_hypercorn}


def listen():
    """A listening socket like those that uvicorn has from asyncio.

    It names its protocol, which connections inherit: else asyncio leaves Nagle's algorithm on.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    return listener


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    python = [name for name, side in SIDES.items() if side.module is not None]
    parser.add_argument("--side", choices=python, required=True)
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("--emits", choices=emitter.SHAPES, help="instead of answering events")
    parser.add_argument("--redis", metavar="URL", help="with a client manager on this Redis")
    parser.add_argument("--core", type=int, help="run on this core")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    side = SIDES[args.side]
    app = make_app(side, args.emits, args.redis)
    listener = listen()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    SERVERS[side.server](app, side, args.loop, listener)


if __name__ == "__main__":
    main()
