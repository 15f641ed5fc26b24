"""The hubs of a server: one for each event loop on which it has clients, and their root."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from typing import Any

from socketio.async_server import AsyncServer as _UpstreamServer

from ._load import core
from ._loops import Posts
from .engine import EngineServer

__all__ = ["HubServer"]

#: What a hub keeps in 32 bits.
_MAX_INT32 = 2**31 - 1

#: ``max_attachment_bytes``, unless it is set: so many times ``max_http_buffer_size``.
_ATTACHMENTS_FACTOR = 256

#: Seconds that a client has to answer a CLOSE frame.
CLOSE_SECONDS = 10

_making = threading.Lock()  # a root


class HubServer(_UpstreamServer):  # type: ignore[misc]
    """The part of :class:`toolboxsio.AsyncServer` that has the hubs."""

    _hub: Any = None  # the root, once there is one

    def _emit_hub(self) -> Any:
        """What emits from C, on any event loop; None: nothing does."""
        is_ours = core is not None and isinstance(self.eio, EngineServer)
        return self._root_hub() if is_ours else None

    def _why_not_fast(self) -> tuple[list[str], list[str]]:
        """Why events are not dispatched, and emits do not leave, in C; on any thread."""
        if core is None or not isinstance(self.eio, EngineServer):
            why = ["the extension is missing or the Engine.IO server is the application's"]
            return why, list(why)
        from .plan import make_plan  # which needs this class

        plan = make_plan(self)
        return list(plan[0]), list(plan[4])

    def _root_hub(self) -> Any:
        """The hub of the event loops on which there are no clients."""
        if self._hub is None:
            with _making:
                if self._hub is None:
                    self._hub = self._make_hub(None)
        return self._hub

    def _hub_here(self) -> Any:
        """That of this event loop."""
        root = self._root_hub()
        return root.here() or self._make_hub(asyncio.get_running_loop(), root)

    def _limits(self) -> dict[str, Any]:
        """What a hub is given, and given again when an option is set."""
        eio = self.eio
        max_size = int(min(eio.max_http_buffer_size, sys.maxsize))
        return {
            "ping_interval": eio.ping_interval,
            "ping_timeout": eio.ping_timeout if eio.start_service_task else 0,
            "connect_timeout": self.connect_timeout,
            "message_timeout": eio.message_timeout,
            "leave_timeout": eio.ping_interval + eio.ping_timeout,
            "close_timeout": CLOSE_SECONDS,
            "max_size": max_size,
            "max_backlog": min(self.max_backlog, sys.maxsize),
            "max_running": min(self.max_running_handlers, sys.maxsize),
            "max_running_bytes": min(self.max_running_bytes, sys.maxsize),
            "compression_threshold": eio.compression_threshold,
            "keeps_slow": self.slow_client != "disconnect",
            "max_fragments": min(self.max_fragments or max_size, _MAX_INT32),
            "max_attachments": min(self.max_attachments, sys.maxsize),
            "max_attachment_bytes": min(self._attachments_limit(), sys.maxsize),
            "max_control": min(self.max_control_frames, _MAX_INT32),
        }

    def _attachments_limit(self) -> int:
        """Bytes of the attachments of a packet."""
        most: int | None = self.max_attachment_bytes
        if most is None:
            is_ours = isinstance(self.eio, EngineServer)
            most = _ATTACHMENTS_FACTOR * self.eio.max_http_buffer_size if is_ours else sys.maxsize
        return most

    def _limit_hubs(self) -> None:
        """Options were set."""
        if self._hub is not None:
            for hub in (self._hub, *self._hub.hubs()):
                hub.set_limits(self._limits())

    def _make_hub(self, loop: Any, *root: Any) -> Any:
        """What the connections of an event loop share."""
        for hub in root[0].hubs() if root else ():
            if hub.loop.is_closed():
                root[0].part(hub)
        from .plan import make_plan  # which needs this class

        assert core is not None
        hub = core.Hub(loop, functools.partial(make_plan, self), self._limits(), *root)
        if loop is not None:
            hub.posts = Posts(loop)
        return hub
