"""What applications send, to a server whose limits are the defaults: nothing of it is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .frames import TEXT, encode
from .harness import Server, serving_at_once
from .machine import SLOWNESS
from .place import WAYS, every_way
from .rule_client import Client, Packet, new_run

pytestmark = pytest.mark.timeout(120 * SLOWNESS)

LOOPS = ("uvloop", "asyncio")
#: Bytes of a large document.
DOCUMENT = 12_000_000
each_loop = pytest.mark.parametrize("loop", LOOPS)
each_websocket = pytest.mark.parametrize("way", ["direct", "asgi"])


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[tuple[str, str], Server]]:
    with serving_at_once(
        {
            (path, loop): {
                "path": path,
                "loop": loop,
                "logs": "ERROR",
                "options": {"namespaces": "*"},
            }
            for path in ("direct", "asgi")
            for loop in LOOPS
        }
    ) as started:
        yield started


@pytest.fixture
def client(servers: dict[tuple[str, str], Server], way: str, loop: str) -> Iterator[Client]:
    path, kind = WAYS[way]
    server = servers[path, loop]
    before = server.get("/held")["log"]
    with Client(server, new_run("healthy"), kind) as client:
        yield client
        client.leave()
    assert server.get("/held")["log"] == before


@every_way
@each_loop
def test_a_batch_of_images(client: Client, way: str) -> None:
    """A camera's: 200 images of 500 KB, 100 MB in one event; smaller ones by polling."""
    count, size = 200, 500_000 if way != "polling" else 5000
    image = bytes(size)
    holders = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(count))
    client.send(f'45{count}-1["nothing",{holders}]')
    for _ in range(count):
        response = client.send(image)
        assert response is None or response.status == 200
    assert client.answers('422["one","after"]')[-1] == '432["after"]'
    (seen,) = [line for line in client.handlers() if line[0] == "nothing"]
    assert len(seen) == 1 + count


@every_way
@each_loop
def test_hundreds_of_namespaces(client: Client) -> None:
    """One for each document that is open, say."""
    for number in range(300):
        client.join(f"40/document/{number},")
    assert client.answers('421["one","all"]') == ['431["all"]']


@pytest.mark.parametrize("way", ["polling"])
@each_loop
def test_many_packets_in_a_request(client: Client) -> None:
    """What a client has emitted while it was not connected, or while its last POST was away."""
    events = [f'42["numbered",{number}]' for number in range(2000)]
    response = client.send(*events)
    assert response is not None
    assert response.status == 200
    assert client.answers('421["one","after"]') == ['431["after"]']
    numbers = [line[1] for line in client.handlers() if line[0] == "numbered"]
    assert numbers == [f"int {number}" for number in range(2000)]


@every_way
@each_loop
def test_thousands_of_pending_acks(client: Client) -> None:
    """A client that is slow to acknowledge."""
    count = 6000
    ask = '42["callback","kind"]'
    asked: list[Packet] = []
    for _ in range(count // 500):
        client.send(*[ask] * 500)
        asked += client.answers('429["one","sync"]')
    numbers = [str(packet)[2:-19] for packet in asked if "question" in str(packet)]
    assert len(numbers) == count
    client.send(*[f'43{number}["answer"]' for number in numbers])
    assert client.answers('429["one","sync"]') == ['439["sync"]']
    answers = [line for line in client.handlers() if line[0] == "callback"]
    assert len(answers) == count


@each_websocket
@each_loop
def test_a_message_in_small_fragments(client: Client) -> None:
    """Of a sender that streams: 1 MB, 64 bytes at a time."""
    assert client.ws is not None
    head = b'421["same","'
    data = head + b"x" * (1_000_000 - len(head) - 2) + b'"]'
    pieces = [data[i : i + 64] for i in range(0, len(data), 64)]
    last = len(pieces) - 1
    assert last > 15_000
    client.ws.send_raw(
        b"".join(encode(p, 0 if n else TEXT, fin=n == last) for n, p in enumerate(pieces))
    )
    assert client.receive() == "431[" + data[len('421["same",') :].decode()


@each_websocket
@each_loop
def test_a_burst_of_control_frames(client: Client) -> None:
    """What a client that pings each 100 ms has sent when its network comes back after a minute."""
    client.send(*["3"] * 600)
    assert client.answers('421["one","after"]') == ['431["after"]']


@every_way
@each_loop
def test_large_documents(client: Client) -> None:
    """Two of 12 MB, to a client that takes its time."""
    server: Any = client.server
    (answer,) = client.answers('421["whoami"]')
    sid = json.loads(str(answer)[3:])[0]
    for number in range(2):
        server.do("emit", event=f"document {number}", data="x" * DOCUMENT, to=sid)
    for number in range(2):
        packet = client.receive(30 * SLOWNESS)
        assert len(packet) == DOCUMENT + len(f'42["document {number}",""]')
