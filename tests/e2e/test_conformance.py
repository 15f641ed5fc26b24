"""RFC 6455 and RFC 7692, frame by frame, on a Socket.IO session: what goes on, what is refused.

Each case is sent in one piece, byte by byte and cut at random, and its bytes are shown to wsproto
too: where that judges otherwise than the RFC, JUDGE says why. DEVIATES says where uvicorn's own
WebSocket, on which the "asgi" path depends, does.
"""

import contextlib
import itertools
import json
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    close_frame,
    fragments,
    frame,
)
from .harness import OURS, Server, serving
from .machine import NIGHTLY
from .ws_frames import MEGABYTE, Deflate, Session, cut, event, judged

pytestmark = pytest.mark.timeout(60)

#: Options of the servers, and how the bytes of each case are cut for them.
PATHS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "direct": ({"path": "direct", "loop": "uvloop"}, ("whole", "bytes", "random")),
    "direct-asyncio": ({"path": "direct", "loop": "asyncio"}, ("random",)),
    "asgi": ({"path": "asgi"}, ("whole",)),
}
if NIGHTLY:
    PATHS["direct-proactor"] = ({"path": "direct", "loop": "proactor:ProactorLoop"}, ("random",))
LIMIT = 1_000_000  # python-socketio's, in characters or bytes
UVICORN_LIMIT = 16 * MEGABYTE  # of a message
OFFER = "permessage-deflate; client_max_window_bits"
ONE = '["one",{"_placeholder":true,"num":0}]'
PROTOCOL_ERROR, BAD_DATA, TOO_BIG = {1002}, {1007}, {1009, 1000}
#: RFC 7692 names no code for data that cannot be decompressed.
CANNOT_INFLATE = {1002, 1003, 1007}
LATE = frame(TEXT, '42["nothing","late"]')

Bytes = Callable[[Deflate], bytes]


@dataclass(frozen=True)
class Case:
    """Bytes, or several variants of them each for a session of its own, and what must come of it.

    With `codes` the server has to close with one of them; with `either` it may go on as well.
    """

    name: str
    variants: list[bytes | Bytes]
    acks: dict[int, Any] = field(default_factory=dict)
    pongs: tuple[bytes, ...] = ()
    codes: frozenset[int] = frozenset()
    either: bool = False
    offer: str | None = None
    close_sent: bool = False  # the bytes have a Close frame
    half: bool = False  # the bytes end within a frame
    is_judged: bool = True


CASES: list[Case] = []

#: Cases that wsproto decides otherwise.
JUDGE = {
    "Close 1014": "registered after wsproto's list of codes was made",
    "deflate, fragments with control frames between": "a control frame ends its decompression",
    "deflate, messages after a final block": "its decompressor stays at the end of the stream",
}
#: Cases that uvicorn's WebSocket (websockets) decides otherwise.
DEVIATES = {
    "Close within a message": "taken for a broken message: 1002",
    "deflate, messages after a final block": "its decompressor stays at the end of the stream",
}


def add(name: str, *variants: bytes | Bytes, codes: Iterable[int] = (), **more: Any) -> None:
    assert all(case.name != name for case in CASES), name
    CASES.append(Case(name, list(variants), codes=frozenset(codes), **more))


# --- opcodes, reserved bits, masks ----------------------------------------------------------------


def with_attachment(number: int, *frames: bytes) -> bytes:
    return frame(TEXT, f"451-{number}{ONE}") + b"".join(frames)


add("opcode 0, nothing to continue", frame(CONT, event(1, "x")), codes=PROTOCOL_ERROR)
add("opcode 0, empty", frame(CONT), codes=PROTOCOL_ERROR)
add("opcode 1", frame(TEXT, event(1, "x")), acks={1: "x"})
add("opcode 2", with_attachment(1, frame(BINARY, b"\x00\xff")), acks={1: b"\x00\xff"})
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    empty, full = frame(opcode), frame(opcode, event(1, "x"))
    half = frame(TEXT, event(1, "x"), fin=False) + frame(opcode, b"")
    add(f"opcode {opcode}", empty, full, half, codes=PROTOCOL_ERROR)
