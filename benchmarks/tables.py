"""Markdown tables of records: the same for the terminal and for README.md."""

from .peers import NODE_LOOP, RATIOS, SIDES

CODECS = {
    "ours": "toolboxsio",
    "core": "its C alone",
    "upstream": "python-socketio",
    "orjson": "with orjson as `json=`",
}
NAMED = ("python-socketio", "python-engineio", "orjson", "uvicorn", "uvloop")
NAMED_WITH_SERVERS = (*NAMED, "websockets", "hypercorn", "node", "socket.io")
NAMED_WITH_REDIS = (*NAMED, "websockets", "redis", "hiredis", "redis-server")
NOTHING = "-"


def ratio(ours, theirs):
    """ours / theirs, as 1/8.0 where ours is less."""
    if ours <= 0 or theirs <= 0:  # less than can be measured
        return NOTHING
    return f"1/{theirs / ours:.1f}" if ours <= theirs else f"{ours / theirs:.2f}"


def table(heads, rows):
    """Lines of a table; all columns but the first are figures."""
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def source(record, where):
    versions = record["versions"]
    packages = {"codec": NAMED, "redis": NAMED_WITH_REDIS}.get(record["kind"], NAMED_WITH_SERVERS)
    used = ", ".join(f"{name} {versions[name]}" for name in packages if name in versions)
    commit = record["commit"][:12] + (" with changes" if record["dirty"] else "")
    return (
        f"Record: `{where}` ({record['date'][:10]}, commit {commit}; Python {record['python']}, "
        f"{used}; {record['cpu']}, {record['cores']} cores)."
    )


def codec(record):
    heads = [
        "median time",
        *CODECS.values(),
        "ratio to python-socketio",
        "ratio to orjson",
    ]
    rows = []
    for result in record["results"]:
        medians = {side: result["sides"][side]["median_ns"] for side in CODECS}
        rows.append(
            [
                result["label"],
                *(f"{median / 1000:,.2f} µs" for median in medians.values()),
                ratio(medians["ours"], medians["upstream"]),
                ratio(medians["ours"], medians["orjson"]),
            ]
        )
    return table(heads, rows)


def present(record):
    """The sides that a record has, in their order; ValueError when it is of an older shape."""
    if not all("side" in result for result in record["results"]):
        raise ValueError(f"the record of {record['kind']} has an older shape: make it anew")
    return [name for name in SIDES if any(name == r["side"] for r in record["results"])]


def ratio_rows(sides, columns, figure):
    """A row for each ratio whose sides are present; figure(side, column) may be None."""
    rows = []
    for ours, theirs in RATIOS:
        if ours in sides and theirs in sides:
            pairs = [(figure(ours, column), figure(theirs, column)) for column in columns]
            cells = [NOTHING if None in pair else ratio(*pair) for pair in pairs]
            rows.append([f"{SIDES[ours].label} : {SIDES[theirs].label}", *cells])
    return rows


def ack(record):
    """CPU an ack with the ratios; then throughput, latencies and the share of the generator."""
    sides = present(record)
    medians = {(r["side"], r["loop"], r["load"]): r["median"] for r in record["results"]}
    loads = list(dict.fromkeys(load for _, _, load in medians))
    loops = list(dict.fromkeys(loop for _, loop, _ in medians if loop != NODE_LOOP)) or [NODE_LOOP]
    columns = [(loop, load) for loop in loops for load in loads]

    def cpu(side, column):
        loop, load = column
        loop = NODE_LOOP if NODE_LOOP in SIDES[side].loops else loop
        median = medians.get((side, loop, load))
        return None if median is None else median["server_cpu_us_per_ack"]

    def cell(figure):
        return NOTHING if figure is None else f"{figure:.1f} µs"

    clients = f"{record['settings']['clients']} clients"
    costs = table(
        [f"CPU an ack, {clients}", *(f"{loop}, {load}" for loop, load in columns)],
        [
            *([SIDES[s].label, *(cell(cpu(s, column)) for column in columns)] for s in sides),
            *ratio_rows(sides, columns, cpu),
        ],
    )

    def course(median):
        if median is None:
            return NOTHING
        return (
            f"{median['acks_per_second']:,.0f} · {median['p50_us'] / 1000:.2f} ms · "
            f"{median['p99_us'] / 1000:.2f} ms · {median['generator_cpu_share']:.0%}"
        )

    pairs = dict.fromkeys((side, loop) for side, loop, _ in medians)
    courses = table(
        ["acks/s · p50 · p99 · generator", *loads],
        [
            [
                SIDES[side].label + ("" if loop == NODE_LOOP else f", {loop}"),
                *(course(medians.get((side, loop, load))) for load in loads),
            ]
            for side, loop in pairs
        ],
    )
    return [*costs, "", *courses]


