"""Emits: one event to many clients (csrc/conn/fanout.c)."""

import asyncio
import gc
import logging
import zlib

import pytest
import socketio
from connections import Client, Messages, Transport, server, until

import toolboxsio


class Keeping(Transport):
    """Keeps the objects that are written."""

    def __init__(self):
        super().__init__()
        self.objects = []

    def write(self, data):
        self.objects.append(data)
        super().write(data)


def crowd(sio, n, **attach):
    """So many clients in the root namespace, and their ids there."""
    clients = [Client(sio, f"e{i}", Keeping(), **attach) for i in range(n)]
    sids = [client.join() for client in clients]
    for client in clients:
        client.transport.objects.clear()
    return clients, sids


async def test_everybody_gets_the_same_bytes():
    clients, _ = crowd(server(), 3)
    await clients[0].sio.emit("news", {"a": [1, "é"]})
    assert [client.transport.objects for client in clients] == [[], [], []]  # in one write, later
    await asyncio.sleep(0)
    first = clients[0].transport.objects[0]
    for client in clients:
        assert client.transport.objects[0] is first
        assert client.taken() == ['42["news",{"a":[1,"\\u00e9"]}]']


@pytest.mark.parametrize(
    ("data", "text"),
    [(None, '["e"]'), ((), '["e"]'), ((1, None), '["e",1,null]'), ([1, 2], '["e",[1,2]]')],
)
async def test_arguments(data, text):
    [client], _ = crowd(server(), 1)
    await client.sio.emit("e", data)
    assert await client.until() == ["42" + text]


async def test_binary():
    sio = server()
    clients, _ = crowd(sio, 2)
    asgi = Messages(sio, "m")
    await asgi.join()
    await sio.emit("e", {"a": b"\x00\xff", "b": [bytearray(b"x")]})
    text = '452-["e",{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}]'
    for client in clients:
        assert await client.until(3) == [text, b"\x00\xff", b"x"]
    sent = await asgi.exchange()
    assert sent == [text, b"\x00\xff", b"x"]
    await asgi.end()


async def test_rooms():
    sio = server()
    clients, sids = crowd(sio, 4)
    for sid, room in zip(sids, ["a", "a", "b", "c"], strict=True):
        await sio.enter_room(sid, room)
    await sio.enter_room(sids[0], "b")
    await sio.enter_room(sids[3], 7)
    await sio.emit("1", room="a")
    await sio.emit("2", to=["a", "b", "nobody"])
    await sio.emit("3", room=("c", 7), skip_sid=sids[3])
    await sio.emit("4", skip_sid=[sids[0], sids[1]])
    await sio.emit("5", to=sids[1])
    await sio.emit("6", room="nobody")
    await sio.emit("7", to=7)
    await asyncio.sleep(0)
    names = [[text[4] for text in client.taken()] for client in clients]
    assert names == [["1", "2"], ["1", "2", "5"], ["2", "4"], ["4", "7"]]


async def test_namespaces():
    sio = server(namespaces="*")
    clients, _ = crowd(sio, 2)
    clients[1].join("40/ünder,")
    await sio.emit("e", 1, namespace="/ünder")
    await sio.emit("e", 2, namespace="/nobody")
    assert await clients[1].until() == ['42/ünder,["e",1]']
    assert clients[0].taken() == []


async def test_an_order_for_each_client():
    """Emits and acknowledgements leave in the order in which they were made."""
    sio = server()
    clients, _sids = crowd(sio, 2)

    @sio.event
    async def ask(sid, number):
        await sio.emit("before", number)
        await sio.emit("own", number, to=sid)
        return number

    clients[0].send('421["ask",1]', '422["ask",2]')
    assert await clients[0].until(6) == [
        '42["before",1]',
        '42["own",1]',
        "431[1]",
        '42["before",2]',
        '42["own",2]',
        "432[2]",
    ]
    assert await clients[1].until(2) == ['42["before",1]', '42["before",2]']


async def test_callbacks():
    sio = server()
    clients, sids = crowd(sio, 2)
    answers = []
    await sio.emit("ask", (1, b"x"), callback=lambda *args: answers.append(args))
    text = '451-1["ask",1,{"_placeholder":true,"num":0}]'
    for client in clients:
        assert await client.until(2) == [text, b"x"]
    await sio.emit("ask", to=sids[0], callback=lambda *args: answers.append(args))
    assert await clients[0].until() == ['422["ask"]']
    clients[0].send("432[5]", "431[]")
    await until(lambda: len(answers) == 2)
    assert answers == [(5,), ()]