add("opcode 9", frame(PING), pongs=(b"",))
add("opcode 10", frame(PONG))
for rsv, bits in ((RSV1, "1"), (RSV2, "2"), (RSV3, "3"), (RSV1 | RSV2 | RSV3, "1, 2 and 3")):
    add(f"reserved bit {bits}", frame(TEXT, event(1, "x"), rsv=rsv), codes=PROTOCOL_ERROR)
    later = frame(TEXT, event(1, "x"), fin=False) + frame(CONT, b"", rsv=rsv)
    add(f"reserved bit {bits}, continuation", later, codes=PROTOCOL_ERROR)
    controls = [frame(opcode, rsv=rsv) for opcode in (CLOSE, PING, PONG)]
    add(f"reserved bit {bits}, control frame", *controls, codes=PROTOCOL_ERROR)
    if rsv != RSV1:
        both = frame(TEXT, event(1, "x"), rsv=rsv), frame(PING, rsv=rsv)
        add(f"reserved bit {bits}, deflate", *both, codes=PROTOCOL_ERROR, offer=OFFER)
add(
    "not masked",
    frame(TEXT, event(1, "x"), key=None),
    frame(PING, key=None),
    frame(CLOSE, key=None),
    codes=PROTOCOL_ERROR,
)
KEYS = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01", b"\x80\x00\x00\x00", b"abcd")
add(
    "masks",
    b"".join(frame(TEXT, event(n, "x" * n), key=key) for n, key in enumerate(KEYS)),
    acks={n: "x" * n for n in range(len(KEYS))},
)
many_keys = [(n, random.Random(n).randbytes(4)) for n in range(70)]
add(
    "masks of binary of every length up to 69",
    b"".join(with_attachment(n, frame(BINARY, bytes(range(n)), key=key)) for n, key in many_keys),
    acks={n: bytes(range(n)) for n in range(70)},
)

# --- lengths --------------------------------------------------------------------------------------

LENGTHS = (0, 1, 124, 125, 126, 127, 128, 65535, 65536, 65537)
BLOB = random.Random(1).randbytes(70_000)
for length in LENGTHS:
    add(
        f"binary of {length}",
        with_attachment(1, frame(BINARY, BLOB[:length])) + frame(TEXT, event(2, "after")),
        acks={1: BLOB[:length], 2: "after"},
    )
    if length > 100:
        value = "y" * (length - len(event(1, "")))
        add(f"text of {length}", frame(TEXT, event(1, value)), acks={1: value})
add("text of 1", frame(TEXT, "3") * 3)
for length, width in ((0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)):
    add(
        f"length {length} in {width} bytes",
        with_attachment(1, frame(BINARY, BLOB[:length], width=width)),
        acks={1: BLOB[:length]},
        codes=PROTOCOL_ERROR,
        either=True,  # RFC 6455, 5.2, tells only the sender to use the least number of bytes
    )
for announced in (1 << 63, (1 << 64) - 1, (1 << 63) + 5):
    add(
        f"length {announced:#x}",
        frame(BINARY, announced=announced),
        codes=PROTOCOL_ERROR | TOO_BIG,
        half=True,
    )
for opcode in (PING, PONG):
    answered = (BLOB[:125],) if opcode == PING else ()
    add(f"control frame {opcode} of 125", frame(opcode, BLOB[:125]), pongs=answered)
for opcode in (CLOSE, PING, PONG):
    add(f"control frame {opcode} of 126", frame(opcode, BLOB[:126]), codes=PROTOCOL_ERROR)
    add(f"control frame {opcode} of 65536", frame(opcode, BLOB[:65536]), codes=PROTOCOL_ERROR)
    add(
        f"control frame {opcode} in fragments",
        frame(opcode, b"", fin=False) + frame(CONT, b""),
        frame(opcode, b"\x03\xe8", fin=False) + frame(CONT, b"bye"),
        codes=PROTOCOL_ERROR,
    )

