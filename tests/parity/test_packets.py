"""toolboxsio.Packet against socketio.packet.Packet, and what the server reads against both."""

from hypothesis import given
from hypothesis import strategies as st

from . import strategies as s
from .actions import check
from .compare import cases

TYPES = st.sampled_from([2, 2, 2, 3, 3, 5, 6, 0, 1, 4, 7, 9, 10, -1, True])
FIELDS = st.fixed_dictionaries(
    {"packet_type": TYPES, "data": st.one_of(s.BINARY_VALUES, s.BINARY_VALUES, s.ALIEN_VALUES)},
    optional={
        "namespace": s.NAMESPACES,
        "id": s.IDS,
        "binary": st.sampled_from([None, None, True, False]),
    },
)


@cases(2)
@given(FIELDS)
def test_encode(fields):
    assert check("type", fields) is None
    assert check("encode", fields) is None


@cases()
@given(FIELDS)
def test_encode_without_binary_events(fields):
    """Subclasses of upstream's packet that set values alone, which a server makes ours."""
    assert check("type_text", fields) is None
    assert check("encode_text", fields) is None
    assert check("encode_hex", fields) is None


@cases()
@given(s.PACKET_TEXTS)
def test_decode_without_binary_events(text):
    check("decode_text", text)
    check("decode_hex", text)


@cases(0.02)
@given(s.DEEP_VALUES)
def test_encode_deep(value):
    check("encode", {"data": value, "binary": False})


@cases(2)
@given(s.PACKET_TEXTS)
def test_decode(text):
    check("decode", text)
    if text:
        check("decode_message", text)


@cases()
@given(s.BINARY_VALUES)
def test_deconstruct(value):
    assert check("deconstruct", value) is None


@cases()
@given(s.HOLED_VALUES, st.lists(s.BYTES, min_size=1, max_size=3))
def test_reconstruct(value, attachments):
    check("reconstruct", (value, attachments))


def test_every_header():
    """Short headers of every kind, with and without data."""
    tails = ["", '["a"]', "[1]", "{}", "x"]
    for kind in "0123456789x":
        for count in ("", "0-", "1-", "-", "5--", "9999999999-", "10000000000-"):
            for namespace in ("", "/", "/,", "/a,", "/a?b,", "/a?b"):
                for number in ("", "0", "12", "1" * 100, "1" * 101):
                    for tail in tails:
                        text = kind + count + namespace + number + tail
                        check("decode", text)
                        check("decode_message", text)


def test_events_and_acks_reach_the_handlers():
    for text in ('2["e"]', '2["e",1,{"a":[null]}]', '27["e","x"]', "31[1]", '2["unknown",1]'):
        assert check("server", text) is None
