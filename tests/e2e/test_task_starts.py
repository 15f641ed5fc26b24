"""Event loops that handlers run again (nest_asyncio), and task factories that fail."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import SIDES, Server, serving, wait_until
from .loop_client import Joined

pytestmark = pytest.mark.timeout(90)

OURS_SIDES = [side for side in SIDES if side != "upstream"]
FACTORY_SERVERS = {
    f"{side} {loop}": {**SIDES[side], "loop": loop}
    for side in OURS_SIDES
    for loop in ("asyncio", "uvloop")
}
TRANSPORTS = [
    *((name, "websocket") for name in FACTORY_SERVERS),
    ("direct asyncio", "polling"),
    ("direct uvloop", "polling"),
]


@contextlib.contextmanager
def starting(servers: dict[str, Any]) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(**config, handlers="loop_app"))
            for name, config in servers.items()
        }


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with starting(FACTORY_SERVERS) as found:
        yield found


@pytest.fixture(params=TRANSPORTS, ids=" ".join)
def client(servers: dict[str, Server], request: pytest.FixtureRequest) -> Iterator[Joined]:
    name, transport = request.param
    servers[name].get("/break", times=0)
    servers[name].get("/records")
    joined = Joined(servers[name], transport)
    yield joined
    servers[name].get("/break", times=0)
    joined.wire.end()


def test_a_factory_that_fails_once(client: Joined) -> None:
    """The event is lost, with one record; the session goes on."""
    client.server.get("/break", times=1)
    client.send(['421["one",1]'])
    [record] = client.records()
    text = f'handler of event "one" from {client.joined} [/] cannot be started'
    assert record[:4] == ["socketio.server", "ERROR", text, "RuntimeError"]
    client.do('422["one",2]')
    assert not any(str(line[1]).startswith("431") for line in client.wire.lines)
    assert client.records(0) == []


def test_a_factory_that_fails_in_the_life_of_a_session(client: Joined) -> None:
    """Nothing of it is lost: not a packet, nor the end."""
    sids = []
    for packet in ("40/class,", "40/awaitable object,"):
        client.server.get("/break", times=1)
        sids.append(client.join(packet))
    client.do('422["one",2]')
    client.server.get("/break", times=1)
    client.leave()
    wait_until("the end", lambda: [sids[1], "client disconnect"] in client.server.get("/seen"))


# --- loops within loops ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested() -> Iterator[dict[str, Server]]:
    with starting({side: {**SIDES[side], "loop": "asyncio"} for side in SIDES}) as found:
        for server in found.values():
            server.get("/nest")
        yield found


@pytest.mark.parametrize("event", ["nested call", "nested call plainly"])
@pytest.mark.parametrize(
    ("side", "transport"), [*((side, "websocket") for side in SIDES), ("direct", "polling")]
)
def test_handlers_that_run_the_loop(
    nested: dict[str, Server], side: str, transport: str, event: str
) -> None:
    server = nested[side]
    server.get("/errors", watch=True)
    first, second = (Joined(server, transport) for _ in range(2))
    ids = []
    for client in (first, second):  # one runs the loop within that of the other
        client.send([f'421["{event}"]'])
        question = client.until("42", '"question"') or ""
        ids.append(question[2 : question.index("[")])
    first.do('422["one",2]')
    for client, id in ((second, ids[1]), (first, ids[0])):
        client.send([f'43{id}["pong"]'])
        assert client.until("431") == '431["pong"]'
    assert server.get("/errors") == []
    for client in (first, second):
        client.wire.end()
