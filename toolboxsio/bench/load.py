"""Servers under load: acknowledgements and broadcasts, in microseconds of the server's CPU."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from . import emitter, process
from .client import SECONDS, Client, WrongAnswer
from .peers import SIDES

CLIENTS = 50
IN_FLIGHT = {"ack, 1 in flight": 1, "ack, 16 in flight": 16}
BROADCAST = f"broadcast to {CLIENTS}"
LOADS = (*IN_FLIGHT, BROADCAST)
WINDOW = 32  # broadcasts under way
WARMUP = 0.25  # of what is measured, before it


def cores() -> tuple[int | None, int | None]:
    """One for the server and one for the clients, where a process can have a core of its own."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[1]) if len(found) > 1 else (None, None)


class Crowd:
    """The clients of one server."""

    def __init__(self, clients: list[Client], failure: asyncio.Future[None]) -> None:
        self.clients = clients
        self.failure = failure

    async def cpu(self) -> int:
        """The CPU time of the server so far, in nanoseconds."""
        return int((await self.clients[0].ask(b'["cpu"]'))[1:-1])

    def acks(self) -> int:
        return sum(client.acks for client in self.clients)

    def received(self) -> int:
        return sum(client.received for client in self.clients)

    async def wait(self, seconds: float) -> None:
        """Let the clients work for so long; raises what one of them met."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.failure), seconds)


async def acks(crowd: Crowd, in_flight: int, seconds: float) -> dict[str, float]:
    """Every client has so many events under way."""
    for client in crowd.clients:
        client.start(in_flight)
    await crowd.wait(WARMUP * seconds)
    cpu, done, begun = await crowd.cpu(), crowd.acks(), time.perf_counter()
    await crowd.wait(seconds)
    cpu, done = await crowd.cpu() - cpu, crowd.acks() - done
    begun = time.perf_counter() - begun
    for client in crowd.clients:
        client.stop()
    await crowd.cpu()  # comes when all that was under way has been answered
    if done == 0:
        raise WrongAnswer("no acknowledgement came")
    return {"server_cpu_us": cpu / done / 1000, "per_second": done / begun}


async def rounds(crowd: Crowd, seconds: float) -> None:
    """Events from the server to everybody, until the time is over and all of them have come."""
    granted = 0
    everybody = len(crowd.clients)
    end = time.monotonic() + seconds
    first = crowd.received()
    give_up = end + SECONDS
    while time.monotonic() < end or crowd.received() - first < granted * everybody:
        if crowd.failure.done():
            crowd.failure.result()
        if time.monotonic() > give_up:
            raise WrongAnswer("events did not come")
        under_way = granted - (crowd.received() - first) / everybody
        if under_way <= WINDOW / 2 and time.monotonic() < end:
            more = WINDOW if granted == 0 else WINDOW // 2
            granted += more
            await crowd.clients[0].ask(b'["next",%d]' % more)
        else:
            await asyncio.sleep(0)


async def broadcast(crowd: Crowd, seconds: float) -> dict[str, float]:
    await rounds(crowd, WARMUP * seconds)
    cpu, done, begun = await crowd.cpu(), crowd.received(), time.perf_counter()
    await rounds(crowd, seconds)
    cpu, done = await crowd.cpu() - cpu, crowd.received() - done
    begun = time.perf_counter() - begun
    return {"server_cpu_us": cpu / done / 1000, "per_second": done / begun}


async def measure(port: int, seconds: float, loads: Sequence[str] = LOADS) -> dict[str, Any]:
    """{load: figures} of a server that runs."""
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def failed(problem: Exception) -> None:
        if not failure.done():
            failure.set_exception(problem)

    crowd = Crowd([Client(failed) for _ in range(CLIENTS)], failure)
    taken: dict[str, Any] = {}
    try:
        for client in crowd.clients:
            await client.connect(port)
        for name in loads:
            if name in IN_FLIGHT:
                taken[name] = await acks(crowd, IN_FLIGHT[name], seconds)
            else:
                taken[name] = await broadcast(crowd, seconds)
    except asyncio.CancelledError:
        if not failure.done():
            raise
    finally:
        for client in crowd.clients:
            await client.leave()
    if failure.done():
        failure.result()
    return taken


def command(side: str, loop: str, core: int | None) -> list[str]:
    """The command line of a server that answers and emits."""
    words = [sys.executable, "-m", "toolboxsio.bench.server", "--side", side, "--loop", loop]
    words += ["--emits", emitter.BROADCAST, "--answers"]
    return words if core is None else [*words, "--core", str(core)]


def run(side: str, loop: str, seconds: float, core: int | None) -> dict[str, Any]:
    """One start of a server: {load: figures}."""
    with process.running(command(side, loop, core), SIDES[side].label) as (_, port):
        return asyncio.run(measure(port, seconds))
