"""Fleets of two processes of ours and one of python-socketio: each delivers for each other."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .emits_clients import event_packets
from .emits_fleet import TRANSPORTS, Fleet, Member, clients_of
from .emits_values import made
from .harness import OURS, UPSTREAM, Server, serving
from .redis_process import RedisProcess

pytestmark = pytest.mark.timeout(60)

NUMBERS = 200
#: How ours come into their processes, and what is imported there.
PLUGS = {"module": OURS, "accelerate": UPSTREAM, "install": UPSTREAM}
LEAVING = itertools.count()


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as server:
        yield server.port


@pytest.fixture(scope="module")
def stock(redis_port: int) -> Iterator[Server]:
    url = f"redis://127.0.0.1:{redis_port}/0"
    with serving(UPSTREAM, handlers="emits_handlers", fleet=url) as server:
        yield server


@pytest.fixture(scope="module", params=PLUGS)
def servers(
    request: pytest.FixtureRequest, redis_port: int, stock: Server
) -> Iterator[list[Server]]:
    """Ours direct, ours on ASGI, upstream's."""
    plug: str = request.param
    more = {
        "handlers": "emits_handlers",
        "fleet": f"redis://127.0.0.1:{redis_port}/0",
        "plug": plug,
    }
    with (
        serving(PLUGS[plug], path="direct", **more) as direct,
        serving(PLUGS[plug], path="asgi", **more) as asgi,
    ):
        yield [direct, asgi, stock]


Emit = tuple[dict[str, Any], list[Member]]


def texts(fleet: Fleet, host: int) -> list[Emit]:
    """Emits that concern the clients of a host, and who has to receive each."""
    web_socket, polling = both = fleet.clients[host]
    everyone = fleet.everyone()
    sids = [client.sid for client in both]
    on_websockets = [clients[0] for clients in fleet.clients]
    several = {"$tuple": [1, [2, [3]], {"four": None}, "\u00e9 \U0001f600"]}
    rooms = [f"host {host}", sids[0], "websocket"]
    one_of_all = [*on_websockets, polling]
    rest = [client for client in everyone if client not in both]
    return [
        ({"event": "sid", "data": {"a": [1, 1.5, 10**20, None]}, "to": sids[0]}, [web_socket]),
        ({"event": "sid", "data": "text", "room": sids[1]}, [polling]),
        ({"event": "room", "data": [1, 2], "room": f"host {host}"}, both),
        ({"event": "all", "data": [[]], "to": "everyone"}, everyone),
        ({"event": "broadcast \u65e5\u672c", "data": ""}, everyone),
        ({"event": "list", "data": 1, "room": {"list": rooms}}, one_of_all),
        ({"event": "tuple", "data": 0, "to": {"tuple": rooms}}, one_of_all),
        ({"event": "unknown first", "room": {"list": ["unknown", sids[1]]}}, [polling]),
        ({"event": "skip", "room": "everyone", "skip_sid": sids[1]}, [web_socket, *rest]),
        ({"event": "skip list", "skip_sid": {"list": sids}}, rest),
        ({"event": "several", "data": several, "to": f"host {host}"}, both),
        ({"event": "one of a tuple", "data": {"$tuple": [[1]]}, "to": f"host {host}"}, both),
        ({"event": "no arguments", "data": {"$tuple": []}, "to": f"host {host}"}, both),
        ({"event": "none", "data": None, "to": f"host {host}"}, both),
        ({"event": "none inside", "data": {"$tuple": [None, None]}, "to": sids[0]}, [web_socket]),
        ({"event": "large", "data": {"$text": ["\u00e4", 70_000]}, "room": "everyone"}, everyone),
        ({"event": "nobody", "data": 1, "room": "unknown"}, []),
        ({"do": "send", "data": {"to": "one"}, "to": sids[0]}, [web_socket]),
    ]


def binaries(fleet: Fleet, host: int) -> list[Emit]:
    """Emits with bytes; those on one transport at a time, which python-socketio needs."""
    emits: list[Emit] = []
    nested = {"deep": [{"$bytes": 3}, {"x": {"$bytes": 0}}], "text": "\u00e9"}
    for kind, client in enumerate(fleet.clients[host]):
        alike = [clients[kind] for clients in fleet.clients]
        room = TRANSPORTS[kind]
        emits += [
            ({"event": "bytes", "data": {"$bytes": 300}, "to": client.sid}, [client]),
            ({"event": "nested", "data": nested, "room": room}, alike),
            ({"event": "edge", "data": [{"$bytes": 65536}, {"$bytes": 126}], "to": room}, alike),
            (
                {"event": "several", "data": {"$tuple": [1, {"$bytes": 2}, nested]}, "to": room},
                alike,
            ),
        ]
    return emits


def expect(emit: dict[str, Any], recipients: list[Member]) -> dict[str, Any]:
    """Note what the recipients of an emit have to receive; return its operation."""
    operation = {"do": "emit", "event": "message"} | emit
    data = made(operation.get("data"))
    args = data if isinstance(data, tuple) else () if data is None else (data,)
    for client in recipients:
        client.expected += event_packets(operation["event"], *args)
    if operation["do"] == "send":
        del operation["event"]
    return operation


async def enter_all(fleet: Fleet) -> None:
    """Each client enters the rooms of its host, of its transport and of all."""
    for host, clients in enumerate(fleet.clients):
        for transport, client in zip(TRANSPORTS, clients, strict=True):
            for room in (f"host {host}", transport, "everyone", "numbers"):
                await fleet.do(host, {"do": "enter_room", "sid": client.sid, "room": room})


