"""JSON as python-socketio reads and writes it, in C; usable as ``json=``.

:func:`dumps` gives what ``json.dumps(obj, separators=(",", ":"))`` gives, byte for byte, and
:func:`loads` what ``engineio.json.loads`` gives, with the same exceptions. One difference:
nesting beyond ``max_depth`` is a :class:`ValueError`. Options that only the standard library has
(``indent``, ``cls``, ``object_hook`` and so on) are passed to it.
"""

import json as _json
from collections.abc import Callable
from json import JSONDecodeError
from typing import Any

from engineio import json as _engineio_json

from ._load import core
from ._pure import dumps as _pure_dumps
from ._pure import is_finite as _pure_is_finite
from ._pure import loads as _pure_loads

__all__ = ["MAX_DEPTH", "JSONDecodeError", "dumps", "is_finite", "loads"]

MAX_DEPTH = 512

_COMPACT = (",", ":")
_dumps = core.dumps if core else _pure_dumps
_loads = core.loads if core else _pure_loads
_is_finite = core.is_finite if core else _pure_is_finite


def dumps(
    obj: Any,
    *,
    default: Callable[[Any], Any] | None = None,
    max_depth: int = MAX_DEPTH,
    separators: tuple[str, str] | None = _COMPACT,
    **options: Any,
) -> str:
    """Return the JSON text of ``obj``.

    :param default: called with each object that JSON does not know; its result takes the place
        of the object.
    :param max_depth: how deep lists, tuples, dicts and calls of ``default`` may be nested.
    :param separators: as in :func:`json.dumps`, but compact unless given.
    :param options: the other options of :func:`json.dumps`, which then does the work.
    :raises TypeError: for an object that JSON does not know, or a key that is not str, int,
        float, bool or None.
    :raises ValueError: for circular references, and for nesting beyond ``max_depth``.
    """
    if options or separators != _COMPACT:
        if separators is _COMPACT and options.get("indent") is not None:
            separators = None
        return _json.dumps(obj, default=default, separators=separators, **options)
    return _dumps(obj, default, max_depth)


def loads(s: str | bytes | bytearray, *, max_depth: int = MAX_DEPTH, **options: Any) -> Any:
    """Return the value of a JSON text.

    :param max_depth: how deep arrays and objects may be nested.
    :param options: the options of :func:`json.loads`, which then does the work.
    :raises json.JSONDecodeError: when the text is not JSON; with ``msg``, ``doc`` and ``pos``.
    :raises ValueError: for an integer of more than 100 characters, and for nesting beyond
        ``max_depth``.
    """
    if options:
        return _engineio_json.loads(s, **options)
    return _loads(s, max_depth)


def is_finite(value: Any, *, max_depth: int = MAX_DEPTH) -> bool:
    """Whether no float in a value is NaN or infinite, and lists and dicts are nested no deeper.

    What Python reads and writes as ``NaN`` and ``Infinity``, and reads from ``1e999``, is not JSON:
    a JavaScript client that gets it ends its connection.
    """
    return _is_finite(value, max_depth)
