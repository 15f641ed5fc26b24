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

from . import load, peers

SIDES = ("direct", "asgi", "upstream", "node")
COSTS = ("server_cpu_us", "per_second", "generator_cpu_share")
LATENCIES = ("p50_us", "p99_us")


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


def run(kind, loads, rounds, seconds, warmup, sides, loops, cores, progress, measure=measure):
    """Measures the loads on the sides and loops and returns the record."""
    load.check_cores(cores)
    load.allow_clients(max(one.clients for one in loads))
    load.build_loadgen()
    jobs = peers.jobs(sides, loops)
    taken = {(job, one): [] for job in jobs for one in loads}
    for number in range(rounds):
        for job in reversed(jobs) if number % 2 else jobs:
            for one in loads:
                side, loop = job
                progress(f"round {number + 1} of {rounds}: {one.name}, {side} on {loop} ...")
                said = measure(side, loop, one, seconds, warmup, cores)
                taken[job, one].append(figures(one, said))
    return {
        "kind": kind,
        **peers.environment(sides),
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
