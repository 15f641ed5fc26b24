"""Records of measurements: JSON files that say what was measured, with what, and on what."""

import json
import subprocess
from pathlib import Path

from toolboxsio.bench import environment as machine

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "results"
PACKAGES = (*machine.PACKAGES, "hypercorn", "wsproto")


def git(*args):
    """What git says of the checkout; nothing in a source archive."""
    if not (ROOT / ".git").exists():
        return ""
    done = subprocess.run(["git", *args], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def environment():
    """What a figure depends on besides the code: part of every record."""
    return {
        "commit": git("rev-parse", "HEAD") or "unknown",
        "dirty": git("status", "--porcelain", "--", ".", ":!benchmarks/results") != "",
        **machine.environment(PACKAGES),
    }


def no_progress(text, done=0, of=1):
    """For who does not want to be told."""


def write(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def read(path, kind):
    """The record in a file; ValueError when there is none or it is of another kind."""
    if not path.exists():
        raise ValueError(f"{path} is missing: python -m benchmarks {kind} --record {path.stem}")
    record = json.loads(path.read_text())
    if record["kind"] != kind:
        raise ValueError(f"{path} is a record of {record['kind']}, not of {kind}")
    return record
