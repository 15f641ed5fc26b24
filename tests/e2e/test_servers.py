"""Servers with an application's own parts: JSON, the admin UI, Redis, logging."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from socketio import RedisManager

from .harness import OURS, SIDES, Server, play, serving, serving_all, wait_until
from .raw import SID, Wire
from .redis_process import RedisProcess

pytestmark = pytest.mark.timeout(90)

BLOB = bytes(range(256))
ADMIN = {"username": "u", "password": "p"}


def test_own_json_is_called_for_every_packet() -> None:
    """An application's json= does all encoding and decoding of the server, as often as before."""
    calls = []
    for side in SIDES.values():
        with serving(**side, json=True) as server, Wire(server.port, "json") as wire:
            ws = wire.websocket().connect('40{"a":1.5}')
            before = server.get("/facts")["json"]
            ws.synchronise('420["one",1.5]', '421["answer","nested"]')
            after = server.get("/facts")["json"]
            assert ["text", '430["1.5"]'] in wire.lines
            calls.append({name: after[name] - before[name] for name in after})
    assert calls[0]["loads"] == calls[0]["dumps"] == 3
    assert calls[1] == calls[0]
    assert calls[2] == calls[0]


def test_log_lines() -> None:
    """The same lines at the same levels, in the same order."""
    logs = []
    for side in SIDES.values():
        with serving(**side, logs="INFO") as server:  # noqa: SIM117
            with Wire(server.port, "logs") as wire:
                ws = wire.websocket().connect('40{"a":1}')
                # one after the other: what is read at once may be logged before its answers
                for frames, answer in (
                    (['420["one",{"x":[1,null]}]'], '430[{"x":[1,null]}]'),
                    (['421["answer","bytes"]'], BLOB),
                    (['451-1["one",{"_placeholder":true,"num":0}]', b"\x01"], b"\x01"),
                    (
                        ["40/refuse,"],
                        '44/refuse,{"message":"refused","data":{"code":7,"\\u00e9":null}}',
                    ),
                    (['42["to_room",null,1,false]'], '42["in room",1]'),
                ):
                    for frame in frames:
                        ws.frame(frame)
                    while ws.receive() != answer:
                        assert not ws.ended
                ws.synchronise("43999[]", "3", '42/chat,["say"]')
                sid = wire.open_polling()
                wire.post(sid, "40")
                wire.get(sid)
                wire.post(sid, '420["one",1]')
                wire.get(sid)
                wire.request("GET", "EIO=3&transport=polling")
                wire.request("GET", "EIO=4&transport=polling&sid=none")
                wire.request("PUT", "EIO=4")
                wire.end()
                server.transcript("logs")
                logs.append([wire.label(line) for line in server.get("/facts")["log"]])
    assert 'INFO received event "one" from <sid 1> [/]' in logs[0]
    assert logs[1] == logs[0]
    assert logs[2] == logs[0]


class Admin:
    """What the admin UI receives over a WebSocket."""

    def __init__(self, server: Server, auth: str) -> None:
        self.wire = Wire(server.port, "admin")
        self.ws = self.wire.websocket()
        self.ws.receive()
        self.ws.frame(f"40/admin,{auth}")

    def until(self, text: str) -> list[str]:
        """Receive up to a frame with `text`; return the names of the events."""
        names = []
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            got = self.ws.receive()
            assert got is not None, self.wire.lines
            frame = got.decode() if isinstance(got, bytes) else got
            names.append(frame.split('"')[1] if frame.startswith("42/admin") else frame[:9])
            if text in frame:
                return [name for name in names if name != "server_stats"]
        raise AssertionError(f"{text} did not come: {names}")


def without_rooms(names: list[str]) -> list[str]:
    """Of rooms the UI hears now and then, not when they are joined."""
    return [name for name in names if not name.startswith("room_")]


