"""Runs one input through upstream and through this package, and compares what comes out."""

import dataclasses
import json
import math
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

from tests.e2e.machine import NIGHTLY

#: Inputs compared so far, by the name of the comparison.
compared: dict[str, int] = {}

#: How many examples a property gets, before `cases` scales it.
EXAMPLES = 11_000 if NIGHTLY else 250


def cases(scale: float = 1) -> settings:
    """The settings of a property, as a decorator. Ordinary runs are the same every time."""
    return settings(
        max_examples=int(EXAMPLES * scale),
        deadline=None,
        derandomize=not NIGHTLY,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call came to: a value, or an exception."""

    value: Any = None
    error: BaseException | None = None


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
    """Call, and keep the result or the exception."""
    try:
        return Outcome(function(*args, **kwargs))
    except Exception as exc:
        return Outcome(error=exc)


def flatten(value: Any) -> list[Any]:
    """A value as a flat list that is equal for equal values of equal types and order only.

    Works on any depth, and has NaN equal to NaN and -0.0 different from 0.0.
    """
    flat: list[Any] = []
    todo = [value]
    while todo:
        item = todo.pop()
        kind = type(item)
        if kind is float:
            flat.append((kind, "nan" if math.isnan(item) else struct.pack(">d", item)))
        elif kind is list or kind is tuple:
            flat.append((kind, len(item)))
            todo.extend(reversed(item))
        elif kind is dict:
            flat.append((kind, len(item)))
            for pair in reversed(item.items()):
                todo.extend(reversed(pair))
        else:
            flat.append((kind, item))
    return flat


def describe_error(error: BaseException | None) -> Any:
    """What has to be equal of two exceptions: the type, and all that a JSON error tells."""
    if isinstance(error, json.JSONDecodeError):
        return (type(error), error.msg, error.pos, error.doc, error.lineno, error.colno)
    if isinstance(error, UnicodeDecodeError):
        return (type(error), error.start, error.end)
    return error if error is None else (type(error),)


def is_same(theirs: Outcome, ours: Outcome) -> bool:
    """Whether two outcomes are equal."""
    if describe_error(theirs.error) != describe_error(ours.error):
        return False
    return theirs.error is not None or flatten(theirs.value) == flatten(ours.value)


def depth_of(value: Any) -> int:
    """How deep lists, tuples and dicts are nested in a value without cycles."""
    deepest = 0
    todo = [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if isinstance(item, dict):
            todo.extend((child, depth + 1) for child in dict.values(item))
        elif isinstance(item, list | tuple):
            todo.extend((child, depth + 1) for child in item)
        else:
            continue
        deepest = max(deepest, depth)
    return deepest


def depth_of_text(text: str) -> int:
    """How deep brackets are nested in JSON text, strings left out."""
    depth = deepest = 0
    in_string = is_escaped = False
    for char in text:
        if in_string:
            in_string = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest
