"""What the tests of every folder share."""

import gc
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e import machine

TOP = Path(__file__).resolve().parent.parent


def pytest_collection_finish():
    """Takes the modules and the tests themselves, which stay, out of every collection to come."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def top():
    """The source checkout."""
    return TOP


@pytest.fixture(scope="session")
def tracked():
    """Paths, relative to the top, of the files that belong to the tree."""
    if (TOP / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True)
        names = listing.stdout.splitlines()
    else:  # a source archive, which has a list of its own
        [sources] = TOP.glob("*.egg-info/SOURCES.txt")
        names = sources.read_text().splitlines()
    return [name for name in names if (TOP / name).is_file()]


@pytest.fixture(scope="session")
def free_port():
    """A function that returns a TCP port that nothing listens on, each time another."""
    return machine.free_port


@pytest.fixture(scope="session")
def run():
    """A function that runs a command and returns what it said, both streams in `stdout`."""

    def run(*command, timeout=100, **env):
        return subprocess.run(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            cwd=env.pop("cwd", TOP),
            env={**os.environ, **env},
        )

    return run
