"""Plays the script of the end-to-end tests with `socketio.AsyncClient` and prints its transcript.

`python py_client.py '{"url": ..., "mode": "websocket" | "polling" | "upgrade", "run": ...,
"script": "full" | "kicked" | "abrupt"}'`, the counterpart of tests/js/client.mjs; "serializer":
"msgpack" is possible too. Prints a JSON array of [what, ...values]; fails when a step takes too
long.
"""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import quote

import aiohttp
import socketio
from describe import describe

STEP = 8
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": None}
REPLIES: dict[str, Any] = {
    "none": None,
    "one": "answer",
    "several": (1, {"two": 2}, None),
    "binary": (b"\x09\x08", {"in": [b"x"]}),
}


class Player:
    def __init__(self, config: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.config = config
        self.lines: list[Any] = []
        self.events: dict[str, asyncio.Event] = {}
        self.leaving: asyncio.Future[None] | None = None
        serializer = config.get("serializer", "default")
        self.client = socketio.AsyncClient(
            reconnection=False, serializer=serializer, http_session=http
        )
        for event in ("welcome", "echoed", "message", "burst", "in room"):
            self.client.on(event, self.noting(event))
        self.client.on("said", self.noting("said"), namespace="/chat")
        self.client.on("said", self.noting("said in the wrong namespace"))
        self.client.on("question", self.question)
        for namespace in ("/", "/chat", "/wild"):
            self.client.on("disconnect", self.disconnected(namespace), namespace=namespace)

    def note(self, what: str, *values: Any) -> None:
        self.lines.append([what, *(describe(value) for value in values)])

    def noting(self, event: str) -> Any:
        return lambda *args: self.note(event, *args)

    def disconnected(self, namespace: str) -> Any:
        gone = self.events[namespace] = asyncio.Event()

        def handler(reason: str) -> None:
            self.note(f"{namespace} disconnected", reason)
            gone.set()

        return handler

    async def question(self, kind: str) -> Any:
        self.note("question", kind)
        return REPLIES[kind]

    async def connect(self, auth: Any, *namespaces: str) -> None:
        url = f"{self.config['url']}?run={self.config['run']}&city={quote('Köln & co')}"
        await self.client.connect(
            url,
            headers={"X-Token": "Bearer abc"},
            auth=auth,
            transports=TRANSPORTS[self.config["mode"]],
            namespaces=["/", *namespaces],
            socketio_path=self.config.get("path", "/socket.io"),
            wait_timeout=STEP,
        )
        self.note("connected", len(str(self.client.sid)), self.client.transport())

    async def acked(self, event: str, *args: Any, namespace: str = "/") -> None:
        loop = asyncio.get_running_loop()
        back: asyncio.Future[Any] = loop.create_future()
        await self.client.emit(
            event, args, namespace=namespace, callback=lambda *values: back.set_result(values)
        )
        label = f"{event} {args[0]}" if args and isinstance(args[0], str) else event
        self.note(f"ack of {label[:45]}", *await asyncio.wait_for(back, STEP))

    async def acks(self) -> None:
        await self.acked("nothing")
        await self.acked("nothing", None, [], {})
        for value in (0, -1, 1.5, 1e300, 2.0, 2**53, 10**30, True, False, None, "", "x", [], {}):
            if abs(value or 0 if isinstance(value, int) else 0) < 2**64 or not self.msgpack:
                await self.acked("one", value)
        await self.acked("one", [[1], {"a": []}])
        await self.acked("one", 'na\u00efve \u65e5\u672c \U0001f600 \u2028 \x00 " \\ /')
        await self.acked("one", {"\u00e9": {"": None}, "_placeholder": False, "num": 3})
        await self.acked("several", 1, "two", [3], {"four": 4}, None)
        await self.acked("several")
        await self.acked("plain", 1, 2)
        await self.acked("with space \u00e9")
        names = (
            "zero,false,empty text,empty list,empty dict,empty tuple,empty bytes,float,whole float,"
            "tiny,big,huge,unicode,nested,tuple with list,bytes,bytes inside,"
            "several with bytes,long text,long bytes"
        )
        for name in names.split(","):
            if name != "huge" or not self.msgpack:
                await self.acked("answer", name)

    @property
    def msgpack(self) -> bool:
        return self.config.get("serializer") == "msgpack"

    async def binary(self) -> None:
        await self.acked("one", b"\x00\x01\xff")
        await self.acked("one", b"")
        await self.acked("one", bytearray(b"\x01\x02\x03"))
        await self.acked("several", b"a", {"deep": [b"b", "c"]}, 4)
        await self.acked("one", b"\x07" * 200_000)
        await self.acked("one", "\u00e9" * 100_000)

    async def plain_events(self) -> None:
        await self.acked("echo")
        await self.acked("echo", 1, "two", {"three": [3]})
        await self.acked("echo", b"bin", [b"ary"])
        await self.client.emit("echo", "without ack")
        await self.acked("send_message")
        await self.acked("burst", 5)
        for number in range(8):
            await self.client.emit("numbered", number)
        await self.client.emit("no handler for this", 1)
        await self.client.emit("boom")
        await self.acked("transport")
        sid = await self.client.call("whoami", timeout=STEP)
        self.note("the server's sid is ours", sid == self.client.get_sid("/"))

    async def calls(self) -> None:
        for kind in REPLIES:
            await self.acked("ask", kind)
            await self.acked("callback", kind)
        await self.acked("ask_in_vain")

    async def rooms(self) -> None:
        await self.acked("join", "a room")
        await self.acked("to_room", "a room", {"n": 1}, False)
        await self.acked("to_room", "a room", {"n": 2}, True)
        await self.acked("to_room", "another", {"n": 3}, False)
        await self.acked("to_room", None, b"all", False)
        await self.acked("leave", "a room")
        await self.acked("to_room", "a room", {"n": 4}, False)
        await self.acked("remember", {"kept": [1]})
        await self.acked("recall")

    async def namespaces(self) -> None:
        await self.acked("say", "hello", {"to": "all"}, namespace="/chat")
        await self.acked("say", b"hello", namespace="/chat")
        await self.acked("any event", 1, b"2", namespace="/wild")
        await self.client.emit("kick", namespace="/chat")
        await asyncio.wait_for(self.events["/chat"].wait(), STEP)
        await self.acked("one", "still here")

    async def full(self) -> None:
        await self.connect({"token": "t\u00f6k\u20acn", "type": "Bearer"}, "/chat", "/wild")
        await self.acks()
        await self.binary()
        await self.plain_events()
        await self.calls()
        await self.rooms()
        await self.namespaces()
        self.leaving = asyncio.ensure_future(self.client.disconnect())

    async def kicked(self) -> None:
        await self.connect({"token": "k"})
        await self.client.emit("kick")
        await asyncio.wait_for(self.events["/"].wait(), STEP)

    async def abrupt(self) -> None:
        await self.connect(None, "/chat")
        await self.acked("one", 1)
        self.leaving = asyncio.ensure_future(self.client.eio.disconnect())

    async def live(self, http: aiohttp.ClientSession) -> int:
        url = f"{self.config['url']}/transcript?run={self.config['run']}"
        async with http.get(url) as response:
            return int((await response.json())["live"])


async def main() -> None:
    config = json.loads(sys.argv[1])
    async with aiohttp.ClientSession() as http:
        player = Player(config, http)
        await getattr(player, config["script"])()
        await asyncio.wait_for(player.events["/"].wait(), STEP)
        # a long poll may still be open: leave when the server has seen the end of every connection
        async with asyncio.timeout(STEP):
            while await player.live(http) > 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    if player.leaving is not None:
        await asyncio.wait_for(player.leaving, STEP)
    print(json.dumps(player.lines))


if __name__ == "__main__":
    asyncio.run(main())
