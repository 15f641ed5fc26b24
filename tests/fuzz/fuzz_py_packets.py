"""Packets and payloads against upstream's, documented differences aside."""

import math

from hosted import Input
from parity.actions import check

from toolboxsio import _core

NAMESPACES = [None, "/", "/a", "/\xe9", "/\U0001f600,", "", "/q?x=1"]
TEXTS = ["", "e", "\xe9", "\U0001f600", '"', "_placeholder", "num", "k" * 30]


def value_of(data, depth=0):
    """Data of an event: what JSON can hold, bytes and placeholders."""
    kind = data.byte()
    if depth < 8 and kind >= 192:
        return [value_of(data, depth + 1) for _ in range(kind & 7)]
    if depth < 8 and kind >= 160:
        return {data.pick(TEXTS): value_of(data, depth + 1) for _ in range(kind & 7)}
    if kind >= 128:
        return {"_placeholder": data.pick([True, True, 1, False]), "num": data.byte() - 2}
    return data.pick(
        [
            data.piece(),
            bytearray(b"x"),
            None,
            True,
            1.5,
            math.nan,
            1 << kind,
            *TEXTS,
            data.piece().decode("latin-1"),
        ]
    )


def sio_encode(data):
    fields = {"packet_type": data.pick([2, 2, 3, 3, 5, 6, 0, 1, 4, 7, 10, -1])}
    fields["namespace"] = data.pick(NAMESPACES)
    fields["id"] = data.pick([None, 0, 7, data.number(8), True])
    fields["binary"] = data.pick([None, None, True, False])
    fields["data"] = value_of(data)
    check("type", fields)
    check("encode", fields)


def sio_decode(data):
    text = data.rest().decode("utf-8", "surrogatepass")
    check("decode", text)
    if text:
        check("decode_message", text)


def deconstruct(data):
    value = value_of(data)
    check("deconstruct", value)
    check("reconstruct", (value, [b"a", b"b"][: 1 + data.byte() % 2]))


def eio_encode(data):
    kind = data.pick([4, 4, 4, 0, 1, 2, 3, 5, 6, 9, -1])
    check("engine_encode", (kind, value_of(data), bool(data.byte() & 1)))


def eio_decode(data):
    raw = data.rest()
    check("engine_decode", raw)
    check("engine_decode", raw.decode("utf-8", "surrogatepass"))


def payload(data):
    text = data.rest().decode("utf-8", "surrogatepass")
    check("payload_decode", text)
    if text:
        assert _core.payload_split(_core.payload_join(text.split("\x1e"), None), 1 << 30) == (
            text.split("\x1e")
        )


KINDS = [sio_encode, sio_decode, sio_decode, deconstruct, eio_encode, eio_decode, payload]


def one_input(raw):
    data = Input(raw)
    try:
        data.pick(KINDS)(data)
    except UnicodeDecodeError:
        return False
    return True
