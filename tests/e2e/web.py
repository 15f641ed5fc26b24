"""An ASGI application on a real web server, in a thread of the test's process."""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import trustme
import uvicorn
import uvloop

from .harness import wait_until
from .machine import SLOWNESS

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
DIRECT = "toolboxsio.uvicorn:WebSocketProtocol"
SECONDS = 10 * SLOWNESS


class Tls:
    """A certificate of localhost, as files, and a client's context that trusts it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        self.key, self.chain = str(folder / "key.pem"), str(folder / "chain.pem")
        certificate.private_key_pem.write_to_path(self.key)
        for number, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(self.chain, append=number > 0)
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)


@dataclass
class Web:
    """A running server: where it is, and what it has logged as errors."""

    port: int
    tls: Tls | None = None
    errors: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        """A connection to it, over TLS where it has that."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        if self.tls is None:
            return connection
        return self.tls.context.wrap_socket(connection, server_hostname="localhost")

    def ask(self, method: str, target: str, headers: str = "", body: bytes = b"") -> bytes:
        """All that the server answers to one request until it closes the connection."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}"
        if "Connection:" not in headers:
            head += "Connection: close\r\n"
        answer = b""
        with self.connect() as connection:
            connection.sendall(head.encode() + b"\r\n" + body)
            with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer

    def handshake(self, target: str, headers: str = "") -> bytes:
        """All that it answers to the handshake of a WebSocket that it refuses."""
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        return self.ask("GET", target, upgrade + key + headers)


class _Errors(logging.Handler):
    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(record.getMessage())


@contextlib.contextmanager
def _logged(errors: list[str], *names: str) -> Iterator[None]:
    handler = _Errors(errors)
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)


@contextlib.contextmanager
def _in_thread(loop: str, main: Any) -> Iterator[list[BaseException]]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(main())
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield failures
    finally:
        thread.join(SECONDS)
        assert not thread.is_alive()
        for failure in failures:
            raise failure


@contextlib.contextmanager
def on_uvicorn(
    app: Any, loop: str = "asyncio", tls: Tls | None = None, **config: Any
) -> Iterator[Web]:
    """An application on uvicorn while the block runs."""
    if tls is not None:
        config |= {"ssl_keyfile": tls.key, "ssl_certfile": tls.chain}
    listener = socket.create_server(("127.0.0.1", 0))
    web = Web(listener.getsockname()[1], tls)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, **config)
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)

    async def main() -> None:
        await server.serve(sockets=[listener])

    names = ("uvicorn.error", "asyncio")
    with listener, _logged(web.errors, *names), _in_thread(loop, main) as failures:
        try:
            wait_until("uvicorn has started", lambda: server.started or failures)
            yield web
        finally:
            server.should_exit = True


@contextlib.contextmanager
def on_hypercorn(
    app: Any, loop: str = "asyncio", tls: Tls | None = None, **settings: Any
) -> Iterator[Web]:
    """An application on hypercorn while the block runs; HTTP/2 by prior knowledge, too."""
    config = hypercorn.config.Config()
    for name, value in settings.items():
        setattr(config, name, value)
    if tls is not None:
        config.keyfile, config.certfile = tls.key, tls.chain
    config.graceful_timeout = 1
    config.shutdown_timeout = 1
    listener = socket.create_server(("127.0.0.1", 0))
    web = Web(listener.getsockname()[1], tls)
    config.bind = [f"fd://{listener.detach()}"]  # which it closes
    config.errorlog = logging.getLogger("hypercorn.tests")
    config.errorlog.setLevel(logging.WARNING)
    is_over = threading.Event()

    async def until_over() -> None:
        while not is_over.is_set():  # noqa: ASYNC110 (it is set in another thread)
            await asyncio.sleep(0.01)

    async def main() -> None:
        await hypercorn.asyncio.serve(app, config, shutdown_trigger=until_over)

    names = ("hypercorn.tests", "asyncio")
    with _logged(web.errors, *names), _in_thread(loop, main):
        try:
            yield web
        finally:
            is_over.set()
