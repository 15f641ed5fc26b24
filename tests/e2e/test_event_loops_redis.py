"""Servers with Redis between them, that emit on several event loops and threads."""

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

import toolboxsio

from .harness import wait_until
from .loops import KINDS, SECONDS, Client, elsewhere, sites
from .redis_process import RedisProcess


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with RedisProcess(tmp_path_factory.mktemp("redis")) as process:
        yield process


def make(redis, channel, **options):
    manager = toolboxsio.AsyncRedisManager(redis.url, channel=channel, **options)
    sio = toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager)

    @sio.event
    async def ask(sid):
        return "ok"

    @sio.event
    async def tell(sid, n):
        await sio.emit("told", n)

    return sio


@contextlib.contextmanager
def fleet(redis, channel, kind, **options):
    """A server on two event loops with a client on each, and another one with a client; all three
    listen to Redis."""
    one, other = (make(redis, channel, **options) for _ in range(2))
    with sites(one, kind, kind) as [first, second], sites(other, kind) as [third]:
        clients = [Client(site) for site in (first, second, third)]
        try:
            for sio in (one, other):
                wait_until("it listens", lambda: sio.status()["redis"]["connected"])  # noqa: B023
            yield one, other, [first, second, third], clients
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room_channels", [False, True])
def test_a_fleet_and_threads(redis, kind, room_channels):
    channel = f"fleet {kind} {room_channels}"
    with fleet(redis, channel, kind, room_channels=room_channels) as (one, other, _, clients):
        for n, client in enumerate(clients):
            client.send(f'42["tell",{n}]')
            assert [got.next() for got in clients] == [f'42["told",{n}]'] * 3
        elsewhere(lambda: one.emit("x", 1))
        assert [client.next() for client in clients] == ['42["x",1]'] * 3

        async def emit():
            await one.enter_room(clients[1].sid, "room")
            await one.emit("room", room="room")
            await one.emit("other", b"\1", to=clients[2].sid)
            assert await one.manager.flush()

        elsewhere(emit)
        assert clients[1].next() == '42["room"]'
        assert clients[2].next().startswith('451-["other"')
        assert clients[2].next() == b"\1"
        elsewhere(lambda: other.emit("back", room="room"))
        assert clients[1].next() == '42["back"]'
        called = []
        thread = threading.Thread(
            target=lambda: called.append(asyncio.run(one.call("q", to=clients[2].sid, timeout=5)))
        )
        thread.start()
        asked = clients[2].next()
        clients[2].send(f"43{asked[2 : asked.index('[')]}[7]")
        thread.join(SECONDS)
        assert called == [7]
        elsewhere(lambda: one.disconnect(clients[2].sid))
        assert clients[2].next() == "41"
        for n, client in enumerate(clients[:2]):
            assert client.ask("ask", n) == f'43{n}["ok"]'
        redis_status = one.status()["redis"]
        assert redis_status["connected"]
        assert (redis_status["dropped"], redis_status["reconnects"]) == (0, 0)
        assert redis_status["last_message_age"] < SECONDS


@pytest.mark.parametrize("kind", KINDS[:2])
def test_many_emits_of_threads_are_published_in_order(redis, kind):
    count = 2000
    with fleet(redis, f"order {kind}", kind) as (one, _, _, clients):

        async def emit():
            for n in range(count):
                await one.emit("n", n)

        thread = threading.Thread(target=lambda: asyncio.run(emit()))
        thread.start()
        for client in clients:
            for n in range(count):
                assert client.next() == f'42["n",{n}]'
        thread.join(SECONDS)
        assert one.status()["redis"]["dropped"] == 0


def test_the_loop_that_publishes_ends_before_another(redis):
    """The second of two web servers goes on when the first is gone."""
    kind = KINDS[0]
    with fleet(redis, "ends", kind) as (one, _, opened, clients):
        opened[0].close()
        with contextlib.closing(Client(opened[1])) as fresh:
            fresh.send('42["tell",1]')
            assert fresh.next() == '42["told",1]'
            assert clients[2].next() == '42["told",1]'
            wait_until("it listens", lambda: one.status()["redis"]["connected"])
            clients[2].send('42["tell",2]')
            assert clients[2].next() == fresh.next() == '42["told",2]'


def test_threads_without_a_server(redis):
    count, threads = 200, 4
    manager = toolboxsio.AsyncRedisManager(redis.url, channel="external", write_only=True)
    loops, at_once = [], threading.Barrier(threads)
    sio = make(redis, "external")
    with sites(sio, KINDS[0]) as [site], contextlib.closing(Client(site)) as client:
        wait_until("it listens", lambda: sio.status()["redis"]["connected"])

        async def emit(thread):
            loops.append(weakref.ref(asyncio.get_running_loop()))
            at_once.wait(SECONDS)
            for n in range(count):
                await manager.emit("n", [thread, n])

        workers = [
            threading.Thread(target=lambda number=number: asyncio.run(emit(number)))
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        due = [0] * threads
        for _ in range(count * threads):
            packet = client.next()
            thread, n = map(int, packet.removeprefix('42["n",[').removesuffix("]]").split(","))
            assert n == due[thread]
            due[thread] += 1
        for worker in workers:
            worker.join(SECONDS)
        assert manager.status()["dropped"] == 0
        assert manager.status()["pending"] == 0
    asyncio.run(manager.close())
    asyncio.run(manager.close())
    gc.collect()
    assert [ref for ref in loops if ref() is not None] == []
