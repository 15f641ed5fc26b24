"""`python -m benchmarks codec`: the codec alone, function by function, in one process.

All sides do the same case in turn, one short sample each, and change their order every round; a
sample is long enough (--sample) that the clock does not count. The garbage collector stays on, as
in a server. Before a case is timed its results are compared: ours is equal to upstream's, byte
for byte where it is text; orjson spells JSON in another way and has to mean the same.
"""

import gc
import json
import os
import statistics
import time
from functools import partial
from itertools import repeat
from pathlib import Path

from . import records
from .sides import SIDES, meaning

PAYLOADS = Path(__file__).parent / "payloads"
EVENT, ACK = 2, 3


def identity(value):
    return value


def timeless(ack):
    """An ack without the moment that it was made."""
    return {**ack, "ts": type(ack["ts"])}


class Case:
    """One thing that every side does: a method, its arguments, and when results are the same."""

    def __init__(self, name, label, method, *args, same=identity, spelling=True, **fields):
        self.name = name
        self.label = label
        self.method = method
        self.args = args
        self.fields = fields
        self.same = same  # what is compared
        self.spelling = spelling  # ours and upstream's have to be equal before `same` too

    def call(self, side):
        return partial(getattr(SIDES[side], self.method), *self.args, **self.fields)

    def check(self):
        results = {side: self.call(side)() for side in SIDES}
        for side in ("ours", "core"):
            if self.spelling and results[side] != results["upstream"]:
                raise AssertionError(f"{self.name}: {side} is not what upstream gives")
        for side, result in results.items():
            if self.same(result) != self.same(results["upstream"]):
                raise AssertionError(f"{self.name}: {side} means something else than upstream")


def cases():
    """Every case, with its payload read."""
    texts = {path.stem: path.read_text("utf-8") for path in sorted(PAYLOADS.glob("*.json"))}
    values = {name: json.loads(text) for name, text in texts.items()}
    blobs = [path.read_bytes() for path in sorted(PAYLOADS.glob("*.bin"))]
    ack = {"ok": True, "type": "progress_update", "ts": "2025-09-11T21:00:00.123456+00:00"}
    yield Case("event.decode", "event, 214 bytes: decode", "decode", packet("event", texts, 12))
    yield Case("ack.encode", "ack: encode", "encode", ACK, [ack], 12, same=meaning)
    yield Case(
        "ack.build",
        "ack: build the dict",
        "ack",
        True,
        type="progress_update",
        same=timeless,
        spelling=False,
    )
    for name, label in {
        "document_18k": "document, 18 KB",
        "document_292k": "document, 292 KB",
        "text": "text in many scripts",
        "floats": "floats",
    }.items():
        yield Case(f"{name}.dumps", f"{label}: dumps", "dumps", values[name], same=meaning)
        yield Case(f"{name}.loads", f"{label}: loads", "loads", texts[name])
        if name.startswith("document"):
            args = ["message", values[name]]
            yield Case(
                f"{name}.encode", f"{label}: event encode", "encode", EVENT, args, same=meaning
            )
            yield Case(f"{name}.decode", f"{label}: event decode", "decode", packet(name, texts))
    binary = ["upload", {"name": "drawing.png", "part": 3, "preview": blobs[0], "data": blobs[1]}]
    encoded = SIDES["upstream"].encode(EVENT, binary, 7)
    yield Case("binary.encode", "2 attachments: encode", "encode", EVENT, binary, 7, same=meaning)
    yield Case("binary.decode", "2 attachments: decode", "decode", encoded)


def packet(name, texts, packet_id=""):
    return f'42{packet_id}["message",{texts[name]}]'


def sample(call, loops):
    """Wall and CPU time of one call, in nanoseconds."""
    turns = repeat(None, loops)
    cpu = time.process_time_ns()
    wall = time.perf_counter_ns()
    for _ in turns:
        call()
    wall = time.perf_counter_ns() - wall
    cpu = time.process_time_ns() - cpu
    return wall / loops, cpu / loops


def calibrate(call, seconds):
    """How many calls take about the given time."""
    loops = 1
    while (wall := sample(call, loops)[0]) * loops < seconds * 1e9 / 4:
        loops *= 2
    return max(1, round(seconds * 1e9 / wall))


def measure(case, rounds, seconds):
    """The figures of every side for one case."""
    calls = {side: case.call(side) for side in SIDES}
    loops = {side: calibrate(call, seconds) for side, call in calls.items()}
    samples = {side: [] for side in SIDES}
    order = list(SIDES)
    for _ in range(rounds):
        for side in order:
            samples[side].append(sample(calls[side], loops[side]))
        order.append(order.pop(0))
    return {
        side: {
            "n": rounds,
            "loops": loops[side],
            "median_ns": round(statistics.median(wall for wall, _ in taken), 1),
            "min_ns": round(min(wall for wall, _ in taken), 1),
            "cpu_median_ns": round(statistics.median(cpu for _, cpu in taken), 1),
        }
        for side, taken in samples.items()
    }


def run(rounds, seconds, only="", core=None, progress=print):
    """Measures every case whose name contains `only` and returns the record."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    chosen = [case for case in cases() if only in case.name]
    if not chosen:
        raise SystemExit(f"no case is called {only!r}")
    for case in chosen:
        case.check()
    gc.collect()
    gc.freeze()
    results = []
    try:
        for case in chosen:
            progress(f"{case.name} ...")
            results.append(
                {
                    "case": case.name,
                    "label": case.label,
                    "sides": measure(case, rounds, seconds),
                }
            )
    finally:
        gc.unfreeze()
    return {
        "kind": "codec",
        **records.environment(),
        "settings": {"rounds": rounds, "sample_seconds": seconds, "core": core},
        "results": results,
    }
