"""What the benchmarks of many clients (memory.py, churn.py) have in common: a wave of clients comes
to a new server, stays, and leaves; the phases are those of loadgen/idle.h.
"""

from . import load, peers

SIDES = ("direct", "asgi", "upstream", "node")
SOCKETS = {"websocket": 1, "upgrade": 3, "polling": 2}  # that a client has
LOOP = "uvloop"
CONNECTING = 100  # clients under way
WARMUP_CLIENTS = 100
EACH = 1e-3  # seconds that a client needs to come and leave, about
QUIET = 1.0  # and that are waited for the server to become quiet, with what warms it up


def wave(side, loop, clients, seconds, cores, transport="websocket"):
    """What the load generator says of so many clients on a new server, warmed up by others.

    They stay for so many seconds and say nothing; those that warm it up send an event each.
    """
    options = () if transport == "websocket" else ("--transport", transport)
    with load.server(side, loop, cores[0], options) as (pid, port):
        warm = ("--connections", WARMUP_CLIENTS, "--idle", 0)
        load.generate(pid, port, *load.EVENTS, *warm, *options, core=cores[1])
        many = ("--connections", clients, "--connecting", CONNECTING, "--idle", seconds)
        return load.generate(pid, port, *many, *options, core=cores[1])


def prepare(sockets, cores):
    """For waves whose clients have so many sockets."""
    load.check_cores(cores)
    load.allow_clients(max(sockets, max(SOCKETS.values()) * WARMUP_CLIENTS))
    load.build_loadgen()


def measure(rounds, jobs, progress, one):
    """{job: [one(job) of every round]}."""
    taken = {job: [] for job in jobs}
    for step, (number, job) in enumerate(load.in_turn(rounds, jobs)):
        progress(f"round {number + 1}, {' on '.join(job)}", step, rounds * len(jobs))
        taken[job].append(one(job))
    return taken


def record(kind, sides, absent, settings, results):
    return {
        "kind": kind,
        **peers.environment(sides, absent),
        "settings": {**settings, "connecting": CONNECTING},
        "results": results,
    }
