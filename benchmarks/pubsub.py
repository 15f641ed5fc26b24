"""`python -m benchmarks redis`: events to rooms of one, through a Redis that servers share.

Beside what rooms.py does, with a client manager on Redis, the emitter in the measured process and
that process alone or with three more servers of its kind that have no such rooms: "received" are
events that somebody else publishes, to rooms that have a client in the measured process, and
"nobody here" such to rooms that have none. Those are published by the load generator, in the words
of python-socketio. CPU is that of the measured process alone; Redis and the other servers are on
the core of the load generator.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from toolboxsio.bench.emitter import EMITTER_A_ROOM, NOTHING, ONE_EMITTER, room

from . import broker, emits, load, peers, records

CLIENTS = 50
WINDOW = 20
OTHERS = 3
MISSED = 999  # messages for nobody, and then one for the client that tells of them
RECEIVED = emits.Load("received", NOTHING, CLIENTS, WINDOW, unit="message")
NOBODY = emits.Load("nobody here", NOTHING, 1, 2, paced=False, unit="message")
ALONE = (
    emits.Load("one emitter", ONE_EMITTER, CLIENTS, WINDOW),
    emits.Load("an emitter a room", EMITTER_A_ROOM, CLIENTS, WINDOW),
)
WITH_OTHERS = tuple(one._replace(name=f"{one.name}, {OTHERS} others") for one in ALONE)
LOADS = (*ALONE, *WITH_OTHERS, RECEIVED, NOBODY)
SIDES = ("direct", "asgi", "upstream")
PUBLISHED = {
    RECEIVED: [room(client) for client in range(CLIENTS)],
    NOBODY: [*(f"nobody:{number}" for number in range(MISSED)), room(0)],
}


def subscribed(stack, side, loop, core, shape, port):
    """A server whose manager works, which it does from the first client on: (pid, port)."""
    options = ("--emits", shape, "--redis", broker.url(port))
    server = stack.enter_context(load.server(side, loop, core, options))
    load.generate(*server, "--connections", 1, "--idle", 0)
    return server


def publishing(stack, one, port):
    """The options of a load generator that publishes the messages of a load; none for others."""
    if one not in PUBLISHED:
        return ()
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "messages"
    file.write_text("\n".join(broker.messages(PUBLISHED[one])))
    return ("--publish", port, "--messages", file)


def measure(side, loop, one, seconds, warmup, cores):
    """One load on a server of its own, with a Redis of its own."""
    with ExitStack() as stack:
        port = stack.enter_context(broker.running(cores[1]))
        server = subscribed(stack, side, loop, cores[0], one.shape, port)
        others = OTHERS if one in WITH_OTHERS else 0
        for _ in range(others):
            subscribed(stack, side, loop, cores[1], NOTHING, port)
        broker.wait_for_subscribers(port, 1 + others)
        more = publishing(stack, one, port)
        return emits.generate(*server, one, seconds, warmup, cores[1], *more)


def expected_seconds(rounds, seconds, warmup, sides, loops):
    """How long a run should take; the other servers have to start, too."""
    start = 2 * load.START
    return emits.expected_seconds(LOADS, rounds, seconds, warmup, sides, loops, start)


def run(
    rounds,
    seconds,
    warmup,
    sides=SIDES,
    loops=peers.LOOPS,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
    loads=LOADS,
):
    """Measures the sides on the loops and returns the record."""
    unable = [side for side in sides if side in peers.SIDES and peers.SIDES[side].module is None]
    if unable:
        raise SystemExit(f"no Redis for {', '.join(unable)}")
    found = broker.versions()
    record = emits.run(
        "redis", loads, rounds, seconds, warmup, sides, loops, cores, progress, measure
    )
    record["versions"] |= found
    record["settings"] |= {"redis_core": cores[1], "others": OTHERS}
    return record
