"""`python -m benchmarks fairness`: the round trips of honest clients beside one that floods.

20 honest clients send an event each 20 ms on a fixed schedule and get its ack, first alone and then
beside a flood of floods.py, on a server that was started for it. They are the load generator, the
flood is a process below its priority on the same core, and the server has the other core. A round
trip counts from when the event was due; all that were due during the flood count, also those that
are answered after its end. The worst of ours may be three times the worst of python-socketio
beside the same flood, and not more than MAX_MS; below NOISE_MS nothing is told apart.
"""

import json
import select
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

from . import broker, load, peers, records
from .flooder import NICE
from .floods import FLOODS

SIDES = ("direct-http", "asgi", "upstream", "node")
OURS, BASE = ("direct-http", "asgi"), "upstream"
LOOP = "uvloop"
CLIENTS = 20
RATE = 50 * CLIENTS  # events a second over all of them
ROUNDS, SECONDS = 3, 1.0
QUICK_SECONDS = 0.5
QUIET = 0.3  # seconds that are measured without a flood
AFTER = 0.1  # and after the flood
SILENCE = 90  # seconds after which a server that answers nothing has failed
MAX_MS = 250
TIMES = 3
NOISE_MS = 25
FIGURES = ("p50_ms", "p99_ms", "worst_ms", "quiet_p99_ms", "quiet_worst_ms", "handled")
HONEST = (*load.EVENTS, "--connections", CLIENTS, "--rate", RATE, "--silence", SILENCE)


def line_of(process, seconds):
    """The next line of a process; RuntimeError when none comes."""
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise RuntimeError(f"{process.args[0]} says nothing, status {process.poll()}")
    return line.decode().strip()


