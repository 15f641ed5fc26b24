"""The connection that publishes.

What one turn of the event loop publishes leaves in one write, and the replies are counted. A
message is in one of three places: ``pending`` (not written), ``in_flight`` (written, not
confirmed), or done. It leaves ``pending`` once: what was in flight when a connection broke is not
sent again, it is counted as dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._redis_link import QUIET_SECONDS, Link, Wire, hiredis, pack, settle

if TYPE_CHECKING:
    from .redis import AsyncRedisManager

WRITE_SIZE = 256 * 1024  # bytes handed to a transport at once
FULL_SIZE = 1024 * 1024  # pending bytes from which on who emits waits
IDLE_SECONDS = 0.1  # after which a connection may have ended unnoticed

_Command = tuple[tuple[bytes, ...], int, "asyncio.Future[bool] | None"]


class Batch:
    """What was written at once: replies that are due, messages in it, and who waits for them."""

    __slots__ = ("has_failed", "messages", "replies", "waiters")

    def __init__(self, messages: int, replies: int, waiters: list[asyncio.Future[bool]]) -> None:
        self.has_failed = False  # Redis has refused one
        self.messages = messages
        self.replies = replies
        self.waiters = waiters


class Publisher(Link):
    """The connection that publishes."""

    def __init__(self, manager: AsyncRedisManager, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(manager, loop)
        self.pending: deque[_Command] = deque()
        self.pending_bytes = 0
        self.in_flight: deque[Batch] = deque()
        self.is_closed = False  # it makes no connection any more
        self.is_flush_due = False
        self.has_written = False  # in this turn of the loop
        self.drained: list[asyncio.Future[bool]] = []
        self.dropped = 0  # since it went down
        self.untold = 0  # of them, not in the log yet
        self.teller: asyncio.TimerHandle | None = None

    @property
    def is_external(self) -> bool:
        """Whether this process has no server: then who emits waits for the reply."""
        return self.manager.server is None

    def begin(self) -> None:
        """See to it that there is a connection, or that one is being made."""
        if not self.is_closed and (self.starting is None or self.starting.done()):
            # not in the context of whoever emits first
            self.starting = Context().run(self.loop.create_task, self.run())

    def put(
        self, parts: tuple[bytes, ...], size: int, waiter: asyncio.Future[bool] | None = None
    ) -> None:
        """Queue a command, whose parts have so many bytes."""
        self.pending.append((parts, size, waiter))
        self.pending_bytes += size
        limit = self.manager.max_pending
        if self.is_up:
            if self.pending_bytes > min(WRITE_SIZE, limit):
                self.write_pending()
                self.has_written = True
            elif not self.is_flush_due:
                self.is_flush_due = True
                self._write_soon()
        else:
            self.begin()
        if self.pending_bytes > limit and not self.is_external:
            waiting = self.pending_bytes
            n = self._drop_oldest(limit, keep=1)
            text = f"Cannot publish to redis... {waiting} bytes wait, max_pending is {limit}"
            self._tell(n, text)

    def _write_soon(self) -> None:
        idle = time.monotonic() - (self.heard_at or 0)
        if idle > IDLE_SECONDS or self.is_external:  # its end may be there, unread
            self.loop.call_soon(self.loop.call_soon, self.write_pending)
        else:
            self.loop.call_soon(self.write_pending)

    def write_pending(self) -> None:
        """Write what waits, for as long as the transport takes it."""
        self.is_flush_due = False
        wire = self.wire
        while self.pending and wire is not None and wire.can_write:
            if wire.transport.is_closing():
                return
            parts: list[bytes] = []
            waiters: list[asyncio.Future[bool]] = []
            size = messages = 0
            while self.pending and size < WRITE_SIZE:
                more, n, waiter = self.pending.popleft()
                parts += more
                size += n
                messages += n > 0
                if waiter is not None:
                    waiters.append(waiter)
            self.pending_bytes -= size
            self.in_flight.append(Batch(messages, messages, waiters))
            if size:
                wire.write(b"".join(parts))
            else:
                self._settle_front()
        if self.drained and self.pending_bytes <= FULL_SIZE // 2:
            self._wake()

    def writable(self, wire: Wire) -> None:
        if self.is_up:
            self.write_pending()

    def mark(self, waiter: asyncio.Future[bool]) -> None:
        """Settle a future when all that was put before is done."""
        if self.pending:
            self.pending.append(((), 0, waiter))
        elif self.in_flight:
            self.in_flight[-1].waiters.append(waiter)
        else:
            settle([waiter], True)

    async def wait(self, waiter: asyncio.Future[bool] | None) -> None:
        """After a message was put: wait for the reply, or until not too much is pending."""
        if not self.is_here:
            await self.posts.room()
        elif waiter is not None:
            await waiter
        elif self.pending_bytes > FULL_SIZE and self.is_up:
            drained: asyncio.Future[bool] = self.loop.create_future()
            self.drained.append(drained)
            await drained
        elif self.has_written:  # who only emits does not keep the others waiting
            self.has_written = False
            await asyncio.sleep(0)

    def _wake(self) -> None:
        waiting, self.drained = self.drained, []
        settle(waiting, True)

    def awaits_reply(self) -> bool:
        return bool(self.in_flight)

    def ping(self, wire: Wire) -> None:
        self.in_flight.append(Batch(0, 1, []))
        wire.write(pack(b"PING"))

    def take(self, wire: Wire, reply: Any) -> None:
        if isinstance(reply, list):  # nobody has asked for it
            return
        if not self.in_flight:
            wire.abort("an answer without a question")
            return
        batch = self.in_flight[0]
        if isinstance(reply, hiredis.ReplyError) and batch.messages:
            batch.has_failed = True
            self._tell(1, f"Cannot publish to redis... giving up: {reply}")
        batch.replies -= 1
        if batch.replies <= 0:
            self._settle_front()

    def _settle_front(self) -> None:
        while self.in_flight and self.in_flight[0].replies <= 0:
            batch = self.in_flight.popleft()
            settle(batch.waiters, not batch.has_failed)

    def _drop_oldest(self, limit: int, keep: int = 0) -> int:
        """Let at most so many bytes wait, or so many commands, however large they are; the number
        of messages that do not any more."""
        n = 0
        while len(self.pending) > keep and (self.pending_bytes > limit or limit == 0):
            _, size, waiter = self.pending.popleft()
            self.pending_bytes -= size
            n += size > 0
            settle([waiter], False)
        return n

    def _tell(self, n: int, what: str) -> None:
        """Count messages as dropped: a line in the log at once, or together with later ones."""
        self.manager.dropped += n
        self.dropped += n
        self.untold += n
        if n and self.teller is None:
            self._tell_untold(what)

    def _tell_untold(self, what: str) -> None:
        self.teller = None
        if self.untold:
            self.manager._get_logger().error(f"{what}; messages dropped: {self.untold}")
            self.untold = 0
            self.teller = self.loop.call_later(QUIET_SECONDS, self._tell_untold, what)

    def _all_told(self) -> None:
        self.dropped = self.untold = 0
        if self.teller is not None:
            self.teller.cancel()
            self.teller = None

    def lost(self, cause: str) -> None:
        n = sum(min(batch.messages, batch.replies) for batch in self.in_flight)
        in_flight, self.in_flight = self.in_flight, deque()
        for batch in in_flight:
            settle(batch.waiters, False)
        self._wake()
        self.manager.dropped += n
        if n:
            self.manager._get_logger().error(
                f"The connection to redis was lost: {n} messages may not have arrived ({cause})"
            )

    def is_needed(self) -> bool:
        return bool(self.pending) or not self.is_external

    def back(self) -> None:
        logger, seconds = self.manager._get_logger(), self.loop.time() - self.down_at
        if self.dropped:
            logger.error(
                f"Redis takes messages again after {seconds:.1f} secs;"
                f" messages dropped meanwhile: {self.dropped}"
            )
        elif self.was_up and not self.is_external:
            logger.warning(f"Redis takes messages again after {seconds:.1f} secs")
        self._all_told()
        self.failures = 0 if self.is_external else self.failures
        self.write_pending()

    async def failed(self, cause: str, delay: float) -> None:
        logger = self.manager._get_logger()
        if not self.is_external:
            if self.may_log(self.failures == 1):
                logger.error(f"Cannot publish to redis... retrying in {delay:.1f} secs: {cause}")
            await asyncio.sleep(delay)
        elif self.pending and self.failures < 2:
            logger.error(f"Cannot publish to redis... retrying: {cause}")
        elif self.pending:
            self.failures = 0
            self.manager.dropped += self._drop_oldest(0)
            logger.error(f"Cannot publish to redis... giving up: {cause}")

    def ending(self) -> None:
        self.manager._publishers.pop(self.loop, None)  # else it would keep the loop
        if self.wire is not None:
            wire = self.wire
            while self.pending and not wire.transport.is_closing():
                wire.can_write = True  # what is left waits in the transport
                self.write_pending()
        n = self._drop_oldest(0)
        self.manager.dropped += n
        if n:
            self.manager._get_logger().error(f"Messages that redis did not get: {n}")
        self._all_told()
        for batch in self.in_flight:
            settle(batch.waiters, False)
        self.in_flight.clear()
        self._wake()

    async def close(self) -> None:
        self.is_closed = True
        await super().close()
        self.drop_all()

    def abandon(self) -> None:
        """It is used no more: another event loop has a publisher of its own. That of this one, if
        it still runs, ends it."""
        self.is_closed = True
        if self.loop.is_closed():
            self.drop_all()
        else:
            self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        task = self.task or self.starting
        if task is not None and not task.done():
            task.cancel()  # which drops what is left
        else:
            self.drop_all()

    def drop_all(self) -> None:
        """Count what is left, and was not sent."""
        n = self._drop_oldest(0)
        n += sum(min(batch.messages, batch.replies) for batch in self.in_flight)
        for batch in self.in_flight:
            settle(batch.waiters, False)
        self.in_flight.clear()
        self.manager.dropped += n
        self._all_told()
