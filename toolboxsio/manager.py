"""The client manager: who is in which room."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from contextvars import copy_context
from typing import Any

from bidict import bidict
from engineio.packet import MESSAGE
from socketio.async_manager import AsyncManager as _UpstreamManager
from socketio.base_manager import BaseManager
from socketio.manager import Manager
from socketio.packet import EVENT

from ._calls import PendingCall
from ._loops import hub_elsewhere
from .packet import EnginePacket

#: Held by who changes the tables: several event loops may have clients of one server.
_tables = threading.RLock()


def _renew() -> None:
    global _tables
    _tables = threading.RLock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

#: What is called of python-socketio unless an application has put something in its place.
_enter_room = BaseManager.basic_enter_room
_leave_room = BaseManager.basic_leave_room

#: Whether the tables of rooms are those that csrc/conn reads: two dicts and no more.
_KNOWS_BIDICT = vars(bidict()) == {"_fwdm": {}, "_invm": {}}

__all__ = ["AsyncManager", "Manager", "is_nobody"]  # the second as in socketio.manager

#: Namespaces of all clients that are looked at for one.
_MOST_LOOKED_AT = 100


def is_nobody(*rooms: Any) -> bool:
    """Whether ``to`` and ``room`` of an emit are an empty list, tuple or set, or one of them is and
    the other is not given. python-socketio takes such a ``to`` for everybody."""
    return not any(rooms) and any(isinstance(room, (list, tuple, set, frozenset)) for room in rooms)


def _args_of(data: Any) -> list[Any]:
    """The arguments of an event: a tuple is several, None is none."""
    return list(data) if isinstance(data, tuple) else [] if data is None else [data]


class AsyncManager(_UpstreamManager):  # type: ignore[misc]
    """A ``socketio.AsyncManager`` that knows the rooms of each client.

    A disconnect looks at the client's own rooms instead of all rooms of the namespace, and an emit
    makes no task for each recipient.
    """

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Emit to the clients of a room, or to all. Mirrors: ``socketio.AsyncManager.emit``."""
        if is_nobody(to, room):
            return
        server = self.server
        room = to or room
        hub = server._emit_hub() if hasattr(type(server), "_emit_hub") else None
        is_volatile = bool(kwargs.get("volatile"))
        left: Any = NotImplemented
        if hub is not None:
            new_id = functools.partial(self._new_id, callback) if callback else None
            left = hub.emit(event, data, namespace, room, skip_sid, new_id, is_volatile)
        if left is not NotImplemented:
            await self._finish_emit(left, event, data, namespace, callback, is_volatile)
        elif hub is not None and server._sends_at_once():
            await self._emit_in_turn(event, data, namespace, room, skip_sid, callback, is_volatile)
        else:
            await super().emit(event, data, namespace, room, skip_sid, callback, None, **kwargs)

    async def _finish_emit(
        self,
        left: Any,
        event: str,
        data: Any,
        namespace: str,
        callback: Any,
        is_volatile: bool,
    ) -> None:
        """Do what C has left to do of an emit."""
        if left is True:
            await asyncio.sleep(0)  # who only emits does not keep the others waiting
        elif left is not None:
            recipients, parts = left
            await self._send_each(recipients, parts, event, data, namespace, callback, is_volatile)
            await asyncio.sleep(0)

    def _new_id(self, callback: Any, sid: Any) -> Any:
        return self._generate_ack_id(sid, callback)

    async def _emit_in_turn(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any,
        skip_sid: Any,
        callback: Any,
        is_volatile: bool,
    ) -> None:
        """Emit where C may not: packets are logged, say, or the application encodes them."""
        if namespace not in self.rooms:
            return
        parts = None
        if not callback:
            packet = self.server.packet_class(
                EVENT, namespace=namespace, data=[event, *_args_of(data)]
            )
            encoded = packet.encode()
            parts = encoded if isinstance(encoded, list) else [encoded]
        skipped = skip_sid if isinstance(skip_sid, list) else [skip_sid]
        recipients = [
            (sid, eio_sid)
            for sid, eio_sid in self.get_participants(namespace, room)
            if sid not in skipped
        ]
        await self._send_each(recipients, parts, event, data, namespace, callback, is_volatile)
        await asyncio.sleep(0)

    async def _send_each(
        self,
        recipients: list[tuple[Any, str]],
        parts: list[str | bytes] | None,
        event: str,
        data: Any,
        namespace: str,
        callback: Any,
        is_volatile: bool,
    ) -> None:
        """Send an event to each of these, one after the other: sending waits for nothing. Only
        where the application has replaced how a socket sends there is a task, as upstream has.

        :param parts: the encoded packet and its attachments; None: each gets an id of its own.
        """
        server = self.server
        packets = [EnginePacket(MESSAGE, data=part) for part in parts or ()]
        tasks = []
        elsewhere: dict[Any, list[tuple[Any, str]]] = {}
        for sid, eio_sid in recipients:
            conn = getattr(server.eio.sockets.get(eio_sid), "conn", None)
            hub = hub_elsewhere(conn)
            if hub is not None and parts is not None:
                elsewhere.setdefault(hub, []).append((sid, eio_sid))
                continue
            if is_volatile and server._is_behind(eio_sid):
                continue
            own = packets
            if parts is None:
                with _tables:
                    if sid not in self.rooms.get(namespace, {}).get(None, ()):
                        if isinstance(callback, PendingCall):
                            callback.add_client()
                            callback.remove_client()
                        continue  # it has gone: nobody would forget the callback
                    id = self._generate_ack_id(sid, callback)
                args = [event, *_args_of(data)]
                own = [server.packet_class(EVENT, namespace=namespace, data=args, id=id)]
            if hub is not None:
                encoded = own[0].encode()
                encoded = encoded if isinstance(encoded, list) else [encoded]
                await self._post(hub, [(sid, eio_sid)], encoded, False)
                continue
            sending = self._send_to(sid, eio_sid, own)
            if conn is None or conn.stock:
                await sending
            else:
                tasks.append(asyncio.create_task(sending))
        for hub, others in elsewhere.items():
            await self._post(hub, others, parts or [], is_volatile)
        if tasks:
            await asyncio.wait(tasks)

    async def _post(
        self, hub: Any, recipients: list[tuple[Any, str]], parts: list[Any], is_volatile: bool
    ) -> None:
        """Let another event loop send an encoded event to clients of its own."""
        fixed = [part if isinstance(part, (str, bytes)) else bytes(part) for part in parts]
        hub.posts.post(self._send_posted, hub, recipients, fixed, is_volatile)
        await hub.posts.room()

    def _send_posted(
        self, hub: Any, recipients: list[tuple[Any, str]], parts: list[Any], is_volatile: bool
    ) -> None:
        """Send what another thread has emitted to these."""
        left: Any = NotImplemented
        if isinstance(parts[0], str):  # bytes: another serializer's
            left = hub.send_parts(recipients, parts, is_volatile)
        if left is NotImplemented:
            left = recipients, parts
        if isinstance(left, tuple):
            recipients, parts = left
            sending = self._send_each(recipients, parts, "", None, "/", None, is_volatile)
            hub.start(sending, copy_context())

    async def _send_to(self, sid: Any, eio_sid: str, packets: list[Any]) -> None:
        """Send Engine.IO packets, or one Socket.IO packet, to a client."""
        server = self.server
        try:
            for packet in packets:
                if isinstance(packet, EnginePacket):
                    await server._send_eio_packet(eio_sid, packet)
                else:
                    await server._send_packet(eio_sid, packet)
        except Exception as exc:  # one client's; upstream has a task for it
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"an emit to {sid} failed", "exception": exc}
            )

    def _generate_ack_id(self, sid: Any, callback: Any) -> Any:
        """Mirrors: ``socketio.base_manager.BaseManager._generate_ack_id``.

        A client from which too many acknowledgements are awaited is let go; where it is another
        server's, the oldest callback is.
        """
        with _tables:
            server, waiting = self.server, self.callbacks.get(sid)
            most = getattr(server, "max_pending_acks", 0)
            is_call = isinstance(callback, PendingCall)
            if is_call:
                callback.add_client()
            if most and waiting is not None and len(waiting) > most:  # one is the counter
                if server._let_go_of(sid):
                    if is_call:
                        callback.remove_client()
                    return next(waiting[0])
                oldest = waiting.pop(next(id for id in waiting if id))
                if isinstance(oldest, PendingCall):
                    oldest.remove_client()
            id = super()._generate_ack_id(sid, callback)
            call = callback if is_call else None
            if isinstance(callback, functools.partial):
                call = self._call_behind(callback)
            if call is not None:
                call.places.append((sid, id))
            return id

    def _call_behind(self, callback: functools.partial[Any]) -> PendingCall | None:
        """The call to which the callback of a client here leads, with a message queue."""
        call = None
        if len(callback.args) == 4 and callback.args[0] == getattr(self, "host_id", None):
            _, room, _, id = callback.args
            call = self.callbacks.get(room, {}).get(id)
        return call if isinstance(call, PendingCall) else None

    def has_nobody(self, room: Any, namespace: str, ignore_queue: bool = False) -> bool:
        """Whether it is known that no client will answer what is emitted to a room."""
        if isinstance(room, str) and room in self.pending_disconnect.get(namespace, ()):
            return True
        if not self._knows_all_clients(ignore_queue):
            return False
        return next(iter(self.get_participants(namespace, room)), None) is None

    def _knows_all_clients(self, ignore_queue: bool) -> bool:
        """Whether an emit reaches nobody but the clients of this manager."""
        return type(self).emit is _emit and "emit" not in vars(self)

    def pre_disconnect(self, sid: Any, namespace: str) -> Any:
        """Mirrors: ``socketio.base_manager.BaseManager.pre_disconnect``."""
        with _tables:
            eio_sid = super().pre_disconnect(sid, namespace)
            self._end_calls(sid)
        return eio_sid

    def _end_calls(self, sid: Any) -> None:
        """A client goes: nobody waits for its answers any more."""
        waiting = self.callbacks.get(sid)
        if not waiting:
            return
        for id in [id for id, found in waiting.items() if isinstance(found, PendingCall)]:
            waiting.pop(id).remove_client()

    async def trigger_callback(self, sid: Any, id: Any, data: Any) -> None:
        """Run a callback. Mirrors: ``socketio.async_manager.AsyncManager.trigger_callback``; 0 is
        no id, but where the table has its counter."""
        if id:
            await super().trigger_callback(sid, id, data)
        else:
            self._get_logger().warning("Unknown callback received, ignoring.")

    def namespaces_of(self, eio_sid: str) -> list[str]:
        """The namespaces that a session is in; in upstream's order, unless there are very many."""
        names = self.__dict__.get("_session_namespaces", {}).get(eio_sid)
        if not names:
            return []
        if len(names) > 1 and len(self.rooms) <= _MOST_LOOKED_AT:
            names = [name for name in list(self.rooms) if name in names]
        return [name for name in list(names) if self.sid_from_eio_sid(eio_sid, name)]

    def get_rooms(self, sid: Any, namespace: str) -> list[Any]:
        """The rooms of a client: its own first, then in the order in which it has entered them.

        Mirrors: ``socketio.base_manager.BaseManager.get_rooms``, without a look at the others.
        """
        everybody = self.rooms.get(namespace, {})
        rooms = [sid, *(self._rooms_of(namespace, sid) or ())]
        return [room for room in rooms if sid in everybody.get(room, ())]

    def _rooms_of(self, namespace: str, sid: Any) -> dict[Any, None] | None:
        """The rooms that basic_enter_room and basic_leave_room have noted."""
        table: dict[Any, dict[Any, dict[Any, None]]] = self.__dict__.setdefault("_client_rooms", {})
        return table.get(namespace, {}).get(sid)

    def basic_enter_room(
        self, sid: Any, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_enter_room``."""
        with _tables:
            enter = super().basic_enter_room
            try:
                is_stock = getattr(enter, "__func__", None) is _enter_room
                if not is_stock or not self._enter_own_room(sid, namespace, room, eio_sid):
                    enter(sid, namespace, room, eio_sid=eio_sid)
            except KeyError:  # it is gone: no empty room is left of it
                rooms = self.rooms[namespace]
                if not rooms.get(room, True):
                    del rooms[room]
                raise
            if room is None:
                sessions = self.__dict__.setdefault("_session_namespaces", {})
                sessions.setdefault(eio_sid, {})[namespace] = None
            elif room != sid:
                table = self.__dict__.setdefault("_client_rooms", {})
                table.setdefault(namespace, {}).setdefault(sid, {})[room] = None

    def _enter_own_room(self, sid: Any, namespace: str, room: Any, eio_sid: str | None) -> bool:
        """Let a client that joins enter the room of all, or its own; False: in the usual way.

        Mirrors: ``socketio.base_manager.BaseManager.basic_enter_room``, without what bidict takes
        for each item; most of the time that a client takes to join is spent there.
        """
        if not _KNOWS_BIDICT or eio_sid is None or (room is not None and room != sid):
            return False
        rooms = self.rooms.get(namespace)
        if rooms is None:
            rooms = self.rooms[namespace] = {}
        table = rooms.get(room)
        if table is None:
            rooms[room] = table = bidict.__new__(bidict)
            table._fwdm, table._invm = {sid: eio_sid}, {eio_sid: sid}
            return True
        if type(table) is not bidict or sid in table._fwdm or eio_sid in table._invm:
            return False
        table._fwdm[sid] = eio_sid
        table._invm[eio_sid] = sid
        return True

    def _leave_own_room(self, sid: Any, namespace: str, room: Any) -> bool:
        """Let a client leave the room of all, or its own; False: in the usual way.

        Mirrors: ``socketio.base_manager.BaseManager.basic_leave_room``, in the same way.
        """
        rooms = self.rooms.get(namespace, {})
        table = rooms.get(room)
        if not _KNOWS_BIDICT or type(table) is not bidict or sid not in table._fwdm:
            return False
        del table._invm[table._fwdm.pop(sid)]
        if not table._fwdm:
            del rooms[room]
            if not rooms:
                del self.rooms[namespace]
        return True

    def basic_leave_room(self, sid: Any, namespace: str, room: Any) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_leave_room``."""
        with _tables:
            if room is None:
                self._forget_session(sid, namespace)
            leave = super().basic_leave_room
            is_stock = getattr(leave, "__func__", None) is _leave_room
            is_own = room is None or room == sid
            if not (is_stock and is_own and self._leave_own_room(sid, namespace, room)):
                leave(sid, namespace, room)
            rooms = None if room is None or room == sid else self._rooms_of(namespace, sid)
            if rooms is not None:
                rooms.pop(room, None)
                if not rooms:
                    table = self.__dict__["_client_rooms"]
                    del table[namespace][sid]
                    if not table[namespace]:
                        del table[namespace]

    def _forget_session(self, sid: Any, namespace: str) -> None:
        """The session of a client is in a namespace no more."""
        sessions = self.__dict__.get("_session_namespaces", {})
        eio_sid = self.rooms.get(namespace, {}).get(None, {}).get(sid)
        namespaces = sessions.get(eio_sid)
        if namespaces is not None:
            namespaces.pop(namespace, None)
            if not namespaces:
                del sessions[eio_sid]

    def basic_disconnect(self, sid: Any, namespace: str, **kwargs: Any) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_disconnect``."""
        with _tables:
            if namespace in self.rooms:
                for room in [*(self._rooms_of(namespace, sid) or ()), sid, None]:
                    self.basic_leave_room(sid, namespace, room)
            self._end_calls(sid)
            self.callbacks.pop(sid, None)
            for pending in (self.pending_connect, self.pending_disconnect):
                waiting = pending.get(namespace)
                if waiting is not None and sid in waiting:
                    waiting.remove(sid)
                    if not waiting:
                        del pending[namespace]

    async def pre_connect(self, eio_sid: str, namespace: str) -> Any:
        """Mirrors: ``socketio.async_manager.AsyncManager.pre_connect``."""
        with _tables:
            return BaseManager.pre_connect(self, eio_sid, namespace)

    async def connect(self, sid: Any, namespace: str) -> Any:
        """Mirrors: ``socketio.async_manager.AsyncManager.connect``."""
        if not self.is_pre_connected(sid, namespace):
            sid = await self.pre_connect(sid, namespace)
        with _tables:
            waiting = self.pending_connect.get(namespace, [])
            if sid in waiting:
                waiting.remove(sid)
                if not waiting:
                    del self.pending_connect[namespace]
        return sid

    def is_connected(self, sid: Any, namespace: str) -> bool:
        """Mirrors: ``socketio.base_manager.BaseManager.is_connected``, in one look at each table:
        another thread may take out what has just been found."""
        if sid in self.pending_connect.get(namespace, ()):
            return False
        if sid in self.pending_disconnect.get(namespace, ()):
            return False
        try:
            return self.rooms[namespace][None][sid] is not None
        except KeyError:
            return False

    def is_pre_connected(self, sid: Any, namespace: str) -> bool:
        """Mirrors: ``socketio.base_manager.BaseManager.is_pre_connected``, in the same way."""
        if sid not in self.pending_connect.get(namespace, ()):
            return False
        try:
            return self.rooms[namespace][None][sid] is not None
        except KeyError:
            return False

    def basic_close_room(self, room: Any, namespace: str) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_close_room``."""
        with _tables:
            super().basic_close_room(room, namespace)


_emit = AsyncManager.emit
