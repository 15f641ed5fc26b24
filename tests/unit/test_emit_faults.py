"""Emits where something goes wrong or is unusual: slow clients, ends, replaced methods."""

import asyncio
import gc
import logging

import pytest
from connections import Client, Messages, Polling, Transport, server, until

from toolboxsio.engine_socket import DUE_CONNECT, DUE_LEAVE


async def test_sessions_that_poll_and_go_away_are_forgotten():
    """A deadline that passes takes the session out of the server's table."""
    sio = server(connect_timeout=0.01, ping_interval=0.01, ping_timeout=0.01, max_backlog=100)
    nobody, given_up, left = (Polling(sio, name) for name in ("nobody", "given up", "left"))
    nobody.conn.expect(DUE_CONNECT)
    await given_up.join()
    for _ in range(2):  # the limit is for what waits beside the largest
        await sio.emit("e", "x" * 200)
    await left.join()
    await left.socket.close(wait=False)
    assert "left" in sio.eio.sockets  # its poll finds the CLOSE packet
    left.conn.expect(DUE_LEAVE)
    await until(lambda: not sio.eio.sockets)
    assert {client.conn.path for client in (nobody, given_up, left)} == {"over"}
    assert not sio.manager.rooms


async def test_an_emit_does_not_wait_for_the_end_of_a_session_that_polled(caplog):
    """Its PING is unanswered: it ends in a task of its own."""
    sio = server(ping_timeout=0.02)
    at_work, may_end = asyncio.Event(), asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        assert reason == sio.eio.reason.PING_TIMEOUT
        at_work.set()
        await may_end.wait()

    gone, here = Polling(sio, "gone"), Polling(sio, "here")
    await gone.join()
    await here.join()
    gone.conn.pinged()
    await until(at_work.is_set)
    for data in (b"bytes", "text"):
        emitting = asyncio.create_task(sio.emit("e", data))
        await until(emitting.done)
    assert here.waiting() == ['51-["e",{"_placeholder":true,"num":0}]', b"bytes", '2["e","text"]']
    assert not gone.socket.closed
    may_end.set()
    await until(lambda: gone.socket.closed)
    assert [sid for sid in sio.manager.rooms["/"] if sid] == [here.sid]
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["polling", "logged", "serializer", "direct"])
async def test_the_loop_turns_for_every_kind_of_client(kind):
    logger = logging.getLogger(f"turns-{kind}")
    logger.setLevel(logging.INFO if kind == "logged" else logging.ERROR)
    logger.propagate = False
    sio = server(logger=logger)
    if kind == "serializer":
        stock = sio.packet_class
        sio.packet_class = type("Own", (stock,), {"encode": lambda self: stock.encode(self)})
    await (Polling(sio).join() if kind == "polling" else asyncio.sleep(0, Client(sio).join()))
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    for number in range(300):
        await sio.emit("e", number)
    assert turns == [1]


async def test_the_backlog_of_a_client_that_keeps_up():
    """Through ASGI: what the server has taken does not count any more."""
    sio = server(max_backlog=10_000)
    client = Messages(sio)
    await client.join()
    taken = asyncio.Semaphore(0)

    async def send(message):
        await taken.acquire()
        client.sent.append(message)

    client.send = send
    await sio.emit("e", "x" * 1000)
    for _ in range(100):
        await sio.emit("e", "x" * 1000)  # one is always on its way
        assert client.conn.backlog < 2500
        taken.release()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not client.socket.closed
    assert len(client.sent) == 100
    taken.release()
    await client.end()


@pytest.mark.parametrize("kind", ["logged", "own send"])
async def test_volatile_events_that_python_sends(kind):
    logger = logging.getLogger(f"volatile-{kind}")
    logger.setLevel(logging.INFO if kind == "logged" else logging.ERROR)
    logger.propagate = False
    sio = server(logger=logger)
    client = Client(sio)
    client.join()
    if kind == "own send":
        send = client.socket.send

        async def own(packet):
            await send(packet)

        client.socket.send = own
    client.conn.pause_writing()
    await sio.emit("v", volatile=True)
    await sio.emit("e")
    client.conn.resume_writing()
    assert await client.until() == ['42["e"]']


