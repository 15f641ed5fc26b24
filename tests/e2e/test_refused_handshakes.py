"""The handshake of a WebSocket that is refused: its answer, and what the web server logs."""

from pathlib import Path
from typing import Any

import pytest

import toolboxsio

from .web import DIRECT, LOOPS, Tls, on_hypercorn, on_uvicorn

pytestmark = pytest.mark.timeout(60)

WEBSOCKET = "EIO=4&transport=websocket"
REFUSED = {
    f"/socket.io/?{WEBSOCKET}&sid=unknown": (400, b'"Invalid session unknown"'),
    "/socket.io/?EIO=3&transport=websocket": (400, b"unsupported version"),
    "/elsewhere?x=1": (404, b"Not Found"),
}
PROTOCOLS = (DIRECT, "websockets-sansio", "websockets", "wsproto")
AGAIN = 3


@pytest.fixture(scope="module")
def tls(tmp_path_factory: Any) -> Tls:
    folder: Path = tmp_path_factory.mktemp("tls")
    return Tls(folder)


def application() -> Any:
    sio = toolboxsio.AsyncServer(async_mode="asgi")

    @sio.event
    async def connect(sid: str, environ: Any) -> bool:
        return False

    return toolboxsio.ASGIApp(sio)


def wrapped(app: Any) -> Any:
    """The application with something between it and the web server."""

    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        async def receive_on() -> Any:
            return await receive()

        async def send_on(message: Any) -> None:
            await send(message)

        await app(scope, receive_on, send_on)

    return wrapper


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore::DeprecationWarning")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ws", PROTOCOLS)
@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_uvicorn_logs_no_error(loop: str, ws: str, over: str, tls: Tls) -> None:
    app = application()
    for served in (app, wrapped(app)):
        with on_uvicorn(served, loop, tls if over == "tls" else None, ws=ws) as web:
            for target, (status, text) in REFUSED.items():
                for _ in range(AGAIN):
                    answer = web.handshake(target)
                    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
                    assert text in answer
        assert web.errors == []


@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_hypercorn(over: str, tls: Tls) -> None:
    """It closes the connection when the application is through, which is at once."""
    with on_hypercorn(application(), tls=tls if over == "tls" else None) as web:
        for target, (status, text) in REFUSED.items():
            answer = web.handshake(target)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer
            assert text in answer
    assert web.errors == []
