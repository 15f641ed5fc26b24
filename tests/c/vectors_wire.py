"""Prints vectors for the tests of csrc/wire: python3 vectors_wire.py string|number|sio|base64.

Texts are hexadecimal; each case comes in every prefix, with the result that belongs to the prefix.
Errors are a message (tbx_err_text begins with or equals it) and an offset in bytes.
"""

import base64
import json.decoder
import json.scanner
import random
import re
import sys
from collections.abc import Iterable, Iterator

rng = random.Random(20250911)

EXPONENTS = ("", "e", "E5", "e+5", "e-07", "e+", "e-x", "E+-1", "e1.5", "e5e5", "e1000")
COUNTS = ("", "0-", "1-", "3-", "007-", "-", "9999999999-", "10000000000-", "1" * 30 + "-")
SPACES = ("", "/,", "/chat,", "/chat", "/a?b=c,", "/a?b=1?d", "/?,", "/caf\u00e9,", "/a/b,/c,")


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def prefixes(texts: Iterable[str]) -> Iterator[str]:
    seen = set()
    for text in texts:
        for end in range(len(text) + 1):
            if text[:end] not in seen:
                seen.add(text[:end])
                yield text[:end]


# ---- JSON tokens: CPython's own scanner is the oracle ----


def strings() -> Iterator[str]:
    yield from ('"', 'plain"rest', 'caf\u00e9"', '\u20ac\U0001f600"x', '\ud800 \udfff"', 'x\x7f"')
    for code in range(256):
        yield f'a\\{chr(code)}b"'
        yield f'a{chr(code)}b"'
        yield f'\\u00{chr(code)}1z"'
        yield f'\\ud83d\\u{chr(code)}e00z"'
    yield from ('\\"\\\\\\/\\b\\f\\n\\r\\t" ', '\\u0041\\u00e9\\u20ac\\u0000"', '\\uABcd\\uabCD"')
    yield from ('\\ud83d\\ude00"', '\\ud83d"', '\\ude00"', '\\ude00\\ud83d"')
    yield from ('\\ud83d\\ud83d\\ude00"', '\\udbff\\udfff"', '\\ud800\\udc00"')
    yield from ('\\ud83dx"', '\\ud83d\\n"', '\\ud83d\\u0041"', '\\ud83d\ude00"', '\ud83d\\ude00"')
    yield from ('\\ud83d\\u"', '\\ud83d\\u12"', '\\ud83d\\uzzzz"')
    for n in (7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100):
        for tail in ('"', '\\n"', '\\u00e9"', '\n"', '\u00e9"', '\\q"'):
            yield "x" * n + tail + "more"
    pieces = ["abc", "\u00e9", "\u20ac", "\U0001f600", "\\n", "\\u20ac", "\\ud83d\\ude00", "x" * 20]
    for _ in range(100):
        yield "".join(rng.choices(pieces, k=rng.randint(1, 12))) + '"]'


def string_lines() -> Iterator[tuple[object, ...]]:
    """document, offset behind the quote, then: ok, end, value, ascii or: bad, message, position."""
    for text in prefixes(strings()):
        for head in ('"', '\u00e9["'):
            document = head + text
            shared = to_bytes(document).hex(), len(to_bytes(head))
            try:
                value, end = json.decoder.scanstring(document, len(head), True)
            except json.JSONDecodeError as error:
                yield *shared, "bad", error.msg, len(to_bytes(document[: error.pos])), ""
            else:
                end = len(to_bytes(document[:end]))
                yield *shared, "ok", to_bytes(value).hex(), end, int(value.isascii())


def numbers() -> Iterator[str]:
    for whole in ("0", "7", "10", "00", "01", "1234567890123456789012", "", "-", "--1", "+1"):
        for part in ("", ".", ".0", ".25", "..1", ".5.5", ".e1", ".x"):
            for exponent in EXPONENTS:
                for tail in ("", ",", " ", "x", "]", "\u00e9"):
                    yield whole + part + exponent + tail
                    yield "-" + whole + part + exponent + tail
    yield from ("nope", '"1"', "[1]", "/", ":", "\u0661", ".5", "e5", "-a", "-\u00b2")


