"""Requests of sessions behind HTTPProtocol are answered as uvicorn and ASGI would have it.

An answer from here has a Content-Length; one that passed ASGI is chunked.
"""

import asyncio
import contextlib
import re
import time

import pytest
import uvicorn

import toolboxsio as socketio
from toolboxsio.uvicorn import HTTPProtocol, WebSocketProtocol

OPEN = "/socket.io/?EIO=4&transport=polling"
BROWSER = (
    "Host: example.org\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nCookie: a=1\r\nCookie: b=2\r\n"
)
WEBSOCKET = (
    f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{BROWSER}Connection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
OWN = "content-length"
CHUNKED = "transfer-encoding"


async def others(scope, receive, send):
    assert scope["type"] == "http"
    body = f"{scope['method']} {scope['path']}".encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def session_url(opened):
    """The URL of a session, from the packet that has opened it."""
    sid = re.search('"sid":"([^"]*)', opened)[1]
    return f"{OPEN}&sid={sid}"


class Running:
    """A server in this process, its port, and what its connect handler was told."""

    def __init__(self, options, **config):
        self.sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", **options)
        self.environs = []
        self.sio.on("connect", lambda sid, environ: self.environs.append(environ))
        self.sio.on("echo", lambda sid, data: data)
        self.app = socketio.ASGIApp(self.sio, others)
        config = {"http": HTTPProtocol, "ws": WebSocketProtocol, "log_config": None, **config}
        app = config.pop("wrap", lambda app: app)(self.app)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", **config))

    @property
    def port(self):
        return self.server.servers[0].sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def running(**config):
    made = Running(config.pop("options", {}), **config)
    task = asyncio.create_task(made.server.serve())
    async with asyncio.timeout(10):
        while not made.server.started:  # noqa: ASYNC110 (uvicorn tells nobody)
            await asyncio.sleep(0.01)
    try:
        yield made
    finally:
        made.server.should_exit = True
        await asyncio.wait_for(task, 10)


class Peer:
    """A connection of a client that keeps it."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def write(self, method, target, body=None, headers=BROWSER):
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        text = f"{method} {target} HTTP/1.1\r\n{headers}{length}\r\n{body or ''}"
        self.writer.write(text.encode())

    async def answer(self, has_body=True):
        """(status, headers, body) of the next answer."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:-2])
            body = b""
            if CHUNKED in headers and has_body:
                while size := int((await self.reader.readline()).strip(), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readline()
            elif has_body:
                body = await self.reader.readexactly(int(headers.get(OWN, 0)))
        return int(head[0].split()[1]), headers, body.decode()

    async def ask(self, *args, **kwargs):
        self.write(*args, **kwargs)
        return await self.answer()

    async def join(self):
        """The URL of a session that has joined."""
        _, _, opened = await self.ask("GET", OPEN)
        url = session_url(opened)
        assert (await self.ask("POST", url, "40"))[2] == "OK"
        assert (await self.ask("GET", url))[2].startswith('40{"sid":')
        return url


@contextlib.asynccontextmanager
async def connected(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_session():
    async with running() as server, connected(server) as peer:
        status, headers, _ = await peer.ask("GET", OPEN)
        assert (status, headers["content-type"]) == (200, "text/plain; charset=UTF-8")
        assert OWN in headers
        assert {"date", "server"} <= headers.keys()
        url = await peer.join()
        peer.write("POST", url, '420["echo",7]')
        assert (await peer.answer())[2] == "OK"
        assert (await peer.ask("GET", url))[2] == "430[7]"


async def test_sessions_and_others_on_one_connection():
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        peer.write("GET", "/a")
        peer.write("POST", url, '420["echo",7]')
        peer.write("HEAD", "/b")
        peer.write("GET", url)
        peer.write("POST", "/c", "x" * 100_000)
        peer.write("GET", "/socket.iox")
        peer.write("OPTIONS", url)
        assert (await peer.answer())[2] == "GET /a"
        assert (await peer.answer())[2] == "OK"
        assert (await peer.answer(has_body=False))[0] == 200
        assert (await peer.answer())[2] == "430[7]"
        assert (await peer.answer())[2] == "POST /c"
        assert (await peer.answer())[2] == "GET /socket.iox"
        assert (await peer.answer())[0] == 200


async def test_a_request_in_pieces():
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        packets = "\x1e".join(f'42{n}["echo",{n}]' for n in range(100))
        text = f"POST {url} HTTP/1.1\r\n{BROWSER}Content-Length: {len(packets)}\r\n\r\n{packets}"
        for at in range(0, len(text), 97):
            peer.writer.write(text[at : at + 97].encode())
            await asyncio.sleep(0)
        assert (await peer.answer())[2] == "OK"
        answers = (await peer.ask("GET", url))[2]
        assert answers == "\x1e".join(f"43{n}[{n}]" for n in range(100))


@pytest.mark.parametrize(
    "headers",
    ["Expect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n", "X:  a\r\n"],
)
async def test_requests_that_are_not_ordinary(headers):
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        is_chunked = CHUNKED in headers.lower()
        length = "" if is_chunked else "Content-Length: 13\r\n"
        body = 'd\r\n420["echo",7]\r\n0\r\n\r\n' if is_chunked else '420["echo",7]'
        peer.writer.write(f"POST {url} HTTP/1.1\r\n{BROWSER}{headers}{length}\r\n".encode())
        if "Expect" in headers:
            assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        peer.writer.write(body.encode())
        status, headers, _ = await peer.answer()
        assert (status, CHUNKED in headers) == (200, True)
        assert (await peer.ask("GET", url))[2] == "430[7]"


async def test_what_comes_behind_a_poll_waits_for_it():
    async with running() as server, connected(server) as peer, connected(server) as other:
        url = await peer.join()
        peer.write("GET", url)
        peer.write("GET", "/behind")
        peer.write("GET", f"{OPEN}&sid=unknown")
        await asyncio.sleep(0)
        await other.ask("POST", url, '420["echo",7]')
        assert (await peer.answer())[2] == "430[7]"
        assert (await peer.answer())[2] == "GET /behind"
        assert (await peer.answer())[0] == 400


async def test_more_requests_than_a_turn_of_the_loop_takes():
    async with running() as server, connected(server) as peer:
        peer.writer.write(f"OPTIONS {OPEN} HTTP/1.1\r\n{BROWSER}\r\n".encode() * 2000)
        for _ in range(2000):
            assert (await peer.answer())[0] == 200


async def test_a_client_that_leaves_during_its_poll():
    async with running(options={"ping_interval": 0.1, "ping_timeout": 0.1}) as server:
        async with connected(server) as peer:
            url = await peer.join()
            peer.write("GET", url)
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while server.sio.eio.sockets:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        assert not server.server.server_state.connections


async def test_a_pong_may_follow_a_request_that_took_its_time():
    """A client sends one request at a time; what is emitted meanwhile does not end its session."""
    options = {"ping_interval": 0.2, "ping_timeout": 1, "async_handlers": False}
    async with running(options=options) as server, connected(server) as peer:
        server.sio.on("wait", lambda sid: asyncio.sleep(0.9))
        url = await peer.join()
        assert (await peer.ask("POST", url, '42["wait"]'))[2] == "OK"
        async with connected(server) as other:
            assert (await other.ask("GET", url))[2] == "2"
        await asyncio.sleep(0.4)
        await server.sio.emit("news")
        await asyncio.sleep(0.05)
        assert (await peer.ask("POST", url, "3"))[::2] == (200, "OK")


async def test_a_poll_that_is_answered_when_it_should_end():
    """The loop was held up: the PING was due before the end of the poll, and is there."""
    options = {"ping_interval": 0.2, "ping_timeout": 0.2}
    async with running(options=options) as server, connected(server) as peer:
        _, _, opened = await peer.ask("GET", OPEN)
        peer.write("GET", session_url(opened))
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # noqa: ASYNC251 (holds the loop up)
        assert (await peer.answer())[::2] == (200, "2")


@pytest.mark.parametrize("http", [HTTPProtocol, "httptools"])
async def test_the_server_stops_during_a_poll(http):
    async with running(http=http) as server, connected(server) as peer:
        url = await peer.join()
        peer.write("GET", url)
        await asyncio.sleep(0.05)
        server.server.should_exit = True
        status, headers, body = await peer.answer()
        assert (status, body) == (200, "1")
        assert headers["connection"] == "close"
        assert await asyncio.wait_for(peer.reader.read(), 5) == b""


async def test_connection_close():
    async with running() as server, connected(server) as peer:
        status, headers, _ = await peer.ask("GET", OPEN, headers=BROWSER + "Connection: close\r\n")
        assert (status, headers["connection"], OWN in headers) == (200, "close", True)
        assert await asyncio.wait_for(peer.reader.read(), 5) == b""


async def test_a_connection_without_requests_ends():
    async with running(timeout_keep_alive=1) as server, connected(server) as peer:
        await peer.join()
        begun = asyncio.get_running_loop().time()
        assert await asyncio.wait_for(peer.reader.read(), 5) == b""
        assert asyncio.get_running_loop().time() - begun > 0.9


@pytest.mark.parametrize("path", ["polling", "websocket"])
async def test_uvicorn_refuses_what_is_too_much(path):
    async with running(limit_concurrency=1) as server, connected(server) as peer:
        peer.writer.write(
            WEBSOCKET.encode() + b"\r\n"
            if path == "websocket"
            else f"GET {OPEN} HTTP/1.1\r\n\r\n".encode()
        )
        if path == "polling":
            assert (await peer.answer())[0] == 503


@pytest.mark.parametrize("trusted", ["127.0.0.1", "10.0.0.1"])
@pytest.mark.parametrize("http", [HTTPProtocol, "httptools"])
async def test_a_proxy_in_front(http, trusted):
    forwarded = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
    async with running(http=http, forwarded_allow_ips=trusted) as server:
        async with connected(server) as peer:
            _, _, opened = await peer.ask("GET", OPEN, headers=BROWSER + forwarded)
            url = session_url(opened)
            await peer.ask("POST", url, "40")
        async with connected(server) as peer:
            peer.writer.write(f"{WEBSOCKET}{forwarded}\r\n".encode())
            await peer.reader.readuntil(b"maxPayload")
            peer.writer.write(b"\x81\x82\0\0\0\x0040")
            await peer.reader.readuntil(b'40{"sid"')
        scopes = [environ["asgi.scope"] for environ in server.environs]
        is_trusted = trusted == "127.0.0.1"
        assert [s["client"][0] for s in scopes] == ["1.2.3.4" if is_trusted else "127.0.0.1"] * 2
        assert [s["scheme"] for s in scopes] == (["https", "wss"] if is_trusted else ["http", "ws"])


def plain(environ):
    """An environ and its scope without what is another's each time."""
    kept = {k: v for k, v in environ.items() if k[:5] not in ("asgi.", "wsgi.")}
    scope = {k: v for k, v in environ["asgi.scope"].items() if k != "extensions"}
    moving = ("client", "server", "state")
    return kept, {k: v for k, v in scope.items() if k not in moving}


@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("kind", ["polling", "websocket"])
async def test_environs_are_those_of_asgi(kind, root_path):
    told = []
    for http in (HTTPProtocol, "httptools"):
        async with running(http=http, root_path=root_path) as server, connected(server) as peer:
            if kind == "polling":
                _, _, opened = await peer.ask("GET", OPEN)
                url = session_url(opened)
                await peer.ask("POST", url, "40")
            else:
                protocols = "Sec-WebSocket-Protocol: a, b\r\n"
                peer.writer.write(f"{WEBSOCKET}{protocols}\r\n".encode())
                await peer.reader.readuntil(b"maxPayload")
                peer.writer.write(b"\x81\x82\0\0\0\x0040")
                await peer.reader.readuntil(b'40{"sid"')
            told.append(plain(server.environs[0]))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=9; client_no_context_takeover, x-other",
        "x-other; a=b",
        "permessage-deflate; server_max_window_bits=99",
        'permessage-deflate; x="',
    ],
)
async def test_handshakes_are_those_of_uvicorn(offer):
    told = []
    for http in (HTTPProtocol, "httptools"):
        async with running(http=http) as server, connected(server) as peer:
            field = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
            peer.writer.write(f"{WEBSOCKET}{field}\r\n".encode())
            head = await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), 5)
            lines = head.decode().lower().split("\r\n")
            told.append(sorted(line for line in lines if line[:5] != "date:"))
    assert told[0] == told[1]


