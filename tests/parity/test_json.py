"""toolboxsio.json against json.dumps and engineio.json.loads."""

import engineio.json
import pytest
from hypothesis import given

import toolboxsio

from . import strategies as s
from .actions import check
from .compare import cases, is_same, outcome
from .strategies import Dict, Float, Int, List, Str


@cases(2)
@given(s.VALUES)
def test_dumps(value):
    assert check("dumps", value) is None


@cases()
@given(s.ALIEN_VALUES)
def test_dumps_what_json_does_not_know(value):
    assert check("dumps", value) is None
    assert check("dumps_hook", value) is None


@cases(0.05)
@given(s.DEEP_VALUES)
def test_dumps_deep(value):
    check("dumps", value)


@cases(2)
@given(s.TEXTS)
def test_loads_text(text):
    assert check("loads", text) is None


@cases()
@given(s.DOCUMENTS)
def test_loads_other_documents(document):
    assert check("loads", document) is None


@cases(0.05)
@given(s.DEEP_TEXTS)
def test_loads_deep(text):
    check("loads", text)


def test_every_character_in_a_string():
    for start in range(0, 0x110000, 0x1000):
        text = "".join(map(chr, range(start, start + 0x1000)))
        assert check("dumps", text) is None
        assert check("loads", engineio.json.dumps(text)) is None
        assert check("loads", engineio.json.dumps(text, ensure_ascii=False)) is None
    for char in map(chr, range(0x300)):
        for text in (char, f'"{char}"', f'"\\{char}"', f'"\\u00{char}1"', f"[{char}1]", f"1{char}"):
            assert check("loads", text) is None


def test_every_byte():
    for byte in range(256):
        raw = bytes([byte])
        for text in (raw, b'"' + raw + b'"', raw + b'"\x80', b"[" + raw, raw * 4, b'"\xf0' + raw):
            assert check("loads", text) is None


def _circular():
    ring = [1]
    ring.append(ring)
    mesh = {"a": {}}
    mesh["a"]["b"] = [mesh]
    pair = ([],)
    pair[0].append(pair)
    alien_first = [{1, 2}]
    alien_first.append(alien_first)
    alien_last = []
    alien_last += [alien_last, {1, 2}]
    odd = Dict()
    odd["x"] = List([odd])
    return [ring, mesh, pair, alien_first, alien_last, odd, [ring, ring], {"k": mesh}]


@pytest.mark.parametrize("value", _circular(), ids=range(len(_circular())))
def test_circular(value):
    theirs = outcome(engineio.json.dumps, value)
    assert theirs.error is not None
    ours = outcome(toolboxsio.json.dumps, value)
    assert (type(ours.error), str(ours.error)) == (type(theirs.error), str(theirs.error))


def test_the_same_object_twice_is_no_circle():
    shared = [1]
    assert check("dumps", [shared, {"a": shared}, (shared, shared)]) is None


class _Evil:
    """Objects and a `default` that change what is being written."""

    def __init__(self):
        self.data = [1j, 2, [3]]
        self.calls = []

    def grow(self, obj):
        self.calls.append(obj)
        if len(self.data) < 40:
            self.data.append(1j)
        return obj.imag

    def shrink(self, obj):
        self.calls.append(obj)
        self.data.clear()

    def raise_stop(self, obj):
        raise StopIteration(obj)

    def itself(self, obj):
        return obj

    def wrap(self, obj):
        self.calls.append(obj)
        return [obj]

    def chain(self, obj):
        self.calls.append(obj)
        return {1, 2} if isinstance(obj, complex) else len(self.calls)


