"""The packets of clients: what C reads and what Python reads is handled alike."""

import asyncio
import contextvars
import logging

import pytest
import socketio
from connections import Client, Messages, server

import toolboxsio
from toolboxsio import plan
from toolboxsio.engine import EngineSocket
from toolboxsio.errors import PacketError


@pytest.fixture(params=["direct", "asgi"])
def exchange(request):
    """A function of a server and packets that gives the texts which these cause."""

    async def exchange(sio, *packets):
        if request.param == "asgi":
            client = Messages(sio, "asgi")
            try:
                return await client.exchange(*packets)
            finally:
                await client.end()
        client = Client(sio, "direct")
        client.send(*packets)
        for _ in range(20):
            await asyncio.sleep(0)
        texts = client.taken()
        client.conn.connection_lost(None)
        return texts

    return exchange


@pytest.fixture
def in_c(monkeypatch):
    """No packet of a client is read in Python."""
    for name in ("_decode", "_dispatch"):
        monkeypatch.setitem(plan._SERVER_METHODS, name, None)  # as they were
        monkeypatch.setattr(toolboxsio.AsyncServer, name, None)
    monkeypatch.setitem(plan._SOCKET_METHODS, "receive", None)
    monkeypatch.setattr(EngineSocket, "receive", None)


@pytest.mark.usefixtures("in_c")
async def test_packets_that_are_read_in_c(exchange):
    sio, seen = server(namespaces="*"), []

    @sio.on("connect", namespace="/n")
    async def connect(sid, environ, auth):
        seen.append(auth)

    @sio.on("disconnect", namespace="/n")
    async def disconnect(sid, reason):
        seen.append(reason)

    texts = await exchange(
        sio, "40", '40/n,{"a":[1]}', "41/n,", "40/n?x=1,{}", "41/n", "40/n,7", "41"
    )
    assert [text.partition("{")[0] for text in texts] == ["40", "40/n,", "40/n,", "40/n,"]
    gone = "client disconnect"
    assert seen == [{"a": [1]}, gone, None, gone, None, "transport close"]


async def test_packets_that_are_read_in_python(exchange, caplog):
    """Those that mean the same to upstream, or are refused: see the log."""
    sio, seen = server(), []
    sio.on("connect", lambda sid, environ, auth: seen.append(auth))
    for packet in ("40null", '40"token"', "40[1]", "40/", '4112{"why":1}', "41/nowhere,"):
        await exchange(sio, packet, "41")
    assert seen == [None, "token", [1], None]
    assert not caplog.records
    for packet in ('40{"a":tru}', '41{"a":tru}', "40" + '{"a":' * 9999):
        await exchange(server(), packet)
    assert ["Packet refused" in text for text in caplog.messages] == [True] * 3


@pytest.mark.parametrize("event", ["connect", "disconnect"])
async def test_what_a_method_of_the_application_raises(exchange, event, caplog):
    """It is what a handler of messages raises, and the session goes on."""

    class Server(toolboxsio.AsyncServer):
        async def _handle_connect(self, eio_sid, namespace, data):
            if event == "connect" and data:
                raise data["error"]
            await super()._handle_connect(eio_sid, namespace, data)

        async def _handle_disconnect(self, *args):
            if event == "disconnect":
                raise OSError("a fault")
            await super()._handle_disconnect(*args)

    sio = Server(async_mode="asgi")
    packets = ['40{"error":1}', "40"] if event == "connect" else ["40", "41", "41"]
    texts = await exchange(sio, *packets, '421["nobody"]')
    assert [text[:2] for text in texts] == ["40"]
    assert caplog.messages[:1] == ["message async handler error"]


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_packet_that_a_method_of_the_application_refuses(exchange, refuses, caplog):
    class Server(toolboxsio.AsyncServer):
        async def _handle_connect(self, eio_sid, namespace, data):
            if data:
                raise PacketError("no such data") if refuses else asyncio.CancelledError
            await super()._handle_connect(eio_sid, namespace, data)

    texts = await exchange(Server(async_mode="asgi"), "40{}", '40{"a":1}', "40/n,{}")
    assert ["no such data" in text for text in caplog.messages] == [True] * refuses
    assert "44/n" in [text[:4] for text in texts if isinstance(text, str)] or refuses


async def test_what_a_connect_handler_sets_is_seen_by_those_of_events(exchange):
    user = contextvars.ContextVar("user")
    sio, seen = server(), []

    @sio.event
    async def connect(sid, environ, auth):
        await asyncio.sleep(0)
        user.set(auth["user"])

    @sio.event
    async def who(sid):
        seen.append(user.get())

    assert len(await exchange(sio, '40{"user":"me"}', '421["who"]')) == 2
    assert seen == ["me"]


# --- acknowledgements ----------------------------------------------------------------------------


@pytest.fixture(params=["direct", "asgi"])
async def client(request):
    """A client that has joined, and which answers the event `ask` by what it is asked with."""
    sio = server()
    if request.param == "asgi":
        client = Messages(sio)
        client.sid = await client.join()
        yield client
        await client.end()
        return
    client = Client(sio)
    client.sid = client.join()

    async def exchange(*packets):
        client.send(*packets)
        for _ in range(20):
            await asyncio.sleep(0)
        return client.taken()

    client.exchange = exchange
    yield client
    client.conn.connection_lost(None)


