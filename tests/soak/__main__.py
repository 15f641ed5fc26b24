"""``python -m tests.soak``: a soak, its report as JSON, and a summary; fails when it has failed."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .run import MIB, Plan, soak
from .verdict import growth, quarters


def summary(report: dict[str, Any]) -> str:
    """What is worth to be read."""
    counts, cpu, seconds = report["counts"], report["cpu"], report["seconds"]
    lines = [f"{report['clients']} clients, {seconds:.0f} s, {report['rate']} actions/s of each"]
    lines.append(
        f"machine {cpu['machine']:.0%} busy; of a core: clients {cpu['clients'] / seconds:.0%},"
        f" direct {cpu['direct'] / seconds:.0%}, asgi {cpu['asgi'] / seconds:.0%}"
    )
    lines.append(", ".join(f"{what} {n:,}" for what, n in counts.items()))
    for name, samples in report["memory"].items():
        warm_up = report["warm_up"]
        medians = [
            sorted(part)[len(part) // 2] / MIB for part in quarters(samples, warm_up) if part
        ]
        grown = growth(samples, warm_up)
        lines.append(
            f"memory of {name}, quarters after {warm_up:.0f} s: "
            + ", ".join(f"{median:.1f}" for median in medians)
            + f" MiB; growth {'unknown' if grown is None else f'{grown / MIB:.2f} MiB'}"
            + f" (at most {report['most_growth'] / MIB:.0f})"
        )
        before, after = report["before"][name], report["after"][name]
        for what in ("tasks", "descriptors", "objects"):
            lines[-1] += f"; {what} {before[what]} before, {after[what]} after"
    lines += [f"FAILED: {why}" for why in report["verdict"]] or ["nothing was lost, nothing grows"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--clients", type=int, default=Plan.clients)
    parser.add_argument("--rate", type=float, default=Plan.rate)
    parser.add_argument("--tick", type=float, default=Plan.tick)
    parser.add_argument("--warm-up", type=float, default=Plan.warm_up)
    parser.add_argument("--patience", type=float, default=Plan.patience)
    parser.add_argument("--life", type=float, nargs=2, default=Plan.life)
    parser.add_argument("--ping", type=float, nargs=2, default=Plan.ping)
    parser.add_argument("--most-growth", type=float, default=Plan.most_growth, help="bytes")
    parser.add_argument("--fault", dest="faults", action="append", default=[])
    parser.add_argument("--report", type=Path)
    arguments = vars(parser.parse_args())
    path = arguments.pop("report")
    report = soak(Plan(**arguments))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report))
    print(summary(report))
    return 1 if report["verdict"] else 0


if __name__ == "__main__":
    sys.exit(main())
