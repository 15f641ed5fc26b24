"""Makes objects of upstream's classes, and of the application's, objects of ours."""

from __future__ import annotations

from typing import Any

from socketio.async_manager import AsyncManager as _UpstreamManager
from socketio.async_redis_manager import AsyncRedisManager as _UpstreamRedisManager

from .manager import AsyncManager
from .redis import AsyncRedisManager, is_available, warn_unfit

__all__ = ["adopt_manager", "swap_class"]


def swap_class(obj: Any, upstream: type, ours: type) -> None:
    """Make obj an instance of ours too, in front of upstream's class and behind its own."""
    cls = type(obj)
    if cls is upstream:
        obj.__class__ = ours
    elif isinstance(obj, upstream) and not isinstance(obj, ours):
        obj.__class__ = type(cls.__name__, (cls, ours), {"__module__": cls.__module__})


def adopt_manager(manager: Any) -> None:
    """Put our manager below one that the application has made; a Redis manager becomes ours."""
    if is_available():
        swap_class(manager, _UpstreamRedisManager, AsyncRedisManager)
    elif isinstance(manager, _UpstreamRedisManager):
        warn_unfit()
    swap_class(manager, _UpstreamManager, AsyncManager)
