"""The rules of Engine.IO, revision 4, and of Socket.IO, revision 5, as a table; its mechanics.

A row says a rule in words and plays what exercises or breaks it. It is played in the default mode
and with `strict=True`, on polling and WebSocket, on the direct and the ASGI path, as far as it
applies. "suite" marks what the test suites that come with the two documents assert.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .harness import Server
from .machine import SLOWNESS
from .rule_client import GONE_SECONDS, Client, Kind, Late, Packet, Request, WebSocket, new_run

POLLING, WEBSOCKET = KINDS = ("polling", "websocket")
MODES = ("default", "strict")
PATHS = ("direct", "asgi")

SLACK = 0.4 * SLOWNESS  # seconds by which a deadline may be late on a busy machine
PING_INTERVAL, PING_TIMEOUT = 0.3, 0.6
#: Options of the servers on which rules are played.
SERVERS: dict[str, dict[str, Any]] = {
    "usual": {},
    "short": {
        "ping_interval": PING_INTERVAL,
        "ping_timeout": PING_TIMEOUT,
        "connect_timeout": 0.4,
        "upgrade_timeout": 0.2,
        "message_timeout": 0.3,
    },
}


@dataclass(frozen=True)
class Case:
    """A row on one transport, in one mode, on one path."""

    server: Server
    mode: str
    kind: Kind
    run: str

    @property
    def is_strict(self) -> bool:
        return self.mode == "strict"

    @property
    def is_polling(self) -> bool:
        return self.kind == POLLING

    @property
    def accepted(self) -> str:
        """What a POST is answered."""
        return "ok" if self.is_strict else "OK"

    def client(self, packet: str | None = "40", kind: Kind | None = None) -> Client:
        return Client(self.server, self.run, kind or self.kind, packet)

    def another(self) -> "Case":
        """The same for one more client."""
        return Case(self.server, self.mode, self.kind, new_run(self.run))

    def ask(self, query: str, method: str = "GET", body: bytes | None = None) -> int:
        """Ask without a session, or with one in the query; the status."""
        if self.is_polling:
            return Request(self.server.port, method, query, body).response(GONE_SECONDS).status
        ws = WebSocket(self.server.port, query)
        ws.close()
        return ws.status


@dataclass(frozen=True)
class Rule:
    name: str
    text: str
    play: Callable[[Case], None]
    kinds: tuple[str, ...] = KINDS
    modes: tuple[str, ...] = MODES
    paths: tuple[str, ...] = PATHS
    servers: str = "usual"


RULES: list[Rule] = []


def rule(text: str, **more: Any) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Register a row that is a script."""

    def register(play: Callable[[Case], None]) -> Callable[[Case], None]:
        name = play.__name__.replace("_", " ")
        assert all(row.name != name for row in RULES), name
        RULES.append(Rule(name, text, play, **more))
        return play

    return register


@dataclass(frozen=True)
class Lives:
    """The session goes on, and this is what packets are answered with."""

    answers: tuple[Packet, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The session is over at once."""

    reason: str | None = "transport error"


LIVES, REFUSED = Lives(), Refused()
#: What upstream does with a packet that has no business in a POST: 400, the session is over.
OVER = Refused(None)
Outcome = Lives | Refused


def packets(
    name: str,
    text: str,
    *variants: tuple[Packet, ...] | Packet,
    default: Outcome,
    strict: Outcome | None = None,
    default_polling: Outcome | None = None,
    joins: bool = True,
    **more: Any,
) -> None:
    """Register a row that sends packets: each variant to a session of its own.

    :param joins: the session has joined the namespace `/` before.
    """

    def play(case: Case) -> None:
        outcome = strict or default if case.is_strict else default
        if not case.is_strict and case.is_polling and default_polling is not None:
            outcome = default_polling
        for variant in variants:
            sent = variant if isinstance(variant, tuple) else (variant,)
            with case.another().client("40" if joins else None) as client:
                try:
                    check(client, sent, outcome, joins)
                except AssertionError as exc:
                    exc.add_note(f"sent: {sent!r:.200}")
                    raise

    RULES.append(Rule(name, text, play, **more))


def check(client: Client, sent: tuple[Packet, ...], outcome: Outcome, joins: bool) -> None:
    if isinstance(outcome, Refused):
        before = client.refused(
            *sent, reason=outcome.reason if joins else None, seconds=GONE_SECONDS
        )
        assert before == []
        assert [line for line in client.handlers() if "disconnect" not in line[0]] == []
        return
    answers: list[Packet] = []
    if not joins:
        response = client.send(*sent)
        assert response is None or response.status == 200, response
        client.join()
        sent = ()
    answers = client.answers(*sent)
    assert tuple(answers) == outcome.answers
    client.leave()


def play(row: Rule, server: Server, mode: str, kind: Any) -> None:
    """Play a row; once more by itself when all that was wrong with it is that it was late."""
    try:
        row.play(Case(server, mode, kind, new_run(row.name)))
    except Late:
        row.play(Case(server, mode, kind, new_run(row.name)))
