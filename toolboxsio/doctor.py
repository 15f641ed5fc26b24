"""`toolboxsio doctor`: what an installation runs on, and why it is not accelerated if it is not."""

import importlib
import os
import platform
from importlib import metadata

import toolboxsio

REQUIRED = ("python-socketio", "python-engineio")
OPTIONAL = ("uvicorn", "uvloop", "fastapi", "redis", "hiredis")


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def extension() -> str:
    """Where the extension is, or why it is not used."""
    if os.environ.get("TOOLBOXSIO_PURE", "0") not in ("", "0"):
        return "not used: TOOLBOXSIO_PURE is set"
    try:
        return str(importlib.import_module("toolboxsio._core").__file__)
    except ImportError as exc:
        return f"not loaded: {exc}"


def instructions() -> str:
    """The widest instructions that the extension uses on this processor."""
    if not toolboxsio.ACCELERATED:
        return "none"
    simd: str = importlib.import_module("toolboxsio._core").SIMD
    return simd


def report() -> dict[str, str]:
    """One line each: a name and what there is of it."""
    lines = {
        "toolboxsio": toolboxsio.__version__,
        "accelerated": "yes" if toolboxsio.ACCELERATED else "no",
        "extension": extension(),
        "SIMD": instructions(),
        "JSON": "C (toolboxsio.json)" if toolboxsio.ACCELERATED else "the standard library's",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for name in REQUIRED:
        lines[name] = version_of(name) or "missing"
    for name in OPTIONAL:
        lines[name] = version_of(name) or "not installed"
    return lines


def doctor() -> int:
    """Print the report; 0 when the extension is used, 1 when not."""
    lines = report()
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")
    return 0 if toolboxsio.ACCELERATED else 1
