"""A fleet of servers behind one Redis server, and clients on each of them."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import redis

from .emits_clients import Client, Transport, event_packets, leave_all
from .harness import Server, wait_until

TRANSPORTS: tuple[Transport, ...] = ("websocket", "polling")


class Member(Client):
    """A client of a fleet: it knows what it has to receive."""

    def __init__(self, port: int, run: str, namespace: str) -> None:
        super().__init__(port, run, namespace)
        self.expected: list[str | bytes] = []


class Fleet:
    """Servers, and on each a client that speaks WebSocket and one that polls."""

    def __init__(self, servers: list[Server], clients: list[list[Member]]) -> None:
        self.servers = servers
        self.clients = clients
        self.marks = 0

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Each host as a sender, with each other host."""
        hosts = range(len(self.servers))
        return ((sender, other) for sender in hosts for other in hosts if sender != other)

    def everyone(self) -> list[Member]:
        return [client for clients in self.clients for client in clients]

    async def post(self, host: int, path: str, body: Any = None) -> Any:
        """Send a request to a host and return its answer."""

        def send() -> Any:
            request = urllib.request.Request(
                f"{self.servers[host].url}{path}",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=20) as response:
                return json.load(response)

        return await asyncio.to_thread(send)

    async def perform(self, host: int, *operations: dict[str, Any]) -> list[Any]:
        """Let a host perform operations: see emits_handlers.py."""
        results = await self.post(host, "/perform", [{"namespace": "/"} | o for o in operations])
        assert isinstance(results, list)
        return results

    async def do(self, host: int, *operations: dict[str, Any]) -> None:
        """Let a host perform operations that return nothing and do not fail."""
        results = await self.perform(host, *operations)
        assert results == [None] * len(operations), list(zip(operations, results, strict=True))

    async def check(self, host: int) -> None:
        """All have received what they had to, in order, and nothing else."""
        self.marks += 1
        await self.do(host, {"do": "emit", "event": f"mark {self.marks}"})
        (mark,) = event_packets(f"mark {self.marks}")
        for client in self.everyone():
            got = await client.until(str(mark))
            assert shortened(got) == shortened([*client.expected, mark]), (host, client.run)
            client.expected.clear()


def shortened(packets: list[Any]) -> list[Any]:
    """Packets for a comparison that is shown; of long ones length, hash and beginning."""
    return [p if len(p) < 1000 else (len(p), hash(p), p[:100]) for p in packets]


@contextlib.asynccontextmanager
async def clients_of(servers: list[Server], redis_port: int) -> AsyncIterator[Fleet]:
    """Connect the clients; the servers listen to each other."""
    clients = [
        [
            await Member.connect(server.port, transport, run=f"fleet-{host}{kind}")
            for kind, transport in enumerate(TRANSPORTS)
        ]
        for host, server in enumerate(servers)
    ]
    fleet = Fleet(servers, clients)
    try:
        with redis.Redis(port=redis_port) as client:
            wait_until("all listen", lambda: client.pubsub_numsub("socketio")[0][1] == len(servers))
        yield fleet
    finally:
        await leave_all(fleet.everyone())
