"""What a server of the benchmark of fairness answers: the event of honest clients, and floods."""

import asyncio
import time

from toolboxsio.bench import server

ROOM = "flooded"
SLEEP = 0.2  # seconds that the handler of `sleeps` awaits


def add_handlers(sio):
    """Handlers of what floods send; `handled` tells how often they and callbacks were called."""
    count = 0

    def counted(*_):
        nonlocal count
        count += 1

    @sio.event
    async def busy(sid, microseconds):
        counted()
        end = time.perf_counter() + microseconds * 1e-6
        while time.perf_counter() < end:
            pass

    @sio.event
    async def sleeps(sid):
        counted()
        await asyncio.sleep(SLEEP)

    @sio.event
    async def take(sid, *args):
        counted()

    @sio.event
    async def asks(sid, number):
        for _ in range(number):
            await sio.emit("question", to=sid, callback=counted)

    @sio.event
    async def joins(sid):
        await sio.enter_room(sid, ROOM)

    @sio.event
    async def handled(sid):
        return count

    @sio.on("connect", namespace="/other")
    async def connect(sid, environ):
        counted()


def make_app(side, **options):
    """The application of a side: the handler of honest clients, and those of floods."""
    sio = server.make_server(side, **options)
    server.add_handler(sio, side.path if hasattr(sio, "acceleration") else None)
    add_handlers(sio)
    return server.importlib.import_module(side.module).ASGIApp(sio)
