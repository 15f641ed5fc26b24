"""`python -m benchmarks ack`: events answered by real servers, ours and its peers.

Server and load generator are processes with a core each. In each round every server is started
anew, one after the other and in the other direction every other round, and gets three loads over 50
WebSockets: 1 and 16 events in flight a client, and then half the rate that it has just reached with
16, on a fixed schedule: the latencies at that load are those to look at. CPU is the server's user
and system time (all its threads) in the measured seconds over the acks of these seconds.
"""

from . import load, peers, records

CLIENTS = 50
IN_FLIGHT = {"1 in flight": 1, "16 in flight": 16}
LOADS = (*IN_FLIGHT, "half of saturation")
FIGURES = ("server_cpu_us_per_ack", "acks_per_second", "p50_us", "p99_us", "generator_cpu_share")


def loads_of(side):
    """The loads of a side: no latencies at half of saturation where only CPU counts."""
    return tuple(IN_FLIGHT) if peers.SIDES[side].server in ("hypercorn", "floor") else LOADS


def measure(side, loop, seconds, warmup, cores):
    """One start of a server: {load: figures}."""
    common = (*load.EVENTS, "--connections", CLIENTS, "--seconds", seconds, "--warmup", warmup)
    with load.server(side, loop, cores[0]) as (pid, port):
        taken = {}
        for name in loads_of(side):
            if name in IN_FLIGHT:
                pace = ("--in-flight", IN_FLIGHT[name])
            else:
                pace = ("--rate", round(taken["16 in flight"]["acks_per_second"] / 2))
            taken[name] = load.generate(pid, port, *common, *pace, core=cores[1])
    return taken


def expected_seconds(rounds, seconds, warmup, sides, loops):
    """How long a run should take."""
    loads = sum(len(loads_of(side)) for side, _ in peers.jobs(sides, loops))
    return rounds * (loads * (seconds + warmup) + len(peers.jobs(sides, loops)) * load.START)


def run(
    rounds,
    seconds,
    warmup,
    sides=tuple(peers.COMPARED),
    loops=peers.LOOPS,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
):
    """Measures the sides on the loops and returns the record."""
    settings = (rounds, seconds, warmup, sides, loops, cores, progress)
    return run_kind("ack", loads_of, measure, *settings)


def run_kind(kind, loads_of, measure, rounds, seconds, warmup, sides, loops, cores, progress):
    """The same for a benchmark with loads of its own."""
    load.check_cores(cores)
    load.build_loadgen()
    sides, absent = peers.present(sides)
    jobs = peers.jobs(sides, loops)
    taken = {(side, loop, name): [] for side, loop in jobs for name in loads_of(side)}
    for step, (number, (side, loop)) in enumerate(load.in_turn(rounds, jobs)):
        progress(f"round {number + 1}, {side} on {loop}", step, rounds * len(jobs))
        for name, figures in measure(side, loop, seconds, warmup, cores).items():
            taken[side, loop, name].append(figures)
    return {
        "kind": kind,
        **peers.environment(sides, absent),
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "warmup": warmup,
            "clients": CLIENTS,
            "cores": list(cores),
        },
        "results": [
            {"side": side, "loop": loop, "load": name, **load.summary(measured, FIGURES)}
            for (side, loop, name), measured in taken.items()
        ],
    }
