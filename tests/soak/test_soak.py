"""A short soak finds nothing wrong with the servers, and finds what is made wrong on purpose.

The long one is `make soak`. Its verdict alone: tests/unit/test_soak_verdict.py.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, stop

pytestmark = pytest.mark.timeout(120)

SHORT = "--seconds 8 --clients 120 --rate 2 --tick 0.4 --life 1 6 --warm-up 1 --ping 2 5"
#: What a run grows by while it warms up; the leak that is made is more than twice of it.
ALLOWED = ["--most-growth", str(12 << 20)]
FAULTS = {
    "leak": "memory of direct grows",
    "lost ack": "clients: nothing came",
    "foreign ack": "clients: a wrong answer",
    "lost tick": "clients: tick is missing",
    "said twice": "clients: room came again",
    "log": "log of direct: ",
}


class Run:
    """A soak as a process."""

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        self.path = folder / f"{name}.json"
        command = [sys.executable, "-m", "tests.soak", *SHORT.split(), *ALLOWED, *options]
        command += ["--report", str(self.path)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def result(self) -> tuple[int, str, dict[str, Any]]:
        """Status, summary and report."""
        said, _ = self.process.communicate()
        return self.process.returncode, said, json.loads(self.path.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, javascript: str) -> Iterator[tuple[Run, Run]]:
    """One without a fault and one with all of them, at once."""
    folder = tmp_path_factory.mktemp("soak")
    faults = [word for name in FAULTS for word in ("--fault", name)]
    honest = Run(folder, "honest", "--patience", "16")
    runs = honest, Run(folder, "faulty", "--patience", "4", *faults)
    yield runs
    for run in runs:
        stop(run.process)


def test_servers_as_they_are(runs: tuple[Run, Run]) -> None:
    status, said, report = runs[0].result()
    assert report["verdict"] == [], said
    assert status == 0
    assert "nothing was lost, nothing grows" in said


def test_what_is_wrong_is_found(runs: tuple[Run, Run]) -> None:
    status, said, report = runs[1].result()
    assert status == 1
    for name, found in FAULTS.items():
        assert any(line.startswith(found) for line in report["verdict"]), (name, said)
