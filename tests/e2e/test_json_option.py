"""An application's `json=` that gives bytes, as orjson does, and one that fails."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import Server, serving_at_once, wait_until
from .machine import SLOWNESS
from .redis_process import RedisProcess
from .rule_client import Client, Kind, Request, WebSocket, new_run

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

SERVERS: dict[str, dict[str, Any]] = {
    "direct uvloop": {"path": "direct", "loop": "uvloop"},
    "direct asyncio": {"path": "direct", "loop": "asyncio"},
    "asgi": {"path": "asgi"},
}
WAYS: dict[str, tuple[str, Kind]] = {
    **{name: (name, "websocket") for name in SERVERS},
    "polling": ("direct uvloop", "polling"),
}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module", params=["orjson", "bytes"])
def fleet(request: pytest.FixtureRequest, redis: RedisProcess) -> Iterator[dict[str, Server]]:
    more = {"handlers": "json_app", "own": request.param, "logs": "ERROR", "redis": redis.url}
    with serving_at_once({name: {**one, **more} for name, one in SERVERS.items()}) as servers:
        for server in servers.values():  # the first session begins the subscription
            Request(server.port, "GET", "EIO=4&transport=polling").response()
        wait_until("subscriptions", lambda: redis.subscribers("socketio") == len(SERVERS))
        yield servers


@pytest.fixture(scope="module", params=["failing", "nothing"])
def failing(request: pytest.FixtureRequest) -> Iterator[dict[str, Server]]:
    more = {"handlers": "json_app", "own": request.param, "logs": "INFO"}
    with serving_at_once({name: {**one, **more} for name, one in SERVERS.items()}) as servers:
        yield servers


@every_way
def test_bytes_are_text(fleet: dict[str, Server], way: str) -> None:
    """The OPEN packet, answers to CONNECT, acknowledgements, emits, those of others, refusals."""
    name, kind = WAYS[way]
    server = fleet[name]
    others = [one for one in fleet.values() if one is not server]
    with (
        Client(server, new_run("bytes"), kind) as client,
        Client(others[0], new_run("other"), "websocket") as other,
    ):
        assert set(client.opened) >= {"sid", "upgrades", "pingInterval", "pingTimeout"}
        assert client.answers('421["one",{"a":[1,null,"\u00e9"]}]') == [
            '431[{"a":[1,null,"\u00e9"]}]'
        ]
        holder = '{"_placeholder":true,"num":0}'
        assert client.answers(f'451-2["one",[{holder}]]', b"x") == [f"461-2[[{holder}]]", b"x"]
        [answer] = client.answers("40/chat,")
        assert str(answer).startswith('40/chat,{"sid":"')
        assert client.answers("40/refuse,") == [
            '44/refuse,{"message":"refused","data":{"code":7,"\u00e9":null}}'
        ]
        client.send('423["ask","kind"]')
        assert client.receive() == '422["question","kind"]'  # 1 is that of the fleet
        client.send('432["answered"]')
        assert client.receive() == "433[\"str 'answered'\"]"
        others[0].do("emit", event="all", data={"n": 1})
        assert [client.receive(), other.receive()] == ['42["all",{"n":1}]'] * 2
        bad = client.request("GET", "EIO=4&transport=polling&sid=unknown")
        assert (bad.status, bad.body) == (400, '"Invalid session unknown"')
        client.leave()
        other.leave()


@every_way
def test_an_open_packet_that_cannot_be_encoded(failing: dict[str, Server], way: str) -> None:
    """No session is opened, and the log tells why."""
    name, kind = WAYS[way]
    server = failing[name]
    before = server.get("/held")
    query = f"EIO=4&transport={kind}&run={new_run(way)}"
    if kind == "websocket":
        assert WebSocket(server.port, query).status == 500
    else:
        assert Request(server.port, "GET", query).response().status == 500
    held = server.get("/held")
    assert held["sockets"] == 0
    lines = held["log"][len(before["log"]) :]
    [line] = [one for one in lines if "OPEN packet" in one]
    assert "LookupError: not this one" in line or "returned NoneType" in line
    assert "Traceback" not in server.stderr()
    assert json.loads(Request(server.port, "GET", "", path="/hello").response().body)
