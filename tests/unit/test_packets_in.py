"""The packets of clients: what C reads and what Python reads is handled alike."""

import asyncio
import contextvars
import json
import logging
from base64 import b64encode

import pytest
import socketio
from connections import Client, Messages, Polling, server, until

import toolboxsio
from toolboxsio import _core, plan
from toolboxsio.engine import EngineSocket
from toolboxsio.errors import PacketError


class Direct(Client):
    """On a transport."""

    async def join(self):
        return super().join()

    async def exchange(self, *packets):
        self.send(*packets)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.taken()

    async def end(self):
        self.conn.connection_lost(None)


class Posting(Polling):
    """One that polls: the packets of one exchange are those of one POST."""

    is_done = False

    def done(self):
        self.is_done = True

    async def join(self):
        [answer] = await self.exchange("40")
        return json.loads(answer[2:])["sid"]

    async def exchange(self, *packets):
        texts = [p if isinstance(p, str) else "b" + b64encode(p).decode() for p in packets]
        self.is_done = False
        self.conn.post("\x1e".join(texts).encode(), self, -1, False)
        await until(lambda: self.is_done)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.conn.take_messages()

    async def end(self):
        await self.socket.close(wait=False, abort=True, reason="transport close")


KINDS = {"direct": Direct, "asgi": Messages, "polling": Posting}


@pytest.fixture(params=KINDS)
def exchange(request):
    """A function of a server and packets that gives the texts which these cause."""

    async def exchange(sio, *packets):
        client = KINDS[request.param](sio, request.param)
        texts = await client.exchange(*packets)
        await client.end()
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


@pytest.fixture
def options():
    """Those of the server of a client."""
    return {}


@pytest.fixture(params=KINDS)
async def client(request, options):
    """A client that has joined."""
    client = KINDS[request.param](server(**options))
    client.sid = await client.join()
    yield client
    await client.end()


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
    assert ": Packet refused: " in message


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


# --- attachments ---------------------------------------------------------------------------------

PLACE = '{"_placeholder":true,"num":%d}'
TWO = f"[{PLACE % 1},{PLACE % 0}]"


@pytest.fixture
def events(client):
    """What the handler of the event `e` gets; it answers with that."""
    seen = []

    @client.sio.event
    async def e(sid, *args):
        seen.append(args)
        return len(seen)

    return seen


@pytest.mark.usefixtures("in_c")
async def test_an_event_with_attachments(client, events):
    table = client.sio._binary_packet
    assert await client.exchange(f'452-/,7["e",{TWO},{{"a":{PLACE % 0}}}]') == []
    [(eio_sid, packet)] = table.items()
    assert eio_sid == client.socket.sid
    assert type(packet) is _core.PartialPacket
    assert (packet.packet_type, packet.namespace, packet.id) == (5, "/", 7)
    assert (packet.attachment_count, packet.attachments) == (2, [])
    assert packet.data[0] == "e"
    assert await client.exchange(b"one") == []
    assert packet.attachments == [b"one"]
    assert await client.exchange(b"two") == ["437[1]"]
    assert await client.exchange(f'451-["e",{PLACE % 0}]', b"", '428["e"]') == ["438[3]"]
    assert events == [([b"two", b"one"], {"a": b"one"}), (b"",), ()]
    assert table == {}


@pytest.mark.usefixtures("in_c")
@pytest.mark.parametrize("is_call", [False, True])
async def test_an_answer_with_attachments(client, is_call):
    seen = asyncio.get_running_loop().create_future()
    if is_call:
        call = asyncio.create_task(client.sio.call("ask", to=client.sid))
        [text] = await client.exchange()
        id = text.removeprefix("42").removesuffix('["ask"]')
    else:
        id = await ask(client, lambda *args: seen.set_result(args))
    await client.exchange(f"462-{id}{TWO}", b"1", b"2")
    assert (await call if is_call else await seen) == (b"2", b"1")
    assert client.sio._binary_packet == {}


@pytest.mark.parametrize("options", [{"async_handlers": False}])
async def test_events_with_attachments_in_their_order(client):
    seen = []

    @client.sio.event
    async def e(sid, data):
        await asyncio.sleep(0)
        seen.append(data)

    packets = [f'451-["e",{PLACE % 0}]', b"1", '42["e",2]', f'451-["e",{PLACE % 0}]', b"3"]
    await client.exchange(*packets)
    assert seen == [b"1", 2, b"3"]


