"""WebSocket frames as a client sends them, right and wrong: RFC 6455, 5.2."""

import os
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
KEY = b"\x37\xfa\x21\x3d"


def masked(data: bytes, key: bytes = KEY) -> bytes:
    pad = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(pad)).to_bytes(len(data))


def frame(
    opcode: int,
    payload: str | bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    width: int | None = None,
    announced: int | None = None,
) -> bytes:
    """One frame.

    :param key: of the mask; None: not masked.
    :param width: of the extended length in bytes (0, 2 or 8); by default the least that will do.
    :param announced: the length in the header; by default that of the payload.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if announced is None else announced
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    head = bytes([(FIN if fin else 0) | rsv | opcode])
    mask_bit = 0 if key is None else 0x80
    if width == 0:
        head += bytes([mask_bit | size])
    else:
        code, layout = (126, ">H") if width == 2 else (127, ">Q")
        head += bytes([mask_bit | code]) + struct.pack(layout, size)
    return head + (data if key is None else key + masked(data, key))


def fragments(opcode: int, pieces: list[bytes], rsv: int = 0, between: bytes = b"") -> bytes:
    """One message in as many frames as there are pieces, with other frames between them."""
    frames = []
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        first = number == 0
        frames.append(frame(opcode if first else CONT, piece, fin=last, rsv=rsv if first else 0))
    return between.join(frames)


def encode(payload: str | bytes, opcode: int | None = None, fin: bool = True) -> bytes:
    """One frame with a mask of its own; the opcode is that of the payload's type unless given."""
    if opcode is None:
        opcode = TEXT if isinstance(payload, str) else BINARY
    return frame(opcode, payload, fin=fin, key=os.urandom(4))


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)
