"""Markdown tables of records: the same for the terminal and for README.md."""

NAMES = {
    "ours": "toolboxsio",
    "core": "its C alone",
    "upstream": "python-socketio",
    "orjson": "with orjson as `json=`",
}


def ratio(ours, theirs):
    """ours / theirs, as 1/8.0 where ours is less."""
    return f"1/{theirs / ours:.1f}" if ours <= theirs else f"{ours / theirs:.2f}"


def table(heads, rows):
    """Lines of a table; all columns but the first are figures."""
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def source(record, where):
    versions = record["versions"]
    packages = ("python-socketio", "python-engineio", "orjson", "uvicorn", "uvloop")
    used = ", ".join(f"{name} {versions[name]}" for name in packages)
    commit = record["commit"][:12] + (" with changes" if record["dirty"] else "")
    return (
        f"Record: `{where}` ({record['date'][:10]}, commit {commit}; Python {record['python']}, "
        f"{used}; {record['cpu']}, {record['cores']} cores)."
    )


def codec(record):
    heads = [
        "median time",
        *NAMES.values(),
        "ratio to python-socketio",
        "ratio to orjson",
    ]
    rows = []
    for result in record["results"]:
        medians = {side: result["sides"][side]["median_ns"] for side in NAMES}
        rows.append(
            [
                result["label"],
                *(f"{median / 1000:,.2f} µs" for median in medians.values()),
                ratio(medians["ours"], medians["upstream"]),
                ratio(medians["ours"], medians["orjson"]),
            ]
        )
    return table(heads, rows)


def ack(record):
    sides = ("ours", "upstream")
    heads = ["50 clients", *(f"{NAMES[side]}: CPU an ack" for side in sides), "ratio"]
    heads += [f"{NAMES[side]}: acks/s · p50 · p99 · generator" for side in sides]
    rows = []
    for result in record["results"]:
        medians = [result["sides"][side]["median"] for side in sides]
        cpu = [median["server_cpu_us_per_ack"] for median in medians]
        rows.append(
            [
                f"{result['loop']}, {result['load']}",
                *(f"{figure:.1f} µs" for figure in cpu),
                ratio(*cpu),
                *(
                    f"{median['acks_per_second']:,.0f} · {median['p50_us'] / 1000:.2f} ms · "
                    f"{median['p99_us'] / 1000:.2f} ms · {median['generator_cpu_share']:.0%}"
                    for median in medians
                ),
            ]
        )
    return table(heads, rows)


TABLES = {"codec": codec, "ack": ack}


def lines(record):
    return TABLES[record["kind"]](record)
