"""The benchmark of fairness: floods, records, tables, verdicts."""

import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import fairness, floods, load, peers, records, tables

NO_CORES = (None, None)


@pytest.fixture(scope="module", autouse=True)
def loadgen():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOXSIO_DEV", "1")  # warnings are errors
        load.build_loadgen()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("acks-asked", "handled"),
        ("attachments", "handled"),
        ("deflate", "handled"),
        ("fragments", "handled"),
        ("chunks", "answered"),
        ("handshakes", "answered"),
        ("redis-big", "sent"),
    ],
)
def test_floods_reach_python_socketio(name, key):
    """What a flood sends is what the server reads."""
    taken = fairness.measure("upstream", "uvloop", name, 0.5, NO_CORES)
    assert "failed" not in taken["honest"]
    assert taken["flood"]["sent"] > 1000
    assert taken["flood"][key] > 0


def test_record_and_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(fairness, "QUICK_SECONDS", 0.2)
    words = [
        "fairness",
        "--quick",
        "--floods",
        "events-10us,payloads",
        "--sides",
        "direct-http,node",
    ]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words, "--no-pin", "--record", "some"])
    assert command.main() == 0
    record = records.read(tmp_path / "some.json", "fairness")
    assert [(result["side"], result["load"]) for result in record["results"]] == [
        (side, name) for name in ("events-10us", "payloads") for side in ("direct-http", "node")
    ]
    for result in record["results"]:
        median = result["median"]
        assert median.keys() == set(fairness.FIGURES)
        assert 0 < median["p50_ms"] <= median["p99_ms"] <= median["worst_ms"] * 1.01
        assert median["handled"] > 0
        [taken] = result["rounds"]
        # 50 events a second of each client, in the flood and after it
        assert taken["honest"]["acks"] == pytest.approx(fairness.RATE * 0.3, rel=0.05)
    said = capsys.readouterr().out
    assert "events-10us, direct-http: worst" in said
    assert "node: worst" not in said
    rows = [line for line in tables.lines(record) if line.startswith("|")]
    assert rows[0].endswith("| toolboxsio, ws= and http= | Node socket.io |")
    assert len(rows) == 2 + 1 + 2


def record_of(flood, **worst):
    results = [
        {"side": side, "load": flood, "median": {"worst_ms": taken}}
        for side, taken in worst.items()
    ]
    return {"results": results}


@pytest.mark.parametrize(
    ("flood", "worst", "broken"),
    [
        (
            "pings",
            {"direct-http": 20.0, "upstream": 2.0},
            0,
        ),  # told from nothing else by chance alone
        ("pings", {"direct-http": 26.0, "upstream": 2.0}, 1),
        ("pings", {"direct-http": 91.0, "asgi": 91.0, "upstream": 30.0}, 2),
        ("pings", {"direct-http": 249.0, "upstream": 9000.0, "node": 9000.0}, 0),
        ("pings", {"direct-http": 251.0, "asgi": 300.0, "upstream": 9000.0}, 2),
        ("pings", {"direct-http": 251.0}, 1),
        ("pipelined", {"asgi": 2900.0, "upstream": 1000.0}, 0),  # requests: the web server's
        ("pipelined", {"asgi": 3100.0, "upstream": 1000.0}, 1),
    ],
)
def test_verdicts(flood, worst, broken):
    lines, found = fairness.verdict_lines(record_of(flood, **worst))
    assert found == broken == sum(line.startswith("OVER") for line in lines)


def test_honest_clients_that_are_thrown_out_are_told():
    taken = fairness.milliseconds({"failed": "the server closed a connection", "seconds": 2.5})
    assert taken == {"p50_ms": 2500.0, "p99_ms": 2500.0, "worst_ms": 2500.0}


def test_a_flood_that_is_unknown_is_refused():
    with pytest.raises(SystemExit, match="no such flood: some; there are events-100us"):
        fairness.run(1, 0.1, floods=("some",))


def test_floods_need_sides_that_there_are():
    for flood in floods.FLOODS.values():
        assert set(flood.sides) <= set(peers.SIDES)
