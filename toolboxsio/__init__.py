"""python-socketio, with its hot path in C: ``import toolboxsio as socketio``.

Every public name of ``socketio`` is here; :class:`AsyncServer`, :class:`ASGIApp` and
:class:`Packet` are subclasses of its classes.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import Any

import socketio as _socketio
from socketio import *  # noqa: F403

from . import json, packet
from . import plan as _plan  # noqa: F401 (what it finds is upstream's and ours)
from ._load import ACCELERATED
from ._load import core as _core_module
from ._pure import ack as _pure_ack
from ._run import run
from .asgi import SIO_PATH, ASGIApp
from .errors import ClientDisconnectedError, PacketError
from .manager import AsyncManager
from .packet import Packet
from .plug import accelerate, install, uninstall
from .redis import AsyncRedisManager, is_available
from .server import AsyncServer
from .status import status

_WITH_EXTRAS = ("gunicorn", "metrics", "uvicorn")
_OWN = ("ASGIApp", "AsyncManager", "AsyncRedisManager", "AsyncServer")

__all__ = [
    *(name for name in _socketio.__all__ if name not in _OWN),
    "ACCELERATED",
    "ASGIApp",
    "AsyncManager",
    "AsyncRedisManager",
    "AsyncServer",
    "ClientDisconnectedError",
    "SIO_PATH",
    "Packet",
    "PacketError",
    "accelerate",
    "ack",
    "install",
    "json",
    "packet",
    "run",
    "status",
    "uninstall",
]

if not is_available():  # python-socketio's, which needs no hiredis
    AsyncRedisManager = _socketio.AsyncRedisManager  # type: ignore[misc]
if not ACCELERATED:
    AsyncManager = _socketio.AsyncManager  # type: ignore[misc]

__version__ = _version("toolboxsio")

ack = _core_module.ack if _core_module else _pure_ack


def __getattr__(name: str) -> Any:
    """Modules that need an extra, and those of python-socketio (``toolboxsio.exceptions``)."""
    if name in _WITH_EXTRAS:
        return _import_module(f"{__name__}.{name}")
    return getattr(_socketio, name)
