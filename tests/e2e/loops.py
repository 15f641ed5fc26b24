"""One Socket.IO server behind uvicorns of this process, each with a thread and an event loop."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn

import toolboxsio

from .machine import HOST, SLOWNESS
from .raw import WebSocket, Wire

WS = {"direct": "toolboxsio.uvicorn:WebSocketProtocol", "asgi": "websockets-sansio"}
#: What serves: the way of WebSockets, and the event loop.
KINDS = [(path, loop) for path in WS for loop in ("uvloop", "asyncio")]
SECONDS = 8 * SLOWNESS


async def _end_tasks() -> None:
    """What asyncio.run() does at its end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class Site:
    """A uvicorn in a thread. `app` gets the ASGI application that it serves."""

    def __init__(self, sio: Any, path: str = "direct", loop: Any = "auto", app: Any = None) -> None:
        self.is_up = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.app = toolboxsio.ASGIApp(sio, app, on_startup=self._started)
        listener = socket.create_server((HOST, 0))
        self.port: int = listener.getsockname()[1]
        config = uvicorn.Config(self.app, loop=loop, ws=WS[path], log_level="error")
        self.server = uvicorn.Server(config)
        self.is_abandoned = False
        self.thread = threading.Thread(target=self._serve, args=(config, listener), daemon=True)
        self.thread.start()
        assert self.is_up.wait(SECONDS)

    def _serve(self, config: uvicorn.Config, listener: socket.socket) -> None:
        loop = config.get_loop_factory()()  # type: ignore[misc]
        task = loop.create_task(self.server.serve([listener]))
        task.add_done_callback(lambda _: loop.stop())
        loop.run_forever()
        if not self.is_abandoned:
            loop.run_until_complete(_end_tasks())
        loop.close()

    async def _started(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_up.set()

    def begin(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the site's event loop; a future."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(coro, self.loop)

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return self.begin(coro).result(SECONDS)

    def abandon(self) -> None:
        """Close the event loop, and let all that is on it be."""
        assert self.loop is not None
        self.is_abandoned = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SECONDS)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def sites(sio: Any, *kinds: tuple[str, str], **more: Any) -> Iterator[list[Site]]:
    """A site for each (path, loop)."""
    opened: list[Site] = []
    try:
        for path, loop in kinds:
            opened.append(Site(sio, path, loop, **more))
        yield opened
    finally:
        for site in opened:
            site.close()


class Client:
    """A client that has joined the root namespace, by WebSocket or by polling."""

    def __init__(self, site: Site, is_polling: bool = False) -> None:
        self.wire = Wire(site.port, "loops")
        self.waiting: list[str] = []
        self.eio_sid = ""
        self.ws: WebSocket | None = None
        if is_polling:
            self.eio_sid = self.wire.open_polling()
        else:
            self.ws = self.wire.websocket()
            assert self.ws.accepted
            self.next()  # OPEN
        self.send("40")
        self.sid = self.next().partition('"sid":"')[2].partition('"')[0]

    def send(self, packet: str) -> None:
        if self.ws is not None:
            self.ws.frame(packet)
        else:
            assert self.wire.post(self.eio_sid, packet) == "OK"

    def next(self) -> Any:
        """The next packet; bytes for an attachment (base64 by polling); None: the end."""
        while True:
            if self.ws is not None:
                packet = self.ws.receive()
            else:
                if not self.waiting:
                    self.waiting = self.wire.get(self.eio_sid).split("\x1e")
                packet = self.waiting.pop(0)
            if packet == "2":
                self.send("3")
            elif packet != "6":
                return packet

    def ask(self, event: str, number: int) -> str:
        """Send an event and return its acknowledgement."""
        self.send(f'42{number}["{event}"]')
        answer: str = self.next()
        return answer

    def close(self) -> None:
        self.wire.end()


def elsewhere(make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in a thread with an event loop of its own; its result."""
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(asyncio.run(make()))
        except BaseException as exc:
            results.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert results, "it does not come to its end"
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]
