"""More handlers for app.py: what they may expect of asyncio, of their order and of being replaced.

GET /loop, /patch, /unpatch and /recorded prepare the process and tell what happened in it.
"""

import asyncio
import contextvars
import functools
import gc
import inspect
import sys
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import engineio.async_socket
import engineio.packet
import socketio.packet
from describe import describe

VALUE: contextvars.ContextVar[str] = contextvars.ContextVar("VALUE", default="unset")
REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST", default="unset")
SHORT, LONG = 0.01, 5


MADE: weakref.WeakSet[Any] = weakref.WeakSet()


class Made(asyncio.Task[Any]):
    """A task of the application's own factory."""

    def __init__(self, coro: Any, **options: Any) -> None:
        MADE.add(self)  # before its first step, which may be taken at once
        super().__init__(coro, **options)


#: What the loop's exception handler was told, and the calls of replaced methods.
ERRORS: list[Any] = []
CALLS: list[Any] = []


def make_task(loop: Any, coro: Any, **options: Any) -> Any:
    return Made(coro, loop=loop, **options)


def make_eager_task(loop: Any, coro: Any, **options: Any) -> Any:
    return Made(coro, loop=loop, **{**options, "eager_start": True})


FACTORIES: dict[str, Any] = {"none": None, "own": make_task}
if sys.version_info >= (3, 12):
    FACTORIES |= {"eager": asyncio.eager_task_factory, "own eager": make_eager_task}


def keep_error(loop: Any, context: dict[str, Any]) -> None:
    exc = context.get("exception")
    ERRORS.append([context["message"], type(exc).__name__, str(exc), sorted(context)])


def task_facts() -> list[Any]:
    """What holds for the task that runs a handler."""
    task = asyncio.current_task()
    assert task is not None
    return [
        isinstance(task, asyncio.Task),
        task in asyncio.all_tasks(),
        isinstance(task.get_coro(), Coroutine),
        bool(task.get_name()),
        task.get_loop() is asyncio.get_running_loop(),
        len(task.get_stack()) > 0,
        weakref.ref(task)() is task,
        task.done() or task.cancelled(),
        task.cancelling(),
    ]


# --- asyncio --------------------------------------------------------------------------------------


