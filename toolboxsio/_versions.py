"""The versions of other packages whose internals are used here.

Too old a version, or one in which something is missing, is not accelerated: :mod:`toolboxsio` says
so at import, and ``toolboxsio doctor`` does. A version that is newer than those tested is used.
"""

from __future__ import annotations

import functools
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter

__all__ = ["NEEDED", "is_tested", "problem", "version_of"]

#: The oldest version of each distribution that fits.
NEEDED = {
    "python-socketio": (5, 18),
    "python-engineio": (4, 15),
    "uvicorn": (0, 35),
    "redis": (5, 0),
}

#: The newest that the tests have run with.
TESTED = {
    "python-socketio": (5, 18),
    "python-engineio": (4, 15),
    "uvicorn": (0, 54),
    "redis": (8, 1),
}

#: What is mirrored, replaced or called besides the documented interface.
_PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "python-socketio": {
        "socketio.async_server": (
            *("AsyncServer._handle_connect", "AsyncServer._handle_disconnect"),
            *("AsyncServer._handle_event", "AsyncServer._handle_event_internal"),
            *("AsyncServer._handle_ack", "AsyncServer._trigger_event"),
            *("AsyncServer._handle_eio_message", "AsyncServer._handle_eio_disconnect"),
            *("AsyncServer._send_packet", "AsyncServer._send_eio_packet"),
            *("AsyncServer._engineio_server_class", "AsyncServer._get_event_handler"),
            "AsyncServer._get_namespace_handler",
        ),
        "socketio.async_manager": (
            *("AsyncManager.emit", "AsyncManager.trigger_callback", "AsyncManager.pre_connect"),
            *("AsyncManager.connect", "AsyncManager._generate_ack_id"),
            *("AsyncManager.basic_enter_room", "AsyncManager.basic_leave_room"),
            *("AsyncManager.sid_from_eio_sid", "AsyncManager.get_participants"),
        ),
        "socketio.packet": ("Packet.uses_binary_events", "Packet.reconstruct_binary"),
    },
    "python-engineio": {
        "engineio.async_server": (
            *("AsyncServer._trigger_event", "AsyncServer._handle_connect"),
            *("AsyncServer._make_response", "AsyncServer._get_socket", "AsyncServer.send_packet"),
            *("AsyncServer._log_error_once", "AsyncServer._ok", "AsyncServer._upgrades"),
            "AsyncServer._cors_allowed_origins",
        ),
        "engineio.async_socket": (
            *("AsyncSocket._websocket_handler", "AsyncSocket._upgrade_websocket"),
            *("AsyncSocket.check_ping_timeout", "AsyncSocket.schedule_ping", "AsyncSocket.poll"),
            *("AsyncSocket._send_ping", "AsyncSocket.handle_post_request"),
        ),
        "engineio.async_drivers.asgi": ("_async", "translate_request", "WebSocket"),
        "engineio.payload": ("Payload.max_decode_packets",),
    },
    "uvicorn": {
        "uvicorn.protocols.websockets.websockets_sansio_impl": (
            "WebSocketsSansIOProtocol.handle_connect",
            "WebSocketsSansIOProtocol.run_asgi",
        ),
        "uvicorn.protocols.http.auto": ("AutoHTTPProtocol",),
        "websockets.protocol": ("State.OPEN",),
    },
    "redis": {"redis.asyncio": ("Redis.from_url", "Connection.connect")},
}


def version_of(distribution: str) -> str | None:
    """The version that is installed; None: there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def _is_there(package: str) -> bool:
    try:
        import_module(package)
    except ImportError:
        return False
    return True


@functools.cache
def problem(distribution: str) -> str | None:
    """Why a distribution cannot be used for what touches its internals; None: it can."""
    found = version_of(distribution)
    needed = NEEDED[distribution]
    if found is not None and _numbers(found) < needed:
        oldest = ".".join(map(str, needed))
        return f"{distribution} {found} is too old, {oldest} or newer is needed"
    if not _is_there(next(iter(_PLACES[distribution])).partition(".")[0]):
        return None  # who needs it says so
    for name, attributes in _PLACES[distribution].items():
        try:
            module = import_module(name)
            for attribute in attributes:
                attrgetter(attribute)(module)
        except (ImportError, AttributeError) as exc:
            return f"{distribution} {found or 'of an unknown version'} does not fit: {exc}"
    return None


def is_tested(distribution: str) -> bool:
    """Whether the version that is installed is none after those that the tests have run with."""
    found = version_of(distribution)
    return found is None or _numbers(found) <= TESTED[distribution]
