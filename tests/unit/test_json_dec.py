"""codec/json_dec: limits and odd inputs. What `engineio.json.loads` gives is in parity/."""

import json
import sys

import pytest

from toolboxsio import _core
from toolboxsio import json as fast_json


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"k":', "}")])
def test_depth_at_the_limit_and_one_past_it(opening, closing):
    text = opening * 512 + "1" + closing * 512
    assert fast_json.loads(text) == json.loads(text)
    with pytest.raises(ValueError, match="nested too deeply") as caught:
        fast_json.loads(opening + text + closing)
    assert not isinstance(caught.value, json.JSONDecodeError)
    assert fast_json.loads(opening + text + closing, max_depth=513)
    with pytest.raises(ValueError, match="nested too deeply"):
        fast_json.loads("[]", max_depth=0)
    assert fast_json.loads("1", max_depth=0) == 1


def test_depth_costs_no_stack():
    value = fast_json.loads("[" * 200_000 + "]" * 200_000, max_depth=1 << 40)
    while value:
        value = value[0]


def test_integers_up_to_a_hundred_characters():
    assert fast_json.loads("9" * 100) == int("9" * 100)
    assert fast_json.loads("-" + "9" * 99) == -int("9" * 99)
    for text in ("9" * 101, "-" + "9" * 100):
        with pytest.raises(ValueError, match="Integer is too large"):
            fast_json.loads(text)


@pytest.mark.parametrize("digits", range(1, 24))
def test_integers_of_every_length(digits):
    for text in ("9" * digits, "1" + "0" * (digits - 1), "-" + "8" * digits):
        assert fast_json.loads(text) == int(text)


def test_keys_are_shared_and_not_kept_for_ever():
    one, two = fast_json.loads('[{"a_shared_key":1},{"a_shared_key":2}]')
    assert next(iter(one)) is next(iter(two))
    key = next(iter(one))
    del one, two
    for i in range(20_000):
        fast_json.loads(f'{{"other_{i}":1}}')
    assert sys.getrefcount(key) == 2


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200])
def test_keys_of_one_slot_are_told_apart(length):
    keys = {"k" * length, ("k" * (length // 2) + "x" + "k" * length)[:length], "m" * length}
    for _ in range(3):
        for key in sorted(keys):
            assert fast_json.loads(json.dumps({key: 1})) == {key: 1}


def test_positions_count_characters():
    text = '["\xe9\u20ac\U0001f600", x]'
    for doc in (text, text.encode(), text.encode("utf-16")):
        with pytest.raises(json.JSONDecodeError) as caught:
            fast_json.loads(doc)
        assert (caught.value.pos, caught.value.doc) == (text.index("x"), text)


def test_bytes_that_are_changed_meanwhile_are_a_copy():
    doc = bytearray(b'[[],"' + b"a" * 100 + b'"]')
    assert fast_json.loads(doc) == [[], "a" * 100]
    doc.clear()  # nothing holds the buffer


@pytest.mark.parametrize("doc", [None, 1, [], memoryview(b"1"), object()])
def test_other_types(doc):
    with pytest.raises(TypeError, match="the JSON object must be str, bytes or bytearray, not "):
        fast_json.loads(doc)


def test_options_of_the_standard_library_are_passed_on():
    assert fast_json.loads('{"a":1}', object_pairs_hook=list) == [("a", 1)]
    assert fast_json.loads("1.5", parse_float=str) == "1.5"


def test_wide_strings_are_compact():
    for char, width in (("a", 1), ("\xe9", 1), ("\u20ac", 2), ("\U0001f600", 4)):
        text = fast_json.loads(json.dumps(char * 1000, ensure_ascii=False))
        assert sys.getsizeof(text) < 1000 * width + 120


def test_more_values_than_the_first_room():
    value = [[i, [], {str(i): [i]}] for i in range(500)]
    assert _core.loads(json.dumps(value), 512) == value
