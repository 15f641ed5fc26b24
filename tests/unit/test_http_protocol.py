"""uvicorn's HTTP protocol with an end for requests that do not come to theirs: on real sockets."""

import asyncio
import contextlib
import socket

import pytest
import uvicorn

from toolboxsio.uvicorn import HTTPProtocol

SECONDS = 0.3
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    size, more = 0, scope["path"] != "/early"
    if scope["path"] == "/slow":
        await asyncio.sleep(5)
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    head = [(b"content-length", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"%07d" % size})


@pytest.fixture
async def port(monkeypatch):
    monkeypatch.setattr("toolboxsio.uvicorn.REQUEST_SECONDS", SECONDS)
    config = uvicorn.Config(app, port=0, http=HTTPProtocol, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 (uvicorn tells nobody)
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await asyncio.wait_for(task, 10)


@contextlib.asynccontextmanager
async def connected(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answered(reader, body):
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 ")
    assert await asyncio.wait_for(reader.readexactly(7), 5) == body


@pytest.mark.parametrize("before", [b"", b"G", REQUEST[:-1]])
async def test_a_request_that_does_not_come(port, before):
    async with connected(port) as (reader, writer):
        begun = asyncio.get_running_loop().time()
        writer.write(before)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert SECONDS * 0.9 < asyncio.get_running_loop().time() - begun < SECONDS * 5


async def test_bytes_one_by_one_do_not_prolong_it(port):
    async with connected(port) as (reader, writer):
        reading = asyncio.create_task(reader.read())
        for byte in REQUEST[:-2]:
            writer.write(bytes([byte]))
            await asyncio.wait({reading}, timeout=SECONDS / 10)
            if reading.done():
                break
        assert (await asyncio.wait_for(reading, 5)).startswith(b"HTTP/1.1 408 ")
        assert byte != REQUEST[-3]


async def test_headers_without_an_end(port):
    async with connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            writer.write(b"x: " + b"y" * 8000 + b"\r\n")
            await asyncio.wait({reading}, timeout=0.002)
        assert (await reading).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("upgrade", ["", "Upgrade: websocket\r\nConnection: Upgrade\r\n"])
@pytest.mark.parametrize("before", [b"", REQUEST])
@pytest.mark.parametrize(
    ("path", "headers"), [("/", "x: y\r\n" * 11_000), ("/?" + "x" * 70_000, "")]
)
async def test_large_headers_in_one_piece(port, before, upgrade, path, headers):
    """They may all have come in one read, behind another request."""
    async with connected(port) as (reader, writer):
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade}{headers}\r\n"
        writer.write(before + head.encode())
        answers = (await asyncio.wait_for(reader.read(), 5)).split(b"HTTP/1.1 ")
        assert answers[-1].startswith(b"431 ")
        assert all(answer.startswith(b"200 ") for answer in answers[1:-1])


async def test_lines_that_are_too_many_are_not_all_read(monkeypatch):
    """However large a read is: who waits for it waits for what may be."""
    lines = []
    monkeypatch.setattr(
        HTTPProtocol, "on_header", lambda self, *line: lines.append(line), raising=False
    )
    config = uvicorn.Config(app, http=HTTPProtocol, lifespan="off")
    config.load()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    with ours, theirs:
        transport, _ = await loop.connect_accepted_socket(
            lambda: HTTPProtocol(config, uvicorn.server.ServerState(), {}), ours
        )
        transport.get_protocol().data_received(b"GET / HTTP/1.1\r\n" + b"x: yyy\r\n" * 100_000)
        answer = await asyncio.wait_for(loop.sock_recv(theirs, 100), 5)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert 64 * 1024 // 8 <= len(lines) <= (64 + 2 * 16) * 1024 // 8
        transport.abort()


async def test_small_headers_in_a_large_read(port):
    async with connected(port) as (reader, writer):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n"
        writer.write(head + b"x" * 70_000 + REQUEST)
        await answered(reader, b"0070000")
        await answered(reader, b"0000000")


async def test_the_next_request_of_a_connection(port):
    """It may come late; once it has begun, it has to end."""
    async with connected(port) as (reader, writer):
        writer.write(REQUEST)
        await answered(reader, b"0000000")
        await asyncio.sleep(SECONDS * 2)  # nothing happens
        writer.write(REQUEST)
        await answered(reader, b"0000000")
        writer.write(REQUEST[:9])
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_has_time(port):
    body = b"x" * 200_000
    async with connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + body[:100])
        await asyncio.sleep(SECONDS * 2)  # nothing happens
        writer.write(body[100:] + REQUEST)
        await answered(reader, b"0200000")
        await answered(reader, b"0000000")


async def test_an_upload_that_is_answered_early(port):
    """What is left of its body is no header, and has no time limit."""
    body = b"x" * 300_000
    async with connected(port) as (reader, writer):
        writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        await answered(reader, b"0000000")
        for at in range(0, len(body), 50_000):
            writer.write(body[at : at + 50_000])
            await asyncio.sleep(SECONDS / 3)  # nothing happens
        writer.write(REQUEST)
        await answered(reader, b"0000000")


@pytest.mark.parametrize("size", [1, 1000])
async def test_the_next_request_while_one_is_at_work(port, size):
    async with connected(port) as (reader, writer):
        begun = asyncio.get_running_loop().time()
        writer.write(REQUEST.replace(b"/ ", b"/slow ") + REQUEST[:-2])
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            writer.write(b"x: " + b"y" * size + b"\r\n")
            await asyncio.wait({reading}, timeout=0.001)
        status = b"408" if size == 1 else b"431"
        with contextlib.suppress(ConnectionResetError):  # what is still sent may cut it off
            assert b"HTTP/1.1 %s " % status in await reading
        assert asyncio.get_running_loop().time() - begun < 4  # else it was the slow answer


@pytest.mark.parametrize("more", [b"", b"\x8a\x80mask" * 20_000])
async def test_a_websocket_has_time(port, more):
    """What comes before the answer to its handshake is dropped, as uvicorn does, or read."""
    async with connected(port) as (reader, writer):
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        writer.write(more)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SECONDS * 2)
