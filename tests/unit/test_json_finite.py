"""toolboxsio.json.is_finite (csrc/codec/json_finite.c), and its twin without the extension."""

import math

import pytest

import toolboxsio
from toolboxsio import _pure


@pytest.fixture(params=["C", "Python"])
def is_finite(request):
    if request.param == "C":
        return lambda value, depth=512: toolboxsio.json.is_finite(value, max_depth=depth)
    return lambda value, depth=512: _pure.is_finite(value, depth)


@pytest.mark.parametrize(
    "value", [1.5, 0, None, "nan", True, [], {}, (), [[1.5]], {"a": (1, {"b": []})}, b"", 1 << 2000]
)
def test_finite(is_finite, value):
    assert is_finite(value) is True


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_not_finite(is_finite, number):
    for value in (number, [number], {"a": number}, (1, [{"b": (number,)}])):
        assert is_finite(value) is False


def test_depth(is_finite):
    assert is_finite(1, 0)
    assert not is_finite([], 0)
    assert is_finite([{"a": ()}], 3)
    assert not is_finite([{"a": ()}], 2)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert toolboxsio.json.is_finite(deep, max_depth=10**9) is False
