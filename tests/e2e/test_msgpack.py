"""The msgpack serializer and the official client, which encodes `undefined` as extension type 0."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from .harness import JS, Server, serving_at_once
from .machine import SLOWNESS
from .rule_client import Client, new_run

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

UNDEFINED = msgpack.ExtType(0, b"\0")
#: What the official client joins with when it has no auth.
CONNECT = bytes.fromhex("83a47479706500a36e7370a12fa464617461d40000")
STRICT = {"options": {"serializer": "msgpack", "strict": True}}
LENIENT = {"options": {"serializer": "msgpack"}}
SERVERS: dict[str, dict[str, Any]] = {
    "direct strict": {"path": "direct", "loop": "uvloop", **STRICT},
    "asgi strict": {"path": "asgi", "loop": "asyncio", **STRICT},
    "direct lenient": {"path": "direct", "loop": "asyncio", **LENIENT},
}
every_server = pytest.mark.parametrize("name", SERVERS)
kinds = pytest.mark.parametrize("kind", ["websocket", "polling"])


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    more = {"logs": "ERROR"}
    with serving_at_once({name: {**one, **more} for name, one in SERVERS.items()}) as started:
        yield started


def packet(kind: int, **more: Any) -> bytes:
    packed: bytes = msgpack.packb({"type": kind, "nsp": "/", **more})
    return packed


def received(client: Client) -> dict[str, Any]:
    got = client.receive()
    assert isinstance(got, bytes)
    unpacked: dict[str, Any] = msgpack.unpackb(got)
    return unpacked


@kinds
@every_server
def test_undefined_is_no_auth(servers: dict[str, Server], name: str, kind: Any) -> None:
    assert packet(0, data=UNDEFINED) == CONNECT
    with Client(servers[name], new_run("msgpack"), kind, packet=None) as client:
        client.send(CONNECT)
        got = [received(client) for _ in range(2)]
        assert [one["type"] for one in got] == [2, 0]  # the greeting of the connect handler first
        assert client.status()["lines"][0][2] == "NoneType None"
        # in the data of events it is what python-socketio gives
        client.send(packet(2, id=1, data=["several", UNDEFINED]))
        assert received(client) == {"type": 3, "nsp": "/", "id": 1, "data": [UNDEFINED]}
        client.send(packet(1, data=UNDEFINED))
        client.send("1")
        client.gone("client disconnect")


@kinds
@every_server
@pytest.mark.parametrize("data", [1, "x", [], msgpack.ExtType(1, b"\0")], ids=str)
def test_other_data_of_a_connect(
    servers: dict[str, Server], name: str, kind: Any, data: Any
) -> None:
    """Strict: refused, as before."""
    with Client(servers[name], new_run("msgpack"), kind, packet=None) as client:
        if "strict" in name:
            client.refused(packet(0, data=data), reason=None)
        else:
            client.send(packet(0, data=data))
            assert [received(client)["type"] for _ in range(2)] == [2, 0]


@kinds
@every_server
@pytest.mark.parametrize("auth", [None, {"token": "t"}], ids=["without", "auth"])
def test_the_official_client(
    servers: dict[str, Server], javascript: str, name: str, kind: str, auth: Any
) -> None:
    run = new_run("official")
    server = servers[name]
    config = {"url": server.url, "mode": kind, "run": run} | ({"auth": auth} if auth else {})
    done = subprocess.run(
        [javascript, str(JS / "msgpack.mjs"), json.dumps(config)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got[:2] == [{"a": [1, None, "\u00e9"]}, "bytes 00ff"]
    assert got[3:] == ["/", ["x", "said"], "/chat", *([] if auth else ["legacy", "/legacy"])]
    lines = server.transcript(run)
    said = {"type": "dict", "items": [["str 'token'", "str 't'"]]} if auth else "NoneType None"
    undefined = {"type": "ExtType", "items": ["int 0", "bytes(1) 00"]}
    assert [line[2] for line in lines if line[0] == "connect"] == [said]
    assert [line[1] for line in lines if line[0] == "/chat connect"] == [said]
    assert [line[1:] for line in lines if line[0] == "nothing"] == [[undefined, "int 1"]]
    [[_, returned]] = [line for line in lines if line[0] == "call returned"]
    assert returned["items"][0] == undefined
