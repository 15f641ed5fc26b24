"""The servers that are compared under load, how each is set up, and how one is started.

Every server is a process of its own that prints {"port": N} when it listens, serves one handler or
emits (server.py, node/server.mjs, floor/) and ends on SIGTERM.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from toolboxsio.bench import PAYLOADS, peers
from toolboxsio.bench.peers import Side

from . import records

EVENT = PAYLOADS / "event.json"
LOOPS = peers.LOOPS
TRANSPORTS = ("websocket", "upgrade", "polling")  # of the clients of a server
NODE = Path(__file__).parent / "node"
FLOOR = records.ROOT / "build" / "toolboxsio-floor"
OWN_LOOPS = ("node", "floor")  # stand for the loops of the sides that have no choice

_HYPERCORN = "hypercorn's asyncio worker with its h11 and wsproto, loglevel=WARNING"
_NODE = (
    'new Server(http, {transports: ["websocket"], perMessageDeflate: false, serveClient: false}); '
    "the first request of a client is let go (rawSocket.request = null); "
)
_NODE_SIDE = Side(
    "Node socket.io",
    None,
    _NODE + "ws with bufferutil",
    server="node",
    loops=("node",),
)

HTTP = "toolboxsio.uvicorn:HTTPProtocol"

SESSIONS = {  # where requests are measured: with toolboxsio's class for them, too
    "direct-http": peers.SIDES["direct"]._replace(
        label="toolboxsio, ws= and http=",
        configuration=peers.SIDES["direct"].configuration.replace("httptools", HTTP),
        http=HTTP,
    ),
    "middleware": peers.SIDES["direct"]._replace(
        label="toolboxsio behind a middleware",
        configuration=peers.SIDES["direct"].configuration.replace("httptools", HTTP)
        + "; an ASGI middleware with a `send` of its own around the application",
        http=HTTP,
        path="asgi",
        middleware=True,
    ),
    "node-http": _NODE_SIDE._replace(
        configuration=_NODE_SIDE.configuration.replace(
            '["websocket"]', '["polling", "websocket"], or ["websocket"] where no client polls'
        )
    ),
}
COMPARED = {
    **peers.SIDES,
    "node": _NODE_SIDE,
    "hypercorn-asgi": Side(
        "toolboxsio on hypercorn",
        "toolboxsio",
        f"toolboxsio.AsyncServer with its defaults; {_HYPERCORN}",
        server="hypercorn",
        path="asgi",
        loops=("uvloop",),
    ),
    "hypercorn-upstream": Side(
        "python-socketio on hypercorn",
        "socketio",
        f"socketio.AsyncServer with its defaults; {_HYPERCORN}",
        server="hypercorn",
        loops=("uvloop",),
    ),
    "floor": Side(
        "floor",
        None,
        "epoll, accept, recv, send and canned bytes, in C: no JSON and no handler",
        server="floor",
        loops=("floor",),
    ),
}
TRIED = {  # what the set-ups of COMPARED were chosen from; measured only where they are named
    **{
        f"upstream-{ws}": peers.SIDES["upstream"]._replace(
            label=f"python-socketio, {ws}",
            ws=ws,
            configuration=peers.SIDES["upstream"].configuration.replace("websockets-sansio", ws),
        )
        for ws in ("websockets", "wsproto")
    },
    "node-plain": COMPARED["node"]._replace(
        label="Node socket.io, plain", configuration=_NODE + "without bufferutil"
    ),
}
SIDES = {**SESSIONS, **COMPARED, **TRIED}
RATIOS = (  # what is to be told: the first over the second
    ("direct-http", "upstream"),
    ("direct-http", "node-http"),
    ("direct-http", "floor"),
    ("middleware", "upstream"),
    ("direct", "upstream"),
    ("direct", "node"),
    ("direct", "floor"),
    *peers.RATIOS[1:],
    ("hypercorn-asgi", "hypercorn-upstream"),
)


def missing(side):
    """Why a side cannot be measured here, or None."""
    if SIDES[side].server == "floor":
        return None  # built with the load generator
    if SIDES[side].server == "node":
        try:
            install_node()
        except RuntimeError as problem:
            return str(problem).splitlines()[0]
        return None
    wanted = [SIDES[side].server, *(["orjson"] if SIDES[side].orjson else [])]
    absent = [name for name in wanted if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def present(sides):
    """(the sides that can be measured here, {each of the others: why not})."""
    reasons = {side: missing(side) for side in sides if side in SIDES}
    absent = {side: reason for side, reason in reasons.items() if reason is not None}
    found = tuple(side for side in sides if side not in absent)
    if not found:
        raise SystemExit("; ".join(f"{side}: {reason}" for side, reason in absent.items()))
    return found, absent


def jobs(sides, loops):
    """[(side, loop)] to run for the chosen sides and loops.

    Sides with a loop of their own run once, beside the first loop.
    """
    unknown = [side for side in sides if side not in SIDES]
    if unknown:
        raise SystemExit(f"no such side: {', '.join(unknown)}; there are {', '.join(SIDES)}")
    chosen = []
    for loop in loops:
        for side in (side for side in SIDES if side in sides):
            if loop in SIDES[side].loops:
                chosen.append((side, loop))
            elif SIDES[side].loops[0] in OWN_LOOPS and loop == loops[0]:
                chosen.append((side, SIDES[side].loops[0]))
    if not chosen:
        raise SystemExit(f"none of {', '.join(sides)} runs on {', '.join(loops)}")
    return chosen


def install_node():
    """The path of node; the packages of node/package-lock.json are installed afterwards.

    Done as for the tests' packages, by tests/js/npm.py, in another folder. RuntimeError without
    node and npm.
    """
    spec = importlib.util.spec_from_file_location("npm", records.ROOT / "tests" / "js" / "npm.py")
    npm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(npm)
    npm.HERE = NODE
    return npm.ensure()


def command(side, loop, core=None, options=()):
    """The command line of a server, which pins itself to the core; with options of server.py."""
    if SIDES[side].module is None:
        words = [] if core is None else ["taskset", "-c", str(core)]
        if side == "floor":
            return [*words, str(FLOOR), "--payload", str(EVENT), *options]
        words += ["env", "WS_NO_BUFFER_UTIL=1"] if side == "node-plain" else []
        return [*words, install_node(), str(NODE / "server.mjs"), *options]
    quiet = (
        ["-W", "ignore"] if SIDES[side].ws == "websockets" else []
    )  # it is deprecated, and says so
    words = [sys.executable, *quiet, "-m", "benchmarks.server", "--side", side, "--loop", loop]
    words += options
    return words if core is None else [*words, "--core", str(core)]


def node_versions():
    """{name: version} of Node and of the packages that its server uses."""
    said = subprocess.run([install_node(), "--version"], check=True, capture_output=True, text=True)
    found = {"node": said.stdout.strip().removeprefix("v")}
    for name in ("socket.io", "ws", "bufferutil"):
        package = NODE / "node_modules" / name / "package.json"
        found[name] = json.loads(package.read_text())["version"]
    return found


def environment(sides, absent):
    """records.environment(), how the sides are set up, and which are not covered."""
    found = records.environment()
    if any(SIDES[side].server == "node" for side in sides):
        found["versions"] |= node_versions()
    return {
        **found,
        "configurations": {side: SIDES[side].configuration for side in sides},
        "not_covered": {SIDES[side].label: reason for side, reason in absent.items()},
    }
