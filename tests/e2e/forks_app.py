"""The application of test_forks.py: made when it is imported, served by processes that are forked.

`python forks_app.py WORKERS PATH LOOP` prints its port and serves it with so many processes, forked
when the application is there, as `gunicorn --preload` does; 0: with none but this.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
from typing import Any

import uvicorn

import toolboxsio as socketio
from toolboxsio.uvicorn import WebSocketProtocol

sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio)


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    async with sio.session(sid) as session:
        session["pid"] = os.getpid()


@sio.event
async def where(sid: str) -> list[Any]:
    async with sio.session(sid) as session:
        return [session["pid"], os.getpid(), sio.acceleration(sid)["path"]]


@sio.event
async def echo(sid: str, *args: Any) -> Any:
    return args


def collect(sid: str) -> None:
    """In a forked process: what the parent had goes, as far as it can."""
    sio.eio.sockets.clear()
    sio.environ.clear()
    sio.manager.rooms.clear()
    gc.collect()


def emit(sid: str) -> None:
    """In a forked process: emits on an event loop of its own go nowhere."""
    asyncio.run(sio.emit("from the child", {"a": [1]}, to=sid))
    asyncio.run(sio.emit("from the child", b"bytes"))


def disconnect(sid: str) -> None:
    """In a forked process: the parent's clients are not the child's to end."""
    asyncio.run(sio.disconnect(sid))


def serve_another(sid: str) -> None:
    """In a forked process: a server of its own has a client."""
    from connections import Client

    async def play() -> None:
        other = socketio.AsyncServer(async_mode="asgi")
        other.on("e", lambda sid, *args: args)
        client = Client(other)
        client.join()
        client.send('421["e",{"a":1}]')
        assert await client.until() == ['431[{"a":1}]']

    asyncio.run(play())


WORKS = {work.__name__: work for work in (collect, emit, disconnect, serve_another)}


@sio.event
async def fork(sid: str, name: str) -> int | None:
    """Let a forked process do something; its exit code."""
    process = multiprocessing.get_context("fork").Process(target=WORKS[name], args=(sid,))
    process.start()
    await asyncio.to_thread(process.join, 20)
    return process.exitcode


def serve(listener: socket.socket, path: str, loop: Any) -> None:
    ws: Any = WebSocketProtocol if path == "direct" else "websockets-sansio"
    config = uvicorn.Config(app, ws=ws, loop=loop, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def main(workers: int, path: str, loop: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    pids = []
    for _ in range(workers):
        pid = os.fork()
        if pid == 0:
            serve(listener, path, loop)
            os._exit(0)
        pids.append(pid)
    if not workers:
        serve(listener, path, loop)
        return

    def stop(*_: Any) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
