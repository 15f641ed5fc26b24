"""Ratios of what was measured in turn, with their spread, and tables of them.

The ratio of a round is one of two figures that were taken in it one after the other. What is told
is the median of the rounds and, in brackets, their lowest and their highest: `1/8.0 (7.6-8.3)` is
an eighth.
"""

import statistics
from collections.abc import Iterable, Sequence

NOTHING = "-"


def ratio(ours: float, theirs: float) -> str:
    """ours / theirs, as 1/8.0 where ours is less."""
    return spread([ours], [theirs])


def of_rounds(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratio of every round; of none when one cannot be told: less than can be measured."""
    if any(figure <= 0 for figure in (*ours, *theirs)):
        return []
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def spread(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the ratios of the rounds, and between which they lie if there are several."""
    found = of_rounds(ours, theirs)
    if not found:
        return NOTHING
    median = statistics.median(found)
    if median <= 1:
        text, shown = f"1/{1 / median:.1f}", [f"{1 / one:.1f}" for one in (max(found), min(found))]
    else:
        text, shown = f"{median:.2f}", [f"{one:.2f}" for one in (min(found), max(found))]
    return text if len(found) == 1 else f"{text} ({shown[0]}-{shown[1]})"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown; all columns but the first are figures."""
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The same for a terminal."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
