"""Values, JSON texts and packets: good ones, odd ones and broken ones."""

import base64
import enum
import json
import urllib.parse
from collections import OrderedDict, defaultdict, namedtuple
from datetime import datetime
from decimal import Decimal

from hypothesis import strategies as st


class Str(str):
    def __str__(self):
        return "not this"

    __repr__ = __str__


class Int(int):
    def __repr__(self):
        return "666"

    __str__ = __format__ = __repr__


class Float(float):
    def __repr__(self):
        return "6.66"

    __str__ = __format__ = __repr__


class List(list):
    pass


class ShownList(list):
    """Shows other items than it holds."""

    def __iter__(self):
        return iter(["shown", *list.__iter__(self)])


class Tuple(tuple):
    pass


class Dict(dict):
    pass


class ShownDict(dict):
    """Shows other items than it holds."""

    def items(self):
        return [("shown", 1), *dict.items(self)] if self else []


class OddDict(dict):
    """Its items are no pairs."""

    def items(self):
        return [(1, 2, 3)] if self else []


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**70


class Word(enum.StrEnum):
    ONE = "one"
    QUOTE = 'a"b'


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Ratio(float, enum.Enum):
    HALF = 0.5


Pair = namedtuple("Pair", "left right")

CHARS = st.one_of(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E),
    st.characters(min_codepoint=0, max_codepoint=0x2FF),
    st.characters(exclude_categories=()),  # lone surrogates too
    st.sampled_from('"\\/\b\f\n\r\t\x00\x1f\x7f\x80\u2028\u2029\ud800\udbff\udc00\udfff\U0001f600'),
)
LONG_TEXT = st.builds(
    lambda run, times, tail: run * times + tail,
    st.text(CHARS, min_size=1, max_size=3),
    st.integers(1, 90),
    st.text(CHARS, max_size=4),
)
TEXT = st.one_of(st.text(CHARS, max_size=12), LONG_TEXT)

EDGES = [10**k + d for k in (1, 2, 9, 10, 15, 18, 19, 20, 99, 100, 101) for d in (-1, 0)]
EDGES += [2**k + d for k in (15, 30, 31, 32, 53, 60, 62, 63, 64, 120) for d in (-1, 0, 1)]
INTS = st.one_of(
    st.integers(-20, 300), st.integers(), st.sampled_from([s * e for e in EDGES for s in (1, -1)])
)
FLOATS = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, 1e16, 1e15, 9007199254740993.0, 1e22, 1e23, 5e-324, 1e-5, 1e-4]),
    st.integers(-(10**17), 10**17).map(float),
    st.builds(lambda a, b: a / 10**b, st.integers(-(10**9), 10**9), st.integers(0, 9)),
)
PLAIN = st.one_of(st.none(), st.booleans(), INTS, FLOATS, TEXT)
ODD = st.one_of(
    TEXT.map(Str),
    INTS.map(Int),
    FLOATS.map(Float),
    st.sampled_from([*Level, *Word, *Ratio, Flag.A | Flag.B]),
)
BYTES = st.one_of(st.binary(max_size=8), st.binary(max_size=8).map(bytearray))
ALIEN = st.one_of(
    st.just({1}),
    st.just(1j),
    st.just(Decimal("1.5")),
    st.just(datetime(2026, 1, 2)),
    st.binary(max_size=3).map(memoryview),
    BYTES,
)
KEYS = st.one_of(TEXT, TEXT, TEXT, INTS, FLOATS, st.booleans(), st.none(), ODD)
BAD_KEYS = st.one_of(st.just((1, 2)), st.binary(max_size=3), st.just(frozenset()))


def _grow(children, keys, kinds_of_list, kinds_of_dict):
    lists = st.lists(children, max_size=5)
    dicts = st.dictionaries(keys, children, max_size=5)
    return st.one_of(
        st.builds(lambda kind, items: kind(items), st.sampled_from(kinds_of_list), lists),
        st.builds(lambda kind, items: kind(items), st.sampled_from(kinds_of_dict), dicts),
    )


def _default_dict(items):
    return defaultdict(list, items)


def _pair(items):
    return Pair(items, None)


#: What JSON can hold, as a parser would make it.
JSON_VALUES = st.recursive(PLAIN, lambda c: _grow(c, TEXT, [list], [dict]), max_leaves=20)
#: The same with subclasses, tuples and keys that are not str.
VALUES = st.recursive(
    st.one_of(PLAIN, PLAIN, ODD),
    lambda c: _grow(
        c,
        KEYS,
        [list, list, tuple, List, Tuple, ShownList, _pair],
        [dict, dict, dict, Dict, OrderedDict, _default_dict, ShownDict],
    ),
    max_leaves=20,
)
#: The same with things that JSON does not know.
ALIEN_VALUES = st.recursive(
    st.one_of(PLAIN, ODD, ALIEN),
    lambda c: _grow(c, st.one_of(KEYS, KEYS, BAD_KEYS), [list, tuple, ShownList], [dict, Dict]),
    max_leaves=15,
)
#: Data of a Socket.IO event: with bytes in it.
BINARY_VALUES = st.recursive(
    st.one_of(PLAIN, ODD, BYTES, BYTES),
    lambda c: _grow(c, KEYS, [list, list, tuple, List, ShownList], [dict, dict, Dict, ShownDict]),
    max_leaves=15,
)


