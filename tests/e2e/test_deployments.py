"""`uvicorn deployed:app --ws toolboxsio.uvicorn:WebSocketProtocol`, and `toolboxsio run
deployed:app`, as they are deployed.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import connect as async_connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from .harness import HERE, ROOT, stop, wait_until

pytestmark = pytest.mark.timeout(60)

PATH = "/socket.io/?EIO=4&transport=websocket"
MAX_CLIENTS = 200  # until each worker has had one


class Uvicorn:
    """A process of the command line: `python` with these arguments.

    :param env: of the environment, beside what the tests themselves run in.
    """

    def __init__(self, log: Path, *arguments: str, **env: str) -> None:
        self.log = log
        paths = [env.pop("PYTHONPATH", ""), str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, **env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_until(f"{text!r} in the log", lambda: self.said().count(text) >= count, 20)


@contextlib.contextmanager
def started(log: Path, *arguments: str, workers: int = 1, **env: str) -> Iterator[Uvicorn]:
    """Such a process, that serves, while the block runs."""
    server = Uvicorn(log, *arguments, **env)
    try:
        server.wait_for("Uvicorn running on")
        server.wait_for("Application startup complete", workers)
        yield server
    finally:
        stop(server.process)


def uvicorn(
    tmp_path: Path,
    *options: str,
    app: str = "app",
    workers: int = 1,
    ws: str = "toolboxsio.uvicorn:WebSocketProtocol",
) -> contextlib.AbstractContextManager[Uvicorn]:
    command = ["-m", "uvicorn", f"deployed:{app}", *options, "--ws", ws]
    return started(tmp_path / "log", *command, workers=workers)


def toolboxsio_run(
    tmp_path: Path, *options: str, app: str = "app", workers: int = 1, **env: str
) -> contextlib.AbstractContextManager[Uvicorn]:
    command = ["-m", "toolboxsio", "run", f"deployed:{app}", *options]
    return started(tmp_path / "log", *command, workers=workers, **env)


Serve = Callable[..., contextlib.AbstractContextManager[Uvicorn]]
BOTH = [(uvicorn, "asyncio"), (uvicorn, "uvloop"), (toolboxsio_run, "uvloop")]


def where(client: ClientConnection) -> list[Any]:
    """Join and ask the server for the path of the connection, and its process."""
    assert str(client.recv(10)).startswith("0{")
    client.send("40")
    assert str(client.recv(10)).startswith('40{"sid"')
    client.send('427["where"]')
    answer = str(client.recv(10))
    assert answer.startswith("437[")
    found: list[Any] = json.loads(answer[3:])[0]
    return found


@pytest.mark.parametrize(("serve", "loop"), BOTH)
def test_tls(tmp_path: Path, free_port: Any, serve: Serve, loop: str) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    options = ["--ssl-keyfile", str(key), "--ssl-certfile", str(chain), "--loop", loop]

    async def talk() -> None:  # a client with threads uses its SSL object from two at once
        url = f"wss://localhost:{port}{PATH}"
        async with asyncio.timeout(30), async_connect(url, ssl=context) as client:
            assert str(await client.recv()).startswith("0{")
            await client.send("40")
            assert str(await client.recv()).startswith('40{"sid"')
            await client.send('427["where"]')
            assert str(await client.recv()).startswith('437[["direct"')
            await client.send(f'428["where","{"x" * 300_000}"]')  # many records of TLS
            await client.send('429["where"]')
            assert str(await client.recv()).startswith("439[")

    with serve(tmp_path, "--port", str(port), *options):
        asyncio.run(talk())


@pytest.mark.parametrize(("serve", "loop"), BOTH)
def test_unix_socket(tmp_path: Path, serve: Serve, loop: str) -> None:
    path = str(tmp_path / "s")
    with (
        serve(tmp_path, "--uds", path, "--loop", loop),
        unix_connect(path, f"ws://localhost{PATH}") as client,
    ):
        assert where(client)[0] == "direct"


def test_a_middleware_is_not_bypassed(tmp_path: Path, free_port: Any) -> None:
    port = free_port()
    with (
        uvicorn(tmp_path, "--port", str(port), app="wrapped"),
        connect(f"ws://127.0.0.1:{port}{PATH}") as client,
    ):
        assert where(client)[0] == "asgi"


@pytest.mark.parametrize("serve", [uvicorn, toolboxsio_run])
def test_workers(tmp_path: Path, free_port: Any, serve: Serve) -> None:
    port = free_port()
    with (
        serve(tmp_path, "--port", str(port), "--workers", "2", workers=2) as server,
        contextlib.ExitStack() as clients,
    ):
        workers: set[int] = set()
        for _ in range(MAX_CLIENTS):
            client = clients.enter_context(connect(f"ws://127.0.0.1:{port}{PATH}"))
            path, process = where(client)
            assert path == "direct"
            workers.add(process)
            if len(workers) == 2:
                break
        assert len(workers) == 2
        assert server.process.pid not in workers


@pytest.mark.parametrize(("serve", "loop"), BOTH)
def test_graceful_shutdown(tmp_path: Path, free_port: Any, serve: Serve, loop: str) -> None:
    """Clients are told 1012, their disconnect handlers run, and the process ends."""
    port = free_port()
    with (
        serve(tmp_path, "--port", str(port), "--loop", loop) as server,
        connect(f"ws://127.0.0.1:{port}{PATH}") as client,
    ):
        assert where(client)[0] == "direct"
        assert f"WebSocket {PATH}" in server.said()  # the access log
        assert "[accepted]" in server.said()
        server.process.send_signal(signal.SIGTERM)
        assert client.recv(10) == "1"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        server.process.wait(10)
        _, disconnected, after = server.said().partition("disconnect server disconnect")
        assert disconnected
        assert "Waiting for connections to close" not in after


def test_limit_of_concurrency(tmp_path: Path, free_port: Any) -> None:
    """Connections that were taken over count, and stop counting when they are gone."""
    port = free_port()

    def status() -> int:
        query = "EIO=4&transport=polling"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/socket.io/?{query}") as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code

    with uvicorn(tmp_path, "--port", str(port), "--limit-concurrency", "3"):
        assert status() == 200
        with (
            connect(f"ws://127.0.0.1:{port}{PATH}") as first,
            connect(f"ws://127.0.0.1:{port}{PATH}") as second,
        ):
            assert [where(first)[0], where(second)[0]] == ["direct", "direct"]
            assert status() == 503  # the third connection is that of the request
        wait_until("there is room again", lambda: status() == 200)
