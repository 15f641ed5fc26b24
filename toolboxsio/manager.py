"""The client manager: who is in which room."""

from __future__ import annotations

from typing import Any

from socketio.async_manager import AsyncManager as _UpstreamManager

__all__ = ["AsyncManager"]


class AsyncManager(_UpstreamManager):  # type: ignore[misc]
    """A ``socketio.AsyncManager`` that knows the rooms of each client.

    A disconnect looks at the client's own rooms instead of all rooms of the namespace.
    """

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
