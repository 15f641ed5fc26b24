"""The Redis manager: servers of a fleet tell each other of what they emit.

Messages are python-socketio's (5.14 and later): JSON on one pub/sub channel, or on one a room.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import itertools
import json as _json
import logging
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any, Unpack, cast

import engineio.json
from socketio.async_pubsub_manager import AsyncPubSubManager as _PubSubManager
from socketio.async_redis_manager import AsyncRedisManager as _UpstreamManager

from . import json as _own_json
from . import manager as _manager
from ._calls import PendingCall, RemoteCall
from ._load import core, logger
from ._redis_link import Link, hiredis, text_of
from ._redis_listener import Listener
from ._redis_publisher import Publisher
from ._versions import problem, version_of
from .manager import AsyncManager, is_nobody
from .options import REDIS_OPTIONS, RedisOptions, check_all, check_names, describe, parameters
from .packet import Packet

__all__ = ["AsyncRedisManager", "is_available"]

SID_LENGTH = 20
#: Clients that have gone of which is known that they were here.
MAX_DEPARTED = 1000
#: Numbers of callbacks; they travel between servers, whose clients may answer late.
_IDS_ELSEWHERE = itertools.count(1)

_STANDARD_JSON = (_json, engineio.json, _own_json)
_LISTEN = {
    name: getattr(_UpstreamManager, name) for name in ("_listen", "_redis_listen_with_retries")
}
_HEADER = re.compile(
    rb'\{"method":"[a-z_]*","host_id":"[^"\\]*","channels":(true|false)(,"volatile":true)?[,}]'
)


def is_available() -> bool:
    """Whether :class:`AsyncRedisManager` can be used: with hiredis, and a redis-py that fits."""
    return core is not None and hiredis is not None and problem("redis") is None


def warn_unfit() -> None:
    """Say why a Redis manager stays python-socketio's, where that is because of redis-py."""
    if core is not None and version_of("redis") is not None and problem("redis") is not None:
        logger.warning("The Redis manager is python-socketio's: %s", problem("redis"))


