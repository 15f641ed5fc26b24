"""The Redis manager at its limits and its ends, with a real Redis."""

import asyncio
import threading

import pytest
from connections import Client, until
from test_redis_manager import directory, errors, manager_of, mortal, serving, shared

import toolboxsio
from toolboxsio.redis import AsyncRedisManager

__all__ = ["directory", "mortal", "shared"]

pytestmark = pytest.mark.timeout(60)


async def test_a_room_whose_name_is_no_text(mortal):
    """A lone surrogate: it has a channel, its members leave, and Redis may come and go."""
    manager = AsyncRedisManager(mortal.url, room_channels=True)
    async with serving(manager) as sio:
        client = Client(sio)
        client.join()

        @sio.event
        async def join(sid, room):
            await sio.enter_room(sid, room)
            await sio.emit("e", room=room)

        client.send('42["join","\\ud800"]')
        assert await client.until() == ['42["e"]']
        mortal.end()
        await until(lambda: not manager.status()["connected"])
        mortal.start()
        await until(lambda: manager.status()["connected"])
        client.conn.connection_lost(None)
        await until(lambda: not manager.rooms)
        assert not manager.pending_disconnect


async def test_little_may_wait_and_redis_is_there(shared, caplog):
    manager = AsyncRedisManager(shared.url, max_pending=10_000)
    async with serving(manager) as sio:
        await until(lambda: manager._publisher.is_up)
        for _ in range(20):
            await sio.emit("e", "x" * 5000)
        assert await manager.flush()
        assert manager.dropped == 0
        assert not errors(caplog)


async def test_flush_tells_of_messages_that_redis_refuses(shared):
    with shared.client() as redis:
        redis.execute_command(
            "ACL", "SETUSER", "bob", "on", ">p", "+@all", "~*", "resetchannels", "&other"
        )
    manager = AsyncRedisManager(shared.url.replace("redis://", "redis://bob:p@"), write_only=True)
    sio = toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager)
    sio.manager_initialized = True
    manager.initialize()
    await sio.emit("e")
    assert not await manager.flush()
    assert manager.dropped == 1
    await manager.close()


async def test_calls_without_an_answer_leave_nothing(shared):
    manager = AsyncRedisManager(shared.url)
    async with serving(manager) as sio:
        client = Client(sio)
        sid = client.join()
        for to in (sid, "a client of another server", sid):
            with pytest.raises(toolboxsio.exceptions.TimeoutError):
                await sio.call("ask", to=to, timeout=0.01)
        assert set(manager.callbacks) <= {sid}
        assert list(manager.callbacks.get(sid, {0: None})) == [0]


async def test_close_while_something_emits(shared):
    manager = AsyncRedisManager(shared.url)
    sio = toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager)
    sio.manager_initialized = True
    for _ in range(5):
        manager.initialize()
        await until(lambda: manager.status()["connected"] and manager._publisher.is_up)
        is_over = asyncio.Event()

        async def emit(is_over=is_over):
            while not is_over.is_set():
                await sio.emit("e")
                await asyncio.sleep(0)

        emitting = asyncio.create_task(emit())
        await asyncio.sleep(0)
        await manager.close()
        is_over.set()
        await emitting
        await manager.close()
        await until(lambda: not [t for t in asyncio.all_tasks() if manager_of(t) is manager])


async def test_two_event_loops_at_a_time(shared):
    """One manager without a server: each message arrives, and connections do not add up."""
    manager = AsyncRedisManager(shared.url, write_only=True)
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    with shared.client() as redis:
        pubsub = redis.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe("socketio")
        before = len(redis.client_list())
        for number in range(10):
            await manager.emit("here", number)
            emitting = asyncio.run_coroutine_threadsafe(manager.emit("there", number), other)
            await asyncio.wrap_future(emitting)
        heard = []
        await until(
            lambda: heard.append(pubsub.get_message()) or len(list(filter(None, heard))) == 20
        )
        await until(lambda: len(redis.client_list()) <= before + 2)
        pubsub.close()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(manager.close(), other))
    other.call_soon_threadsafe(other.stop)
    thread.join()
    other.close()
