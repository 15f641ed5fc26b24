"""What the benchmarks of emits (fanout.py, rooms.py, pubsub.py) have in common.

Server and load generator are processes with a core each. In each round every server is started
anew for every load, one side after the other and in the other direction every other round. The
generator asks for rounds of events, one for each client, as many as may be under way (emitter.py),
checks every byte of every event and counts them; then it asks for half as many rounds a second, on
a fixed schedule: the latencies are those of that, from when a round was due to each of its events.
CPU is the server's user and system time (all its threads), from nothing under way to nothing under
way, over what was done in between.
"""

from typing import NamedTuple

from . import load, peers, records

SIDES = ("direct", "asgi", "upstream", "node", "floor")
COSTS = ("server_cpu_us", "per_second", "generator_cpu_share")
LATENCIES = ("p50_us", "p99_us")
JOINING = 1e-3  # seconds that a client needs to connect, about


class Load(NamedTuple):
    name: str
    shape: str  # what the server emits (emitter.SHAPES)
    clients: int
    window: int  # events under way for a client
    paced: bool = True  # whether half of the rate is measured, too
    unit: str = "delivery"


def generate(pid, port, one, seconds, warmup, core, *more):
    """What the load generator says of one load on a server."""
    options = ("--payload", load.EVENT, "--connections", one.clients, "--receive", one.window)
    options += ("--warmup", warmup, "--seconds", seconds)
    if one.paced:
        options += ("--paced", seconds)
    return load.generate(pid, port, *options, *more, core=core)


def measure(side, loop, one, seconds, warmup, cores):
    """One load on a server of its own."""
    with load.server(side, loop, cores[0], ("--emits", one.shape)) as (pid, port):
        return generate(pid, port, one, seconds, warmup, cores[1])


def figures(one, taken):
    """The figures of a round from what the generator said, which is kept beside them.

    ValueError when a client has not got what it should: the generator ends before that.
    """
    saturated = taken["saturated"]
    if saturated["deliveries"] != saturated["rounds"] * one.clients:
        raise ValueError(f"{one.name}: {saturated}")
    done = saturated["deliveries"]
    if one.unit == "message":
        done = saturated["rounds"] * taken["messages_per_round"]
    latencies = {key: taken["paced"][key] for key in LATENCIES} if one.paced else {}
    return {
        "server_cpu_us": saturated["server_cpu_seconds"] * 1e6 / done,
        "per_second": done / saturated["seconds"],
        "generator_cpu_share": saturated["generator_cpu_seconds"] / saturated["seconds"],
        **latencies,
        "generator": taken,
    }


def expected_seconds(loads, rounds, seconds, warmup, sides, loops, start=load.START):
    """How long a run should take; every load has a start of its own."""
    jobs = len(peers.jobs(sides, loops))
    measured = (warmup + seconds * (2 if one.paced else 1) for one in loads)
    joining = sum(one.clients for one in loads) * JOINING
    return rounds * jobs * (sum(measured) + joining + len(loads) * start)


def run(
    kind,
    loads,
    rounds,
    seconds,
    warmup,
    sides,
    loops,
    cores,
    progress=records.no_progress,
    measure=measure,
):
    """Measures the loads on the sides and loops and returns the record."""
    load.check_cores(cores)
    load.allow_clients(max(one.clients for one in loads))
    load.build_loadgen()
    sides, absent = peers.present(sides)
    jobs = [(job, one) for job in peers.jobs(sides, loops) for one in loads]
    taken = {job: [] for job in jobs}
    for step, (number, (job, one)) in enumerate(load.in_turn(rounds, jobs)):
        side, loop = job
        said = f"round {number + 1}, {one.name}, {side} on {loop}"
        progress(said, step, rounds * len(jobs))
        taken[job, one].append(figures(one, measure(side, loop, one, seconds, warmup, cores)))
    return {
        "kind": kind,
        **peers.environment(sides, absent),
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "warmup": warmup,
            "loads": {one.name: one._asdict() for one in loads},
            "cores": list(cores),
        },
        "results": [
            {
                "side": side,
                "loop": loop,
                "load": one.name,
                **load.summary(measured, (*COSTS, *(LATENCIES if one.paced else ()))),
            }
            for ((side, loop), one), measured in taken.items()
        ],
    }