# --- fragments ------------------------------------------------------------------------------------

PLAIN = event(1, "fragments").encode()
add(
    "two fragments",
    *(fragments(TEXT, [PLAIN[:i], PLAIN[i:]]) for i in range(len(PLAIN) + 1)),
    acks={1: "fragments"},
)
for count in (3, 5, len(PLAIN)):
    step = -(-len(PLAIN) // count)
    pieces = [PLAIN[i : i + step] for i in range(0, len(PLAIN), step)]
    add(f"{count} fragments", fragments(TEXT, pieces), acks={1: "fragments"})
    add(
        f"{count} fragments with control frames between",
        fragments(TEXT, pieces, between=frame(PING, b"p") + frame(PONG, b"q")),
        acks={1: "fragments"},
        pongs=(b"p",) * (len(pieces) - 1),
    )
add(
    "1000 fragments",
    fragments(TEXT, [c.to_bytes() for c in event(1, "z" * 980).encode()]),
    acks={1: "z" * 980},
)
add(
    "empty fragments",
    fragments(TEXT, [b"", PLAIN]),
    fragments(TEXT, [PLAIN, b""]),
    fragments(TEXT, [b"", b"", PLAIN[:5], b"", b"", PLAIN[5:], b"", b""]),
    acks={1: "fragments"},
)
add(
    "binary in fragments",
    with_attachment(1, fragments(BINARY, [BLOB[:7], b"", BLOB[7:300], BLOB[300:70_000]])),
    with_attachment(1, fragments(BINARY, [BLOB[:65536], BLOB[65536:]], between=frame(PONG))),
    acks={1: BLOB},
)
add(
    "empty binary in fragments",
    with_attachment(1, fragments(BINARY, [b"", b"", b""])),
    acks={1: b""},
)
for opcode in (TEXT, BINARY):
    add(
        f"data frame {opcode} within a message",
        frame(TEXT, PLAIN[:5], fin=False) + frame(opcode, PLAIN[5:]),
        frame(TEXT, b"", fin=False) + frame(opcode, b"", fin=False),
        frame(BINARY, b"\x00", fin=False) + frame(opcode, b""),
        frame(TEXT, PLAIN[:5], fin=False) + frame(PING) + frame(opcode, PLAIN),
        codes=PROTOCOL_ERROR,
    )
add(
    "continuation after a whole message",
    frame(TEXT, PLAIN) + frame(CONT, b""),
    fragments(TEXT, [PLAIN[:5], PLAIN[5:]]) + frame(CONT, PLAIN),
    codes=PROTOCOL_ERROR,
)

# --- UTF-8 ----------------------------------------------------------------------------------------

HEAD = '42{n}["one","'
BAD = {
    "a continuation byte alone": ("80", "bf", "c3a980"),
    "bytes that never occur": ("c0", "c1", "f5", "f6", "f7", "f8", "fb", "fc", "fd", "fe", "ff"),
    "overlong": ("c080", "c0af", "c1bf", "e08080", "e080af", "e09fbf"),
    "overlong, 4 bytes": ("f0808080", "f08080af", "f08fbfbf"),
    "surrogates": ("eda080", "edadbf", "edae80", "edbfbf", "eda080edb080"),
    "beyond U+10FFFF": ("f4908080", "f7bfbfbf", "f888808080", "fc8480808080"),
    "a character broken off": ("c3", "e2", "e282", "f0", "f09f", "f09f98"),
    "a wrong second byte": ("c328", "e228a1", "f0288cbc", "e2c3a9"),
    "a wrong third byte": ("e28228", "f09028bc", "f09fc3a9"),
    "a wrong fourth byte": ("f0288c28", "f09f9828", "f09f98c3a9"),
}


def in_two(message: bytes, start: int, end: int, rsv: int = 0) -> Iterator[bytes]:
    """The message in one frame, and in two, cut everywhere from `start` to `end`."""
    yield frame(TEXT, message, rsv=rsv)
    for i in range(start, end + 1):
        yield fragments(TEXT, [message[:i], message[i:]], rsv)


def bad_text(bad: bytes) -> Iterator[bytes]:
    """The bad bytes inside a message, after a few lengths of good text, and at its end."""
    for pad, end in ((0, b'"]'), (3, b""), (29, b"x" * 40 + b'"]')):
        start = HEAD.format(n=1).encode() + b"p" * pad
        yield from in_two(start + bad + end, len(start), len(start) + len(bad))


for kind, sequences in BAD.items():
    variants = itertools.chain.from_iterable(bad_text(bytes.fromhex(h)) for h in sequences)
    add(f"bad UTF-8, {kind}", *variants, codes=BAD_DATA)

GOOD = (
    "\x7f\u0080\u07ff\u0800\ud7ff\ue000\ufdd0\ufffd\ufffe\uffff\U00010000\U0001f600\U0010ffff"
    "\u00e9\u65e5\u672c\u2028"
)
good_text = event(1, GOOD).encode()
add("good UTF-8 in two fragments", *in_two(good_text, 0, len(good_text)), acks={1: GOOD})
add(
    "good UTF-8, a byte a fragment",
    fragments(TEXT, [c.to_bytes() for c in good_text]),
    acks={1: GOOD},
)
add(
    "good UTF-8, a byte a fragment, with control frames between",
    fragments(TEXT, [c.to_bytes() for c in good_text], between=frame(PING, b"\xff")),
    acks={1: GOOD},
    pongs=(b"\xff",) * (len(good_text) - 1),
)
add(
    "good UTF-8 after good text of every length up to 40",
    b"".join(frame(TEXT, event(n, "a" * n + GOOD)) for n in range(40)),
    acks={n: "a" * n + GOOD for n in range(40)},
)
add(
    "binary that is not UTF-8, in fragments",
    with_attachment(1, fragments(BINARY, [b"\xff\xc3", b"\x28\xed", b"\xa0\x80"])),
    acks={1: b"\xff\xc3\x28\xed\xa0\x80"},
)

# --- control frames -------------------------------------------------------------------------------

PAYLOADS = (b"", b"x", b"\xff\x00\xc3", BLOB[:124], BLOB[:125])
for number, payload in enumerate(PAYLOADS):
    add(f"PING {number}", frame(PING, payload), pongs=(payload,))
add("several PINGs", b"".join(frame(PING, payload) for payload in PAYLOADS), pongs=PAYLOADS)
add("PONGs unasked", b"".join(frame(PONG, payload) for payload in PAYLOADS))
add(
    "PINGs among messages",
    b"".join(frame(TEXT, event(n, n)) + frame(PING, bytes([n])) for n in range(20)),
    acks={n: n for n in range(20)},
    pongs=tuple(bytes([n]) for n in range(20)),
)

# --- Close ----------------------------------------------------------------------------------------

add("Close, empty", frame(CLOSE), codes={1005, 1000}, close_sent=True)
add("Close of 1 byte", frame(CLOSE, b"\x03"), codes=PROTOCOL_ERROR)
for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999):
    add(
        f"Close {code}",
        close_frame(code),
        close_frame(code, "\u00e9 \U0001f600".encode()),
        close_frame(code, b"r" * 123),
        codes={code},
        close_sent=True,
    )
