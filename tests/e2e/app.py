"""The server of the end-to-end tests: `python app.py '{"module": "socketio", ...}'`.

The module (`socketio` or `toolboxsio`) and the path of its packets ("asgi", or "direct" with our
protocol class in uvicorn) are all that differs between the sides of a comparison. The process
prints one JSON line with its port when it listens. What the handlers saw is kept for each run
(query parameter `run` of the connection) and read back with GET /transcript.

"handlers" in the configuration names a module with more handlers: see handlers_app.py.
"""

import asyncio
import gc
import importlib
import json
import logging
import os
import socket
import sys
import threading
from typing import Any, ClassVar
from urllib.parse import parse_qs

from describe import describe
from fastapi import FastAPI
from fastapi.responses import JSONResponse

BLOB = bytes(range(256))
ANSWERS: dict[str, Any] = {
    "zero": 0,
    "false": False,
    "empty text": "",
    "empty list": [],
    "empty dict": {},
    "empty tuple": (),
    "empty bytes": b"",
    "float": 1.5,
    "whole float": 2.0,
    "tiny": 5e-324,
    "big": 2**53,
    "huge": 10**30,
    "unicode": 'na\u00efve \u65e5\u672c \U0001f600 \u2028 \x7f \x00 " \\ /',
    "nested": {"a": [1, {"b": None}], "\u00e9": True},
    "tuple with list": ([1, 2],),
    "bytes": BLOB,
    "bytearray": [bytearray(b"\x00\xff")],
    "bytes inside": {"one": b"1", "more": [b"2", {"x": b""}], "none": None},
    "several with bytes": ("text", b"\x01", 3),
    "long text": "\u00e4x" * 60_000,
    "long bytes": BLOB * 800,
}


class TaggedJson:
    """An application's own JSON module: its output differs from the default's on purpose."""

    calls: ClassVar[dict[str, int]] = {"dumps": 0, "loads": 0}

    @classmethod
    def dumps(cls, value: Any, **kwargs: Any) -> str:
        cls.calls["dumps"] += 1
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr, **kwargs)

    @classmethod
    def loads(cls, text: Any, **kwargs: Any) -> Any:
        cls.calls["loads"] += 1
        return json.loads(text, parse_float=str, **kwargs)


class Records:
    """What the handlers saw, by run."""

    def __init__(self) -> None:
        self.lines: dict[str, list[Any]] = {}
        self.run_of: dict[str, str] = {}
        self.live: dict[str, int] = {}
        #: what handlers of the event `hold` wait for: see POST /release
        self.gate = asyncio.Event()
        #: transport and path of the sessions, counted when they connect or ask for their transport
        self.paths: dict[str, int] = {}

    def path(self, sio: Any, sid: str) -> None:
        if hasattr(sio, "acceleration"):
            key = f"{sio.transport(sid)} {sio.acceleration(sid)['path']}"
            self.paths[key] = self.paths.get(key, 0) + 1

    def opened(self, sid: str, environ: dict[str, Any]) -> None:
        run = parse_qs(environ["QUERY_STRING"]).get("run", ["none"])[0]
        self.run_of[sid] = run
        self.live[run] = self.live.get(run, 0) + 1

    def closed(self, sid: str) -> None:
        self.live[self.run_of[sid]] -= 1

    def add(self, sid: str, what: str, *values: Any) -> None:
        line = [what, *(describe(value) for value in values)]
        self.lines.setdefault(self.run_of.get(sid, "none"), []).append(line)


def environ_facts(environ: dict[str, Any]) -> dict[str, Any]:
    """The part of an environ that does not depend on ports."""
    moving = {"HTTP_HOST", "HTTP_SEC_WEBSOCKET_KEY"}
    facts = {k: v for k, v in environ.items() if isinstance(v, str) and k not in moving}
    query = parse_qs(environ["QUERY_STRING"])
    facts["QUERY_STRING"] = {k: v for k, v in query.items() if k not in ("run", "t", "sid")}
    del facts["RAW_URI"]
    return facts | {"keys": sorted(environ)}


