"""codec/sio_codec, codec/binary: what a server refuses, and where bytes are found."""

import pytest

import toolboxsio
from toolboxsio import _core

REFUSED = {
    "7": "unknown packet type",
    "9": "unknown packet type",
    "": "invalid packet type",
    "x": "invalid packet type",
    "2": "array that starts",
    "2{}": "array that starts",
    "2[]": "array that starts",
    "2[1]": "array that starts",
    '2"a"': "array that starts",
    "3": "must be an array",
    "3{}": "must be an array",
    '5["x"]': "without attachments",
    '50-["x"]': "without attachments",
    '511-["x"]': "^11 attachments, max_attachments is 10$",
    '59999999999-["x"]': "^9999999999 attachments, max_attachments is 10$",
    "5" + "9" * 11 + '-["x"]': "^10000000000 attachments, max_attachments is 10$",
    "61-{}": "must be an array",
    "2" + "1" * 101 + '["x"]': "id field is too long",
    "2[": "Expecting value",
    "2" + "[" * 200_000: "nested too deeply",
    "2/n": "array that starts",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_messages_that_a_server_refuses(text):
    with pytest.raises(ValueError, match=REFUSED[text]):
        _core.decode_message(text, 10, 512)


def test_attachments_at_the_limit():
    assert _core.decode_message('510-["x"]', 10, 512) == (5, None, None, ["x"], 10)
    assert _core.decode_message('51-["x"]', 1, 512)[4] == 1
    with pytest.raises(ValueError, match=r"^1 attachments, max_attachments is 0$"):
        _core.decode_message('51-["x"]', 0, 512)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", (0, None, None, None, 0)),
        ('0/n?a=1,{"t":1}', (0, "/n", None, {"t": 1}, 0)),
        ("1/n", (1, "/n", None, None, 0)),
        ("1/n,", (1, "/n", None, None, 0)),
        ('2["e"]', (2, None, None, ["e"], 0)),
        ('2/\xe9,12["e",1]', (2, "/\xe9", 12, ["e", 1], 0)),
        ('512-/n,3["e"]', (5, "/n", 3, ["e"], 12)),
        ("3" + "9" * 100 + "[]", (3, None, int("9" * 100), [], 0)),
        ('4"no"', (4, None, None, "no", 0)),
    ],
)
def test_messages_that_are_read(text, wanted):
    assert _core.decode_message(text, 12, 512) == wanted
    assert _core.decode_packet(text, None, 512) == wanted


def test_bytes_make_events_and_acks_binary():
    data = ["e", b"1", {"k": [bytearray(b"2")]}]
    for plain, binary in ((2, 5), (3, 6)):
        text, *attachments = _core.encode_packet(plain, data, "/n", 7, None, 512)
        assert text == (
            f'{binary}2-/n,7["e",{{"_placeholder":true,"num":0}},'
            '{"k":[{"_placeholder":true,"num":1}]}]'
        )
        assert attachments == [b"1", bytearray(b"2")]
        assert attachments[1] is data[2]["k"][0]
    with pytest.raises(TypeError):
        _core.encode_packet(2, data, None, None, None, 512, False)
    with pytest.raises(TypeError):
        _core.encode_packet(0, b"1", None, None, None, 512)


def test_bytes_from_a_hook_are_found():
    class Model:
        pass

    packet = toolboxsio.Packet.configure(json_default=lambda obj: {"blob": b"1"})
    assert packet(data=["e", Model()]).encode() == [
        '51-["e",{"blob":{"_placeholder":true,"num":0}}]',
        b"1",
    ]


@pytest.mark.parametrize("num", ["-1", "1", "1.0", '"0"', "null", "true", "[0]", "9" * 30])
def test_placeholder_numbers_that_are_refused(num):
    packet = toolboxsio.Packet(encoded_packet=f'51-["e",{{"_placeholder":true,"num":{num}}}]')
    with pytest.raises(ValueError, match="invalid placeholder"):
        packet.add_attachment(b"1")


def test_placeholders_that_are_none():
    for data in ({"_placeholder": False, "num": 0}, {"_placeholder": True}, {"num": 0}):
        assert _core.reconstruct(["e", data], [b"1"]) == ["e", data]


def test_packet_type_is_found_when_it_is_read():
    packet = toolboxsio.Packet(data=["e", b"1"])
    assert packet.packet_type == 5
    assert packet.encode()[0].startswith("51-")
    assert toolboxsio.Packet(data=["e"]).packet_type == 2
    assert toolboxsio.Packet(data=["e"], binary=True).encode() == ['50-["e"]']
    with pytest.raises(ValueError, match="does not support binary"):
        toolboxsio.Packet(0, b"1")
    with pytest.raises(TypeError):
        toolboxsio.Packet(data=["e", b"1"], binary=False).encode()


def test_a_subclass_with_its_own_idea_of_binary():
    class Hex(toolboxsio.Packet):
        @classmethod
        def data_is_binary(cls, data):
            return False

        @classmethod
        def _deconstruct_binary_internal(cls, data, attachments):
            attachments.append(b"own")
            return data

    assert Hex(data=["e"]).packet_type == 2
    assert Hex(data=["e"], binary=True).encode() == ['51-["e"]', b"own"]


def test_another_json_is_used_for_both_ways():
    class Json:
        dumps = staticmethod(lambda obj, **options: "D")
        loads = staticmethod(lambda text: [text])

    class Own(toolboxsio.Packet):
        json = Json

    assert Own(data=["e"]).encode() == "2D"
    assert Own(encoded_packet='2["e"]').data == ['["e"]']

    class OwnEngine(toolboxsio.packet.EnginePacket):
        json = Json

    assert OwnEngine(4, data=["e"]).encode() == "4D"
    assert OwnEngine(encoded_packet="4x").data == ["x"]
