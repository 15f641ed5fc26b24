"""Finds the C extension, once, and says so when it is not there, or fits nothing that is.

``core`` is the module ``toolboxsio._core`` or None; ``REASON`` tells why it is None.
"""

import logging
import os
from importlib import import_module
from types import ModuleType

from ._versions import problem

logger = logging.getLogger("toolboxsio")


def _load() -> tuple[ModuleType | None, str | None]:
    if os.environ.get("TOOLBOXSIO_PURE", "0") not in ("", "0"):
        return None, "TOOLBOXSIO_PURE is set"
    for distribution in ("python-socketio", "python-engineio"):
        reason = problem(distribution)
        if reason is not None:
            return None, reason
    try:
        return import_module("toolboxsio._core"), None
    except ImportError as exc:
        return None, f"the C extension cannot be imported ({exc})"


core, REASON = _load()
ACCELERATED: bool = core is not None
if not ACCELERATED:
    logger.warning("toolboxsio runs as plain python-socketio: %s", REASON)
