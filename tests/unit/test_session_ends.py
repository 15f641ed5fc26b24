"""However a session ends, and whatever comes between: nothing of it is left in the tables."""

import asyncio

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
