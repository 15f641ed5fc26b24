"""uvicorn's own tests of its WebSocket protocols, on this package's class.

For the oldest uvicorn that this package supports, from a folder of its own, and the installed one.
"""

import collections
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .sources import folder_of, source_of

HERE = Path(__file__).resolve().parent
FILE = "tests/protocols/test_websocket.py"
TIMEOUT = 120  # seconds; they take about 25
OLDEST = "0.35.0"
#: uvicorn with what it was tested with when it was new.
OLDEST_PACKAGES = (f"uvicorn=={OLDEST}", "websockets==13.1", "wsproto==1.2.0", "httptools==0.6.4")
#: The HTTP client that newer tests use.
HTTP_CLIENT = ("httpx2==2.16.2", "httpcore2==2.16.2", "truststore==0.10.5")
#: What a run may skip: the class that the tests of newer versions can be run with besides.
MAY_SKIP = {"zttp not installed."}


def run(version, packages, scratch):
    """Run the tests of a version, and return the report of uvicorn_conftest, and the output."""
    source = source_of("uvicorn", version)
    shutil.copytree(source / "tests", scratch / "tests")
    shutil.copy(source / "pyproject.toml", scratch)
    shutil.copy(HERE.parent / "e2e" / "machine.py", scratch)
    shutil.copy(HERE / "uvicorn_conftest.py", scratch / "tests" / "protocols" / "conftest.py")
    # uvicorn's options ask for several processes
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "--timeout=20", FILE]
    for plugin in ("anyio.pytest_plugin", "pytest_timeout", "no:cacheprovider"):
        command += ["-p", plugin]
    paths = [str(folder_of(*packages)), str(HERE), os.environ.get("PYTHONPATH", "")]
    report = scratch / "report.json"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "UPSTREAM_VERSION": version,
        "UPSTREAM_REPORT": str(report),
    }
    done = subprocess.run(
        command,
        cwd=scratch,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
    )
    assert report.exists(), done.stdout
    return {**json.loads(report.read_text()), "output": done.stdout}


def show(result):
    kinds = ("passed", "failed", "different", "skipped")
    figures = ", ".join(f"{len(result[kind])} {kind}" for kind in kinds)
    print(f"uvicorn {result['uvicorn']}, {result['class']}: {figures}")
    for kind in ("different", "skipped"):
        for reason, count in collections.Counter(result[kind].values()).items():
            print(f"  {kind} {count}: {reason}")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("version", "packages", "least"),
    [
        pytest.param(OLDEST, OLDEST_PACKAGES, 95, id="oldest"),
        pytest.param(importlib.metadata.version("uvicorn"), HTTP_CLIENT, 140, id="installed"),
    ],
)
def test_uvicorns_tests_pass(version, packages, least, tmp_path):
    result = run(version, packages, tmp_path)
    show(result)
    assert result["uvicorn"] == version
    assert result["problems"] == []
    assert result["failed"] == [], result["output"]
    assert result["exit"] == 0, result["output"]
    assert set(result["skipped"].values()) <= MAY_SKIP
    assert len(result["passed"]) >= least
    assert result["made"] >= len(result["passed"]) * 0.9
