"""Runs upstream's tests in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.machine import free_port

from .sources import source_of

HERE = Path(__file__).resolve().parent
TIMEOUT = 240  # seconds for the tests of one package; they take about 15


PORT = "8900"  # where the tests' web servers listen


def _copy(source: Path, target: Path) -> None:
    """Copy the tests, with a free port in the place of PORT."""
    shutil.copytree(source / "tests", target / "tests")
    shutil.copy(source / "pyproject.toml", target)
    port = str(free_port())
    for file in target.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if PORT in text:
            file.write_text(text.replace(PORT, port), encoding="utf-8")


def run(package: str, *, control: bool, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run the tests of a package, and return the report of upstream_plugin, and the output.

    :param control: with upstream's own classes.
    """
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=20"]
    for plugin in ("pytest_asyncio.plugin", "pytest_timeout", "upstream_plugin"):
        command += ["-p", plugin]
    for plugin in ("cacheprovider", "logging"):  # upstream runs without the second
        command += ["-p", f"no:{plugin}"]
    command += arguments or ("tests/common", "tests/async")
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        _copy(source_of(package), Path(scratch))
        environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "UPSTREAM_PACKAGE": package,
            "UPSTREAM_CONTROL": "1" if control else "0",
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
        if not report.exists():
            raise RuntimeError(f"no report from the tests of {package}:\n{done.stdout}")
        result: dict[str, Any] = json.loads(report.read_text())
    result["output"] = done.stdout
    return result
