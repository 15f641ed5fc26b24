"""The end of a server with clients on it: by uvicorn's stop, and by `sio.shutdown()`."""

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .frames import CLOSE
from .machine import SLOWNESS
from .raw import Wire
from .test_deployments import PATH, Uvicorn, uvicorn

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

SHUTDOWN_SECONDS = 1 * SLOWNESS  # that handlers have in deployed.py
#: Within this the server has ended, whatever its clients do.
STOP_SECONDS = 3 * SLOWNESS
POLLING = "/socket.io/?EIO=4&transport=polling"
WS = {"direct": "toolboxsio.uvicorn:WebSocketProtocol", "asgi": "websockets-sansio"}


class Poller:
    """A session by polling, whose poll waits in a thread; `answers` has the bodies."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}{POLLING}"
        self.url += f"&sid={json.loads(self.ask(self.url)[1][1:])['sid']}"
        assert self.ask(self.url, b"40")[0] == 200
        assert self.ask(self.url)[1].startswith("40{")
        self.answers: list[tuple[int, str]] = []
        self.thread = threading.Thread(target=self.wait, daemon=True)
        self.thread.start()

    def ask(self, url: str, data: bytes | None = None) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()

    def wait(self) -> None:
        self.answers.append(self.ask(self.url))


def joined(stack: contextlib.ExitStack, port: int) -> ClientConnection:
    client = stack.enter_context(connect(f"ws://127.0.0.1:{port}{PATH}"))
    assert str(client.recv(10)).startswith("0{")
    client.send("40")
    assert str(client.recv(10)).startswith("40{")
    return client


def received(client: ClientConnection) -> list[Any]:
    """What comes to the end, and the close code."""
    got: list[Any] = []
    try:
        while True:
            got.append(client.recv(10))
    except ConnectionClosed as closed:
        return [*got, closed.rcvd.code if closed.rcvd else None]


def seconds_to_stop(server: Uvicorn) -> float:
    begun = time.monotonic()
    server.process.wait(20 * SLOWNESS)
    return time.monotonic() - begun


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("path", WS)
def test_uvicorn_stops(tmp_path: Path, free_port: Any, path: str, loop: str) -> None:
    """Answers on their way arrive, then each client is told; nobody waits for idle ones."""
    port = free_port()
    options = ("--port", str(port), "--loop", loop)
    with uvicorn(tmp_path, *options, ws=WS[path]) as server, contextlib.ExitStack() as stack:
        idle, busy = joined(stack, port), joined(stack, port)
        poller = Poller(port)
        silent = stack.enter_context(Wire(port, "silent")).websocket().connect()
        busy.send('421["where"]')
        assert json.loads(str(busy.recv(10))[3:])[0][0] == path
        busy.send('422["slow",0.5]')
        server.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        assert received(idle) == ["1", 1012]
        assert received(busy) == ['432["done"]', "1", 1012]
        assert seconds_to_stop(server) < STOP_SECONDS  # with one that answers no CLOSE frame
        poller.thread.join(5)
        assert poller.answers == [(200, "1")]
        silent.until("")
        assert [line[:2] for line in silent.wire.lines[-2:]] == [["text", "1"], ["close", 1012]]
        assert server.said().count("disconnect server disconnect") == 4
        assert "Traceback" not in server.said()


@pytest.mark.parametrize("says_goodbye", [True, False])
@pytest.mark.parametrize("path", WS)
def test_a_client_that_takes_nothing(
    tmp_path: Path, free_port: Any, path: str, says_goodbye: bool
) -> None:
    """What it should get has not left; where its CLOSE frame has come, uvicorn's own end fails."""
    port = free_port()
    with uvicorn(tmp_path, "--port", str(port), ws=WS[path]) as server:
        with Wire(port, "deaf") as wire:
            client = wire.websocket().connect()
            client.frame('421["much",6000000]')
            if says_goodbye:
                client.frame(b"\x03\xe8", CLOSE)
            time.sleep(0.3)  # nothing tells that a server does not write
            server.process.send_signal(signal.SIGTERM)
            assert seconds_to_stop(server) < 4 * SLOWNESS
        said = server.said()
        assert "Traceback" not in said
        assert "Exception in callback" not in said
        assert server.process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize("path", WS)
