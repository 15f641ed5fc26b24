"""codec/eio_codec: base64, payload limits and JSONP, beyond what parity/ compares."""

import base64
import urllib.parse

import engineio.payload
import pytest

from toolboxsio import _core
from toolboxsio.packet import EnginePacket, EnginePayload


@pytest.mark.parametrize("size", [*range(20), 1000, 1001, 1002])
def test_base64_of_every_length(size):
    data = bytes(i * 37 & 255 for i in range(size))
    text = "b" + base64.b64encode(data).decode()
    assert _core.eio_base64(data) == _core.eio_base64(bytearray(data)) == text
    assert _core.eio_decode(text, None, 512) == (4, data, True)


def test_payload_limit_is_upstreams(monkeypatch):
    payload = "\x1e".join(["4a"] * 16)
    assert len(EnginePayload(encoded_payload=payload).packets) == 16
    with pytest.raises(ValueError, match="Too many packets"):
        EnginePayload(encoded_payload=payload + "\x1e4b")
    monkeypatch.setattr(engineio.payload.Payload, "max_decode_packets", 17)
    assert len(EnginePayload(encoded_payload=payload + "\x1e4b").packets) == 17


def test_payload_of_many_separators_is_refused_before_it_is_split():
    with pytest.raises(ValueError, match="Too many packets"):
        EnginePayload(encoded_payload="\x1e" * 5_000_000)


def test_jsonp_both_ways():
    body = EnginePayload([EnginePacket(4, data='say "hi"')]).encode(jsonp_index=3)
    assert body == '___eio[3]("4say \\"hi\\"");'
    form = "d=" + urllib.parse.quote("4a\x1e4\xe9")
    assert [packet.data for packet in EnginePayload(encoded_payload=form).packets] == ["a", "\xe9"]


@pytest.mark.parametrize(
    "field", ["", "plain", "a+b%2B", "%", "%4", "%4g%41", "%E4%B8", "%E4\xe4%B8%AD\u4e2d", "%00%ff"]
)
def test_form_value_is_that_of_urllib(field):
    assert _core.form_value(field) == urllib.parse.unquote_plus(field)


def test_jsonp_without_packets():
    for form in ("d=", "d=&d=4a"):
        with pytest.raises(KeyError):
            EnginePayload(encoded_payload=form)


def test_encoding_is_kept():
    packet = EnginePacket(4, data="a")
    assert packet.encode() == "4a"
    packet.data = "b"
    assert packet.encode() == "4a"


def test_json_that_fails_in_its_own_way_is_text():
    def loads(text):
        raise IndexError

    assert _core.eio_decode("4{", loads, 512) == (4, "{", False)


def test_json_too_deep_is_text():
    text = "[" * 600 + "]" * 600
    assert EnginePacket(encoded_packet="4" + text).data == text
