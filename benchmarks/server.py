"""The server that `python -m benchmarks ack` measures: one uvicorn process, one handler.

Prints one JSON line with its port as soon as it listens, and serves until it gets SIGTERM.
The application is the same for every side; only the module that it imports differs.
"""

import argparse
import importlib
import json
import os
import socket
from datetime import UTC, datetime

import uvicorn

SIDES = {"ours": "toolboxsio", "upstream": "socketio"}
LOOPS = ("uvloop", "asyncio")


def make_app(side):
    """The Socket.IO application, as an unchanged one would be written."""
    socketio = importlib.import_module(SIDES[side])
    if side == "ours" and not socketio.ACCELERATED:
        raise SystemExit("toolboxsio is not accelerated: there is nothing to measure")
    sio = socketio.AsyncServer(async_mode="asgi")

    @sio.event
    async def message(sid, data):
        return {"ok": True, "type": data["type"], "ts": datetime.now(UTC).isoformat()}

    return socketio.ASGIApp(sio)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("--core", type=int, help="run on this core")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    app = make_app(args.side)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app, loop=args.loop, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
