"""Nothing that the extension does keeps a reference, on success or on failure.

Counted with `sys.gettotalrefcount` where the interpreter is a debug build (`make refleak`), else
with `sys.getallocatedblocks`.
"""

import gc
import sys

import pytest

import toolboxsio
from toolboxsio import _core

count = getattr(sys, "gettotalrefcount", sys.getallocatedblocks)


class Text(str):
    pass


class Table(dict):
    pass


class Items(Table):
    def items(self):
        return [("a", 1, 2)]


class Evil:
    """An object whose end runs Python."""

    def __del__(self):
        [[] for _ in range(10)]


def hook(obj):
    if isinstance(obj, set):
        return sorted(obj)
    raise LookupError("no")


class Module:
    loads = staticmethod(toolboxsio.json.loads)


DEEP = []
for _ in range(600):
    DEEP = [DEEP]
CIRCLE = []
CIRCLE.append(CIRCLE)
VALUE = {
    "name": ["text", "\xe9", "\u20ac", "\U0001f600", 'q"\n', "\ud800", 1, -1, 1 << 70, 1.5, True],
    "more": (None, False, {0: 2, 1.5: 3, None: 4, True: 5}, Text("t"), Table(k=Table(z=[]))),
    "long" * 40: [float("nan"), float("inf"), {}, [], ()],
}
TEXT = _core.dumps(VALUE, None, 512)

GOOD = {
    "dumps": lambda: _core.dumps(VALUE, None, 512),
    "dumps hook": lambda: _core.dumps([{3, 1}, {"a": {2}}], hook, 512),
    "loads": lambda: _core.loads(TEXT, 512),
    "loads bytes": lambda: _core.loads(TEXT.encode(), 512),
    "loads bytearray": lambda: _core.loads(bytearray(TEXT.encode()), 512),
    "loads utf-16": lambda: _core.loads(TEXT.encode("utf-16"), 512),
    "loads wide": lambda: _core.loads('["\xe9\u20ac\U0001f600", "\ud800\\ud83d"]', 512),
    "loads many": lambda: _core.loads("[" + "[1]," * 200 + "2]", 512),
    "loads new keys": lambda: _core.loads(f'{{"k{id(object()) % 7}":1}}', 512),
    "encode": lambda: _core.encode_packet(2, ["e", VALUE], "/n\xe9", 12, None, 512),
    "encode binary": lambda: _core.encode_packet(2, ["e", b"1", {"x": b"2"}], None, None, None, 9),
    "encode long id": lambda: _core.encode_packet(3, [], "/", 1 << 90, None, 512),
    "decode": lambda: _core.decode_packet('2/n\xe9?q=1,123["e",{"a":[1]}]', None, 512),
    "decode module": lambda: _core.decode_packet('2["e"]', Module.loads, 512),
    "decode long id": lambda: _core.decode_packet("3" + "9" * 90 + "[]", None, 512),
    "decode message": lambda: _core.decode_message('51-["e",{"_placeholder":true,"num":0}]', 9, 9),
    "has binary": lambda: _core.has_binary([1, {"a": Table(b=b"")}]),
    "deconstruct": lambda: _core.deconstruct(["e", b"1", Table(a=[bytearray(b"2")])]),
    "reconstruct": lambda: _core.reconstruct(["e", {"_placeholder": True, "num": 0}], [b"1"]),
    "eio base64": lambda: _core.eio_base64(b"12345"),
    "eio decode": lambda: [
        _core.eio_decode(p, None, 512)
        for p in ('42["e"]', '4["e"]', "4", "4x", "bAQI=", "bA Q I =", b"1", bytearray(b"2"))
    ],
    "eio decode module": lambda: _core.eio_decode("4[1]", Module.loads, 512),
    "payload": lambda: _core.payload_split(_core.payload_join(["4a", "4b"], None), 2),
    "jsonp": lambda: _core.payload_join(('4"', "4b"), 12),
    "ack": lambda: (_core.ack(True), _core.ack(ok=0, a=1), _core.ack(False, ts=1, b=[])),
    "iso8601": lambda: _core.iso8601(1),
    "evil": lambda: _core.dumps([{1}, [[{2}]]], lambda obj: [Evil().__class__.__name__], 512),
}
BAD = {
    "dumps type": lambda: _core.dumps([1, {"a": {1}}], None, 512),
    "dumps bytes": lambda: _core.dumps([b""], None, 512),
    "dumps key": lambda: _core.dumps({"a": {(): 1}}, None, 512),
    "dumps depth": lambda: _core.dumps(DEEP, None, 512),
    "dumps circle": lambda: _core.dumps(CIRCLE, None, 512),
    "dumps items": lambda: _core.dumps([Items(a=1)], None, 512),
    "dumps hook": lambda: _core.dumps([{1}, object()], hook, 512),
    "dumps hook circle": lambda: _core.dumps([object()], lambda obj: obj, 512),
    "dumps hook depth": lambda: _core.dumps([{1}], lambda obj: [{1}], 512),
    "loads text": lambda: _core.loads('[{"a": [1, "b", {}]}, {"c": [tru', 512),
    "loads key": lambda: _core.loads('{"a":1,"b":{"c":[],d', 512),
    "loads extra": lambda: _core.loads("[[1]] 2", 512),
    "loads escape": lambda: _core.loads('["\\x"]', 512),
    "loads depth": lambda: _core.loads("[" * 600 + "]" * 600, 512),
    "loads int": lambda: _core.loads("[1," + "9" * 101 + "]", 512),
    "loads utf-8": lambda: _core.loads(b'["\xff"]', 512),
    "loads bom": lambda: _core.loads("\ufeff[]", 512),
    "loads type": lambda: _core.loads(None, 512),
    "encode type": lambda: _core.encode_packet(77, None, None, None, None, 512),
    "encode data": lambda: _core.encode_packet(2, ["e", b"", {1}], None, None, None, 512),
    "encode tuple": lambda: _core.encode_packet(2, ["e", (b"",)], None, None, None, 512),
    "encode namespace": lambda: _core.encode_packet(2, ["e"], 1, None, None, 512),
    "decode type": lambda: _core.decode_packet("x", None, 512),
    "decode id": lambda: _core.decode_packet("2" + "1" * 101 + "[]", None, 512),
    "decode json": lambda: _core.decode_packet('2/n,["\xe9",', None, 512),
    "decode not str": lambda: _core.decode_packet(b"2[]", None, 512),
    "message event": lambda: _core.decode_message("2[1]", 10, 512),
    "message ack": lambda: _core.decode_message("3{}", 10, 512),
    "message count": lambda: _core.decode_message('50-["e"]', 10, 512),
    "reconstruct": lambda: _core.reconstruct(["e", {"_placeholder": True, "num": 1}], [b"1"]),
    "eio empty": lambda: _core.eio_decode("", None, 512),
    "eio base64": lambda: _core.eio_decode("bA", None, 512),
    "payload": lambda: _core.payload_split("4\x1e4\x1e4", 2),
    "ack": lambda: _core.ack(True, ok=1),
    "arguments": lambda: _core.dumps(1),
}


