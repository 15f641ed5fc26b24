"""Honest clients as a process; what they are is read from its standard input, as a line of JSON:
`{"port": 1234, "clients": 200, "rate": 4, "window": 1}`.

Each sends `rate` events a second over a WebSocket and expects each answered, with its own number,
once. The process prints a line when all have joined; for each further line that it reads it prints
what it has seen since the last: the latencies, in milliseconds, of each window of so many seconds,
and what went wrong.
"""

import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

HANDSHAKE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
BATCH = 20  # clients that connect at a time


def quantile(values: list[float], q: float) -> float:
    return values[min(len(values) - 1, int(q * len(values)))]


class Load:
    """What all have seen; a window is over when a second is."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.latencies: list[float] = []
        self.windows: list[dict[str, float]] = []
        self.wrong: list[str] = []
        self.sent = self.answered = 0

    def cut(self) -> None:
        """End a window."""
        values = sorted(self.latencies)
        self.latencies.clear()
        if values:
            figures = {"n": len(values), "p50": quantile(values, 0.5)}
            figures |= {"p99": quantile(values, 0.99), "max": values[-1]}
            self.windows.append(figures)

    def take(self) -> dict[str, Any]:
        self.cut()
        told = {"windows": self.windows, "wrong": self.wrong}
        told |= {"sent": self.sent, "answered": self.answered}
        self.windows, self.wrong, self.sent, self.answered = [], [], 0, 0
        return told


class Client(asyncio.Protocol):
    """One of them."""

    transport: Any

    def __init__(self, load: Load, port: int) -> None:
        self.load = load
        self.port = port
        self.buffer = b""
        self.sent: dict[int, float] = {}
        self.number = 0
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(HANDSHAKE.format(port=self.port).encode())

    def send(self, text: str | bytes, opcode: int = 1) -> None:
        data = text.encode() if isinstance(text, str) else text
        assert len(data) < 126
        self.transport.write(bytes([0x80 | opcode, 0x80 | len(data)]) + b"\0\0\0\0" + data)

    def ask(self) -> None:
        self.number += 1
        self.sent[self.number] = time.perf_counter()
        self.load.sent += 1
        self.send(f'42{self.number}["same",{self.number}]')

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.buffer.startswith(b"HTTP"):
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head:
                self.load.wrong.append(head.decode())
            self.buffer = rest
            self.send("40")
        while len(self.buffer) > 1:
            size, start = self.buffer[1], 2
            if size == 126:
                size, start = int.from_bytes(self.buffer[2:4]), 4
            if len(self.buffer) < start + size:
                return
            text = self.buffer[start : start + size]
            opcode = self.buffer[0]
            self.buffer = self.buffer[start + size :]
            self.take(opcode, text)

    def take(self, opcode: int, text: bytes) -> None:
        if opcode == 0x89:
            self.send(text, 10)
        elif opcode != 0x81:
            self.load.wrong.append(f"frame {opcode:#x} {text!r}")
        elif text == b"2":
            self.send("3")
        elif text.startswith(b"43"):
            head, _, value = text[2:].partition(b"[")
            begun = self.sent.pop(int(head), None)
            if begun is None or value != head + b"]":
                self.load.wrong.append(f"answer {text!r}")
            else:
                self.load.answered += 1
                self.load.latencies.append((time.perf_counter() - begun) * 1000)
        elif text.startswith(b"40"):
            self.joined.set_result(None)
        elif not text.startswith(b"0"):
            self.load.wrong.append(f"packet {text!r}")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.load.wrong.append(f"lost: {exc}")


async def ask_evenly(clients: list[Client], rate: float) -> None:
    """Let one after the other ask, all as often."""
    pause = 1 / (len(clients) * rate)
    due = time.perf_counter()
    while True:
        for client in clients:
            now = time.perf_counter()
            if due > now:
                await asyncio.sleep(due - now)
            elif now - due > 1:  # the machine slept; what was missed is not made up for
                due = now
            due += pause
            client.ask()


async def main(port: int, clients: int, rate: float, window: float) -> None:
    loop = asyncio.get_running_loop()
    load = Load(window)
    everybody: list[Client] = []
    for first in range(0, clients, BATCH):
        batch = [Client(load, port) for _ in range(min(BATCH, clients - first))]
        for client in batch:
            await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        async with asyncio.timeout(30):
            await asyncio.gather(*(client.joined for client in batch))
        everybody += batch
    asking = asyncio.create_task(ask_evenly(everybody, rate))
    gc.freeze()
    gc.disable()

    def cut() -> None:
        load.cut()
        loop.call_later(window, cut)

    loop.call_later(window, cut)
    print(json.dumps({"joined": len(everybody)}), flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while await commands.readline():
        assert not asking.done(), asking.exception()
        unanswered = [time.perf_counter() - t for client in everybody for t in client.sent.values()]
        told = load.take()
        told["oldest"] = max(unanswered, default=0.0) * 1000
        print(json.dumps(told), flush=True)
    os._exit(0)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(**json.loads(sys.stdin.readline())))