async def test_the_log_is_that_of_uvicorn(caplog):
    told = []
    for http in (HTTPProtocol, "httptools"):
        caplog.clear()
        caplog.set_level("INFO")
        async with running(http=http, access_log=True) as server:
            async with connected(server) as peer:
                await peer.ask("GET", OPEN)
                await peer.ask("GET", f"{OPEN}&sid=unknown")
                await peer.ask("GET", "/a")
            async with connected(server) as peer:
                peer.writer.write(f"{WEBSOCKET}\r\n".encode())
                await peer.reader.readuntil(b"maxPayload")
            async with connected(server) as peer:
                peer.writer.write(WEBSOCKET.replace("EIO=4", "EIO=3").encode() + b"\r\n")
                await peer.reader.read()
        lines = [(r.name, r.getMessage()) for r in caplog.records if r.name[:8] == "uvicorn."]
        told.append(
            [(n, re.sub(r":\d+ ", ":* ", t)) for n, t in lines if " - " in t or "open" in t]
        )
    assert told[0] == told[1]


def wrapped(app):
    async def middleware(scope, receive, send):
        await app(scope, receive, send)

    return middleware


async def test_a_middleware_is_not_passed_by():
    async with running(wrap=wrapped) as server, connected(server) as peer:
        status, headers, _ = await peer.ask("GET", OPEN)
        assert (status, CHUNKED in headers) == (200, True)


async def test_a_replaced_method_is_called():
    async with running() as server:
        called = []
        original = server.sio.eio.handle_request

        async def handle_request(*args):
            called.append(1)
            return await original(*args)

        server.sio.eio.handle_request = handle_request
        async with connected(server) as peer:
            assert (await peer.ask("GET", OPEN))[0] == 200
        assert called == [1]


async def test_a_handler_of_connections_that_fails_is_answered():
    async with running() as server, connected(server) as peer:

        def fail(*_):
            raise RuntimeError("of the test")

        server.sio.eio.generate_id = fail
        status, headers, body = await peer.ask("GET", OPEN)
        assert (status, headers["connection"], body) == (500, "close", "Internal Server Error")


async def test_a_header_that_would_begin_another():
    options = {"cookie": {"name": "a\r\nb"}}
    async with running(options=options) as server, connected(server) as peer:
        status, headers, body = await peer.ask("GET", OPEN)
        assert (status, body, "b" in headers) == (500, "Internal Server Error", False)
