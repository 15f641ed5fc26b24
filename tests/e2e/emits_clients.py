"""Many clients at once, by hand on asyncio: each packet that the server sends is seen."""

import asyncio
import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any, Literal, Self

import socketio

from .frames import BINARY, encode
from .raw import joined

SECONDS = 20
LARGE = 4 << 20  # bytes that a connection reads ahead
Packet = str | bytes
Transport = Literal["websocket", "polling"]


def event_packets(event: str, *args: Any, namespace: str = "/") -> list[Packet]:
    """An event as python-socketio encodes it, and its attachments; Engine.IO's type before it."""
    data = [event, *args]
    encoded = socketio.packet.Packet(socketio.packet.EVENT, data=data, namespace=namespace).encode()
    text, *attachments = encoded if isinstance(encoded, list) else [encoded]
    return [f"4{text}", *attachments]


class Client:
    """A connected client; `sid` is that of its namespace."""

    def __init__(self, port: int, run: str, namespace: str) -> None:
        self.port = port
        self.run = run
        self.namespace = namespace
        self.prefix = "" if namespace == "/" else f"{namespace},"
        self.sid = ""
        self.eio_sid = ""
        self.polled: list[Packet] = []
        self.compressed = 0  # messages
        self.inflater = zlib.decompressobj(-15)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    @classmethod
    async def connect(
        cls,
        port: int,
        transport: Transport = "websocket",
        *,
        run: str = "none-0",
        namespace: str = "/",
        deflate: bool = False,
    ) -> Self:
        """Connect and join a namespace; what its connect handler emits has been received."""
        client = cls(port, run, namespace)
        if transport == "websocket":
            await client.open_websocket(deflate)
        client.eio_sid = json.loads(str(await client.next())[1:])["sid"]
        await client.send(f"40{client.prefix}")
        answer = await client.until(f"40{client.prefix}")
        client.sid = json.loads(answer[-1][answer[-1].index("{") :])["sid"]
        return client

    async def open_websocket(self, deflate: bool) -> None:
        extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflate else ""
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, limit=LARGE
        )
        self.writer.write(
            f"GET /socket.io/?EIO=4&transport=websocket&run={self.run} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"{extension}\r\n".encode()
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        assert " 101 " in head, head
        assert deflate == ("permessage-deflate" in head), head

    async def next(self) -> Packet:
        """Return the next packet.

        :raises TimeoutError: when none comes.
        :raises EOFError: when the connection is closed.
        """
        async with asyncio.timeout(SECONDS):
            if self.writer is not None:
                return await self.message()
            while not self.polled:
                query = f"&sid={self.eio_sid}" if self.eio_sid else f"&run={self.run}"
                body = (await self.request("GET", query)).decode()
                self.polled = [
                    base64.b64decode(packet[1:]) if packet.startswith("b") else packet
                    for packet in body.split("\x1e")
                ]
            return self.polled.pop(0)

    async def message(self) -> Packet:
        """One WebSocket message, which is one frame."""
        assert self.reader is not None
        first, size = await self.reader.readexactly(2)
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
        payload = await self.reader.readexactly(size)
        if first & 0x40:
            self.compressed += 1
            payload = self.inflater.decompress(payload + b"\x00\x00\xff\xff")
        if first & 0x0F == 8:
            raise EOFError(payload)
        return payload if first & 0x0F == BINARY else payload.decode()

    async def until(self, start: str) -> list[Any]:
        """Return the packets up to one that begins so."""
        packets: list[Any] = []
        while not packets or not (isinstance(packets[-1], str) and packets[-1].startswith(start)):
            packets.append(await self.next())
        return packets

    async def send(self, *packets: Packet) -> None:
        if self.writer is not None:
            self.writer.write(b"".join(map(encode, packets)))
            return
        texts = [p if isinstance(p, str) else "b" + base64.b64encode(p).decode() for p in packets]
        await self.request("POST", f"&sid={self.eio_sid}", "\x1e".join(texts).encode())

    async def request(self, method: str, query: str, body: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=LARGE)
        try:
            writer.write(
                f"{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{self.port}\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head, _, answer = (await reader.read(-1)).partition(b"\r\n\r\n")
            assert b" 200 " in head, (head, answer)
            return joined(answer) if b"chunked" in head.lower() else answer
        finally:
            writer.close()

    async def ask(self, id: int, event: str, *args: Any) -> Any:
        """Emit an event and return its acknowledgement, one value; nothing else is to come."""
        text = json.dumps([event, *args])
        await self.send(f"42{self.prefix}{id}{text}")
        answer = await self.next()
        head = f"43{self.prefix}{id}["
        assert isinstance(answer, str), answer
        assert answer.startswith(head), answer
        return json.loads(answer[len(head) - 1 :])[0]

    async def leave(self) -> None:
        if self.writer is not None:
            self.writer.close()
        elif self.eio_sid:
            await self.send("1")


async def leave_all(clients: Iterable[Client]) -> None:
    await asyncio.gather(*(client.leave() for client in clients))