add(
    "Close within a message",  # RFC 6455, 5.4: as any control frame
    frame(TEXT, PLAIN[:5], fin=False) + close_frame(1001),
    frame(BINARY, b"x", fin=False) + frame(CONT, b"", fin=False) + close_frame(1001, b"bye"),
    codes={1001},
    close_sent=True,
)
for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    add(f"Close {code}", close_frame(code), close_frame(code, b"why"), codes=PROTOCOL_ERROR)
for number, reason in enumerate(
    (b"\xff", b"\xc3", b"ok\xed\xa0\x80", b"\xf4\x90\x80\x80", b"x\xe2")
):
    add(
        f"Close with a reason that is not UTF-8, {number}",
        close_frame(1000, reason),
        codes=PROTOCOL_ERROR | BAD_DATA,
    )

# --- sizes ----------------------------------------------------------------------------------------

for announced in (UVICORN_LIMIT + 1, 1 << 32, 1 << 40, (1 << 63) - 1):
    add(
        f"a header that announces {announced}",
        frame(BINARY, announced=announced),
        frame(TEXT, announced=announced),
        frame(TEXT, PLAIN, fin=False) + frame(CONT, announced=announced),
        codes=TOO_BIG,
        half=True,
        is_judged=False,
    )
largest = "x" * (LIMIT - len(event(1, "")))
add("a message as large as allowed", frame(TEXT, event(1, largest)), acks={1: largest})
add(
    "a message one over the limit",
    frame(TEXT, event(1, largest + "x")),
    fragments(TEXT, [event(1, largest).encode(), b"x"]),
    with_attachment(1, frame(BINARY, bytes(LIMIT + 1))),
    codes=TOO_BIG,
    is_judged=False,
)
wide = "\u20ac" * len(largest)
add(
    "a message as large as allowed in characters and larger in bytes",
    frame(TEXT, event(1, wide)),
    acks={1: wide},
    codes=TOO_BIG,
    either=True,  # python-socketio counts the characters of a text; a server may count its bytes
)
add(
    "fragments without end",
    frame(TEXT, "4", fin=False) + frame(CONT, "2" * 100_000, fin=False) * 170,
    frame(BINARY, b"", fin=False) + frame(CONT, bytes(65536), fin=False) * 260,
    codes=TOO_BIG,
    half=True,
    is_judged=False,
)

