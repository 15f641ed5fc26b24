"""What stands in front of every handler, so that none can forget it.

An event passes, in this order: the rate limit, the role that it needs, its model. Whatever happens,
it is answered with one acknowledgement: ``{"ok": bool, ..., "ts": ISO-8601 UTC}``; a refusal has
``error``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

import toolboxsio as socketio
from toolboxsio.backend.clients import Client
from toolboxsio.backend.events import MOST_DEPTH
from toolboxsio.backend.limiter import Limiter, LimiterFailed, RateLimited
from toolboxsio.backend.roles import has
from toolboxsio.json import is_finite

logger = logging.getLogger(__name__)

Fields = dict[str, Any]
Handler = Callable[[Any, Client, Any], Awaitable[Fields]]


class Refused(Exception):
    """A handler does not do what it was asked for. ``fields`` go into the acknowledgement."""

    def __init__(self, error: str, **fields: Any) -> None:
        super().__init__(error)
        self.error = error
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Rule:
    """An event: what it takes, how data that does not fit is called, who handles it.

    ``is_open``: it is there for clients that have not authenticated; no setting changes that.
    ``is_routed``: ``message`` may carry it alone.
    """

    name: str
    model: type[BaseModel]
    refusal: str
    handler: Handler
    is_open: bool
    is_routed: bool


class Rules(dict[str, Rule]):
    """The events of an application, each declared once, where its handler is."""

    def on(
        self,
        name: str,
        model: type[BaseModel],
        refusal: str = "invalid_format",
        *,
        is_open: bool = False,
        is_routed: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declare the handler of an event."""

        def declare(handler: Handler) -> Handler:
            assert name not in self
            self[name] = Rule(name, model, refusal, handler, is_open, is_routed)
            return handler

        return declare


class Guard:
    """Lets events through to the handlers of ``rules``, which are functions of ``owner``."""

    def __init__(
        self, owner: Any, rules: Rules, limiter: Limiter, required_roles: dict[str, Any]
    ) -> None:
        self._owner = owner
        self._rules = rules
        self._limiter = limiter
        self._required = required_roles
        #: (event, error) -> how often
        self.refusals: Counter[tuple[str, str]] = Counter()

    def required(self, event: str) -> str:
        """The role that an event needs."""
        return "anonymous" if self._rules[event].is_open else self._required[event]

    async def answer(self, event: str, client: Client | None, data: tuple[Any, ...]) -> Fields:
        """Handle an event that has come from a client; the acknowledgement."""
        try:
            if client is None:  # it has gone meanwhile
                raise Refused("not_connected", event=event)
            if len(data) > 1:
                await self._count(event, client)
                raise Refused(self._rules[event].refusal, event=event)
            return socketio.ack(True, **await self.handle(event, client, *data))
        except Refused as exc:
            self.refusals[event, exc.error] += 1
            return socketio.ack(False, error=exc.error, **exc.fields)
        except Exception:
            self.refusals[event, "internal_error"] += 1
            logger.exception("the handler of %s failed", event)
            return socketio.ack(False, error="internal_error", event=event)

    async def handle(self, event: str, client: Client, data: Any = None) -> Fields:
        """Let an event through to its handler; what that answers.

        :raises Refused: when it may not pass, or the handler says so.
        """
        rule = self._rules[event]
        await self._count(event, client)
        if client.is_gone:
            raise Refused("not_connected", event=event)
        required = self.required(event)
        if not has(client.role, required):
            more = {"reason": "token_expired"} if client.is_expired else {}
            raise Refused("forbidden", required_role=required, event=event, **more)
        try:
            if not is_finite(data, max_depth=MOST_DEPTH):  # others could not read it
                raise Refused(rule.refusal, event=event)
            checked = rule.model.model_validate(data)
        except (ValidationError, RecursionError):
            raise Refused(rule.refusal, event=event) from None
        return await rule.handler(self._owner, client, checked)

    async def _count(self, event: str, client: Client) -> None:
        try:
            await self._limiter.hit(client.user, event)
        except RateLimited as exc:
            raise Refused("rate_limited", retry_after=exc.retry_after, event=event) from None
        except LimiterFailed:
            raise Refused("rate_limiter_unavailable", event=event) from None
