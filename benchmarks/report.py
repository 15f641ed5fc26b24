"""What records say, in one text: machine, versions, how each side is set up, what is missing."""

import os

from . import records, tables

NEVER_COVERED = (
    "Never covered: other machines and CPUs, networks (all of it is loopback), TLS, proxies, "
    "compression, several cores for one server, uWebSockets.js (not on npm), and eiows for Node "
    "(its packages need Node's own source tree)."
)


def lines(made, absent=()):
    """Lines of Markdown for records {path: record}, and for benchmarks {kind: why not made}."""
    said, setups = [], {}
    for path, record in made.items():
        where = os.path.relpath(path, records.ROOT)
        said += [f"## {record['kind']}", "", *tables.lines(record), ""]
        said += [tables.source(record, where), ""]
        kind = "codec" if record["kind"] == "codec" else "servers"
        setups.setdefault(kind, {}).update(dict.fromkeys(tables.configurations(record)))
    for kind, told in setups.items():
        said += [f"## Set-up: {kind}", "", *told, ""]
    said += [f"Not covered: {kind}: {absent[kind]}." for kind in absent]
    return [*said, NEVER_COVERED]