@pytest.mark.parametrize("is_fast_first", [False, True])
async def test_who_reads_changes_between_attachments(client, events, is_fast_first):
    """What C began Python completes, and the other way round."""
    sio = client.sio

    def be(is_fast):
        if is_fast:
            vars(sio).pop("_dispatch", None)
        else:
            sio._dispatch = sio._dispatch
        assert sio.acceleration(client.sid)["fast"] is is_fast

    for kind in ("event", "answer"):
        for change in (0, 1):  # before which attachment
            be(True)
            id = await ask(client, lambda *args: events.append(args))
            head = '452-["e",' if kind == "event" else f"462-{id}["
            be(is_fast_first)
            await client.exchange(f"{head}{PLACE % 0},{PLACE % 1}]")
            is_ours = type(sio._binary_packet[client.socket.sid]) is _core.PartialPacket
            assert is_ours is is_fast_first
            for number in range(2):
                if number == change:
                    be(not is_fast_first)
                await client.exchange(b"%d" % number)
    assert events == [(b"0", b"1")] * 4
    assert sio._binary_packet == {}


async def test_attachments_that_are_bytearrays():
    """As those of a driver of the application."""
    client, seen = Messages(server()), []
    await client.join()
    client.sio.on("e", lambda sid, *args: seen.append(args))
    await client.exchange(f'452-["e",{PLACE % 0},{PLACE % 1}]', bytearray(b"1"), b"2")
    await client.exchange(f'452-["e",{PLACE % 0},{PLACE % 1}]', b"1", bytearray(b"2"))
    assert seen == [(b"1", b"2")] * 2
    await client.end()


async def test_attachments_of_a_namespace_that_the_server_has_ended(client, events):
    sio = client.sio
    sio.on("connect", lambda sid, environ: None, namespace="/n")
    [answer] = await client.exchange("40/n,")
    other = answer.split('"')[3]
    await client.exchange(f'453-/n,["e",{PLACE % 0}]', b"1")
    await sio.disconnect(other, namespace="/n")
    assert sio._binary_packet == {}
    texts = await client.exchange(b"2", b"3", f'451-9["e",{PLACE % 0}]', b"4")
    assert texts == ["41/n,", "439[1]"]
    assert events == [(b"4",)]


@pytest.mark.parametrize("options", [{"max_attachments": 2, "max_attachment_bytes": 5}])
@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        ([f'453-["e",{PLACE % 0}]'], "3 attachments, max_attachments is 2"),
        ([f'450-["e",{PLACE % 0}]'], "binary packet without attachments"),
        ([f'45["e",{PLACE % 0}]'], "binary packet without attachments"),
        (['452-["e"]', b"12", b"3456"], "attachments of 6 bytes, max_attachment_bytes is 5"),
        (['451-["e"]', b"123456"], "attachments of 6 bytes, max_attachment_bytes is 5"),
        ([f'451-["e",{PLACE % 1}]', b"1"], "invalid placeholder"),
        ([f"461-1[{PLACE % 1}]", b"1"], "invalid placeholder"),
        (['451-["e"]', '42["e"]'], "text in the place of a binary attachment"),
        (['451-["connect"]'], 'reserved event name "connect"'),
        (['451-{"e":1}'], "an event must be an array that starts with its name"),
        (['461-1{"e":1}'], "an acknowledgement must be an array"),
        ([b"1"], "binary data that no packet has announced"),
        (['451-["e"]', b"1", b"1"], "binary data that no packet has announced"),
    ],
)
async def test_attachments_that_are_refused(client, events, packets, reason, caplog):
    await client.exchange(f'452-["e",{TWO}]', b"12", b"345")
    assert events.pop(0) == ([b"345", b"12"],)
    assert not client.socket.closed
    await client.exchange(*packets)
    assert client.socket.closed
    [message] = caplog.messages
    assert f"Packet refused: {reason}" in message
    assert len(events) == (len(packets) > 2 and packets[0] == '451-["e"]')
    assert client.sio._binary_packet == {}


async def test_limits_of_attachments_that_are_changed(client, events):
    await client.exchange(f'452-["e",{TWO}]', b"1")
    client.sio.max_attachments, client.sio.max_attachment_bytes = 1, 3
    await client.exchange(b"23", f'451-["e",{PLACE % 0}]', b"123")
    assert events == [([b"23", b"1"],), (b"123",)]
    assert not client.socket.closed
    await client.exchange(f'451-["e",{PLACE % 0}]', b"1234")
    assert client.socket.closed


# --- polling -------------------------------------------------------------------------------------


async def test_packets_of_a_post_that_are_handled_after_the_upgrade():
    sio, may_join, posted = server(namespaces="*"), asyncio.Event(), []

    class Post:
        def done(self):
            posted.append(True)

    @sio.event
    async def connect(sid, environ):
        await may_join.wait()

    client = Polling(sio)
    assert client.conn.post(b'40\x1e40/n,\x1e42/n,7["nobody"]', Post(), 9, False)
    client.conn.attach_messages()
    may_join.set()
    await until(lambda: posted)
    texts = []
    while (message := client.conn.next_message()) is not None:
        texts.append(message["text"])
    assert [text.partition("{")[0] for text in texts] == ["40", "40/n,"]
