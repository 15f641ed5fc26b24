"""Servers and clients of the end-to-end tests as processes, each bounded in time."""

import contextlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

from .machine import SLOWNESS

HERE = Path(__file__).resolve().parent
JS = HERE.parent / "js"
ROOT = HERE.parent.parent

UPSTREAM = "socketio"
OURS = "toolboxsio"
#: What is compared: upstream's server, ours on plain ASGI, ours on our protocol class of uvicorn.
SIDES: dict[str, dict[str, Any]] = {
    "upstream": {"module": UPSTREAM},
    "asgi": {"module": OURS, "path": "asgi"},
    "direct": {"module": OURS, "path": "direct"},
}
START_SECONDS = 30 * SLOWNESS
RUN_SECONDS = 45 * SLOWNESS

T = TypeVar("T")
K = TypeVar("K")
Transport = Literal["asgi", "direct"]
Loop = Literal["auto", "uvloop", "asyncio", "proactor:ProactorLoop"]


def wait_until(what: str, probe: Callable[[], T], seconds: float = 8) -> T:
    """Call `probe` until it returns something true and return that; fail after `seconds`."""
    seconds *= SLOWNESS
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)
    return value


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process of ours and reap it."""
    process.terminate()
    try:
        process.wait(10 * SLOWNESS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


class Server:
    """A running server process: see app.py for its configuration.

    `under` is a command that runs it, as valgrind does.
    """

    def __init__(
        self,
        module: str,
        path: Transport = "asgi",
        loop: Loop = "auto",
        under: Sequence[str] = (),
        **config: Any,
    ) -> None:
        self.name = module if module == UPSTREAM else f"{module} ({path})"
        config |= {"module": module, "path": path, "loop": loop}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        environment = {k: v for k, v in os.environ.items() if k != "TOOLBOXSIO_PURE"}
        paths = [environment.get("PYTHONPATH", ""), str(ROOT)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self.process = subprocess.Popen(
            [*under, sys.executable, str(HERE / "app.py"), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            stop(self.process)
            raise RuntimeError(f"the {self.name} server did not start:\n{self.stderr()}")
        self.port: int = json.loads(line)["port"]
        self.host: str = config.get("host", "127.0.0.1")
        self.url = f"http://{self.host}:{self.port}"

    def stderr(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def get(self, path: str, **query: Any) -> Any:
        target = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(target, timeout=10) as response:
            return json.load(response)

    def do(self, method: str, **arguments: Any) -> Any:
        """Call a method of the server object inside its process."""
        request = urllib.request.Request(
            f"{self.url}/do/{method}",
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def transcript(self, run: str) -> list[Any]:
        """Return what the handlers saw of a run, once all its connections are gone."""

        def finished() -> Any:
            answer = self.get("/transcript", run=run)
            return answer if answer["live"] == 0 else None

        lines: list[Any] = wait_until(f"disconnect handlers of {run}", finished)["lines"]
        return lines

    def close(self) -> None:
        stop(self.process)
        self.errors.close()


Trio = tuple[Server, Server, Server]


@contextlib.contextmanager
def serving(module: str, **config: Any) -> Iterator[Server]:
    """A server while the block runs: `serving(OURS, path="direct", loop="uvloop", ...)`."""
    server = Server(module, **config)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def serving_all(**config: Any) -> Iterator[Trio]:
    """Upstream's server, ours on ASGI and ours direct while the block runs."""
    with contextlib.ExitStack() as stack:
        upstream, asgi, direct = (
            stack.enter_context(serving(**side, **config)) for side in SIDES.values()
        )
        yield upstream, asgi, direct


@contextlib.contextmanager
def serving_at_once(configurations: dict[K, dict[str, Any]]) -> Iterator[dict[K, Server]]:
    """Servers of ours while the block runs, started and stopped side by side."""
    with ThreadPoolExecutor(len(configurations)) as pool:
        futures = {
            key: pool.submit(Server, OURS, **config) for key, config in configurations.items()
        }
        try:
            yield {key: future.result() for key, future in futures.items()}
        finally:
            for future in futures.values():
                if future.exception() is None:
                    pool.submit(future.result().close)


def node() -> str:
    """Return the path of node; the npm packages are installed."""
    spec = importlib.util.spec_from_file_location("e2e_npm", JS / "npm.py")
    assert spec is not None
    assert spec.loader is not None
    npm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(npm)
    path: str = npm.ensure()
    return path


def play(server: Server, client: str, mode: str, script: str, **more: Any) -> dict[str, Any]:
    """Run a client's script; return {"client": its transcript, "server": the handlers' transcript}.

    `client` is "python" or the name of an npm package in tests/js.
    """
    run = f"{client}-{mode}-{script}-{time.monotonic_ns()}"
    config = {"client": client, "url": server.url, "mode": mode, "run": run, "script": script}
    program = [sys.executable, str(HERE / "py_client.py")]
    if client != "python":
        program = [node(), str(JS / "client.mjs")]
    done = subprocess.run(
        [*program, json.dumps(config | more)],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    if done.returncode != 0:
        raise AssertionError(
            f"{client} against {server.name} failed:\n{done.stderr}\n"
            f"so far: {done.stdout[-2000:]}\nserver: {server.stderr()[-4000:]}"
        )
    return {"client": json.loads(done.stdout), "server": server.transcript(run)}
