"""`python -m benchmarks readme`: the tables of README.md, from records and not by hand.

The table of a kind stands between `<!-- benchmarks:kind -->` and `<!-- /benchmarks:kind -->` and
names its record.
"""

import os

from . import records, tables


def replaced(text, kind, lines):
    """text with lines between the markers of a kind; ValueError without exactly one such pair."""
    begin, end = f"<!-- benchmarks:{kind} -->", f"<!-- /benchmarks:{kind} -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed or begin in rest or end in head + tail:
        raise ValueError(f"exactly one {begin} with one {end} behind it is needed")
    return "\n".join([head + begin, *lines, end + tail])


def run(readme, paths, check=False):
    """Writes the tables of the records {kind: path} into readme, or with check only compares.

    True when readme said the same before.
    """
    old = new = readme.read_text("utf-8")
    for kind, path in paths.items():
        record = records.read(path, kind)
        where = os.path.relpath(path, records.ROOT)
        new = replaced(new, kind, [*tables.lines(record), "", tables.source(record, where)])
    if new != old and not check:
        readme.write_text(new, "utf-8")
    return new == old
