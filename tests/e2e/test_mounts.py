"""Where the application answers: mounts, root paths, static files, and what is not its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import toolboxsio

from .web import DIRECT, on_hypercorn, on_uvicorn

pytestmark = pytest.mark.timeout(60)

QUERY = "?EIO=4&transport="


def server() -> Any:
    return toolboxsio.AsyncServer(async_mode="asgi")


def mounted(web: Any, inner: Any, path: str) -> Any:
    web.mount(path, inner)
    return web


def mounted_twice(inner: Any) -> Any:
    return Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", inner)]))])


def stripping(inner: Any) -> Any:
    """What frameworks did before the path was to have the root path in it."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"].removeprefix("/old")
            scope = {**scope, "root_path": "/old", "path": path}
        await inner(scope, receive, send)

    return application


SIO = toolboxsio.ASGIApp
#: Name: the application, options of the server, paths that are ours, paths that are not.
MOUNTS: dict[str, tuple[Any, dict[str, Any], list[str], list[str]]] = {
    "bare": (
        *(lambda: SIO(server()), {}),
        *(["/socket.io/", "/socket.io", "/socket.io/x"], ["/", "/socket.iox", "/x/socket.io/"]),
    ),
    "FastAPI": (
        *(lambda: mounted(FastAPI(), SIO(server()), "/ws"), {}),
        *(["/ws/socket.io/", "/ws/socket.io"], ["/socket.io/", "/ws/", "/wsx/socket.io/"]),
    ),
    "FastAPI, the whole path": (
        lambda: mounted(FastAPI(), SIO(server(), socketio_path="/ws/socket.io"), "/ws"),
        *({}, ["/ws/socket.io/", "/ws/socket.io"], ["/ws/x", "/socket.io/"]),
    ),
    "FastAPI, the mount itself": (
        lambda: mounted(FastAPI(), SIO(server(), socketio_path="/ws"), "/ws"),
        *({}, ["/ws/", "/ws/x"], ["/", "/socket.io/"]),
    ),
    "FastAPI, no path": (
        lambda: mounted(FastAPI(), SIO(server(), socketio_path=None), "/ws"),
        *({}, ["/ws/", "/ws/x"], ["/", "/socket.io/"]),
    ),
    "FastAPI at the root": (
        *(lambda: mounted(FastAPI(), SIO(server()), "/"), {}),
        *(["/socket.io/"], ["/", "/x"]),
    ),
    "FastAPI at the path": (
        *(lambda: mounted(FastAPI(), SIO(server()), "/socket.io"), {}),
        *(["/socket.io/"], ["/"]),
    ),
    "Starlette, twice": (
        *(lambda: mounted_twice(SIO(server())), {}),
        *(["/a/b/socket.io/"], ["/a/socket.io/", "/b/socket.io/", "/socket.io/"]),
    ),
    "without the root path in the path": (
        *(lambda: stripping(SIO(server())), {}),
        *(["/old/socket.io/"], ["/old/x"]),
    ),
    "root path of the server": (
        *(lambda: SIO(server()), {"root_path": "/api"}),
        *(["/socket.io/", "/socket.io"], ["/", "/x/socket.io/", "/apisocket.io/"]),
    ),
    "root path of the server, the whole path": (
        lambda: SIO(server(), socketio_path="/api/socket.io"),
        *({"root_path": "/api"}, ["/socket.io/"], ["/x"]),
    ),
    "root path of the server and a mount": (
        *(lambda: mounted(FastAPI(), SIO(server()), "/ws"), {"root_path": "/api"}),
        *(["/ws/socket.io/"], ["/ws/x", "/socket.io/"]),
    ),
    "root path of FastAPI and a mount": (
        *(lambda: mounted(FastAPI(root_path="/api"), SIO(server()), "/ws"), {}),
        *(["/ws/socket.io/", "/api/ws/socket.io/"], ["/api/socket.io/"]),
    ),
}


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def websocket_status(web: Any, path: str) -> int:
    """Of a handshake without a session, which is ours to refuse."""
    return status(web.handshake(f"{path}{QUERY}websocket&sid=none"))


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("name", MOUNTS)
@pytest.mark.parametrize("ws", [DIRECT, "websockets-sansio"])
def test_on_uvicorn(name: str, ws: str) -> None:
    make, options, own, others = MOUNTS[name]
    with on_uvicorn(make(), ws=ws, **options) as web:
        for path in own:
            answer = web.ask("GET", f"{path}{QUERY}polling")
            assert status(answer) == 200, path
            assert b'0{"sid":' in answer
            assert websocket_status(web, path) == 400, path
        for path in others:
            assert status(web.ask("GET", f"{path}{QUERY}polling")) in (307, 404), path
            assert websocket_status(web, path) in (403, 404), path
    assert web.errors == []


