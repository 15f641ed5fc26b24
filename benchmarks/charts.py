"""`python -m benchmarks charts`: one page of bars from the records, charts.svg and charts.png.

Every panel has an axis of its own that starts at zero; a bar is the median of the rounds, its
whisker the lowest and the highest of them, and the factor behind its figure the median of the
ratios to toolboxsio, round by round. The same records make the same files.
"""

import statistics
import textwrap
from typing import NamedTuple

from toolboxsio.bench.environment import machine
from toolboxsio.bench.ratios import of_rounds

from . import tables

BACKGROUND, INK, FAINT = "#ffffff", "#1b1f24", "#6b7280"
COLOURS = {
    "direct": "#0b5fd6",
    "asgi": "#7fb2f5",
    "upstream": "#d9822b",
    "orjson": "#f0be86",
    "node": "#3f8f4f",
}
LABELS = {
    "direct": "toolboxsio",
    "asgi": "toolboxsio through ASGI",
    "upstream": "python-socketio",
    "orjson": "python-socketio + orjson",
    "node": "Node socket.io",
}
SHOWN = {
    "direct-http": "direct",
    "middleware": "asgi",
    "node-http": "node",
}  # sides of sessions, as which of these
CODEC_SIDES = {"ours": "direct", "upstream": "upstream", "orjson": "orjson"}
LOOP = "uvloop"
COLUMNS = 2
WIDTH = 11  # inches
FOOTER_WIDTH = 175  # characters
SUBTITLE = (
    "CPU time of the whole server process, and once its memory: shorter bars are better. "
    "On the right: how many times what toolboxsio takes."
)
SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "svg.hashsalt": "toolboxsio",
    "svg.fonttype": "path",
}


class Panel(NamedTuple):
    title: str
    unit: str
    rounds: dict[str, list[float]]  # of each side that took part


def of_load(record, load, key):
    """{side: figures of the rounds} of one load on the loop that is shown."""
    return {
        SHOWN.get(result["side"], result["side"]): tables.of_rounds(result, key)
        for result in record["results"]
        if result.get("load") == load and result["loop"] in (LOOP, *tables.OWN_LOOPS)
    }


def of_case(record, name):
    for result in record["results"]:
        if result["case"] == name:
            sides = {CODEC_SIDES[side]: result["sides"][side] for side in CODEC_SIDES}
            return {
                side: [one / 1000 for one in figures["rounds"]] for side, figures in sides.items()
            }
    return {}


def of_memory(record):
    return {r["side"]: tables.of_rounds(r, "kib_per_client") for r in record["results"]}


PANELS = (  # kind, title, unit, and what of a record it shows
    ("ack", "Event and ack, 50 clients, 1 in flight", "µs", "1 in flight"),
    ("ack", "Event and ack, 50 clients, 16 in flight", "µs", "16 in flight"),
    ("fanout", "An event to each of 500 clients", "µs", "500 clients"),
    ("fanout", "An event to each of 5,000 clients", "µs", "5,000 clients"),
    ("rooms", "An event to a room with one client", "µs", "an emitter a room"),
    ("redis", "The same through Redis", "µs", "an emitter a room"),
    ("memory", "Memory that an idle client takes", "KiB", None),
    ("churn", "A client connects and leaves, WebSocket", "µs", "WebSocket"),
    ("churn", "The same by polling and upgrade", "µs", "polling and upgrade"),
    ("polling", "Event and ack by polling", "µs", "1 in flight"),
    ("codec", "Codec: decode an event of 214 bytes", "µs", "event.decode"),
    ("codec", "Codec: encode an event of 18 KB", "µs", "document_18k.encode"),
)
KEYS = {
    **dict.fromkeys(("ack", "polling"), "server_cpu_us_per_ack"),
    "churn": "cpu_us",
}


def panels(made):
    """The panels for records {kind: record}, without those of which there is nothing."""
    found = []
    for kind, title, unit, what in PANELS:
        record = made.get(kind)
        if record is None:
            continue
        if kind == "codec":
            rounds = of_case(record, what)
        elif kind == "memory":
            rounds = of_memory(record)
        else:
            rounds = of_load(record, what, KEYS.get(kind, "server_cpu_us"))
        rounds = {side: rounds[side] for side in COLOURS if side in rounds}
        if rounds:
            found.append(Panel(title, unit, rounds))
    return found


def figure_of(panel, side):
    median = statistics.median(panel.rounds[side])
    digits = 0 if median >= 100 else 1 if median >= 1 else 2
    return f"{median:,.{digits}f} {panel.unit}"


