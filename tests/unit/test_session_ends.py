"""However a session ends, and whatever comes between: nothing of it is left in the tables."""

import asyncio
import gc
import weakref

import pytest
from connections import Client, Messages, server, until


async def gone(client):
    """Let the WebSocket end."""
    if isinstance(client, Client):
        client.conn.connection_lost(None)
    else:
        client.inbox.put_nowait(None)


async def connected(sio, kind):
    client = kind(sio)
    joined = client.join()
    if kind is Messages:
        await joined
    return client


@pytest.mark.parametrize("kind", [Client, Messages])
async def test_the_client_goes_while_its_disconnect_handler_is_at_work(kind):
    sio = server()
    at_work, may_end = asyncio.Event(), asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        at_work.set()
        await may_end.wait()

    client = await connected(sio, kind)
    closing = asyncio.create_task(client.socket.close(wait=False))
    await at_work.wait()
    await gone(client)
    await until(lambda: client.conn.path == "over")
    may_end.set()
    await closing
    assert sio.eio.sockets == {}


def tables(sio):
    """All that knows of clients."""
    manager = sio.manager
    return [
        *(sio.eio.sockets, sio.environ, sio._binary_packet, manager.rooms, manager.callbacks),
        *(manager.pending_connect, manager.pending_disconnect),
    ]


async def ended(client):
    """The client leaves; afterwards nothing knows of it."""
    await gone(client)
    await until(lambda: client.conn.path == "over")
    assert tables(client.sio) == [{}] * 7


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("error", [LookupError, ConnectionRefusedError, TypeError])
async def test_a_connect_handler_raises(error, always):
    sio = server(always_connect=always)
    told = []
    sio.on("disconnect", lambda sid, reason: told.append(reason))

    @sio.event
    async def connect(sid, environ, auth=None):
        await asyncio.sleep(0)
        raise error("no")

    client = Client(sio)
    client.send("40")
    await until(lambda: sio.manager.rooms == {})
    await ended(client)
    assert told == []


@pytest.mark.parametrize("ends", ["welcomed", "refused", "raises"])
async def test_the_session_ends_while_its_connect_handler_is_at_work(ends):
    sio = server()
    told, at_work, may_end = [], asyncio.Event(), asyncio.Event()
    sio.on("disconnect", lambda sid, reason: told.append(reason))

    @sio.event
    async def connect(sid, environ, auth=None):
        at_work.set()
        await may_end.wait()
        if ends == "raises":
            raise LookupError
        return ends == "welcomed"

    client = Client(sio)
    client.send("40")
    await at_work.wait()
    await client.socket.close(wait=False)  # as a deadline does it
    may_end.set()
    await ended(client)
    assert told == (["transport close"] if ends == "welcomed" else [])


@pytest.mark.parametrize("how", ["client", "packet", "server"])
async def test_a_disconnect_handler_raises(how):
    sio = server(namespaces="*")

    @sio.event
    async def disconnect(sid, reason):
        raise LookupError

    client = await connected(sio, Client)
    client.join("40/other,")
    if how == "packet":
        client.send("41")
    elif how == "server":
        with pytest.raises(LookupError):
            await sio.disconnect(sio.manager.sid_from_eio_sid("e1", "/"))
    await ended(client)


async def test_attachments_announced_while_the_server_disconnects():
    sio = server()
    may_end = asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        await may_end.wait()

    client = Client(sio)
    leaving = asyncio.create_task(sio.disconnect(client.join()))
    await until(lambda: sio.manager.pending_disconnect)
    client.send('451-["e",{"_placeholder":true,"num":0}]')
    may_end.set()
    await leaving
    await ended(client)


async def test_entering_a_room_when_gone():
    sio = server()
    client = Client(sio)
    sid = client.join()
    other = Client(sio, "e2")
    other.join()
    await gone(client)
    await until(lambda: client.conn.path == "over")
    with pytest.raises(KeyError):
        await sio.enter_room(sid, "room")
    await ended(other)


@pytest.mark.parametrize("kind", [Client, Messages])
async def test_a_disconnect_that_cannot_be_sent(kind, monkeypatch):
    sio = server()
    told = []

    @sio.event
    async def disconnect(sid, reason):
        told.append(reason)

    client = await connected(sio, kind)

    async def fail(*args):
        raise OSError("the packet cannot be sent")

    monkeypatch.setattr(sio, "_send_packet", fail)
    with pytest.raises(OSError, match="cannot be sent"):
        await sio.disconnect(sio.manager.sid_from_eio_sid("e1", "/"))
    assert told == ["server disconnect"]
    monkeypatch.undo()
    await ended(client)
    assert told == ["server disconnect"]


async def test_a_silent_client_that_does_not_read_is_gone_in_time():
    """Through ASGI nobody waits for what it does not take."""
    sio = server(ping_interval=0.02, ping_timeout=0.03)
    reasons = []
    sio.on("disconnect", lambda sid, reason: reasons.append(reason))
    client = await connected(sio, Messages)

    async def blocked(*message):
        await asyncio.get_running_loop().create_future()

    client.send = client.close = blocked
    client.conn.send("waits")
    client.socket.schedule_ping()
    await until(lambda: reasons, 2)
    assert reasons == [sio.reason.TRANSPORT_CLOSE]
    client.task.cancel()


async def test_no_cycle_is_left_of_messages():
    """A session through ASGI leads to the web server's connection, which leads back to it."""
    client = await connected(server(), Messages)
    session, driver = client.socket, weakref.ref(client)
    await client.end()
    gc.disable()
    try:
        del client
        assert driver() is None, gc.get_referrers(driver())
    finally:
        gc.enable()
    assert session.closed


async def test_nobody_joins_a_session_that_is_ended_twice():
    """The second end takes the session away while its handlers are told of the first."""
    sio = server(namespaces=["/", "/b"])
    told, may_go = [], asyncio.Event()

    @sio.on("disconnect")
    async def disconnect(sid, reason):
        told.append(sid)
        await may_go.wait()

    client = Client(sio)
    sid = client.join()
    first = asyncio.create_task(sio.eio.disconnect("e1"))
    await until(lambda: told == [sid])
    await sio.eio.disconnect("e1")
    client.send("40/b,")
    may_go.set()
    await first
    await asyncio.sleep(0)
    assert not sio.manager.rooms
    assert not sio.environ
    assert not sio.eio.sockets