def add_main_handlers(sio: Any, module: Any, seen: Records) -> None:
    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> Any:
        seen.opened(sid, environ)
        seen.path(sio, sid)
        seen.add(sid, "connect", environ_facts(environ), auth, type(sid).__name__, len(sid))
        await sio.emit("welcome", {"from": "connect"}, to=sid)

    @sio.event
    async def disconnect(sid: str, reason: Any) -> None:
        seen.add(sid, "disconnect", reason)
        seen.closed(sid)

    @sio.event
    async def nothing(sid: str, *args: Any) -> None:
        seen.add(sid, "nothing", *args)

    @sio.event
    async def one(sid: str, value: Any) -> Any:
        seen.add(sid, "one", value)
        return value

    @sio.event
    async def same(sid: str, value: Any) -> Any:
        return value

    @sio.event
    async def several(sid: str, *args: Any) -> Any:
        seen.add(sid, "several", *args)
        return args

    @sio.event
    def plain(sid: str, *args: Any) -> Any:
        seen.add(sid, "plain", *args)
        return len(args)

    @sio.on("answer")
    async def answer(sid: str, name: str) -> Any:
        return ANSWERS[name]

    @sio.on("with space \u00e9")
    async def spaced(sid: str) -> str:
        return "spaced"

    @sio.event
    async def echo(sid: str, *args: Any) -> int:
        seen.add(sid, "echo", *args)
        await sio.emit("echoed", args, to=sid)
        return len(args)

    @sio.event
    async def ask(sid: str, kind: Any) -> Any:
        got = await sio.call("question", kind, to=sid, timeout=5)
        seen.add(sid, "call returned", got)
        return describe(got)

    @sio.event
    async def ask_in_vain(sid: str) -> str:
        try:
            await sio.call("no answer", to=sid, timeout=0.2)
        except Exception as exc:
            return type(exc).__name__
        return "answered"

    @sio.event
    async def callback(sid: str, kind: Any) -> None:
        def called(*args: Any) -> None:
            seen.add(sid, "callback", *args)

        await sio.emit("question", kind, to=sid, callback=called)

    @sio.event
    async def hold(sid: str, value: Any = None) -> Any:
        await seen.gate.wait()
        return value

    @sio.on("count and hold")
    async def count_and_hold(sid: str) -> None:
        seen.add(sid, "held")
        await seen.gate.wait()

    @sio.event
    async def join(sid: str, room: str) -> list[str]:
        await sio.enter_room(sid, room)
        return sorted(name for name in sio.rooms(sid) if name != sid)

    @sio.event
    async def leave(sid: str, room: str) -> list[str]:
        await sio.leave_room(sid, room)
        return sorted(name for name in sio.rooms(sid) if name != sid)

    @sio.event
    async def to_room(sid: str, room: Any, data: Any, skip: bool) -> None:
        await sio.emit("in room", data, room=room, skip_sid=sid if skip else None)

    @sio.event
    async def remember(sid: str, value: Any) -> None:
        async with sio.session(sid) as session:
            session["value"] = value

    @sio.event
    async def recall(sid: str) -> Any:
        return (await sio.get_session(sid))["value"]

    @sio.event
    async def transport(sid: str) -> str:
        seen.path(sio, sid)
        return str(sio.transport(sid))

    @sio.event
    async def whoami(sid: str) -> str:
        return sid

    @sio.event
    async def boom(sid: str) -> None:
        seen.add(sid, "boom")
        raise RuntimeError("a handler of the tests raises")

    @sio.event
    async def numbered(sid: str, number: int) -> None:
        seen.add(sid, "numbered", number)

    @sio.event
    async def send_message(sid: str) -> None:
        await sio.send("a message", to=sid)

    @sio.event
    async def burst(sid: str, count: int) -> None:
        for number in range(count):
            await sio.emit("burst", (number, bytes([number])), to=sid)

    @sio.event
    async def kick(sid: str) -> None:
        seen.add(sid, "kick")
        await sio.disconnect(sid)