@pytest.mark.parametrize("made", [-1, "x", RuntimeError("no more")])
async def test_an_id_that_cannot_be_made(monkeypatch, made):
    """The emitter is told, and the client has not lost anything."""
    sio = server()
    [client], _ = crowd(sio, 1)

    def make(sid, callback):
        if isinstance(made, Exception):
            raise made
        return made

    monkeypatch.setattr(sio.manager, "_generate_ack_id", make)
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        await sio.emit("ask", callback=print)
    await sio.emit("e")
    assert await client.until() == ['42["e"]']


@pytest.mark.parametrize("callback", [None, print])
async def test_what_json_does_not_know_reaches_nobody(callback):
    clients, _ = crowd(server(), 2)
    with pytest.raises(TypeError):
        await clients[0].sio.emit("e", [1, object()], callback=callback)
    assert clients[0].sio.manager.callbacks == {}
    await asyncio.sleep(0)
    assert [client.taken() for client in clients] == [[], []]


async def test_a_hook_that_empties_the_room():
    """Who is there is looked up after the event was encoded."""

    def default(obj):
        for client in clients[1:]:
            sio.manager.basic_disconnect(sids[clients.index(client)], "/")
        return "odd"

    sio = server(json_default=default)
    clients, sids = crowd(sio, 3)
    await sio.emit("e", object())
    assert await clients[0].until() == ['42["e","odd"]']
    assert [client.taken() for client in clients[1:]] == [[], []]


async def test_a_hook_that_changes_the_list_of_rooms():
    rooms = ["a", "b"]

    def default(obj):
        rooms[:] = [[]]
        return 1

    sio = server(json_default=default)
    [client], [sid] = crowd(sio, 1)
    await sio.enter_room(sid, "b")
    await sio.emit("e", object(), to=rooms)
    assert await client.until() == ['42["e",1]']


async def test_the_loop_turns():
    """A task that only emits lets others run, and what it sends leaves meanwhile."""
    [client], _ = crowd(server(), 1)
    turns = []
    loop = asyncio.get_running_loop()
    loop.call_soon(turns.append, 1)
    for number in range(255):
        await client.sio.emit("e", number)
    assert turns == []
    await client.sio.emit("e", 255)
    assert turns == [1]
    assert len(client.taken()) == 256
    loop.call_soon(turns.append, 2)
    await client.sio.emit("e", "x" * 300_000)
    assert turns == [1, 2]


async def test_volatile():
    sio = server()
    clients, sids = crowd(sio, 2)
    asgi = Messages(sio, "m")
    await asgi.join()
    clients[0].conn.pause_writing()
    await sio.emit("e", 1, volatile=True)
    await sio.emit("e", 2)
    await asyncio.sleep(0)
    assert clients[0].taken() == []
    assert clients[1].taken() == ['42["e",1]', '42["e",2]']
    assert sio.backlog(sids[0]) == len('42["e",2]') + 2
    clients[0].conn.resume_writing()
    await sio.emit("e", 3, volatile=True)
    assert await clients[0].until(2) == ['42["e",2]', '42["e",3]']
    assert await asgi.exchange() == [f'42["e",{n}]' for n in (1, 2, 3)]
    await asgi.end()


async def test_volatile_by_polling():
    sio = server()
    _, [sid] = crowd(sio, 1)
    socket = polling_client(sio)
    await sio.emit("e", 1, volatile=True, skip_sid=sid)
    await sio.emit("e", 2, volatile=True, skip_sid=sid)  # the first was not fetched
    await sio.emit("e", 3, skip_sid=sid)
    assert [packet.encode() for packet in await socket.poll()] == ['42["e",1]', '42["e",3]']


async def test_a_slow_client_hurts_nobody(caplog):
    sio = server(max_backlog=1000)
    clients, _sids = crowd(sio, 3)
    clients[1].conn.pause_writing()
    for number in range(20):
        await sio.emit("e", f"{number:0100}")
    await asyncio.sleep(0)
    assert "abort" in clients[1].transport.names()
    assert "too slow" in caplog.text
    assert [len(client.taken()) for client in clients] == [20, 0, 20]
    assert len(sio.manager.rooms["/"][None]) == 2


