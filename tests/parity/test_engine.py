"""Engine.IO packets and payloads against engineio.packet and engineio.payload."""

import engineio.payload
from hypothesis import given
from hypothesis import strategies as st

from . import strategies as s
from .actions import check
from .compare import cases

TYPES = st.sampled_from([4, 4, 4, 0, 1, 2, 3, 5, 6, 7, 12, -1, True])
SENT = st.lists(st.one_of(s.TEXT, s.BYTES, s.JSON_VALUES), max_size=4)


@cases()
@given(st.tuples(TYPES, s.ENGINE_DATA, st.booleans()))
def test_encode(given):
    assert check("engine_encode", given) in (None, "shared-binary")


@cases(2)
@given(s.ENGINE_PACKETS)
def test_decode(encoded):
    assert check("engine_decode", encoded) is None


@cases(0.5)
@given(st.tuples(SENT, st.sampled_from([None, None, 0, 7, "7", "</script>"])))
def test_payload_encode(given):
    assert check("payload_encode", given) is None


@cases()
@given(s.PAYLOADS)
def test_payload_decode(body):
    assert check("payload_decode", body) is None


def test_objects_that_are_no_packets():
    for encoded in (None, 1, 1.5, object()):
        assert check("engine_decode", encoded) is None


def test_payload_limit_is_the_one_applications_set(monkeypatch):
    for limit in (0, 1, 3, 16):
        monkeypatch.setattr(engineio.payload.Payload, "max_decode_packets", limit)
        for n in range(1, 20):
            assert check("payload_decode", "\x1e".join(["4a"] * n)) is None