# --- permessage-deflate ---------------------------------------------------------------------------


def compressed_fragments(deflate: Deflate, cuts: tuple[int, ...], **more: Any) -> bytes:
    payload = deflate.deflate(event(1, GOOD * 3))
    points = [min(c, len(payload)) for c in cuts]
    pairs = zip([0, *points], [*points, len(payload)], strict=True)
    return fragments(TEXT, [payload[a:b] for a, b in pairs], RSV1, **more)


def flushed_within(deflate: Deflate) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -deflate.client_bits)
    payload = b""
    for byte in event(1, "blocks").encode():
        payload += compressor.compress(bytes([byte])) + compressor.flush(zlib.Z_FULL_FLUSH)
    return frame(TEXT, payload[:-4], rsv=RSV1)


def too_far_back(deflate: Deflate) -> bytes:
    text = event(1, "far back").encode()
    compressor = zlib.compressobj(6, zlib.DEFLATED, -deflate.client_bits, zdict=text)
    payload = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, payload[:-4], rsv=RSV1)


def bad_utf8_compressed(deflate: Deflate) -> Iterator[bytes]:
    text = HEAD.format(n=1).encode() + b"ab\xed\xa0\x80" + b'"]'
    payload = deflate.deflate(text)
    yield from in_two(payload, 0, len(payload), RSV1)


def in_order(*builders: Bytes) -> Bytes:
    return lambda deflate: b"".join(builder(deflate) for builder in builders)


def deflated(name: str, *variants: Bytes | bytes, offer: str = OFFER, **more: Any) -> None:
    add(f"deflate, {name}", *variants, offer=offer, **more)


