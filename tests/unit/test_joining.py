"""Joining and leaving: what an application has put in the place of a method is called."""

import asyncio
import itertools
import logging

import engineio
import engineio.async_socket
import pytest
import socketio
from connections import Client, server, until
from engineio.packet import MESSAGE, OPEN

import toolboxsio
from toolboxsio import manager
from toolboxsio.engine import EngineServer, EngineSocket

OWNERS = {
    "sio": lambda client: client.sio,
    "eio": lambda client: client.sio.eio,
    "manager": lambda client: client.sio.manager,
    "socket": lambda client: client.socket,
    "EngineSocket": lambda client: EngineSocket,
    "EngineServer": lambda client: EngineServer,
    "upstream's socket": lambda client: engineio.async_socket.AsyncSocket,
    "upstream's engine": lambda client: engineio.AsyncServer,
    "upstream's server": lambda client: socketio.AsyncServer,
    "upstream's manager": lambda client: socketio.AsyncManager,
}
#: How often each is called by a client that joins and leaves.
CALLS = {
    ("sio", "_handle_eio_message"): 2,
    ("sio", "_dispatch"): 2,
    ("sio", "_handle_connect"): 1,
    ("sio", "_handle_disconnect"): 1,
    ("sio", "_trigger_event"): 2,
    ("sio", "_send_packet"): 1,
    ("eio", "_trigger_event"): 2,
    ("eio", "generate_id"): 1,
    ("eio", "send"): 1,
    ("eio", "send_packet"): 1,
    ("manager", "pre_connect"): 1,
    ("manager", "connect"): 1,
    ("manager", "basic_enter_room"): 2,
    ("manager", "basic_leave_room"): 2,
    ("manager", "pre_disconnect"): 1,
    ("manager", "disconnect"): 1,
    ("manager", "basic_disconnect"): 1,
    ("socket", "receive"): 2,
    ("socket", "send"): 1,
    ("EngineSocket", "_receive_encoded"): 2,
    ("EngineSocket", "receive"): 2,
    ("EngineSocket", "send"): 1,
    ("EngineServer", "_trigger_event"): 2,
    ("upstream's socket", "send"): 1,
    ("upstream's socket", "receive"): 2,
    ("upstream's engine", "generate_id"): 1,
    ("upstream's server", "_trigger_event"): 2,
    ("upstream's server", "_send_packet"): 1,
    ("upstream's manager", "basic_enter_room"): 2,
    ("upstream's manager", "basic_leave_room"): 2,
    ("upstream's manager", "pre_disconnect"): 1,
}


def counting(called, method):
    """A method that counts its calls."""
    if asyncio.iscoroutinefunction(method):

        async def counted(*args, **kwargs):
            called.append(args)
            return await method(*args, **kwargs)

    else:

        def counted(*args, **kwargs):
            called.append(args)
            return method(*args, **kwargs)

    return counted


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(("owner", "name"), CALLS)
async def test_a_method_of_the_application(monkeypatch, owner, name, is_late):
    client = Client(server())
    called = []

    def replace():
        place = OWNERS[owner](client)
        monkeypatch.setattr(place, name, counting(called, getattr(place, name)))
        if name == "_handle_eio_message":
            client.sio.eio.on("message", place._handle_eio_message)

    if is_late:  # others have joined without it
        Client(client.sio, "e0").join()
    replace()
    client.join()
    client.send("41")
    await until(lambda: client.sio.manager.sid_from_eio_sid("e1", "/") is None)
    assert len(called) == CALLS[owner, name]


async def test_the_tables_of_rooms(monkeypatch):
    """They are what python-socketio's functions make, which are used for an unknown bidict."""

    async def tables(knows):
        monkeypatch.setattr(manager, "_KNOWS_BIDICT", knows)
        numbers = itertools.count()
        monkeypatch.setattr(EngineServer, "generate_id", lambda self: f"s{next(numbers)}")
        sio = server(namespaces="*")
        clients = [Client(sio, f"e{number}") for number in range(3)]
        rooms, seen = sio.manager.rooms, []
        for client, *packets in (
            (clients[0], "40", "40/n,"),
            (clients[1], "40", "40"),  # the second is refused
            (clients[2], "40/n,"),
            (clients[0], "41", "40"),
            (clients[1], "41"),
            (clients[2], "41/n,", "40/m,"),
        ):
            client.send(*packets)
            found = {
                (namespace, room): (dict(table), dict(table.inv), type(table), table._fwdm)
                for namespace, of_namespace in rooms.items()
                for room, table in of_namespace.items()
            }
            seen.append((list(found), found, client.taken()))
        for client in clients:
            client.conn.connection_lost(None)
        assert rooms == {}
        return seen

    ours, upstreams = await tables(True), await tables(False)
    assert ours == upstreams
    assert ours[1][2][1] == '44"Unable to connect"'