def add_asyncio(sio: Any, seen: Any) -> None:
    @sio.on("facts")
    async def facts(sid: str) -> list[Any]:
        return task_facts()

    @sio.on("facts after a wait")
    async def facts_after_wait(sid: str) -> list[Any]:
        before = asyncio.current_task()
        await asyncio.sleep(SHORT)
        return [*task_facts(), asyncio.current_task() is before]

    @sio.on("facts of a plain function")
    def plain_facts(sid: str) -> list[Any]:
        return task_facts()

    @sio.on("renamed")
    async def renamed(sid: str) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("new name")
        await asyncio.sleep(0)
        return task.get_name()

    @sio.on("factory")
    async def factory(sid: str) -> list[Any]:
        task = asyncio.current_task()
        assert task is not None
        return [type(task).__name__, task in MADE]

    @sio.on("begins at once")
    async def begins_at_once(sid: str) -> list[Any]:
        steps = []

        async def step() -> None:
            steps.append("step")

        task = asyncio.create_task(step())
        done = task.done()
        await task
        return [done, *steps]

    @sio.on("set factory")
    async def set_factory(sid: str, name: str) -> None:
        asyncio.get_running_loop().set_task_factory(FACTORIES[name])

    meeting: dict[str, Any] = {}

    @sio.on("first of two")
    async def first_of_two(sid: str) -> str:
        meeting[sid] = asyncio.current_task(), asyncio.Event()
        await meeting[sid][1].wait()
        return "first"

    @sio.on("second of two")
    async def second_of_two(sid: str) -> list[Any]:
        task, event = meeting.pop(sid)
        event.set()
        return [task is not asyncio.current_task(), task in asyncio.all_tasks(), task.done()]

    @sio.on("timeout")
    async def timeout(sid: str, seconds: float) -> list[Any]:
        try:
            async with asyncio.timeout(seconds) as scope:
                await asyncio.sleep(SHORT)
        except TimeoutError:
            return ["expired", scope.expired(), task_facts()[-1]]
        return ["done", scope.expired(), task_facts()[-1]]

    @sio.on("wait_for")
    async def wait_for(sid: str, seconds: float) -> str:
        try:
            return await asyncio.wait_for(asyncio.sleep(SHORT, "done"), seconds)
        except TimeoutError:
            return "expired"

    @sio.on("gather")
    async def gather(sid: str) -> list[Any]:
        return list(await asyncio.gather(*(asyncio.sleep(SHORT / n, n) for n in (1, 2, 3))))

    @sio.on("task group")
    async def task_group(sid: str, fails: bool) -> Any:
        async def work(number: int) -> int:
            await asyncio.sleep(SHORT)
            if fails and number == 1:
                raise KeyError(number)
            return number

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work(number)) for number in range(3)]
        except ExceptionGroup as several:
            return [repr(error) for error in several.exceptions]
        return [task.result() for task in tasks]

    @sio.on("shield")
    async def shield(sid: str) -> list[Any]:
        inner = asyncio.ensure_future(asyncio.sleep(SHORT, "inner"))
        try:
            async with asyncio.timeout(0):
                await asyncio.shield(inner)
        except TimeoutError:
            return ["expired", await inner]
        return ["not expired"]

    @sio.on("to_thread")
    async def to_thread(sid: str) -> str:
        VALUE.set("for the thread")
        return await asyncio.to_thread(VALUE.get)

    @sio.on("move_on_after")
    async def move_on_after(sid: str, seconds: float) -> list[Any]:
        with anyio.move_on_after(seconds) as scope:
            await anyio.sleep(SHORT)
        return [scope.cancel_called, scope.cancelled_caught]

    @sio.on("cancel scope")
    async def cancel_scope(sid: str) -> list[Any]:
        after = []
        with anyio.CancelScope() as scope:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(SHORT)
                after.append("shielded")
            await anyio.sleep(LONG)
            after.append("not cancelled")
        return [*after, scope.cancelled_caught]

    @sio.on("fail_after")
    async def fail_after(sid: str) -> str:
        try:
            with anyio.fail_after(SHORT):
                await anyio.sleep(LONG)
        except TimeoutError:
            return "TimeoutError"
        return "nothing"

    @sio.on("anyio task group")
    async def anyio_task_group(sid: str) -> Any:
        done = []

        async def work(number: int) -> None:
            await anyio.sleep(SHORT * number)
            done.append(number)
            if number == 2:
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for number in (1, 2, 300):
                group.start_soon(work, number)
        return done

    @sio.on("anyio thread")
    async def anyio_thread(sid: str) -> Any:
        def work() -> Any:
            return anyio.from_thread.run(asyncio.sleep, SHORT, "from the thread")

        return [await anyio.to_thread.run_sync(work), bool(anyio.get_current_task().name)]

    @sio.on("wait")
    async def wait(sid: str, seconds: float, answer: Any = None) -> Any:
        await asyncio.sleep(seconds)
        return answer

    @sio.on("linger")
    async def linger(sid: str) -> str:
        run = seen.run_of[sid]
        seen.live[run] += 1
        seen.add(sid, "begins")
        await asyncio.sleep(0.2)
        await sio.emit("too late", to=sid)
        seen.add(sid, "ends", *task_facts()[-2:])
        seen.live[run] -= 1
        return "too late"

    # cancellation

    @sio.on("cancels itself")
    async def cancels_itself(sid: str, way: str) -> Any:
        task = asyncio.current_task()
        assert task is not None
        if way == "raise":
            raise asyncio.CancelledError
        task.cancel()
        if way == "wait":
            await asyncio.sleep(0)
        if way == "caught":
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task.uncancel()
        return f"answer of {way}"

    waiting: dict[str, Any] = {}

    @sio.on("is cancelled")
    async def is_cancelled(sid: str) -> Any:
        waiting[sid] = asyncio.current_task()
        try:
            await asyncio.sleep(LONG)
        finally:
            seen.add(sid, "is cancelled", task_facts()[-1])

    @sio.on("cancels")
    async def cancels(sid: str) -> Any:
        task = waiting.pop(sid)
        return [task.cancel(), task.cancelling(), task.cancelled()]


