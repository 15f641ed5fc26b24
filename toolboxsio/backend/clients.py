"""The table of the connected clients. No tokens: who they are, and until when."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from toolboxsio.backend.roles import Role
from toolboxsio.backend.tokens import Identity

#: Timers are set for a day at most: the clock of the wall may be set anew meanwhile.
LONGEST_TIMER = 24 * 3600.0


@dataclass(slots=True, eq=False)
class Client:
    """A connected client; ``identity`` is None until it has authenticated."""

    sid: str
    identity: Identity | None = None
    channels: set[str] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    is_gone: bool = False

    @property
    def is_expired(self) -> bool:
        """Whether its token is not valid any more."""
        return self.identity is not None and self.identity.expires_at <= time.time()

    @property
    def role(self) -> Role | None:
        """Its role as of now."""
        return None if self.identity is None or self.is_expired else self.identity.role

    @property
    def user(self) -> str:
        """Whose events are counted together: those of a user, else those of a connection."""
        return f"sid:{self.sid}" if self.identity is None else f"sub:{self.identity.sub}"


class Clients(dict[str, Client]):
    """sid -> Client.

    :param expired: called with a client when its token has ceased to be valid.
    """

    def __init__(self, expired: Callable[[Client], None]) -> None:
        super().__init__()
        self._expired = expired

    def add(self, sid: str, identity: Identity | None) -> Client:
        """A client that has connected."""
        client = self[sid] = Client(sid)
        self.identify(client, identity)
        return client

    def identify(self, client: Client, identity: Identity | None) -> None:
        """Let a client be somebody, or somebody else, until its token expires."""
        if client.timer is not None:
            client.timer.cancel()
            client.timer = None
        client.identity = identity
        if identity is not None and not client.is_gone:
            seconds = min(max(identity.expires_at - time.time(), 0), LONGEST_TIMER)
            loop = asyncio.get_running_loop()
            client.timer = loop.call_later(seconds, self._due, client)

    def _due(self, client: Client) -> None:
        if self.get(client.sid) is not client or client.identity is None:
            return
        if client.is_expired:
            client.timer = None
            self._expired(client)
        else:
            self.identify(client, client.identity)

    def remove(self, sid: str) -> None:
        """A client that has gone."""
        client = self.pop(sid, None)
        if client is None:
            return
        client.is_gone = True
        if client.timer is not None:
            client.timer.cancel()

    def roles(self) -> dict[str, int]:
        """How many clients have which role."""
        counts = Counter(role for client in self.values() if (role := client.role) is not None)
        return dict(sorted(counts.items()))