def test_a_handler_that_does_not_end(tmp_path: Path, free_port: Any, path: str) -> None:
    """It is cancelled after `shutdown_timeout`; others do not wait for it."""
    port = free_port()
    options = ("--port", str(port), "--timeout-graceful-shutdown", "10")
    with uvicorn(tmp_path, *options, ws=WS[path]) as server, contextlib.ExitStack() as stack:
        idle, busy = joined(stack, port), joined(stack, port)
        busy.send('422["slow",1000]')
        server.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert received(idle) == ["1", 1012]
        assert time.monotonic() - begun < 0.7 * SHUTDOWN_SECONDS
        assert received(busy) == ["1", 1012]
        assert 0.9 * SHUTDOWN_SECONDS < time.monotonic() - begun < STOP_SECONDS
        assert seconds_to_stop(server) < STOP_SECONDS
        assert "slow is cancelled" in server.said()
        assert "1 handlers were cancelled" in server.said()


@pytest.mark.parametrize("path", WS)
def test_a_client_that_polls_is_alone(tmp_path: Path, free_port: Any, path: str) -> None:
    port = free_port()
    with uvicorn(tmp_path, "--port", str(port), ws=WS[path]) as server:
        poller = Poller(port)
        server.wait_for("&sid=", 2)
        server.process.send_signal(signal.SIGTERM)
        assert seconds_to_stop(server) < STOP_SECONDS
        poller.thread.join(5)
        assert poller.answers == [(200, "1")]
        assert "disconnect server disconnect" in server.said()


def test_two_servers_on_one_connection(tmp_path: Path, free_port: Any) -> None:
    """A connection that was the one server's and is the other's: the sessions of both end."""
    port = free_port()
    with uvicorn(tmp_path, "--port", str(port), app="two") as server:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

        def ask(path: str, body: str | None = None) -> str:
            link.request("GET" if body is None else "POST", path, body)
            return link.getresponse().read().decode()

        for path in ("/socket.io/", "/other/"):
            url = f"{path}?EIO=4&transport=polling"
            url += f"&sid={json.loads(ask(url)[1:])['sid']}"
            assert ask(url, "40") == "OK"
            assert ask(url).startswith("40{")
        link.request("GET", url)  # waits
        server.wait_for("/other/", 3)
        server.process.send_signal(signal.SIGTERM)
        assert link.getresponse().read() == b"1"
        assert seconds_to_stop(server) < STOP_SECONDS
        assert server.said().count("other disconnect server disconnect") == 1
        assert server.said().count("disconnect server disconnect") == 2
        link.close()


def test_who_asks_for_the_end_does_not_wait_for_it(tmp_path: Path, free_port: Any) -> None:
    """A handler asks, and gives up: the end goes on, and the answers of others arrive."""
    port = free_port()
    with uvicorn(tmp_path, "--port", str(port)) as server, contextlib.ExitStack() as stack:
        busy, asking = joined(stack, port), joined(stack, port)
        busy.send('421["slow",0.5]')
        server.wait_for("slow begins")
        asking.send('422["ends_the_server"]')
        assert received(asking) == ['432["asked"]', "1", 1001]
        assert received(busy) == ['431["done"]', "1", 1001]


@pytest.mark.parametrize("path", WS)
def test_shutdown_leaves_nothing(tmp_path: Path, free_port: Any, path: str) -> None:
    """`await sio.shutdown()` while the web server goes on: 1001, then 503; no task, no timer."""
    port = free_port()
    with (
        uvicorn(tmp_path, "--port", str(port), app="stoppable", ws=WS[path]) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [joined(stack, port) for _ in range(3)]
        poller = Poller(port)
        clients[0].send('422["slow",0.3]')
        server.wait_for("slow begins")
        status, body = poller.ask(f"http://127.0.0.1:{port}/stop")
        assert status == 200
        assert received(clients[0]) == ['432["done"]', "1", 1001]
        assert received(clients[1]) == ["1", 1001]
        poller.thread.join(5)
        assert poller.answers == [(200, "1")]
        assert json.loads(body) == {"tasks": [], "timers": [], "sockets": 0, "connections": 0}
        assert poller.ask(f"http://127.0.0.1:{port}{POLLING}")[0] == 503
        with socket.create_connection(("127.0.0.1", port), 5) as late:
            late.sendall(
                f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
                "".encode()
            )
            assert late.recv(1000).startswith(b"HTTP/1.1 503 ")
