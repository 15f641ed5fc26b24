"""Connections of the soak's clients: by hand on aiohttp, and python-socketio's own.

A peer notes everything that must not happen: an answer that nobody waits for, a number that is
missing or comes again, an end that was not asked for.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import re
from collections import Counter
from typing import Any, Literal

import aiohttp
import engineio.payload
import socketio

OTHER = "/other"
#: Type of the Socket.IO packet, attachments, namespace, id, JSON.
PACKET = re.compile(r"4(\d)(?:(\d+)-)?(?:(/[^,]*),)?(\d+)?(.*)", re.DOTALL)

# How many packets python-socketio's client takes from one poll.
engineio.payload.Payload.max_decode_packets = 10_000

Kind = Literal["websocket", "deflate", "polling", "upgrade", "python"]


class Gone(Exception):
    """The connection is over."""


class Unanswered(Gone):
    """Nothing came in time, which has been noted."""


class Findings:
    """What has been counted, and what went wrong with a few examples.

    `patience`: seconds after which something is taken for lost.
    """

    EXAMPLES = 5

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.counts: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        #: Sessions whose client has said goodbye while it polled: a poll that was on its way then
        #: comes too late, and the server says so.
        self.over: set[str] = set()

    def add(self, what: str, example: str) -> None:
        self.wrong[what] += 1
        examples = self.examples.setdefault(what, [])
        if len(examples) < self.EXAMPLES:
            examples.append(example)


def take_out(value: Any, found: list[bytes]) -> Any:
    """A copy with placeholders where bytes are."""
    if isinstance(value, bytes):
        found.append(value)
        return {"_placeholder": True, "num": len(found) - 1}
    if isinstance(value, list | tuple):
        return [take_out(item, found) for item in value]
    return value


def put_back(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, list):
        return [put_back(item, attachments) for item in value]
    if isinstance(value, dict) and value.get("_placeholder"):
        return attachments[value["num"]]
    return value


def encode(kind: int, namespace: str, id: int | None, data: list[Any]) -> list[str | bytes]:
    """The packets of an event (2) or an acknowledgement (3)."""
    attachments: list[bytes] = []
    text = json.dumps(take_out(data, attachments))
    head = f"4{kind + 3}{len(attachments)}-" if attachments else f"4{kind}"
    prefix = "" if namespace == "/" else f"{namespace},"
    return [f"{head}{prefix}{'' if id is None else id}{text}", *attachments]


class Numbers:
    """The numbers of ticks and of what is said, each sequence from its first one on."""

    def __init__(self, findings: Findings, who: str) -> None:
        self.findings = findings
        self.who = who
        self.last: dict[tuple[str, str], int] = {}  # (sequence, server)
        self.rooms: set[str] = set()
        self.came = asyncio.Event()

    def take(self, namespace: str, event: str, args: list[Any]) -> None:
        if event == "tick":
            self.follow(f"tick {namespace}", args[0], args[1])
        elif event == "said":
            server, room, number, _ = args
            if room in self.rooms:
                self.follow(f"room {room}", server, number)
            else:
                self.findings.add("a room that was left", f"{self.who}: {room} {number}")
        elif event == "volatile":
            before = self.last.get((event, args[0]), 0)
            self.last[event, args[0]] = args[1]
            if args[1] <= before:
                self.findings.add("came again", f"{self.who}: {event} {before} {args[1]}")
        else:
            self.findings.add("an event that nobody sent", f"{self.who}: {event}")

    def follow(self, sequence: str, server: str, number: int) -> None:
        before = self.last.get((sequence, server))
        self.last[sequence, server] = number if before is None else max(before, number)
        self.came.set()
        if before is not None and number != before + 1:
            what = "came again" if number <= before else "is missing"
            self.findings.add(
                f"{sequence.partition(' ')[0]} {what}",
                f"{self.who}: {sequence} of {server}: {before} {number}",
            )

    def forget(self, sequence: str) -> None:
        for key in [key for key in self.last if key[0] == sequence]:
            del self.last[key]

    def behind(self, numbers: dict[tuple[str, str], int]) -> list[str]:
        """The sequences that have begun and are not at their last numbers."""
        return [
            f"{sequence} of {server}: {last}, not {numbers[sequence, server]}"
            for (sequence, server), last in self.last.items()
            if (sequence, server) in numbers and last != numbers[sequence, server]
        ]


class Peer:
    """A connection, in the root namespace once it is open."""

    def __init__(self, url: str, number: int, findings: Findings) -> None:
        self.url = url
        self.number = number
        self.findings = findings
        self.who = f"client {number}"
        self.numbers = Numbers(findings, self.who)
        self.sid = ""
        self.is_leaving = False
        #: Namespaces that the server has ended, as it was asked to.
        self.left: dict[str, asyncio.Event] = {"/": asyncio.Event(), OTHER: asyncio.Event()}
        self.over = asyncio.Event()

    def wrong(self, what: str, example: Any = "") -> None:
        self.findings.add(what, f"{self.who}: {example}")

    def answer(self, event: str, args: list[Any]) -> list[Any]:
        """What the server is answered when it asks."""
        assert event == "question", event
        self.findings.counts["questions"] += 1
        return [[*args, "of", self.number]]

    def heard(self, namespace: str, event: str, args: list[Any]) -> None:
        self.findings.counts[event] += 1
        self.numbers.take(namespace, event, args)

    async def is_sent_away(self, namespace: str) -> None:
        """Wait until the server has ended a namespace."""
        try:
            async with asyncio.timeout(self.findings.patience):
                await self.left[namespace].wait()
        except TimeoutError:
            self.wrong("nothing came", f"DISCONNECT from {namespace}")
            raise Unanswered from None

    def ended(self, why: str) -> None:
        if not self.is_leaving:
            self.wrong("the connection was lost", why)
        self.over.set()

    # What follows is each kind's own.

    async def open(self) -> None:
        raise NotImplementedError

    async def ask(self, namespace: str, event: str, *args: Any) -> list[Any]:
        """Emit, and return the acknowledgement."""
        raise NotImplementedError

    async def tell(self, namespace: str, event: str, *args: Any) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Leave as the protocol has it."""
        raise NotImplementedError


