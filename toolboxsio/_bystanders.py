"""Functions between a server and an application that a WebSocket's messages pass unseen.

Starlette puts one around ``send`` for all that is mounted in an application, and one more where
there are sessions. Both look at HTTP responses alone: the connection may do without them.
"""

from __future__ import annotations

import contextlib
import functools
from types import FunctionType
from typing import Any

__all__ = ["behind", "name_of", "why_not_direct"]

#: Objects that are looked at to find the web server behind what wraps its functions.
_MAX_LAYERS = 50

# Mirrors: starlette._exception_handler.wrap_app_handling_exceptions,
# starlette.middleware.sessions.SessionMiddleware.__call__
_BYSTANDERS = frozenset(
    (
        (
            "starlette._exception_handler",
            "wrap_app_handling_exceptions.<locals>.wrapped_app.<locals>.sender",
        ),
        (
            "starlette.middleware.sessions",
            "SessionMiddleware.__call__.<locals>.send_wrapper",
        ),
    )
)


def _is_bystander(function: FunctionType) -> bool:
    """Whether it is one of these, and still knows nothing of WebSockets."""
    code = function.__code__
    if (function.__module__, code.co_qualname) not in _BYSTANDERS or "send" not in code.co_freevars:
        return False
    return not any(isinstance(c, str) and c.startswith("websocket") for c in code.co_consts)


def behind(send: Any) -> Any:
    """The first ``send`` that may do something with the messages of a WebSocket."""
    while type(send) is FunctionType and _is_bystander(send):
        assert send.__closure__ is not None
        send = send.__closure__[send.__code__.co_freevars.index("send")].cell_contents
    return send


def name_of(obj: Any) -> str:
    """The module and qualified name of a function, of a method, or of an object's class."""
    while isinstance(obj, functools.partial):
        obj = obj.func
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    owner = getattr(obj, "__self__", obj)
    return f"{getattr(named, '__module__', None) or type(owner).__module__}.{named.__qualname__}"


def _is_protocol(owner: Any) -> bool:
    """Whether an object is one of uvicorn's WebSocket protocols, or ours on top of one."""
    module = type(owner).__module__
    return module.startswith("uvicorn.protocols.websockets.") or module == "toolboxsio.uvicorn"


def _inner(function: Any) -> list[Any]:
    """The callables to which one may pass its calls on: of its closure, arguments, object."""
    if isinstance(function, functools.partial):
        held = [function.func, *function.args, *function.keywords.values()]
    else:
        held = []
        for cell in getattr(function, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # it is empty
                held.append(cell.cell_contents)
        owner = getattr(function, "__self__", function)
        held += getattr(owner, "__dict__", {}).values()
    return [item for item in held if callable(item)]


def _unwrap(function: Any) -> tuple[tuple[Any, ...], Any]:
    """What wraps a function of uvicorn's WebSocket protocol, from the outside, and that protocol.

    Without one that can be found: the function itself, and None.
    """
    todo: list[tuple[Any, tuple[Any, ...]]] = [(function, ())]
    for layer, wrappers in todo:
        layer = behind(layer)
        if _is_protocol(getattr(layer, "__self__", None)):
            return wrappers, layer.__self__
        if len(todo) < _MAX_LAYERS:
            todo += [(inner, (*wrappers, layer)) for inner in _inner(layer)]
    return (function,), None


def why_not_direct(receive: Any, send: Any) -> list[str]:
    """Why a WebSocket's messages pass through ASGI; each reason names what it is about."""
    found = {"receive": _unwrap(receive), "send": _unwrap(send)}
    protocol = found["receive"][1] or found["send"][1]
    if protocol is None:
        names = f"receive is {name_of(receive)}, send is {name_of(send)}"
        return [f"the web server is not uvicorn, or cannot be seen: {names}"]
    reasons = [
        f"{what} is wrapped by {', '.join(map(name_of, wrappers))}"
        for what, (wrappers, _) in found.items()
        if wrappers
    ]
    if not hasattr(protocol, "hand_over"):
        ws = name_of(type(protocol))
        reasons.append(
            f"ws= of uvicorn is {ws}, not toolboxsio.uvicorn:WebSocketProtocol, which"
            " `toolboxsio run` and toolboxsio.run() set"
        )
    elif not reasons:
        reasons.append(protocol.refusal or "the extensions of the ASGI scope were replaced")
    return reasons
