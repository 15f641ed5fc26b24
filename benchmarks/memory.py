"""`python -m benchmarks memory`: clients that say nothing: what they hold, and what it costs that
they come, stay and leave.

A server starts and is warmed up by a wave of clients that send an event and leave. Then all clients
connect over WebSocket, at most 100 at a time, stay for --idle-seconds while the pings of the server
are answered, and close all at once. Then the same server, started anew, gets a fifth of the
clients: what one costs there tells whether the cost is linear.

Memory is the growth of the server's resident set from before the first to after the idle time, so
without what the kernel holds for a socket. CPU of connecting and of leaving counts until the server
has become quiet. No garbage collection is asked for.
"""

from . import load, peers

SIDES = ("direct", "asgi", "upstream", "node")
LOOP = "uvloop"
CONNECTING = 100  # handshakes under way
WARMUP_CLIENTS = 100
FIGURES = (
    "kib_per_client",
    "idle_cpu_share",
    "connect_cpu_us",
    "disconnect_cpu_us",
    "cpu_us",  # of both
    "cpu_growth",  # that over the same with a fifth of the clients
    "connects_per_second",
    "disconnects_per_second",
    "generator_cpu_share",  # of the time of connecting
)


def wave(side, loop, clients, idle_seconds, cores):
    """What the load generator says of so many clients on a new server."""
    with load.server(side, loop, cores[0]) as (pid, port):
        warm = ("--connections", WARMUP_CLIENTS)
        load.generate(pid, port, *load.EVENTS, *warm, "--ops", WARMUP_CLIENTS, core=cores[1])
        load.generate(pid, port, *warm, "--idle", 0, core=cores[1])
        many = ("--connections", clients, "--connecting", CONNECTING)
        return load.generate(pid, port, *many, "--idle", idle_seconds, core=cores[1])


def figures(every, fifth):
    """The figures of a round from its two waves, which are kept beside them."""
    clients = every["connections"]
    connect, idle, disconnect = (every[phase] for phase in ("connect", "idle", "disconnect"))

    def cpu_us(taken, *phases):
        seconds = sum(taken[phase]["server_cpu_seconds"] for phase in phases)
        return seconds * 1e6 / taken["connections"]

    cpu = cpu_us(every, "connect", "disconnect")
    rss = every["rss_kib"]
    return {
        "kib_per_client": (rss["idle"] - rss["before"]) / clients,
        "idle_cpu_share": idle["server_cpu_seconds"] / idle["seconds"],
        "connect_cpu_us": cpu_us(every, "connect"),
        "disconnect_cpu_us": cpu_us(every, "disconnect"),
        "cpu_us": cpu,
        "cpu_growth": cpu / cpu_us(fifth, "connect", "disconnect"),
        "connects_per_second": clients / connect["seconds"],
        "disconnects_per_second": clients / disconnect["seconds"],
        "generator_cpu_share": connect["generator_cpu_seconds"] / connect["seconds"],
        "every": every,
        "fifth": fifth,
    }


def run(
    rounds,
    clients,
    idle_seconds,
    sides=SIDES,
    loop=LOOP,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=print,
):
    """Measures the sides and returns the record."""
    load.check_cores(cores)
    load.allow_clients(max(clients, WARMUP_CLIENTS))
    load.build_loadgen()
    jobs = peers.jobs(sides, (loop,))
    taken = {job: [] for job in jobs}
    for number in range(rounds):
        for job in reversed(jobs) if number % 2 else jobs:
            progress(f"round {number + 1} of {rounds}: {job[0]} on {job[1]} ...")
            fifth = wave(*job, max(clients // 5, 1), 0, cores)
            every = wave(*job, clients, idle_seconds, cores)
            taken[job].append(figures(every, fifth))
    return {
        "kind": "memory",
        **peers.environment(sides),
        "settings": {
            "rounds": rounds,
            "clients": clients,
            "idle_seconds": idle_seconds,
            "connecting": CONNECTING,
            "cores": list(cores),
        },
        "results": [
            {"side": side, "loop": loop, **load.summary(measured, FIGURES)}
            for (side, loop), measured in taken.items()
        ],
    }
