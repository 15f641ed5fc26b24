"""Sessions through ASGI end without a cancellation of their task, unless that is cancelled."""

import asyncio
import types

import pytest
from connections import Events, server, until


class Watched(Events):
    """One whose task is looked at where it is interrupted."""

    def __init__(self, *args):
        self.seen = []
        super().__init__(*args)

    async def receive(self):
        try:
            return await super().receive()
        except asyncio.CancelledError:
            self.seen.append(asyncio.current_task().cancelling())
            raise


class Turning(Events):
    """One whose server asks for a message in each iteration of the event loop."""

    @types.coroutine
    def _turn(self):
        yield

    async def receive(self):
        while self.inbox.empty():
            await self._turn()
        return await super().receive()


class Stuck(Events):
    """One whose server does not take messages while it is told so."""

    def __init__(self, *args):
        self.gate = asyncio.Event()
        self.gate.set()
        super().__init__(*args)

    async def send(self, message):
        await self.gate.wait()
        await super().send(message)


def leaving(**options):
    """A server that notes the ends of its sessions, and ends one that asks for it."""
    sio = server(**options)
    sio.left = []

    @sio.event
    async def disconnect(sid, reason):
        sio.left.append(reason)

    @sio.event
    async def end(sid):
        [socket] = sio.eio.sockets.values()
        await socket.end(1008, "a test", sio.reason.SERVER_DISCONNECT)

    return sio


@pytest.mark.parametrize("kind", [Watched, Turning, Events])
async def test_a_session_that_is_ended(kind):
    sio = leaving()
    client = kind(sio)
    await client.join()
    await client.socket.end(1008, "a test", sio.reason.SERVER_DISCONNECT)
    await until(client.task.done)
    assert client.is_closed
    assert not client.task.cancelled()
    assert client.task.cancelling() == 0
    assert sio.left == [sio.reason.SERVER_DISCONNECT]
    assert getattr(client, "seen", [0]) == [0]
    assert sio.eio.sockets == {}


async def test_a_session_that_is_ended_by_its_handler():
    sio = leaving()
    client = Watched(sio)
    await client.join()
    assert await client.exchange('42["end"]') == ["1"]
    await until(client.task.done)
    assert (client.is_closed, client.seen) == (True, [])  # it has not waited since
    assert sio.left == [sio.reason.SERVER_DISCONNECT]


@pytest.mark.parametrize("kind", [Events, Turning])
async def test_a_task_that_is_cancelled(kind):
    sio = leaving()
    client = kind(sio)
    await client.join()
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert client.is_closed
    assert sio.left == [sio.reason.TRANSPORT_CLOSE]
    assert sio.eio.sockets == {}


@pytest.mark.parametrize("comes", ["first", "last"])
async def test_a_task_that_is_cancelled_as_its_session_ends(comes):
    """Neither takes the place of the other."""
    sio = leaving()
    client = Events(sio)
    await client.join()
    if comes == "first":
        client.task.cancel()
    client.socket._interrupt(True)
    if comes == "last":
        client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert client.is_closed
    assert sio.eio.sockets == {}


async def test_a_connection_that_is_dropped_while_messages_are_sent():
    """Neither the reader nor who sends waits for the client any more."""
    sio = leaving()
    client = Stuck(sio)
    sid = await client.join()
    client.gate.clear()
    await sio.emit("tick", 1, to=sid)
    await client.exchange()
    before = asyncio.all_tasks()
    client.conn.abort()
    await until(client.task.done)
    assert client.sent == []
    assert asyncio.all_tasks() < before


async def test_a_handler_is_not_cancelled_as_its_session_ends():
    sio = leaving()
    ended = []

    @sio.event
    async def connect(sid, environ):
        try:
            await asyncio.sleep(0.02)
            ended.append("whole")
        except asyncio.CancelledError:
            ended.append("cancelled")

    client = Events(sio)
    await client.exchange("40")
    client.conn.abort()
    await until(client.task.done)
    assert ended == ["whole"]
