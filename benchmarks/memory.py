"""`python -m benchmarks memory`: clients that say nothing, what they hold and what it costs that
they stay.

A server starts and is warmed up by a wave of clients that send an event and leave. Then all clients
connect over WebSocket, at most 100 at a time, stay for --idle-seconds while the pings of the server
are answered, and close all at once; what coming and leaving costs is churn.py's.

Memory is the growth of the server's resident set from before the first to after the idle time, so
without what the kernel holds for a socket. No garbage collection is asked for.
"""

from . import crowd, load, peers, records
from .crowd import LOOP, SIDES

FIGURES = ("kib_per_client", "idle_cpu_share")


def figures(every):
    """The figures of a round from its wave, which is kept beside them."""
    idle, rss = every["idle"], every["rss_kib"]
    return {
        "kib_per_client": (rss["idle"] - rss["before"]) / every["connections"],
        "idle_cpu_share": idle["server_cpu_seconds"] / idle["seconds"],
        "every": every,
    }


def expected_seconds(rounds, clients, idle_seconds, sides=SIDES):
    """How long a run should take."""
    return rounds * len(sides) * (idle_seconds + load.START + crowd.QUIET + clients * crowd.EACH)


def run(
    rounds,
    clients,
    idle_seconds,
    sides=SIDES,
    loop=LOOP,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
):
    """Measures the sides and returns the record."""
    crowd.prepare(clients, cores)
    sides, absent = peers.present(sides)

    def one(job):
        return figures(crowd.wave(*job, clients, idle_seconds, cores))

    taken = crowd.measure(rounds, peers.jobs(sides, (loop,)), progress, one)
    settings = {
        "rounds": rounds,
        "clients": clients,
        "idle_seconds": idle_seconds,
        "cores": list(cores),
    }
    results = [
        {"side": side, "loop": loop, **load.summary(measured, FIGURES)}
        for (side, loop), measured in taken.items()
    ]
    return crowd.record("memory", sides, absent, settings, results)
