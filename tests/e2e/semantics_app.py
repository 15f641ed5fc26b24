"""More of app.py: emits to nobody, connect handlers that disconnect, handlers of every signature.

What the handlers were called with is in the transcript of their session's run.
"""

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

EMPTY: dict[str, Any] = {"list": [], "tuple": (), "set": set(), "frozenset": frozenset()}


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return module.AsyncServer


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    add_emits(sio, module)
    add_leaving(sio, module, seen)
    add_signatures(sio, module, seen)
    return app


# --- emits to nobody ---


def add_emits(sio: Any, module: Any) -> None:
    namespace = module.AsyncNamespace("/nobody")
    sio.register_namespace(namespace)

    def ways(sid: str) -> dict[str, Callable[..., Any]]:
        return {
            "emit": sio.emit,
            "volatile": functools.partial(sio.emit, volatile=True),
            "skip": functools.partial(sio.emit, skip_sid="nobody"),
            "callback": functools.partial(sio.emit, callback=print),
            "ignore_queue": functools.partial(sio.emit, ignore_queue=True),
            "namespace": functools.partial(namespace.emit, namespace="/"),
            "manager": functools.partial(sio.manager.emit, data=None, namespace="/"),
            "send": lambda event, **to: sio.send(event, **to),
        }

    @sio.on("to nobody")
    async def to_nobody(sid: str) -> list[str]:
        """Emit to each empty collection in each way; what was raised."""
        failed = []
        for way, emit in ways(sid).items():
            for kind, empty in EMPTY.items():
                for name in ("to", "room"):
                    try:
                        await emit(f"{way} {name} {kind}", **{name: empty})
                    except Exception as exc:
                        failed.append(f"{way} {name} {kind}: {exc!r}")
        return failed

    @sio.on("to somebody")
    async def to_somebody(sid: str) -> None:
        """An empty `to` beside a room, an empty text, and no room at all."""
        await sio.emit("room", to=[], room=sid)
        await sio.emit("sid", to=sid, room=[])
        await sio.emit("text", to="")
        await sio.emit("none")


# --- connect handlers that disconnect their client ---


def add_leaving(sio: Any, module: Any, seen: Any) -> None:
    refused = module.exceptions.ConnectionRefusedError

    def note(sid: str, what: str, *values: Any) -> None:
        seen.add(sid, what, *values)

    def add_namespace(name: str, leave: Callable[[str], Any]) -> None:
        @sio.on("connect", namespace=name)
        async def connect(sid: str, environ: dict[str, Any], auth: Any) -> Any:
            seen.run_of[sid] = parse_qs(environ["QUERY_STRING"])["run"][0]
            answer = await leave(sid)
            note(sid, f"{name} connect")
            return answer

        @sio.on("disconnect", namespace=name)
        async def disconnect(sid: str, reason: str) -> None:
            note(sid, f"{name} disconnect", reason)

        @sio.on("*", namespace=name)
        async def other(event: str, sid: str, *args: Any) -> str:
            note(sid, f"{name} {event}", *args)
            return "served"

    async def leave(sid: str) -> None:
        await sio.disconnect(sid, namespace="/leave")

    async def leave_and_refuse(sid: str) -> bool:
        await sio.disconnect(sid, namespace="/leave-and-refuse")
        return False

    async def leave_and_raise(sid: str) -> None:
        await sio.disconnect(sid, namespace="/leave-and-raise")
        raise refused("too late")

    async def emit_between(sid: str) -> None:
        await sio.emit("before", to=sid, namespace="/emit-between")
        await sio.disconnect(sid, namespace="/emit-between")
        await sio.emit("after", to=sid, namespace="/emit-between")

    for function in (leave, leave_and_refuse, leave_and_raise, emit_between):
        add_namespace("/" + function.__name__.replace("_", "-"), function)


# --- signatures ---


def add_signatures(sio: Any, module: Any, seen: Any) -> None:
    for prefix, broken in {"fine": "", "broken": "connect", "half": "disconnect"}.items():
        note = functools.partial(note_call, seen, broken)
        for kind, (connect, disconnect) in signatures(note).items():
            sio.on("connect", connect, namespace=f"/{prefix}-{kind}")
            sio.on("disconnect", disconnect, namespace=f"/{prefix}-{kind}")
        for name, cls in namespace_classes(module, note).items():
            sio.register_namespace(cls(f"/{prefix}-{name}"))