deflated("one message", lambda d: d.message(event(1, "x" * 100)), acks={1: "x" * 100})
deflated("a message that is not compressed", frame(TEXT, event(1, "x")), acks={1: "x"})
deflated(
    "compressed or not in turns",
    lambda d: b"".join(
        d.message(event(n, "same")) if n % 3 else frame(TEXT, event(n, "same")) for n in range(20)
    ),
    acks=dict.fromkeys(range(20), "same"),
)
deflated(
    "binary",
    lambda d: with_attachment(1, d.message(BLOB)) + with_attachment(2, d.message(bytes(90_000))),
    acks={1: BLOB, 2: bytes(90_000)},
)
deflated("empty", lambda d: with_attachment(1, frame(BINARY, b"\0", rsv=RSV1)), acks={1: b""})
deflated(
    "empty in fragments",
    lambda d: with_attachment(1, fragments(BINARY, [b"", b"\0", b""], RSV1)),
    lambda d: with_attachment(1, fragments(BINARY, [b"\0", b""], RSV1, between=frame(PONG))),
    acks={1: b""},
)
deflated(
    "fragments",
    *(lambda d, i=i: compressed_fragments(d, (i,)) for i in range(60)),
    lambda d: compressed_fragments(d, tuple(range(1, 60))),
    acks={1: GOOD * 3},
)
deflated(
    "fragments with control frames between",
    lambda d: compressed_fragments(d, (3, 3, 9), between=frame(PING, b"p")),
    acks={1: GOOD * 3},
    pongs=(b"p",) * 3,
)
deflated("blocks", flushed_within, acks={1: "blocks"})
deflated(
    "stored blocks",
    lambda d: d.message(event(1, "s" * 70_000), level=0),
    acks={1: "s" * 70_000},
)
deflated(
    "a final block",  # RFC 7692, 7.2.3.4
    lambda d: d.message(event(1, "final"), flush=zlib.Z_FINISH),
    acks={1: "final"},
)
deflated(
    "messages after a final block",
    lambda d: (
        d.message(event(1, "final"), flush=zlib.Z_FINISH)
        + d.message(event(2, "after"))
        + d.message(event(3, "final again"), flush=zlib.Z_FINISH)
        + d.message(event(4, "after"))
    ),
    acks={1: "final", 2: "after", 3: "final again", 4: "after"},
)
deflated(
    "RSV1 on a later fragment",
    lambda d: frame(TEXT, d.deflate(PLAIN), fin=False, rsv=RSV1) + frame(CONT, b"", rsv=RSV1),
    lambda d: frame(TEXT, PLAIN[:5], fin=False) + frame(CONT, d.deflate(PLAIN[5:]), rsv=RSV1),
    codes=PROTOCOL_ERROR,
)
deflated(
    "RSV1 on a control frame",
    *(lambda d, o=o: frame(o, d.deflate(b"\x03\xe8"), rsv=RSV1) for o in (CLOSE, PING, PONG)),
    codes=PROTOCOL_ERROR,
)
deflated(
    "garbage",
    frame(TEXT, b"\x07", rsv=RSV1),  # there is no block type 3
    frame(TEXT, b"\x00\x05\x00\x00\x00hello", rsv=RSV1),  # a length and not its complement
    frame(TEXT, b"\xff" * 50, rsv=RSV1),
    frame(BINARY, b"\xed\xfd" * 20, rsv=RSV1),
    too_far_back,
    lambda d: fragments(TEXT, [d.deflate(PLAIN), b"\xff" * 20], RSV1),
    lambda d: d.message(event(1, "x")) + frame(TEXT, b"\x07", rsv=RSV1),
    codes=CANNOT_INFLATE,
)
deflated(
    "text that is not UTF-8",
    *(lambda d, i=i: next(itertools.islice(bad_utf8_compressed(d), i, None)) for i in range(20)),
    codes=BAD_DATA,
)
deflated(
    "as large as allowed",
    lambda d: d.message(event(1, largest)),
    acks={1: largest},
)
deflated(
    "one over the limit",
    lambda d: d.message(event(1, largest + "x")),
    codes=TOO_BIG,
    is_judged=False,
)
noise = random.Random(2).randbytes(10_000).hex()
for window, offer in (
    (15, "permessage-deflate"),
    (9, "permessage-deflate; client_max_window_bits=9"),
):
    deflated(
        f"the same again, {window} bits away",
        lambda d: b"".join(d.message(event(n, noise)) for n in range(4)),
        offer=offer,
        acks=dict.fromkeys(range(4), noise),
    )