def fails(function):
    try:
        function()
    except (ValueError, TypeError, LookupError):
        return
    raise AssertionError("this was meant to fail")


def leaked(function, runs=100):
    """How much the count grows in `runs` calls; the least of four series: others allocate too."""
    for _ in range(runs):
        function()
    grown = []
    for _ in range(4):
        gc.collect()
        before = count()
        for _ in range(runs):
            function()
        gc.collect()
        grown.append(count() - before)
    return min(grown)


@pytest.mark.parametrize("name", GOOD)
def test_success_keeps_nothing(name):
    assert leaked(GOOD[name]) < 30


@pytest.mark.parametrize("name", BAD)
def test_failure_keeps_nothing(name):
    function = BAD[name]
    assert leaked(lambda: fails(function)) < 30


def test_packet_classes_keep_nothing():
    def packets():
        packet = toolboxsio.Packet(data=["e", b"1"], id=1)
        text, *attachments = packet.encode()
        copy = toolboxsio.Packet(encoded_packet=text)
        for attachment in attachments:
            copy.add_attachment(attachment)
        toolboxsio.packet.EnginePacket(encoded_packet="4[1]").encode()
        toolboxsio.packet.EnginePayload(encoded_payload="4a\x1e4b").encode()

    assert leaked(packets) < 30


def test_the_count_sees_a_leak():
    kept = []
    assert leaked(lambda: kept.append(bytes(100)), runs=100) >= 100


def test_every_function_is_counted():
    used = {name for case in (GOOD, BAD) for f in case.values() for name in f.__code__.co_names}
    nested = {
        name
        for case in (GOOD, BAD)
        for f in case.values()
        for const in f.__code__.co_consts
        if hasattr(const, "co_names")
        for name in const.co_names
    }
    offered = {name for name in dir(_core) if not name.startswith("_")} - {"simd"}
    assert offered <= used | nested
