"""A client whose acknowledgements are on disk: `python faults_client.py '{"url": ..., ...}'`.

    {"url": ..., "run": name, "transport": "websocket" or "polling", "pause": seconds,
     "event": "numbered" or "shout", "listen": seconds between the server's events, "other": url}

It sends numbered events and prints a line of JSON for each thing that happens, which is in its
standard output, a file, before anything else is done. The end of its standard input lets it stop
sending, wait for what is due and leave. With "other" it goes there when its connection is lost.
"""

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

import engineio.payload
import socketio

WAIT_SECONDS = 6

# what has waited for a while comes in one payload
engineio.payload.Payload.max_decode_packets = 10_000


def note(*values: Any) -> None:
    os.write(1, json.dumps(values).encode() + b"\n")


class Client:
    """The client, and the number of its next event."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.next = 0
        self.due = 0
        self.over = asyncio.Event()
        self.sio = socketio.AsyncClient(reconnection=False)
        self.sio.on("connect", lambda: note("connected"))
        self.sio.on("disconnect", self.lost)
        self.sio.on("number", self.heard)
        self.sio.on("shouted", lambda what: note("shouted", *what))

    def lost(self, reason: str) -> None:
        self.due = 0
        note("lost", reason)

    def heard(self, number: int) -> int:
        note("heard", number)
        return number

    async def send(self) -> None:
        """The next event; one that cannot be sent is not sent again."""
        number = self.next
        self.next += 1

        def answered(*answer: Any) -> None:
            self.due -= 1
            note("acked", number, *answer)

        try:
            await self.sio.emit(self.config.get("event", "numbered"), number, callback=answered)
        except socketio.exceptions.SocketIOError:
            return
        self.due += 1
        note("sent", number)

    async def connect(self, url: str) -> None:
        transports = [self.config["transport"]]
        await self.sio.connect(f"{url}?run={self.config['run']}", transports=transports)
        if self.config.get("listen") is not None:
            await self.sio.emit("numbers", self.config["listen"])

    async def run(self) -> None:
        await self.connect(self.config["url"])
        while not self.over.is_set():
            if self.sio.connected:
                await self.send()
            elif other := self.config.pop("other", None):
                await self.connect(other)
            await asyncio.sleep(self.config["pause"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while self.due > 0 and self.sio.connected:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        note("leaves", self.due)
        await self.sio.disconnect()


async def main(config: dict[str, Any]) -> None:
    client = Client(config)
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: (loop.remove_reader(0), client.over.set()))
    await client.run()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