@pytest.mark.parametrize("is_one_too_many", [False, True])
async def test_one_message_may_be_larger_than_the_limit(is_one_too_many, caplog):
    """The limit is for what waits beside the largest message."""
    sio = server(max_backlog=1000)
    [client], _ = crowd(sio, 1)
    for _ in range(2):
        client.conn.pause_writing()
        await sio.emit("large", "x" * 50_000)
        await sio.emit("e", "y" * 970)
        assert client.transport.names() == []
        client.conn.resume_writing()
        assert len(client.taken()) == 2
    client.conn.pause_writing()
    await sio.emit("large", "x" * 50_000)
    await sio.emit("e", "y" * 970)
    if is_one_too_many:
        await sio.emit("e", "y" * 20)
    await asyncio.sleep(0)
    assert ("abort" in client.transport.names()) is is_one_too_many
    assert ("max_backlog is 1000" in caplog.text) is is_one_too_many


async def test_a_slow_client_that_is_kept(caplog):
    sio = server(max_backlog=1000, slow_client="drop_volatile")
    clients, sids = crowd(sio, 2)
    clients[1].conn.pause_writing()
    for number in range(16):
        await sio.emit("e", f"{number:0100}")
        await sio.emit("v", volatile=True)
    await asyncio.sleep(0)
    assert caplog.text.count("Client is slow") == 1
    assert 1000 < sio.backlog(sids[1]) <= 2000
    clients[1].conn.resume_writing()
    assert len(clients[0].taken()) == 32
    assert len(clients[1].taken()) == 16
    sio.eio.log_message_keys.clear()  # a minute later
    clients[1].conn.pause_writing()
    for number in range(10):
        await sio.emit("e", f"{number:0100}")
    await asyncio.sleep(0)
    assert caplog.text.count("Client is slow") == 2
    for number in range(10):
        await sio.emit("e", f"{number:0100}")
    assert "too slow" in caplog.text
    assert "abort" in clients[1].transport.names()


@pytest.mark.parametrize("answer", ["disconnect", "drop_volatile", None, ZeroDivisionError])
async def test_what_a_function_makes_of_a_slow_client(answer, caplog):
    seen = []

    def decide(found, waiting):
        seen.append((found, waiting))
        if answer is ZeroDivisionError:
            raise ZeroDivisionError
        return answer

    sio = server(max_backlog=1000, slow_client=decide, namespaces="*")
    [client], [sid] = crowd(sio, 1)
    other = client.join("40/n,")
    client.conn.pause_writing()
    for number in range(12):
        await sio.emit("e", f"{number:0100}")
    assert seen == []  # not within an emit
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    [(found, waiting)] = seen
    assert found == {"/": sid, "/n": other}
    assert 1000 < waiting < 1300
    assert ("abort" in client.transport.names()) is (answer != "drop_volatile")
    assert ("slow_client failed" in caplog.text) is (answer in (None, ZeroDivisionError))


def test_slow_client_has_to_be_known():
    with pytest.raises(ValueError, match="drop_volatile"):
        server(slow_client="ignore")


def polling_client(sio):
    """A session that polls, in the root namespace."""
    socket = toolboxsio.engine.EngineSocket(sio.eio, "p")
    socket.connected = True
    sio.eio.sockets["p"] = socket
    sio.environ["p"] = {}
    socket.conn = sio.eio.hub().connection(socket, "p")
    sio.manager.basic_enter_room("polls", "/", None, eio_sid="p")
    sio.manager.basic_enter_room("polls", "/", "polls", eio_sid="p")
    return socket


async def test_the_backlog_of_a_client_that_polls(caplog):
    sio = server(max_backlog=1000)
    socket = polling_client(sio)
    for _ in range(2):
        await sio.emit("e", "x" * 800)
        assert 800 < sio.backlog("polls") < 820
        await socket.poll()
        assert sio.backlog("polls") == 0
    await sio.emit("e", "x" * 800)
    await sio.emit("e", "x" * 800)  # the limit is for what waits beside the largest
    assert not socket.closed
    await sio.emit("e", "x" * 800)
    await until(lambda: "p" not in sio.eio.sockets or socket.closed)
    assert "too slow" in caplog.text
    assert "/" not in sio.manager.rooms


async def test_compressed_once():
    """One set of parameters, one compressed message."""
    sio = server()
    clients, _ = crowd(sio, 2, bits=15)
    others, _ = [Client(sio, "plain", Keeping())], None
    others[0].join()
    others[0].transport.objects.clear()
    await sio.emit("e", "x" * 5000)
    await asyncio.sleep(0)
    first = clients[0].transport.objects[0]
    assert clients[1].transport.objects[0] is first
    assert first[0] == 0xC1
    assert first[1] < 126
    payload = zlib.decompressobj(-15).decompress(first[2:] + b"\x00\x00\xff\xff")
    assert payload == b'42["e","' + b"x" * 5000 + b'"]'
    assert others[0].taken() == ['42["e","' + "x" * 5000 + '"]']


