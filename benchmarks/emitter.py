"""What a Python server of the benchmarks emits: rounds of events that the load generator asks for.

A round is one event for each client. The generator's event "next" says how many more may begin, so
that what is under way, and waits for a client, is bounded in the same way on every side. Node's
twin is node/emitter.mjs.
"""

import asyncio
import json
from itertools import count
from pathlib import Path

EVENT = json.loads((Path(__file__).parent / "payloads" / "event.json").read_text())
BROADCAST, ONE_EMITTER, EMITTER_A_ROOM, NOTHING = "broadcast", "one", "each", "nothing"


def room(number):
    """The name of the room whose only member is the client of this number."""
    return f"user:{number}"


class Grants:
    """How many rounds may be emitted."""

    def __init__(self):
        self.rounds = 0
        self._more = asyncio.Event()

    def add(self, rounds):
        self.rounds += rounds
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def wait(self, number):
        """Until the round of this number may be emitted."""
        while number >= self.rounds:
            await self._more.wait()


async def broadcast(sio, grants, _):
    """Everybody at once; as Node's, it lets the event loop turn in between."""
    for number in count():
        if number >= grants.rounds:
            await grants.wait(number)
        await sio.emit("message", EVENT)
        await asyncio.sleep(0)


async def one_emitter(sio, grants, clients):
    """One task that emits to one room after the other."""
    for number in count():
        if number >= grants.rounds:
            await grants.wait(number)
        for client in range(clients):
            await sio.emit("message", EVENT, room=room(client))


async def emit_to(sio, grants, client):
    for number in count():
        if number >= grants.rounds:
            await grants.wait(number)
        await sio.emit("message", EVENT, room=room(client))
        await asyncio.sleep(0)


async def emitter_a_room(sio, grants, clients):
    """A task for each room."""
    await asyncio.gather(*(emit_to(sio, grants, client) for client in range(clients)))


async def nothing(*_):
    """The events come from elsewhere."""


SHAPES = {
    BROADCAST: broadcast,
    ONE_EMITTER: one_emitter,
    EMITTER_A_ROOM: emitter_a_room,
    NOTHING: nothing,
}


def fail_loudly(task):
    if not task.cancelled():
        task.result()  # the event loop says what was raised


def install(sio, shape, check):
    """Handlers for the clients of the load generator; check(sid) is called at its first event.

    Except for broadcasts every client is the only member of a room. Clients that come when all of
    an earlier run have left get the same rooms.
    """
    grants = Grants()
    numbers = {}
    emitters = []

    @sio.event
    async def connect(sid, environ):
        numbers[sid] = len(numbers)
        if shape != BROADCAST:
            await sio.enter_room(sid, room(numbers[sid]))

    @sio.event
    async def disconnect(sid, reason):
        del numbers[sid]

    async def more(sid, rounds):
        grants.add(rounds)

    async def first(sid, rounds):
        check(sid)
        sio.on("next", more)  # from now on
        task = sio.start_background_task(SHAPES[shape], sio, grants, len(numbers))
        task.add_done_callback(fail_loudly)
        emitters.append(task)
        await more(sid, rounds)

    sio.on("next", first)
