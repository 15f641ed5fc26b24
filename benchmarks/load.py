"""Servers under load: starts a server, runs the load generator against it, sums rounds up."""

import json
import os
import resource
import statistics
import subprocess
import sys

from toolboxsio.bench import process

from . import peers, records
from .peers import EVENT

LOADGEN = records.ROOT / "build" / "toolboxsio-loadgen"
ACK = '[{"ok":true,"type":"progress_update","ts":"2'
EVENTS = ("--payload", EVENT, "--expect", ACK)  # what the generator sends and gets
SERVER_CORE, GENERATOR_CORE = 0, 1
OTHER_FILES = 100  # that a process has open besides the sockets of its clients
START = 1.0  # seconds that a server and a generator need besides what is measured


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


def server(side, loop, core=None, options=(), logs=False):
    """A running server, for `with`: (pid, port). What it says on stderr is an error.

    :param logs: it may log there.
    """
    command = peers.command(side, loop, core, options)
    return process.running(command, f"{side} on {loop}", records.ROOT, logs)


def generate(pid, port, *options, core=None):
    """One run of the load generator: what it printed."""
    command = [LOADGEN, "--port", port, "--server-pid", pid]
    if core is not None:
        command += ["--core", core]
    done = subprocess.run(
        [str(part) for part in (*command, *options)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def in_turn(rounds, jobs):
    """(round, job) of all rounds: the jobs one after the other, every other round backwards."""
    for number in range(rounds):
        for job in reversed(jobs) if number % 2 else jobs:
            yield number, job


def summary(rounds, figures):
    """The record of one thing that was measured in every round."""
    return {
        "n": len(rounds),
        "median": {key: statistics.median(taken[key] for taken in rounds) for key in figures},
        "min": {key: min(taken[key] for taken in rounds) for key in figures},
        "rounds": rounds,
    }