@pytest.mark.parametrize("hook", ["grow", "shrink", "raise_stop", "itself", "wrap", "chain"])
@pytest.mark.parametrize("shape", ["list", "value", "in dict", "in tuple"])
def test_default_that_interferes(hook, shape):
    results = []
    for dumps in (engineio.json.dumps, toolboxsio.json.dumps):
        evil = _Evil()
        value = {
            "list": evil.data,
            "value": 1j,
            "in dict": {"a": evil.data, "b": 1j},
            "in tuple": (evil.data, 1j, evil.data),
        }[shape]
        got = outcome(dumps, value, default=getattr(evil, hook), separators=(",", ":"))
        results.append((got, [repr(call) for call in evil.calls]))
    (theirs, their_calls), (ours, our_calls) = results
    assert is_same(theirs, ours), (theirs, ours)
    if hook == "wrap":  # the circle is noticed later, at the limit of depth
        our_calls = our_calls[: len(their_calls)]
    assert our_calls == their_calls


class _Raising(dict):
    def items(self):
        raise KeyError("items")


class _RaisingList(list):
    def __iter__(self):
        raise LookupError("iter")


class _EndlessHash(str):
    def __hash__(self):
        raise RuntimeError("hash")


@pytest.mark.parametrize(
    "value",
    [
        _Raising(a=1),
        [_RaisingList([1])],
        _EndlessHash("s"),
        [_EndlessHash('s"')],
        {Str("k"): Int(3), Int(3): Float(0.5), Float("inf"): Str("x")},
        {1: "a", "1": "b"},
        {True: 1, None: 2, 0.5: 3, -0.0: 4},
        {(1, 2): 3},
        {"a": {b"b": 1}},
        [float("nan"), float("inf"), -float("inf"), -0.0],
        s.OddDict(a=1),
        [s.ShownList(), s.ShownDict(), s.ShownDict(a=1)],
        range(3),
        iter([]),
        {}.keys(),
        NotImplemented,
        type,
        toolboxsio,
    ],
    ids=lambda value: type(value).__name__,
)
def test_dumps_odd_objects(value):
    assert check("dumps", value) is None
    theirs, ours = outcome(engineio.json.dumps, value), outcome(toolboxsio.json.dumps, value)
    if theirs.error is not None:
        assert str(ours.error) == str(theirs.error)


@pytest.mark.parametrize("depth", [511, 512])
def test_nesting_up_to_the_limit(depth):
    assert check("loads", "[" * depth + "]" * depth) is None
    assert check("loads", '{"a":' * depth + "1" + "}" * depth) is None
    assert check("dumps", engineio.json.loads("[" * depth + "]" * depth)) is None


@pytest.mark.parametrize(
    "options",
    [
        {"indent": 2},
        {"sort_keys": True},
        {"ensure_ascii": False},
        {"skipkeys": True},
        {"allow_nan": False},
        {"separators": (", ", ": ")},
        {"check_circular": False},
        {"default": repr},
    ],
    ids=lambda options: next(iter(options)),
)
@cases(0.2)
@given(value=s.VALUES)
def test_dumps_options(options, value):
    expected = outcome(engineio.json.dumps, value, **{"separators": (",", ":"), **options})
    if options.get("indent"):  # as in json.dumps: no space behind a comma
        expected = outcome(engineio.json.dumps, value, **options)
    assert is_same(expected, outcome(toolboxsio.json.dumps, value, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"parse_float": str},
        {"parse_int": str},
        {"parse_constant": str},
        {"object_hook": lambda pairs: sorted(pairs)},
        {"object_pairs_hook": tuple},
    ],
    ids=lambda options: next(iter(options)),
)
@cases(0.2)
@given(text=s.TEXTS)
def test_loads_options(options, text):
    expected = outcome(engineio.json.loads, text, **options)
    assert is_same(expected, outcome(toolboxsio.json.loads, text, **options))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["\ufeff", "\ufeff1", "\ufeff\ufeff1", " \ufeff1", "1\ufeff"])
def test_byte_order_marks(encoding, text):
    assert check("loads", text) is None
    assert check("loads", text.encode(encoding)) is None
    assert check("loads", bytearray(text.encode(encoding))) is None
    assert check("decode", "2" + text) is None
    assert check("engine_decode", "4" + text) is None
