"""Functions between a server and an application that a WebSocket's messages pass unseen.

Starlette puts one around ``send`` for all that is mounted in an application, and one more where
there are sessions. Both look at HTTP responses alone: the connection may do without them.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

__all__ = ["behind"]

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