def number_lines() -> Iterator[tuple[object, ...]]:
    """document, offset, then: ok, token, end, is_float or: bad, message, position."""
    scan = json.scanner.make_scanner(
        json.JSONDecoder(parse_float=lambda s: ("float", s), parse_int=lambda s: ("int", s))
    )
    for text in prefixes(numbers()):
        for head in ("", "[\u00e9 "):
            document = head + text
            shared = to_bytes(document).hex(), len(to_bytes(head))
            try:
                value, end = scan(document, len(head))
                token_is_number = isinstance(value, tuple)
            except (StopIteration, json.JSONDecodeError):
                token_is_number = False
            if token_is_number:
                kind, token = value
                end = len(to_bytes(document[:end]))
                yield *shared, "ok", to_bytes(token).hex(), end, int(kind == "float")
            else:
                yield *shared, "bad", "Expecting value", len(to_bytes(head)), ""


# ---- Socket.IO headers: the grammar of the protocol, as one expression ----

HEADER = re.compile(
    r"([0-9])(?:([0-9]+)-)?(?:(/[^,?]*)(?:\?[^,]*)?(?:,|\Z))?([0-9]*)",
    re.DOTALL,
)


def headers() -> Iterator[str]:
    for kind in ("0", "2", "5", "9", "", "x", "-1", "/", "\u0662", ":", "\u00e9"):
        for count in COUNTS:
            for space in SPACES:
                for ident in ("", "0", "12", "007"):
                    for data in ("", '["m?",1]', "{}", "-", "-5", "\u0662"):
                        yield kind + count + space + ident + data
    for digits in (99, 100, 101, 250):
        for head in ("2", "2/chat,", "51-", "51-/chat,"):
            yield head + "7" * digits
            yield head + "7" * digits + "[]"


def sio_lines() -> Iterator[tuple[object, ...]]:
    """packet, ok, type, attachments, namespace or none, id, end; or: bad, message, offset."""
    for text in prefixes(headers()):
        packet = to_bytes(text).hex()
        found = HEADER.match(text)
        if found is None:
            yield packet, "bad", "invalid packet type", 0, "", "", ""
            continue
        kind, count, space, ident = found.groups()
        if count is not None and len(count) > 10:
            yield packet, "bad", "too many attachments", 1, "", "", ""
        elif len(ident) > 100:
            position = len(to_bytes(text[: found.start(4)]))
            yield packet, "bad", "id field is too long", position, "", "", ""
        else:
            space = "none" if space is None else to_bytes(space).hex()
            end = len(to_bytes(text[: found.end()]))
            yield packet, "ok", kind, count or 0, space, ident, end


# ---- base64: the module of that name, and the strictness that it lacks ----

GROUP = re.compile(rb"[A-Za-z0-9+/]{4}")
LAST_GROUP = re.compile(rb"[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==")


def base64_texts() -> Iterator[bytes]:
    for n in range(50):
        yield base64.b64encode(rng.randbytes(n))
    yield base64.b64encode(bytes(range(256)))
    yield from (b"=", b"==", b"===", b"====", b"A===", b"AA=A", b"A=AA", b"=AAA", b"AA==AAAA")
    yield from (b"AAA=AAAA", b"AAAAAA==AAAAAAAA", b"AAAA====", b"AB==", b"ABC=", b"AAAAA===")
    for byte in range(256):
        for at in range(8):
            text = bytearray(b"QUJDREVG")
            text[at] = byte
            yield bytes(text)
            yield bytes(text) + b"QQ=="


def base64_lines() -> Iterator[tuple[object, ...]]:
    """text, then: ok, bytes or: bad, offset of the first group that is not strict."""
    seen = set()
    for whole in base64_texts():
        for end in range(len(whole) + 1):
            text = whole[:end]
            if text in seen:
                continue
            seen.add(text)
            groups = [text[i : i + 4] for i in range(0, len(text), 4)]
            wrong = [i for i, g in enumerate(groups[:-1]) if not GROUP.fullmatch(g)]
            if groups and not LAST_GROUP.fullmatch(groups[-1]):
                wrong.append(len(groups) - 1)
            if len(text) % 4 != 0:
                yield text.hex(), "bad", 4 * (len(text) // 4)  # the length is looked at first
            elif wrong:
                yield text.hex(), "bad", 4 * wrong[0]
            else:
                yield text.hex(), "ok", base64.b64decode(text).hex()


def main() -> None:
    lines = {
        "string": string_lines,
        "number": number_lines,
        "sio": sio_lines,
        "base64": base64_lines,
    }
    for line in lines[sys.argv[1]]():
        print(*line, sep="\t")


if __name__ == "__main__":
    main()