def add_namespaces(sio: Any, module: Any, seen: Records) -> None:
    class Chat(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
            seen.opened(sid, environ)
            seen.add(sid, "/chat connect", auth)

        async def on_disconnect(self, sid: str, reason: Any) -> None:
            seen.add(sid, "/chat disconnect", reason)
            seen.closed(sid)

        async def on_say(self, sid: str, *args: Any) -> Any:
            seen.add(sid, "/chat say", *args)
            await self.emit("said", args)
            return (*args, "said")

        async def on_kick(self, sid: str) -> None:
            seen.add(sid, "/chat kick")
            await self.disconnect(sid)

    sio.register_namespace(Chat("/chat"))

    @sio.on("connect", namespace="/refuse")
    async def refuse(sid: str, environ: dict[str, Any], auth: Any) -> Any:
        if auth == "false":
            return False
        if auth == "builtin":
            raise ConnectionRefusedError("not the one of the package")
        raise module.exceptions.ConnectionRefusedError("refused", {"code": 7, "\u00e9": None})

    @sio.on("*", namespace="/wild")
    async def wild(event: str, sid: str, *args: Any) -> Any:
        seen.add(sid, "/wild", event, *args)
        return event, *args

    @sio.on("connect", namespace="/wild")
    def wild_connect(sid: str, environ: dict[str, Any], auth: Any = "default") -> None:
        seen.opened(sid, environ)
        seen.add(sid, "/wild connect", auth)

    @sio.on("disconnect", namespace="/wild")
    def wild_disconnect(sid: str, reason: str) -> None:
        seen.add(sid, "/wild disconnect", reason)
        seen.closed(sid)

    @sio.on("connect", namespace="/legacy")
    async def legacy_connect(sid: str, environ: dict[str, Any]) -> None:
        seen.opened(sid, environ)
        seen.add(sid, "/legacy connect")

    @sio.on("disconnect", namespace="/legacy")
    async def legacy_disconnect(sid: str) -> None:
        seen.add(sid, "/legacy disconnect")
        seen.closed(sid)

    @sio.on("x", namespace="/legacy")
    async def legacy_event(sid: str) -> str:
        return "legacy"


def build(config: dict[str, Any]) -> Any:
    module = importlib.import_module(config["module"])
    options = dict(config.get("options", {}))
    if config["module"] == "toolboxsio" and not module.ACCELERATED:
        sys.exit("toolboxsio is not accelerated")
    if isinstance(options.get("ping_interval"), list):
        options["ping_interval"] = tuple(options["ping_interval"])
    if config.get("json"):
        options["json"] = TaggedJson
    if config.get("redis"):
        # without a time limit an idle subscription stays
        options["client_manager"] = module.AsyncRedisManager(
            config["redis"], redis_options={"socket_timeout": None}
        )
    log_lines: list[str] = []
    if config.get("logs"):

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                failed = record.exc_info[0].__name__ if record.exc_info else ""
                log_lines.append(f"{record.levelname} {record.getMessage()} {failed}".rstrip())

        for option, name in (("logger", "socketio"), ("engineio_logger", "engineio")):
            options[option] = logging.getLogger(f"e2e.{name}")
            options[option].setLevel(config["logs"])
            options[option].addHandler(Keep())
            options[option].propagate = False
    more = importlib.import_module(config["handlers"]) if "handlers" in config else None
    server_class = more.server_class(module, config) if more else module.AsyncServer
    sio = server_class(async_mode="asgi", **options)
    if config["module"] == "toolboxsio" and not module.AsyncServer.__module__.startswith(
        "toolboxsio"
    ):
        sys.exit("toolboxsio.AsyncServer is upstream's class")
    seen = Records()
    add_main_handlers(sio, module, seen)
    add_namespaces(sio, module, seen)
    if config.get("admin"):
        sio.instrument(**config["admin"])

    web = FastAPI(openapi_url=None)

    @web.get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "from FastAPI"}

    @web.get("/transcript")
    async def transcript(run: str) -> JSONResponse:
        return JSONResponse({"live": seen.live.get(run, 0), "lines": seen.lines.get(run, [])})

    @web.post("/do/end")
    async def end(arguments: dict[str, Any]) -> None:
        """End a client's connection."""
        await sio.eio.disconnect(arguments["eio_sid"])

    @web.post("/release")
    async def release() -> None:
        seen.gate.set()
        seen.gate = asyncio.Event()

    @web.get("/session")
    async def session(sid: str, run: str) -> JSONResponse:
        """What is held for an Engine.IO session, and what /transcript says of its run."""
        socket = sio.eio.sockets.get(sid)
        held = {
            "socket": socket is not None and not socket.closed,
            "environ": sid in sio.environ,
            "half packet": sid in sio._binary_packet,
            "rooms": any(
                sid in members.values()
                for rooms in sio.manager.rooms.values()
                for members in rooms.values()
            ),
            "handlers": seen.live.get(run, 0) > 0,
        }
        return JSONResponse({"held": held, "lines": seen.lines.get(run, [])})

    def held_now() -> dict[str, Any]:
        return {
            "sockets": len(sio.eio.sockets),
            "half packets": len(sio._binary_packet),
            "callbacks": sum(len(c) for c in sio.manager.callbacks.values()),
            "log": log_lines,
        }

    @web.get("/held")
    async def held() -> dict[str, Any]:
        """The part of /facts that costs nothing."""
        return held_now()

    @web.get("/facts")
    async def facts() -> dict[str, Any]:
        gc.collect()
        return {
            **held_now(),
            "json": TaggedJson.calls,
            "environs": len(sio.environ),
            "rooms": sorted(str(room) for rooms in sio.manager.rooms.values() for room in rooms),
            "paths": seen.paths,
        }

    @web.post("/do/{method}")
    async def do(method: str, arguments: dict[str, Any]) -> Any:
        result = await getattr(sio, method)(**arguments)
        return describe(result)

    app = module.ASGIApp(sio, other_asgi_app=web, socketio_path="/socket.io")
    return more.add(sio, module, seen, web, app) if more else app


