"""asyncio's proactor event loop, which is Windows', on any system.

The transports, and all of the loop but what completes its calls, are asyncio's own, so that what
they do with our protocols can be seen here. It is uvicorn's option `loop="proactor:ProactorLoop"`.
"""

import contextlib
import selectors
import socket
from asyncio.proactor_events import BaseProactorEventLoop
from collections import deque
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any


class _Proactor:
    """In the place of asyncio.IocpProactor: a call is done when a selector says that it can be.

    As there, nothing is done before the loop comes to wait, a buffer is filled before its reader is
    called, and what is sent is sent to its end.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._loop: Any = None

    def set_loop(self, loop: Any) -> None:
        self._loop = loop

    def close(self) -> None:
        self._selector.close()

    def select(self, timeout: float | None = None) -> list[Any]:
        for key, events in self._selector.select(timeout):
            for event in (EVENT_READ, EVENT_WRITE):
                if events & event:
                    self._advance(key.fileobj, key.data, event)
        return []

    def _advance(self, sock: Any, calls: dict[int, deque[Any]], event: int) -> None:
        while calls[event]:
            future, step = calls[event][0]
            if not future.done():  # else it was cancelled
                try:
                    future.set_result(step())
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as exc:
                    future.set_exception(exc)
            calls[event].popleft()
        self._watch(sock, calls)

    def _watch(self, sock: Any, calls: dict[int, deque[Any]]) -> None:
        wanted = sum(event for event in calls if calls[event])
        known = sock in self._selector.get_map()
        if wanted and known:
            self._selector.modify(sock, wanted, calls)
        elif wanted:
            self._selector.register(sock, wanted, calls)
        elif known:
            self._selector.unregister(sock)

    def _call(self, sock: socket.socket, event: int, step: Callable[[], Any]) -> Any:
        future = self._loop.create_future()
        found = self._selector.get_map().get(sock)
        calls = found.data if found else {EVENT_READ: deque(), EVENT_WRITE: deque()}
        calls[event].append((future, step))
        sock.setblocking(False)
        self._watch(sock, calls)
        future.add_done_callback(lambda done: done.cancelled() and self._forget(sock, done))
        return future

    def _forget(self, sock: socket.socket, future: Any) -> None:
        """Forget a call that was cancelled; its socket may be closed by now."""
        for key in list(self._selector.get_map().values()):
            if key.fileobj is sock:
                for calls in key.data.values():
                    for call in [call for call in calls if call[0] is future]:
                        calls.remove(call)
                self._watch(sock, key.data)

    def recv(self, sock: socket.socket, size: int) -> Any:
        return self._call(sock, EVENT_READ, lambda: sock.recv(size))

    def recv_into(self, sock: socket.socket, buffer: Any) -> Any:
        return self._call(sock, EVENT_READ, lambda: sock.recv_into(buffer))

    def send(self, sock: socket.socket, data: Any) -> Any:
        left, size = memoryview(data), len(data)

        def step() -> int:
            nonlocal left
            while left:
                left = left[sock.send(left) :]
            return size

        return self._call(sock, EVENT_WRITE, step)

    def accept(self, listener: socket.socket) -> Any:
        return self._call(listener, EVENT_READ, listener.accept)

    def connect(self, sock: socket.socket, address: Any) -> Any:
        sock.setblocking(False)
        sock.connect_ex(address)

        def step() -> None:
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, "connect")

        return self._call(sock, EVENT_WRITE, step)

    def _stop_serving(self, listener: socket.socket) -> None:
        """Nothing is left: the call was cancelled."""


class _Socket(socket.socket):
    """Windows does not mind that a connection which is shut down has ended."""

    def shutdown(self, how: int) -> None:
        with contextlib.suppress(OSError):
            super().shutdown(how)


class ProactorLoop(BaseProactorEventLoop):
    """Mirrors: ``asyncio.windows_events.ProactorEventLoop``."""

    def __init__(self) -> None:
        super().__init__(_Proactor())

    def _make_socket_transport(self, sock: socket.socket, *args: Any, **options: Any) -> Any:
        own = _Socket(sock.family, sock.type, sock.proto, sock.detach())
        return super()._make_socket_transport(own, *args, **options)

    def run_forever(self) -> None:
        self.call_soon(self._loop_self_reading)
        try:
            super().run_forever()
        finally:
            if self._self_reading_future is not None:
                self._self_reading_future.cancel()
                self._self_reading_future = None
