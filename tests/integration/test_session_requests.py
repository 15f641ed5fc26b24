"""Requests of sessions behind HTTPProtocol are answered as uvicorn and ASGI would have it.

An answer from here has a Content-Length; one that passed ASGI is chunked.
"""

import asyncio
import contextlib
import gzip
import re
import time
import zlib

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
        options = {"cors_allowed_origins": "*", **options}
        self.sio = socketio.AsyncServer(async_mode="asgi", **options)
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
        body = body.encode() if isinstance(body, str) else body
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\n{headers}{length}\r\n"
        self.writer.write(head.encode() + (body or b""))

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
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return int(head[0].split()[1]), headers, body.decode()

    async def ask(self, *args, **kwargs):
        self.write(*args, **kwargs)
        return await self.answer()

    async def join(self):
        """The URL of a session that has joined."""
        _, _, opened = await self.ask("GET", OPEN)
        url = session_url(opened)
        assert (await self.ask("POST", url, "40"))[2] in ("OK", "ok")
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


#: Bodies of POSTs; what follows makes it another kind of request.
POSTS = {
    "pong": "3",
    "events": '420["echo",1]\x1e421["echo","\xe9"]',
    "attachment": '451-0["echo",{"_placeholder":true,"num":0}]\x1ebAAEC',
    "nothing": "",
    "no packet": "\x1e",
    "no such type": '42["echo"]\x1e9',
    "of servers": "2",
    "no UTF-8": b"4\xff",
    "no base64": "b!",
    "JSONP": "d=420%5B%22echo%22%2C1%5D",
    "JSONP without packets": "d=",
    "too many": "\x1e".join("3" * 20),
    "goodbye": "1\x1e3",
    "no JSON": "420[",
}
HEADERS = {
    "": "",
    "origin": "Origin: https://a.example\r\n",
    "another origin": "Origin: https://b.example\r\n",
    "forwarded": "Origin: https://example.org\r\nX-Forwarded-Proto: https\r\n",
    "preflight": "Access-Control-Request-Headers: x-a\r\n",
    "encodings": "Accept-Encoding: br, gzip\r\n",
    "close": "Connection: close\r\n",
}
OPTIONS = {
    "": {},
    "one origin": {"cors_allowed_origins": "https://a.example"},
    "a function": {"cors_allowed_origins": lambda origin, environ: origin != "https://b.example"},
    "no CORS": {"cors_allowed_origins": []},
    "own origin": {"cors_allowed_origins": None},
    "no credentials": {"cors_credentials": False},
    "no compression": {"http_compression": False},
    "strict": {"strict": True},
}


async def told(http, options, requests):
    """What a session is answered: (status, headers, body) of each request."""
    answers = []
    options = {"max_payload_packets": 10, "compression_threshold": 10, **options}
    async with running(http=http, options=options) as server, connected(server) as peer:
        url = await peer.join()
        for method, body, headers in requests:
            status, found, answer = await peer.ask(method, url, body, f"{BROWSER}{headers}")
            kept = {k: v for k, v in found.items() if k not in (OWN, CHUNKED, "date")}
            answers.append((status, kept, re.sub("[Ss]ession .*", "", answer)))
            if kept.get("connection") == "close":
                break
    return answers


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("headers", HEADERS)
async def test_answers_to_polls_are_those_of_asgi(options, headers):
    headers, options = HEADERS[headers], OPTIONS[options]
    requests = [("POST", POSTS["events"], headers), ("GET", None, headers), ("POST", "9", headers)]
    here = await told(HTTPProtocol, options, requests)
    assert here == await told("httptools", options, requests)


@pytest.mark.parametrize("body", POSTS)
async def test_packets_of_posts_are_those_of_asgi(body):
    requests = [("POST", POSTS[body], ""), ("POST", '420["echo",0]', ""), ("GET", None, "")]
    here = await told(HTTPProtocol, {}, requests)
    assert here == await told("httptools", {}, requests)


async def test_a_poll_that_is_broken_off_takes_nothing():
    async with running() as server, connected(server) as peer:
        async with connected(server) as other:
            url = await peer.join()
            other.write("GET", url)
            [socket] = server.sio.eio.sockets.values()
            async with asyncio.timeout(5):
                while not socket.polls:  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            while socket.polls:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        await server.sio.emit("news", 1)
        assert (await peer.ask("GET", url))[2] == '42["news",1]'


