"""Emits where their order, their number or their failure matters; random ones are elsewhere."""

import asyncio
import contextlib
import hashlib
import select
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.sync.client import connect

from .emits_clients import Client, Transport, event_packets, leave_all
from .emits_values import ODD, made
from .harness import Server, Trio, serving_all
from .raw import WebSocket, Wire

pytestmark = pytest.mark.timeout(60)

SIDES = (0, 1, 2)
TRANSPORTS: tuple[Transport, ...] = ("websocket", "polling")
FLOOD = 10_000


@pytest.fixture(scope="module")
def emitters() -> Iterator[Trio]:
    """Upstream's server, ours on ASGI and ours direct."""
    with serving_all(handlers="emits_handlers") as servers:
        yield servers


@pytest.fixture(params=SIDES, ids=["upstream", "asgi", "direct"])
def server(request: pytest.FixtureRequest, emitters: Trio) -> Server:
    side: int = request.param
    return emitters[side]


@contextlib.asynccontextmanager
async def clients_of(server: Server, *transports: Transport, **more: Any) -> AsyncIterator[Any]:
    """Connected clients, one for each transport."""
    clients = await asyncio.gather(
        *(
            Client.connect(server.port, transport, run=f"emits-{number}", **more)
            for number, transport in enumerate(transports)
        )
    )
    try:
        yield clients
    finally:
        await leave_all(clients)


async def up_to_mark(client: Client, event: str = "mark") -> list[Any]:
    return await client.until(event_packets(event)[0])


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_emits_and_acks_of_many_events(server: Server, transport: Transport) -> None:
    """Events sent at once: emits in order, acks in order, each ack after what its event emitted."""
    count = 60
    async with clients_of(server, transport) as (client,):
        events = [f'42{n}["emit and answer",{n}]' for n in range(count)]
        for first in range(0, count, 15):  # so many go into one request
            await client.send(*events[first : first + 15])
        got = await client.until(f"43{count - 1}[")
    emitted = [event_packets("emitted", n, bytes([n])) for n in range(count)]
    acks = [f"43{n}[{n}]" for n in range(count)]
    is_ack = [isinstance(packet, str) and packet.startswith("43") for packet in got]
    assert [p for p, ack in zip(got, is_ack, strict=True) if ack] == acks
    rest = [packet for packet, ack in zip(got, is_ack, strict=True) if not ack]
    assert rest == [part for parts in emitted for part in parts]
    places = [got.index(ack) - got.index(bytes([n])) for n, ack in enumerate(acks)]
    assert min(places) > 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_emits_around_a_call(server: Server, transport: Transport) -> None:
    """One handler emits, calls, emits, asks, sends and answers: in this order it arrives."""
    async with clients_of(server, transport) as (client,):
        await client.send('427["emit around a call"]')
        got = await client.until("42")
        await client.send("431[[1,null]]")
        got += await client.until("461-7[")
        got.append(await client.next())
    assert got == [
        *event_packets("before", b"1", [b"2"])[:1],
        *(b"1", b"2"),
        '421["question"]',
        '42["between",[1,null]]',
        '422["asked"]',
        '42["message","after"]',
        '461-7[{"_placeholder":true,"num":0},[1,null]]',
        b"answer",
    ]


@pytest.mark.parametrize("where", ["task", "background", "gathered", "thread", "thread at once"])
async def test_emits_from_elsewhere(server: Server, where: str) -> None:
    """From another task and from a thread, in the order in which they were asked for."""
    count = 200
    async with clients_of(server, "websocket") as (client,):
        await client.send(f'427["emit from","{where}",{count}]')
        got = await client.until("437[")
    expected = [event_packets("from", where, number)[0] for number in range(count)]
    assert got == [*expected, '437["answer"]']


# --- numbers --------------------------------------------------------------------------------------


async def test_a_large_broadcast(emitters: Trio) -> None:
    """300 KB reach each of 200 clients, whatever its transport, byte for byte."""
    text = {"text": {"$text": ["\u00e4\u65e5x\u2028", 60_000]}, "more": [None, 1.5]}
    data = [{"$bytes": 300_000}, {"deep": [{"$bytes": 70_000}]}, "text"]
    transports: list[Transport] = ["websocket"] * 150 + ["polling"] * 50
    for server in emitters[1:]:
        async with clients_of(server, *transports) as clients:
            for value in (text, data):
                expected = event_packets("broadcast", made(value))
                assert sum(map(len, expected)) > 300_000
                await clients[0].send(client_event("broadcast", value))
                for _ in expected:
                    got = await asyncio.gather(*(client.next() for client in clients))
                    assert set(map(digest, got)) == {digest(expected.pop(0))}, server.name
    async with clients_of(emitters[0], *TRANSPORTS) as clients:
        await clients[0].send(client_event("broadcast", text))
        for client in clients:
            assert [await client.next()] == event_packets("broadcast", made(text))


def client_event(event: str, *args: Any) -> str:
    return str(event_packets(event, *args)[0])


