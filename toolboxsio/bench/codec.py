"""The codec alone, function by function, in one process.

All sides do the same case in turn, one short sample each, and change their order all the time; a
sample is long enough that the clock does not count. A round is several samples of every side, and
its figure the median of their CPU time. The garbage collector stays on, as in a server. Before a
case is timed its results are compared: ours is equal to upstream's, byte for byte where it is text;
orjson spells JSON in another way and has to mean the same.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any

from .codecs import CODECS, meaning

EVENT, ACK = 2, 3
DOCUMENT_18K = ("document_18k", "document, 18 KB")


def identity(value: Any) -> Any:
    return value


def timeless(ack: dict[str, Any]) -> dict[str, Any]:
    """An ack without the moment that it was made."""
    return {**ack, "ts": type(ack["ts"])}


class Case:
    """One thing that every side does: a method, its arguments, and when results are the same."""

    def __init__(
        self,
        name: str,
        label: str,
        method: str,
        *args: Any,
        same: Callable[[Any], Any] = identity,
        spelling: bool = True,
        **fields: Any,
    ) -> None:
        self.name = name
        self.label = label
        self.method = method
        self.args = args
        self.fields = fields
        self.same = same  # what is compared
        self.spelling = spelling  # ours and upstream's have to be equal before `same` too

    def call(self, side: str) -> Callable[[], Any]:
        return partial(getattr(CODECS[side], self.method), *self.args, **self.fields)

    def check(self) -> None:
        results = {side: self.call(side)() for side in CODECS}
        for side in ("ours", "core"):
            if self.spelling and results[side] != results["upstream"]:
                raise AssertionError(f"{self.name}: {side} is not what upstream gives")
        for side, result in results.items():
            if self.same(result) != self.same(results["upstream"]):
                raise AssertionError(f"{self.name}: {side} means something else than upstream")


def packet(text: str, packet_id: int | str = "") -> str:
    """An event with one argument, whose JSON is the text."""
    return f'42{packet_id}["message",{text}]'


def event_cases(text: str) -> Iterator[Case]:
    """An event as it comes, and the acknowledgement that it gets."""
    ack = {"ok": True, "type": "progress_update", "ts": "2025-09-11T21:00:00.123456+00:00"}
    yield Case("event.decode", "event, 214 bytes: decode", "decode", packet(text, 12))
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


def value_cases(name: str, label: str, text: str) -> Iterator[Case]:
    """A value by itself."""
    value = json.loads(text)
    yield Case(f"{name}.dumps", f"{label}: dumps", "dumps", value, same=meaning)
    yield Case(f"{name}.loads", f"{label}: loads", "loads", text)


def document_cases(name: str, label: str, text: str) -> Iterator[Case]:
    """A value by itself and in an event."""
    yield from value_cases(name, label, text)
    args = ["message", json.loads(text)]
    yield Case(f"{name}.encode", f"{label}: event encode", "encode", EVENT, args, same=meaning)
    yield Case(f"{name}.decode", f"{label}: event decode", "decode", packet(text))


def sample(call: Callable[[], Any], loops: int) -> tuple[float, float]:
    """Wall and CPU time of one call, in nanoseconds."""
    turns = repeat(None, loops)
    cpu = time.process_time_ns()
    wall = time.perf_counter_ns()
    for _ in turns:
        call()
    wall = time.perf_counter_ns() - wall
    cpu = time.process_time_ns() - cpu
    return wall / loops, cpu / loops


def calibrate(call: Callable[[], Any], seconds: float) -> int:
    """How many calls take about the given time."""
    loops = 1
    while (wall := sample(call, loops)[0]) * loops < seconds * 1e9 / 4:
        loops *= 2
    return max(1, round(seconds * 1e9 / wall))


def measure(
    case: Case, rounds: int, samples: int, seconds: float, sides: Sequence[str] = tuple(CODECS)
) -> dict[str, Any]:
    """The figures of every side for one case."""
    calls = {side: case.call(side) for side in sides}
    loops = {side: calibrate(call, seconds) for side, call in calls.items()}
    taken: dict[str, list[list[tuple[float, float]]]] = {side: [] for side in sides}
    order = list(sides)
    for _ in range(rounds):
        for of_side in taken.values():
            of_side.append([])
        for _ in range(samples):
            for side in order:
                taken[side][-1].append(sample(calls[side], loops[side]))
            order.append(order.pop(0))
    figures = {}
    for side, of_side in taken.items():
        walls = [wall for one in of_side for wall, _ in one]
        medians = [round(statistics.median(cpu for _, cpu in one), 1) for one in of_side]
        figures[side] = {
            "n": rounds,
            "samples": samples,
            "loops": loops[side],
            "median_ns": round(statistics.median(walls), 1),
            "min_ns": round(min(walls), 1),
            "cpu_median_ns": round(statistics.median(medians), 1),
            "rounds": medians,
        }
    return figures


def run(
    cases: Sequence[Case],
    rounds: int,
    samples: int,
    seconds: float,
    progress: Callable[[str, int, int], object],
    sides: Sequence[str] = tuple(CODECS),
) -> list[dict[str, Any]]:
    """Measures the cases and returns the results of a record."""
    for case in cases:
        case.check()
    gc.collect()
    gc.freeze()
    results = []
    try:
        for number, case in enumerate(cases):
            progress(case.label, number, len(cases))
            figures = measure(case, rounds, samples, seconds, sides)
            results.append({"case": case.name, "label": case.label, "sides": figures})
    finally:
        gc.unfreeze()
    return results
