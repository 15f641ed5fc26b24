"""codec/ack and base/clock: the envelope of an acknowledgement."""

import random
from datetime import UTC, datetime, timedelta

import pytest

import toolboxsio
from toolboxsio import _core

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_envelope():
    before = datetime.now(UTC)
    envelope = toolboxsio.ack(True, b=1, a=[2], error=None)
    after = datetime.now(UTC)
    assert type(envelope) is dict
    assert list(envelope) == ["ok", "b", "a", "error", "ts"]
    assert envelope["ok"] is True
    assert (envelope["b"], envelope["a"], envelope["error"]) == (1, [2], None)
    assert before <= datetime.fromisoformat(envelope["ts"]) <= after


def test_ok_is_a_bool():
    assert toolboxsio.ack(1)["ok"] is True
    assert toolboxsio.ack([])["ok"] is False
    assert list(toolboxsio.ack(a=1, ok=0).items())[:2] == [("ok", False), ("a", 1)]


def test_ts_is_always_the_time():
    envelope = toolboxsio.ack(False, ts="mine")
    assert datetime.fromisoformat(envelope["ts"])


@pytest.mark.parametrize(
    "call", [lambda: _core.ack(), lambda: _core.ack(1, 2), lambda: _core.ack(1, ok=1)]
)
def test_wrong_arguments(call):
    with pytest.raises(TypeError, match=r"ack\(\)"):
        call()


def test_a_truth_that_raises():
    class Vague:
        def __bool__(self):
            raise LookupError

    with pytest.raises(LookupError):
        _core.ack(Vague())


def test_time_is_written_as_isoformat_writes_it():
    chosen = random.Random(1)
    last = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    first = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    instants = [0, 1, -1, 10**6, first, last, *(chosen.randint(first, last) for _ in range(2000))]
    for us in instants:
        assert _core.iso8601(us) == (EPOCH + timedelta(microseconds=us)).isoformat()
