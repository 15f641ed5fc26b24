"""`python -m benchmarks all`: one benchmark after the other, a record of each, and a report.

What cannot be measured here (no Node, no Redis) is named in the report, and the rest goes on.
"""

from typing import Any, NamedTuple

from . import (
    ack,
    broker,
    churn,
    codec,
    crowd,
    emits,
    fairness,
    fanout,
    floods,
    memory,
    peers,
    polling,
    pubsub,
    records,
    rooms,
)
from . import report as reports

CLIENTS = 5000
QUICK_CLIENTS = 200
QUICK = {"rounds": 2, "seconds": 0.2, "warmup": 0.1}
QUICK_FOLDER = records.ROOT / "build" / "benchmarks"


class Part(NamedTuple):
    module: Any
    settings: dict[str, Any]  # of its run() and expected_seconds()


def parts(quick):
    """{kind: Part}, in their order, with the settings of a long or of a quick run."""
    loops = {"loops": peers.LOOPS[:1] if quick else peers.LOOPS}
    usual = QUICK if quick else {"rounds": 5, "seconds": 1.0, "warmup": 0.25}
    short = QUICK if quick else {"rounds": 5, "seconds": 0.5, "warmup": 0.15}
    many = QUICK_CLIENTS if quick else CLIENTS
    settings = {
        "codec": {"rounds": usual["rounds"], "samples": 2 if quick else 6, "seconds": 0.01},
        "ack": {**usual, **loops, "sides": tuple(peers.COMPARED)},
        "polling": {**usual, **loops, "sides": polling.SIDES},
        "fanout": {
            **usual,
            **loops,
            "sides": emits.SIDES,
            "sizes": (10, many) if quick else fanout.SIZES,
        },
        "rooms": {**usual, **loops, "sides": emits.SIDES},
        "redis": {**short, **loops, "sides": pubsub.SIDES},
        "memory": {
            "rounds": QUICK["rounds"] if quick else 3,
            "clients": many,
            "idle_seconds": 1.0 if quick else 30.0,
            "sides": crowd.SIDES,
        },
        "churn": {"rounds": 1 if quick else 5, "clients": many, "sides": churn.SIDES},
        "fairness": {
            "rounds": 1 if quick else fairness.ROUNDS,
            "seconds": fairness.QUICK_SECONDS if quick else fairness.SECONDS,
            "floods": floods.QUICK if quick else tuple(floods.FLOODS),
            "sides": fairness.SIDES,
        },
    }
    modules = (codec, ack, polling, fanout, rooms, pubsub, memory, churn, fairness)
    return {
        kind: Part(module, settings[kind]) for kind, module in zip(settings, modules, strict=True)
    }


def missing(kind):
    """Why a benchmark cannot be made here, or None."""
    return broker.missing() if kind == "redis" else None


def run(chosen, cores, folder, course, say):
    """Measures the parts {kind: Part}, writes their records, and returns the lines of a report."""
    made, absent = {}, {}
    for kind, part in chosen.items():
        course.begin(kind)
        reason = missing(kind)
        if reason is not None:
            absent[kind] = reason
            say(f"{kind}: not covered: {reason}")
            continue
        pinned = {} if kind == "codec" else {"cores": cores}
        record = part.module.run(**part.settings, **pinned, progress=course)
        path = folder / f"{kind}.json"
        records.write(path, record)
        made[path] = record
        say(f"record: {path}")
    return reports.lines(made, absent)


def expected(chosen):
    """{kind: seconds} that the parts should take."""
    return {kind: part.module.expected_seconds(**part.settings) for kind, part in chosen.items()}
