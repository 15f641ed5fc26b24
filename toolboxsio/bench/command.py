"""`toolboxsio bench`: how much faster is it here, in two minutes and from the package alone."""

import argparse
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import toolboxsio

from . import PAYLOADS, environment, ratios
from .peers import LOOPS, RATIOS, SIDES
from .progress import Course, say

CODEC_SIDES = {"ours": "direct", "upstream": "upstream", "orjson": "orjson"}
HEADS = {  # of the columns of sides
    "direct": "toolboxsio",
    "asgi": "through ASGI",
    "upstream": "python-socketio",
    "orjson": "with orjson",
}
SAMPLES, SAMPLE_SECONDS = 4, 0.01
START = 1.5  # seconds that a server takes to start, connect and stop
NEEDED = ("orjson", "uvicorn", "httptools", "websockets")


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, metavar="FILE", help="write the record to FILE")
    command.add_argument("--rounds", type=int, default=5, help="of all sides (5)")
    command.add_argument(
        "--seconds", type=float, default=0.7, help="measured for each load of a server (0.7)"
    )
    command.add_argument("--loop", choices=LOOPS, help="default: uvloop where it is installed")


def is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def problem() -> str | None:
    """Why nothing can be measured, or None."""
    if os.name != "posix":
        return "servers are measured on POSIX systems alone"
    if not toolboxsio.ACCELERATED:
        return "toolboxsio is not accelerated: toolboxsio doctor"
    absent = [name for name in NEEDED if not is_there(name)]
    if absent:
        return f"not installed: {', '.join(absent)}: pip install 'toolboxsio[bench]'"
    return None


def codec_rows(rounds: int, course: Course) -> list[dict[str, Any]]:
    from . import codec

    texts = {name: (PAYLOADS / f"{name}.json").read_text() for name in ("event", "document_18k")}
    cases = [
        *codec.event_cases(texts["event"]),
        *codec.document_cases(*codec.DOCUMENT_18K, texts["document_18k"]),
    ]
    results = codec.run(cases, rounds, SAMPLES, SAMPLE_SECONDS, course, tuple(CODEC_SIDES))
    return [
        {
            "label": result["label"],
            "sides": {
                CODEC_SIDES[side]: {
                    "median_us": figures["cpu_median_ns"] / 1000,
                    "rounds_us": [one / 1000 for one in figures["rounds"]],
                }
                for side, figures in result["sides"].items()
            },
        }
        for result in results
    ]


def load_rows(rounds: int, seconds: float, loop: str, course: Course) -> list[dict[str, Any]]:
    import statistics

    from . import load

    core, own = load.cores()
    taken: dict[str, dict[str, list[Any]]] = {
        name: {side: [] for side in SIDES} for name in load.LOADS
    }
    before = os.sched_getaffinity(0) if own is not None else None
    try:
        if own is not None:
            os.sched_setaffinity(0, {own})
        for number in range(rounds):
            sides = list(SIDES)[:: -1 if number % 2 else 1]
            for at, side in enumerate(sides):
                done = number * len(sides) + at
                course(f"round {number + 1}, {SIDES[side].label}", done, rounds * len(sides))
                for name, figures in load.run(side, loop, seconds, core).items():
                    taken[name][side].append(figures)
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    return [
        {
            "label": name,
            "sides": {
                side: {
                    "median_us": statistics.median(one["server_cpu_us"] for one in figures),
                    "rounds_us": [one["server_cpu_us"] for one in figures],
                    "per_second": statistics.median(one["per_second"] for one in figures),
                }
                for side, figures in sides_of.items()
            },
        }
        for name, sides_of in taken.items()
    ]


def run(rounds: int, seconds: float, loop: str, say: Callable[[str], None] = say) -> dict[str, Any]:
    """Measure everything; the record."""
    per_server = START + 3 * seconds * 1.25
    course = Course(
        {
            "codec": 7 * len(CODEC_SIDES) * (rounds * SAMPLES + 2) * SAMPLE_SECONDS,
            "servers": rounds * len(SIDES) * per_server,
        },
        say,
    )
    course.begin("codec")
    codec = codec_rows(rounds, course)
    course.begin("servers")
    servers = load_rows(rounds, seconds, loop, course)
    return {
        "kind": "bench",
        **environment.environment(),
        "configurations": {side: SIDES[side].configuration for side in SIDES},
        "settings": {"rounds": rounds, "seconds": seconds, "loop": loop},
        "results": [*codec, *servers],
    }


def report(record: dict[str, Any]) -> list[str]:
    """Lines for a terminal."""
    pairs = [pair for pair in RATIOS if set(pair) <= set(SIDES)]
    rows = []
    for result in record["results"]:
        sides = result["sides"]
        cells = [f"{sides[s]['median_us']:.2f}" if s in sides else ratios.NOTHING for s in HEADS]
        for ours, theirs in pairs:
            cells.append(
                ratios.spread(sides[ours]["rounds_us"], sides[theirs]["rounds_us"])
                if ours in sides and theirs in sides
                else ratios.NOTHING
            )
        rows.append([result["label"], *cells])
    heads = [
        "µs of CPU",
        *HEADS.values(),
        *(f"{HEADS[ours]} : {HEADS[theirs]}" for ours, theirs in pairs),
    ]
    versions = ", ".join(f"{name} {found}" for name, found in record["versions"].items())
    settings = record["settings"]
    return [
        *ratios.aligned(heads, rows),
        "",
        "Microseconds of CPU: of a call, or of a server for an acknowledgement or a delivery.",
        f"Ratios: the median of {settings['rounds']} rounds, and the lowest and highest of them.",
        f"{environment.machine(record)}; {record['platform']}.",
        f"Python {record['python']}, {settings['loop']}; {versions}.",
        *(f"{HEADS[side]}: {record['configurations'][side]}." for side in HEADS),
        "Not covered: memory, Redis, Node, a load that keeps the server busy all the time:",
        "python -m benchmarks all, in a source checkout.",
    ]


def main(args: argparse.Namespace) -> int:
    reason = problem()
    if reason is not None:
        say(f"toolboxsio bench: {reason}")
        return 1
    loop = args.loop or ("uvloop" if is_there("uvloop") else "asyncio")
    record = run(args.rounds, args.seconds, loop)
    print("\n".join(report(record)))
    if args.json is not None:
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0
