"""Prints vectors for the tests of csrc/wire/ws_*: python3 vectors_ws.py frame|stream.

Bytes are hexadecimal. What a case must give is known from how it was built: nothing here parses a
frame. Errors are a message (that of tbx_err_text) and the number of bytes after which it is told.
"""

import random
import sys
from collections.abc import Iterable, Iterator, Sequence

rng = random.Random(6455)

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
CONTROLS = (CLOSE, PING, PONG)

RESERVED = "reserved bits must be 0"
OPCODE = "invalid opcode"
MASK = "incorrect masking"
CONTROL_PART = "fragmented control frame"
CONTROL_LONG = "control frame too long"
LENGTH = "invalid frame length"
CONTINUATION = "unexpected continuation frame"
UNFINISHED = "expected a continuation frame"
UTF8 = "text is not valid UTF-8"
TOO_BIG = "message is too big"
FRAGMENTS = "too many fragments"

# ---- headers: the grammar as sequences of byte sets; a prefix that fits none of them is bad ----

ANY, HIGH = range(256), range(1, 256)
KEY = [ANY] * 4
SHORT, CONTROL_LENGTH = range(0x80, 0xFE), range(0x80, 0xFE)


def grammar(allow_rsv1: bool) -> Iterator[list[Sequence[int]]]:
    data = [0x00, 0x01, 0x02, 0x80, 0x81, 0x82]
    data += [0x41, 0x42, 0xC1, 0xC2] if allow_rsv1 else []
    yield [[0x88, 0x89, 0x8A], CONTROL_LENGTH, *KEY]
    yield [data, SHORT, *KEY]
    yield [data, [0xFE], [0], range(126, 256), *KEY]
    yield [data, [0xFE], HIGH, ANY, *KEY]
    yield [data, [0xFF], range(1, 128), *[ANY] * 7, *KEY]
    for zeros in range(1, 6):
        yield [data, [0xFF], *[[0]] * zeros, HIGH, *[ANY] * (7 - zeros), *KEY]


def fits(header: bytes, form: list[Sequence[int]]) -> bool:
    return all(byte in allowed for byte, allowed in zip(header, form, strict=False))


def reason(header: bytes, told: int, allow_rsv1: bool) -> tuple[str, int]:
    """The message and the position of a header that is bad from its byte number `told` on."""
    first = header[0]
    if told == 1:
        allowed = 0x40 if allow_rsv1 and first & 15 in (TEXT, BINARY) else 0
        if first & 0x70 & ~allowed:
            return RESERVED, 0
        return (CONTROL_PART, 0) if first & 15 in CONTROLS else (OPCODE, 0)
    if told == 2:
        return (MASK, 1) if header[1] < 0x80 else (CONTROL_LONG, 1)
    return LENGTH, 2


