"""What a Python server of the benchmarks emits: rounds of events that the load generator asks for.

A round is one event for each client. The generator's event "next" says how many more may begin, so
that what is under way, and waits for a client, is bounded in the same way on every side. Node's
twin is benchmarks/node/emitter.mjs.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from . import PAYLOADS

EVENT = json.loads((PAYLOADS / "event.json").read_text())
BROADCAST, ONE_EMITTER, EMITTER_A_ROOM, NOTHING = "broadcast", "one", "each", "nothing"


def room(number: int) -> str:
    """The name of the room whose only member is the client of this number."""
    return f"user:{number}"


class Grants:
    """How many rounds may be emitted."""

    def __init__(self) -> None:
        self.rounds = 0
        self._more = asyncio.Event()

    def add(self, rounds: int) -> None:
        self.rounds += rounds
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def wait(self, number: int) -> None:
        """Until the round of this number may be emitted."""
        while number >= self.rounds:
            await self._more.wait()


async def broadcast(sio: Any, grants: Grants, _: int) -> None:
    """Everybody at once; as Node's, it lets the event loop turn in between."""
    for number in count():
        if number >= grants.rounds:
            await grants.wait(number)
        await sio.emit("message", EVENT)
        await asyncio.sleep(0)


async def one_emitter(sio: Any, grants: Grants, clients: int) -> None:
    """One task that emits to one room after the other."""
    for number in count():
        if number >= grants.rounds:
            await grants.wait(number)
        for client in range(clients):
            await sio.emit("message", EVENT, room=room(client))


async def emit_to(sio: Any, grants: Grants, client: int) -> None:
    for number in count():
        if number >= grants.rounds:
            await grants.wait(number)
        await sio.emit("message", EVENT, room=room(client))
        await asyncio.sleep(0)


async def emitter_a_room(sio: Any, grants: Grants, clients: int) -> None:
    """A task for each room."""
    await asyncio.gather(*(emit_to(sio, grants, client) for client in range(clients)))


async def nothing(*_: Any) -> None:
    """The events come from elsewhere."""


SHAPES: dict[str, Callable[[Any, Grants, int], Awaitable[None]]] = {
    BROADCAST: broadcast,
    ONE_EMITTER: one_emitter,
    EMITTER_A_ROOM: emitter_a_room,
    NOTHING: nothing,
}


def fail_loudly(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.result()  # the event loop says what was raised


def install(sio: Any, shape: str, check: Callable[[str], object]) -> None:
    """Handlers for the clients of the load generator; check(sid) is called at its first event.

    Except for broadcasts every client is the only member of a room. Clients that come when all of
    an earlier run have left get the same rooms.
    """
    grants = Grants()
    numbers: dict[str, int] = {}
    emitters = []

    @sio.event  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        numbers[sid] = len(numbers)
        if shape != BROADCAST:
            await sio.enter_room(sid, room(numbers[sid]))

    @sio.event  # type: ignore[untyped-decorator]
    async def disconnect(sid: str, reason: str) -> None:
        del numbers[sid]

    async def more(sid: str, rounds: int) -> None:
        grants.add(rounds)

    async def first(sid: str, rounds: int) -> None:
        check(sid)
        sio.on("next", more)  # from now on
        task = sio.start_background_task(SHAPES[shape], sio, grants, len(numbers))
        task.add_done_callback(fail_loudly)
        emitters.append(task)
        await more(sid, rounds)

    sio.on("next", first)
