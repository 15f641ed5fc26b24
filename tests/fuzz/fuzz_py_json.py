"""JSON both ways: toolboxsio.json against the standard library, documented differences aside."""

import math

import engineio.json
from hosted import Input
from parity.actions import check

from toolboxsio import _core, _pure

MAX_DEPTH = 40  # of values that are built

WORDS = ["", "a", "\xe9", "\u20ac", "\U0001f600", "\ud800", '"', "\\", "\n", "\x7f", "k" * 40]


def value_of(data, depth=0):
    """A value that the input describes, types that JSON does not know among them."""
    kind = data.byte()
    if depth < MAX_DEPTH and kind >= 200:
        items = [value_of(data, depth + 1) for _ in range(kind & 7)]
        return tuple(items) if kind & 8 else items
    if depth < MAX_DEPTH and kind >= 150:
        return {key_of(data): value_of(data, depth + 1) for _ in range(kind & 7)}
    return leaf_of(data, kind)


def leaf_of(data, kind):
    match kind % 10:
        case 0:
            return data.number(8) - (1 << 63)
        case 1:
            return data.number(kind) - 1000
        case 2:
            return float.fromhex(f"{data.number(7) - (1 << 55):#x}p{data.number(2) % 1024 - 600}")
        case 3:
            return data.number(3) / 1000
        case 4:
            return data.pick([None, True, False, math.nan, math.inf, -math.inf, -0.0, b"", 1j])
        case 5:
            return data.pick(WORDS) * data.byte() + data.pick(WORDS)
        case 6:
            return data.piece().decode("utf-8", "surrogateescape")
        case 7:
            return data.piece().decode("utf-16", "surrogatepass" if kind & 1 else "replace")
        case 8:
            return data.piece().decode("latin-1")
        case _:
            return data.byte()


def key_of(data):
    kind = data.byte()
    if kind == 255:
        return data.pick([(), b"", 1.5, None, True, 12])
    return data.piece().decode("latin-1") if kind & 1 else data.pick(WORDS)


def require(action, given):
    difference = check(action, given)
    assert difference in (None, "depth-limit"), difference


def dumps(data):
    value = value_of(data)
    require("dumps", value)
    require("dumps_hook", value)
    assert _core.is_finite(value, 512) == _pure.is_finite(value, 512)
    try:
        event = _core.encode_event("e", value, None, 511)
    except (TypeError, ValueError) as exc:
        event = exc
    try:
        text = _core.dumps(value, None, 512)
        again = _core.loads(text, 512)
    except (TypeError, ValueError):  # alien to JSON; an integer that is too long to be read
        return
    if isinstance(event, tuple):  # the arguments: one, or those of a tuple
        shown = value if type(value) is tuple else (value,)
        assert event == (b'"e"', _core.dumps(shown, None, 512).encode())
    assert _core.dumps(again, None, 512) == engineio.json.dumps(again, separators=(",", ":"))


def one_input(raw):
    data = Input(raw)
    kind = data.byte()
    try:
        match kind % 4:
            case 0:
                dumps(data)
            case 1:
                require("loads", data.rest())
            case _:
                mode = "surrogatepass" if kind % 4 == 2 else "replace"
                require("loads", data.rest().decode("utf-8", mode))
    except UnicodeDecodeError:  # the input's, not a document's
        return False
    return True
