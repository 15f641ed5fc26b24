"""`python -m benchmarks churn`: clients that connect, send an event, get its ack, and leave.

A server starts and is warmed up by a wave of such clients. Then all clients come, at most 100 under
way at a time; when everybody has got its ack, all leave. Then the same server, started anew, gets a
fifth of the clients: what one costs there tells whether the cost is linear in their number. CPU of
coming and of leaving counts until the server has become quiet.

WebSocket: the handshake, CONNECT, the event; a close frame of everybody at once. Polling: three
GETs and two POSTs on one connection, which is closed then; the Engine.IO packet `1` by a POST on
another, at most 100 at a time.
"""

from typing import NamedTuple

from . import crowd, load, peers, records
from .crowd import LOOP


class Load(NamedTuple):
    options: tuple[str, ...]  # of load generator and server
    sides: tuple[str, ...]
    share: float  # of the clients: those that poll have to leave before they are pinged


LOADS = {
    "WebSocket": Load((), crowd.SIDES, 1.0),
    "polling": Load(("--polling",), ("direct", "upstream", "node"), 0.4),
}
SIDES = crowd.SIDES
FIGURES = (
    "cpu_us",  # of both:
    "connect_cpu_us",
    "disconnect_cpu_us",
    "cpu_growth",  # of both, over the same with a fifth of the clients
    "connects_per_second",
    "disconnects_per_second",
    "generator_cpu_share",  # of the time of connecting
)


def cpu_us(taken, *phases):
    seconds = sum(taken[phase]["server_cpu_seconds"] for phase in phases)
    return seconds * 1e6 / taken["connections"]


def figures(every, fifth):
    """The figures of a round from its two waves, which are kept beside them."""
    clients = every["connections"]
    connect, disconnect = every["connect"], every["disconnect"]
    cpu = cpu_us(every, "connect", "disconnect")
    return {
        "cpu_us": cpu,
        "connect_cpu_us": cpu_us(every, "connect"),
        "disconnect_cpu_us": cpu_us(every, "disconnect"),
        "cpu_growth": cpu / cpu_us(fifth, "connect", "disconnect"),
        "connects_per_second": clients / connect["seconds"],
        "disconnects_per_second": clients / disconnect["seconds"],
        "generator_cpu_share": connect["generator_cpu_seconds"] / connect["seconds"],
        "every": every,
        "fifth": fifth,
    }


def jobs_of(sides, loop):
    """[(side, loop, load)], those of a load one after the other."""
    return [
        (side, own_loop, name)
        for name, load_ in LOADS.items()
        for side, own_loop in peers.jobs(sides, (loop,))
        if side in load_.sides
    ]


def clients_of(name, clients):
    """How many of the clients a load has."""
    return max(round(LOADS[name].share * clients), 1)


def expected_seconds(rounds, clients, sides=SIDES):
    """How long a run should take: two waves for each job."""
    waves = (1.2 * clients_of(name, clients) * crowd.EACH for *_, name in jobs_of(sides, LOOP))
    return rounds * sum(2 * (load.START + crowd.QUIET) + seconds for seconds in waves)


def run(
    rounds,
    clients,
    sides=SIDES,
    loop=LOOP,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
):
    """Measures the sides and returns the record."""
    crowd.prepare(clients, cores)
    sides, absent = peers.present(sides)

    def one(job):
        side, own_loop, name = job
        many = clients_of(name, clients)
        fifth, every = (
            crowd.wave(side, own_loop, number, 0, cores, load.EVENTS, LOADS[name].options)
            for number in (max(many // 5, 1), many)
        )
        return figures(every, fifth)

    taken = crowd.measure(rounds, jobs_of(sides, loop), progress, one)
    settings = {"rounds": rounds, "clients": clients, "cores": list(cores)}
    results = [
        {"side": side, "loop": own_loop, "load": name, **load.summary(measured, FIGURES)}
        for (side, own_loop, name), measured in taken.items()
    ]
    return crowd.record("churn", sides, absent, settings, results)
