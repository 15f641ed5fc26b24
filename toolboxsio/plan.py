"""What of a server may be done in C.

Only where nothing that C leaves out, or stands for, is the application's: see csrc/conn/plan.c.
Imported with the package, before an application can have replaced anything.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from engineio.async_socket import AsyncSocket as _UpstreamSocket
from socketio.async_manager import AsyncManager as _UpstreamManager
from socketio.async_namespace import AsyncNamespace as _UpstreamNamespace
from socketio.async_server import AsyncServer as _UpstreamServer
from socketio.base_manager import BaseManager

from ._calls import PendingCall
from ._failures import report
from ._load import core
from .engine import EngineServer, EngineSocket, is_send_replaced
from .manager import AsyncManager
from .packet import Packet
from .redis import AsyncRedisManager
from .server import AsyncServer

__all__ = ["make_plan", "sends_at_once"]

if core is not None:
    from .packet import OwnJSON, loads_of

_decode_in_c = Packet.decode
_encode_in_c = Packet.encode

# What events dispatched in C leave out or stand for, as it was before any application.
_SERVER_METHODS = {
    name: getattr(AsyncServer, name)
    for name in (
        "_handle_eio_message",
        "_handle_event",
        "_handle_event_internal",
        "_dispatch",
        "_decode",
        "_trigger_event",
        "_get_event_handler",
        "_get_namespace_handler",
        "_send_packet",
        "start_background_task",
    )
}
# Ours stands in front of this one, and calls it.
_UPSTREAM_METHODS = {"_trigger_event": _UpstreamServer._trigger_event}
_ENGINE_METHODS = {
    name: getattr(EngineServer, name)
    for name in ("send", "send_packet", "_trigger_event", "_get_socket", "start_background_task")
}
_SEND_METHODS = {name: getattr(AsyncServer, name) for name in ("_send_packet", "_send_eio_packet")}
_ENGINE_SEND_METHODS = {name: _ENGINE_METHODS[name] for name in ("send", "send_packet")}
_SOCKET_METHODS = {
    name: getattr(EngineSocket, name, None) for name in ("receive", "send", "_receive_encoded")
}
_ENGINE_EMIT_METHODS = {
    name: _ENGINE_METHODS[name] for name in ("send", "send_packet", "_get_socket")
}
_MEMBER_METHODS = {"get_participants": BaseManager.get_participants}
_MANAGER_METHODS = {
    name: getattr(AsyncManager, name) for name in ("sid_from_eio_sid", "is_connected")
}
_ACK_METHODS = {"_handle_ack": AsyncServer._handle_ack}
_TRIGGER_CALLBACK = (AsyncManager.trigger_callback, AsyncRedisManager.trigger_callback)
_UPSTREAM_TRIGGER_CALLBACK = _UpstreamManager.trigger_callback
_TRIGGER_EVENT = _UpstreamNamespace.trigger_event


def _replaced(obj: Any, stock: dict[str, Any]) -> list[str]:
    """The names of methods that are not as they were: on a class, or on the object."""
    cls = obj if isinstance(obj, type) else type(obj)
    own = {} if isinstance(obj, type) else vars(obj)
    return [
        f"{cls.__name__}.{name} is the application's"
        for name, method in stock.items()
        if name in own or getattr(cls, name) is not method
    ]


_SERVER_NAMES = (
    *("eio", "manager", "packet_class", "logger", "async_handlers", "handlers"),
    *("namespace_handlers", "_binary_packet", "reserved_events", "_acknowledge", "_handle_packet"),
    "_handle_ack",
    *dict.fromkeys((*_SERVER_METHODS, *_SEND_METHODS)),
)
_ENGINE_NAMES = ("handlers", "sockets", "logger", *_ENGINE_METHODS)
_MANAGER_NAMES = (
    *("rooms", "pending_connect", "pending_disconnect", "emit", "callbacks", "trigger_callback"),
    *(*_MEMBER_METHODS, *_MANAGER_METHODS),
)
_PACKET_NAMES = (
    *("_plain", "encode", "decode", "json", "json_default", "max_depth"),
    "uses_binary_events",
)


def _looked_at(sio: Any) -> tuple[tuple[Any, tuple[Any, ...]], ...]:
    """What a plan depends on: objects, dicts and classes, and the names that make_plan() reads."""
    eio = sio.eio
    found: list[tuple[Any, tuple[Any, ...]]] = [
        (sio, _SERVER_NAMES),
        (eio, _ENGINE_NAMES),
        (sio.manager, _MANAGER_NAMES),
        (eio.handlers, ("message",)),
        (EngineSocket, tuple(_SOCKET_METHODS)),
        (_UpstreamServer, tuple(_UPSTREAM_METHODS)),
        (_UpstreamSocket, ("send",)),
        (_UpstreamManager, ("trigger_callback",)),
    ]
    if isinstance(sio.packet_class, type):
        found.append((sio.packet_class, _PACKET_NAMES))
    for logger in dict.fromkeys((sio.logger, eio.logger)):
        if isinstance(logger, logging.Logger):
            logger.isEnabledFor(logging.INFO)  # which it remembers until a level is set
            found.append((vars(logger), ("disabled", "_cache", "isEnabledFor")))
            found.append((vars(logger)["_cache"], (logging.INFO,)))
    return tuple(found)


def make_plan(sio: Any, hub: Any = None) -> tuple[Any, ...]:
    """What of a server may be done in C, for csrc/conn/plan.c.

    (reasons why not, how to acknowledge, how to log a failure, the server's tables or None; for
    emits the reasons why not, and the tables or None; whether bytes become attachments).

    :param hub: watches what the plan depends on from now on: a change while it is made is seen.
    """
    if hub is not None:
        hub.watch(_looked_at(sio))
    eio, manager, cls = sio.eio, sio.manager, sio.packet_class
    reasons = [
        *_replaced(sio, _SERVER_METHODS),
        *_replaced(_UpstreamServer, _UPSTREAM_METHODS),
        *_replaced(eio, _ENGINE_METHODS),
        *_replaced(EngineSocket, _SOCKET_METHODS),
        *_replaced(manager, _MANAGER_METHODS),
    ]
    common = _reasons_of_encoding(sio)
    emit_reasons = [
        *_replaced(sio, _SEND_METHODS),
        *_replaced(eio, _ENGINE_EMIT_METHODS),
        *_replaced(EngineSocket, {"send": _SOCKET_METHODS["send"]}),
        *_replaced(manager, _MEMBER_METHODS),
        *common,
    ]
    reasons += common
    if cls.decode is not _decode_in_c and getattr(cls, "_plain", False):
        reasons.append(f"{cls.__name__}.decode is the application's")
    if eio.handlers.get("message") != sio._handle_eio_message:
        reasons.append("the Engine.IO message handler is the application's")
    is_own = getattr(cls, "_plain", False) and loads_of(cls.json) is not None
    own_json = OwnJSON(cls.json) if is_own else None
    values = None
    is_ack_replaced = (
        _replaced(sio, _ACK_METHODS)
        or type(manager).trigger_callback not in _TRIGGER_CALLBACK
        or "trigger_callback" in vars(manager)
        or _UpstreamManager.trigger_callback is not _UPSTREAM_TRIGGER_CALLBACK
    )
    if not reasons:
        values = (
            sio.async_handlers,
            sio.handlers,
            sio.namespace_handlers,
            sio._binary_packet,
            manager.rooms,
            manager.pending_connect,
            manager.pending_disconnect,
            sio.reserved_events,
            cls.json_default,
            _TRIGGER_EVENT,
            cls.max_depth,
            own_json,
            sio._handle_packet,
            None if is_ack_replaced else manager.callbacks,
            PendingCall,
        )
    emits = None
    if not emit_reasons:
        is_ours = not _replaced(manager, {"emit": AsyncManager.emit})
        emits = (eio.sockets, manager.rooms, cls.json_default, cls.max_depth, is_ours, own_json)
    return (
        tuple(reasons),
        sio._acknowledge,
        functools.partial(report, sio),
        values,
        tuple(emit_reasons),
        emits,
        bool(getattr(cls, "uses_binary_events", True)),
    )


def _reasons_of_encoding(sio: Any) -> list[str]:
    """Why packets may not be encoded and sent in C."""
    cls, loggers, reasons = sio.packet_class, (sio.logger, sio.eio.logger), []
    if is_send_replaced():
        reasons.append("AsyncSocket.send is the application's")
    if not getattr(cls, "_plain", False):
        reasons.append("serializer= is the application's")
    elif cls.encode is not _encode_in_c:
        reasons.append(f"{cls.__name__}.encode is the application's")
    if not all(isinstance(logger, logging.Logger) for logger in loggers):
        reasons.append("logger= is not a logging.Logger")
    elif any(logger.isEnabledFor(logging.INFO) for logger in loggers):
        reasons.append("each packet is logged")
    return reasons


def sends_at_once(sio: Any) -> bool:
    """Whether sending a packet waits for nothing: all methods on the way are as they were."""
    return (
        isinstance(sio.eio, EngineServer)
        and not _replaced(sio, _SEND_METHODS)
        and not _replaced(sio.eio, _ENGINE_SEND_METHODS)
        and EngineSocket.send is _SOCKET_METHODS["send"]
        and not is_send_replaced()
    )