# --- the tests ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """One for each path."""
    with contextlib.ExitStack() as stack:
        yield {path: stack.enter_context(serving(OURS, **PATHS[path][0])) for path in PATHS}


RUNS = itertools.count()
each_path = pytest.mark.parametrize("path", PATHS)


def acks_of(messages: list[str | bytes]) -> dict[int, Any]:
    """What a Socket.IO server would acknowledge the messages with."""
    acks: dict[int, Any] = {}
    number = -1
    for message in messages:
        if isinstance(message, bytes):
            acks[number] = message
        elif message.startswith("42"):
            acks[int(message[2 : message.index("[")])] = json.loads(message[message.index("[") :])[
                1
            ]
        elif message.startswith("451-"):
            number = int(message[4 : message.index("[")])
    return acks


def is_answered(pings: tuple[bytes, ...], pongs: list[bytes]) -> bool:
    """RFC 6455, 5.5.3: of several PINGs at once only the last has to be answered."""
    rest = iter(pings)
    return all(pong in rest for pong in pongs) and pongs[-1:] == list(pings[-1:])


def judge_agrees(case: Case, data: bytes, deflate: Deflate | None) -> bool:
    verdict = judged(data, deflate)
    if verdict.close is not None:
        return verdict.close in case.codes
    is_same = acks_of(verdict.messages) == case.acks and tuple(verdict.pings) == case.pongs
    return is_same and (case.either or not case.codes)


def new_session(server: Server, offer: str | None = None) -> tuple[str, Session]:
    run = f"conformance-{next(RUNS)}"
    return run, Session(server.port, run, offer)


def play(server: Server, case: Case, variant: bytes | Bytes, how: str) -> bool:
    """One session. Returns whether the judge agrees."""
    run, session = new_session(server, case.offer)
    with session:
        assert bool(session.deflate) == bool(case.offer)
        if isinstance(variant, bytes):
            data = variant
        else:
            assert session.deflate is not None
            data = variant(session.deflate)
        must_close = bool(case.codes) and not case.either
        sent = data + LATE if must_close and not case.half else data
        pieces = cut(sent, how, case.name)
        outcome = session.play(pieces, sync=not must_close, close_sent=case.close_sent)
    if outcome.close is None:
        assert not must_close
        assert outcome.acks == case.acks
        assert is_answered(case.pongs, outcome.pongs), outcome.pongs
    else:
        assert outcome.close in case.codes
        assert ["nothing", "late"] not in server.transcript(run)
    return not case.is_judged or judge_agrees(case, data, session.deflate)


def parameters() -> Iterator[Any]:
    for path, case in itertools.product(PATHS, CASES):
        name = f"{path}-{case.name.replace(' ', '-')}"
        reason = DEVIATES.get(case.name) if path == "asgi" else None
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        yield pytest.param(path, case, id=name, marks=marks)


@pytest.mark.parametrize(("path", "case"), [*parameters()])
def test_frames(servers: dict[str, Server], path: str, case: Case) -> None:
    for how in PATHS[path][1]:
        agreed = [play(servers[path], case, variant, how) for variant in case.variants]
        assert all(agreed) == (case.name not in JUDGE)


def test_the_lists_name_cases() -> None:
    assert {*JUDGE, *DEVIATES} <= {case.name for case in CASES}


@each_path
def test_the_sessions_took_their_path(servers: dict[str, Server], path: str) -> None:
    for offer in (None, OFFER):
        with new_session(servers[path], offer)[1] as session:
            assert session.play([], sync=True).close is None
    taken = servers[path].get("/facts")["paths"]
    assert set(taken) == {f"websocket {path.partition('-')[0]}"}


