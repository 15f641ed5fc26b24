"""The application as a process: `toolboxsio serve` with settings of its own."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.e2e.machine import HOST, SLOWNESS

HERE = Path(__file__).resolve().parent
SECRET = "a secret of the tests that is longer than 32 bytes"
START_SECONDS = 20 * SLOWNESS

#: A server in production mode that serves this machine.
PRODUCTION = {"SIO_JWT_SECRET": SECRET, "SIO_TRUSTED_HOSTS": '["127.0.0.1", "localhost"]'}


def token(
    sub: str = "u-1",
    role: str | None = "student",
    seconds: float = 600,
    secret: str = SECRET,
    algorithm: str = "HS256",
    **claims: Any,
) -> str:
    """A token as the product's own login service would make it."""
    made: dict[str, Any] = {"sub": sub, "exp": time.time() + seconds}
    if role is not None:
        made["role"] = role
    return sign({**made, **claims}, secret, algorithm)


def sign(claims: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    """A token of any claims, senseless ones too (RFC 7515, by hand)."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = json.dumps({"alg": algorithm, "typ": "JWT"})
    text = f"{part(head.encode())}.{part(json.dumps(claims).encode())}"
    if algorithm == "none":
        return f"{text}."
    digest = f"sha{algorithm[2:]}"
    return f"{text}.{part(hmac.digest(secret.encode(), text.encode(), digest))}"


def clean_environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIO_")}
    root = str(HERE.parents[1])
    paths = [kept.get("PYTHONPATH", ""), root]
    kept["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return {**kept, **settings}


class Backend:
    """A running `toolboxsio serve`, which may be stopped and started again; what it says is in
    `log()`.

    :param path: "direct", or "asgi" with uvicorn's own WebSocket.
    """

    def __init__(self, port: int, *options: str, path: str = "direct", **settings: str) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.folder = tempfile.TemporaryDirectory()
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        program = ["-m", "toolboxsio"] if path == "direct" else [str(HERE / "serve_on_asgi.py")]
        self._command = [sys.executable, *program, "serve", "--port", str(port), *options]
        self._environment = clean_environment(settings)
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            cwd=self.folder.name,  # no .env of others
            env=self._environment,
        )

    def start(self) -> None:
        """Once more, on the same port."""
        self.process = self._begin()

    def log(self) -> str:
        self.output.seek(0)
        return self.output.read()

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """(status, body) of a GET."""
        return open_url(self.url + path, **headers)

    def status(self) -> dict[str, Any]:
        """What GET /socketio/status answers."""
        code, body = self.get("/socketio/status")
        assert code == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def wait(self) -> Backend:
        """Until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if self.get("/health")[0] == 200:
                    return self
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)  # between two questions

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once: a graceful end waits for the requests of clients that have polled."""
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        self.stop()
        self.output.close()
        self.folder.cleanup()


@contextlib.contextmanager
def serving(port: int, *options: str, path: str = "direct", **settings: str) -> Iterator[Backend]:
    """The application while the block runs; in production mode unless told otherwise."""
    backend = Backend(port, *options, path=path, **{**PRODUCTION, **settings})
    try:
        yield backend.wait()
    finally:
        backend.close()


def open_url(url: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    """(status, body) of a GET, or of a POST of a polling client."""
    request = urllib.request.Request(url, data, headers=headers)
    if data is not None:
        request.add_header("Content-Type", "text/plain;charset=UTF-8")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Polling:
    """A session by polling, without a client that keeps polls open."""

    def __init__(self, backend, query="", **headers):
        self.base = f"{backend.url}/socket.io/?EIO=4&transport=polling&{query.removeprefix('?')}"
        self.headers = headers
        code, body = self._ask(self.base)
        assert code == 200, body
        self.base += f"&sid={json.loads(body[1:])['sid']}"

    def _ask(self, url, data=None):
        return open_url(url, data, **self.headers)

    def emit(self, packet):
        assert self._ask(self.base, packet.encode()) == (200, "ok")

    def packets(self):
        code, body = self._ask(self.base)
        assert code == 200, body
        return body.split("\x1e")

    def connect(self, auth):
        """The events of the answer, or what the refusal says."""
        self.emit("40" + ("" if auth is None else json.dumps(auth)))
        packets = self.packets()
        for packet in packets:
            if packet.startswith("44"):
                return json.loads(packet[2:])
        if not any(packet.startswith("40{") for packet in packets):
            packets += self.packets()
        return dict(json.loads(packet[2:]) for packet in packets if packet.startswith("42"))

    def close(self):
        self.emit("1")


class Frames:
    """The same on a WebSocket, packet by packet."""

    def __init__(self, backend, query=""):
        query = f"EIO=4&transport=websocket&{query.removeprefix('?')}"
        url = f"ws://{HOST}:{backend.port}/socket.io/?{query}"
        self.stack = contextlib.ExitStack()
        self.ws = self.stack.enter_context(connect(url, proxy=None))
        assert self.packets()[0].startswith("0{")

    def emit(self, packet):
        self.ws.send(packet)

    def packets(self):
        return [self.ws.recv(timeout=5)]

    def connect(self, auth):
        """Join, and take the greeting in."""
        self.emit("40" + json.dumps(auth))
        awaited = {"40{", "42["}
        while awaited:
            awaited.discard(self.packets()[0][:3])

    def close(self):
        self.stack.close()
