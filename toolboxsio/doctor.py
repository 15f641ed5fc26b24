"""`toolboxsio doctor`: what an installation runs on, and why it is not accelerated if it is not."""

import platform

import toolboxsio
from toolboxsio._load import REASON, core
from toolboxsio._versions import NEEDED, is_tested, problem, version_of

REQUIRED = ("python-socketio", "python-engineio")
OPTIONAL = ("uvicorn", "uvloop", "fastapi", "redis", "hiredis")


def direct() -> str:
    """Whether connections can leave ASGI, and how."""
    if core is None:
        return f"no: {REASON}"
    try:
        from toolboxsio.uvicorn import UNFIT, WebSocketProtocol
    except ImportError as exc:
        return f"no: {exc}"
    if UNFIT is not None:
        return f"no: {UNFIT}"
    ws = f"{WebSocketProtocol.__module__}:{WebSocketProtocol.__name__}"
    return f"`toolboxsio run main:app`, toolboxsio.run(app), or uvicorn with ws={ws}"


def redis() -> str:
    """Which Redis manager there is."""
    if toolboxsio.AsyncRedisManager.__module__ == "toolboxsio.redis":
        return "toolboxsio.AsyncRedisManager"
    if core is None:
        return f"python-socketio's: {REASON}"
    if version_of("redis") is not None and (reason := problem("redis")) is not None:
        return f"python-socketio's: {reason}"
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
        lines[name] = fitness(name) or "missing"
    for name in OPTIONAL:
        lines[name] = fitness(name) or "not installed"
    return lines


def fitness(distribution: str) -> str | None:
    """The version of a distribution, and what is to be said of it."""
    found = version_of(distribution)
    if found is None or distribution not in NEEDED:
        return found
    if problem(distribution) is not None:
        return f"{found} (does not fit)"
    return found if is_tested(distribution) else f"{found} (not tested with)"


def doctor() -> int:
    """Print the report; 0 when the extension is used, 1 when not."""
    lines = report()
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")
    return 0 if core is not None else 1
