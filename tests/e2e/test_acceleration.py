"""Why a client is not on the direct path: what `acceleration()` and `status()` name."""

import functools
import json
from typing import Any

import engineio.async_socket
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.sync.client import connect

import toolboxsio

from .web import DIRECT, LOOPS, on_hypercorn, on_uvicorn

pytestmark = pytest.mark.timeout(60)

HERE = __name__
OURS = "not toolboxsio.uvicorn:WebSocketProtocol, which `toolboxsio run` and toolboxsio.run() set"


def wrapping_send(app: Any) -> Any:
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            await send(message)

        await app(scope, receive, send_on)

    return wrapper


def wrapping_receive(app: Any) -> Any:
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        async def receive_on() -> Any:
            return await receive()

        await app(scope, receive_on, send)

    return wrapper


class Sender:
    """A callable object in the place of send."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def __call__(self, message: Any) -> None:
        await self._send(message)

    async def method(self, message: Any) -> None:
        await self._send(message)


async def send_later(send: Any, message: Any) -> None:
    await send(message)


def replacing(replace: Any) -> Any:
    """A middleware that gives the application another send."""

    def middleware(app: Any) -> Any:
        async def wrapper(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, replace(send))

        return wrapper

    return middleware


def without_extensions(app: Any) -> Any:
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "extensions": {}}, receive, send)

    return wrapper


def mounted(app: Any) -> Any:
    return Starlette(routes=[Mount("/", app)])


SENDS = f"send is wrapped by {HERE}.wrapping_send.<locals>.wrapper.<locals>.send_on"
RECEIVES = f"receive is wrapped by {HERE}.wrapping_receive.<locals>.wrapper.<locals>.receive_on"
WRAPPERS: dict[str, tuple[Any, list[str]]] = {
    "none": (lambda app: app, []),
    "a mount": (mounted, []),
    "send": (wrapping_send, [SENDS]),
    "receive": (wrapping_receive, [RECEIVES]),
    "both": (lambda app: wrapping_send(wrapping_receive(app)), [RECEIVES, SENDS]),
    "send, in a mount": (lambda app: mounted(wrapping_send(app)), [SENDS]),
    "send, twice": (
        lambda app: wrapping_send(replacing(Sender)(app)),
        [f"send is wrapped by {HERE}.Sender, {SENDS.removeprefix('send is wrapped by ')}"],
    ),
    "an object": (replacing(Sender), [f"send is wrapped by {HERE}.Sender"]),
    "a method": (
        replacing(lambda send: Sender(send).method),
        [f"send is wrapped by {HERE}.Sender.method"],
    ),
    "a partial": (
        replacing(lambda send: functools.partial(send_later, send)),
        [f"send is wrapped by {HERE}.send_later"],
    ),
    "extensions": (without_extensions, ["the extensions of the ASGI scope were replaced"]),
}


class Asked:
    """A server, and what it tells of the one client that has joined."""

    def __init__(self, **options: Any) -> None:
        self.sio = toolboxsio.AsyncServer(async_mode="asgi", **options)
        self.app = toolboxsio.ASGIApp(self.sio)
        self.sio.on("why", self.why)

    async def why(self, sid: str) -> Any:
        return self.sio.acceleration(sid), self.sio.status()["acceleration"]

    def ask(self, port: int) -> Any:
        with connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket") as client:
            assert str(client.recv(10)).startswith("0{")
            client.send("40")
            assert str(client.recv(10)).startswith("40{")
            client.send('421["why"]')
            answer = str(client.recv(10))
            assert answer.startswith("431")
            return json.loads(answer[3:])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(name: str, loop: str) -> None:
    wrap, reasons = WRAPPERS[name]
    asked = Asked()
    with on_uvicorn(wrap(asked.app), loop, ws=DIRECT) as web:
        client, server = asked.ask(web.port)
    path = "asgi" if reasons else "direct"
    assert client == {"path": path, "fast": True, "reasons": reasons}
    assert server["paths"] == {path: 1}
    assert server["not_direct"] == reasons
    assert server["events"] == []


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("ws", "name"),
    [
        ("websockets-sansio", "websockets_sansio_impl.WebSocketsSansIOProtocol"),
        ("websockets", "websockets_impl.WebSocketProtocol"),
        ("wsproto", "wsproto_impl.WSProtocol"),
    ],
)
def test_other_protocols_of_uvicorn(ws: str, name: str) -> None:
    reason = f"ws= of uvicorn is uvicorn.protocols.websockets.{name}, {OURS}"
    for wrap, more in ((lambda app: app, []), (wrapping_send, [SENDS])):
        asked = Asked()
        with on_uvicorn(wrap(asked.app), ws=ws) as web:
            client, server = asked.ask(web.port)
        assert client == {"path": "asgi", "fast": True, "reasons": [*more, reason]}
        assert server["not_direct"] == client["reasons"]


def test_another_server() -> None:
    asked = Asked()
    with on_hypercorn(asked.app) as web:
        client, server = asked.ask(web.port)
    [reason] = client["reasons"]
    assert client["path"] == "asgi"
    assert reason.startswith("the web server is not uvicorn")
    assert "hypercorn.protocol.ws_stream.WSStream.app_send" in reason
    assert server["not_direct"] == [reason]


def test_what_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method of python-engineio's sockets, as instrument() does it."""
    upstream = engineio.async_socket.AsyncSocket
    original = upstream._send_ping

    async def counted(self: Any) -> None:
        await original(self)

    monkeypatch.setattr(upstream, "_send_ping", counted)
    asked = Asked()
    with on_uvicorn(asked.app, ws=DIRECT) as web:
        client, server = asked.ask(web.port)
    reason = f"AsyncSocket._send_ping is {HERE}.test_what_was_replaced.<locals>.counted"
    assert client == {"path": "upstream", "fast": False, "reasons": [reason]}
    assert server["not_direct"] == [reason]


def test_events_that_are_not_dispatched_in_c() -> None:
    """These reasons are told beside those of the way."""

    class Server(toolboxsio.AsyncServer):
        async def _trigger_event(self, *args: Any) -> Any:
            return await super()._trigger_event(*args)

    asked = Asked()
    asked.sio.__class__ = Server
    with on_uvicorn(wrapping_send(asked.app), ws=DIRECT) as web:
        client, _ = asked.ask(web.port)
    assert client["path"] == "asgi"
    assert not client["fast"]
    assert client["reasons"] == ["Server._trigger_event is the application's", SENDS]
