"""What the programs of emits and the handlers that perform them agree on."""

from typing import Any

SPEAKING = "/k\u00f6ln"
HALL = "hall"
#: What JSON does not know, or knows in another form.
ODD: dict[str, Any] = {
    "object": object,
    "object inside": lambda: {"list": [1, object()]},
    "object after bytes": lambda: [b"bytes", object()],
    "object among several": lambda: (1, object()),
    "set": lambda: {1},
    "tuple as key": lambda: {(1, 2): 3},
    "number as key": lambda: {7: 2, None: 3, True: 4, 1.5: 5},
    "tuple inside": lambda: [(1, (2,)), {"t": ()}],
    "half a pair": lambda: "\ud800",
}


def made(value: Any) -> Any:
    """Make a value from JSON: dicts of one key that begins with $ stand for something else."""
    if isinstance(value, list):
        return [made(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inside = next(iter(value.items()), ("", None))
    if kind == "$bytes":
        return bytes(number % 256 for number in range(inside))
    if kind == "$text":
        return inside[0] * inside[1]
    if kind == "$tuple":
        return tuple(made(item) for item in inside)
    if kind == "$odd":
        return ODD[inside]()
    return {key: made(item) for key, item in value.items()}
