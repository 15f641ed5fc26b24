"""Values as text that keeps their type, for transcripts."""

import hashlib
from typing import Any

LONGEST = 80


def describe(value: Any) -> Any:
    """Return a JSON value from which type and content of `value` can be told."""
    kind = type(value).__name__
    if isinstance(value, (bytes, bytearray)):
        text = value.hex() if len(value) <= LONGEST else hashlib.sha1(value).hexdigest()
        return f"{kind}({len(value)}) {text}"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{kind}({len(value)}) {hashlib.sha1(value.encode()).hexdigest()}"
    if isinstance(value, dict):
        return {"type": kind, "items": [[describe(k), describe(v)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"type": kind, "items": [describe(item) for item in value]}
    return f"{kind} {value!r}"
