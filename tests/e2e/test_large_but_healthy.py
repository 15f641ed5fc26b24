"""Large, and healthy: the same bytes as python-socketio's, and the same calls of handlers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .harness import Trio, serving_all
from .large_app import NAMESPACES
from .machine import SLOWNESS
from .raw import WebSocket, Wire, as_upstream, ends_sorted

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

ATTACHMENTS = 200
ACKNOWLEDGEMENTS = 2000


@pytest.fixture(scope="module")
def servers() -> Iterator[Trio]:
    with serving_all(handlers="large_app", options={"max_attachments": ATTACHMENTS}) as trio:
        yield trio


def same(servers: Trio, name: str, session: Callable[[Wire], None]) -> list[Any]:
    """Play a session against python-socketio, ours on ASGI and ours direct; what all three did."""
    lines: list[list[Any]] = []
    for server in servers:
        with Wire(server.port, name) as wire:
            session(wire)
            wire.end()
            lines.append([as_upstream(wire.lines), *ends_sorted(server.transcript(name))])
    assert lines[1] == lines[0]
    assert lines[2] == lines[0]
    return lines[0]


def ended(wire: Wire, ws: WebSocket) -> None:
    """Say goodbye; ours closes at once, python-socketio's when the client does."""
    ws.frame("1")
    ws.connection.close()


@pytest.mark.parametrize("event", ["echo", "several"])
def test_a_batch_of_attachments(servers: Trio, event: str) -> None:
    """In one event each way; in one acknowledgement."""
    holders = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(ATTACHMENTS))

    def session(wire: Wire) -> None:
        ws = wire.websocket().connect()
        blobs = [n.to_bytes(2) * n for n in range(ATTACHMENTS)]
        ws.synchronise(f'45{ATTACHMENTS}-7["{event}",{holders}]', *blobs)
        ws.synchronise('428["nothing"]')
        ended(wire, ws)

    lines = same(servers, f"attachments-{event}", session)
    received = [line for line in lines[0] if line[0] == "frame 0x82"]
    assert len(received) == ATTACHMENTS
    assert 1 + ATTACHMENTS in map(len, lines[1:])


def test_a_batch_of_attachments_by_polling(servers: Trio) -> None:
    def session(wire: Wire) -> None:
        sid = wire.open_polling()
        wire.post(sid, "40")
        wire.get(sid)
        wire.post(sid, f'421["batch",{ATTACHMENTS}]')
        wire.packets_until(sid, f"431[{ATTACHMENTS}]")

    lines = same(servers, "attachments-polling", session)
    [packets] = [line for line in lines[0] if line[0] == "packets"]
    assert len(packets) == 3 + ATTACHMENTS


def test_a_hundred_namespaces(servers: Trio) -> None:
    def session(wire: Wire) -> None:
        ws = wire.websocket()
        ws.receive()
        for name in NAMESPACES:
            ws.frame(f'40{name},{{"token":"{name}"}}')
            ws.receive()
        for number, name in enumerate(reversed(NAMESPACES)):
            ws.frame(f'42{name},{number}["say",{number},"\u00e9"]')
            ws.until(f'43{name},{number}["{name}",{number},"\\u00e9"]')
        for name in NAMESPACES[::2]:
            ws.frame(f"41{name},")
        last = NAMESPACES[-1]
        ws.frame(f'42{last},1000["say"]')
        ws.until(f'43{last},1000["{last}"]')
        ended(wire, ws)

    lines = same(servers, "namespaces", session)
    assert sum(line[0] == "disconnect" for line in lines[1:]) == len(NAMESPACES)


def test_a_hundred_namespaces_by_polling(servers: Trio) -> None:
    def session(wire: Wire) -> None:
        sid = wire.open_polling()
        for name in NAMESPACES:
            wire.post(sid, f"40{name},")
            wire.get(sid)
        for number, name in enumerate(NAMESPACES):
            wire.post(sid, f'42{name},{number}["say"]')
            wire.packets_until(sid, f'43{name},{number}["{name}"]')

    lines = same(servers, "namespaces-polling", session)
    assert sum(line[0] == "disconnect" for line in lines[1:]) == len(NAMESPACES)


def test_many_acknowledgements(servers: Trio) -> None:
    """Answered in another order than they were asked for."""

    def session(wire: Wire) -> None:
        ws = wire.websocket().connect()
        ws.frame(f'420["ask often",{ACKNOWLEDGEMENTS}]')
        ws.until(f"430[{ACKNOWLEDGEMENTS}]")
        for number in range(ACKNOWLEDGEMENTS):
            id = number * 7919 % ACKNOWLEDGEMENTS + 1
            ws.frame(f'43{id}[{id},"\u00e9"]')
        ws.synchronise('421["nothing"]')
        ended(wire, ws)

    lines = same(servers, "acknowledgements", session)
    called = [line for line in lines[1:] if line[0] == "called"]
    assert len({line[1] for line in called}) == len(called) == ACKNOWLEDGEMENTS
    assert called[1][1:3] == ["int 1919", "int 1920"]
