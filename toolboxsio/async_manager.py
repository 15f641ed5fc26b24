"""``socketio.async_manager``, with this package's :class:`AsyncManager`."""

from typing import Any

import socketio.async_manager as _module

from . import AsyncManager as AsyncManager


def __getattr__(name: str) -> Any:  # what is not ours is python-socketio's
    return getattr(_module, name)
