"""``socketio.async_namespace``: the module itself."""

import sys
from typing import Any

import socketio.async_namespace as _module


def __getattr__(name: str) -> Any:  # for type checkers: python-socketio has no types
    return getattr(_module, name)


sys.modules[__name__] = _module
