"""Markdown tables of records: the same for the terminal and for README.md."""

import statistics

from toolboxsio.bench.environment import machine
from toolboxsio.bench.ratios import NOTHING, spread, table

from .peers import OWN_LOOPS, RATIOS, SIDES

CODECS = {
    "ours": "toolboxsio",
    "core": "its C alone",
    "upstream": "python-socketio",
    "orjson": "with orjson as `json=`",
}
NAMED = ("python-socketio", "python-engineio", "orjson", "uvicorn", "uvloop")
NAMED_WITH_SERVERS = (
    *NAMED,
    *("httptools", "websockets", "hypercorn", "node", "socket.io", "ws", "bufferutil"),
)
NAMED_WITH_REDIS = (*NAMED, "httptools", "websockets", "redis", "hiredis", "redis-server")


def source(record, where):
    """The record, the versions, the machine, and what is not in it."""
    versions = record["versions"]
    packages = {"codec": NAMED, "redis": NAMED_WITH_REDIS}.get(record["kind"], NAMED_WITH_SERVERS)
    used = ", ".join(f"{name} {versions[name]}" for name in packages if name in versions)
    commit = record["commit"][:12] + (" with changes" if record["dirty"] else "")
    absent = "; ".join(f"{name}: {why}" for name, why in record.get("not_covered", {}).items())
    return (
        f"Record: `{where}` ({record['date'][:10]}, commit {commit}; Python {record['python']}, "
        f"{used}; {machine(record)})." + (f" Not covered: {absent}." if absent else "")
    )


def configurations(record):
    """Lines that tell how each side is set up."""
    labels = CODECS if record["kind"] == "codec" else {name: SIDES[name].label for name in SIDES}
    return [f"- {labels[name]}: {text}" for name, text in record["configurations"].items()]


def codec(record):
    heads = [
        "CPU time",
        *CODECS.values(),
        "ratio to python-socketio",
        "ratio to orjson",
    ]
    rows = []
    for result in record["results"]:
        sides = result["sides"]
        rounds = {side: sides[side]["rounds"] for side in CODECS}
        rows.append(
            [
                result["label"],
                *(f"{sides[side]['cpu_median_ns'] / 1000:,.2f} µs" for side in CODECS),
                spread(rounds["ours"], rounds["upstream"]),
                spread(rounds["ours"], rounds["orjson"]),
            ]
        )
    return table(heads, rows)


def present(record):
    """The sides that a record has, in their order; ValueError when it is of an older shape."""
    if not all("side" in result for result in record["results"]):
        raise ValueError(f"the record of {record['kind']} has an older shape: make it anew")
    return [name for name in SIDES if any(name == r["side"] for r in record["results"])]


def own_loop(side, loop):
    """The loop of a side beside others on this one."""
    own = SIDES[side].loops[0]
    return own if own in OWN_LOOPS else loop


def of_rounds(result, key):
    """A figure in every round of a result; None where there is no result."""
    return None if result is None else [taken[key] for taken in result["rounds"]]


def ratio_rows(sides, columns, figures):
    """A row for each ratio whose sides are present. figures(side, column): of rounds, or None."""
    rows = []
    for ours, theirs in RATIOS:
        if ours in sides and theirs in sides:
            pairs = [(figures(ours, column), figures(theirs, column)) for column in columns]
            cells = [NOTHING if None in pair else spread(*pair) for pair in pairs]
            rows.append([f"{SIDES[ours].label} : {SIDES[theirs].label}", *cells])
    return rows


def microseconds(result, key):
    return NOTHING if result is None else f"{result['median'][key]:.1f} µs"


def course(result, rate):
    """Throughput, latencies and the share of the generator."""
    if result is None:
        return NOTHING
    median = result["median"]
    latencies = (
        f"{median[key] / 1000:.2f} ms" if key in median else NOTHING for key in ("p50_us", "p99_us")
    )
    return " · ".join((f"{median[rate]:,.0f}", *latencies, f"{median['generator_cpu_share']:.0%}"))


def courses(head, results, loads, rate):
    pairs = dict.fromkeys((side, loop) for side, loop, _ in results)
    return table(
        [head, *loads],
        [
            [
                SIDES[side].label + ("" if loop in OWN_LOOPS else f", {loop}"),
                *(course(results.get((side, loop, name)), rate) for name in loads),
            ]
            for side, loop in pairs
        ],
    )


def by_load(record):
    """({(side, loop, load): result}, the loops of those that have a choice)."""
    results = {(r["side"], r["loop"], r["load"]): r for r in record["results"]}
    loops = dict.fromkeys(loop for _, loop, _ in results if loop not in OWN_LOOPS)
    return results, list(loops) or [OWN_LOOPS[0]]