def note_call(seen: Any, broken: str, event: str, sid: str, *args: Any) -> None:
    """Note a call; raise TypeError in handlers of the event that is `broken`."""
    if event == "connect":
        seen.run_of[sid] = parse_qs(args[0]["QUERY_STRING"])["run"][0]
        args = args[1:]
    seen.add(sid, event, *args)
    if event == broken:
        raise TypeError("the handler's own")


def signatures(note: Callable[..., None]) -> dict[str, tuple[Any, Any]]:
    """Connect and disconnect handlers of every kind of callable."""

    def plain_connect(sid: str, environ: Any, auth: Any) -> None:
        note("connect", sid, environ, auth)

    def plain_disconnect(sid: str, reason: Any) -> None:
        note("disconnect", sid, reason)

    def legacy_connect(sid: str, environ: Any) -> None:
        note("connect", sid, environ)

    def legacy_disconnect(sid: str) -> None:
        note("disconnect", sid)

    async def async_connect(sid: str, environ: Any, auth: Any) -> None:
        note("connect", sid, environ, auth)

    async def async_disconnect(sid: str, reason: Any) -> None:
        note("disconnect", sid, reason)

    async def async_legacy_connect(sid: str, environ: Any) -> None:
        note("connect", sid, environ)

    async def async_legacy_disconnect(sid: str) -> None:
        note("disconnect", sid)

    def default_connect(sid: str, environ: Any, auth: Any = "default") -> None:
        note("connect", sid, environ, auth)

    def default_disconnect(sid: str, reason: Any = "default") -> None:
        note("disconnect", sid, reason)

    def keyword_connect(sid: str, environ: Any, *, auth: Any = "keyword") -> None:
        note("connect", sid, environ, auth)

    def keyword_disconnect(sid: str, *, reason: Any = "keyword") -> None:
        note("disconnect", sid, reason)

    async def all_connect(*args: Any) -> None:
        note("connect", *args)

    async def all_disconnect(*args: Any) -> None:
        note("disconnect", *args)

    def given_connect(extra: str, sid: str, environ: Any) -> None:
        note("connect", sid, environ, extra)

    def given_disconnect(extra: str, sid: str) -> None:
        note("disconnect", sid, extra)

    def wrapped(handler: Any) -> Any:
        @functools.wraps(handler)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return handler(*args, **kwargs)

        return wrapper

    def unnamed(handler: Any) -> Any:
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return handler(*args, **kwargs)

        return wrapper

    def adding(handler: Any) -> Any:
        @functools.wraps(handler)
        def wrapper(sid: str, *args: Any) -> Any:
            return handler("added", sid, *args)

        return wrapper

    class Methods:
        def connect(self, sid: str, environ: Any) -> None:
            note("connect", sid, environ)

        async def disconnect(self, sid: str) -> None:
            note("disconnect", sid)

    class Connect:
        def __call__(self, sid: str, environ: Any) -> None:
            note("connect", sid, environ)

    class Disconnect:
        def __call__(self, sid: str) -> None:
            note("disconnect", sid)

    methods = Methods()
    return {
        "plain": (plain_connect, plain_disconnect),
        "legacy": (legacy_connect, legacy_disconnect),
        "async": (async_connect, async_disconnect),
        "async-legacy": (async_legacy_connect, async_legacy_disconnect),
        "default": (default_connect, default_disconnect),
        "keyword": (keyword_connect, keyword_disconnect),
        "all": (all_connect, all_disconnect),
        "partial": (
            functools.partial(given_connect, "given"),
            functools.partial(given_disconnect, "given"),
        ),
        "wrapped": (wrapped(legacy_connect), wrapped(legacy_disconnect)),
        "unnamed": (unnamed(legacy_connect), unnamed(legacy_disconnect)),
        "adding": (adding(given_connect), adding(given_disconnect)),
        "methods": (methods.connect, methods.disconnect),
        "objects": (Connect(), Disconnect()),
    }


def namespace_classes(module: Any, note: Callable[..., None]) -> dict[str, Any]:
    class Plain(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        async def on_connect(self, sid: str, environ: Any, auth: Any) -> None:
            note("connect", sid, environ, auth)

        async def on_disconnect(self, sid: str, reason: Any) -> None:
            note("disconnect", sid, reason)

    class Legacy(module.AsyncNamespace):  # type: ignore[misc, name-defined]
        def on_connect(self, sid: str, environ: Any) -> None:
            note("connect", sid, environ)

        def on_disconnect(self, sid: str) -> None:
            note("disconnect", sid)

    return {"namespace": Plain, "namespace-legacy": Legacy}
