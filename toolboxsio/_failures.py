"""What is logged of a handler that fails: one record of the server's logger.

It names the event, the namespace and the client, and its traceback is the application's. Where the
event loop has an exception handler of the application, that is told too, as by python-socketio.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import traceback
from inspect import signature
from types import CodeType
from typing import Any

__all__ = ["FAILED_ANSWER", "FAILED_HANDLER", "FAILED_START", "is_failure", "report"]

#: What has failed, as csrc/conn/conn.h numbers it.
FAILED_HANDLER, FAILED_ANSWER, FAILED_START = range(3)

_TEXTS = {
    FAILED_HANDLER: 'handler of event "%s" from %s [%s] failed',
    FAILED_ANSWER: 'answer to event "%s" from %s [%s] cannot be sent',
    FAILED_START: 'handler of event "%s" from %s [%s] cannot be started',
}

#: Characters of what a client has sent, in a record.
_MAX_TEXT = 100


def is_failure(exc: BaseException, is_own_task: bool) -> bool:
    """Whether an exception of a handler is one to log, and not a cancellation.

    In a task of its own a handler may end the process. One that runs in the reader of a client's
    messages may not: python-socketio logs all that it raises.
    """
    if isinstance(exc, (SystemExit, KeyboardInterrupt)):
        return not is_own_task
    return not isinstance(exc, (asyncio.CancelledError, GeneratorExit))


def report(
    sio: Any,
    exc: BaseException,
    what: int,
    event: str | None,
    namespace: str | None,
    sid: Any,
    is_own_task: bool = False,
) -> None:
    """Log what a handler has raised.

    :param what: one of the constants above.
    :param event: None: what failed is the start of a task without a handler.
    :param is_own_task: the current task is the handler's, and ends with the exception.
    """
    if event is None:
        sio.logger.error("a task cannot be started, asyncio's is used", exc_info=exc)
        return
    handler = _find(sio, event, namespace) if what == FAILED_HANDLER else None
    text, values = _TEXTS[what], [_printable(event), sid, _printable(namespace or "/")]
    if handler is not None:
        code = _code_of(handler)
        frames = traceback.walk_tb(exc.__traceback__)
        if code is None or all(frame.f_code is not code for frame, _ in frames):
            text, values = f"{text}: %s", [*values, _describe(handler, code)]
            if code is not None and isinstance(exc, TypeError):
                _point_at(exc, code)
    sio.logger.error(text, *values, exc_info=exc)
    if is_own_task:
        _retrieve()


def _printable(text: str) -> str:
    text = text[:_MAX_TEXT]
    return text if text.isprintable() else repr(text)[1:-1]


def _find(sio: Any, event: str, namespace: str | None) -> Any:
    """The application's function for an event."""
    handler, _ = sio._get_event_handler(event, namespace, ())
    if handler is None:
        owner, _ = sio._get_namespace_handler(namespace, ())
        handler = getattr(owner, f"on_{event}", None)
    return handler


def _code_of(handler: Any) -> CodeType | None:
    """The code that runs when a handler is called, where it is Python's."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not hasattr(handler, "__code__") and not hasattr(handler, "__func__"):
        handler = getattr(type(handler), "__call__", None)  # noqa: B004
    code = getattr(getattr(handler, "__func__", handler), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _describe(handler: Any, code: CodeType | None) -> str:
    name = getattr(handler, "__qualname__", None) or repr(handler)
    with contextlib.suppress(TypeError, ValueError):  # not every callable has one
        name += str(signature(handler))
    return name if code is None else f"{name} at {code.co_filename}:{code.co_firstlineno}"


def _point_at(exc: BaseException, code: CodeType) -> None:
    """Let the traceback of a call that was refused end where the function begins."""
    source = "\n" * (code.co_firstlineno - 1) + "raise exc"
    place = compile(source, code.co_filename, "exec").replace(co_name=code.co_name)
    exc.__traceback__ = None
    try:
        exec(place, {"exc": exc})
    except BaseException:
        _, _, found = sys.exc_info()
        exc.__traceback__ = found and found.tb_next


def _retrieve() -> None:
    """See to it that asyncio does not log the end of this task once more."""
    task = asyncio.current_task()
    if task is not None and task.get_loop().get_exception_handler() is None:
        task.add_done_callback(_take_exception)


def _take_exception(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