def end_with_parent() -> None:
    """Leave when the standard input is closed: the tests are over, or were killed."""
    sys.stdin.read()
    os._exit(0)


def serve(config: dict[str, Any]) -> None:
    app = build(config)
    listener = socket.create_server((config.get("host", "127.0.0.1"), 0), backlog=256)
    # asyncio does it where it makes the listener itself; what is accepted inherits it
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    if config.get("server", "uvicorn") == "hypercorn":
        from hypercorn.asyncio import serve as hypercorn_serve
        from hypercorn.config import Config as HypercornConfig

        hypercorn_config = HypercornConfig()
        hypercorn_config.bind = [f"fd://{listener.fileno()}"]
        hypercorn_config.graceful_timeout = 1
        asyncio.run(hypercorn_serve(app, hypercorn_config))
    else:
        import uvicorn

        ws: Any = "websockets-sansio"
        http: Any = "auto"
        if config.get("path") == "direct":
            from toolboxsio.uvicorn import HTTPProtocol as http
            from toolboxsio.uvicorn import WebSocketProtocol as ws
        settings = uvicorn.Config(
            app,
            ws=ws,
            loop=config.get("loop", "auto"),
            ws_max_size=config.get("ws_max_size", 16 * 1024 * 1024),
            http=config.get("http", http),
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(settings).run(sockets=[listener])


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    serve(json.loads(sys.argv[1]))
