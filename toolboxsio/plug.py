"""Our classes in the place of python-socketio's: for servers that others build."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Unpack

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
from .options import OPTIONS, Options, check_all, installed
from .packet import adapt
from .redis import AsyncRedisManager, is_available
from .server import AsyncServer

__all__ = ["accelerate", "install", "uninstall"]


def accelerate(sio: Any, **options: Unpack[Options]) -> Any:
    """Make a server that was built by others a :class:`toolboxsio.AsyncServer`, and return it.

    Methods that the server's own class overrides stay in force. Call it before clients connect.

    :param options: those of :class:`toolboxsio.AsyncServer` that are not python-socketio's; they
        are set on a server that is one already, too.
    :raises TypeError: for anything but a ``socketio.AsyncServer``, an option that does not exist,
        or a value of the wrong type.
    :raises ValueError: for a value out of range.
    """
    if not isinstance(sio, _UpstreamServer):
        raise TypeError(f"accelerate() takes a socketio.AsyncServer, not {type(sio).__name__}")
    given = check_all(options, "accelerate()", OPTIONS)
    if isinstance(sio, AsyncServer):
        if given:
            sio._set_options(given)
        return sio
    if core is None:
        return sio
    sio.packet_class = adapt(sio.packet_class)
    swap_class(sio, _UpstreamServer, AsyncServer)
    adopt_manager(sio.manager)
    swap_class(sio.eio, _UpstreamEngineServer, EngineServer)
    for socket in sio.eio.sockets.values():
        swap_class(socket, _UpstreamEngineSocket, EngineSocket)
    sio._use_installed(given)
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

        is_unfit = import_module("toolboxsio.uvicorn").UNFIT is not None
    except ImportError:  # there is none
        return
    if is_unfit:
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


def install(*, uvicorn: bool = True, **options: Unpack[Options]) -> None:
    """Put this package's server classes in the place of python-socketio's.

    For frameworks that build their own server: ``import socketio`` then gives them the fast one.
    Names that are imported already, as in ``from socketio import AsyncServer``, are not reached.

    :param uvicorn: what uvicorn knows as ``ws="auto"`` (its default), ``"websockets"`` and
        ``"wsproto"`` becomes :class:`toolboxsio.uvicorn.WebSocketProtocol`, for frameworks that
        start it themselves.
    :param options: those of :class:`toolboxsio.AsyncServer` that are not python-socketio's, for
        every server that is built, or given to :func:`accelerate`, from now on and is not given
        others. A later call adds to them.
    :raises TypeError: for an option that does not exist, or a value of the wrong type.
    :raises ValueError: for a value out of range.
    """
    if not isinstance(uvicorn, bool):
        raise TypeError(f"uvicorn must be True or False, not {uvicorn!r}")
    installed.update(check_all(options, "install()", OPTIONS))
    if uvicorn and core is not None:
        _install_in_uvicorn()
    for module, name, upstream, ours in _replaceable():
        if getattr(module, name) is upstream:
            setattr(module, name, ours)


def uninstall() -> None:
    """Undo :func:`install`. Servers that exist stay as they are."""
    _uninstall_in_uvicorn()
    installed.clear()
    for module, name, upstream, ours in _replaceable():
        if getattr(module, name) is ours:
            setattr(module, name, upstream)
