"""nginx with the configuration that `toolboxsio nginx` prints, and the clients in front of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.e2e.harness import JS, node, stop, wait_until
from tests.e2e.machine import HOST

from .serving import PRODUCTION, Backend, clean_environment

#: What nginx needs around the printed configuration, in a folder of its own.
FRAME = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {more}
    include {folder}/toolboxsio.conf;
}}
"""


def program() -> str:
    """The path of nginx."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert found is not None, "nginx is needed: apt-get install nginx"
    return found


def printed(*options: str, **settings: str) -> str:
    """What `toolboxsio nginx` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "toolboxsio", "nginx", *options],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tempfile.gettempdir(),
        env=clean_environment({**PRODUCTION, **settings}),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def configure(folder: Path, configuration: str, more: str = "") -> list[str]:
    """Write the files of a configuration; the command that nginx runs with."""
    (folder / "toolboxsio.conf").write_text(configuration)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(FRAME.format(user=user, folder=folder, more=more))
    return [program(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]


class Proxy:
    """A running nginx in front of an application."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.access_log = folder / "access.log"
        self.error_log = folder / "error.log"


@contextlib.contextmanager
def proxying(
    port: int,
    *options: str,
    listen: str = "",
    more: str = "",
    **settings: str,
) -> Iterator[Proxy]:
    """nginx while the block runs, with what is printed for the options and settings of a server.

    :param listen: what is added to `listen` by hand, as " ssl" is.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        proxy = Proxy(port, folder)
        log = ["--access-log", str(proxy.access_log)]
        text = printed("--listen", f"{HOST}:{port}", *log, *options, **settings)
        text = text.replace(f"listen {HOST}:{port};", f"listen {HOST}:{port}{listen};")
        output = folder / "output"
        with output.open("w") as out:
            process = subprocess.Popen(configure(folder, text, more), stdout=out, stderr=out)

        def answers() -> bool:
            assert process.poll() is None, output.read_text()
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 5):
                return True
            return False

        try:
            wait_until("nginx answers", answers)
            yield proxy
        finally:
            stop(process)


class Clients:
    """Official JavaScript clients, in one process: see tests/js/proxy.mjs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [node(), str(JS / "proxy.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, action: str, client: str, **more: Any) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps({"do": action, "client": client, **more}), file=process.stdin, flush=True)
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready, f"no answer to {action}"
        answer = json.loads(process.stdout.readline())
        assert "result" in answer, f"{action} {client} {more}: {answer['error']}"
        return answer["result"]

    def open(
        self, client: str, url: str, *transports: str, address: str | None = None, **options: Any
    ) -> None:
        options = {"path": "/socket.io", "reconnectionDelay": 100, **options}
        if transports:
            options["transports"] = transports
        self.do("open", client, url=url, address=address, options=options)

    def ask(self, client: str, event: str, *data: Any) -> Any:
        (ack,) = self.do("ask", client, event=event, data=data)
        return ack

    def state(self, client: str) -> dict[str, Any]:
        state: dict[str, Any] = self.do("state", client)
        return state

    def close(self) -> None:
        stop(self._process)


@contextlib.contextmanager
def web_socket(
    port: int, token: str | None = None, address: str = HOST, **options: Any
) -> Iterator[ClientConnection]:
    """A client that has joined; its network connection comes from a local address."""
    scheme = "wss" if "ssl" in options else "ws"
    url = f"{scheme}://{HOST}:{port}/socket.io/?EIO=4&transport=websocket"
    options = {"source_address": (address, 0), "ping_interval": None, **options}
    with connect(url, proxy=None, **options) as client:
        assert str(client.recv(10)).startswith("0{")
        client.send("40" + ("" if token is None else json.dumps({"token": token})))
        packets = sorted(receive(client) for _ in range(2))
        assert [packet[:8] for packet in packets] == ['40{"sid"', '42["conn'], packets
        yield client


def receive(client: ClientConnection) -> str:
    """The next packet, pings aside, which are answered."""
    while True:
        packet = client.recv(10)
        assert isinstance(packet, str)
        if packet != "2":
            return packet
        client.send("3")


def ask(client: ClientConnection, event: str, *data: Any) -> Any:
    """The acknowledgement of an event; other events meanwhile are dropped."""
    client.send("427" + json.dumps([event, *data]))
    while not (packet := receive(client)).startswith("437"):
        assert packet.startswith("42")
    (ack,) = json.loads(packet[3:])
    return ack


def request(
    port: int,
    path: str,
    body: str | None = None,
    address: str = HOST,
    connection: http.client.HTTPConnection | None = None,
    **headers: str,
) -> tuple[int, str]:
    """(status, body) of a request from a local address."""
    link = connection or http.client.HTTPConnection(
        HOST, port, timeout=10, source_address=(address, 0)
    )
    try:
        link.request("GET" if body is None else "POST", path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        if connection is None:
            link.close()


def peers(port: int) -> set[int]:
    """The ports that connections with a port of this machine are established from (Linux)."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == "01" and int(local.split(":")[1], 16) == port:
            found.add(int(remote.split(":")[1], 16))
    return found


def is_running(process: int) -> bool:
    """Whether there is such a process, which has not ended (Linux)."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def worker_processes(backend: Backend) -> dict[int, int]:
    """Which process each worker is, as of the log's last word."""
    found = re.findall(r"worker (\d+) is process (\d+)", backend.log())
    return {int(index): int(process) for index, process in found}
