"""Records of measurements: JSON files that say what was measured, with what, and on what."""

import json
import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "records"
PACKAGES = (
    "toolboxsio",
    "python-socketio",
    "python-engineio",
    "orjson",
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
    "hypercorn",
    "wsproto",
)


def git(*args):
    done = subprocess.run(["git", *args], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def versions():
    """{package: version} of those in PACKAGES that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def environment():
    """What a figure depends on besides the code: part of every record."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "dirty": git("status", "--porcelain", "--", ".", ":!benchmarks/records") != "",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "versions": versions(),
    }


def write(path, record):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def read(path, kind):
    """The record in a file; ValueError when there is none or it is of another kind."""
    if not path.exists():
        raise ValueError(f"{path} is missing: python -m benchmarks {kind} --record {path.stem}")
    record = json.loads(path.read_text())
    if record["kind"] != kind:
        raise ValueError(f"{path} is a record of {record['kind']}, not of {kind}")
    return record