async def ask(client, callback):
    """Emit an event that is to be acknowledged; the id of the acknowledgement."""
    await client.sio.emit("ask", to=client.sid, callback=callback)
    [text] = await client.exchange()
    return text.removeprefix("42").removesuffix('["ask"]')


@pytest.mark.usefixtures("in_c")
@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_a_callback(client, is_coroutine):
    seen = []

    def plain(*args):
        seen.append((args, asyncio.current_task() is not None))

    async def coroutine(*args):
        await asyncio.sleep(0)
        plain(*args)

    for args, text in (((), "[]"), ((1, {"a": []}), '[1,{"a":[]}]')):
        id = await ask(client, coroutine if is_coroutine else plain)
        await client.exchange(f"43{id}{text}", f"43{id}[2]")
        assert seen.pop() == (args, True)
        assert seen == []


async def test_a_callback_is_called_before_what_comes_next(client):
    seen = []

    async def callback():
        await asyncio.sleep(0)
        seen.append("callback")

    client.sio.on("e", lambda sid: seen.append("event"))
    id = await ask(client, callback)
    await client.exchange(f"43{id}[]", '42["e"]')
    assert seen == ["callback", "event"]


@pytest.mark.usefixtures("in_c")
async def test_an_answer_that_call_waits_for(client, monkeypatch):
    class Manager(toolboxsio.AsyncManager):
        trigger_callback = None  # not needed

    monkeypatch.setattr(plan, "_TRIGGER_CALLBACK", (None,))
    client.sio.manager.__class__ = Manager
    for text, answer in (("[]", None), ("[[1]]", [1]), ('["a",2]', ("a", 2))):
        call = asyncio.create_task(client.sio.call("ask", to=client.sid))
        [asked] = await client.exchange()
        id = asked.removeprefix("42").removesuffix('["ask"]')
        await client.exchange(f"43{id}{text}")
        assert await call == answer
    assert list(client.sio.manager.callbacks[client.sid]) == [0]


async def test_answers_that_nobody_waits_for(client, caplog):
    caplog.set_level(logging.WARNING, "socketio.server")
    ignored = "Unknown callback received, ignoring."
    await ask(client, print)
    for packet in (
        "437[]",
        "43[]",
        "430[]",
        f"43{'9' * 18}[]",
        f"43{'9' * 19}[]",
        f"43{'9' * 90}[]",
    ):
        caplog.clear()
        assert await client.exchange(packet, '421["nobody"]') == []
        assert caplog.messages == [ignored], packet
    caplog.clear()
    await client.exchange('43/n,1["x"]')
    assert caplog.messages == [ignored]
    assert list(client.sio.manager.callbacks[client.sid]) == [0, 1]


@pytest.mark.parametrize("text", ["1", "1null", '1{"a":1}', "1[tru]", "1[", "[" * 600])
async def test_answers_that_are_refused(client, text, caplog):
    await ask(client, print)
    await client.exchange(f"43{text}")
    assert client.socket.closed
    [message] = caplog.messages
    assert message.startswith("e1: Packet refused: ")


@pytest.mark.parametrize("is_coroutine", [False, True])
@pytest.mark.parametrize("error", [OSError("a fault"), asyncio.CancelledError(), SystemExit(1)])
async def test_what_a_callback_raises(client, error, is_coroutine, caplog):
    def plain():
        raise error

    async def coroutine():
        raise error

    id = await ask(client, coroutine if is_coroutine else plain)
    client.sio.on("e", lambda sid: 1)
    assert await client.exchange(f"43{id}[]", '425["e"]') == ["435[1]"]
    is_cancelled = isinstance(error, asyncio.CancelledError)
    assert caplog.messages == ([] if is_cancelled else ["message async handler error"])


async def test_a_callback_that_refuses_the_answer(client, caplog):
    def callback(*_):
        raise PacketError("no such answer")

    id = await ask(client, callback)
    await client.exchange(f"43{id}[]")
    assert client.socket.closed
    assert "no such answer" in caplog.text


@pytest.mark.parametrize("place", ["object", "class", "upstream"])
@pytest.mark.parametrize("name", ["_handle_ack", "trigger_callback"])
async def test_a_method_of_the_application_that_handles_answers(client, monkeypatch, name, place):
    owner = client.sio if name == "_handle_ack" else client.sio.manager
    upstream = socketio.AsyncServer if name == "_handle_ack" else socketio.AsyncManager
    places = {"object": owner, "class": type(owner), "upstream": upstream}
    method, called = getattr(places[place], name), []

    async def replacement(*args):
        called.append(args[-2:])
        await method(*args)

    for times in (1, 0):
        call = asyncio.create_task(client.sio.call("ask", to=client.sid))
        [asked] = await client.exchange()
        id = asked.removeprefix("42").removesuffix('["ask"]')
        if times:
            monkeypatch.setattr(places[place], name, replacement)
        assert client.sio.acceleration(client.sid)["fast"]
        await client.exchange(f"43{id}[1]")
        assert await call == 1
        assert called == [(int(id), [1])] * times
        monkeypatch.undo()
        called.clear()
