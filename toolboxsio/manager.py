"""The client manager: who is in which room."""

from __future__ import annotations

import asyncio
from typing import Any

from engineio.packet import MESSAGE
from socketio.async_manager import AsyncManager as _UpstreamManager
from socketio.packet import EVENT

from .packet import EnginePacket

__all__ = ["AsyncManager"]


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
        server = self.server
        if not (hasattr(type(server), "_sends_at_once") and server._sends_at_once()):
            await super().emit(event, data, namespace, room, skip_sid, callback, to, **kwargs)
            return
        room = to or room
        if namespace not in self.rooms:
            return
        args = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        skipped = skip_sid if isinstance(skip_sid, list) else [skip_sid]
        packets: list[EnginePacket] = []
        if not callback:
            encoded = server.packet_class(EVENT, namespace=namespace, data=[event, *args]).encode()
            parts = encoded if isinstance(encoded, list) else [encoded]
            packets = [EnginePacket(MESSAGE, data=part) for part in parts]
        for sid, eio_sid in list(self.get_participants(namespace, room)):
            if sid in skipped:
                continue
            try:
                if callback:
                    id = self._generate_ack_id(sid, callback)
                    packet = server.packet_class(
                        EVENT, namespace=namespace, data=[event, *args], id=id
                    )
                    await server._send_packet(eio_sid, packet)
                for packet in packets:
                    await server._send_eio_packet(eio_sid, packet)
            except Exception as exc:  # one client's; upstream has a task for it
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"an emit to {sid} failed", "exception": exc}
                )

    def _rooms_of(self, namespace: str, sid: Any) -> set[Any] | None:
        """The rooms that basic_enter_room and basic_leave_room have noted."""
        table: dict[Any, dict[Any, set[Any]]] = self.__dict__.setdefault("_client_rooms", {})
        return table.get(namespace, {}).get(sid)

    def basic_enter_room(
        self, sid: Any, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_enter_room``."""
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        if room is not None and room != sid:
            table = self.__dict__.setdefault("_client_rooms", {})
            table.setdefault(namespace, {}).setdefault(sid, set()).add(room)

    def basic_leave_room(self, sid: Any, namespace: str, room: Any) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_leave_room``."""
        super().basic_leave_room(sid, namespace, room)
        rooms = self._rooms_of(namespace, sid)
        if rooms is not None:
            rooms.discard(room)
            if not rooms:
                table = self.__dict__["_client_rooms"]
                del table[namespace][sid]
                if not table[namespace]:
                    del table[namespace]

    def basic_disconnect(self, sid: Any, namespace: str, **kwargs: Any) -> None:
        """Mirrors: ``socketio.base_manager.BaseManager.basic_disconnect``."""
        if namespace not in self.rooms:
            return
        for room in [*(self._rooms_of(namespace, sid) or ()), sid, None]:
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            waiting = pending.get(namespace)
            if waiting is not None and sid in waiting:
                waiting.remove(sid)
                if not waiting:
                    del pending[namespace]
