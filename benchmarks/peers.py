"""The servers that are compared under load, and how one is started.

Every server is a process of its own that prints {"port": N} when it listens, serves one handler or
emits (server.py, node/server.mjs) and ends on SIGTERM.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from . import records

LOOPS = ("uvloop", "asyncio")
NODE = Path(__file__).parent / "node"
NODE_LOOP = "node"  # stands for the loop of the side that has no choice


class Side(NamedTuple):
    label: str
    module: str | None  # that server.py imports; None: Node
    server: str = "uvicorn"
    path: str | None = None  # which `acceleration(sid)["path"]` its events have to take
    orjson: bool = False  # behind json=
    loops: tuple[str, ...] = LOOPS


SIDES = {
    "direct": Side("toolboxsio", "toolboxsio", path="direct"),
    "asgi": Side("toolboxsio through ASGI", "toolboxsio", path="asgi"),
    "upstream": Side("python-socketio", "socketio"),
    "orjson": Side("python-socketio with orjson", "socketio", orjson=True),
    "node": Side("Node socket.io", None, server="node", loops=(NODE_LOOP,)),
    "hypercorn-asgi": Side(
        "toolboxsio on hypercorn", "toolboxsio", "hypercorn", "asgi", loops=("uvloop",)
    ),
    "hypercorn-upstream": Side(
        "python-socketio on hypercorn", "socketio", "hypercorn", loops=("uvloop",)
    ),
}
RATIOS = (  # what is to be told: the first over the second
    ("direct", "upstream"),
    ("direct", "node"),
    ("direct", "orjson"),
    ("asgi", "upstream"),
    ("hypercorn-asgi", "hypercorn-upstream"),
)


def jobs(sides, loops):
    """[(side, loop)] to run for the chosen sides and loops; Node once, beside the first loop."""
    unknown = [side for side in sides if side not in SIDES]
    if unknown:
        raise SystemExit(f"no such side: {', '.join(unknown)}; there are {', '.join(SIDES)}")
    chosen = []
    for loop in loops:
        for side in (side for side in SIDES if side in sides):
            if loop in SIDES[side].loops:
                chosen.append((side, loop))
            elif NODE_LOOP in SIDES[side].loops and loop == loops[0]:
                chosen.append((side, NODE_LOOP))
    if not chosen:
        raise SystemExit(f"none of {', '.join(sides)} runs on {', '.join(loops)}")
    return chosen


def install_node():
    """The path of node; the packages of node/package-lock.json are installed afterwards.

    Done as for the tests' packages, by tests/js/npm.py, in another folder.
    """
    spec = importlib.util.spec_from_file_location("npm", records.ROOT / "tests" / "js" / "npm.py")
    npm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(npm)
    npm.HERE = NODE
    return npm.ensure()


def command(side, loop, core=None, options=()):
    """The command line of a server, which pins itself to the core; with options of server.py."""
    if SIDES[side].module is None:
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        return [*pinned, install_node(), str(NODE / "server.mjs"), *options]
    words = [sys.executable, "-m", "benchmarks.server", "--side", side, "--loop", loop, *options]
    return words if core is None else [*words, "--core", str(core)]


def environment(sides):
    """records.environment(), with the versions of Node and its socket.io when they take part."""
    found = records.environment()
    if "node" in sides:
        version = subprocess.run(
            [install_node(), "--version"], check=True, capture_output=True, text=True
        )
        package = NODE / "node_modules" / "socket.io" / "package.json"
        found["versions"]["node"] = version.stdout.strip().removeprefix("v")
        found["versions"]["socket.io"] = json.loads(package.read_text())["version"]
    return found