async def test_the_handler_of_a_client_that_is_given_up_runs_after_the_emit():
    """What it emits comes after that event for everybody."""
    sio = server(max_backlog=1000)

    @sio.event
    async def disconnect(sid, reason):
        await sio.emit("left")

    clients = [Client(sio, f"e{i}") for i in range(3)]
    for client in clients:
        client.join()
    clients[1].conn.pause_writing()
    await sio.emit("old", "x" * 2000)
    await sio.emit("news", "x" * 2000)
    await until(lambda: clients[1].socket.closed)
    for client in (clients[0], clients[2]):
        _, first, second = await client.until(3)
        assert first.startswith('42["news"')
        assert second == '42["left"]'


@pytest.mark.parametrize("data", [(b"x" * 300, b""), bytearray(300)])
async def test_attachments_that_wait_for_a_poll_are_counted(data):
    sio = server(max_backlog=10_000)
    client = Polling(sio)
    sid = await client.join()
    await sio.emit("e", data)
    assert 300 < sio.backlog(sid) < 450
    for _ in range(100):
        await sio.emit("e", data)
    await until(lambda: client.socket.closed)
    assert sum(map(len, filter(None, client.waiting()))) < 11_000


async def test_a_slow_client_is_told_of_once():
    told = []
    sio = server(max_backlog=1000, slow_client=lambda sids, n: told.append(n) or "drop_volatile")
    client = Client(sio, transport=Transport())
    client.join()
    conn, transport = client.conn, client.transport
    conn.pause_writing()
    for _ in range(12):
        await sio.emit("e", "x" * 100)
    await asyncio.sleep(0)
    assert len(told) == 1

    def write(data):
        transport.waiting += len(data)
        conn.pause_writing()  # it takes all, and cannot send it

    transport.on["write"] = write
    conn.resume_writing()
    await sio.emit("e", "x" * 100)
    await asyncio.sleep(0)
    assert len(told) == 1
    del transport.on["write"]
    transport.waiting = 0
    conn.resume_writing()  # now it has caught up
    conn.pause_writing()
    for _ in range(12):
        await sio.emit("e", "x" * 100)
    await asyncio.sleep(0)
    assert len(told) == 2


async def test_a_socket_whose_own_send_waits_holds_nobody_up():
    sio = server()
    slow = Client(sio, "slow")
    slow.join()
    polling = Polling(sio)
    sid = await polling.join()
    gate = asyncio.Event()
    send = slow.socket.send

    async def own(packet):
        await gate.wait()
        await send(packet)

    slow.socket.send = own
    first = asyncio.create_task(sio.emit("first"))
    await asyncio.sleep(0)
    await sio.emit("second", to=sid)
    assert polling.waiting() == ['2["first"]', '2["second"]']
    gate.set()
    await first
    assert await slow.until() == ['42["first"]']


class Evil:
    """Garbage whose end changes what emits may do."""

    def __init__(self, function):
        self.me = self
        self.function = function

    def __del__(self):
        self.function()


@pytest.mark.parametrize("encoded", [False, True])
async def test_a_collection_that_stops_emits_from_c(encoded):
    """In the middle of an emit the server's logger begins to log each packet."""
    sio = server()
    client = Client(sio)
    client.join()
    hub = sio.eio.hub()
    level = sio.eio.logger.level

    def stop():
        sio.eio.logger.setLevel(logging.INFO)
        assert hub.emit_reasons

    rooms = [str(number) for number in range(200)]
    threshold = gc.get_threshold()
    try:
        for count in range(1, 12):
            sio.eio.logger.setLevel(logging.ERROR)
            assert not hub.emit_reasons
            gc.collect()
            Evil(stop)
            gc.set_threshold(count)
            if encoded:
                outcome = hub.emit_encoded(b'"e"', b"[1]", "/", rooms, None, False)
            else:
                outcome = hub.emit("e", 1, "/", rooms, None, None, False)
            gc.set_threshold(*threshold)
            assert outcome in (None, NotImplemented)
    finally:
        gc.set_threshold(*threshold)
        gc.collect()  # those that are left
        sio.eio.logger.setLevel(level)
