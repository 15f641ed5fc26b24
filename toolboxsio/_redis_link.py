"""A connection to Redis and its supervisor.

redis-py makes and authenticates the connection, then its transport is taken over. The supervisor
makes it anew for as long as the event loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._loops import Posts

try:
    import hiredis
except ImportError:  # the manager says so when it is made
    hiredis = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from .redis import AsyncRedisManager

__all__ = ["INCOMPLETE", "QUIET_SECONDS", "Link", "Wire", "hiredis", "pack", "settle", "text_of"]

CONNECT_SECONDS = 10.0  # for a connection, from the look-up of the name to the first reply
FIRST_DELAY = 0.1  # seconds before a connection is made anew; doubled each time
STABLE_SECONDS = 1.0  # a connection that lived longer was a good one
QUIET_SECONDS = 5.0  # between two lines of the same kind in the log
CLOSE_SECONDS = 1.0  # for the last bytes of a connection
LATE_SECONDS = 0.5  # a timer later than that: the event loop stood still

INCOMPLETE = object()


def pack(*words: bytes) -> bytes:
    """Return a command as Redis reads it."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def settle(waiters: Iterable[asyncio.Future[bool] | None], outcome: bool) -> None:
    for waiter in waiters:
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)


def text_of(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


class Wire(asyncio.Protocol):
    """A connection to Redis, from the end of its handshake to its own.

    ``ended`` gets the cause when it is over. Whoever is silent for two intervals is gone: after
    the first it is asked (PING), after the second the connection is aborted.
    """

    def __init__(self, link: Link, connection: Any) -> None:
        """Take the transport of a connection of redis-py.

        :raises ConnectionError: when it is closed already.
        """
        reader, self.writer = connection._reader, connection._writer
        self.link, self.loop = link, link.loop
        self.transport: Any = self.writer.transport  # the writer closes it when it is collected
        early = bytes(reader._buffer)
        reader._buffer.clear()
        if reader.at_eof() or reader.exception() or self.transport.is_closing():
            raise ConnectionError("Redis has closed the connection")
        connection._reader = connection._writer = None
        self.replies = hiredis.Reader(notEnoughData=INCOMPLETE)
        self.begun = bytearray()  # a reply that is not whole, where the link looks for their ends
        self.need = 0  # bytes that it takes at least
        self.ended: asyncio.Future[str] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.cause = ""
        self.can_write = True
        self.reads = True
        self.heard_at = self.loop.time()
        self.asked_at: float | None = None  # since when an answer is due
        self.check_at = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.transport.set_protocol(self)
        self._schedule()
        if early:
            self.loop.call_soon(self.data_received, early)

    def write(self, data: bytes) -> None:
        """Write commands that are answered."""
        if self.asked_at is None:
            self.asked_at = self.loop.time()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.heard_at, self.link.heard_at = self.loop.time(), time.monotonic()
        try:
            self.link.take_data(self, data)
        except hiredis.ProtocolError as exc:
            self.abort(text_of(exc))
        self.asked_at = self.heard_at if self.link.awaits_reply() else None

    def pause_writing(self) -> None:
        self.can_write = False

    def resume_writing(self) -> None:
        self.can_write = True
        self.link.writable(self)

    def read(self, on: bool) -> None:
        """Pause or resume reading."""
        if on is not self.reads and not self.transport.is_closing():
            self.reads = on
            (self.transport.resume_reading if on else self.transport.pause_reading)()

    def abort(self, cause: str) -> None:
        """Break the connection."""
        self.cause = self.cause or cause
        self.can_write = False
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.can_write = False
        if self.timer is not None:
            self.timer.cancel()
        self.cause = self.cause or (text_of(exc) if exc else "Redis has closed the connection")
        self.link.over(self)
        if not self.ended.done():
            self.ended.set_result(self.cause)
        if not self.closed.done():
            self.closed.set_result(None)

    async def close(self) -> None:
        """Close the connection when what was written has left; bounded in time."""
        self.transport.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(self.closed)
        except TimeoutError:
            self.abort("it is closed")
            await asyncio.sleep(0)

    def _schedule(self) -> None:
        interval = self.link.manager.health_check_interval
        if interval > 0:
            since = self.heard_at if self.asked_at is None else self.asked_at
            self.check_at = max(since + interval, self.loop.time() + interval / 100)
            self.timer = self.loop.call_at(self.check_at, self._check)

    def _check(self) -> None:
        now, interval = self.loop.time(), self.link.manager.health_check_interval
        if self.transport.is_closing():
            return
        if not self.reads:  # it is we who do not listen
            self.heard_at = now
            self.asked_at = None
        elif self.asked_at is None:
            if now >= self.heard_at + interval:
                self.link.ping(self)
        elif now >= self.asked_at + interval:
            if now <= self.check_at + LATE_SECONDS:
                self.abort(f"no answer within {interval} s")
                return
            self.asked_at = now - interval + LATE_SECONDS  # the answer may be there, unread
        self._schedule()


class Link:
    """What keeps a connection to Redis: makes it, and makes it anew when it breaks."""

    max_delay = 5.0  # seconds

    def __init__(self, manager: AsyncRedisManager, loop: asyncio.AbstractEventLoop) -> None:
        self.manager = manager
        self.loop = loop
        self.posts = Posts(loop)  # what other threads have for it
        self.task: asyncio.Task[Any] | None = None  # that runs it
        self.starting: asyncio.Task[None] | None = None
        self.wire: Wire | None = None
        self.is_up = False
        self.was_up = False
        self.failures = 0  # in a row
        self.heard_at: float | None = None  # of the monotonic clock, which every thread may read
        self.down_at = loop.time()
        self.quiet_until = 0.0  # no line about attempts that fail before then

    async def run(self) -> None:
        """Keep the connection until cancelled, or until it is not needed any more."""
        self.task = asyncio.current_task()
        try:
            while self.is_needed():
                try:
                    await self._once()
                except Exception:
                    self.manager._get_logger().exception("Unexpected error with redis")
                    await asyncio.sleep(self.max_delay)
        finally:
            await self._end()

    async def _once(self) -> None:
        """Make the connection, and wait until it is over and the next one is due."""
        opened = await self._open()
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # asyncio.wait_for() may have swallowed it
            raise asyncio.CancelledError
        if isinstance(opened, str):
            cause = opened
        else:
            opened_at = self.loop.time()
            cause = await opened.ended
            if self.loop.time() - opened_at > STABLE_SECONDS:
                self.failures = 0
        self.failures += 1
        delay = min(FIRST_DELAY * 2 ** min(self.failures - 1, 16), self.max_delay)
        await self.failed(cause, delay * random.uniform(0.5, 1))

    async def _open(self) -> Wire | str:
        """Make the connection; the cause when that fails."""
        limit = self.manager.redis_options.get("socket_connect_timeout") or CONNECT_SECONDS
        try:
            async with asyncio.timeout(limit):
                self.wire = wire = await self._dial()
                await self.welcome(wire)
        except TimeoutError as exc:
            cause = str(exc) or f"no answer within {limit} s"
        except Exception as exc:
            cause = text_of(exc)
        else:
            if not wire.ended.done():
                self._up()
            return wire
        if self.wire is not None:
            wire, self.wire = self.wire, None
            wire.abort(cause)
        return cause

    def _up(self) -> None:
        self.is_up = True
        if self.was_up and self is self.manager._main_link():
            self.manager.reconnects += 1
        self.back()
        self.was_up = True

    async def _dial(self) -> Wire:
        """Let redis-py make a connection, and take it."""
        manager = self.manager
        manager._redis_connect()
        pool = manager.redis.connection_pool
        sentinel = getattr(pool, "sentinel_manager", None)
        sentinels = [client.connection_pool for client in getattr(sentinel, "sentinels", ())]
        connection = pool.make_connection()
        connection.socket_timeout = None  # there is one for all of it
        retries = [connection.retry]
        if sentinel is not None and "retry" not in sentinel.sentinel_kwargs:
            retries += [found.connection_kwargs.get("retry") for found in sentinels]
        for retry in retries:
            if retry is not None:
                retry._retries = 0  # it is done here
        try:
            await connection.connect()
            return Wire(self, connection)
        except BaseException:
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)
            raise
        finally:
            for found in sentinels:
                with contextlib.suppress(Exception):
                    await found.disconnect()

    async def _end(self) -> None:
        self.is_up = False
        self.ending()
        if self.wire is not None:
            await self.wire.close()
        self.wire = None
        self.task = None

    @property
    def is_here(self) -> bool:
        """Whether it is of the event loop that runs in this thread."""
        return self.loop is asyncio._get_running_loop()

    async def close(self) -> None:
        """End, and leave nothing behind."""
        task = self.task or self.starting
        if task is not None and task is not asyncio.current_task() and not task.done():
            task.cancel()
            await asyncio.wait([task])

    def over(self, wire: Wire) -> None:
        """A connection has ended; called by it."""
        if wire is self.wire:
            self.wire = None
            if self.is_up:
                self.down_at = self.loop.time()
            self.is_up = False
            self.lost(wire.cause)

    def may_log(self, is_loss: bool) -> bool:
        """Whether a line is due: each loss has one, attempts that fail have one now and then."""
        now = self.loop.time()
        if not is_loss and now < self.quiet_until:
            return False
        self.quiet_until = now + QUIET_SECONDS
        return True

    # --- for each kind ---

    def is_needed(self) -> bool:
        return True

    async def welcome(self, wire: Wire) -> None:
        """Do what a new connection begins with."""

    def back(self) -> None:
        """The connection is there."""

    def lost(self, cause: str) -> None:
        """It is no more."""

    async def failed(self, cause: str, delay: float) -> None:
        """Log that it is not there, and wait."""

    def ending(self) -> None:
        """Do what is done before the last connection is closed."""

    def ping(self, wire: Wire) -> None:
        raise NotImplementedError

    def take_data(self, wire: Wire, data: bytes) -> None:
        """Take what was read.

        :raises hiredis.ProtocolError: when it is not what Redis says.
        """
        wire.replies.feed(data)
        while (reply := wire.replies.gets()) is not INCOMPLETE:
            self.take(wire, reply)

    def take(self, wire: Wire, reply: Any) -> None:
        """Take a reply."""
        raise NotImplementedError

    def awaits_reply(self) -> bool:
        return False

    def writable(self, wire: Wire) -> None:
        """The transport takes data again."""
