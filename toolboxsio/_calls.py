"""Calls that wait for a client's answer, and end when the client goes."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

__all__ = ["PendingCall", "RemoteCall"]


class PendingCall:
    """The callback of one ``call()``.

    The manager counts the clients that may answer: when the last of them has gone, the wait is over
    and :attr:`answer` is None.
    """

    __name__ = "event_callback"  # of python-socketio's: who wraps emit() may look at it

    def __init__(self, over: asyncio.Event) -> None:
        self.answer: tuple[Any, ...] | None = None
        self.places: list[tuple[Any, int]] = []  # of the manager's table: (client or room, id)
        self._over = over
        self._is_emitted = False
        self._asked = 0
        self._gone = 0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def __call__(self, *args: Any) -> None:
        if self.answer is None:
            self.answer = args
        self._end()

    def emitted(self) -> None:
        """All clients that may answer are counted."""
        self._is_emitted = True
        self._end_in_vain()

    def add_client(self) -> None:
        self._asked += 1

    def remove_client(self) -> None:
        self._gone += 1
        self._end_in_vain()

    def _end_in_vain(self) -> None:
        if self._is_emitted and 0 < self._asked == self._gone:
            self._end()

    def _end(self) -> None:
        if threading.get_ident() == self._thread:
            self._over.set()
        elif not self._loop.is_closed():  # the client's event loop is another
            self._loop.call_soon_threadsafe(self._over.set)


class RemoteCall(functools.partial[Any]):
    """The callback of a ``call()`` to a client here: it returns the answer to the process that
    waits. Its arguments are (host id, room, namespace, id)."""
