"""Official clients get the same on all three paths, and what they should get at all."""

import ast
from typing import Any

import pytest

from .harness import OURS, SIDES, UPSTREAM, Trio, play, serving, serving_all, wait_until

pytestmark = pytest.mark.timeout(120)

MODES = ("websocket", "polling", "upgrade")
JAVASCRIPT = ("sio48", "sio40", "sio31")
CLIENTS = (*JAVASCRIPT, "python")
BLOB_SHA1 = "4916d6bdb7f78e6803698cab32d1586ea457dfc8"


def plain(value: Any) -> Any:
    """One spelling for what the Python client writes with types and Node without."""
    if isinstance(value, dict) and set(value) == {"type", "items"}:
        items = [plain(item) for item in value["items"]]
        return dict(items) if value["type"] == "dict" else items
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        if value.split(" ")[0] in ("str", "int", "float", "bool", "NoneType"):
            return ast.literal_eval(value.split(" ", 1)[1])
        return value.replace("Buffer(", "bytes(")
    return value


def check_full(client: str, mode: str, transcript: dict[str, Any]) -> None:
    """Check facts that hold whatever server and client are."""
    wire = [[line[0], *plain(line[1:])] for line in transcript["client"]]
    assert ["welcome", {"from": "connect"}] in wire
    rest = iter(wire)
    for fact in (
        ["connected"],
        ["ack of nothing"],
        ["ack of several", 1, "two", [3], {"four": 4}, None],
        ["ack of several"],
        ["ack of answer empty tuple"],
        ["ack of answer bytes", f"bytes(256) {BLOB_SHA1}"],
        ["ack of one", "bytes(3) 0001ff"],
        ["ack of one", "bytes(0) "],
        ["echoed", "bytes(3) 62696e", ["bytes(3) 617279"]],
        ["echoed", "without ack"],
        ["message", "a message"],
        *(["burst", number, f"bytes(1) 0{number}"] for number in range(5)),
        ["ack of burst"],
        ["ack of transport", "polling" if mode == "polling" else "websocket"],
        ["the server's sid is ours", True],
        ["question", "binary"],
        ["ack of callback binary"],
        ["in room", {"n": 1}],
        ["in room", "bytes(3) 616c6c"],
        ["ack of recall", {"kept": [1]}],
        ["said", "hello", {"to": "all"}],
        ["ack of say", "bytes(5) 68656c6c6f", "said"],
        ["ack of any event", "any event", 1, "bytes(1) 32"],
        ["ack of one still here", "still here"],
        ["/ disconnected"],
    ):
        # each is found after the one before
        assert any(line[: len(fact)] == fact for line in rest), fact
    assert not [line for line in wire if "wrong namespace" in line]
    handlers = transcript["server"]
    assert [line for line in handlers if line[0] == "numbered"] == [
        ["numbered", f"int {number}"] for number in range(8)
    ]
    assert ["one", "bytes(3) 0001ff"] in handlers
    assert ["several", "bytes(1) 61"] in [line[:2] for line in handlers]
    called = [line[1:] for line in handlers if line[0] == "call returned"]
    assert called[:2] == [["NoneType None"], ["str 'answer'"]]
    assert len(called) == 4
    assert ["/chat disconnect", "str 'server disconnect'"] in handlers
    assert handlers[0][0] == "connect"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", CLIENTS)
def test_full_script(trio: Trio, javascript: str, client: str, mode: str) -> None:
    upstream, asgi, direct = (play(server, client, mode, "full") for server in trio)
    check_full(client, mode, upstream)
    for ours in (asgi, direct):
        assert ours["client"] == upstream["client"]
        assert ours["server"] == upstream["server"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("script", ["kicked", "abrupt"])
@pytest.mark.parametrize("client", ["sio48", "sio31", "python"])
def test_end_of_connection(
    trio: Trio, javascript: str, client: str, script: str, mode: str
) -> None:
    upstream, asgi, direct = (play(server, client, mode, script) for server in trio)
    if script == "kicked":
        assert ["disconnect", "str 'server disconnect'"] in upstream["server"]
    else:
        assert upstream["server"][-2][0] == "disconnect"
    assert upstream["client"][-1][0].endswith("disconnected")
    assert asgi == upstream
    assert direct == upstream


@pytest.mark.parametrize("mode", MODES)
def test_revision_4_clients_are_refused(trio: Trio, javascript: str, mode: str) -> None:
    upstream, asgi, direct = (play(server, "sio25", mode, "refused") for server in trio)
    assert upstream["client"][0][0] == "connect_error"
    assert upstream["server"] == []
    assert asgi == upstream
    assert direct == upstream


@pytest.mark.parametrize("mode", MODES)
def test_path_without_trailing_slash(trio: Trio, javascript: str, mode: str) -> None:
    upstream, asgi, direct = (
        play(server, "sio48", mode, "full", trailing=False) for server in trio
    )
    assert "str '/socket.io'" in str(upstream["server"][0])
    check_full("sio48", mode, upstream)
    assert asgi == upstream
    assert direct == upstream


@pytest.mark.parametrize("mode", ["websocket", "polling"])
def test_msgpack(mode: str) -> None:
    with serving_all(options={"serializer": "msgpack"}) as servers:
        upstream, asgi, direct = (
            play(server, "python", mode, "full", serializer="msgpack") for server in servers
        )
    check_full("python", mode, upstream)
    assert asgi == upstream
    assert direct == upstream


def test_hypercorn(javascript: str) -> None:
    transcripts = []
    for module in (UPSTREAM, OURS):
        with serving(module, server="hypercorn") as server:
            transcripts.append(
                [
                    play(server, client, mode, "full")
                    for client, mode in (
                        ("python", "websocket"),
                        ("python", "polling"),
                        ("sio48", "upgrade"),
                    )
                ]
            )
    check_full("sio48", "upgrade", transcripts[0][2])
    assert transcripts[1] == transcripts[0]


@pytest.mark.parametrize("side", SIDES)
def test_nothing_is_left_behind(javascript: str, side: str) -> None:
    """When every client is gone the server holds nothing of them."""
    kept = ("sockets", "environs", "half packets", "rooms", "callbacks")
    with serving(**SIDES[side]) as server:
        for mode in ("websocket", "upgrade"):
            for script in ("kicked", "abrupt"):
                play(server, "sio48", mode, script)

        def empty() -> bool:
            facts = server.get("/facts")
            return not any(facts[key] for key in kept)

        wait_until(f"{side} has let go of its clients", empty)
