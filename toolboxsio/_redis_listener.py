"""The connection that is subscribed, and what becomes of the messages."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ._load import core
from ._redis_link import INCOMPLETE, Link, Wire, hiredis, pack, settle, text_of

if TYPE_CHECKING:
    from .redis import AsyncRedisManager

HELD_SIZE = 1024 * 1024  # bytes of messages that wait for others, before reading pauses
ENTER_SECONDS = 1.0  # for the subscription of a room's channel


def is_message(reply: Any) -> bool:
    """Whether a reply is ``[b"message", channel, payload]``."""
    return isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message"


class Listener(Link):
    """Subscribed to the main channel, and to those of rooms that have somebody in them here.

    A message is handled when it is read, unless one before it is not through: then it is held, in
    order.
    """

    max_delay = 10.0  # seconds

    def __init__(self, manager: AsyncRedisManager, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(manager, loop)
        self.main = manager.channel.encode()
        self.held: deque[tuple[bytes, bool]] = deque()
        self.held_bytes = 0
        self.spent = 0.0  # seconds, of messages since the loop has turned for them
        self.is_busy = False
        self.hub: Any = None
        self.tasks: set[asyncio.Task[Any]] = set()
        # channels: subscribed (as was asked for), to be looked at, confirmations that are due
        self.channels: set[bytes] = set()
        self.changed: dict[bytes, tuple[str, str]] = {}
        self.due: dict[bytes, int] = {}
        self.confirming: dict[bytes, list[asyncio.Future[bool]]] = {}

    # --- the connection ---

    async def welcome(self, wire: Wire) -> None:
        self.channels = {self.main, *self.manager._room_channels_here()}
        self.changed.clear()
        self.due = dict.fromkeys(self.channels, 1)
        confirmed: asyncio.Future[bool] = self.loop.create_future()
        self.confirming[self.main] = [confirmed]
        wire.write(pack(b"SUBSCRIBE", self.main, *(self.channels - {self.main})))
        either: list[asyncio.Future[Any]] = [confirmed, wire.ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if wire.ended.done():
            raise ConnectionError(wire.cause)

    def back(self) -> None:
        if self.was_up:
            seconds = self.loop.time() - self.down_at
            self.manager._get_logger().warning(
                f"Receiving from redis again, after {seconds:.1f} secs of silence"
            )

    def lost(self, cause: str) -> None:
        for waiters in self.confirming.values():
            settle(waiters, False)
        self.confirming.clear()
        self.channels.clear()

    async def failed(self, cause: str, delay: float) -> None:
        if self.may_log(self.failures == 1):
            self.manager._get_logger().error(
                f"Cannot receive from redis... retrying in {delay:.1f} secs: {cause}"
            )
        await asyncio.sleep(delay)

    def ending(self) -> None:
        self.lost("it is closed")
        self.held.clear()
        for task in list(self.tasks):
            task.cancel()
        self.manager._listen_elsewhere(self)

    def ping(self, wire: Wire) -> None:
        wire.write(pack(b"PING"))

    def take_data(self, wire: Wire, data: bytes) -> None:
        """Let C deliver the messages, and hiredis read the other replies, each whole."""
        if core is None:
            super().take_data(wire, data)
            return
        if wire.begun:
            wire.begun += data
            if len(wire.begun) < wire.need:
                return
            data = bytes(wire.begun)
            wire.begun.clear()
        elif data.__class__ is not bytes:
            data = bytes(data)
        start, size, host_id = 0, 1, self.manager.host_id
        while size > 0:
            hub = None if self.is_busy or self.held else self._fast_hub()
            if hub is not None:
                start, wire.need, left = hub.deliver_replies(data, start, host_id)
                if left.__class__ is tuple:
                    self._deliver_rest(*left)
                    continue
                if left is True:  # others have their turn before the rest
                    wire.begun += data[start:]
                    wire.read(False)
                    self.loop.call_soon(self._take_rest, wire)
                    return
                size = left or 0
            else:
                size, wire.need = core.resp_size(data, start)
            wire.replies.feed(data[start : start + size] if size >= 0 else data[start:])
            while (reply := wire.replies.gets()) is not INCOMPLETE:
                self.take(wire, reply)
            start += size
        if size < 0:
            raise hiredis.ProtocolError("a reply that Redis does not give")
        wire.begun += data[start:]

    def _take_rest(self, wire: Wire) -> None:
        wire.read(self.held_bytes <= HELD_SIZE)
        wire.data_received(b"")

    def _deliver_rest(self, payload: bytes, outcome: Any) -> None:
        """Do what C has left to do of a message."""
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            step = self.manager._heard(payload, outcome)
        except Exception:
            self._report()
        else:
            self._go_on_with(step)

    def _fast_hub(self) -> Any:
        """What delivers messages in C, when Python has no look at them before."""
        manager = self.manager
        return None if manager._uses_room_channels() else manager._hearing_hub()

    def take(self, wire: Wire, reply: Any) -> None:
        if is_message(reply):
            is_main = reply[1] == self.main
            if self.is_busy or self.held:
                self._hold(reply[2], is_main)
            else:
                self._go_on_with(self._hear(reply[2], is_main))
        elif isinstance(reply, list) and reply[0] in (b"subscribe", b"unsubscribe"):
            self._confirmed(reply[1])
        elif isinstance(reply, hiredis.ReplyError):
            wire.abort(text_of(reply))

    # --- channels ---

    def look_at(self, namespace: str, room: str) -> bytes:
        """See, before the loop turns, whether a room's channel is subscribed as it should be."""
        channel = self.manager._channel_of(namespace, room)
        if not self.is_here:
            self.posts.post(self.look_at, namespace, room)
        elif self.wire is not None and self.channels:
            if not self.changed:
                self.loop.call_soon(self._follow)
            self.changed[channel] = (namespace, room)
        return channel

    def _follow(self) -> None:
        changed, self.changed = self.changed, {}
        if self.wire is None or not self.channels:
            return
        wanted = {c for c, (ns, room) in changed.items() if room in self.manager.rooms.get(ns, ())}
        joined, left = wanted - self.channels, (changed.keys() - wanted) & self.channels
        self.channels |= joined
        self.channels -= left
        for channel in joined | left:
            self.due[channel] = self.due.get(channel, 0) + 1
        commands = [(b"SUBSCRIBE", joined)] if joined else []
        commands += [(b"UNSUBSCRIBE", left)] if left else []
        if commands:
            self.wire.write(b"".join(pack(name, *channels) for name, channels in commands))
        for channel in changed:
            if channel not in self.due:
                settle(self.confirming.pop(channel, ()), True)

    def _confirmed(self, channel: bytes) -> None:
        n = self.due.pop(channel, 1) - 1
        if n > 0:
            self.due[channel] = n
        else:
            settle(self.confirming.pop(channel, ()), True)

    async def confirmation(self, channel: bytes) -> None:
        """Wait until a channel's subscription is as it should be; not while Redis is away."""
        if not self.is_here:
            await self.posts.run(self.confirmation, channel)
        elif self.is_up and (channel in self.changed or channel in self.due):
            waiter: asyncio.Future[bool] = self.loop.create_future()
            self.confirming.setdefault(channel, []).append(waiter)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENTER_SECONDS):
                    await waiter

    # --- messages ---

    def _hold(self, payload: bytes, is_main: bool) -> None:
        self.held.append((payload, is_main))
        self.held_bytes += len(payload)
        if self.held_bytes > HELD_SIZE and self.wire is not None:
            self.wire.read(False)

    def _hear(self, payload: bytes, is_main: bool) -> Any:
        began = time.monotonic()
        try:
            step = self.manager._hear(payload, is_main)
        except Exception:
            self._report()
            step = None
        self.spent += time.monotonic() - began
        return True if step is None and self.spent >= self._slice_seconds() else step

    def _slice_seconds(self) -> float:
        hub = self.hub or self.find_hub()
        return math.inf if hub is None else float(hub.slice_seconds)

    def _report(self) -> None:
        self.manager.server.logger.exception("Handler error in pubsub listening thread")

    async def _work(self, step: Any) -> None:
        """Finish a message, then handle those that are held.

        :param step: what is left of the message, a coroutine; or True: the loop should turn.
        """
        try:
            while step is not None:
                if step is True:
                    await asyncio.sleep(0)
                    self.spent = 0.0
                else:
                    try:
                        await step
                    except Exception:
                        self._report()
                step = None
                while self.held and step is None:
                    step = self._hear(*self._next())
        finally:
            self.is_busy = False
            if self.held:  # it was cancelled
                self.loop.call_soon(self._go_on)

    def _go_on_with(self, step: Any) -> None:
        if step is not None:
            self.is_busy = True
            self.start(self._work, step)

    def _next(self) -> tuple[bytes, bool]:
        message = self.held.popleft()
        self.held_bytes -= len(message[0])
        if self.held_bytes <= HELD_SIZE // 2 and self.wire is not None:
            self.wire.read(True)
        return message

    def _go_on(self) -> None:
        while self.held and not self.is_busy:
            self._go_on_with(self._hear(*self._next()))

    def find_hub(self) -> Any:
        """What the connections of this event loop share; None when the server has no such thing."""
        server = self.manager.server
        if hasattr(type(server), "_emit_hub") and server._emit_hub() is not None:
            self.hub = server._hub_here()
        return self.hub

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Run this in a task of its own, whose first step comes before anything else."""
        hub = self.hub or self.find_hub()
        if hub is not None:
            hub.start(self._run(function, *args), copy_context())
        else:
            task = self.loop.create_task(self._run(function, *args))
            if not task.done():  # as one may be that began at once
                self.tasks.add(task)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await function(*args)
        except Exception:
            self._report()
        finally:
            self.tasks.discard(task)