def times(panel, side):
    """How many times that of toolboxsio a side's figure is, or ""."""
    ours = panel.rounds.get("direct")
    ratios = of_rounds(panel.rounds[side], ours) if ours and side != "direct" else []
    return f"{statistics.median(ratios):.1f}×" if ratios else ""  # noqa: RUF001


def draw_panel(axes, panel):
    sides = list(panel.rounds)
    highest = max(max(rounds) for rounds in panel.rounds.values())
    axes.set_xlim(0, highest * 1.55)  # room for the figures
    axes.set_ylim(len(sides) - 0.4, -0.6)
    for at, side in enumerate(sides):
        rounds = panel.rounds[side]
        median = statistics.median(rounds)
        ends = [[median - min(rounds)], [max(rounds) - median]]
        axes.barh(at, median, height=0.7 * len(sides) / len(COLOURS), color=COLOURS[side])
        axes.errorbar(median, at, xerr=ends, ecolor=INK, elinewidth=0.9, capsize=2.2)
        weight = "bold" if side == "direct" else "normal"
        shown = figure_of(panel, side)
        axes.text(max(rounds) + highest * 0.03, at, shown, va="center", weight=weight)
        axes.text(highest * 1.55, at, times(panel, side), va="center", ha="right", weight="bold")
    names = [LABELS[side] for side in sides]
    axes.set_yticks(range(len(sides)), names, color=INK)
    axes.get_yticklabels()[0].set_weight("bold")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7, length=2)
    axes.locator_params(axis="x", nbins=4)
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    axes.set_title(panel.title, loc="left", fontsize=10.5, weight="bold", pad=6)


def footer(made):
    """What was measured with what, on what."""
    newest = max(made.values(), key=lambda record: record["date"])
    versions = {}
    for record in made.values():
        versions |= record["versions"]
    names = ("python-socketio", "orjson", "uvicorn", "uvloop", "node", "socket.io", "redis-server")
    used = ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
    rounds = sorted({record["settings"]["rounds"] for record in made.values()})
    told = f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else str(rounds[0])
    commits = ", ".join(dict.fromkeys(record["commit"][:12] for record in made.values()))
    bars = (
        f"Bars: median of {told} rounds, all sides in turn in one run. Whiskers: lowest, highest. "
        "On the right: median of the ratios of the rounds. Every axis starts at zero."
    )
    made_on = (
        f"{machine(newest)}; server and load generator on a core each, over loopback. Python "
        f"{newest['python']}, {used}; all but Node on uvicorn and uvloop. "
        f"{newest['date'][:10]}, commit {commits}."
    )
    return [line for text in (bars, made_on) for line in textwrap.wrap(text, FOOTER_WIDTH)]


def draw(made):
    """The figure for records {kind: record}."""
    from matplotlib.figure import Figure

    shown, below = panels(made), footer(made)
    rows = -(-len(shown) // COLUMNS)
    height = 1.7 + 0.17 * len(below) + 1.85 * rows
    figure = Figure(figsize=(WIDTH, height), facecolor=BACKGROUND)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    figure.subplots_adjust(
        left=0.165,
        right=0.985,
        top=1 - 1.12 / height,
        bottom=(0.55 + 0.17 * len(below)) / height,
        wspace=0.5,
        hspace=0.5,
    )
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, shown, strict=False):
        axes.set_facecolor(BACKGROUND)
        draw_panel(axes, panel)
    for y, size, weight, colour, text in (
        (0.2, 15, "bold", INK, "What one operation costs the server"),
        (0.5, 10, "normal", FAINT, SUBTITLE),
    ):
        figure.text(
            0.015, 1 - y / height, text, va="top", fontsize=size, weight=weight, color=colour
        )
    for number, line in enumerate(reversed(below)):
        figure.text(0.015, (0.13 + 0.17 * number) / height, line, color=FAINT, fontsize=7.5)
    return figure


def write(made, folder):
    """Writes the charts of records {kind: record}; their paths."""
    if not panels(made):
        raise SystemExit("there is no record to draw: python -m benchmarks all")
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        figure = draw(made)
        paths = [folder / "charts.svg", folder / "charts.png"]
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(paths[0], metadata={"Date": None, "Creator": None}, facecolor=BACKGROUND)
        figure.savefig(paths[1], dpi=120, metadata={"Software": None}, facecolor=BACKGROUND)
    return paths
