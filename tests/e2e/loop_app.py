"""More of app.py, for the tests of how handlers start, and of what becomes of their failures."""

import asyncio
import functools
import gc
import logging
import traceback
from collections.abc import Callable, Generator
from types import coroutine
from typing import Any

import nest_asyncio

EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(7),
    "KeyboardInterrupt": KeyboardInterrupt,
    "LookupError": lambda: LookupError("of the tests"),
}


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return module.AsyncServer


async def fail(kind: str, rounds: int) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)
    raise EXCEPTIONS[kind]()


def add_failures(sio: Any, module: Any) -> None:
    class Space(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_fail(self, sid: str, kind: str, rounds: int) -> None:
            await fail(kind, rounds)

    @sio.on("fail")
    async def at_root(sid: str, kind: str, rounds: int) -> None:
        await fail(kind, rounds)

    @sio.on("fail plainly")
    def plainly(sid: str, kind: str, rounds: int) -> None:
        raise EXCEPTIONS[kind]()

    @sio.on("not JSON")
    async def not_json(sid: str) -> object:
        return object()

    @sio.on("*", namespace="/all")
    async def catch_all(event: str, sid: str, kind: str, rounds: int) -> None:
        await fail(kind, rounds)

    @sio.on("connect", namespace="/connect")
    async def connects(sid: str, environ: Any, auth: Any) -> None:
        await fail(**auth)

    leaving: dict[str, Any] = {}

    @sio.on("connect", namespace="/disconnect")
    async def welcome(sid: str, environ: Any, auth: Any) -> None:
        leaving[sid] = auth

    @sio.on("disconnect", namespace="/disconnect")
    async def disconnects(sid: str, reason: str) -> None:
        await fail(**leaving.pop(sid))

    sio.register_namespace(Space("/class"))


def synchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that knows nothing of coroutines."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    del call.__wrapped__  # type: ignore[attr-defined]
    return call


class Later:
    """What can be awaited, and is no coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.value


class Handler:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def __call__(self, *args: Any) -> Any:
        await asyncio.sleep(0)
        self.seen.append([arg for arg in args if isinstance(arg, (str, int))])
        return len(args)


def add_awaitables(sio: Any, module: Any, web: Any) -> None:
    seen: list[Any] = []
    handler = Handler(seen)

    async def function(*args: Any) -> Any:
        return await handler(*args)

    @coroutine
    def generator(*args: Any) -> Any:
        return (yield from handler(*args).__await__())

    handlers: dict[str, Callable[..., Any]] = {
        "object": handler,
        "partial": functools.partial(handler, "partial"),
        "decorated": synchronous(function),
        "lambda": lambda *args: function(*args),
        "awaitable": lambda *args: Later(len(args)),
        "generator": generator,
        "task": lambda *args: asyncio.ensure_future(function(*args)),
    }
    for name, each in handlers.items():
        sio.on(name, each)

    class Space(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        on_connect = synchronous(function)
        on_disconnect = synchronous(function)
        on_decorated = synchronous(function)

    sio.register_namespace(Space("/awaitable class"))
    for namespace in ("/awaitable object", "/awaitable decorated"):
        each = handlers[namespace.split()[1]]
        for event in ("connect", "disconnect", "*"):
            sio.on(event, each, namespace=namespace)

    async def refuse(sid: str, environ: Any, auth: Any) -> bool:
        return False

    sio.on("connect", synchronous(refuse), namespace="/awaitable refusal")

    @web.get("/seen")
    async def get() -> list[Any]:
        return seen


class Records(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        frames = traceback.extract_tb(exc.__traceback__ if exc else None)
        last = [frames[-1].name, frames[-1].line] if frames else None
        self.lines.append(
            [record.name, record.levelname, record.getMessage(), type(exc).__name__, last]
        )


def add_records(sio: Any, web: Any) -> None:
    records = Records()
    for name in ("asyncio", "socketio.server", "engineio.server", "uvicorn.error"):
        logging.getLogger(name).addHandler(records)
    errors: list[Any] = []

    @web.get("/records")
    async def get() -> list[Any]:
        gc.collect()
        found, records.lines = records.lines, []
        return found

    @web.get("/errors")
    async def get_errors(watch: bool = False) -> list[Any]:
        """What the loop's exception handler was told; with `watch` there is one from now on."""
        gc.collect()
        handler = (lambda loop, context: errors.append(context["message"])) if watch else None
        asyncio.get_running_loop().set_exception_handler(handler)
        found = list(errors)
        errors.clear()
        return found


class Broken:
    """A task factory that fails as often as it is told, but not for what serves requests."""

    SPARED = ("RequestResponseCycle.", "BaseSelectorEventLoop.", "EngineServer.serve")

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, loop: Any, coro: Any, **options: Any) -> Any:
        if self.times and not coro.__qualname__.startswith(self.SPARED):
            self.times -= 1
            raise RuntimeError("the factory of the tests fails")
        return asyncio.Task(coro, loop=loop, **options)


def add_loops(sio: Any, web: Any) -> None:
    broken = Broken()

    @web.get("/break")
    async def break_factory(times: int) -> None:
        asyncio.get_running_loop().set_task_factory(broken)
        broken.times = times

    @web.get("/async_handlers")
    async def async_handlers() -> bool:
        return bool(sio.async_handlers)

    @web.get("/nest")
    async def nest() -> None:
        nest_asyncio.apply()

    @sio.on("nested call")
    async def nested_call(sid: str) -> Any:
        calling = sio.call("question", "nested", to=sid, timeout=5)
        return asyncio.get_event_loop().run_until_complete(calling)

    @sio.on("nested call plainly")
    def nested_call_plainly(sid: str) -> Any:
        calling = sio.call("question", "nested", to=sid, timeout=5)
        return asyncio.get_event_loop().run_until_complete(calling)


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    add_failures(sio, module)
    add_awaitables(sio, module, web)
    add_records(sio, web)
    add_loops(sio, web)
    return app