async def test_shared_and_own_frames_in_one_write():
    [client, _], sids = crowd(server(), 2)
    await client.sio.emit("e", 1)
    await client.sio.emit("e", 2)
    await client.sio.emit("e", 3, to=sids[0])
    await asyncio.sleep(0)
    assert len(client.transport.writes()) == 1
    assert client.taken() == ['42["e",1]', '42["e",2]', '42["e",3]']


def why_not(sio):
    return sio.eio.hub().emit_reasons


async def test_replaced_methods_are_called(monkeypatch):
    sio = server()
    [client], [sid] = crowd(sio, 1)
    assert why_not(sio) == ()
    seen = []

    async def send_packet(eio_sid, packet):
        seen.append(packet.encode())

    monkeypatch.setattr(sio.eio, "send_packet", send_packet)
    await sio.emit("e", 1)
    assert seen == ['42["e",1]']
    assert why_not(sio) == ("EngineServer.send_packet is the application's",)
    monkeypatch.undo()
    assert why_not(sio) == ()

    monkeypatch.setattr(sio.manager, "get_participants", lambda ns, room: iter([(sid, "e0")] * 2))
    await sio.emit("e", 2, room="whatever")
    assert await client.until(2) == ['42["e",2]'] * 2
    monkeypatch.undo()

    async def send(packet):
        seen.append(packet.encode())

    client.socket.send = send
    await sio.emit("e", 3)
    assert seen == ['42["e",1]', '42["e",3]']


async def test_a_manager_that_has_to_see_it(monkeypatch):
    sio = server()
    [client], [sid] = crowd(sio, 1)
    hub = sio.eio.hub()
    args = ("e", None, None, None, None, None, False)
    assert hub.emit_directly(*args) is None
    assert await client.until() == ['42["e"]']
    for odd in (
        ("e", None, "", sid, None, None, False),
        ("e", None, [sid], None, None, None, False),
        ("e", None, None, None, None, "", False),
        ("e", None, None, None, None, None, 1),
    ):
        assert hub.emit_directly(*odd) is NotImplemented
    elsewhere = await asyncio.to_thread(hub.emit_directly, *args)  # sent by its own thread alone
    assert elsewhere == ([(sid, "e0")], ['2["e"]'])
    seen = []

    async def emit(*args, **kwargs):
        seen.append((args, kwargs))

    monkeypatch.setattr(sio.manager, "emit", emit)
    assert hub.emit_directly(*args) is NotImplemented
    await sio.emit("e", 1, to=sid)
    [(args, kwargs)] = seen
    assert args == ("e", 1, "/")
    assert kwargs["room"] == sid
    assert client.taken() == []


async def test_logged_emits(caplog):
    sio = server(logger=logging.getLogger("emits"))
    [client], _ = crowd(sio, 1)
    with caplog.at_level(logging.INFO, "emits"):
        await sio.emit("e", 1)
        assert why_not(sio) == ("each packet is logged",)
    assert 'emitting event "e" to all [/]' in caplog.text
    await sio.emit("e", 2)
    assert await client.until(2) == ['42["e",1]', '42["e",2]']


async def test_odd_arguments():
    """What C does not know is left to Python, with upstream's result."""
    sio = server()
    [client], [sid] = crowd(sio, 1)
    hub = sio.eio.hub()

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            raise AssertionError("never compared in C")

    for room in ({"a"}, [], (Name("a"),), b"x", 1.5):
        assert hub.emit("e", None, "/", room, None, None, False) is NotImplemented
    assert hub.emit("e", None, None, None, None, None, False) is NotImplemented
    with pytest.raises(TypeError):
        hub.emit("e")
    await sio.emit("e", skip_sid=(sid,))  # a tuple is nobody's id
    assert await client.until() == ['42["e"]']


async def test_sessions_that_are_over():
    sio = server()
    clients, sids = crowd(sio, 3)
    del sio.eio.sockets["e1"]
    clients[2].conn.connection_lost(None)
    await sio.emit("e", 1)
    assert await clients[0].until() == ['42["e",1]']
    assert clients[1].taken() == clients[2].taken() == []
    assert sids[0] in sio.manager.rooms["/"][None]