def memory(record):
    clients = record["settings"]["clients"]
    columns = {
        "memory a client": ("kib_per_client", lambda x: f"{x:.1f} KiB"),
        "idle: CPU": ("idle_cpu_share", lambda x: f"{x:.2%}"),
        "connect: CPU a client": ("connect_cpu_us", lambda x: f"{x:,.0f} µs"),
        "disconnect: CPU a client": ("disconnect_cpu_us", lambda x: f"{x:,.0f} µs"),
        "both": ("cpu_us", lambda x: f"{x:,.0f} µs"),
        f"both, over {clients // 5:,} clients": ("cpu_growth", lambda x: f"{x:.2f}"),
        "connects/s": ("connects_per_second", lambda x: f"{x:,.0f}"),
        "disconnects/s": ("disconnects_per_second", lambda x: f"{x:,.0f}"),
        "generator": ("generator_cpu_share", lambda x: f"{x:.0%}"),
    }
    compared = ("kib_per_client", "idle_cpu_share", "connect_cpu_us", "disconnect_cpu_us", "cpu_us")
    sides = present(record)
    medians = {result["side"]: result["median"] for result in record["results"]}

    def figure(side, key):
        return medians[side][key] if key in compared else None

    keys = [key for key, _ in columns.values()]
    rows = [
        [SIDES[side].label, *(show(medians[side][key]) for key, show in columns.values())]
        for side in sides
    ]
    heads = [f"{clients:,} idle clients", *columns]
    return table(heads, [*rows, *ratio_rows(sides, keys, figure)])


def emit_costs(record, medians, loop):
    """CPU for what is done once, on one loop, with the ratios."""
    loads = record["settings"]["loads"]
    sides = [
        name
        for name in SIDES
        if any((name, own, one) in medians for own in (loop, NODE_LOOP) for one in loads)
    ]

    def cpu(side, name):
        own = NODE_LOOP if NODE_LOOP in SIDES[side].loops else loop
        median = medians.get((side, own, name))
        return None if median is None else median["server_cpu_us"]

    def cell(figure):
        return NOTHING if figure is None else f"{figure:.1f} µs"

    units = " or ".join(dict.fromkeys(one["unit"] for one in loads.values()))
    return table(
        [f"CPU a {units}, {loop}", *loads],
        [
            *([SIDES[s].label, *(cell(cpu(s, name)) for name in loads)] for s in sides),
            *ratio_rows(sides, loads, cpu),
        ],
    )


def emits(record):
    """CPU with the ratios, loop by loop; then throughput, latencies, the share of the generator."""
    present(record)
    medians = {(r["side"], r["loop"], r["load"]): r["median"] for r in record["results"]}
    loads = record["settings"]["loads"]
    loops = list(dict.fromkeys(loop for _, loop, _ in medians if loop != NODE_LOOP)) or [NODE_LOOP]

    def course(median):
        if median is None:
            return NOTHING
        latencies = (
            f"{median[key] / 1000:.2f} ms" if key in median else NOTHING
            for key in ("p50_us", "p99_us")
        )
        share = f"{median['generator_cpu_share']:.0%}"
        return " · ".join((f"{median['per_second']:,.0f}", *latencies, share))

    pairs = dict.fromkeys((side, loop) for side, loop, _ in medians)
    courses = table(
        ["a second · p50 · p99 · generator", *loads],
        [
            [
                SIDES[side].label + ("" if loop == NODE_LOOP else f", {loop}"),
                *(course(medians.get((side, loop, name))) for name in loads),
            ]
            for side, loop in pairs
        ],
    )
    costs = [line for loop in loops for line in (*emit_costs(record, medians, loop), "")]
    return [*costs, *courses]


TABLES = {
    "codec": codec,
    "ack": ack,
    "memory": memory,
    "fanout": emits,
    "rooms": emits,
    "redis": emits,
}


def lines(record):
    return TABLES[record["kind"]](record)