BITS = range(9, 16)
OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits",
    *(f"permessage-deflate; client_max_window_bits={bits}" for bits in BITS),
    *(f"permessage-deflate; server_max_window_bits={bits}" for bits in BITS),
    "permessage-deflate; client_max_window_bits=10; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=11; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
]


@each_path
@pytest.mark.parametrize("offer", OFFERS)
def test_compressed_sessions(servers: dict[str, Server], path: str, offer: str) -> None:
    """Many messages of all kinds in both directions, with the context kept or not."""
    picker = random.Random(offer)
    values: dict[int, Any] = {}
    for number in range(40):
        size = picker.choice((0, 1, 20, 300, 5000, 40_000))
        text = picker.choice(("ab", GOOD, noise, picker.randbytes(20_000).hex()))
        values[number] = (text * (size // len(text) + 1))[:size]
        if number % 5 == 4:
            values[number] = values[number].encode()
    server = servers[path]
    run, session = new_session(server, offer)
    with session:
        deflate = session.deflate
        assert deflate is not None
        data = b""
        for number, value in values.items():
            if isinstance(value, bytes):
                data += deflate.message(f"451-{number}{ONE}") + deflate.message(value)
            elif number % 7 == 6:
                payload = deflate.deflate(event(number, value))
                half = len(payload) // 2
                data += fragments(TEXT, [payload[:half], payload[half:]], RSV1)
            else:
                data += deflate.message(event(number, value))
        outcome = session.play(cut(data, "random", offer), sync=True)
    assert outcome.close is None
    assert outcome.acks == values
    assert outcome.compressed > 0
    server.transcript(run)


def memory(server: Server, line: str) -> int:
    """A line of the server's memory in bytes: VmRSS, or VmHWM, the most since `reset_peak`."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    (found,) = (row.split() for row in text.splitlines() if row.startswith(f"{line}:"))
    return int(found[1]) * 1024


def reset_peak(server: Server) -> int:
    """Start to measure VmHWM anew and return what it is now."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    return memory(server, "VmHWM")


def bomb(deflate: Deflate) -> bytes:
    """The payload of a text of 128 MB."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -deflate.client_bits)
    payload = compressor.compress(b'421["one","')
    for _ in range(128):
        payload += compressor.compress(b"0" * MEGABYTE)
    return payload + compressor.compress(b'"]') + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]


@each_path
@pytest.mark.parametrize("count", [1, 3])
def test_a_bomb_takes_no_memory(path: str, count: int) -> None:
    with serving(OURS, **PATHS[path][0]) as server:  # has no freed memory to take it from
        bombed(server, count, 4 * UVICORN_LIMIT if path == "asgi" else 12 * MEGABYTE)


def bombed(server: Server, count: int, allowed: int) -> None:
    run, session = new_session(server, OFFER)
    with session:
        assert session.deflate is not None
        payload = bomb(session.deflate)
        step = -(-len(payload) // count)
        pieces = [payload[i : i + step] for i in range(0, len(payload), step)]
        before = reset_peak(server)
        outcome = session.play([fragments(TEXT, pieces, RSV1), LATE], sync=False)
        assert outcome.close in TOO_BIG
    assert memory(server, "VmHWM") - before < allowed
    assert ["nothing", "late"] not in server.transcript(run)


@each_path
def test_an_announced_length_takes_no_memory(path: str) -> None:
    """Headers of messages as large as allowed, of which one byte comes."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(OURS, **PATHS[path][0]))
        sessions = [stack.enter_context(new_session(server)[1]) for _ in range(40)]
        before = memory(server, "VmRSS")
        for session in sessions:
            session.send(frame(BINARY, b"\x00", announced=LIMIT - 100))
        with new_session(server)[1] as other:  # what was sent before has been read when it is up
            assert other.play([], sync=True).close is None
        assert memory(server, "VmRSS") - before < 10 * MEGABYTE