async def test_several_polls_are_all_answered():
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as first, connected(server) as second:
            [socket] = server.sio.eio.sockets.values()
            for n, each in enumerate((first, second), 1):
                each.write("GET", url)
                async with asyncio.timeout(5):
                    while len(socket.polls or ()) < n:  # noqa: ASYNC110 (nobody tells)
                        await asyncio.sleep(0.01)
            await server.sio.emit("news", 1)
            assert (await first.answer())[2] == '42["news",1]'
            await server.sio.emit("news", 2)
            assert (await second.answer())[2] == '42["news",2]'
            first.write("GET", url)
            second.write("GET", url)
            async with asyncio.timeout(5):
                while len(socket.polls) < 2:  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(0.01)
            assert (await peer.ask("POST", url, "1"))[2] == "OK"
            assert [(await each.answer())[2] for each in (first, second)] == ["6", "6"]


def frame(payload, first=0x81, mask=0x80):
    """A frame of a client; its key is zero."""
    data = payload.encode() if isinstance(payload, str) else payload
    return bytes([first, mask | len(data)]) + (b"\0\0\0\0" if mask else b"") + data


def deflated(*payloads):
    """Text frames of a client that compresses them and keeps its window."""
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(p.encode()) + packer.flush(zlib.Z_SYNC_FLUSH) for p in payloads)
    return b"".join(frame(each[:-4], 0xC1) for each in packed)


def upgrade_of(url, offer=""):
    """The handshake of the WebSocket to which a session is upgraded."""
    sid = url.rpartition("&")[2]
    head = WEBSOCKET.replace("transport=websocket", f"transport=websocket&{sid}")
    return f"{head}{offer}\r\n".encode()


#: Bytes of the WebSocket of an upgrade, part by part.
UPGRADES = {
    "usual": [frame("2probe"), frame("5"), frame('420["echo",1]')],
    "at once": [frame("2probe") + frame("5") + frame('420["echo",1]') + frame("41")[:3]],
    "byte by byte": [bytes([byte]) for byte in frame("2probe") + frame("5") + frame("3")],
    "compressed": [deflated("2probe", "5", '420["echo",1]')],
    "compressed without a window": [deflated("2probe"), deflated("5")],
    "binary": [frame(b"2probe", 0x82)],
    "no probe": [frame("2nope")],
    "a message first": [frame("40")],
    "a message instead": [frame("2probe"), frame("40")],
    "no packet": [frame("2probe"), frame("x")],
    "an empty packet": [frame("")],
    "ping and pong": [frame("a", 0x89) + frame("", 0x8A), frame("2probe"), frame("5")],
    "goodbye": [frame(b"\x03\xe8", 0x88)],
    "goodbye amid": [frame("2probe"), frame(b"\x03\xe9", 0x88)],
    "no text": [frame(b"2\xff")],
    "no mask": [frame("2probe", mask=0)],
    "reserved": [frame("2probe", 0xB1)],
    "no opcode": [frame("2probe", 0x83)],
    "no deflate": [frame(b"\xff\xff", 0xC1)],
    "much": [frame("2" + "p" * 124)],
    "nothing more": [b""],
}


async def upgraded(http, name, options, offer=""):
    """What the WebSocket of an upgrade gets, and the session at its end."""
    running_server = running(http=http, options={"upgrade_timeout": 0.3, **options})
    async with running_server as server, connected(server) as peer, connected(server) as other:
        url = await peer.join()
        peer.write("GET", url)
        other.writer.write(upgrade_of(url, offer))
        answer = await other.reader.readuntil(b"\r\n\r\n")
        lines = [line for line in answer.split(b"\r\n") if not line.startswith(b"date")]
        for part in UPGRADES[name]:
            other.writer.write(part)
            await asyncio.sleep(0.01)
        if name == "usual":
            await server.sio.emit("news", "x")
        got = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while data := await other.reader.read(1000):
                    got += data
        sockets = list(server.sio.eio.sockets.values())
        state = [(each.upgraded, each.upgrading, each.conn.path) for each in sockets]
        if state and state[0][2] == "polling":
            await server.sio.emit("news", "y")
        poll = await peer.answer()
        got = got.replace(b"\xc1\x082.(\xcaOJ\x05\0", b"\x81\x063probe")  # compressed
        messages, close, code = got.partition(b"\x88")
        return sorted(lines), messages, close and code[1:3], state, poll[0], poll[2]


@pytest.mark.parametrize("offer", ["", "Sec-WebSocket-Extensions: permessage-deflate\r\n"])
@pytest.mark.parametrize("name", UPGRADES)
async def test_upgrades_are_those_of_asgi(name, offer):
    here = await upgraded(HTTPProtocol, name, {}, offer)
    assert here == await upgraded("httptools", name, {}, offer)