async def test_emits_reach_the_other_hosts(servers: list[Server], redis_port: int) -> None:
    """To sids, rooms, lists of rooms and all, without some; whatever the data is."""
    async with clients_of(servers, redis_port) as fleet:
        paths = [server.get("/facts")["paths"] for server in servers]
        assert ["websocket direct" in paths[0], "websocket asgi" in paths[1]] == [True, True]
        assert paths[2] == {}
        await enter_all(fleet)
        for sender, host in fleet.pairs():
            emits = [*texts(fleet, host), *binaries(fleet, host)]
            await fleet.do(sender, *(expect(*emit) for emit in emits))
            await fleet.check(sender)


async def answer(client: Member, args: list[Any]) -> str:
    """Acknowledge the next event of a client, and return it."""
    packet = (await client.until("42"))[-1]
    start = packet.index("[")
    await client.send(f"43{packet[2:start]}{json.dumps(args)}")
    return str(packet[start:])


def callbacks(server: Server) -> list[Any]:
    """The calls of callbacks in a process so far."""
    lines = server.get("/transcript", run="none")["lines"]
    return [line for line in lines if line[0] == "callback"]


async def test_callbacks_come_back(servers: list[Server], redis_port: int) -> None:
    """A client's answer finds the process that asked, once; and the caller, if it waits."""
    before = [len(callbacks(server)) for server in servers]
    expected: list[list[Any]] = [[] for _ in servers]
    async with clients_of(servers, redis_port) as fleet:
        for sender, host in fleet.pairs():
            for client in fleet.clients[host]:
                name = f"plain {client.run}"
                emit = {"do": "emit", "event": "asked", "data": "?", "to": client.sid}
                await fleet.do(sender, emit | {"callback": name})
                assert await answer(client, [1, None, "\u00e9"]) == '["asked","?"]'
                args = (f"str {name!r}", "int 1", "NoneType None", "str '\u00e9'")
                expected[sender].append(["callback", *args])
                call = {"do": "call", "event": "called", "to": client.sid, "timeout": 10}
                result, question = await asyncio.gather(
                    fleet.perform(sender, call), answer(client, [{"a": 2}])
                )
                assert question == '["called"]'
                assert result == [{"type": "dict", "items": [["str 'a'", "int 2"]]}]
        await fleet.check(0)
        # each call() was answered after the callback before it
        found = [callbacks(server) for server in servers]
    assert [lines[count:] for lines, count in zip(found, before, strict=True)] == expected


async def test_rooms_of_remote_clients(servers: list[Server], redis_port: int) -> None:
    """enter_room(), leave_room() and close_room() in another process than the client's."""
    async with clients_of(servers, redis_port) as fleet:
        for sender, host in fleet.pairs():
            both = fleet.clients[host]
            late = [{"sid": client.sid, "room": "late"} for client in both]
            emit = {"event": "late", "room": "late"}
            await fleet.do(
                sender,
                expect(emit | {"data": "too early"}, []),
                {"do": "enter_room", **late[0]},
                expect(emit | {"data": 1}, both[:1]),
                {"do": "enter_room", **late[1]},
                expect(emit | {"data": 2}, both),
                {"do": "leave_room", **late[0]},
                expect(emit | {"data": 3}, both[1:]),
                {"do": "enter_room", **late[0]},
                expect(emit | {"data": 4}, both),
            )
            await fleet.check(sender)
            rooms = [{"do": "rooms", "sid": client.sid} for client in both]
            assert await fleet.perform(host, *rooms) == [
                ["late", int(client.run[6:])] for client in both
            ]
            close = {"do": "close_room", "room": "late"}
            await fleet.do(sender, close, expect(emit | {"data": "closed"}, []))
            await fleet.check(sender)
            assert await fleet.perform(host, *rooms) == [[int(client.run[6:])] for client in both]


async def test_remote_disconnects(servers: list[Server], redis_port: int) -> None:
    """disconnect() in another process than the client's: it is told, and so is its handler."""
    async with clients_of(servers, redis_port) as fleet:
        for sender, host in fleet.pairs():
            for transport in TRANSPORTS:
                client = await Member.connect(
                    servers[host].port, transport, run=f"leaves-{next(LEAVING)}"
                )
                before = {"do": "emit", "event": "before", "to": client.sid}
                after = before | {"event": "after"}
                await fleet.do(sender, before, {"do": "disconnect", "sid": client.sid}, after)
                assert await client.until("41") == ['42["before"]', "41"]
                lines = await asyncio.to_thread(servers[host].transcript, client.run)
                assert lines[1:] == [["disconnect", "str 'server disconnect'"]]
                await client.leave()
            await fleet.check(sender)


async def test_numbers_from_all_at_once(servers: list[Server], redis_port: int) -> None:
    """What every process emits at the same time arrives once and in the order of each."""
    async with clients_of(servers, redis_port) as fleet:
        await enter_all(fleet)
        hosts = range(len(servers))
        sending = asyncio.gather(
            *(fleet.post(host, f"/numbers?sender={host}&count={NUMBERS}") for host in hosts)
        )

        async def receive(client: Member) -> list[Any]:
            packets = [await client.next() for _ in range(NUMBERS * len(servers))]
            return [json.loads(str(packet)[2:]) for packet in packets]

        received = await asyncio.gather(*map(receive, fleet.everyone()))
        await sending
        for client, events in zip(fleet.everyone(), received, strict=True):
            for host in hosts:
                numbers = [number for _, sender, number in events if sender == host]
                assert numbers == list(range(NUMBERS)), (client.run, host)
        for host in hosts:
            await fleet.check(host)  # there is nothing else
