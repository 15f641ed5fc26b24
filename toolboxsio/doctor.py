"""`toolboxsio doctor`: what an installation runs on, and why it is not accelerated if it is not."""

import platform
from importlib import metadata

import toolboxsio
from toolboxsio._load import REASON, core

REQUIRED = ("python-socketio", "python-engineio")
OPTIONAL = ("uvicorn", "uvloop", "fastapi", "redis", "hiredis")


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def direct() -> str:
    """Whether connections can leave ASGI, and with which option of uvicorn."""
    if core is None:
        return "no: there is no extension"
    try:
        from toolboxsio.uvicorn import WebSocketProtocol
    except ImportError as exc:
        return f"no: {exc}"
    return f"uvicorn with ws={WebSocketProtocol.__module__}:{WebSocketProtocol.__name__}"


def redis() -> str:
    """Which Redis manager there is."""
    if toolboxsio.AsyncRedisManager.__module__ == "toolboxsio.redis":
        return "toolboxsio.AsyncRedisManager"
    return 'python-socketio\'s: pip install "toolboxsio[redis]" brings a faster one'


def report() -> dict[str, str]:
    """One line each: a name and what there is of it."""
    lines = {
        "toolboxsio": toolboxsio.__version__,
        "accelerated": "yes" if core is not None else f"no: {REASON}",
        "extension": str(core.__file__) if core is not None else "none",
        "SIMD": core.simd() if core is not None else "none",
        "direct path": direct(),
        "Redis manager": redis(),
        "JSON": "C (toolboxsio.json)" if core is not None else "the standard library's",
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
    return 0 if core is not None else 1
