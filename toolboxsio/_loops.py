"""What threads and event loops ask of each other.

A session is used on its own event loop alone. What another thread has for it, an emit for one, is
posted there: in the order in which that thread has posted it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ._load import core

__all__ = ["Posts", "hub_elsewhere"]

_Connection: Any = core.Connection if core is not None else ()

#: Calls of other threads in one turn of the event loop, and seconds that they take but for the
#: last.
CALLS_PER_TURN = 256
TURN_SECONDS = 0.005

#: Calls that wait, from which on who posts more waits too.
FULL_CALLS = 1024

#: Calls that may wait for an event loop that does not run.
MAX_CALLS = 65536

#: Seconds that who posts waits at most.
FULL_SECONDS = 1.0

_LOOK_SECONDS = 0.002  # between two looks at the calls that wait
_STOPPED_SECONDS = 0.1  # between two looks at whether the loop runs


class Posts:
    """Calls for an event loop from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pid = os.getpid()
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._is_due = False

    def post(self, function: Callable[..., Any], *args: Any) -> bool:
        """Let the event loop call a function; False: it is closed, too many wait for one that does
        not run, or it runs in the process that this one was forked from."""
        if os.getpid() != self._pid:  # there is_running() stays as it was at the fork
            return False
        if self.loop.is_closed() or (len(self._calls) >= MAX_CALLS and not self.loop.is_running()):
            return False
        self._calls.append((function, args))
        if not self._is_due:  # else _work() comes, and looks after it has said that it did
            self._is_due = True
            try:
                self.loop.call_soon_threadsafe(self._work)
            except RuntimeError:  # it was closed meanwhile
                self._calls.clear()
                return False
        return True

    async def room(self) -> None:
        """Wait, on another event loop, while this one has too much to do."""
        deadline = asyncio.get_running_loop().time() + FULL_SECONDS
        while len(self._calls) > FULL_CALLS and self.loop.is_running():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_LOOK_SECONDS)

    async def run(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Let the event loop run a coroutine, and return its result.

        Where the loop does not run it is not waited for, and the result is None.
        """
        result: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if not self.post(self._begin, result, function, args):
            return None
        waiter = asyncio.wrap_future(result)
        while not waiter.done() and self.loop.is_running():
            await asyncio.wait([waiter], timeout=_STOPPED_SECONDS)
        return waiter.result() if waiter.done() else None

    def _begin(
        self,
        result: concurrent.futures.Future[Any],
        function: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
    ) -> None:
        coro = function(*args)
        try:
            task = self.loop.create_task(coro)
        except Exception as exc:  # of the application's task factory, say
            coro.close()
            result.set_exception(exc)
            return

        def settle(task: asyncio.Task[Any]) -> None:
            with contextlib.suppress(concurrent.futures.InvalidStateError):  # nobody waits any more
                if task.cancelled():
                    result.cancel()
                elif (exc := task.exception()) is not None:
                    result.set_exception(exc)
                else:
                    result.set_result(task.result())

        task.add_done_callback(settle)  # which the task holds, and the result the task

    def _work(self) -> None:
        self._is_due = False
        end = time.monotonic() + TURN_SECONDS
        for _ in range(min(len(self._calls), CALLS_PER_TURN)):
            function, args = self._calls.popleft()
            try:
                function(*args)
            except Exception as exc:
                message = "a call of another thread failed"
                self.loop.call_exception_handler({"message": message, "exception": exc})
            if time.monotonic() >= end:
                break
        if self._calls and not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._work)


def hub_elsewhere(conn: Any) -> Any:
    """The hub of a session that is another event loop's; None: it may be used here, as one may that
    polls and whose loop is closed."""
    return conn.elsewhere if isinstance(conn, _Connection) else None
