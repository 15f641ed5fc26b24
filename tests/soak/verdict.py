"""What is made of a soak: reasons why it has failed, from its report alone."""

import statistics
from typing import Any

#: By how much the memory of a server may grow between the second quarter of the time after the
#: warm-up and the last one, in bytes. In the 20 minutes with 2,000 clients that is half a million
#: events and 10,000 connections of each server: a leak of 8 bytes an event, or of 400 bytes a
#: connection, is over it.
GROWTH = 4 << 20
#: What is there again when all have gone, but for so many: the connection that asks and Redis's.
STEADY = {"tasks": 2, "descriptors": 4}
#: Samples in a quarter without which the memory says nothing.
FEWEST = 3

Samples = list[tuple[float, int]]


def quarters(samples: Samples, warm_up: float) -> list[list[int]]:
    """The values after the warm-up in four equal parts of the time."""
    late = [(t, value) for t, value in samples if t >= warm_up]
    if not late:
        return [[], [], [], []]
    begin, end = late[0][0], late[-1][0]
    parts: list[list[int]] = [[], [], [], []]
    for t, value in late:
        parts[min(3, int(4 * (t - begin) / ((end - begin) or 1)))].append(value)
    return parts


def growth(samples: Samples, warm_up: float) -> float | None:
    """The median of the last quarter over that of the second; None: too few samples."""
    parts = quarters(samples, warm_up)
    if min(len(parts[1]), len(parts[3])) < FEWEST:
        return None
    return statistics.median(parts[3]) - statistics.median(parts[1])


def of_memory(servers: dict[str, Samples], warm_up: float, most: float) -> list[str]:
    found = []
    for name, samples in servers.items():
        grown = growth(samples, warm_up)
        if grown is None:
            found.append(f"memory of {name}: too few samples")
        elif grown > most:
            found.append(f"memory of {name} grows: {grown / (1 << 20):.1f} MiB")
    return found


def of_clients(wrong: dict[str, int], examples: dict[str, list[str]]) -> list[str]:
    return [f"clients: {what}, {n} times: {examples.get(what)}" for what, n in wrong.items() if n]


def of_logs(logs: dict[str, list[str]]) -> list[str]:
    return [
        f"log of {name}: {len(lines)} lines: {lines[:5]}" for name, lines in logs.items() if lines
    ]


def of_rest(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What servers keep of clients that have gone."""
    found = []
    for name, kept in after.items():
        left = {table: size for table, size in kept["tables"].items() if size}
        left |= {
            what: kept[what] for what in STEADY if kept[what] > before[name][what] + STEADY[what]
        }
        if left:
            found.append(f"{name} keeps what clients have left: {left}")
    return found


def of_paths(acceleration: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Whether all connections were on their server's path, and events went through C."""
    found = []
    for name, samples in acceleration.items():
        paths = {path for sample in samples for path in sample["paths"]}
        if paths != {name, "polling"}:
            found.append(f"connections of {name} were {sorted(paths)}")
        reasons = {why for sample in samples for why in (*sample["events"], *sample["emits"])}
        if reasons:
            found.append(f"{name} was slow: {sorted(reasons)}")
    return found


def of_redis(states: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"redis of {name}: {state}"
        for name, state in states.items()
        if state["reconnects"] or state["dropped"] or not state["connected"]
    ]


#: What must have happened in every run that says something.
HAPPENED = (
    *("acks", "tick", "said", "volatile", "questions", "attachments", "connections", "upgrades"),
    *("goes_properly", "closes", "cuts", "cuts_in_the_midst", "is_kicked", "is_kicked_by_another"),
    *("echoes", "echoes_at_once", "sends_bytes", "slow", "tells", "says", "remembers", "is_asked"),
    *(
        "lets_ask",
        "moves",
        "echoes_elsewhere",
        "leaves_elsewhere",
        "JavaScript acks",
        "Python acks",
    ),
)


def of_counts(counts: dict[str, int]) -> list[str]:
    idle = [what for what in HAPPENED if not counts.get(what)]
    return [f"this did not happen: {idle}"] if idle else []


def judge(report: dict[str, Any]) -> list[str]:
    """Why a soak has failed; nothing: it has not."""
    memory = {name: [tuple(s) for s in samples] for name, samples in report["memory"].items()}
    return [
        *of_clients(report["wrong"], report["examples"]),
        *of_memory(memory, report["warm_up"], report["most_growth"]),
        *of_logs(report["logs"]),
        *of_rest(report["before"], report["after"]),
        *of_paths(report["acceleration"]),
        *of_redis(report["redis"]),
        *of_counts(report["counts"]),
    ]