def ack(record):
    """CPU an ack with the ratios; then throughput, latencies and the share of the generator."""
    sides = present(record)
    results, loops = by_load(record)
    loads = list(dict.fromkeys(load for _, _, load in results))
    columns = [(loop, load) for loop in loops for load in loads]

    def of(side, column):
        loop, load = column
        return results.get((side, own_loop(side, loop), load))

    key = "server_cpu_us_per_ack"
    costs = table(
        [
            f"CPU an ack, {record['settings']['clients']} clients",
            *(f"{loop}, {load}" for loop, load in columns),
        ],
        [
            *([SIDES[s].label, *(microseconds(of(s, c), key) for c in columns)] for s in sides),
            *ratio_rows(sides, columns, lambda s, c: of_rounds(of(s, c), key)),
        ],
    )
    shown = courses("acks/s · p50 · p99 · generator", results, loads, "acks_per_second")
    return [*costs, "", *shown]


def crowd(record, head, results, columns, compared):
    """A table of many clients: a row a side, and the ratios of what is compared."""
    sides = [side for side in present(record) if side in results]

    def figures(side, key):
        return of_rounds(results[side], key) if key in compared else None

    rows = [
        [SIDES[side].label, *(show(results[side]["median"][key]) for key, show in columns.values())]
        for side in sides
    ]
    keys = [key for key, _ in columns.values()]
    return table([head, *columns], [*rows, *ratio_rows(sides, keys, figures)])


def memory(record):
    columns = {
        "memory a client": ("kib_per_client", lambda x: f"{x:.1f} KiB"),
        "idle: CPU": ("idle_cpu_share", lambda x: f"{x:.2%}"),
    }
    results = {result["side"]: result for result in record["results"]}
    head = f"{record['settings']['clients']:,} idle clients"
    return crowd(record, head, results, columns, [key for key, _ in columns.values()])


def churn(record):
    compared = ("connect_cpu_us", "disconnect_cpu_us")
    lines = []
    for load in dict.fromkeys(result["load"] for result in record["results"]):
        results = {r["side"]: r for r in record["results"] if r["load"] == load}
        taken = next(iter(results.values()))["rounds"][0]
        clients, fifth = (taken[wave]["connections"] for wave in ("every", "fifth"))
        columns = {
            "connect: CPU a client": ("connect_cpu_us", lambda x: f"{x:,.0f} µs"),
            "disconnect: CPU a client": ("disconnect_cpu_us", lambda x: f"{x:,.0f} µs"),
            f"both, over {fifth:,} clients": ("cpu_growth", lambda x: f"{x:.2f}"),
            "connects/s": ("connects_per_second", lambda x: f"{x:,.0f}"),
            "connect: p50": ("connect_p50_us", lambda x: f"{x / 1000:,.1f} ms"),
            "p99": ("connect_p99_us", lambda x: f"{x / 1000:,.1f} ms"),
            "generator": ("generator_cpu_share", lambda x: f"{x:.0%}"),
        }
        head = f"{clients:,} clients, {load}"
        lines += [*crowd(record, head, results, columns, compared), ""]
    return lines[:-1]


def emit_costs(record, results, loop):
    """CPU for what is done once, on one loop, with the ratios."""
    loads = record["settings"]["loads"]

    def of(side, name):
        return results.get((side, own_loop(side, loop), name))

    sides = [side for side in SIDES if any(of(side, name) for name in loads)]
    units = " or ".join(dict.fromkeys(one["unit"] for one in loads.values()))
    key = "server_cpu_us"
    return table(
        [f"CPU a {units}, {loop}", *loads],
        [
            *([SIDES[s].label, *(microseconds(of(s, name), key) for name in loads)] for s in sides),
            *ratio_rows(sides, loads, lambda s, name: of_rounds(of(s, name), key)),
        ],
    )


def emits(record):
    """CPU with the ratios, loop by loop; then throughput, latencies, the share of the generator."""
    present(record)
    results, loops = by_load(record)
    costs = [line for loop in loops for line in (*emit_costs(record, results, loop), "")]
    loads = record["settings"]["loads"]
    head = "a second · p50 · p99 · generator"
    return [*costs, *courses(head, results, loads, "per_second")]


def fairness(record):
    """p99 and worst beside each flood; a row for what the sides have when nobody floods."""
    sides = present(record)
    results = {(r["side"], r["load"]): r["median"] for r in record["results"]}
    labels = {r["load"]: r["label"] for r in record["results"]}

    def cell(median, prefix=""):
        if median is None:
            return NOTHING
        return " · ".join(f"{median[prefix + key]:,.1f}" for key in ("p99_ms", "worst_ms"))

    def quiet(side):
        found = [median for (name, _), median in results.items() if name == side]
        keys = ("quiet_p99_ms", "quiet_worst_ms")
        return {key: statistics.median(median[key] for median in found) for key in keys}

    rows = [["nobody", *(cell(quiet(side), "quiet_") for side in sides)]]
    rows += [
        [label, *(cell(results.get((side, name))) for side in sides)]
        for name, label in labels.items()
    ]
    clients = record["settings"]["clients"]
    return table(
        [f"p99 · worst in ms, {clients} clients beside", *(SIDES[s].label for s in sides)], rows
    )


TABLES = {
    "codec": codec,
    "ack": ack,
    "polling": ack,
    "fanout": emits,
    "rooms": emits,
    "redis": emits,
    "memory": memory,
    "churn": churn,
    "fairness": fairness,
}


def lines(record):
    return TABLES[record["kind"]](record)