@pytest.mark.parametrize("loop", [1, 2])
async def test_a_client_that_leaves_amid_its_upgrade_goes_on_polling(loop):
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as other:
            other.writer.write(upgrade_of(url))
            await other.reader.readuntil(b"\r\n\r\n")
            other.writer.write(frame("2probe")[:loop] if loop == 1 else frame("2probe"))
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            [socket] = server.sio.eio.sockets.values()
            while socket.upgrading:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        await server.sio.emit("news", 1)
        assert (await peer.ask("GET", url))[2].endswith('42["news",1]')
        async with connected(server) as third:
            third.writer.write(upgrade_of(url) + frame("2probe") + frame("5"))
            await third.reader.readuntil(b"3probe")
            await asyncio.sleep(0.01)
            assert socket.conn.path == "direct"


async def test_the_server_stops_amid_an_upgrade():
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as other:
            other.writer.write(upgrade_of(url))
            await other.reader.readuntil(b"\r\n\r\n")
            server.server.should_exit = True
            async with asyncio.timeout(5):
                assert (await other.reader.read(100)).startswith(b"\x88\x02\x03\xf4")


@pytest.mark.parametrize("cut", range(1, 8))
async def test_a_frame_of_an_upgrade_may_begin_with_its_handshake(cut):
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as other:
            probe = frame("2probe")
            other.writer.write(upgrade_of(url) + probe[:cut])
            await other.reader.readuntil(b"\r\n\r\n")
            other.writer.write(probe[cut:] + frame("5") + frame('420["echo",1]'))
            async with asyncio.timeout(5):
                await other.reader.readuntil(b"430[1]")


async def test_control_frames_of_an_upgrade_are_few():
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as other:
            other.writer.write(upgrade_of(url) + frame("x" * 125, 0x89) * 2000)
            async with asyncio.timeout(5):
                got = await other.reader.readuntil(b"has failed")
                assert got.count(b"\x8a\x7d") == 16
                await other.reader.read()
        assert (await peer.ask("POST", url, "3"))[2] == "OK"


async def test_the_end_of_a_session_ends_its_upgrade():
    async with running(options={"upgrade_timeout": 0}) as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as other:
            other.writer.write(upgrade_of(url) + frame("2probe"))
            await other.reader.readuntil(b"3probe")
            [sid] = server.sio.manager.rooms["/"].keys() - {None}
            await server.sio.disconnect(sid)
            await peer.ask("POST", url, "1")
            async with asyncio.timeout(5):
                assert b"\x88" in await other.reader.read()


async def test_a_client_that_does_not_take_its_polls_is_too_slow():
    options = {"max_backlog": 500_000, "http_compression": False}
    async with running(options=options) as server, connected(server) as peer:
        url = await peer.join()
        async with connected(server) as other:
            other.writer.transport.pause_reading()
            async with asyncio.timeout(20):
                while server.sio.eio.sockets:
                    other.write("GET", url)
                    await asyncio.sleep(0.001)
                    await server.sio.emit("news", "x" * 200_000)
                    await asyncio.sleep(0.001)
            connections = server.server.server_state.connections
            waiting = sum(each.transport.get_write_buffer_size() for each in connections)
            assert waiting < 5_000_000
            other.writer.transport.abort()


async def test_uvicorns_own_answers_may_take_longer_than_a_connection_is_kept():
    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = {"type": "http.response.body", "body": b"x" * 1_000_000}
        for n in range(12):
            await send({**body, "more_body": n < 11})

    async with running(timeout_keep_alive=0.1) as server:
        server.app.other_asgi_app = large
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        size = 0
        for _ in range(3):
            size += len(await reader.read(1_500_000))
            await asyncio.sleep(0.2)
        while data := await reader.read(1_000_000):
            size += len(data)
        assert size > 12_000_000
        writer.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_function_for_origins_that_fails(method, caplog):
    def allowed(origin, environ):
        if len(asked) < 3:
            asked.append(origin)
            return True
        raise LookupError

    asked = []
    options = {"cors_allowed_origins": allowed, "ping_interval": 0.1, "ping_timeout": 0.1}
    async with running(options=options) as server, connected(server) as peer:
        _, _, opened = await peer.ask("GET", OPEN)
        asked += [None] * 3
        body = "3" if method == "POST" else None
        answer = await peer.ask(method, session_url(opened), body, BROWSER + "Origin: x\r\n")
        assert answer[0] == 500
        async with asyncio.timeout(5):
            while server.sio.eio.sockets:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
    assert any(record.exc_info for record in caplog.records)


async def test_replaced_methods_of_a_server_are_called():
    async with running() as server, connected(server) as peer:
        url = await peer.join()
        eio, called = server.sio.eio, []
        for name in ("_cors_headers", "_ok"):
            method = getattr(eio, name)

            def own(*args, name=name, method=method, **kwargs):
                called.append(name)
                return method(*args, **kwargs)

            setattr(eio, name, own)
            await peer.ask("POST", url, "3")
            assert name in called
            delattr(eio, name)


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
