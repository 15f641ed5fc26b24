"""Crowds that come, enter rooms, and vanish without goodbye: CPU, tables and memory of the server.

TOOLBOXSIO_NIGHTLY=1 plays 5,000 clients instead of 1,600; the process and the server need as many
file descriptors.
"""

import json
import resource
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from .frames import encode
from .harness import OURS, Server, serving
from .machine import NIGHTLY
from .raw import WebSocket, Wire

SMALL, LARGE = (1250, 5000) if NIGHTLY else (400, 1600)
SECONDS = 60 if NIGHTLY else 20
BATCH = 50  # clients that connect at a time
ROOMS = 20  # of each client; half of them are its own
SHARED_ROOMS = 50
#: How much more CPU a client of the large crowd may take, how many objects of each may stay, and
#: how much of the memory of all.
MOST_CPU = 1.6
MOST_OBJECTS = 0.5
MOST_LEFT = 0.15
ATTEMPTS = 4  # the machine does other things, too

pytestmark = pytest.mark.timeout(600 if NIGHTLY else 90)


@pytest.fixture(autouse=True)
def file_descriptors() -> Iterator[None]:
    """Enough of them; a server that is started inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LARGE + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} file descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Newcomer:
    """A connection of the crowd."""

    def __init__(self, port: int, number: int) -> None:
        self.number = number
        self.buffer = b""
        self.connection = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.connection.sendall(
            (
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            ).encode()
        )

    def until(self, text: bytes) -> None:
        while text not in self.buffer:
            chunk = self.connection.recv(4096)
            assert chunk, self.buffer
            self.buffer += chunk
        self.buffer = b""

    def join(self) -> None:
        """Connect to the namespace and enter rooms."""
        n = self.number
        rooms = [f"shared {(n + step) % SHARED_ROOMS}" for step in range(ROOMS // 2)]
        rooms += [f"own {n} {step}" for step in range(ROOMS - len(rooms))]
        self.until(b'"pingInterval"')
        event = json.dumps(["enter", rooms])
        self.connection.sendall(encode("40/crowd,") + encode(f"42/crowd,1{event}"))

    def vanish(self) -> None:
        if self.number % 2:  # with a reset instead of an end
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


class Crowds:
    """Crowds on one server, and a client that is told when a crowd has gone."""

    def __init__(self, server: Server, watcher: WebSocket) -> None:
        self.server = server
        self.watcher = watcher
        self.here: list[Newcomer] = []

    def come(self, count: int) -> None:
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            batch = [Newcomer(self.server.port, number) for number in numbers]
            self.here += batch
            for newcomer in batch:
                newcomer.join()
            for newcomer in batch:
                newcomer.until(f'43/crowd,1["direct",{ROOMS + 1}]'.encode())
        assert self.server.get("/crowd")["here"] == count

    def vanish(self) -> float:
        """Let all vanish at once; return the seconds of CPU that each costs the server."""
        count = len(self.here)
        before = self.server.get("/crowd")["cpu"]
        while self.here:
            self.here.pop().vanish()
        self.watcher.until('42["the crowd is gone"]')
        after = self.server.get("/crowd")
        assert after["here"] == 0
        return float(after["empty at"] - before) / count

    def cost(self, count: int) -> float:
        self.come(count)
        return self.vanish()

    def kept(self) -> tuple[Any, int, int]:
        """What the server keeps: tables, objects, bytes in memory."""
        tables = self.server.get("/tables")
        return tables, tables.pop("blocks"), tables.pop("resident")

    def close(self) -> None:
        for newcomer in self.here:
            newcomer.connection.close()


@pytest.fixture(params=["auto", "asyncio"] if NIGHTLY else ["auto"])
def crowds(request: pytest.FixtureRequest) -> Iterator[Crowds]:
    side = {"path": "direct", "loop": request.param, "handlers": "emits_handlers"}
    with serving(OURS, **side) as server, Wire(server.port, "watcher-0") as wire:
        watcher = wire.websocket().connect()
        watcher.connection.settimeout(SECONDS)
        crowds = Crowds(server, watcher)
        try:
            yield crowds
        finally:
            crowds.close()


def test_crowds_that_vanish(crowds: Crowds) -> None:
    """The end of a client costs the same in a crowd of any size, and leaves nothing behind.

    The first crowd fills caches, and the allocator keeps for the next what cannot be given back.
    """
    tables, _, empty_bytes = crowds.kept()
    crowds.come(LARGE)
    full_tables, full_blocks, full_bytes = crowds.kept()
    assert full_tables["sockets"] == LARGE + 1
    crowds.vanish()
    _, first_blocks, first_bytes = crowds.kept()
    ratios = []
    while not ratios or (ratios[-1] > MOST_CPU and len(ratios) < ATTEMPTS):
        ratios.append(1 / crowds.cost(SMALL) * crowds.cost(LARGE))
    last_tables, blocks, resident = crowds.kept()
    print(f"CPU of a client in {LARGE} to one in {SMALL}: {ratios}")  # shown with -s
    print(f"objects with {LARGE} and after: {full_blocks} {first_blocks} {blocks}")
    print(
        f"bytes before, with {LARGE} and after: {empty_bytes} {full_bytes} {first_bytes} {resident}"
    )
    assert last_tables == tables
    assert ratios[-1] <= MOST_CPU, ratios
    assert blocks - first_blocks < MOST_OBJECTS * LARGE
    assert resident - first_bytes < MOST_LEFT * (full_bytes - empty_bytes)
