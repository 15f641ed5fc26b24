"""`python -m benchmarks polling`: events that are acknowledged over HTTP long-polling.

50 clients, each with one event in flight: a POST with the event, while a GET waits, which is
answered with the ack; then the next GET and the next POST, on two kept connections and with the
headers of a browser. How servers take turns, and what is told, is ack.py's.
"""

from . import ack, load, peers, records

SIDES = ("direct-http", "middleware", "upstream", "node-http", "floor")
LOADS = ("1 in flight",)
TRANSPORT = ("--transport", "polling")  # of server and load generator


def measure(side, loop, seconds, warmup, cores):
    """One start of a server: {load: figures}."""
    options = (*load.EVENTS, "--connections", ack.CLIENTS, "--in-flight", 1, *TRANSPORT)
    options += ("--seconds", seconds, "--warmup", warmup)
    with load.server(side, loop, cores[0], TRANSPORT) as (pid, port):
        return {LOADS[0]: load.generate(pid, port, *options, core=cores[1])}


def expected_seconds(rounds, seconds, warmup, sides, loops):
    """How long a run should take."""
    return rounds * len(peers.jobs(sides, loops)) * (seconds + warmup + load.START)


def run(
    rounds,
    seconds,
    warmup,
    sides=SIDES,
    loops=peers.LOOPS,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
):
    """Measures the sides on the loops and returns the record."""
    settings = (rounds, seconds, warmup, sides, loops, cores, progress)
    return ack.run_kind("polling", lambda side: LOADS, measure, *settings)
