"""Our classes in the place of python-socketio's: for servers that others build."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import socketio
import socketio.asgi
import socketio.async_redis_manager
import socketio.async_server
from engineio.async_server import AsyncServer as _UpstreamEngineServer
from engineio.async_socket import AsyncSocket as _UpstreamEngineSocket
from socketio.async_manager import AsyncManager as _UpstreamManager
from socketio.async_redis_manager import AsyncRedisManager as _UpstreamRedisManager
from socketio.async_server import AsyncServer as _UpstreamServer

from ._adopt import adopt_manager, swap_class
from ._load import core
from .asgi import ASGIApp, UpstreamASGIApp
from .engine import EngineServer, EngineSocket
from .manager import AsyncManager
from .packet import adapt
from .redis import AsyncRedisManager, is_available
from .server import AsyncServer, join_halves

__all__ = ["accelerate", "install", "uninstall"]


def accelerate(sio: Any) -> Any:
    """Make a server that was built by others a :class:`toolboxsio.AsyncServer`, and return it.

    Methods that the server's own class overrides stay in force. Call it before clients connect.

    :raises TypeError: for anything but a ``socketio.AsyncServer``.
    """
    if not isinstance(sio, _UpstreamServer):
        raise TypeError(f"accelerate() takes a socketio.AsyncServer, not {type(sio).__name__}")
    if core is None or isinstance(sio, AsyncServer):
        return sio
    sio.packet_class = adapt(sio.packet_class)
    sio.max_attachments = getattr(sio.packet_class, "max_attachments", 10)
    swap_class(sio, _UpstreamServer, AsyncServer)
    adopt_manager(sio.manager)
    swap_class(sio.eio, _UpstreamEngineServer, EngineServer)
    for socket in sio.eio.sockets.values():
        swap_class(socket, _UpstreamEngineSocket, EngineSocket)
    join_halves(sio)
    handler = sio.eio.handlers.get("message")
    if getattr(handler, "__func__", None) is _UpstreamServer._handle_eio_message:
        sio.eio.on("message", sio._handle_eio_message)
    handler = sio.eio.handlers.get("disconnect")
    if getattr(handler, "__func__", None) is _UpstreamServer._handle_eio_disconnect:
        sio.eio.on("disconnect", sio._handle_eio_disconnect)
    return sio


def _replaceable() -> list[tuple[Any, str, type, type]]:
    redis = (_UpstreamRedisManager, AsyncRedisManager) if is_available() else ()
    return [
        *(
            (module, "AsyncRedisManager", *redis)
            for module in (socketio, socketio.async_redis_manager)
            if redis
        ),
        (socketio, "AsyncServer", _UpstreamServer, AsyncServer),
        (socketio.async_server, "AsyncServer", _UpstreamServer, AsyncServer),
        (socketio, "AsyncManager", _UpstreamManager, AsyncManager),
        (socketio, "ASGIApp", UpstreamASGIApp, ASGIApp),
        (socketio.asgi, "ASGIApp", UpstreamASGIApp, ASGIApp),
    ]


#: uvicorn's names of WebSocket protocols that stand for ours; "websockets-sansio" stays.
_WS_NAMES = ("auto", "websockets", "wsproto")
_OURS_OF_UVICORN = "toolboxsio.uvicorn:WebSocketProtocol"
_ws_protocols: dict[str, Any] = {}


def _install_in_uvicorn() -> None:
    try:
        from uvicorn.config import WS_PROTOCOLS

        import_module("toolboxsio.uvicorn")
    except ImportError:  # there is none, or one that is too old
        return
    for name in _WS_NAMES:
        if WS_PROTOCOLS.get(name) not in (None, _OURS_OF_UVICORN):
            _ws_protocols[name] = WS_PROTOCOLS[name]
            WS_PROTOCOLS[name] = _OURS_OF_UVICORN


def _uninstall_in_uvicorn() -> None:
    while _ws_protocols:
        name, theirs = _ws_protocols.popitem()
        protocols = import_module("uvicorn.config").WS_PROTOCOLS
        if protocols[name] == _OURS_OF_UVICORN:
            protocols[name] = theirs


def install(*, uvicorn: bool = True) -> None:
    """Put this package's server classes in the place of python-socketio's.

    For frameworks that build their own server: ``import socketio`` then gives them the fast one.
    Names that are imported already, as in ``from socketio import AsyncServer``, are not reached.

    :param uvicorn: what uvicorn knows as ``ws="auto"`` (its default), ``"websockets"`` and
        ``"wsproto"`` becomes :class:`toolboxsio.uvicorn.WebSocketProtocol`, for frameworks that
        start it themselves.
    """
    if uvicorn and core is not None:
        _install_in_uvicorn()
    for module, name, upstream, ours in _replaceable():
        if getattr(module, name) is upstream:
            setattr(module, name, ours)


def uninstall() -> None:
    """Undo :func:`install`. Servers that exist stay as they are."""
    _uninstall_in_uvicorn()
    for module, name, upstream, ours in _replaceable():
        if getattr(module, name) is ours:
            setattr(module, name, upstream)
