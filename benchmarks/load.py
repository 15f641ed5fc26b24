"""Servers under load: starts a server, runs the load generator against it, sums rounds up."""

import json
import os
import resource
import select
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import peers, records

LOADGEN = records.ROOT / "build" / "toolboxsio-loadgen"
EVENT = Path(__file__).parent / "payloads" / "event.json"
ACK = '[{"ok":true,"type":"progress_update","ts":"2'
EVENTS = ("--payload", EVENT, "--expect", ACK)  # what the generator sends and gets
SERVER_CORE, GENERATOR_CORE = 0, 1
START_SECONDS = 30
STOP_SECONDS = 10
OTHER_FILES = 100  # that a process has open besides the sockets of its clients


def build_loadgen():
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_loadgen"], cwd=records.ROOT, check=True
    )


def check_cores(cores):
    if not {core for core in cores if core is not None} <= os.sched_getaffinity(0):
        raise SystemExit(f"server and load generator need the cores {cores}")


def allow_clients(clients):
    """Lets server and load generator, which inherit the limit, open the sockets of so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = clients + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY:
        hard = max(hard, needed)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError) as problem:
        raise SystemExit(
            f"{clients} clients need {needed} open files in the server and in the load generator, "
            f"and the limit cannot be raised so far ({problem}): see ulimit -Hn, or --clients"
        ) from None


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@contextmanager
def server(side, loop, core=None, options=()):
    """A running server: (pid, port). What it says on stderr is an error."""
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            peers.command(side, loop, core, options),
            cwd=records.ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        line = ""
        try:
            readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            line = process.stdout.readline() if readable else ""
            if line:
                yield process.pid, json.loads(line)["port"]
        finally:
            stop(process)
            stderr.seek(0)
            said = stderr.read()
            if said or not line:  # tells more than what the load generator found
                raise RuntimeError(f"the {side} server on {loop} said:\n{said}")


def generate(pid, port, *options, core=None):
    """One run of the load generator: what it printed."""
    command = [LOADGEN, "--port", port, "--server-pid", pid]
    if core is not None:
        command += ["--core", core]
    done = subprocess.run(
        [str(part) for part in (*command, *options)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def summary(rounds, figures):
    """The record of one thing that was measured in every round."""
    return {
        "n": len(rounds),
        "median": {key: statistics.median(taken[key] for taken in rounds) for key in figures},
        "min": {key: min(taken[key] for taken in rounds) for key in figures},
        "rounds": rounds,
    }
