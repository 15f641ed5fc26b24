"""The count of instructions: benchmarks/instructions.py, and that two counts agree."""

import json
import subprocess
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import instructions, records
from tests.e2e.machine import NIGHTLY


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A record of two items, and a function that runs the command with other counts."""
    monkeypatch.setattr(instructions, "PATH", tmp_path / "instructions.json")
    monkeypatch.setattr(instructions, "tools", lambda: {"compiler": "a", "cpu": "b"})

    def run(items, *options):
        monkeypatch.setattr(instructions, "count", lambda: items)
        monkeypatch.setattr(sys, "argv", ["benchmarks", "instructions", *options])
        return command.main()

    assert run({"one": 1000, "two": 200}, "--record") == 0
    return run


def test_no_more_instructions_are_fine(recorded, capsys):
    assert recorded({"one": 1030, "two": 20}) == 0
    said = capsys.readouterr()
    assert "one            1,000  1,030   +3.00%" in said.out
    assert "two              200     20  -90.00%" in said.out
    assert said.err == ""


def test_more_instructions_are_named(recorded, capsys):
    assert recorded({"one": 1000, "two": 207}) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.endswith("two: +3.50%")


def test_items_that_are_new_or_gone_are_named(recorded, capsys):
    assert recorded({"one": 1000, "three": 1}) == 1
    assert "two is gone" in (said := capsys.readouterr().err)
    assert "three is new" in said
    assert recorded({"one": 1000, "three": 1}, "--record") == 0
    assert recorded({"one": 1000, "three": 1}) == 0


def test_other_tools_are_named(recorded, capsys, monkeypatch):
    monkeypatch.setattr(instructions, "tools", lambda: {"compiler": "c", "cpu": "b"})
    assert recorded({"one": 1000, "two": 200}) == 0
    said = capsys.readouterr().err
    assert "the record was made with another compiler: a, here c" in said
    assert "another cpu" not in said


def test_without_a_record_nothing_is_counted(recorded):
    instructions.PATH.unlink()
    with pytest.raises(SystemExit, match="make instructions RECORD=1"):
        recorded({})


def test_totals_are_in_the_order_of_the_parts(tmp_path):
    (tmp_path / "out").write_text("part: 3\ntotals: 4\n")  # what came behind the last marker
    for part, total in ((10, 7), (2, 5), (1, 6)):
        (tmp_path / f"out.{part}").write_text(
            f"pid: 9\npart: {part}\nevents: Ir\ntotals: {total}\n"
        )
    assert instructions.totals(tmp_path) == [6, 5, 7]


def test_the_script_does_what_the_record_has():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.counted"],
        cwd=records.ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    items = json.loads(done.stdout)
    record = records.read(records.FOLDER / "instructions.json", "instructions")
    assert items.keys() == record["items"].keys()
    assert all(counted > 1000 for counted in record["items"].values())
    assert all(record["tools"].values())


@pytest.mark.skipif(not NIGHTLY, reason="minutes: make nightly")
def test_two_counts_agree():
    one, two = instructions.count(), instructions.count()
    for name, counted in one.items():
        assert two[name] == pytest.approx(counted, rel=0.01)