def headers() -> Iterator[bytes]:
    key = b"\xa1\xb2\xc3\xd4"
    lengths16 = [*range(4), *range(124, 130), 255, 256, 257, 65534, 65535]
    lengths64 = [0, 1, 125, 126, 65535, 65536, 65537, 2**24, 2**32 - 1, 2**32, 2**40 + 5]
    lengths64 += [2**48 - 1, 2**48, 2**56 - 1, 2**56, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
    for first in range(256):
        for second in (0x00, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0xFC, 0xFD):
            yield bytes((first, second)) + key
        for length in lengths16:
            yield bytes((first, 0xFE)) + length.to_bytes(2, "big") + key
        for length in lengths64:
            yield bytes((first, 0xFF)) + length.to_bytes(8, "big") + key
    for first in (0x01, 0x82, 0x89):
        for second in range(0xFE):
            yield bytes((first, second)) + key


def frame_lines() -> Iterator[tuple[object, ...]]:
    """header, RSV1 allowed, then: ok, opcode, fin, rsv1, length; or: bad, message, told, pos."""
    for header in headers():
        for allow in (False, True):
            forms = list(grammar(allow))
            ends = range(1, len(header) + 1)
            dead = [end for end in ends if not any(fits(header[:end], form) for form in forms)]
            shared = header.hex(), int(allow)
            if dead:
                message, pos = reason(header, dead[0], allow)
                yield *shared, "bad", message, dead[0], pos, ""
            else:
                length = int.from_bytes(header[2:-4], "big") if len(header) > 6 else header[1] - 128
                bits = header[0] & 15, header[0] >> 7, header[0] >> 6 & 1
                yield *shared, "ok", *bits, length


# ---- streams ----


class Stream:
    """Frames as a client sends them, and what a server is to make of them."""

    def __init__(self, max_size: int = 1 << 20, max_fragments: int = 64, deflate: bool = False):
        self.settings = max_size, max_fragments, int(deflate)
        self.data = bytearray()
        self.messages: list[str] = []
        self.end = "idle"
        self.told = 0

    def head(self, first: int, length: int, key: bytes) -> "Stream":
        self.data.append(first)
        if length < 126:
            self.data.append(0x80 | length)
        elif length < 65536:
            self.data += b"\xfe" + length.to_bytes(2, "big")
        else:
            self.data += b"\xff" + length.to_bytes(8, "big")
        self.data += key
        return self

    def frame(self, opcode: int, payload: bytes = b"", fin: int = 1, rsv1: int = 0) -> "Stream":
        key = rng.randbytes(4)
        self.head(fin << 7 | rsv1 << 6 | opcode, len(payload), key)
        self.data += bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        return self

    def gives(self, opcode: int, payload: bytes = b"", compressed: int = 0) -> "Stream":
        self.messages.append(f"{opcode} {compressed} {len(self.data)} {payload.hex()}")
        return self

    def control(self, opcode: int, payload: bytes = b"") -> "Stream":
        return self.frame(opcode, payload).gives(opcode, payload)

    def whole(self, opcode: int, payload: bytes) -> "Stream":
        return self.frame(opcode, payload).gives(opcode, payload)

    def fragments(self, opcode: int, pieces: Sequence[bytes], rsv1: int = 0) -> "Stream":
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            self.frame(CONT if i else opcode, piece, int(last), 0 if i else rsv1)
        return self.gives(opcode, b"".join(pieces), rsv1)

    def open(self) -> "Stream":
        self.end = "open"
        return self

    def bad(self, message: str, told: int | None = None) -> "Stream":
        """`told` counts from the start; without it the error is told at the end of all so far."""
        self.end, self.told = message, len(self.data) if told is None else told
        return self

    def raw(self, data: bytes) -> "Stream":
        self.data += data
        return self

    def line(self) -> tuple[object, ...]:
        return *self.settings, self.data.hex(), ";".join(self.messages), self.end, self.told


def cuts(data: bytes, count: int) -> list[bytes]:
    at = sorted(rng.randint(0, len(data)) for _ in range(count - 1))
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


def text(size: int) -> bytes:
    characters = "".join(rng.choices("abcdefgh \u00e9\u044f\u20ac\u4f60\U0001f600\x00\x7f", k=size))
    return characters.encode()


def plain() -> Iterator[Stream]:
    yield Stream().open().raw(b"\x81")
    for size in (0, 1, 2, 7, 124, 125, 126, 127, 128, 230, 1000, 65534, 65535, 65536, 65537):
        ascii_text = bytes(rng.randrange(32, 127) for _ in range(size))
        yield Stream().whole(TEXT, ascii_text)
        yield Stream().whole(BINARY, rng.randbytes(size)).whole(TEXT, b"next")
        yield Stream().fragments(TEXT, cuts(ascii_text, 3)).control(PING, b"p")
        if size <= 125:
            for opcode in CONTROLS:
                yield Stream().control(opcode, rng.randbytes(size)).whole(TEXT, ascii_text)
    for edge in (0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF):
        yield Stream().whole(TEXT, chr(edge).encode())


def fragmented() -> Iterator[Stream]:
    word = "a\u00e9\u20ac\U0001f600z".encode()
    for i in range(len(word) + 1):
        yield Stream().fragments(TEXT, [word[:i], word[i:]]).whole(TEXT, word)
        for j in range(i, len(word) + 1):
            stream = Stream().frame(TEXT, word[:i], 0).control(PING, b"ping " * 20)
            stream.frame(CONT, word[i:j], 0).control(PONG).control(PING, b"2")
            yield stream.frame(CONT, word[j:]).gives(TEXT, word)
    yield Stream().fragments(TEXT, [bytes((byte,)) for byte in word])
    yield Stream().fragments(BINARY, [b"", b"", b""]).fragments(TEXT, [b"", b"x", b""])
    yield Stream().frame(BINARY, b"half", 0).open()
    yield Stream().frame(BINARY, b"half", 0).control(CLOSE, b"\x03\xe8bye").open()
    yield Stream().frame(TEXT, b"", 0).control(PING).frame(CONT, b"whole").gives(TEXT, b"whole")
    for first in (0x81, 0x02, 0x89):
        whole = bytes(Stream().head(first, 100, b"keys").data) + bytes(99)
        for end in range(1, len(whole)):
            if first != 0x81 or end < 7:
                yield Stream().raw(whole[:end]).open()


def sequence() -> Iterator[Stream]:
    for fin in (0, 1):
        yield Stream().frame(CONT, b"", fin).bad(CONTINUATION)
        yield Stream().head(fin << 7, 300, b"keys").bad(CONTINUATION).raw(bytes(300))
        stream = Stream().whole(TEXT, b"a").fragments(BINARY, [b"b", b"c"])
        yield stream.frame(CONT, b"", fin).bad(CONTINUATION)
        for opcode in (TEXT, BINARY):
            stream = Stream().frame(TEXT, b"half", 0).control(PING, b"p")
            yield stream.frame(opcode, b"", fin).bad(UNFINISHED).raw(b"more")


def broken_headers() -> Iterator[Stream]:
    """Each bad header: at the start, behind a message, within one, behind a ping."""
    starts = (
        lambda: Stream(),
        lambda: Stream().whole(TEXT, b"hello"),
        lambda: Stream().frame(BINARY, b"half", 0),
        lambda: Stream().fragments(TEXT, [b"a", b"b"]).control(PING, b"x" * 125),
    )
    cases: list[tuple[bytes, str, int]] = [
        (bytes((first, 0x80)) + b"keys", RESERVED, 1) for first in (0xC1, 0xA1, 0x91, 0xF2, 0xC9)
    ]
    cases += [(bytes((0x80 | op, 0x80)), OPCODE, 1) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)]
    cases += [(bytes((op, 0x80)) + b"keys", CONTROL_PART, 1) for op in CONTROLS]
    for op in CONTROLS:
        cases += [
            (bytes((0x80 | op, 0x80 | n)) + b"\x00\x7ekeys", CONTROL_LONG, 2) for n in (126, 127)
        ]
    cases += [(bytes((0x80 | op, 5)) + b"hello", MASK, 2) for op in (CONT, TEXT, BINARY, PING)]
    cases += [(b"\x82\xfe" + n.to_bytes(2, "big") + b"keys", LENGTH, 4) for n in (0, 5, 125)]
    cases += [(b"\x82\xff" + n.to_bytes(8, "big") + b"keys", LENGTH, 8) for n in (0, 126, 65535)]
    cases += [(b"\x82\xff" + n.to_bytes(8, "big") + b"key", LENGTH, 3) for n in (2**63, 2**64 - 1)]
    for header, message, told in cases:
        for start in starts:
            stream = start()
            yield stream.bad(message, len(stream.data) + told).raw(header)


