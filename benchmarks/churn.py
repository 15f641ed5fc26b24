"""`python -m benchmarks churn`: clients that connect and leave.

A server starts and is warmed up by a wave of clients that send an event. Then all clients come, at
most 100 under way at a time; when everybody is connected, all leave. Then the same server, started
anew, gets a fifth of the clients: what one costs there tells whether the cost is linear in their
number. CPU of coming and of leaving counts until the server has become quiet. A client has come
when its CONNECT is answered, which is what the time of a connect is.

What clients do is the official JavaScript client's (loadgen/conn.h, loadgen/poll.h). WebSocket: the
handshake, CONNECT; the Socket.IO packet DISCONNECT and a close frame, of everybody at once. Polling
and upgrade: a GET (OPEN), a POST (CONNECT) while a GET waits for its answer, a WebSocket with
`2probe`, `3probe` and `5` while a GET waits, which NOOP answers; they leave as the others. Polling:
the same without the WebSocket; DISCONNECT and the Engine.IO packet `1`, a POST each, at most 100
clients at a time. Whoever polls has two kept connections and sends a browser's headers.
"""

from typing import NamedTuple

from . import crowd, load, peers, records
from .crowd import LOOP


class Load(NamedTuple):
    transport: str
    share: float  # of the clients: those that have sent requests have several sockets


LOADS = {
    "WebSocket": Load("websocket", 1.0),
    "polling and upgrade": Load("upgrade", 0.4),
    "polling": Load("polling", 0.4),
}
SIDES = ("direct-http", "middleware", "upstream", "node-http", "floor")
TIMES = ("connect_p50_us", "connect_p99_us")
FIGURES = (
    "cpu_us",  # of both:
    "connect_cpu_us",
    "disconnect_cpu_us",
    "cpu_growth",  # of both, over the same with a fifth of the clients
    "connects_per_second",
    "disconnects_per_second",
    *TIMES,
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
        **{key: every[key] for key in TIMES},
        "generator_cpu_share": connect["generator_cpu_seconds"] / connect["seconds"],
        "every": every,
        "fifth": fifth,
    }


def jobs_of(sides, loop):
    """[(side, loop, load)], those of a load one after the other."""
    return [(*job, name) for name in LOADS for job in peers.jobs(sides, (loop,))]


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
    sockets = (crowd.SOCKETS[LOADS[name].transport] * clients_of(name, clients) for name in LOADS)
    crowd.prepare(max(sockets), cores)
    sides, absent = peers.present(sides)

    def one(job):
        side, own_loop, name = job
        many = clients_of(name, clients)
        fifth, every = (
            crowd.wave(side, own_loop, number, 0, cores, LOADS[name].transport)
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