class HandPeer(Peer):
    """A client by hand."""

    def __init__(
        self,
        url: str,
        number: int,
        findings: Findings,
        kind: Kind,
        web: aiohttp.ClientSession,
        posts: aiohttp.ClientSession,
    ) -> None:
        super().__init__(url, number, findings)
        self.kind = kind
        self.web = web
        self.posts = posts
        self.who += f" ({kind})"
        self.ws: aiohttp.ClientWebSocketResponse | None = None
        self.eio_sid = ""
        self.ids = itertools.count()
        self.waiting: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}
        self.joining: dict[str, asyncio.Future[str]] = {}
        self.half: tuple[re.Match[str], list[bytes]] | None = None
        self.reader: asyncio.Task[None] | None = None
        self.is_upgrading = False
        self.stops_polling = False
        self.is_mute = False  # half a packet is sent, the rest of which does not come
        self.tasks: set[asyncio.Task[None]] = set()
        self.sending = asyncio.Lock()

    # --- opening ---

    async def open(self) -> None:
        if self.kind in ("polling", "upgrade"):
            (packet,) = await self.poll()
        else:
            await self.open_websocket("")
            assert self.ws is not None
            packet = (await self.ws.receive()).data
            if not isinstance(packet, str):
                raise Gone(f"it was refused: {packet}")
        self.eio_sid = json.loads(packet[1:])["sid"]
        self.reader = asyncio.create_task(self.read())
        self.sid = await self.join("/")
        if self.kind == "upgrade":
            await self.upgrade()

    async def open_websocket(self, query: str) -> None:
        self.ws = await self.web.ws_connect(
            f"{self.url}/socket.io/?EIO=4&transport=websocket{query}",
            compress=15 if self.kind == "deflate" else 0,
            max_msg_size=0,
        )
        assert (self.ws.compress > 0) == (self.kind == "deflate"), self.ws.compress

    async def join(self, namespace: str) -> str:
        future = self.joining[namespace] = asyncio.get_running_loop().create_future()
        prefix = "" if namespace == "/" else f"{namespace},"
        await self.send(f'40{prefix}{{"number":{self.number}}}')
        return await self.within("the answer to CONNECT", future)

    async def leave(self, namespace: str) -> None:
        """Leave a namespace other than the root."""
        self.numbers.forget(f"tick {namespace}")
        self.joining.pop(namespace, None)
        await self.send(f"41{namespace},")

    async def upgrade(self) -> None:
        """As the official client does it: no more polls and POSTs once the server has agreed."""
        assert self.reader is not None
        ws = await self.web.ws_connect(
            f"{self.url}/socket.io/?EIO=4&transport=websocket&sid={self.eio_sid}",
            max_msg_size=0,
        )
        await ws.send_str("2probe")
        message = await ws.receive()
        if message.data != "3probe":
            raise Gone(f"the upgrade was refused: {message}")
        async with self.sending:
            self.is_upgrading = True
            await self.reader
            await ws.send_str("5")
            self.ws = ws
        self.is_upgrading = False
        self.reader = asyncio.create_task(self.read())
        self.findings.counts["upgrades"] += 1

    # --- the way out ---

    async def send(self, *packets: str | bytes) -> None:
        async with self.sending:
            if self.over.is_set():
                raise Gone
            if self.ws is not None:
                for packet in packets:
                    if isinstance(packet, str):
                        await self.ws.send_str(packet)
                    else:
                        await self.ws.send_bytes(packet)
                return
            texts = [
                p if isinstance(p, str) else "b" + base64.b64encode(p).decode() for p in packets
            ]
            await self.post("\x1e".join(texts))

    async def post(self, body: str) -> None:
        url = f"{self.url}/socket.io/?EIO=4&transport=polling&sid={self.eio_sid}"
        async with self.posts.post(url, data=body.encode()) as response:
            text = await response.text()
            if response.status != 200 and not self.is_leaving:
                self.wrong("a POST was refused", f"{response.status} {text}")

    async def ask(self, namespace: str, event: str, *args: Any) -> list[Any]:
        id = next(self.ids)
        future = self.waiting[namespace, id] = asyncio.get_running_loop().create_future()
        try:
            await self.send(*encode(2, namespace, id, [event, *args]))
            return await self.within(f"acknowledgement {id} of {event}", future)
        finally:
            del self.waiting[namespace, id]

    async def tell(self, namespace: str, event: str, *args: Any) -> None:
        await self.send(*encode(2, namespace, None, [event, *args]))

    async def within(self, what: str, future: asyncio.Future[Any]) -> Any:
        try:
            async with asyncio.timeout(self.findings.patience):
                return await future
        except TimeoutError:
            self.wrong("nothing came", what)
            raise Unanswered from None

    # --- the way in ---

    async def poll(self) -> list[str | bytes]:
        sid = f"&sid={self.eio_sid}" if self.eio_sid else ""
        url = f"{self.url}/socket.io/?EIO=4&transport=polling{sid}"
        async with self.web.get(url) as response:
            body = await response.text()
            if response.status != 200:
                raise Gone(f"{response.status} {body}")
        return [
            base64.b64decode(packet[1:]) if packet.startswith("b") else packet
            for packet in body.split("\x1e")
        ]

    async def read(self) -> None:
        """Take what comes; return when the transport changes."""
        why = ""
        try:
            if self.ws is not None:
                async for message in self.ws:
                    self.take(message.data)
                why = f"closed with {self.ws.close_code}"
            else:
                while True:
                    for packet in await self.poll():
                        self.take(packet)
                    if self.is_upgrading:
                        return
                    if self.stops_polling:
                        raise Gone
        except (Gone, aiohttp.ClientError, ConnectionError) as exc:
            why = repr(exc)
        except Exception as exc:
            self.wrong("what came cannot be read", repr(exc))
        self.ended(why)
        for future in [*self.waiting.values(), *self.joining.values()]:
            if not future.done():
                future.set_exception(Gone(why))
                future.exception()

    def take(self, packet: str | bytes) -> None:
        if isinstance(packet, bytes):
            assert self.half is not None, "an attachment of nothing"
            match, attachments = self.half
            attachments.append(packet)
            if len(attachments) == int(match[2]):
                self.half = None
                self.handle(match, attachments)
        elif packet == "2":
            self.later("3")
        elif packet == "1":
            raise Gone("the server has closed the session")
        elif packet != "6":
            assert self.half is None, f"{packet} in the midst of attachments"
            match = PACKET.fullmatch(packet)
            assert match is not None, packet
            if match[2] is None:
                self.handle(match, [])
            else:
                self.half = match, []

    def handle(self, match: re.Match[str], attachments: list[bytes]) -> None:
        namespace = match[3] or "/"
        data = json.loads(match[5]) if match[5] else None
        if attachments:
            data = put_back(data, attachments)
            self.findings.counts["attachments"] += len(attachments)
        if match[1] in "25":
            event, *args = data
            if match[4] is None:
                is_stray = namespace != "/" and not self.has_joined(namespace)
                if not is_stray:
                    self.heard(namespace, event, args)
            else:
                answer = self.answer(event, args)
                self.later(*encode(3, namespace, int(match[4]), answer))
        elif match[1] in "36":
            future = self.waiting.get((namespace, int(match[4])))
            if future is None or future.done():
                self.wrong("an acknowledgement that nobody waits for", match[0][:200])
            else:
                self.findings.counts["acks"] += 1
                future.set_result(data)
        elif match[1] == "0":
            self.joining[namespace].set_result(data["sid"])
        elif match[1] == "1":
            self.left[namespace].set()
        else:
            self.wrong("a packet that was not to come", match[0][:200])

    def has_joined(self, namespace: str) -> bool:
        return namespace in self.joining and self.joining[namespace].done()

    def later(self, *packets: str | bytes) -> None:
        """Send from the reader: what is sent must not keep it from reading."""
        if self.is_mute:
            return

        async def quietly() -> None:
            try:
                await self.send(*packets)
            except (Gone, aiohttp.ClientError, ConnectionError) as exc:
                if not self.is_leaving and not self.over.is_set():
                    self.wrong("an answer was not sent", repr(exc))

        task = asyncio.create_task(quietly())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- the end ---

    async def close(self) -> None:
        self.is_leaving = True
        self.stops_polling = True
        if self.ws is None:
            self.findings.over.add(self.eio_sid)
        with contextlib.suppress(Gone, aiohttp.ClientError, ConnectionError):
            await self.send("41", "1")
        await self.drop()

    async def close_websocket(self) -> None:
        """Leave by a CLOSE frame alone."""
        self.is_leaving = True
        assert self.ws is not None
        await self.ws.close()
        await self.drop()

    async def cut(self) -> None:
        """Leave by the end of the TCP connection."""
        self.is_leaving = True
        if self.ws is not None and self.ws._response.connection is not None:
            transport = self.ws._response.connection.transport
            if transport is not None:
                transport.abort()
        await self.drop()

    async def drop(self) -> None:
        self.is_leaving = True
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        if self.ws is not None:
            await self.ws.close()
        self.over.set()
        for future in [*self.waiting.values(), *self.joining.values()]:
            if not future.done():
                future.set_exception(Gone("dropped"))
                future.exception()