# --- context --------------------------------------------------------------------------------------


def add_context(sio: Any, seen: Any) -> None:
    @sio.on("connect", namespace="/context")
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        seen.opened(sid, environ)
        seen.add(sid, "connect", VALUE.get(), REQUEST.get(), task_facts())
        VALUE.set("from connect")
        async with asyncio.timeout(LONG):
            await asyncio.sleep(SHORT)
        seen.add(sid, "connected", VALUE.get())

    @sio.on("disconnect", namespace="/context")
    async def disconnect(sid: str, reason: Any) -> None:
        seen.add(sid, "disconnect", reason, VALUE.get(), task_facts())
        await asyncio.sleep(SHORT)
        seen.closed(sid)

    async def values(sid: str) -> list[str]:
        return [VALUE.get(), REQUEST.get()]

    async def change(sid: str, value: str) -> list[str]:
        before = VALUE.get()
        VALUE.set(value)
        await asyncio.sleep(SHORT)
        return [before, VALUE.get()]

    def change_plain(sid: str, value: str) -> str:
        before = VALUE.get()
        VALUE.set(value)
        return before

    async def from_callback(sid: str) -> None:
        def called(*args: Any) -> None:
            seen.add(sid, "callback", VALUE.get())
            VALUE.set("from callback")

        await sio.emit("question", to=sid, namespace="/context", callback=called)

    for namespace in ("/", "/context"):
        sio.on("values", values, namespace=namespace)
        sio.on("change", change, namespace=namespace)
        sio.on("change plain", change_plain, namespace=namespace)
    sio.on("from callback", from_callback, namespace="/context")


# --- failures -------------------------------------------------------------------------------------


def fail(kind: str) -> Any:
    if kind == "not JSON":
        return object()
    if kind == "key not JSON":
        return {(1, 2): 3}
    if kind == "surrogate":
        return "\ud800"
    if kind == "group":
        raise ExceptionGroup("several", [ValueError(1), KeyError(2)])
    kinds = (RuntimeError, TypeError, StopIteration, StopAsyncIteration, ValueError, OSError)
    raise {cls.__name__: cls for cls in kinds}[kind](f"a handler raises {kind}")


def add_failures(sio: Any, seen: Any) -> None:
    @sio.on("fail")
    async def fails(sid: str, kind: str) -> Any:
        return fail(kind)

    @sio.on("fail later")
    async def fails_later(sid: str, kind: str) -> Any:
        await asyncio.sleep(0)
        return fail(kind)

    @sio.on("fail plainly")
    def fails_plainly(sid: str, kind: str) -> Any:
        return fail(kind)

    @sio.on("callback fails")
    async def callback_fails(sid: str, kind: str) -> None:
        await sio.emit("question", to=sid, callback=lambda *args: fail(kind))


# --- kinds of handlers ----------------------------------------------------------------------------


class Handler:
    async def __call__(self, sid: str, *args: Any) -> Any:
        return ["async object", *args]

    async def method(self, sid: str, *args: Any) -> Any:
        return [type(self).__name__, *args]

    def plain_method(self, sid: str, *args: Any) -> Any:
        return ["plain method", *args]

    @staticmethod
    async def static(sid: str, *args: Any) -> Any:
        return ["static", *args]

    @classmethod
    async def of_class(cls, sid: str, *args: Any) -> Any:
        return [cls.__name__, *args]


class PlainObject:
    def __call__(self, sid: str, *args: Any) -> Any:
        return ["plain object", *args]