def admin_session(side: str) -> list[Any]:
    facts: list[Any] = []
    with serving(**SIDES[side], admin={"auth": ADMIN, "server_stats_interval": 0.2}) as server:
        refused = Admin(server, '{"username":"u","password":"wrong"}')
        facts.append(refused.until("authentication failed"))
        refused.wire.end()
        admin = Admin(server, '{"username":"u","password":"p"}')
        facts.append(without_rooms(admin.until('"all_sockets"')))
        for _ in range(2):  # its own rooms have been told of, then
            admin.until('"server_stats"')
        with Wire(server.port, "client") as wire:
            ws = wire.websocket().connect('40{"token":"x"}')
            facts.append(without_rooms(admin.until('"welcome"')))
            ws.synchronise('421["join","a room"]')
            facts.append(admin.until('"room_joined"'))
            ws.synchronise('42["echo",1]', '451-["echo",{"_placeholder":true,"num":0}]', b"bin")
            facts.append(sorted(admin.until('"sync"')))
            # counted: what the UI shows as traffic
            for counter in ("packetsIn", "packetsOut", "bytesIn", "bytesOut", "rawConnection"):
                ws.frame("3")
                ws.synchronise()
                if counter != "rawConnection":
                    admin.until(f'"{counter}"')
            admin.ws.frame('42/admin,["emit","/","a room","from admin",{"x":1}]')
            ws.until('42["from admin",{"x":1}]')
            admin.ws.frame('42/admin,["_disconnect","/",true,"a room"]')
            ws.until("41")
            admin.until('"socket_disconnected"')
            facts.append([line for line in wire.lines if line[0] != "handshake"])
        with Wire(server.port, "polling") as wire:
            sid = wire.open_polling()
            wire.post(sid, "40")
            wire.get(sid)
            admin.until('"socket_connected"')
            wire.post(sid, '420["one","polled"]')
            admin.until('"polled"')
            wire.get(sid)
            wire.end()
            admin.until('"socket_disconnected"')
            facts.append(wire.lines)
        admin.wire.end()
    return facts


def test_admin_ui() -> None:
    """`instrument()` patches servers, sockets and managers; all that it patches is still called."""
    upstream, asgi, direct = (admin_session(side) for side in SIDES)
    assert upstream[0][-1].startswith("44/admin")
    assert {"socket_connected", "event_sent"} <= set(upstream[2])
    assert "event_received" in upstream[4]
    assert asgi == upstream
    assert direct == upstream


def test_paths() -> None:
    """A WebSocket of the server on our protocol class is direct, from its start or upgraded."""

    def session(server: Server) -> Any:
        with Wire(server.port, "paths") as wire:
            ws = wire.websocket().connect()
            ws.synchronise('421["transport"]')
            sid = wire.open_polling()
            wire.post(sid, "40")
            wire.get(sid)
            upgraded = wire.websocket(sid)
            upgraded.frame("2probe")
            upgraded.until("3probe")
            upgraded.frame("5")
            upgraded.synchronise('421["transport"]')
        return server.get("/facts")["paths"]

    with serving_all() as servers:
        _, asgi, direct = map(session, servers)
    assert asgi == {"websocket asgi": 3, "polling polling": 1}
    assert direct == {"websocket direct": 3, "polling polling": 1}


# --- Redis ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as server:
        yield server.port


def fleet_session(port: int, sides: tuple[str, str]) -> list[Any]:
    """Two processes, a client on each, one room: what the clients and handlers saw."""
    url = f"redis://127.0.0.1:{port}/0"
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(**SIDES[side], redis=url)) for side in sides]
        wires = [stack.enter_context(Wire(server.port, "fleet")) for server in servers]
        sockets = [wire.websocket().connect() for wire in wires]
        client = stack.enter_context(redis.Redis(port=port))
        wait_until("both processes listen", lambda: client.pubsub_numsub("socketio")[0][1] == 2)
        sids = [wire.sids[1] for wire in wires]

        def everyone(name: str) -> None:
            for ws in sockets:
                ws.until(f'42["{name}"]')

        for ws in sockets:
            ws.synchronise('421["join","r"]')
        first, second = servers
        data = {"text": "\u00e9 \U0001f600", "numbers": [1, 1.5, 10**20, None, True]}
        first.do("emit", event="to room", data=data, room="r")
        first.do("emit", event="mark 1")
        everyone("mark 1")
        second.do("emit", event="skipped", data=[1], room="r", skip_sid=sids[0])
        second.do("emit", event="to one", data="x", to=sids[0])
        second.do("emit", event="several rooms", room=["r", sids[1]])
        second.do("emit", event="nobody", data=1, room="empty room")
        second.do("emit", event="mark 2")
        everyone("mark 2")
        sockets[0].synchronise('42["to_room","r",{"from":0},true]')
        sockets[0].frame('451-["to_room","r",{"_placeholder":true,"num":0},false]')
        sockets[0].frame(b"\x00\xff")
        for ws in sockets:
            while ws.receive() != b"\x00\xff":
                pass
        # membership and the end of a connection, ordered from the other process
        second.do("enter_room", sid=sids[0], room="late")
        second.do("emit", event="to late", room="late")
        sockets[0].until('42["to late"]')
        second.do("leave_room", sid=sids[0], room="late")
        first.do("close_room", room="r")
        first.do("emit", event="mark closed")  # the other process has heard of both
        everyone("mark closed")
        second.do("emit", event="to late again", room="late")
        second.do("emit", event="room is closed", room="r")
        second.do("emit", event="mark 3")
        everyone("mark 3")
        RedisManager(url, write_only=True).emit("from outside", {"a": b"raw"}, to=sids[1])
        while sockets[1].receive() != b"raw":
            pass
        second.do("disconnect", sid=sids[0])
        sockets[0].until("41")
        for wire in wires:
            wire.end()
        return [wire.lines for wire in wires] + [s.transcript("fleet") for s in servers]


