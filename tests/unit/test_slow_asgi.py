"""Clients of ASGI servers that take their time, or nothing, and the ends of their sessions."""

import asyncio
import gc
import json
import sys
import time

import engineio
import pytest
import socketio.packet
from connections import Client, Messages, server, until

import toolboxsio
from toolboxsio.engine_socket import DUE_CONNECT


class Slow(Messages):
    """One whose messages are sent when `gate` is open; `sent` ends with "CLOSED"."""

    def __init__(self, sio, *args):
        self.gate = asyncio.Event()
        self.gate.set()
        super().__init__(sio, *args)

    async def send(self, message):
        await self.gate.wait()
        await super().send(message)

    async def close(self):
        await super().close()
        self.sent.append("CLOSED")


def echoing(**options):
    sio = server(**options)

    @sio.event
    async def echo(sid, value):
        return value

    return sio


@pytest.fixture
def own_json(monkeypatch):
    """Classes keep what a server is given."""
    for packet in (toolboxsio.Packet, engineio.packet.Packet):
        monkeypatch.setattr(packet, "json", packet.json)


@pytest.mark.parametrize("how", ["stops", "is refused"])
async def test_answers_and_the_goodbye_of_a_slow_client_leave(how):
    """The reader is sending an answer as the session is ended."""
    sio = echoing()
    client = Slow(sio)
    await client.join()
    client.gate.clear()
    for i in range(4):
        client.inbox.put_nowait(f'42{i}["echo",{i}]')
    await client.exchange()
    if how == "stops":
        ending = sio.eio.stop_soon(1012)
    else:
        ending = asyncio.create_task(client.socket.refuse("a test"))
    await asyncio.sleep(0.05)
    assert client.sent == []
    client.gate.set()
    await until(lambda: client.is_closed)
    await ending
    assert client.sent[0] == "430[0]"
    assert client.sent[-2:] == ["1", "CLOSED"]
    await until(client.task.done)


async def test_messages_of_another_task_leave_before_the_close():
    sio = echoing()
    client = Slow(sio)
    sid = await client.join()
    client.gate.clear()
    for i in range(3):
        await sio.emit("tick", i, to=sid)
    await asyncio.sleep(0.01)
    ending = asyncio.create_task(client.socket.end(1000, "", "test"))
    await asyncio.sleep(0.05)
    client.gate.set()
    await until(lambda: client.is_closed)
    await ending
    await until(client.task.done)
    assert client.sent == ['42["tick",0]', '42["tick",1]', '42["tick",2]', "1", "CLOSED"]


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr("toolboxsio._asgi_websocket.CLOSE_SECONDS", 0.1)
    sio = echoing()
    client = Slow(sio)
    await client.join()
    client.gate.clear()
    client.inbox.put_nowait('421["echo",1]')
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await client.socket.refuse("a test")
    await until(client.task.done)
    assert time.monotonic() - began < 2
    assert sio.eio.sockets == {}


async def test_answers_given_while_a_message_is_read_count():
    """An emit is on its way as the client asks and asks, and takes nothing."""
    sio = echoing(max_backlog=100_000)
    client = Slow(sio)
    sid = await client.join()
    client.gate.clear()
    await sio.emit("tick", 1, to=sid)
    await asyncio.sleep(0.01)
    for i in range(50):
        client.inbox.put_nowait(f'42{i}["echo","{"x" * 10_000}"]')
    await until(lambda: sio.eio.sockets == {})
    client.gate.set()
    await until(client.task.done)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_emit_that_cannot_be_sent_ends_the_session(own_json):
    class Raw:
        @staticmethod
        def dumps(value, **options):
            text = toolboxsio.json.dumps(value)
            return text.replace("\\ud800", "\ud800")

        loads = staticmethod(toolboxsio.json.loads)

    sio = echoing(json=Raw)
    client = Messages(sio)
    sid = await client.join()
    await sio.emit("tick", "\ud800", to=sid)
    await until(client.task.done)
    assert sio.eio.sockets == {}


async def test_pongs_of_a_websocket_are_not_missed_by_python():
    sio = echoing(ping_interval=0.2, ping_timeout=0.05)
    client = Messages(sio)
    await client.join()
    client.socket.schedule_ping()
    await until(lambda: "2" in client.sent)
    await client.exchange("3")
    await asyncio.sleep(0.1)
    assert await client.socket.check_ping_timeout()
    await client.exchange()
    assert not client.socket.closed
    await client.end()


async def test_a_connect_handler_that_refuses_late():
    """The deadline comes while it is at work, and again."""
    sio = echoing(connect_timeout=0.03)

    @sio.event
    async def connect(sid, environ):
        await asyncio.sleep(0.05)
        raise toolboxsio.exceptions.ConnectionRefusedError("late")

    client = Messages(sio)
    client.conn.expect(DUE_CONNECT)
    client.inbox.put_nowait("40")
    await asyncio.sleep(0.06)
    assert client.sent[0] == '44{"message":"late"}'
    await until(lambda: client.is_closed, 1)
    await until(client.task.done)
    assert sio.eio.sockets == {}


async def test_an_acknowledgement_with_the_id_0():
    sio = server()
    client = Client(sio)
    sid = client.join()
    answers = []
    await sio.emit("ask", callback=lambda *args: answers.append(args), to=sid)
    assert await client.until() == ['421["ask"]']
    client.send("430[]", "430[5]")
    await asyncio.sleep(0.01)
    await sio.emit("ask", callback=lambda *args: answers.append(args), to=sid)
    assert await client.until() == ['422["ask"]']
    client.send('431["a"]', '432["b"]')
    await until(lambda: len(answers) == 2)
    assert answers == [("a",), ("b",)]


async def test_a_placeholder_of_another_serializer():
    class Own(socketio.packet.Packet):
        def decode(self, encoded_packet):
            return super().decode(encoded_packet)

    sio = echoing(serializer=Own)
    client = Messages(sio)
    await client.join()
    await client.exchange('451-["echo",{"_placeholder":true,"num":7}]', b"x")
    await until(lambda: client.is_closed)
    await until(client.task.done)
    assert str(client.socket.refusal).startswith("not a packet")


@pytest.mark.parametrize("option", [{"json_default": str}, {"json_max_depth": 5}])
def test_options_of_our_json_beside_another(option, own_json):
    with pytest.raises(ValueError, match="own JSON"):
        server(json=json, **option)
    with pytest.raises(ValueError, match="own JSON"):
        server(serializer="msgpack", **option)
    server(json=toolboxsio.json, **option)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="no collection within a call of C")
async def test_a_collection_that_ends_the_connection_of_the_next_message():
    """To make the message for send() may collect; what is collected aborts the connection."""
    sio = echoing()
    client = Slow(sio)
    await client.join()
    client.gate.clear()
    conn = client.conn

    class Ends:
        def __del__(self):
            conn.abort()

    conn.send("4" + "x" * 100)
    thresholds = gc.get_threshold()
    gc.collect()
    try:
        gc.set_threshold(100_000)
        garbage = Ends()
        garbage.itself = garbage
        del garbage
        kept = [{} for _ in range(200)]  # the free list of dicts is empty
        gc.set_threshold(1)
        message = conn.next_message()
    finally:
        gc.set_threshold(*thresholds)
    del kept
    assert message is None
    client.gate.set()
    await until(client.task.done)