@pytest.mark.parametrize("event", ["connect", "disconnect"])
async def test_upstreams_engine_calls_handlers_of_sessions(monkeypatch, event):
    client = Client(server())
    called = []
    method = engineio.AsyncServer._trigger_event
    monkeypatch.setattr(engineio.AsyncServer, "_trigger_event", counting(called, method))
    if event == "connect":
        await client.sio.eio._handle_connect({}, "polling")
    else:
        client.conn.connection_lost(None)
    assert [args[1] for args in called] == [event]


@pytest.mark.parametrize("has_reason", [False, True])
async def test_a_disconnect_handler_of_engineio_may_take_no_reason(has_reason):
    client = Client(server())
    called = []
    if has_reason:

        async def disconnect(sid, reason):
            called.append((sid, reason))
    else:

        async def disconnect(sid):
            called.append((sid,))

    client.sio.eio.on("disconnect", disconnect)
    client.conn.connection_lost(None)
    assert called == [("e1", "transport close")[: 1 + has_reason]]


async def test_a_trigger_of_the_application_calls_a_handler_that_takes_no_auth():
    asked, called = [], []

    class Server(type(server())):
        async def _trigger_event(self, event, namespace, *args):
            asked.append((event, len(args)))
            return await self.handlers[namespace][event](*args)

    sio = Server(async_mode="asgi")

    @sio.event
    async def connect(sid, environ):
        called.append(sid)

    sid = Client(sio).join()
    assert called == [sid]
    assert asked == [("connect", 3), ("connect", 2)]


async def handshake(sio, *packets):
    """The texts that a WebSocket gets which sends these, through ASGI."""
    scope = {
        "type": "websocket",
        "path": "/socket.io/",
        "query_string": b"EIO=4&transport=websocket",
        "headers": [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")],
    }
    events = [{"type": "websocket.connect"}]
    events += [{"type": "websocket.receive", "text": packet} for packet in packets]
    events.append({"type": "websocket.disconnect", "code": 1000})
    sent = []

    async def receive():
        return events.pop(0)

    async def send(message):
        sent.append(message.get("text"))

    await toolboxsio.ASGIApp(sio)(scope, receive, send)
    return [text for text in sent if text is not None]


async def test_what_is_sent_while_a_session_begins_comes_after_its_open_packet():
    sio = server()

    async def connect(sid, environ):
        await sio.eio.send(sid, "early")

    sio.eio.on("connect", connect)
    opened, early = await handshake(sio)
    assert (opened[:7], early) == ('0{"sid"', "4early")


@pytest.mark.parametrize("place", [EngineSocket, engineio.async_socket.AsyncSocket])
async def test_the_open_packet_of_a_websocket_passes_a_send_of_the_application(monkeypatch, place):
    called = []
    monkeypatch.setattr(place, "send", counting(called, place.send))
    opened, joined = await handshake(server(), "40")
    assert (opened[:1], joined[:2]) == ("0", "40")
    assert [packet.packet_type for _, packet in called] == [OPEN, MESSAGE]


async def test_the_open_packet_of_a_websocket_is_logged(caplog):
    caplog.set_level(logging.INFO, "engineio.server")
    await handshake(server())
    assert [text for text in caplog.messages if "Sending packet OPEN" in text]


async def test_a_request_for_a_websocket_that_does_not_ask_for_an_upgrade():
    """It is taken for a poll, which gets the OPEN packet."""
    sio = server()
    found = await sio.eio._handle_connect({}, "websocket")
    assert [text[:1] for text in found] == [str(OPEN)]
