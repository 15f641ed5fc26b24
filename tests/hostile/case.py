"""What a case is: one hostile client, and how it has to end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .peer import Ending, Peer, Response

#: Seconds within which a rule that is broken at once is answered, on a machine with other work.
SOON = 0.9
#: Seconds after a deadline within which it is kept.
LATE = 2.0

MAX_SIZE = 1_000_000
#: What the ASGI server is told of messages; its own default, 16 MiB, is what a client may let it
#: inflate before the Socket.IO server sees anything.
ASGI_MAX_SIZE = 2 * MAX_SIZE
MAX_ATTACHMENTS_SIZE = 2_000_000
MAX_FRAGMENTS = 4096
MAX_NAMESPACES = 100
MAX_PENDING_ACKS = 4096
MAX_CONTROL_FRAMES = 100
MAX_BACKLOG = 1 << 20
MAX_RUNNING = 1000
#: Options of the server. The defaults are higher: to reach them takes the attacks longer.
OPTIONS = {
    "max_attachment_bytes": MAX_ATTACHMENTS_SIZE,
    "max_backlog": MAX_BACKLOG,
    "max_fragments": MAX_FRAGMENTS,
    "max_namespaces": MAX_NAMESPACES,
    "max_pending_acks": MAX_PENDING_ACKS,
    "max_control_frames": MAX_CONTROL_FRAMES,
    "max_attachments": 10,
    "max_payload_packets": 16,
}

NORMAL, POLICY, TOO_BIG, PROTOCOL, NOT_UTF8 = 1000, 1008, 1009, 1002, 1007


@dataclass(frozen=True)
class Times:
    """The server's deadlines, in seconds."""

    ping_interval: float
    ping_timeout: float
    message_timeout: float
    connect_timeout: float
    upgrade_timeout: float

    @property
    def silence(self) -> float:
        """How long a client that says nothing stays."""
        return self.ping_interval + self.ping_timeout


QUICK = Times(1.2, 1.2, 1, 1, 1)
LONG = Times(5, 4, 3, 3, 3)


@dataclass(frozen=True)
class Target:
    """The server under attack."""

    port: int
    path: str
    times: Times
    strict: bool = False

    @property
    def is_direct(self) -> bool:
        """Whether WebSockets are read by the connection, and not by the ASGI server, whose HTTP
        protocol is then ours, too."""
        return self.path == "direct"

    async def joined(self) -> Peer:
        return await (await Peer.open(self.port)).join()


Attack = Callable[[Target], Awaitable[None]]


@dataclass
class Case:
    """One attack; `slow` ones are over after a deadline of the server."""

    name: str
    attack: Attack
    slow: bool = False
    clients: int = 4  # at a time, in the long run
    #: What the server may have to hold for each of them meanwhile, in bytes.
    holds: int = 4 << 20
    #: Paths on which nobody else may notice: what is within the rules may keep the server busy.
    fair: tuple[str, ...] = ("direct", "asgi")
    #: Paths on which memory is bounded; on others it is made once by each client, also in the long
    #: run: what a web server keeps is not ours to bound.
    bounded: tuple[str, ...] = ("direct", "asgi")


CASES: dict[str, Case] = {}


def case(**settings: Any) -> Callable[[Attack], Attack]:
    """Register a case named as its function."""

    def register(attack: Attack) -> Attack:
        name = attack.__name__.replace("_", " ")  # type: ignore[attr-defined]
        assert name not in CASES
        CASES[name] = Case(name, attack, **settings)
        return attack

    return register


def check_refused(ending: Ending, code: int = POLICY, goodbye: bool = False) -> None:
    """A WebSocket that was closed for a reason that is named, after Engine.IO's goodbye."""
    assert ending.code == code, ending
    if goodbye:
        assert ending.messages[-1:] == ["1"], ending
    assert ending.code != POLICY or ending.reason, ending
    assert len(ending.reason.encode()) <= 123


async def refused(
    peer: Peer, code: int = POLICY, seconds: float = SOON, goodbye: bool | None = None
) -> Ending:
    """Wait for the refusal; a packet that is refused is announced with Engine.IO's CLOSE."""
    ending = await peer.ending(seconds)
    check_refused(ending, code, code == POLICY if goodbye is None else goodbye)
    return ending


def check_response(response: Response, status: int, seconds: float = SOON) -> None:
    assert response.status == status, response
    assert response.seconds <= seconds, response
