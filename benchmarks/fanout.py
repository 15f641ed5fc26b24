"""`python -m benchmarks fanout`: events to everybody who is connected.

A task of the server emits the event to all clients, again and again, and lets the event loop turn
between two broadcasts; how it is measured stands in emits.py.
"""

from toolboxsio.bench.emitter import BROADCAST

from . import emits, load, peers, records

SIZES = (10, 500, 5000)
WINDOW = 32  # broadcasts under way, fewer where more clients have them
UNDER_WAY = 4000  # events, over all clients; but 2 broadcasts at the least


def loads(sizes):
    return [
        emits.Load(
            f"{clients:,} clients", BROADCAST, clients, max(min(WINDOW, UNDER_WAY // clients), 2)
        )
        for clients in sizes
    ]


def expected_seconds(rounds, seconds, warmup, sides, loops, sizes=SIZES):
    """How long a run should take."""
    return emits.expected_seconds(loads(sizes), rounds, seconds, warmup, sides, loops)


def run(
    rounds,
    seconds,
    warmup,
    sides=emits.SIDES,
    loops=peers.LOOPS,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
    sizes=SIZES,
):
    """Measures the sides on the loops and returns the record."""
    return emits.run("fanout", loads(sizes), rounds, seconds, warmup, sides, loops, cores, progress)
