"""Sessions that poll, without a web server: POSTs that wait, output, other event loops."""

import asyncio
import threading

import pytest
from connections import Polling, hub_of, server, until

import toolboxsio as socketio
from toolboxsio.asgi import Body
from toolboxsio.errors import PacketError


class Post:
    """Who waits for the end of a POST."""

    def __init__(self):
        self.n_done = 0

    def done(self):
        self.n_done += 1


def post(client, payload, max_packets=16):
    waiting = Post()
    assert client.conn.post(payload, waiting, max_packets, False) is True
    return waiting


async def busy_client(**options):
    """A client whose handlers are at their limit, and what lets them end."""
    sio = server(max_running_handlers=1, **options)
    may_end = asyncio.Event()
    sio.on("wait", lambda sid: may_end.wait())
    client = Polling(sio)
    await client.join()
    assert post(client, b'42["wait"]').n_done == 1
    return client, may_end


async def test_posts_are_handled_in_order():
    client, may_end = await busy_client()
    heard = []
    client.sio.on("note", lambda sid, n: heard.append(n))
    posts = [post(client, b'42["note",%d]\x1e42["note",%d]' % (n, n + 1)) for n in (1, 3)]
    assert [each.n_done for each in posts] == [0, 0]
    may_end.set()
    await until(lambda: all(each.n_done == 1 for each in posts))
    assert heard == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [1, 300_000])
async def test_as_many_posts_wait_as_may(size):
    client, may_end = await busy_client(max_http_buffer_size=1_000_000)
    payload = b'42["%s"]' % (b"x" * size)
    most = 16 if size == 1 else 3
    waiting = [post(client, payload) for _ in range(most)]
    assert client.conn.post(payload, Post(), 16, False) is None
    with pytest.raises(PacketError, match="POSTs at once"):
        client.socket.hand_in(payload, Post())
    may_end.set()
    await until(lambda: all(each.n_done == 1 for each in waiting))
    assert post(client, payload).n_done == 1


@pytest.mark.parametrize("end", ["close", "release", "give_up"])
async def test_posts_that_wait_are_answered_when_the_session_ends(end):
    client, _ = await busy_client()
    waiting = [post(client, b'42["wait"]') for _ in range(3)]
    if end == "close":
        await client.socket.close(wait=False)
    else:
        getattr(client.conn, end)()
    await until(lambda: all(each.n_done == 1 for each in waiting))


async def test_what_handlers_answer_is_bounded():
    """Answers that no GET fetches."""
    sio = server(max_backlog=100_000)
    sio.on("large", lambda sid: "y" * 50_000)
    client = Polling(sio)
    await client.join()
    for _ in range(10):
        post(client, b'421["large"]')
        await asyncio.sleep(0)
    assert client.conn.backlog < 300_000
    await until(lambda: client.conn.state == "over")


async def test_a_session_that_ends_while_its_event_is_looked_up():
    sio = server(async_handlers=False)
    posts = []

    class Namespace(socketio.AsyncNamespace):
        async def on_x(self, sid):
            raise AssertionError

        def __getattribute__(self, name):
            if name == "trigger_event" and posts:
                posts.clear()
                client.conn.release()
            return super().__getattribute__(name)

    sio.register_namespace(Namespace("/"))
    client = Polling(sio)
    await client.join()
    posts.append(1)
    assert post(client, b'42["x"]').n_done == 1
    assert client.conn.state == "over"


async def test_what_an_application_raises_ends_its_post_alone(caplog):
    """Where a packet raises, the rest of its POST is dropped."""
    sio = server()
    client = Polling(sio)
    await client.join()

    def fails(encoded):
        raise ValueError("no")

    client.socket._receive_lane = fails
    waiting = Post()
    with pytest.raises(ValueError, match="no"):
        client.conn.post(b"4\x1e4", waiting, 16, False)
    del client.socket._receive_lane
    await until(lambda: waiting.n_done == 1)
    assert post(client, b"3").n_done == 1


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_session_goes_on_when_its_loop_is_closed(is_slow):
    """What was due there is due here."""
    sio = server(async_handlers=not is_slow)
    heard = []

    @sio.on("x")
    async def x(sid):
        heard.append(1)
        if is_slow and len(heard) == 1:
            await asyncio.get_running_loop().create_future()

    async def begin():
        client = Polling(sio)
        await client.join()
        if not is_slow:
            sio.eio.hub().slice_seconds = 1e-9
        post(client, b'42["x"]\x1e42["x"]\x1e42["x"]')
        assert client.conn.must_wait
        return client

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(begin())
    loop.set_exception_handler(lambda *_: None)
    loop.close()

    async def go_on():
        client.socket.follow_loop()
        hub_of(sio)
        await until(lambda: len(heard) == 3)
        assert post(client, b'42["x"]').n_done == 1

    asyncio.run(go_on())
    assert len(heard) == 4


def test_requests_of_another_event_loop_are_handled_on_the_sessions():
    sio = server()
    threads = []

    @sio.on("x")
    async def x(sid):
        threads.append(threading.current_thread().name)
        await asyncio.sleep(0.001)
        threads.append(threading.current_thread().name)
        return 1

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sessions")
    thread.start()

    async def begin():
        client = Polling(sio)
        await client.join()
        return client

    async def ask(client):
        body = Body({"body": b'421["x"]'}, None)
        await client.socket.handle_post_request({"wsgi.input": body, "CONTENT_LENGTH": "8"})
        return await client.socket.handle_get_request({})

    try:
        client = asyncio.run_coroutine_threadsafe(begin(), loop).result(5)
        assert asyncio.run(ask(client)) == ["431[1]"]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert threads == ["sessions"] * 2
