"""What ``toolboxsio._core`` offers to applications, on the standard library alone."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from engineio import json as engineio_json


def dumps(obj: Any, json_default: Callable[[Any], Any] | None, max_depth: int, /) -> str:
    """Compact JSON; the depth is limited by the interpreter's recursion limit instead."""
    return json.dumps(obj, separators=(",", ":"), default=json_default)


def loads(doc: str | bytes | bytearray, max_depth: int, /) -> Any:
    """The value of a JSON text; the depth is limited by the interpreter's recursion limit."""
    return engineio_json.loads(doc)


def is_finite(value: Any, max_depth: int, /) -> bool:
    """Whether no float in it is NaN or infinite, and lists and dicts are nested no deeper."""
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, dict | list | tuple):
        return True
    items = value.values() if isinstance(value, dict) else value
    return max_depth > 0 and all(is_finite(item, max_depth - 1) for item in items)


def ack(ok: bool, **fields: Any) -> dict[str, Any]:
    """``{"ok": bool, **fields, "ts": time in UTC, ISO 8601 with an offset}``."""
    return {"ok": bool(ok), **fields, "ts": datetime.now(UTC).isoformat()}