async def test_an_emit_from_a_disconnect_handler():
    """A client that is given up in the middle of an emit: its handler emits."""
    sio = server(max_backlog=100)
    seen = []

    @sio.event
    async def disconnect(sid, reason):
        seen.append(reason)
        await sio.emit("left", sid)

    clients, sids = crowd(sio, 3)
    clients[0].conn.pause_writing()
    await sio.emit("first", "x" * 200)
    await sio.emit("e", "x" * 200)
    await until(lambda: seen)
    await asyncio.sleep(0)
    assert seen == [sio.reason.TRANSPORT_ERROR]
    for client in clients[1:]:
        texts = [text for text in client.taken() if "first" not in text]
        assert sorted(texts) == sorted([f'42["left","{sids[0]}"]', f'42["e","{"x" * 200}"]'])


async def test_nothing_is_kept():
    sio = server()
    clients, _ = crowd(sio, 2)
    clients[0].conn.pause_writing()
    await sio.emit("e", b"x" * 1000)
    for client in clients:
        client.conn.connection_lost(None)
    await until(lambda: not sio.manager.rooms)
    gc.collect()
    assert sio.eio.sockets == {}


async def test_the_rooms_of_a_client():
    sio = server()
    _, [sid, other] = crowd(sio, 2)
    for room in ("b", "a", "c"):
        await sio.enter_room(sid, room)
    await sio.enter_room(other, "z")
    await sio.leave_room(sid, "a")
    assert sio.rooms(sid) == [sid, "b", "c"]
    await sio.close_room("b")
    assert sio.rooms(sid) == [sid, "c"]
    assert sio.rooms("nobody") == []
    assert sio.rooms(sid, namespace="/nobody") == []


async def test_a_manager_of_another_kind():
    """What the application passes keeps its methods, and emits from C."""

    class Counting(socketio.AsyncManager):
        count = 0

        async def emit(self, *args, **kwargs):
            self.count += 1
            await super().emit(*args, **kwargs)

    manager = Counting()
    sio = server(client_manager=manager)
    clients, _ = crowd(sio, 2)
    await sio.emit("e")
    await asyncio.sleep(0)
    assert manager.count == 1
    assert isinstance(manager, Counting)
    assert clients[0].transport.objects[0] is clients[1].transport.objects[0]


class Gated(Messages):
    """A driver whose send() waits while it is told to."""

    gate = None

    async def send(self, message):
        self.task_of_send = asyncio.current_task()
        while self.gate is not None:
            await self.gate
        await super().send(message)


@pytest.mark.parametrize("is_uvicorn", [False, True])
async def test_clients_of_an_asgi_server(is_uvicorn):
    """One whose server cannot take it now hurts nobody; with uvicorn they share a task."""
    sio = server()
    clients = [Gated(sio, f"m{i}") for i in range(3)]
    for client in clients:
        await client.join()
        client.socket._asgi.is_uvicorn = is_uvicorn
    gate = clients[1].gate = asyncio.get_running_loop().create_future()
    await sio.emit("e", 1)
    await asyncio.sleep(0)
    assert [client.sent for client in clients] == [['42["e",1]'], [], ['42["e",1]']]
    assert (clients[0].task_of_send is clients[2].task_of_send) is is_uvicorn
    await sio.emit("e", 2)
    assert await clients[0].exchange() == ['42["e",1]', '42["e",2]']
    clients[1].gate = None
    gate.set_result(None)
    assert await clients[1].exchange() == ['42["e",1]', '42["e",2]']

    broken = clients[2].gate = asyncio.get_running_loop().create_future()
    await sio.emit("e", 3)
    await asyncio.sleep(0)
    broken.set_exception(OSError("gone"))
    await clients[2].task  # its reader ends
    assert clients[2].socket.closed
    assert await clients[1].exchange() == ['42["e",3]']
    for client in clients[:2]:
        await client.end()


async def test_a_binary_answer_to_a_namespace_that_is_lost():
    """It crosses the DISCONNECT: the client keeps its other namespaces."""
    sio = server(namespaces="*")
    [client], [sid] = crowd(sio, 1)
    other = client.join("40/n,")
    await sio.emit("ask", to=other, namespace="/n", callback=print)
    assert await client.until() == ['42/n,1["ask"]']
    await sio.disconnect(other, namespace="/n")
    client.send('461-/n,1[{"_placeholder":true,"num":0}]', b"x", '421["nobody"]')
    assert await client.until() == ["41/n,"]
    await sio.emit("e", to=sid)
    assert await client.until() == ['42["e"]']
    assert sio._binary_packet == {}


async def test_a_binary_packet_of_a_client_that_is_nowhere():
    sio = server()
    client = Client(sio)
    client.send('451-["e",{"_placeholder":true,"num":0}]')
    assert await client.until(2) == [
        "1",
        (8, b"\x03\xf0binary packet from a client that is not connected"),
    ]
    assert sio._binary_packet == {}