@contextmanager
def started(words, **options):
    """A process whose lines are read, for `with`; it is ended with the block."""
    process = subprocess.Popen(  # without a buffer: select() sees what is not read yet
        [str(word) for word in words], stdout=subprocess.PIPE, bufsize=0, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def flooder(name, port, redis, seconds, core):
    """A flood that waits for a line: see flooder.py."""
    words = [sys.executable, "-m", "benchmarks.flooder", name, "--port", port, "--seconds", seconds]
    words += [] if redis is None else ["--redis", redis]
    words += [] if core is None else ["--core", core]
    return started(words, stdin=subprocess.PIPE, cwd=records.ROOT)


def honest(pid, port, seconds, core):
    """The honest clients, which tell when they begin and then what they measured."""
    words = [load.LOADGEN, "--port", port, "--server-pid", pid, *HONEST, "--announce"]
    words += ["--warmup", 0.1, "--seconds", seconds]
    words += [] if core is None else ["--core", core]
    return started(words, stderr=subprocess.PIPE)


def say(process):
    process.stdin.write(b"\n")


def beside(pid, port, name, redis, seconds, core):
    """What honest clients measured beside a flood, and what it was."""
    with (
        flooder(name, port, redis, seconds, core) as flood,
        honest(pid, port, seconds + AFTER, core) as clients,
    ):
        line_of(flood, load.START * 30)
        assert line_of(clients, SILENCE) == "measuring"
        say(flood)
        begun = time.monotonic()
        out, error = clients.communicate(timeout=2 * SILENCE)
        if clients.returncode != 0:
            return {"failed": error.decode().strip(), "seconds": time.monotonic() - begun}, {}
        line_of(flood, SILENCE)  # "over"
        say(flood)
        return json.loads(out), json.loads(line_of(flood, SILENCE))


def milliseconds(taken, prefix=""):
    """p50, p99 and worst of honest clients; when they were failed, the time until then."""
    if "failed" in taken:
        return dict.fromkeys((prefix + key for key in FIGURES[:3]), taken["seconds"] * 1e3)
    names = {"p50_ms": "p50_us", "p99_ms": "p99_us", "worst_ms": "max_us"}
    return {prefix + name: taken[key] / 1e3 for name, key in names.items()}


def alone(pid, port, seconds, core):
    """What honest clients measured without a flood."""
    return load.generate(pid, port, *HONEST, "--warmup", 0.1, "--seconds", seconds, core=core)


def measure(side, loop, name, seconds, cores, quiet=QUIET):
    """One flood on a server of its own: the figures of a round."""
    with ExitStack() as stack:
        options = ["--flooded"] + (["--transport", "upgrade"] if side == "node" else [])
        redis = None
        if FLOODS[name].redis:
            redis = stack.enter_context(broker.running(cores[1], NICE))
            with broker.client(redis) as asked:
                asked.config_set("client-output-buffer-limit", "pubsub 0 0 0")
            options += ["--redis", broker.url(redis)]
        pid, port = stack.enter_context(load.server(side, loop, cores[0], options, logs=True))
        before = alone(pid, port, quiet, cores[1])
        if redis is not None:
            broker.wait_for_subscribers(redis, 1)
        taken, flood = beside(pid, port, name, redis, seconds, cores[1])
    return {
        **milliseconds(taken),
        **milliseconds(before, "quiet_"),
        "handled": flood.get("handled", 0),
        "honest": taken,
        "flood": flood,
    }


def jobs_of(floods, sides, loop):
    """[(side, loop, flood)]: the sides of a flood one after the other."""
    return [
        (side, own_loop, name)
        for name in floods
        for side, own_loop in peers.jobs(sides, (loop,))
        if side in FLOODS[name].sides
    ]


def expected_seconds(rounds, seconds, floods=tuple(FLOODS), sides=SIDES):
    jobs = jobs_of(floods, sides, LOOP)
    measured = sum(1 if side == "node" else rounds for side, *_ in jobs)
    return measured * (load.START + QUIET + seconds + 0.7)


def run(
    rounds,
    seconds,
    floods=tuple(FLOODS),
    sides=SIDES,
    loop=LOOP,
    cores=(load.SERVER_CORE, load.GENERATOR_CORE),
    progress=records.no_progress,
):
    """Measures the sides beside the floods and returns the record."""
    unknown = [name for name in floods if name not in FLOODS]
    if unknown:
        raise SystemExit(f"no such flood: {', '.join(unknown)}; there are {', '.join(FLOODS)}")
    load.check_cores(cores)
    load.build_loadgen()
    sides, absent = peers.present(sides)
    without = broker.missing()
    if without is not None:
        absent |= {name: without for name in floods if FLOODS[name].redis}
        floods = tuple(name for name in floods if not FLOODS[name].redis)
    jobs = jobs_of(floods, sides, loop)
    taken = {job: [] for job in jobs}
    for step, (number, job) in enumerate(load.in_turn(rounds, jobs)):
        if job[0] == "node" and number > 0:
            continue  # for orientation: it takes no part in the bounds
        progress(f"round {number + 1}, {job[2]}, {job[0]} on {job[1]}", step, rounds * len(jobs))
        taken[job].append(measure(*job, seconds, cores))
    return {
        "kind": "fairness",
        **peers.environment(sides, absent),
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "clients": CLIENTS,
            "rate": RATE,
            "cores": list(cores),
        },
        "results": [
            {
                "side": side,
                "loop": own_loop,
                "load": name,
                "label": FLOODS[name].label,
                **load.summary(measured, FIGURES),
            }
            for (side, own_loop, name), measured in taken.items()
        ],
    }


def bound(base, is_ours=True):
    """Milliseconds that the worst of ours may be, beside that of python-socketio, if measured.

    :param is_ours: whether that it takes long can be our doing.
    """
    if base is None:
        return MAX_MS
    allowed = max(TIMES * base, NOISE_MS)
    return min(allowed, MAX_MS) if is_ours else max(allowed, MAX_MS)


def verdicts(record):
    """[(flood, side, worst, bound)] of ours, in milliseconds."""
    worst = {(r["side"], r["load"]): r["median"]["worst_ms"] for r in record["results"]}
    return [
        (name, side, taken, bound(worst.get((BASE, name)), side not in FLOODS[name].theirs))
        for (side, name), taken in worst.items()
        if side in OURS
    ]


def verdict_lines(record):
    """A line for each flood and side of ours, and how many are above their bound."""
    told = verdicts(record)
    lines = [
        f"{'ok  ' if worst <= limit else 'OVER'} {name}, {side}: "
        f"worst {worst:,.0f} ms, bound {limit:,.0f} ms"
        for name, side, worst, limit in told
    ]
    return lines, sum(worst > limit for *_, worst, limit in told)
