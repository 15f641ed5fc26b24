"""``socketio.async_server``, with this package's :class:`AsyncServer`."""

from typing import Any

import socketio.async_server as _module

from . import AsyncServer as AsyncServer


def __getattr__(name: str) -> Any:  # what is not ours is python-socketio's
    return getattr(_module, name)
