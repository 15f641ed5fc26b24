"""How often a user may send an event. Counted by `limits`, in memory or in Redis."""

from __future__ import annotations

import asyncio
import logging
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.storage import storage_from_string

from toolboxsio.backend.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that Redis has to answer: a limiter that does not refuses.
REDIS_SECONDS = 1.0

#: Seconds between two searches for counters that are over.
SWEEP_SECONDS = 1.0

#: Seconds between two lines in the log about a limiter that fails.
LOG_SECONDS = 10.0


class RateLimited(Exception):
    """Too often. ``retry_after``: seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("rate_limited")
        self.retry_after = retry_after


class LimiterFailed(Exception):
    """It is not known how often."""


class _Memory(MemoryStorage):
    """A ``MemoryStorage`` that looks for counters that are over once in a while.

    As it is, it goes through all of them at every hit: each event would cost as much as there are
    users. It does so when ``timer`` is done.
    """

    _sweep: asyncio.Task[None] | None = None
    _next = 0.0

    @property  # type: ignore[override]
    def timer(self) -> asyncio.Future[None] | None:
        sweep = self._sweep
        if sweep is not None and sweep.done():
            return _NEVER_DONE if time.monotonic() < self._next else None
        return sweep

    @timer.setter
    def timer(self, task: asyncio.Task[None] | None) -> None:
        self._sweep = task
        self._next = time.monotonic() + SWEEP_SECONDS


class _NeverDone:
    def done(self) -> bool:
        return False

    def cancel(self) -> None:
        pass


_NEVER_DONE: asyncio.Future[None] = _NeverDone()  # type: ignore[assignment]


def _storage(settings: Settings) -> Storage:
    if settings.redis_url is None:
        return _Memory()
    url = settings.redis_url.get_secret_value()
    if url.startswith("unix://"):
        url = "redis+" + url
    storage = storage_from_string(
        f"async+{url}",
        implementation="redispy",
        wrap_exceptions=True,
        key_prefix="toolboxsio",
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
    )
    assert isinstance(storage, Storage)
    return storage


class Limiter:
    """``rate_limit_per_minute`` of the settings, for each user and event, a minute."""

    def __init__(self, settings: Settings) -> None:
        self._item = RateLimitItemPerMinute(settings.rate_limit_per_minute)
        self._storage = _storage(settings)
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._logged = -math.inf
        self.failures = 0

    async def hit(self, user: str, event: str) -> None:
        """Count an event.

        :raises RateLimited: when it is one too many.
        :raises LimiterFailed: when it cannot be counted.
        """
        try:
            async with asyncio.timeout(2 * REDIS_SECONDS):
                if await self._limiter.hit(self._item, event, user):
                    return
                reset, _ = await self._limiter.get_window_stats(self._item, event, user)
        except Exception as exc:  # whatever the storage raises
            self._failed(exc)
            raise LimiterFailed from exc
        seconds = math.ceil(reset - time.time())
        raise RateLimited(min(max(seconds, 1), self._item.get_expiry()))

    def _failed(self, exc: Exception) -> None:
        self.failures += 1
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            cause = exc.__cause__ or exc
            logger.error(
                "rate limits cannot be counted, events are refused: %s: %s (%d since the start)",
                type(cause).__name__,
                cause,
                self.failures,
            )

    async def close(self) -> None:
        """Let go of the connections."""
        client = getattr(getattr(self._storage, "bridge", None), "storage", None)
        if client is not None:
            await client.aclose()