BAD_TEXTS = (
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80"),
    *(b"\xfe", b"\xff", b"\xc3(", b"\xc3", b"\xc3\xc3", b"\xe0\x80\x80", b"\xe0\x9f\xbf"),
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xe2(\xa1", b"\xe2\x82(", b"\xe2\x82", b"\xe2"),
    *(b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0(\x8c\xbc", b"\xf0\x90(\xbc", b"\xf0"),
    *(b"\xf0\x9f\x98(", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf"),
    *(b"\xed\xa0\xbd\xed\xb8\x80", b"\xef\xbf\xff", b"\xc3\xa9\xa9", b"\xf0\x9f\x98\x80\x80"),
)


def wrong_byte(payload: bytes) -> int | None:
    """Number of bytes with the first that no text continues with; None: it lacks its end alone."""
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return None
        return error.start + 1 if error.reason == "invalid start byte" else error.end + 1
    raise AssertionError(payload)


def bad_text() -> Iterator[Stream]:
    for wrong in BAD_TEXTS:
        for before in (b"", b"x", "\u00e9".encode(), b"x" * 17, b"x" * 70):
            for after in (b"", b"more", b"x" * 20):
                payload = before + wrong + after
                at = wrong_byte(payload)
                whole = Stream().whole(TEXT, b"ok").frame(TEXT, payload)
                whole.bad(UTF8, None if at is None else len(whole.data) - len(payload) + at)
                yield whole.raw(b"never read")
                if len(before) > 2 or len(after) > 4:
                    continue
                for cut in range(len(payload) + 1):
                    stream = Stream().frame(TEXT, payload[:cut], 0)
                    told = 6 + at if at is not None and at <= cut else None
                    if told is None:
                        stream.control(PING, b"\xff")
                        told = None if at is None else len(stream.data) + 6 + at - cut
                        stream.frame(CONT, payload[cut:])
                    yield stream.bad(UTF8, told)
    for wrong in BAD_TEXTS:  # not text, or not to be looked at
        yield Stream().whole(BINARY, wrong).control(CLOSE, wrong).control(PING, wrong)
        stream = Stream(deflate=True).frame(TEXT, wrong, 1, 1).gives(TEXT, wrong, 1)
        yield stream.fragments(TEXT, [wrong[:1], wrong[1:]], 1).whole(TEXT, b"x")


def limits() -> Iterator[Stream]:
    big = rng.randbytes(1000)
    yield Stream(1000).whole(BINARY, big).fragments(BINARY, [big[:999], big[999:]])
    yield Stream(1000).fragments(BINARY, [big, b"", b""]).whole(BINARY, big)
    yield Stream(0).whole(TEXT, b"").control(PING, b"x" * 125).head(0x81, 1, b"keys").bad(TOO_BIG)
    yield Stream(2**64 - 1).whole(TEXT, b"x").head(0x82, 2**63 - 1, b"keys").open().raw(bytes(50))
    for length in (1001, 65535, 65536, 2**32, 2**63 - 1):
        for body in (b"", b"\xff" * 50):
            yield Stream(1000).head(0x81, length, b"keys").bad(TOO_BIG).raw(body)
            stream = Stream(1000).frame(TEXT, b"a", 0).control(PING, b"x" * 125)
            yield stream.head(0x80, length - 1, b"keys").bad(TOO_BIG).raw(body)
            stream = Stream(2**63).frame(TEXT, b"ab", 0).head(0x00, 2**63 - 1, b"keys")
            yield stream.bad(TOO_BIG).raw(body)
    for limit in (1, 2, 3, 7):
        pieces = [b"x"] * limit
        stream = Stream(max_fragments=limit).fragments(TEXT, pieces).fragments(BINARY, pieces)
        stream.frame(TEXT, b"x", 0)
        for _ in range(limit - 1):
            stream.control(PING).frame(CONT, b"x", 0)
        yield stream.head(0x80, 1, b"keys").bad(FRAGMENTS).raw(b"x")


def compressed() -> Iterator[Stream]:
    data = rng.randbytes(300)
    stream = Stream(deflate=True)
    for opcode in (TEXT, BINARY):
        stream.frame(opcode, data, 1, 1).gives(opcode, data, 1).whole(opcode, b"plain")
        stream.fragments(opcode, cuts(data, 4), 1).fragments(opcode, [b"pl", b"ain"])
    yield stream
    for opcode in (CONT, *CONTROLS):
        stream = Stream(deflate=True).frame(TEXT, b"half", 0, 1)
        told = len(stream.data) + 1
        yield stream.frame(opcode, b"", 1, 1).bad(RESERVED, told)
    yield Stream(deflate=True).bad(RESERVED, 1).raw(b"\xa1\x80keys")
    yield Stream().bad(RESERVED, 1).frame(TEXT, b"", 1, 1)


def random_streams() -> Iterator[Stream]:
    for number in range(300):
        deflate = number % 2 == 1
        stream = Stream(deflate=deflate)
        for _ in range(rng.randint(1, 8)):
            opcode = rng.choice((TEXT, TEXT, BINARY, PING, PONG))
            size = rng.choice((0, 1, 3, 5, 20, 60, 100, 200, rng.randint(0, 600)))
            if opcode in CONTROLS:
                stream.control(opcode, rng.randbytes(min(size, 125)))
                continue
            rsv1 = int(deflate and rng.random() < 0.5)
            data = text(size) if opcode == TEXT and not rsv1 else rng.randbytes(size)
            pieces = cuts(data, rng.choice((1, 1, 2, 3, 6)))
            for i, piece in enumerate(pieces):
                last = i == len(pieces) - 1
                stream.frame(CONT if i else opcode, piece, int(last), 0 if i else rsv1)
                if not last and rng.random() < 0.4:
                    stream.control(rng.choice((PING, PONG)), rng.randbytes(rng.randint(0, 125)))
            stream.gives(opcode, data, rsv1)
        yield stream


def stream_lines() -> Iterator[tuple[object, ...]]:
    """max_size, max_fragments, deflate, bytes, messages, idle or open or a message, told.

    A message is opcode, compressed, number of bytes after which it is whole, payload.
    """
    groups: list[Iterable[Stream]] = [plain(), fragmented(), sequence(), broken_headers()]
    groups += [bad_text(), limits(), compressed(), random_streams()]
    for group in groups:
        for stream in group:
            yield stream.line()


def main() -> None:
    lines = {"frame": frame_lines, "stream": stream_lines}
    for line in lines[sys.argv[1]]():
        print(*line, sep="\t")


if __name__ == "__main__":
    main()
