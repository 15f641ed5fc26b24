"""The page of charts: benchmarks/charts.py."""

import re

import pytest

from benchmarks import charts, records, tables


@pytest.fixture(scope="module")
def made():
    """The records of the tree."""
    paths = {kind: records.FOLDER / f"{kind}.json" for kind in tables.TABLES}
    return {kind: records.read(path, kind) for kind, path in paths.items() if path.exists()}


def ack_record(**sides):
    """A record of acks in which each side has these figures in its rounds."""
    results = [
        {
            "side": side,
            "loop": "node" if side == "node" else "uvloop",
            "load": "1 in flight",
            "rounds": [{"server_cpu_us_per_ack": figure} for figure in rounds],
        }
        for side, rounds in sides.items()
    ]
    about = {"cpu": "A CPU", "cores": 2, "python": "3.11", "date": "2026-01-01", "commit": "c" * 40}
    versions = {"uvicorn": "1.2", "node": "20.1"}
    return {**about, "versions": versions, "settings": {"rounds": 2}, "results": results}


def test_the_same_records_make_the_same_files(tmp_path, made):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        paths = charts.write(made, folder)
        assert [path.name for path in paths] == ["charts.svg", "charts.png"]
    for name in ("charts.svg", "charts.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert (one / "charts.png").read_bytes().startswith(b"\x89PNG")
    text = (one / "charts.svg").read_text()
    assert "<dc:date>" not in text
    for panel in charts.panels(made):
        assert f"<!-- {panel.title} -->" in text
    assert made["ack"]["cpu"] in re.sub(r" -->.*?<!-- ", " ", text, flags=re.DOTALL)


def test_a_panel_says_what_the_record_says():
    record = ack_record(node=[4, 6], upstream=[20, 40], direct=[2, 4])
    [panel] = charts.panels({"ack": record})
    assert panel.rounds == {"direct": [2, 4], "upstream": [20, 40], "node": [4, 6]}
    figure = charts.draw({"ack": record})
    [axes] = figure.axes
    assert axes.get_xlim()[0] == 0
    assert [bar.get_width() for bar in axes.patches] == [3, 30, 5]
    names = [name.get_text() for name in axes.get_yticklabels()]
    assert names == ["toolboxsio", "python-socketio", "Node socket.io"]
    said = [text.get_text() for text in axes.texts]
    assert said == ["3.0 µs", "", "30.0 µs", "10.0×", "5.0 µs", "1.8×"]  # noqa: RUF001
    below = " ".join(text.get_text() for text in reversed(figure.texts))
    for words in (
        "A CPU, 2 cores",
        "Python 3.11, uvicorn 1.2, node 20.1",
        "2026-01-01, commit ccc",
    ):
        assert words in below
    assert "median of 2 rounds" in below


def test_what_was_not_measured_has_no_panel(tmp_path, made):
    titles = [panel.title for panel in charts.panels({"memory": made["memory"]})]
    assert titles == ["Memory that an idle client takes"]
    with pytest.raises(SystemExit, match="no record"):
        charts.write({}, tmp_path)


def test_the_chart_that_the_readme_shows_is_here(top):
    shown = re.findall(r"\]\((benchmarks/results/charts\.png)\)", (top / "README.md").read_text())
    assert len(shown) == 1
    assert (top / shown[0]).exists()
