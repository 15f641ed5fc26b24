"""``socketio.async_redis_manager``, with this package's :class:`AsyncRedisManager`."""

from typing import Any

import socketio.async_redis_manager as _module

from . import AsyncRedisManager as AsyncRedisManager


def __getattr__(name: str) -> Any:  # what is not ours is python-socketio's
    return getattr(_module, name)
