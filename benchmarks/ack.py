"""`python -m benchmarks ack`: events answered by a real uvicorn server.

Server and load generator are processes with a core each. In each round every server is started
anew, ours and upstream's in turn, and gets three loads over 50 WebSockets: 1 and 16 events in
flight a client, and then half the rate that it has just reached with 16, on a fixed schedule: the
latencies at that load are those to look at. CPU is the server's user and system time in the
measured seconds over the acks of these seconds.
"""

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import records
from .server import LOOPS, SIDES

LOADGEN = records.ROOT / "build" / "toolboxsio-loadgen"
EVENT = Path(__file__).parent / "payloads" / "event.json"
ACK = '[{"ok":true,"type":"progress_update","ts":"2'
SERVER_CORE, GENERATOR_CORE = 0, 1
START_SECONDS = 30
STOP_SECONDS = 10
CLIENTS = 50
LOADS = ("1 in flight", "16 in flight", "half of saturation")
FIGURES = ("server_cpu_us_per_ack", "acks_per_second", "p50_us", "p99_us", "generator_cpu_share")


def build_loadgen():
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_loadgen"], cwd=records.ROOT, check=True
    )


@contextmanager
def server(side, loop, core=None):
    """A running server: (pid, port). What it says on stderr is an error."""
    command = [sys.executable, "-m", "benchmarks.server", "--side", side, "--loop", loop]
    if core is not None:
        command += ["--core", str(core)]
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            command, cwd=records.ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        try:
            readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            line = process.stdout.readline() if readable else ""
            if line:
                yield process.pid, json.loads(line)["port"]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        stderr.seek(0)
        said = stderr.read()
        if said or not line:
            raise RuntimeError(f"the {side} server on {loop} said:\n{said}")


def generate(pid, port, *options, core=None):
    """One run of the load generator: what it printed."""
    command = [LOADGEN, "--port", port, "--server-pid", pid, "--payload", EVENT, "--expect", ACK]
    if core is not None:
        command += ["--core", core]
    done = subprocess.run(
        [str(part) for part in (*command, *options)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def loads(pid, port, seconds, warmup, core):
    """The three loads of one round on one server."""
    common = ("--connections", CLIENTS, "--seconds", seconds, "--warmup", warmup)
    one = generate(pid, port, *common, "--in-flight", 1, core=core)
    many = generate(pid, port, *common, "--in-flight", 16, core=core)
    rate = round(many["acks_per_second"] / 2)
    half = generate(pid, port, *common, "--rate", rate, core=core)
    return dict(zip(LOADS, (one, many, half), strict=True))


def summary(rounds):
    return {
        "n": len(rounds),
        "median": {key: statistics.median(taken[key] for taken in rounds) for key in FIGURES},
        "min": {key: min(taken[key] for taken in rounds) for key in FIGURES},
        "rounds": rounds,
    }


def run(
    rounds,
    seconds,
    warmup,
    loops=LOOPS,
    cores=(SERVER_CORE, GENERATOR_CORE),
    progress=print,
):
    """Measures every side on every loop and returns the record."""
    if not {core for core in cores if core is not None} <= os.sched_getaffinity(0):
        raise SystemExit(f"server and load generator need the cores {cores}")
    build_loadgen()
    taken = {(loop, load, side): [] for loop in loops for load in LOADS for side in SIDES}
    order = list(SIDES)
    for number in range(rounds):
        for loop in loops:
            for side in order:
                progress(f"round {number + 1} of {rounds}: {side} on {loop} ...")
                with server(side, loop, cores[0]) as (pid, port):
                    measured = loads(pid, port, seconds, warmup, cores[1])
                for load, figures in measured.items():
                    taken[loop, load, side].append(figures)
        order.reverse()
    return {
        "kind": "ack",
        **records.environment(),
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "warmup": warmup,
            "clients": CLIENTS,
            "cores": list(cores),
        },
        "results": [
            {
                "loop": loop,
                "load": load,
                "sides": {side: summary(taken[loop, load, side]) for side in SIDES},
            }
            for loop in loops
            for load in LOADS
        ],
    }
