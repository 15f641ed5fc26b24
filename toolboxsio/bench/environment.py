"""What a figure depends on besides the code."""

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "toolboxsio",
    "python-socketio",
    "python-engineio",
    "orjson",
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
)


def cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """{package: version} of those that are installed."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def environment(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Part of every record."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "versions": versions(packages),
    }


def machine(record: dict[str, Any]) -> str:
    """The machine of a record, in a few words."""
    return f"{record['cpu']}, {record['cores']} cores"
