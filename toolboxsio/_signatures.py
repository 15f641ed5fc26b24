"""What arguments a callable of the application takes, by its signature.

python-socketio calls a handler again, with one argument less, when it raises TypeError.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["is_arity_error", "takes", "takes_keyword"]

#: The least and the most positional arguments; None: there is no signature.
Range = tuple[float, float] | None

_ARITY_ERROR = re.compile(r"\(\) takes .* positional arguments? but (\d+) (?:was|were) given$")
#: Of functions, those of methods with self.
_ranges: WeakKeyDictionary[Any, Range] = WeakKeyDictionary()


def takes(handler: Callable[..., Any], n: int) -> int | None:
    """Whether a handler takes ``n`` positional arguments, or one less: the number.

    :return: None when the signature does not tell: there is none, or it takes any number, as that
        of a decorator's function does. Such a handler is tried; see :func:`is_arity_error`.
    """
    found = _range_of(handler)
    if found is None or found[1] == math.inf:
        return None
    least, most = found
    return n - 1 if least <= n - 1 <= most < n else n


def is_arity_error(exc: TypeError, handler: Callable[..., Any], n: int) -> bool:
    """Whether a handler that was tried with ``n`` arguments has raised because of their number.

    Of one without a signature any TypeError counts; of one that takes any number, that of a call
    with all of them.
    """
    if _range_of(handler) is None:
        return True
    found = _ARITY_ERROR.search(str(exc))
    return found is not None and int(found[1]) in (n, n + 1)  # with self


def takes_keyword(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument by name; True when the signature does not tell."""
    signature = _read(function)
    if signature is None or name in signature.parameters:
        return True
    return any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())


def _range_of(handler: Callable[..., Any]) -> Range:
    function = getattr(handler, "__func__", handler)
    try:
        found = _ranges[function]
    except KeyError:
        found = _ranges[function] = _count(_read(function))
    except TypeError:  # it cannot be hashed, or weakly referenced
        found = _count(_read(function))
    if found is not None and type(handler) is MethodType:  # self is given
        return found[0] - 1, found[1] - 1
    return found


def _count(signature: inspect.Signature | None) -> Range:
    if signature is None:
        return None
    least: float = 0
    most: float = 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = math.inf
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                least = math.inf
        elif parameter.kind is not parameter.VAR_KEYWORD:
            most += 1
            if parameter.default is parameter.empty:
                least += 1
    return least, most


def _read(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