def wrapped(function: Any) -> Any:
    """A decorator that hides that a function is a coroutine function."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def add_kinds(sio: Any, module: Any, seen: Any) -> None:
    async def bound(word: str, sid: str, *args: Any) -> Any:
        return [word, *args]

    def bound_plain(word: str, sid: str, *args: Any) -> Any:
        return [word, *args]

    sio.on("partial", functools.partial(bound, "partial"))
    sio.on("plain partial", functools.partial(bound_plain, "plain partial"))
    sio.on("async object", Handler())
    sio.on("plain object", PlainObject())
    sio.on("method", Handler().method)
    sio.on("plain method", Handler().plain_method)
    sio.on("static", Handler.static)
    sio.on("class method", Handler.of_class)
    sio.on("hidden", wrapped(Handler().method))
    sio.on("lambda", lambda sid, *args: ("lambda", *args))

    class Routed(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        """Decides by itself what an event calls."""

        async def trigger_event(self, event: str, *args: Any) -> Any:
            if event in ("connect", "disconnect"):
                return await super().trigger_event(event, *args)
            if event == "super":
                return await super().trigger_event("of_the_class", *args)
            await asyncio.sleep(0)
            return [event, *args[1:]]

        async def on_of_the_class(self, sid: str, *args: Any) -> Any:
            return ["of the class", *args, *task_facts()[:2]]

    class Classic(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_wait(self, sid: str, *args: Any) -> Any:
            await asyncio.sleep(SHORT)
            return args

        def on_plain(self, sid: str, *args: Any) -> Any:
            return task_facts()[:2]

        async def on_cancel(self, sid: str) -> Any:
            raise asyncio.CancelledError

        async def on_emit(self, sid: str, *args: Any) -> str:
            await self.emit("emitted", args, to=sid)
            return "after"

        async def on_fail(self, sid: str) -> None:
            fail("RuntimeError")

    sio.register_namespace(Routed("/routed"))
    sio.register_namespace(Classic("/classic"))
    add_changes(sio, module, Classic)


def add_changes(sio: Any, module: Any, classic: Any) -> None:
    """Changes of the handlers while clients are connected: the event "change handlers"."""

    async def late(sid: str, *args: Any) -> Any:
        return ["late", *args]

    def replaced(sid: str, *args: Any) -> Any:
        return ["replaced", *args]

    async def any_event(event: str, sid: str, *args: Any) -> Any:
        return ["any event", event, len(sid), *args]

    async def any_namespace(event: str, namespace: str, sid: str, *args: Any) -> Any:
        return ["any namespace", event, namespace, len(sid), *args]

    async def named(namespace: str, sid: str, *args: Any) -> Any:
        return ["named", namespace, len(sid), *args]

    async def new_method(sid: str, *args: Any) -> Any:
        return ["new method", *args]

    class Everywhere(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_x(self, namespace: str, sid: str, *args: Any) -> Any:
            return ["class for any namespace", namespace, len(sid), *args]

    def remove_class(name: str) -> None:
        del sio.namespace_handlers[name]

    changes: dict[str, Callable[[], Any]] = {
        "add late": lambda: sio.on("late", late),
        "replace late": lambda: sio.handlers["/"].__setitem__("late", replaced),
        "remove late": lambda: sio.handlers["/"].pop("late"),
        "add any event": lambda: sio.on("*", any_event),
        "remove any event": lambda: sio.handlers["/"].pop("*"),
        "add any namespace": lambda: sio.on("*", any_namespace, namespace="*"),
        "add named": lambda: sio.on("named", named, namespace="*"),
        "remove any namespace": lambda: sio.handlers.pop("*"),
        "add class": lambda: sio.register_namespace(classic("/new")),
        "remove class": lambda: remove_class("/new"),
        "add class for any": lambda: sio.register_namespace(Everywhere("*")),
        "remove class for any": lambda: remove_class("*"),
        "add method": lambda: setattr(sio.namespace_handlers["/new"], "on_late", new_method),
        "replace method": lambda: setattr(sio.namespace_handlers["/new"], "on_plain", new_method),
        "new table": lambda: setattr(
            sio, "handlers", {k: dict(v) for k, v in sio.handlers.items()}
        ),
    }

    @sio.on("change handlers")
    async def change_handlers(sid: str, *names: str) -> None:
        for name in names:
            changes[name]()


# --- order ----------------------------------------------------------------------------------------


def add_order(sio: Any, seen: Any) -> None:
    @sio.on("emit first")
    async def emit_first(sid: str) -> str:
        await sio.emit("first", b"with bytes", to=sid)
        await sio.emit("second", to=sid)
        return "then the answer"

    @sio.on("emit around a wait")
    async def emit_around_wait(sid: str) -> tuple[bytes, str]:
        await sio.emit("before", to=sid)
        await asyncio.sleep(SHORT)
        await sio.emit("after", to=sid)
        return b"bytes", "then the answer"

    @sio.on("emit in the background")
    async def emit_in_background(sid: str) -> str:
        async def later() -> None:
            await sio.sleep(SHORT)
            await sio.emit("from the background", to=sid)

        sio.start_background_task(later)
        return "answer"

    @sio.on("call and emit")
    async def call_and_emit(sid: str) -> Any:
        got = await sio.call("question", to=sid, timeout=LONG)
        await sio.emit("called", got, to=sid)
        return "then the answer"

    @sio.on("disconnect me")
    async def disconnect_me(sid: str) -> str:
        await sio.emit("before", to=sid)
        await sio.disconnect(sid)
        await sio.emit("never", to=sid)
        return "the answer of the disconnected"

    @sio.on("disconnect later")
    async def disconnect_later(sid: str) -> str:
        await asyncio.sleep(SHORT)
        await sio.disconnect(sid)
        await asyncio.sleep(SHORT)
        return "the answer of the disconnected"

    @sio.on("disconnect other")
    async def disconnect_other(sid: str, other: str) -> str:
        await sio.disconnect(other)
        await sio.emit("never", to=other)
        return "the other is gone"

    @sio.on("connect", namespace="/slow")
    async def slow_connect(sid: str, environ: dict[str, Any], auth: Any) -> Any:
        if auth != "refuse":  # of those that are refused no end is told
            seen.opened(sid, environ)
        seen.add(sid, "slow connect")
        await sio.emit("before", to=sid, namespace="/slow")
        await asyncio.sleep(SHORT)
        await sio.emit("after", to=sid, namespace="/slow")
        return None if auth != "refuse" else False

    @sio.on("disconnect", namespace="/slow")
    async def slow_disconnect(sid: str, reason: Any) -> None:
        await asyncio.sleep(SHORT)
        seen.add(sid, "slow disconnect", reason)
        seen.closed(sid)

    @sio.on("x", namespace="/slow")
    async def slow_event(sid: str, *args: Any) -> Any:
        seen.add(sid, "slow event", *args)
        return args


# --- replaced methods -----------------------------------------------------------------------------


def encoded(packet: Any) -> Any:
    """Return what a packet is on the wire; ids are to be seen in it."""
    parts = packet.encode()
    parts = parts if isinstance(parts, list) else [parts]
    return [part if isinstance(part, str) else describe(part) for part in parts]


def shown(value: Any) -> Any:
    """Describe an argument of a replaced method."""
    if isinstance(value, socketio.packet.Packet):
        parts = (value.packet_type, value.namespace, value.id, value.data)
        return ["packet", *map(describe, parts), encoded(value)]
    if isinstance(value, engineio.packet.Packet):
        parts = (value.packet_type, value.binary, value.data)
        # binary: encode() keeps its first result, and polling needs another than a WebSocket
        return ["engine packet", *map(describe, parts), value.binary or encoded(value)]
    if isinstance(value, (socketio.AsyncServer, engineio.AsyncServer)):
        return "server"
    if callable(value):
        return f"function {value.__name__}"
    if isinstance(value, dict) and "wsgi.input" in value:
        return "environ"
    if isinstance(value, tuple):
        return ["tuple", *map(shown, value)]
    return describe(value)


def record(name: str, args: Any, options: Any) -> None:
    CALLS.append([name, *map(shown, args), {key: shown(v) for key, v in options.items()}])


def recording(name: str, original: Any, is_method: bool = False) -> Any:
    """Stand for a function or, with is_method, for the method of a class."""

    @functools.wraps(original)
    async def replaced(*args: Any, **options: Any) -> Any:
        record(name, args[1:] if is_method else args, options)
        return await original(*args, **options)

    @functools.wraps(original)
    def replaced_plain(*args: Any, **options: Any) -> Any:
        record(name, args[1:] if is_method else args, options)
        return original(*args, **options)

    return replaced if inspect.iscoroutinefunction(original) else replaced_plain


def server_class(module: Any, config: dict[str, Any]) -> Any:
    """Return the class of the server; "subclass" in the configuration overrides methods."""
    if config.get("subclass") == "socket":
        base = engineio.async_socket.AsyncSocket

        class Socket(base):  # type: ignore[misc, valid-type]
            async def receive(self, pkt: Any) -> None:
                record("receive", (pkt,), {})
                await super().receive(pkt)

            async def send(self, pkt: Any) -> None:
                record("send", (pkt,), {})
                await super().send(pkt)

        engineio.async_socket.AsyncSocket = Socket
    if config.get("subclass") != "server":
        return module.AsyncServer

    class Server(module.AsyncServer):  # type: ignore[misc, name-defined]
        async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
            record("_trigger_event", (event, namespace, *args), {})
            return await super()._trigger_event(event, namespace, *args)

        async def _handle_event(self, eio_sid: str, namespace: Any, id: Any, data: Any) -> None:
            record("_handle_event", (eio_sid, namespace, id, data), {})
            await super()._handle_event(eio_sid, namespace, id, data)

        async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
            record("_send_packet", (eio_sid, pkt), {})
            await super()._send_packet(eio_sid, pkt)

        def start_background_task(self, target: Any, *args: Any, **options: Any) -> Any:
            record("start_background_task", (target, *args), options)
            return super().start_background_task(target, *args, **options)

    return Server


def add_patches(sio: Any, web: Any) -> None:
    undo: list[Callable[[], Any]] = []

    def place(path: str, eio_sid: str) -> Any:
        """Return the object that has the method."""
        owner = path.split(".")[0]
        if owner == "socket":
            return sio.eio.sockets[eio_sid]
        return {
            "sio": sio,
            "eio": sio.eio,
            "manager": sio.manager,
            "AsyncSocket": engineio.async_socket.AsyncSocket,
            "AsyncServer": socketio.AsyncServer,
        }[owner]

    @web.get("/patch")
    async def patch(paths: str, eio_sid: str = "") -> None:
        for path in paths.split():
            if path == "handlers.message":
                handler = sio.eio.handlers["message"]
                sio.eio.on("message", recording(path, handler))
                undo.append(lambda handler=handler: sio.eio.on("message", handler))
                continue
            owner, name = place(path, eio_sid), path.split(".")[1]
            is_class = isinstance(owner, type)
            original = getattr(owner, name)
            setattr(owner, name, recording(path, original, is_class))
            if is_class:
                undo.append(functools.partial(setattr, owner, name, original))
            else:
                undo.append(functools.partial(vars(owner).pop, name))

    @web.get("/unpatch")
    async def unpatch() -> list[Any]:
        while undo:
            undo.pop()()
        calls = list(CALLS)
        CALLS.clear()
        return calls

    @web.get("/loop")
    async def loop(factory: str = "") -> list[str]:
        asyncio.get_running_loop().set_exception_handler(keep_error)
        if factory:
            asyncio.get_running_loop().set_task_factory(FACTORIES[factory])
        return list(FACTORIES)

    @web.get("/errors")
    async def errors(clear: bool = False) -> list[Any]:
        gc.collect()
        found = list(ERRORS)
        if clear:
            ERRORS.clear()
        return found


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    add_asyncio(sio, seen)
    add_context(sio, seen)
    add_failures(sio, seen)
    add_kinds(sio, module, seen)
    add_order(sio, seen)
    add_patches(sio, web)

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            REQUEST.set(f"{scope['type']} request")
        await app(scope, receive, send)

    return middleware