class PythonPeer(Peer):
    """A client of python-socketio."""

    def __init__(self, url: str, number: int, findings: Findings) -> None:
        super().__init__(url, number, findings)
        self.who += " (python-socketio)"
        self.client = socketio.AsyncClient(reconnection=False, request_timeout=findings.patience)
        self.client.on("*", self.take, namespace="/")
        self.client.on("disconnect", self.lost, namespace="/")

    async def take(self, event: str, *args: Any) -> Any:
        if event == "question":
            return self.answer(event, list(args))[0]
        self.heard("/", event, list(args))
        return None

    def lost(self, reason: str) -> None:
        self.left["/"].set()
        self.ended(reason)

    async def open(self) -> None:
        await self.client.connect(
            self.url, auth={"number": self.number}, wait_timeout=self.findings.patience
        )
        self.sid = self.client.get_sid()

    async def ask(self, namespace: str, event: str, *args: Any) -> list[Any]:
        try:
            answer = await self.client.call(event, args, timeout=self.findings.patience)
        except socketio.exceptions.TimeoutError:
            self.wrong("nothing came", f"acknowledgement of {event}")
            raise Unanswered from None
        except socketio.exceptions.SocketIOError as exc:
            raise Gone(repr(exc)) from None
        self.findings.counts["acks"] += 1
        return list(answer) if isinstance(answer, tuple) else [answer]

    async def tell(self, namespace: str, event: str, *args: Any) -> None:
        try:
            await self.client.emit(event, args)
        except socketio.exceptions.SocketIOError as exc:
            raise Gone(repr(exc)) from None

    async def close(self) -> None:
        self.is_leaving = True
        await self.client.disconnect()
