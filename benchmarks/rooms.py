"""`python -m benchmarks rooms`: events to rooms that have one client each.

50 clients, each alone in a room. "one emitter" is one task that emits to one room after the other;
"an emitter a room" are 50 tasks that let the event loop turn after each emit. How it is measured
stands in emits.py.
"""

from toolboxsio.bench.emitter import EMITTER_A_ROOM, ONE_EMITTER

from . import emits, load, peers, records

CLIENTS = 50
WINDOW = 20
LOADS = (
    emits.Load("one emitter", ONE_EMITTER, CLIENTS, WINDOW),
    emits.Load("an emitter a room", EMITTER_A_ROOM, CLIENTS, WINDOW),
)


def expected_seconds(rounds, seconds, warmup, sides, loops):
    """How long a run should take."""
    return emits.expected_seconds(LOADS, rounds, seconds, warmup, sides, loops)


def run(
    rounds,
    seconds,
    warmup,
    sides=emits.SIDES,
    loops=peers.LOOPS,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
):
    """Measures the sides on the loops and returns the record."""
    return emits.run("rooms", LOADS, rounds, seconds, warmup, sides, loops, cores, progress)