def _wrap(depth, leaf, opener):
    value = leaf
    for _ in range(depth):
        value = {"k": value} if opener == "{" else (value,) if opener == "(" else [value]
    return value


#: Nested to about the limit.
DEEP_VALUES = st.builds(
    _wrap, st.integers(505, 520), st.sampled_from([1, [], {}, "x"]), st.sampled_from("[{(")
)


def _deep_text(depth, opener, leaf, tail):
    opening, closing = ("[", "]") if opener == "[" else ('{"k":', "}")
    return opening * depth + leaf + closing * depth + tail


DEEP_TEXTS = st.builds(
    _deep_text,
    st.integers(505, 520),
    st.sampled_from("[{"),
    st.sampled_from(["1", "[]", "{}", "", "x"]),
    st.sampled_from(["", "]", " ", ","]),
)


def _dump(value, indent, ascii_only, separators):
    return json.dumps(value, indent=indent, ensure_ascii=ascii_only, separators=separators)


_DUMPED = st.builds(
    _dump,
    JSON_VALUES,
    st.sampled_from([None, None, None, 1, "\t\r"]),
    st.booleans(),
    st.sampled_from([None, (",", ":"), (" , ", "\t:\n")]),
)
_DIGITS = st.one_of(
    st.from_regex(r"-?[0-9]{0,3}(\.[0-9]{0,3})?([eE][-+]?[0-9]{0,3})?", fullmatch=True),
    st.builds(lambda sign, n, tail: sign + "7" * n + tail, st.sampled_from(["", "-"]),
              st.integers(95, 103), st.sampled_from(["", ".0", "e1", ".", "x"])),
    st.from_regex(r"-?[1-9][0-9]{14,22}(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
)  # fmt: skip
_WORDS = """null true false NaN Infinity -Infinity nul tru Infinit -Infinit N - 0 -0 01 1 1.5 // '
"k" "k": "\\u12" "\\ud83d\\ude00" "\\ud83d" "\\ude00\\ud83d" "\\ud83d\\u0041" "\\ud83d\\u12 "\\x"
"\\u000" "\\uD83D\\uDE0 "\\u+041" "\\u0x41" /**/ \u0663 \U0001d7d9"""
_TOKENS = st.sampled_from(
    [
        *'[]{},:"\\ \n\t\r\x0b\xa0\ufeff',
        *_WORDS.split(),
        *('"\x00"', '"\x1f"', '"\x7f"', '"\xe9"', '"\ud800"', '"\\u 041"'),
    ]
)
_SOUP = st.lists(st.one_of(_TOKENS, _DIGITS), max_size=10).map("".join)


def _mutate(text, changes):
    for kind, at, extra in changes:
        place = at % (len(text) + 1)
        if kind == "insert":
            text = text[:place] + extra + text[place:]
        elif kind == "replace":
            text = text[:place] + extra + text[place + 1 :]
        elif kind == "delete":
            text = text[:place] + text[place + 1 :]
        elif kind == "truncate":
            text = text[:place]
        else:
            text = text[:place] + text[place // 2 :]
    return text


_KINDS = st.sampled_from(["insert", "replace", "delete", "truncate", "repeat"])


def _mutated(texts, extras):
    change = st.tuples(_KINDS, st.integers(0, 1 << 16), extras)
    return st.builds(_mutate, texts, st.lists(change, min_size=1, max_size=3))


_VALID = st.one_of(_DUMPED, _DUMPED, _DIGITS)
_DOUBLED = st.builds(
    lambda key, a, b: f'{{{key}:{a},"x":0, {key}:{b}}}',
    *(c.map(json.dumps) for c in [TEXT, PLAIN, PLAIN]),
)
#: Good and broken JSON.
TEXTS = st.one_of(
    _VALID,
    _mutated(_VALID, st.one_of(_TOKENS, CHARS)),
    _mutated(_VALID, st.one_of(_TOKENS, CHARS)),
    _SOUP,
    _DOUBLED,
    st.builds(lambda a, t, b: a + t + b, st.text(" \t\r\n\x0b\ufeff", max_size=3), _VALID,
              st.text(" \t\r\n\x0c]", max_size=3)),
)  # fmt: skip
_ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
_ENCODINGS += ["utf-32", "utf-32-le", "utf-32-be"]
_ENCODED = st.builds(
    lambda text, encoding: text.encode(encoding, "surrogatepass"),
    TEXTS,
    st.sampled_from(_ENCODINGS),
)
_BYTE = st.integers(0, 255).map(lambda byte: bytes([byte]))
_ALL_BYTES = st.one_of(_ENCODED, _ENCODED, _mutated(_ENCODED, _BYTE), st.binary(max_size=6))
#: What loads() may be given besides str.
DOCUMENTS = st.one_of(
    _ALL_BYTES,
    _ALL_BYTES.map(bytearray),
    TEXTS.map(Str),
    st.one_of(_ALL_BYTES.map(memoryview), st.none(), st.integers(), st.just([])),
)

# Socket.IO and Engine.IO

NAMESPACES = st.sampled_from([None, None, "/", "/foo", "/a/b", "/é", "/\U0001f600", "/q?x=1", ""])
IDS = st.one_of(st.none(), st.integers(0, 99), st.integers(), st.sampled_from([True, Int(5), "7"]))

_PLACEHOLDER = st.builds(
    lambda mark, num: {"_placeholder": mark, "num": num},
    st.sampled_from([True, True, True, True, 1, False, None, "yes"]),
    st.one_of(
        st.integers(0, 2), st.integers(0, 2), st.integers(-3, 5), st.booleans(), FLOATS, TEXT
    ),
)
#: Data in which placeholders stand for attachments.
HOLED_VALUES = st.recursive(
    st.one_of(PLAIN, _PLACEHOLDER, _PLACEHOLDER),
    lambda c: _grow(c, st.one_of(TEXT, st.just("_placeholder")), [list], [dict]),
    max_leaves=12,
)
_DATA = st.one_of(
    st.just(""),
    st.builds(lambda name, args: json.dumps([name, *args], separators=(",", ":")), TEXT,
              st.lists(JSON_VALUES, max_size=3)),
    HOLED_VALUES.map(lambda v: json.dumps(["e", v], ensure_ascii=False)),
    JSON_VALUES.map(json.dumps),
    TEXTS,
)  # fmt: skip
_TYPES = st.sampled_from([*"2222356560145", "7", "9", "", "x", "-", "٢", "²", "b"])
_COUNTS = st.sampled_from(
    [
        *("", "", "", "0-", "1-", "1-", "2-", "10-", "11-", "-", "x-", "1", "1x-", "00000000000"),
        *("0000000001-", "9999999999-", "99999999999-", "\u00b2-", "\u0661-"),
    ]
)
_WIRE_NAMESPACES = st.sampled_from(
    [
        "",
        "",
        "",
        "/,",
        "/foo,",
        "/foo",
        "/foo?a=1,",
        "/foo?",
        "/?,",
        "/a,b,",
        "/é,",
        "/😀?é,",
        "/[,",
    ]
)
_WIRE_IDS = st.one_of(
    st.just(""),
    st.integers(0, 10**19).map(str),
    st.sampled_from(["0", "007", "7" * 99, "7" * 100, "7" * 101, "0" * 150, "²", "١٢", "1²", "1 "]),
)
_PACKETS = st.builds(
    lambda *parts: "".join(parts), _TYPES, _COUNTS, _WIRE_NAMESPACES, _WIRE_IDS, _DATA
)
#: The text of Socket.IO packets, good and broken.
PACKET_TEXTS = st.one_of(
    _PACKETS, _PACKETS, _mutated(_PACKETS, st.one_of(_TOKENS, CHARS)), st.text(CHARS, max_size=6)
)

#: Data of Engine.IO packets.
ENGINE_DATA = st.one_of(
    st.none(), TEXT, BYTES, VALUES, INTS, FLOATS, st.booleans(), ALIEN_VALUES, st.just(Str("s"))
)
_BASE64 = st.one_of(
    st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode()),
    st.text("ABab01+/=-_ \n\x80é", max_size=12),
)
_ENGINE_TEXTS = st.one_of(
    st.builds(lambda kind, data: kind + data, st.sampled_from([*"0123456789", "٤", "²", "x", ""]),
              st.one_of(TEXT, TEXTS, st.sampled_from(["²1", "½", "٣", "12", "-1", "probe"]))),
    _BASE64.map(lambda text: "b" + text),
    _mutated(_BASE64.map(lambda text: "b" + text), CHARS),
)  # fmt: skip
#: What an Engine.IO packet may be read from.
ENGINE_PACKETS = st.one_of(_ENGINE_TEXTS, _ENGINE_TEXTS, BYTES, _ENGINE_TEXTS.map(Str))

_FORM_SAFE = st.text('d=&+%20123 \x1e4"\\nab;é', max_size=20)
#: Bodies of polling requests.
PAYLOADS = st.one_of(
    st.lists(_ENGINE_TEXTS, max_size=5).map("\x1e".join),
    st.integers(14, 18).map(lambda n: "\x1e".join(["4a"] * n)),
    st.lists(_ENGINE_TEXTS, max_size=3).map(
        lambda packets: "d=" + urllib.parse.quote_plus(
            "\x1e".join(packets).encode("utf-8", "replace").decode()
        )
    ),
    _FORM_SAFE.map(lambda text: "d=" + text),
    st.text("4\x1eab", max_size=40),
)  # fmt: skip