class AsyncRedisManager(_UpstreamManager, AsyncManager):  # type: ignore[misc]
    __doc__ = f"""A ``socketio.AsyncRedisManager`` that is faster, and notices when Redis is away.

    Takes the parameters of python-socketio's, and:

{describe(REDIS_OPTIONS)}
    :raises TypeError: for an option that does not exist, or a value of the wrong type.
    :raises ValueError: for a value out of range.
    :raises RuntimeError: when hiredis is not installed.

    Emits of a server do not wait for Redis. Without a server ``emit()`` returns when Redis has
    confirmed the message, or with an ERROR in the log after two attempts to connect.
    """

    # For managers that were built as upstream's, too.
    json: Any = engineio.json
    room_channels: bool = REDIS_OPTIONS["room_channels"].default
    max_pending: int = REDIS_OPTIONS["max_pending"].default
    health_check_interval: float = REDIS_OPTIONS["health_check_interval"].default
    _is_mixed = False  # another process publishes without room channels
    _publisher: Publisher | None = None
    _listener: Listener | None = None

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        channel: str = "socketio",
        write_only: bool = False,
        logger: Any = None,
        json: Any = None,
        redis_options: dict[str, Any] | None = None,
        **options: Unpack[RedisOptions],
    ) -> None:
        known = {*parameters(type(self)), *REDIS_OPTIONS}
        check_names(options, known, "AsyncRedisManager")
        given = check_all(options, "AsyncRedisManager", REDIS_OPTIONS)
        super().__init__(
            url,
            channel=channel,
            write_only=write_only,
            logger=logger,
            redis_options=redis_options,
            json=json,
        )
        if hiredis is None:
            raise RuntimeError(
                'hiredis is not installed (run: pip install "toolboxsio[redis]")',
            )
        self.__dict__.update(given)

    # Kept aside: what is watched for changes, the manager's attributes, does not change with them.
    @functools.cached_property
    def _counts(self) -> dict[str, int]:
        return {"dropped": 0, "reconnects": 0}

    @property
    def dropped(self) -> int:
        """Messages that were dropped or may not have arrived."""
        return self._counts["dropped"]

    @dropped.setter
    def dropped(self, n: int) -> None:
        self._counts["dropped"] = n

    @property
    def reconnects(self) -> int:
        """How often the main connection was made anew."""
        return self._counts["reconnects"]

    @reconnects.setter
    def reconnects(self, n: int) -> None:
        self._counts["reconnects"] = n

    # --- what the application may ask for ---

    def status(self) -> dict[str, Any]:
        """Tell how it stands with Redis.

        ``{"connected": bool, "last_message_age": float | None, "dropped": int, "pending": int,
        "reconnects": int, "room_channels": bool}``: whether it is listened to (of a write-only
        manager: whether it can be published to), seconds since its last byte, messages that were
        dropped or may not have arrived, bytes that wait, and whether room channels are in use. On
        any thread.
        """
        link = self._main_link()
        heard_at = link.heard_at if link is not None else None
        age = time.monotonic() - heard_at if heard_at is not None else None
        return {
            "connected": link is not None and link.is_up,
            "last_message_age": age,
            "dropped": self.dropped,
            "pending": sum(publisher.pending_bytes for publisher in self._all_publishers()),
            "reconnects": self.reconnects,
            "room_channels": self._uses_room_channels(),
        }

    async def flush(self, timeout: float = 10) -> bool:
        """Wait until Redis has confirmed all that was published.

        :param timeout: seconds.
        :return: whether it has; False when it took too long, or when messages were dropped.
        """
        publisher = self._publisher
        if self.server is None:
            publisher = self._publishers.get(asyncio.get_running_loop())
        if publisher is None:
            return True
        if not publisher.is_here:
            is_at_work = publisher.loop.is_running()
            return bool(await publisher.posts.run(self.flush, timeout)) if is_at_work else True
        waiter: asyncio.Future[bool] = publisher.loop.create_future()
        publisher.mark(waiter)
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            return False

    async def close(self) -> None:
        """End the connections; what waits is sent before, when Redis is there."""
        for link in (self._listener, *self._all_publishers()):
            if link is not None and link.is_here:
                await link.close()
            elif link is not None and link.loop.is_running() and self.server is not None:
                await link.posts.run(link.close)
        self._listener = self._publisher = None
        self._publishers.pop(asyncio.get_running_loop(), None)

    # --- publishing ---

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        *,
        volatile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Emit to the clients of a room, or to all, of all servers.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager.emit``; the event is encoded
        once, for the clients here and for the other servers.
        """
        if is_nobody(to, room):
            return
        room = to or room
        if kwargs.get("ignore_queue"):
            await self._emit_here(event, data, namespace, room, skip_sid, callback, volatile)
            return
        namespace = namespace or "/"
        if callback is None and self._is_stock():
            texts = self._encode(event, data)
            parts = texts and self._pack_emit(texts, namespace, room, skip_sid, volatile)
            if texts and parts:
                emitted = (event, data, namespace, room, skip_sid)
                await self._emit_encoded(texts, parts, emitted, volatile)
                return
        more = {"volatile": True} if volatile else {}
        if callback is not None:
            is_call = isinstance(callback, PendingCall)
            if self.server is None:
                raise RuntimeError("Callbacks can only be issued from the context of a server.")
            if room is None:
                raise ValueError("Cannot use callback without a room set.")
            callback = (room, namespace, self._generate_ack_id(room, callback))
            if is_call:
                more["call"] = True
        data = list(data) if isinstance(data, tuple) else [data]
        is_binary = Packet.data_is_binary(data)
        if is_binary:
            data = _with_base64(data)
        message = {
            "method": "emit",
            "host_id": self.host_id,
            **more,
            "namespace": namespace,
            "room": room,
            "skip_sid": skip_sid,
            "callback": callback,
            "binary": is_binary,
            "event": event,
            "data": data,
        }
        cls, own = type(self), self.__dict__
        packed = None
        if cls._publish is _publish and "_publish" not in own:
            with contextlib.suppress(Exception):  # which _publish() tells
                packed = self._pack(message)
        if packed is None:
            await self._handle_emit(message)
            await self._publish(message)
            return
        # In the order of emits: what Python sends here, and what Redis has no room for, waits.
        publisher, waiter = self._put(*packed)
        await self._handle_emit(message)
        await publisher.wait(waiter)

    def _is_elsewhere(self, owner: Any) -> bool:
        """Whether callbacks are of a room, or of a client of another server."""
        return not any(owner in rooms.get(None, ()) for rooms in list(self.rooms.values()))

    def _generate_ack_id(self, sid: Any, callback: Any) -> Any:
        """Mirrors: ``socketio.base_manager.BaseManager._generate_ack_id``.

        Of clients elsewhere, whose end is not known here, nothing is kept between two callbacks;
        an id is used once all the same.
        """
        with _manager._tables:
            if sid not in self.callbacks and self._is_elsewhere(sid):
                self.callbacks[sid] = {0: _IDS_ELSEWHERE}
            return super()._generate_ack_id(sid, callback)

    async def trigger_callback(self, sid: Any, id: Any, data: Any) -> None:
        """Mirrors: ``socketio.async_manager.AsyncManager.trigger_callback``."""
        try:
            await super().trigger_callback(sid, id, data)
        finally:
            with _manager._tables:
                if len(self.callbacks.get(sid, ())) == 1 and self._is_elsewhere(sid):
                    del self.callbacks[sid]

    async def _emit_here(
        self,
        event: str,
        data: Any,
        namespace: Any,
        room: Any,
        skip_sid: Any,
        callback: Any,
        volatile: bool,
    ) -> None:
        """Emit to clients of this server."""
        more = {"volatile": True} if volatile else {}
        emit = super(_PubSubManager, self).emit
        await emit(event, data, namespace, room=room, skip_sid=skip_sid, callback=callback, **more)

    async def _emit_encoded(
        self,
        texts: tuple[bytes, bytes],
        message: tuple[bytes, ...],
        emitted: tuple[str, Any, str, Any, Any],
        volatile: bool,
    ) -> None:
        """Emit to clients of this server, and publish."""
        event, data, namespace, room, skip_sid = emitted
        publisher, waiter = self._put(self._channel_for(namespace, room), message)
        left: Any = None
        if namespace in self.rooms:
            left = self._deliver_here(texts, namespace, room, skip_sid, volatile)
            if left is NotImplemented:
                await self._emit_here(event, data, namespace, room, skip_sid, None, volatile)
        if left is not NotImplemented:
            await self._finish_emit(left, event, data, namespace, None, volatile)
        await publisher.wait(waiter)

    def _deliver_here(
        self, texts: tuple[bytes, bytes], namespace: str, room: Any, skip_sid: Any, volatile: bool
    ) -> Any:
        """Emit in C. NotImplemented: it cannot; else as ``Hub.emit``."""
        server = self.server
        hub = server._emit_hub() if hasattr(type(server), "_emit_hub") else None
        if hub is None:
            return NotImplemented
        return hub.emit_encoded(*texts, namespace, room, skip_sid, volatile)

    def _is_stock(self) -> bool:
        """Whether messages may be packed and delivered without a look at each by Python."""
        cls, own = type(self), self.__dict__
        return (
            cls._publish is _publish
            and cls._handle_emit is _handle_emit
            and "_publish" not in own
            and "_handle_emit" not in own
            and self.json in _STANDARD_JSON
        )

    def _encode(self, event: str, data: Any) -> tuple[bytes, bytes] | None:
        """The JSON of an event's name and of its arguments; None: there are bytes inside, or it
        cannot be encoded, which is for others to say."""
        default, depth = self._json_options()
        try:
            if core is not None:
                texts: tuple[bytes, bytes] | None = core.encode_event(event, data, default, depth)
                return texts
            args = list(data) if isinstance(data, tuple) else [data]
            if Packet.data_is_binary(args):
                return None
            name, text = (_own_json.dumps(v, default=default) for v in (event, args))
            return name.encode(), text.encode()
        except (TypeError, ValueError, RecursionError):
            return None

    def _json_options(self) -> tuple[Any, int]:
        cls = self.server.packet_class if self.server is not None else Packet
        return getattr(cls, "json_default", None), getattr(cls, "max_depth", _own_json.MAX_DEPTH)

    def _dumps(self, value: Any) -> str:
        default, depth = self._json_options()
        return _own_json.dumps(value, default=default, max_depth=depth)

    def _pack_emit(
        self, texts: tuple[bytes, bytes], namespace: str, room: Any, skip_sid: Any, volatile: bool
    ) -> tuple[bytes, ...] | None:
        """The parts of a message; None: its header cannot be encoded."""
        dumps = self._dumps
        channels = "true" if self._uses_room_channels() else "false"
        more = ',"volatile":true' if volatile else ""
        try:
            header = (
                f'{{"method":"emit","host_id":"{self.host_id}","channels":{channels}{more}'
                f',"namespace":{dumps(namespace)},"room":{dumps(room)}'
                f',"skip_sid":{dumps(skip_sid)},"callback":null,"binary":false,"event":'
            )
        except (TypeError, ValueError, RecursionError):
            return None
        return header.encode(), texts[0], b',"data":', texts[1], b"}"

    def _put(
        self, channel: bytes, message: tuple[bytes, ...]
    ) -> tuple[Publisher, asyncio.Future[bool] | None]:
        """Queue a message for Redis."""
        publisher = self._publisher_here()
        size = sum(map(len, message))
        head = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n" % (len(channel), channel, size)
        parts, size = (head, *message, b"\r\n"), len(head) + size + 2
        waiter = publisher.loop.create_future() if self.server is None else None
        if publisher.is_here:
            publisher.put(parts, size, waiter)
        elif not publisher.posts.post(publisher.put, parts, size):
            self.dropped += 1
        return publisher, waiter

    # Kept aside, as the counts.
    @functools.cached_property
    def _publishers(self) -> dict[Any, Publisher]:
        """Without a server: that of each event loop, which waits for what it has emitted."""
        return {}

    def _all_publishers(self) -> list[Publisher]:
        publisher = self._publisher
        others = [other for other in list(self._publishers.values()) if other is not publisher]
        return others if publisher is None else [publisher, *others]

    def _publisher_here(self, is_home: bool = False) -> Publisher:
        """What publishes for this event loop: a server has one, on the loop that listens.

        :param is_home: that is this one.
        """
        loop = asyncio.get_running_loop()
        publisher = self._publisher
        if self.server is None:
            publisher = self._publishers.get(loop)
        if publisher is not None and publisher.loop is not loop:
            if publisher.loop.is_running() and not is_home:
                return publisher
            publisher.abandon()
            publisher = None
        if publisher is None:
            publisher = self._publisher = Publisher(self, loop)
            if self.server is None:
                self._publishers[loop] = publisher
        return publisher

    async def _publish(self, data: dict[str, Any]) -> None:
        """Publish a message.

        Mirrors: ``socketio.async_redis_manager.AsyncRedisManager._publish``.
        """
        try:
            packed = self._pack(data)
        except Exception as exc:
            self._get_logger().error(f"Cannot publish to redis... giving up: {text_of(exc)}")
            return
        publisher, waiter = self._put(*packed)
        await publisher.wait(waiter)

    def _pack(self, data: dict[str, Any]) -> tuple[bytes, tuple[bytes]]:
        """The channel and the text of a message. Raises what the JSON raises."""
        first = ("method", "host_id", "channels", "volatile")
        last = ("event", "data")
        stamped = {**data, "channels": self._uses_room_channels()}
        message = {name: stamped[name] for name in first if name in stamped}
        message |= {name: v for name, v in stamped.items() if name not in (*first, *last)}
        message |= {name: stamped[name] for name in last if name in stamped}
        channel = self.channel.encode()
        if data.get("method") == "emit":
            channel = self._channel_for(data.get("namespace"), data.get("room"))
        is_standard = self.json in _STANDARD_JSON
        text = self._dumps(message) if is_standard else self.json.dumps(message)
        return channel, (text.encode() if isinstance(text, str) else bytes(text),)

    # --- listening ---

    async def _thread(self) -> None:
        """Listen until cancelled.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager._thread``.
        """
        cls, own = type(self), self.__dict__
        if any(name in own or getattr(cls, name) is not stock for name, stock in _LISTEN.items()):
            await super()._thread()
            return
        self._listener = Listener(self, asyncio.get_running_loop())
        if cls._publish is _publish and "_publish" not in own:
            self._publisher_here(is_home=True).begin()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener.run()

    def _listen_elsewhere(self, ended: Listener) -> None:
        """An event loop listens no more: another one on which there are clients does."""
        root = getattr(self.server, "_hub", None)
        for hub in root.hubs() if root is not None else ():
            if hub.loop is not ended.loop and hub.loop.is_running() and not hub.stopping:
                hub.posts.post(self._listen_here)
                break

    def _listen_here(self) -> None:
        self.thread = self.server.start_background_task(self._thread)

    def _main_link(self) -> Link | None:
        return self._publisher if self.write_only else self._listener

    def _hear(self, payload: bytes, is_main: bool = True) -> Any:
        """Handle a message. None: it is done; True: the loop should turn before the next; else a
        coroutine to wait for."""
        if is_main and self._uses_room_channels():
            self._check_sender(payload)
        hub = self._hearing_hub()
        return self._heard(payload, hub is not None and hub.deliver(payload, self.host_id))

    def _heard(self, payload: bytes, outcome: Any) -> Any:
        """Do what C has left to do of a message.

        :param outcome: of ``Hub.deliver``; False: all is left.
        """
        if outcome is None or outcome is True:
            return outcome
        if outcome is not False:  # some clients are left
            header = _HEADER.match(payload)
            is_volatile = header is not None and header[2] is not None
            recipients, parts = outcome
            return self._send_each(recipients, parts, "", None, "/", None, is_volatile)
        try:
            message = self.json.loads(payload)
        except Exception:
            return None
        if not isinstance(message, dict) or "method" not in message:
            return None
        return self._dispatch(message)

    def _hearing_hub(self) -> Any:
        """What handles messages in C; None: Python has to look at each."""
        if type(self)._handle_emit is not _handle_emit or "_handle_emit" in self.__dict__:
            return None
        if self.logger and _is_told(self.logger):
            return None
        listener = self._listener
        return listener and (listener.hub or listener.find_hub())

    def _dispatch(self, message: dict[str, Any]) -> Coroutine[Any, Any, None] | None:
        """Handle what another server has published; what runs the application's code does so in a
        task of its own. The coroutine to wait for, if there is one.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager._thread``.
        """
        method = message["method"]
        self._get_logger().debug(f"pubsub message: {method}")
        assert self._listener is not None
        if method == "callback":
            self._listener.start(self._handle_callback, message)
        elif message.get("host_id") == self.host_id:
            pass
        elif method == "disconnect":
            self._listener.start(self._handle_disconnect, message)
        elif method in ("emit", "enter_room", "leave_room", "close_room"):
            handler: Callable[[Any], Coroutine[Any, Any, None]]
            handler = getattr(self, f"_handle_{method}")
            return handler(message)
        return None

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        """Emit here what a server has published.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager._handle_emit``.
        """
        callback = None
        remote = message.get("callback")
        if remote is not None and len(remote) == 3:
            args = (message["host_id"], *remote)
            callback = functools.partial(self._return_callback, *args)
            if message.get("call") is True:
                callback = RemoteCall(self._return_callback, *args)
                if self.has_nobody(remote[0], remote[1]):
                    self._report_disconnection(callback)
        data = message["data"]
        if message.get("binary"):
            data = _without_base64(data)
        if isinstance(data, list):
            data = data[0] if len(data) == 1 else tuple(data)
        await self._emit_here(
            message["event"],
            data,
            message.get("namespace"),
            message.get("room"),
            message.get("skip_sid"),
            callback,
            message.get("volatile") is True,
        )

    # --- callbacks of clients of other servers ---

    async def _return_callback(
        self, host_id: str, sid: Any, namespace: str, callback_id: int, *args: Any
    ) -> None:
        """Return a client's answer to the server that has asked.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager._return_callback``, which loses
        bytes; a stock process ignores the message of those.
        """
        if host_id == self.host_id or not Packet.data_is_binary(list(args)):
            await super()._return_callback(host_id, sid, namespace, callback_id, *args)
            return
        data = _with_base64(list(args))
        message = self._callback_message(host_id, sid, namespace, callback_id)
        await self._publish(message | {"binary": True, "data": data})

    async def _handle_callback(self, message: dict[str, Any]) -> None:
        """Take a client's answer, or that there will be none, from another server.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager._handle_callback``.
        """
        if message.get("host_id") != self.host_id or "args" in message:
            await super()._handle_callback(message)
            return
        sid, id = message.get("sid"), message.get("id")
        if message.get("binary") is True:
            await self.trigger_callback(sid, id, _without_base64(message["data"]))
        elif message.get("disconnected") is True:
            call = self.callbacks.get(sid, {}).get(id)
            if isinstance(call, PendingCall):
                call.remove_client()

    @staticmethod
    def _callback_message(host_id: str, sid: Any, namespace: str, id: int) -> dict[str, Any]:
        where = {"host_id": host_id, "sid": sid, "namespace": namespace, "id": id}
        return {"method": "callback", **where}

    @functools.cached_property
    def _departed(self) -> dict[Any, None]:
        return {}

    def has_nobody(self, room: Any, namespace: str, ignore_queue: bool = False) -> bool:
        """Whether it is known that no client will answer what is emitted to a room."""
        if isinstance(room, str) and room in self._departed:
            return True
        return super().has_nobody(room, namespace, ignore_queue)

    def _knows_all_clients(self, ignore_queue: bool) -> bool:
        return ignore_queue and type(self).emit is _emit and "emit" not in vars(self)

    def _end_calls(self, sid: Any) -> None:
        """A client goes: who waits for its answers, here and elsewhere, is told."""
        super()._end_calls(sid)
        self._departed[sid] = None
        if len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]
        waiting = self.callbacks.get(sid, {})
        for id in [id for id, found in waiting.items() if isinstance(found, RemoteCall)]:
            call = waiting.pop(id)
            if call.args[1] == sid:  # of a room others may answer
                self._report_disconnection(call)

    def _report_disconnection(self, call: RemoteCall) -> None:
        """Tell another server that its call will not be answered; a stock one ignores it."""
        if call.args[0] != self.host_id and self.server is not None:
            message = self._callback_message(*call.args) | {"disconnected": True}
            self.server.start_background_task(self._publish, message)

    # --- rooms with a channel of their own ---

    def _uses_room_channels(self) -> bool:
        return self.room_channels and not self._is_mixed

    def _channel_of(self, namespace: str, room: str) -> bytes:
        # The length tells where the namespace ends: clients may choose one with a '#'.
        name = f"{self.channel}#{len(namespace)}#{namespace}#{room}#"
        return name.encode("utf-8", "surrogatepass")

    def _channel_for(self, namespace: Any, room: Any) -> bytes:
        """Where a message to this room is published."""
        if self._uses_room_channels() and _has_channel(room):
            return self._channel_of(namespace, room)
        return cast("bytes", self.channel.encode())

    def _room_channels_here(self) -> list[bytes]:
        """The channels of the rooms that have somebody in them here."""
        if not self.room_channels:
            return []
        return [
            self._channel_of(namespace, room)
            for namespace, rooms in list(self.rooms.items())
            for room in list(rooms)
            if _has_channel(room)
        ]

    def _check_sender(self, payload: bytes) -> None:
        """Give room channels up when a process publishes without them."""
        header = _HEADER.match(payload)
        if header is not None:
            is_alike = header[1] == b"true"
        else:
            try:
                message = self.json.loads(payload)
            except Exception:
                return
            if not isinstance(message, dict) or "method" not in message:
                return
            is_alike = message.get("channels") is True
        if not is_alike:
            self._is_mixed = True
            self._get_logger().error(
                "A process that publishes on the redis channel %r does not use room channels: all"
                " is published there from now on. Set room_channels=True on the Redis managers of"
                " all processes, or of none.",
                self.channel,
            )

    def basic_enter_room(
        self, sid: Any, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_enter_room``."""
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        if self.room_channels and _has_channel(room) and self._listener is not None:
            self._listener.look_at(namespace, room)

    def basic_leave_room(self, sid: Any, namespace: str, room: Any) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_leave_room``."""
        super().basic_leave_room(sid, namespace, room)
        if self.room_channels and _has_channel(room) and self._listener is not None:
            self._listener.look_at(namespace, room)

    async def enter_room(
        self, sid: Any, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Add a client to a room; the room's channel is subscribed then.

        Mirrors: ``socketio.async_pubsub_manager.AsyncPubSubManager.enter_room``.
        """
        await super().enter_room(sid, namespace, room, eio_sid=eio_sid)
        if self.room_channels and _has_channel(room) and self._listener is not None:
            await self._listener.confirmation(self._channel_of(namespace, room))


def _with_base64(data: list[Any]) -> list[Any]:
    """A list with placeholders for the bytes in it, and these in base64."""
    plain, attachments = Packet.deconstruct_binary(data)
    return [plain, *(base64.b64encode(part).decode() for part in attachments)]


def _without_base64(data: list[Any]) -> Any:
    """The list that was given to :func:`_with_base64`."""
    attachments = [base64.b64decode(text) for text in data[1:]]
    return Packet.reconstruct_binary(data[0], attachments)


def _has_channel(room: Any) -> bool:
    """Whether a room can have a channel of its own: it is none of a single client."""
    return isinstance(room, str) and len(room) != SID_LENGTH


def _is_told(logger: Any) -> bool:
    """Whether a manager's own logger is told of each message."""
    return not isinstance(logger, logging.Logger) or logger.isEnabledFor(logging.DEBUG)


_emit = AsyncRedisManager.emit
_publish = AsyncRedisManager._publish
_handle_emit = AsyncRedisManager._handle_emit
