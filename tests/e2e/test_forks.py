"""Processes that are forked: when the application is made, and from a server that has clients."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import HERE, ROOT, stop
from .machine import SLOWNESS
from .raw import WebSocket, Wire
from .test_run import has_limit_of_headers

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

MAX_CLIENTS = 200  # until each worker has had one
SERVERS = [("direct", "uvloop"), ("asgi", "asyncio")]


@contextlib.contextmanager
def serving(workers: int, path: str, loop: str) -> Iterator[int]:
    """The port of the application while the block runs."""
    command = [sys.executable, str(HERE / "forks_app.py"), str(workers), path, loop]
    paths = [str(ROOT), str(ROOT / "tests" / "unit")]
    paths += [os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["port"]
    finally:
        stop(process)


@contextlib.contextmanager
def gunicorn(*options: str) -> Iterator[int]:
    """The same application behind gunicorn."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "gunicorn", "forks_app:app", *options]
        command += ["--bind", f"fd://{listener.fileno()}", "--log-level", "warning"]
        process = subprocess.Popen(command, cwd=HERE, pass_fds=[listener.fileno()])
        try:
            yield listener.getsockname()[1]
        finally:
            stop(process)
    assert process.returncode == 0


def ask(ws: WebSocket, event: str, *args: Any) -> tuple[Any, list[Any]]:
    """The answer to an event, and what came before it."""
    ws.frame("421" + json.dumps([event, *args]))
    before: list[Any] = []
    while not str(got := ws.receive()).startswith("431"):
        assert not ws.ended, before
        before.append(got)
    return json.loads(str(got)[3:]), before


WORKER = "toolboxsio.gunicorn.UvicornWorker"
MANY = {  # how an application comes to several workers, and the path of their clients
    "forked, direct": (lambda: serving(2, "direct", "uvloop"), "direct"),
    "forked, asgi": (lambda: serving(2, "asgi", "asyncio"), "asgi"),
    "gunicorn": (lambda: gunicorn("-w", "2", "-k", WORKER), "direct"),
    "gunicorn, preload": (lambda: gunicorn("-w", "2", "--preload", "-k", WORKER), "direct"),
    "gunicorn, other worker": (
        lambda: gunicorn("-w", "2", "--preload", "-k", "uvicorn_worker.UvicornWorker"),
        "asgi",
    ),
}


@pytest.mark.parametrize("kind", MANY)
def test_workers_of_an_application(kind: str) -> None:
    """Sessions, and the sessions' ids, are each worker's own; all of them work."""
    answers, sids = [], []
    served, path = MANY[kind]
    with served() as port, Wire(port, "forks") as wire:
        while len({answer[1] for answer in answers}) < 2 or len(answers) < 8:
            assert len(answers) < MAX_CLIENTS
            ws = wire.websocket().connect()
            answer, _ = ask(ws, "where")
            answers += answer
            assert ask(ws, "echo", {"a": [1.5, None]}) == ([{"a": [1.5, None]}], [])
        sids = wire.sids
    assert all(at_connect == now and way == path for at_connect, now, way in answers)
    assert len(sids) == len(set(sids)) == 2 * len(answers)


def test_gunicorn_has_both_protocols() -> None:
    with gunicorn("-k", WORKER) as port:
        assert has_limit_of_headers(port)


@pytest.mark.parametrize(("path", "loop"), SERVERS)
def test_a_child_of_a_server_leaves_its_clients_alone(path: str, loop: str) -> None:
    with serving(0, path, loop) as port, Wire(port, "forks") as wire:
        ws = wire.websocket().connect()
        for work in ("emit", "serve_another", "disconnect", "collect"):
            assert ask(ws, "fork", work) == ([0], []), work
            assert ask(ws, "echo", work) == ([work], []), work