def test_root_path_on_hypercorn() -> None:
    """It leaves the path as it came, which may have the root path in it, or not."""
    with on_hypercorn(SIO(server()), root_path="/api") as web:
        for path in ("/socket.io/", "/api/socket.io/", "/api/socket.io"):
            assert status(web.ask("GET", f"{path}{QUERY}polling")) == 200, path
        for path in ("/", "/x/socket.io/", "/apisocket.io/", "/api/api/socket.io/"):
            assert status(web.ask("GET", f"{path}{QUERY}polling")) == 404, path
    assert web.errors == []


# --- static files ---------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    public = tmp_path / "public"
    (public / "empty").mkdir(parents=True)
    (public / "full").mkdir()
    (public / "index.html").write_text("the index")
    (public / "a.txt").write_text("a")
    (public / "full" / "index.html").write_text("another index")
    (tmp_path / "secret").write_text("secret")
    return {"/": str(public / "index.html"), "/static": str(public), "/slash/": f"{public}/"}


@contextlib.contextmanager
def serving_files(files: dict[str, str], **options: Any) -> Iterator[Any]:
    other = Starlette(routes=[Route("/other", PlainTextResponse("other"))])
    app = SIO(server(), static_files=files, **options.pop("app", {"other_asgi_app": other}))
    with on_uvicorn(app, **options) as web:
        yield web
    assert web.errors == []


FILES = {
    "/": b"the index",
    "/static/": b"the index",
    "/static/a.txt": b"a",
    "/static/full/": b"another index",
    "/slash/a.txt": b"a",
    "/static": None,
    "/static/full": None,
    "/static/empty": None,
    "/static/empty/": None,
    "/static/a.txt/": None,
    "/static/../secret": None,
    "/static/..": None,
    "/slash/..": None,
    "/nowhere": None,
    "/other": b"other",
}


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_static_files(files: dict[str, str], root_path: str) -> None:
    with serving_files(files, root_path=root_path) as web:
        for path, body in FILES.items():
            answer = web.ask("GET", path)
            assert status(answer) == (404 if body is None else 200), path
            assert body is None or answer.endswith(b"\r\n\r\n" + body) or body in answer
            assert b"secret" not in answer


def test_static_files_without_another_application(files: dict[str, str]) -> None:
    with serving_files(files, app={}) as web:
        assert web.ask("GET", "/static/full").endswith(b"Not Found\r\n0\r\n\r\n")
        assert status(web.ask("GET", "/static/a.txt")) == 200
        assert status(web.handshake("/static/a.txt")) == 404


# --- other scopes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lifespan", ["on", "auto"])
def test_lifespan(lifespan: str) -> None:
    told: list[str] = []
    app = SIO(
        server(), on_startup=lambda: told.append("up"), on_shutdown=lambda: told.append("down")
    )
    with on_uvicorn(app, lifespan=lifespan) as web:
        assert told == ["up"]
    assert told == ["up", "down"]
    with on_uvicorn(SIO(server()), lifespan=lifespan) as web:
        assert status(web.ask("GET", "/")) == 404
    assert web.errors == []


async def test_an_unknown_type_of_scope() -> None:
    seen: list[str] = []

    async def other(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def never(*_: Any) -> Any:
        raise AssertionError("nothing is sent or received")

    await SIO(server(), other_asgi_app=other)({"type": "webtransport"}, never, never)
    assert seen == ["webtransport"]
    for options in ({}, {"socketio_path": None}):
        with pytest.raises(ValueError, match="webtransport"):
            await SIO(server(), **options)({"type": "webtransport"}, never, never)


@pytest.mark.parametrize("extensions", [{}, None])
async def test_a_websocket_that_is_not_ours_where_no_response_can_be_sent(extensions: Any) -> None:
    sent = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/x", "extensions": extensions}
    await SIO(server())(scope, receive, send)
    assert sent == [{"type": "websocket.close", "reason": "Not Found"}]