@pytest.fixture(scope="module")
def upstream_fleet(redis_port: int) -> list[Any]:
    return fleet_session(redis_port, ("upstream", "upstream"))


@pytest.mark.parametrize(
    "sides",
    [
        ("asgi", "asgi"),
        ("asgi", "upstream"),
        ("upstream", "asgi"),
        ("direct", "direct"),
        ("direct", "upstream"),
        ("upstream", "direct"),
        ("asgi", "direct"),
    ],
    ids="-".join,
)
def test_redis_fleet(redis_port: int, upstream_fleet: list[Any], sides: tuple[str, str]) -> None:
    lines = str(upstream_fleet[0])
    for event in ("to room", "to one", "several rooms", "to late"):
        assert f'"{event}"' in lines
    for event in ("skipped", "nobody", "to late again", "room is closed"):
        assert f'"{event}"' not in lines
    assert fleet_session(redis_port, sides) == upstream_fleet


def test_python_client_in_a_fleet(redis_port: int) -> None:
    """The whole script with a Redis manager: `call()` and callbacks go through it."""
    url = f"redis://127.0.0.1:{redis_port}/1"
    transcripts = []
    for side in SIDES.values():
        with serving(**side, redis=url) as server, Wire(server.port, "first") as wire:
            wire.websocket().connect()
            with redis.Redis(port=redis_port) as client:
                wait_until("it listens", lambda: client.pubsub_numsub("socketio")[0][1] == 1)
            transcripts.append(play(server, "python", "websocket", "full"))
    assert len(transcripts[0]["client"]) > 80
    assert transcripts[1] == transcripts[0]
    assert transcripts[2] == transcripts[0]


def test_the_sid_pattern() -> None:
    """The pattern that numbers session ids knows upstream's ids and not its neighbours."""
    import engineio

    server = engineio.AsyncServer(async_mode="asgi")
    for number in (*range(100), 0x3FFF, 0x4000, 0x3FFFF):
        server.sequence_number = number
        sid = server.generate_id()
        assert SID.fullmatch(sid)
        assert SID.search(f'{{"sid":"{sid}"}}')
        assert not SID.search(sid + "x")
    assert not SID.search("max_attachment_bytes max_http_buffer_size")


@pytest.mark.parametrize("path", ["asgi", "direct"])
def test_an_upgrade_that_does_not_end(path: Any) -> None:
    """The WebSocket is closed, and the session goes on by polling."""
    options = {"upgrade_timeout": 0.3}
    with serving(OURS, path=path, options=options) as server, Wire(server.port, "slow") as wire:
        sid = wire.open_polling()
        wire.post(sid, "40")
        wire.get(sid)
        ws = wire.websocket(sid)
        ws.frame("2probe")
        assert ws.receive() == "3probe"
        ws.until("")
        assert ws.ended
        wire.get(sid)  # the NOOP of the probe
        wire.post(sid, '427["one",1]')
        assert wire.get(sid) == "437[1]"
