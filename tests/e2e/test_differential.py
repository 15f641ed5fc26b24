"""Random sessions get the same from upstream's server, from ours on ASGI and from ours direct.

Another seed: TOOLBOXSIO_SEED=number plays that session alone.
"""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .emits_programs import HOMES, WEIGHTS, kinds_of, program_of
from .emits_values import ODD
from .harness import Server, Trio, serving_all, wait_until
from .machine import NIGHTLY
from .sessions import VIOLATIONS, Client, Step, generate, play

SEED = os.environ.get("TOOLBOXSIO_SEED")
SESSIONS = 250 if NIGHTLY else 25  # for each loop
CONTEXT = 4

pytestmark = pytest.mark.timeout(1200 if NIGHTLY else 120)


def seeds(first: int) -> list[int]:
    if SEED is not None:
        return [int(SEED)]
    if NIGHTLY:
        first += time.time_ns() // 10**9 * 1000
    return list(range(first, first + SESSIONS))


def describe_step(step: Step) -> str:
    """One line about a step."""
    shown = {key: value for key, value in step.arguments.items() if value is not None}
    return f"client {step.client}: {step.action} {str(shown)[:300]}"


def difference(steps: list[Step], upstream: list[list[Any]], ours: list[list[Any]]) -> str:
    """Say where a client is treated otherwise, the first in time; "" when none is."""
    if any(
        client[-1:] and client[-1][0] == "failed" for client in upstream + ours
    ):  # then some know no handlers
        upstream, ours = ([before_handlers(client) for client in side] for side in (upstream, ours))
    found = []
    for client, (expected, got) in enumerate(zip(upstream, ours, strict=True)):
        if expected != got:
            at = 0
            while expected[at : at + 1] == got[at : at + 1]:
                at += 1
            reached = max(expected[: at + 1], got[: at + 1], key=len)
            played = [line[1] for line in reached if line[0] == "step"]
            found.append((played[-1:], client, at, played[-2:]))
    if not found:
        return ""
    _, client, at, played = min(found)
    expected, got = upstream[client], ours[client]
    lines = [f"client {client}, line {at}:"]
    lines += [f"  step {number} {describe_step(steps[number])}" for number in played]
    lines += [f"  both      {str(line)[:300]}" for line in expected[max(0, at - CONTEXT) : at]]
    lines += [f"  upstream  {str(line)[:300]}" for line in expected[at : at + CONTEXT]]
    lines += [f"  ours      {str(line)[:300]}" for line in got[at : at + CONTEXT]]
    return "\n".join(lines)


def before_handlers(client: list[Any]) -> list[Any]:
    return client[: client.index(["handlers"])] if ["handlers"] in client else client


def check(servers: Trio, pool: ThreadPoolExecutor, seed: int) -> None:
    steps = generate(seed)
    transcripts = list(pool.map(lambda server: play(server, steps, f"s{seed}"), servers))
    for server, transcript in zip(servers[1:], transcripts[1:], strict=True):
        if text := difference(steps, transcripts[0], transcript):
            pytest.fail(f"{server.name} differs, TOOLBOXSIO_SEED={seed}\n{text}", pytrace=False)
    for client in transcripts[0]:
        if client[-1][0] == "failed":
            text = "\n".join(map(str, client[-CONTEXT:]))
            pytest.fail(f"no server ends TOOLBOXSIO_SEED={seed}\n{text}", pytrace=False)


@pytest.mark.parametrize(("loop", "first"), [("uvloop", 0), ("asyncio", 1000)])
def test_random_sessions(loop: str, first: int) -> None:
    kept = ("sockets", "environs", "half packets", "callbacks")
    trio_of_loop = serving_all(loop=loop, handlers="emits_handlers")
    with trio_of_loop as servers, ThreadPoolExecutor(len(servers)) as pool:
        for seed in seeds(first):
            check(servers, pool, seed)
        rooms = []
        for server in servers:

            def emptied(server: Any = server) -> Any:
                facts = server.get("/facts")
                return None if any(facts[key] for key in kept) else facts

            facts = wait_until(f"{server.name} has let go of its clients", emptied)
            rooms.append(facts["rooms"])  # those that somebody entered who was not there
        assert rooms[1] == rooms[2]
        assert set(rooms[1]) <= set(rooms[0])  # where empty ones are left of who was not there


def test_programs_of_every_kind_are_played() -> None:
    """The default sessions emit all there is, in every namespace, and amid upgrades."""
    found: Counter[str] = Counter()
    for seed in (*range(SESSIONS), *range(1000, 1000 + SESSIONS)):
        previous = ""
        for step in generate(seed):
            found["amid an upgrade"] += previous == "upgrade_begin" and step.action == "send"
            previous = step.action
            for operation in program_of(step.arguments):
                found.update(kinds_of(operation))
    expected = [
        *(WEIGHTS.keys() - {"odd"}),
        *ODD,
        *HOMES,
        "by namespace",
        "amid an upgrade",
        "answered call",
    ]
    expected += ["list", "tuple", "set", "client", "skip_sid", "to", "room", "callback"]
    expected += ["$bytes", "$text", "$tuple", "None"]
    missing = [kind for kind in expected if found[kind] < 5]
    assert not missing, found


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations(trio: Trio, name: str) -> None:
    """What ends a WebSocket does so with the same status and the same words."""

    def session(server: Server) -> list[Any]:
        client = Client(server.port, f"violation {name}".replace(" ", "-"))
        with client.wire:
            client.step_open("websocket")
            client.step_send(["40"], "frames")
            client.step_sync('42999["one","sync"]', '43999["sync"]')
            client.violate(name)
        return [*client.wire.lines, *server.transcript(client.run)]

    upstream, asgi, direct = map(session, trio)
    assert upstream[-1][0] == "disconnect"
    assert asgi == upstream
    assert direct == upstream


def test_bytes_to_both_transports(trio: Trio) -> None:
    """Bytes for a room reach its clients on WebSockets as such, and those that poll as base64."""
    for server in trio[1:]:
        clients = {name: Client(server.port, name) for name in ("websocket", "polling")}
        for transport, client in clients.items():
            client.step_open(transport)
            client.step_send(["40"], "frames")
            client.step_sync('42999["one","sync"]', '43999["sync"]')
            client.wire.lines.clear()
        place = '{"_placeholder":true,"num":0}'
        for client in clients.values():
            client.step_send([f'451-["to_room",null,{place},false]', b"\x00\xff"], "segment")
            for other in clients.values():
                other.step_sync('42999["one","sync"]', '43999["sync"]')
        received = [
            [line[1] for line in client.wire.lines if line[0] in ("frame 0x82", "packet")]
            for client in clients.values()
        ]
        for client in clients.values():
            client.step_end("packet")
            client.wire.__exit__()
        both = [f'451-["in room",{place}]', "bAP8=", '43999["sync"]'] * 2
        assert received == [["\x00\xff"] * 2, both], server.name


def test_a_difference_is_found() -> None:
    steps = generate(1)
    assert generate(1) == steps
    same = [[["step", 0, "open"], ["text", "a"], ["step", 3, "sync"], ["text", "b"]]]
    other = [[["step", 0, "open"], ["text", "a"], ["step", 3, "sync"], ["text", "c"]]]
    late = [["step", 9, "open"], ["text", "x"]]
    assert difference(steps, same, same) == ""
    text = difference(steps, [late, *same], [late[:1], *other])
    assert text.startswith("client 1, line 3:\n  step 0 client ")
    assert "upstream  ['text', 'b']\n  ours      ['text', 'c']" in text