def digest(packet: str | bytes) -> str:
    kind, data = ("text", packet.encode()) if isinstance(packet, str) else ("bytes", packet)
    return f"{kind} {len(data)} {hashlib.sha256(data).hexdigest()}"


def asked(ws: WebSocket, event: str) -> int:
    """Emit an event to the server and return the number that it answers."""
    ws.frame(f'425["{event}"]')
    answer = ws.receive()
    assert isinstance(answer, str)
    assert answer.startswith("435["), answer
    return int(answer[4:-1])


def test_a_flood_does_not_starve_the_others(server: Server) -> None:
    """A loop that emits and does nothing else: all arrives, and others are served meanwhile."""
    marks = [1000, 5000, 9000]
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port, f"flood-{number}")) for number in range(4)]
        target, emitter, sleeper, asker = (wire.websocket().connect() for wire in wires)
        sid = wires[0].sids[1]
        for _ in range(5):
            sleeper.frame(f'426["await the flood",{",".join(map(str, marks))}]')
            sleeper.until('42["awaiting"]')
            emitter.frame(f'427["flood","{sid}",{FLOOD}]')
            answers = []
            while not select.select([emitter.connection], [], [], 0)[0]:
                answers.append(asked(asker, "where is the flood"))
            assert emitter.receive() == f"437[{FLOOD}]"
            for number in range(FLOOD):
                assert target.receive() == f'42["drop",{number}]'
            # a task that waits for something in the flood goes on at once
            woken = sleeper.receive()
            assert isinstance(woken, str)
            places = [int(place) for place in woken[5:-2].split(",")]
            late = [place - mark for place, mark in zip(places, marks, strict=True)]
            assert min(late) > 0, late
            assert max(late) < 500, late
            if any(0 < answer < FLOOD for answer in answers):
                return  # and what comes from the network is read
        pytest.fail("nobody was answered in five floods")


# --- permessage-deflate ---------------------------------------------------------------------------


async def test_a_broadcast_with_and_without_compression(server: Server) -> None:
    values: list[Any] = [
        "short",
        {"$text": ["compress me, ", 400]},
        {"$text": ["\u00e9\u65e5 ", 30_000]},
        [{"$bytes": 5_000}, {"$bytes": 3}],
    ]
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    async with clients_of(server, "websocket", "websocket") as plain:
        packed = await Client.connect(server.port, run="emits-9", deflate=True)
        expected = []
        with connect(url, max_size=None) as known, connect(url, compression=None) as bare:
            for ws in (known, bare):
                ws.recv(10)
                ws.send("40")
                while not str(ws.recv(10)).startswith("40"):
                    pass
            assert [len(ws.protocol.extensions) for ws in (known, bare)] == [1, 0]
            for value in values:
                expected += event_packets("broadcast", made(value))
                await plain[0].send(client_event("broadcast", value))
            for client in (*plain, packed):
                assert [await client.next() for _ in expected] == expected
            for ws in (known, bare):
                assert [ws.recv(10) for _ in expected] == expected
        assert packed.compressed >= 3  # all but those shorter than the threshold
        assert not any(client.compressed for client in plain)
        await packed.leave()


# --- failures -------------------------------------------------------------------------------------


async def test_what_json_does_not_know(emitters: Trio) -> None:
    """The emitter gets the exception, and nobody anything, whoever it was for."""
    bad = [name for name in ODD if name not in ("number as key", "tuple inside", "half a pair")]
    addresses: list[dict[str, Any]] = [
        {},
        {"to": {"client": 1}},
        {"room": "r"},
        {"to": {"list": ["r", {"client": 0}]}},
        {"room": "unknown room"},
        {"to": "r", "skip_sid": {"client": 0}},
    ]
    program: list[dict[str, Any]] = [
        {"do": "enter_room", "sid": {"client": number}, "room": "r", "namespace": "/"}
        for number in (0, 1)
    ]
    for name in bad:
        for address in addresses:
            emit = {"do": "emit", "event": "odd", "data": {"$odd": name}, "namespace": "/"}
            program.append(emit | address)
    program.append({"do": "emit", "event": "mark", "namespace": "/"})
    for server in emitters:
        async with clients_of(server, *TRANSPORTS) as clients:
            await clients[0].send(client_event("emits", program).replace("42", "423", 1))
            assert [len(await up_to_mark(client)) for client in clients] == [1, 1], server.name
            results = str(await clients[0].next())
            errors = ",".join(['"TypeError"'] * len(bad) * len(addresses))
            assert results == f"433[[null,null,{errors},null]]"
            facts = server.get("/facts")
            assert facts["callbacks"] == 0


async def test_a_namespace_without_anybody(server: Server) -> None:
    """Nothing is encoded where nobody could get it."""
    program = [{"do": "emit", "event": "e", "data": {"$odd": "object"}, "namespace": "/nowhere"}]
    async with clients_of(server, "websocket") as (client,):
        assert await client.ask(4, "emits", program) == [None]
