"""`python -m benchmarks readme`: the tables of README.md, from records and not by hand.

The table of a kind stands between `<!-- benchmarks:kind -->` and `<!-- /benchmarks:kind -->` and
names its record. A kind of which there is no record yet has the line NOT_MEASURED there; where a
table stands, its record has to be.
"""

import os

from . import records, tables

NOT_MEASURED = "Not measured yet: `python -m benchmarks {kind} --record {kind}`."


def parts(text, kind):
    """text before, between and behind the markers of a kind, which stay with what is around them.

    ValueError without exactly one such pair.
    """
    begin, end = f"<!-- benchmarks:{kind} -->", f"<!-- /benchmarks:{kind} -->"
    head, found, rest = text.partition(begin)
    shown, closed, tail = rest.partition(end)
    if not found or not closed or begin in rest or end in head + tail:
        raise ValueError(f"exactly one {begin} with one {end} behind it is needed")
    return head + begin, shown, end + tail


def replaced(text, kind, lines):
    """text with lines between the markers of a kind."""
    head, _, tail = parts(text, kind)
    return "\n".join([head, *lines, tail])


def block(text, kind, path):
    """The lines for a kind, from its record; ValueError when that is of no use."""
    if not path.exists() and "|" not in parts(text, kind)[1]:
        return [NOT_MEASURED.format(kind=kind)]
    record = records.read(path, kind)
    where = os.path.relpath(path, records.ROOT)
    return [*tables.lines(record), "", tables.source(record, where)]


def run(readme, paths, check=False):
    """Writes the tables of the records {kind: path} into readme, or with check only compares.

    True when readme said the same before.
    """
    old = new = readme.read_text("utf-8")
    for kind, path in paths.items():
        new = replaced(new, kind, block(new, kind, path))
    if new != old and not check:
        readme.write_text(new, "utf-8")
    return new == old
