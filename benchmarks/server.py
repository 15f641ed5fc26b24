"""A Python server of the benchmarks: that of toolboxsio/bench/server.py, on more servers, and with
rooms that are shared through Redis.
"""

import asyncio
import importlib

from toolboxsio.bench import server

from . import flooded
from .peers import SIDES, TRANSPORTS


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


def run_hypercorn(app, side, loop, listener):
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.backlog = server.BACKLOG
    config.loglevel = "WARNING"
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(app, config))


SERVERS = {**server.SERVERS, "hypercorn": run_hypercorn}


def main():
    parser = server.parser(SIDES)
    parser.add_argument("--redis", metavar="URL", help="with a client manager on this Redis")
    parser.add_argument("--flooded", action="store_true", help="with what floods call")
    parser.add_argument("--transport", choices=TRANSPORTS, help="of the clients (websocket)")
    args = parser.parse_args()
    server.pin(args.core)
    side = SIDES[args.side]
    options = {}
    if args.redis is not None:
        manager = make_manager(importlib.import_module(side.module), args.redis)
        options["client_manager"] = manager
    path = "polling" if args.transport == "polling" else None
    if args.flooded:
        app = flooded.make_app(side, **options)
    else:
        app = server.make_app(side, args.emits, answers=args.emits is None, path=path, **options)
    server.serve(app, side, args, SERVERS)


if __name__ == "__main__":
    main()
