"""A redis-server of the benchmarks' own, and what is published on it."""

import asyncio
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version

from toolboxsio.bench import emitter

from . import records

CHANNEL = "socketio"  # python-socketio's default
START_SECONDS = 10
PAUSE = 0.01  # seconds between two questions


def install():
    """The path of redis-server, installed where that may be done; SystemExit without."""
    if shutil.which("redis-server") is None:
        with suppress(subprocess.CalledProcessError):
            subprocess.run([records.ROOT / ".ci" / "need", "redis"], check=True)
    found = shutil.which("redis-server")
    if found is None:
        raise SystemExit("redis-server is needed")
    return found


def versions():
    """{name: version} of Redis and of what Python reads it with; SystemExit without hiredis."""
    try:
        found = {name: version(name) for name in ("redis", "hiredis")}
        from redis.utils import HIREDIS_AVAILABLE
    except ImportError as problem:
        raise SystemExit(f"{problem}: pip install -e '.[redis]'") from None
    if not HIREDIS_AVAILABLE:
        raise SystemExit(f"redis {found['redis']} does not use hiredis {found['hiredis']}")
    said = subprocess.run([install(), "--version"], check=True, capture_output=True, text=True)
    [number] = [word.removeprefix("v=") for word in said.stdout.split() if word.startswith("v=")]
    return {**found, "redis-server": number}


def missing():
    """Why there can be no Redis here, or None."""
    try:
        versions()
    except SystemExit as problem:
        return str(problem)
    return None


def client(port):
    import redis

    return closing(redis.Redis(port=port))


def poll(ready, what):
    """Asks ready() until it is true; RuntimeError after START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(what)
        time.sleep(PAUSE)


def answers(port):
    from redis.exceptions import ConnectionError

    with suppress(ConnectionError), client(port) as asked:
        return asked.ping()
    return False


@contextmanager
def running(core=None, nice=0):
    """The port of a Redis that keeps nothing, on this core, below the priority of others."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pinned = ["nice", "-n", str(nice)]
    pinned += [] if core is None else ["taskset", "-c", str(core)]
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [*pinned, install(), "--port", str(port), *options], stdout=subprocess.DEVNULL
    )
    try:
        poll(lambda: process.poll() is not None or answers(port), "redis-server does not answer")
        if process.poll() is not None:
            raise RuntimeError(f"redis-server ended with status {process.returncode}")
        yield port
    finally:
        process.terminate()
        process.wait()


def url(port):
    return f"redis://127.0.0.1:{port}/0"


def wait_for_subscribers(port, number):
    with client(port) as asked:
        poll(
            lambda: asked.pubsub_numsub(CHANNEL)[0][1] == number,
            f"{number} servers do not subscribe to {CHANNEL}",
        )


def messages(rooms, data=emitter.EVENT):
    """What python-socketio publishes for an event to each of these rooms, as texts."""
    from socketio import AsyncRedisManager

    published = []

    class Manager(AsyncRedisManager):
        async def _publish(self, data):  # as the one of AsyncRedisManager, which sends it
            published.append(self.json.dumps(data))

    async def emit():
        manager = Manager(channel=CHANNEL, write_only=True)
        for room in rooms:
            await manager.emit("message", data, room=room)

    asyncio.run(emit())
    return published
