"""What the benchmarks of many clients (memory.py, churn.py) have in common: a wave of clients comes
to a new server, stays, and leaves; the phases are those of loadgen/idle.h.
"""

from . import load, peers

SIDES = ("direct", "asgi", "upstream", "node")
LOOP = "uvloop"
CONNECTING = 100  # clients under way
WARMUP_CLIENTS = 100
EACH = 1e-3  # seconds that a client needs to come and leave, about
QUIET = 1.0  # and that are waited for the server to become quiet, with what warms it up


def wave(side, loop, clients, seconds, cores, events=(), transport=()):
    """What the load generator says of so many clients on a new server, warmed up by others.

    They stay for so many seconds. :param events: options of the load generator, for what clients
    send; transport: those of load generator and server, for how they connect.
    """
    with load.server(side, loop, cores[0], transport) as (pid, port):
        warm = ("--connections", WARMUP_CLIENTS, "--idle", 0)
        load.generate(pid, port, *load.EVENTS, *warm, *transport, core=cores[1])
        many = ("--connections", clients, "--connecting", CONNECTING, "--idle", seconds)
        return load.generate(pid, port, *many, *events, *transport, core=cores[1])


def prepare(clients, cores):
    load.check_cores(cores)
    load.allow_clients(max(clients, WARMUP_CLIENTS))
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
