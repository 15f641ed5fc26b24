"""SystemExit and KeyboardInterrupt in a handler end the process wherever python-socketio's ends."""

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from .harness import SIDES, Server
from .machine import SLOWNESS
from .raw import Wire

pytestmark = pytest.mark.timeout(120)

STATUS = {"SystemExit": 7, "KeyboardInterrupt": -signal.SIGINT}
EXIT_SECONDS = 5 * SLOWNESS
#: The event of a handler that fails, by what kind of handler it is: (namespace, packet).
HANDLERS = {
    "async": ("", '42["fail","{0}",{1}]'),
    "plain": ("", '42["fail plainly","{0}",{1}]'),
    "class": ("/class,", '42/class,["fail","{0}",{1}]'),
    "catch-all": ("/all,", '42/all,["anything","{0}",{1}]'),
}


class Case(NamedTuple):
    side: str
    loop: str
    transport: str
    handler: str
    kind: str
    rounds: int  # of the loop, before the handler raises


CASES = [
    Case("upstream", "uvloop", "websocket", "async", "SystemExit", 0),
    Case("asgi", "asyncio", "websocket", "async", "SystemExit", 0),
    Case("asgi", "uvloop", "websocket", "catch-all", "SystemExit", 0),
    Case("asgi", "uvloop", "websocket", "async", "SystemExit", 2),
    Case("direct", "asyncio", "websocket", "plain", "KeyboardInterrupt", 0),
    Case("direct", "uvloop", "websocket", "async", "KeyboardInterrupt", 0),
    Case("direct", "uvloop", "websocket", "class", "SystemExit", 0),
    Case("direct", "uvloop", "websocket", "async", "SystemExit", 2),
    Case("direct", "asyncio", "polling", "async", "SystemExit", 0),
    Case("direct", "uvloop", "polling", "plain", "SystemExit", 0),
    Case("direct", "uvloop", "polling", "async", "KeyboardInterrupt", 2),
]


def send(wire: Wire, transport: str, *packets: str) -> None:
    if transport == "websocket":
        ws = wire.websocket()
        for packet in packets:
            ws.frame(packet)
        return
    sid = wire.open_polling()
    for packet in packets[:-1]:
        wire.post(sid, packet)
    wire.start("POST", f"EIO=4&transport=polling&sid={sid}", packets[-1].encode())


def start(case: Case) -> Server:
    return Server(**SIDES[case.side], loop=case.loop, handlers="loop_app")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Case, Server]]:
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(CASES, pool.map(start, CASES), strict=True))
    yield found
    for server in found.values():
        server.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(map(str, case)))
def test_a_handler_ends_the_process(servers: dict[Case, Server], case: Case) -> None:
    namespace, packet = HANDLERS[case.handler]
    server = servers[case]
    with Wire(server.port, "exit") as wire:
        send(
            wire,
            case.transport,
            f"40{namespace}",
            packet.format(case.kind, case.rounds),
        )
        try:
            status = server.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
    assert status == STATUS[case.kind], server.stderr()
