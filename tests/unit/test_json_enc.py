"""codec/json_enc: limits, hooks and hooks that misbehave. What `json.dumps` gives is in parity/."""

import contextlib
import gc
import json
import re
import signal
from datetime import datetime

import pytest

from toolboxsio import _core
from toolboxsio import json as fast_json


def nested(depth, wrap):
    value = wrap(None)
    for _ in range(depth - 1):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}], ids=["list", "tuple", "dict"]
)
def test_depth_at_the_limit_and_one_past_it(wrap):
    at_limit = nested(512, wrap)
    assert fast_json.dumps(at_limit) == json.dumps(at_limit, separators=(",", ":"))
    with pytest.raises(ValueError, match="nested too deeply"):
        fast_json.dumps(wrap(at_limit))
    assert fast_json.dumps(wrap(at_limit), max_depth=513)
    with pytest.raises(ValueError, match="nested too deeply"):
        fast_json.dumps(wrap(1), max_depth=0)
    for value in ([], (), {}):  # as deep as it looks, to loads too
        for _ in range(512):
            value = wrap(value)
        with pytest.raises(ValueError, match="nested too deeply"):
            fast_json.dumps(value)


def test_depth_costs_no_stack():
    deep = nested(200_000, lambda v: [v])
    assert len(fast_json.dumps(deep, max_depth=1 << 40)) == 400_004
    while deep:  # taken apart here: to drop it at once would be deep too
        deep = deep[0]


def test_a_circle_is_told_from_depth():
    circle = []
    circle.append({"a": (circle,)})
    with pytest.raises(ValueError, match="Circular reference detected"):
        fast_json.dumps(circle)


def test_default_is_called_like_that_of_json():
    calls = []

    def default(obj):
        calls.append(obj)
        return sorted(obj) if isinstance(obj, set) else {1, 2}

    value = {"a": {3, 1}, "b": object()}
    assert fast_json.dumps(value, default=default) == '{"a":[1,3],"b":[1,2]}'
    assert calls == [{3, 1}, value["b"], {1, 2}]


def test_default_that_gives_itself_or_never_ends():
    with pytest.raises(ValueError, match="Circular reference detected"):
        fast_json.dumps([object()], default=lambda obj: obj)
    with pytest.raises(ValueError, match="nested too deeply"):
        fast_json.dumps([object()], default=lambda obj: [object()])


def test_default_that_raises():
    with pytest.raises(ZeroDivisionError):
        fast_json.dumps({"a": [1, object()]}, default=lambda obj: 1 / 0)


def test_default_that_changes_what_is_written():
    shrinking = [object(), 1, 2, 3]

    def clear(obj):
        shrinking.clear()
        gc.collect()
        return

    assert fast_json.dumps(shrinking, default=clear) == "[null]"

    table = {"a": object(), "b": 2}

    def grow(obj):
        table.update({str(i): i for i in range(100)})
        return

    with pytest.raises(RuntimeError, match="changed size"):
        fast_json.dumps(table, default=grow)


def test_default_that_encodes_by_itself():
    def default(obj):
        return fast_json.dumps([obj.__class__.__name__, {1}], default=list)

    assert fast_json.dumps([object()], default=default) == json.dumps(
        ['["object",[1]]'], separators=(",", ":")
    )


def test_items_of_a_subclass_that_change_the_dict():
    class Evil(dict):
        def items(self):
            self.clear()
            return [("k", [1]), ("l", 2)]

    assert fast_json.dumps([Evil(a=1)]) == '[{"k":[1],"l":2}]'


def test_a_finaliser_that_runs_when_the_walk_fails():
    seen = []

    class Final(list):
        def __del__(self):
            seen.append(fast_json.dumps([1]))

    def default(obj):
        return Final([1, {2}]) if obj == {1} else 1 / 0

    with pytest.raises(ZeroDivisionError):
        fast_json.dumps([{1}], default=default)
    gc.collect()
    assert seen == ["[1]"]


def test_options_of_the_standard_library_are_passed_on():
    value = {"b": "\xe9", "a": [1]}
    for options in (
        {"sort_keys": True},
        {"indent": 2},
        {"ensure_ascii": False},
        {"separators": (", ", ": ")},
        {"separators": None},
        {"indent": 1, "separators": (",", ":")},
    ):
        wanted = json.dumps(value, **{"separators": (",", ":"), **options})
        if options == {"indent": 2}:
            wanted = json.dumps(value, indent=2)
        assert fast_json.dumps(value, **options) == wanted


@pytest.mark.parametrize("size", [*range(40), 63, 64, 65, 127, 1000])
@pytest.mark.parametrize(
    "special", ["", '"', "\\", "\n", "\x1f", "\x7f", "\xe9", "\u20ac", "\U0001f600"]
)
def test_a_character_to_escape_at_every_place(size, special):
    for at in range(size + 1):
        text = "x" * at + special + "y" * (size - at)
        assert _core.dumps(text, None, 1) == json.dumps(text)


def test_digits_of_a_long_integer_may_run_python():
    """repr() of a long int looks for signals: here their handler takes the container apart."""
    for make in (
        lambda: [10**4000 + i for i in range(200)],
        lambda: {10**4000 + i: [i] for i in range(200)},
        lambda: {str(i): 10**4000 + i for i in range(200)},
    ):
        target = []
        old = signal.signal(signal.SIGALRM, lambda *_, target=target: target[0].clear())
        try:
            for microseconds in range(20, 4000, 40):
                value = make()
                target[:] = [value]
                signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
                with contextlib.suppress(RuntimeError):
                    fast_json.dumps(value)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)


def test_names_in_errors_are_those_of_json():
    for obj in (type("a.b", (), {})(), object(), datetime.now()):
        for dumps in (json.dumps, fast_json.dumps):
            with pytest.raises(TypeError, match=re.escape(f"type {type(obj).__name__} is not")):
                dumps(obj)
