"""A client that has joined, for the tests with loop_app.py."""

import json
from typing import Any

from .harness import Server, wait_until
from .sessions import SYNC, Client


class Joined(Client):
    """`joined` is its id in the root namespace."""

    def __init__(self, server: Server, transport: str) -> None:
        super().__init__(server.port, "loop")
        self.server = server
        self.step_open(transport)
        self.joined = self.join("40")

    def join(self, packet: str) -> str:
        """Join a namespace; the id there."""
        self.send([packet])
        answer = self.until(packet.partition("{")[0]) or ""
        sid: str = json.loads(answer[answer.index("{") :])["sid"]
        return sid

    def do(self, *packets: str) -> None:
        """Send packets, and wait until what they cause has begun."""
        self.send(list(packets))
        self.step_sync(*SYNC["/"])

    def leave(self) -> None:
        self.send(["1"])
        if self.ws is not None:
            self.ws.connection.close()

    def records(self, count: int = 1) -> list[Any]:
        """What was logged since the last call: at least so many records."""
        found: list[Any] = []

        def look() -> bool:
            found.extend(self.server.get("/records"))
            return len(found) >= count

        wait_until(f"{count} records", look)
        return found + self.server.get("/records")
