"""What makes a soak fail (tests/soak/verdict.py)."""

import random

import pytest

from tests.soak import verdict

MIB = 1 << 20


def samples(minutes=20, per_hour=0.0, noise=0.0, start=90 * MIB, warm=20 * MIB):
    """Memory that settles after three minutes, by the second, then grows."""
    chance = random.Random(1)
    found = []
    for t in range(minutes * 60):
        value = start + warm * min(1, t / 180) + per_hour * max(0, t - 180) / 3600
        found.append((float(t), int(value + chance.gauss(0, noise))))
    return found


def of_memory(found, most=verdict.GROWTH):
    return verdict.of_memory({"direct": found}, 180, most)


def test_memory_that_settles():
    assert of_memory(samples()) == []
    assert of_memory(samples(noise=3 * MIB)) == []


def test_a_leak_is_found():
    assert of_memory(samples(per_hour=48 * MIB)) == ["memory of direct grows: 6.8 MiB"]
    assert of_memory(samples(per_hour=48 * MIB, noise=3 * MIB)) != []
    assert of_memory(samples(per_hour=12 * MIB)) == []


def test_peaks_and_a_fall_are_no_growth():
    found = [(t, value + 500 * MIB * (t % 60 == 0)) for t, value in samples()]
    assert of_memory(found) == []
    assert of_memory(samples(per_hour=-60 * MIB)) == []


def test_growth_in_steps_is_found():
    found = [(t, value + 6 * MIB * (t > 900)) for t, value in samples()]
    assert len(of_memory(found)) == 1


@pytest.mark.parametrize("found", [[], samples(3), samples(4)[:190]])
def test_too_few_samples(found):
    assert of_memory(found) == ["memory of direct: too few samples"]


def test_quarters_are_of_time():
    uneven = [(0.0, 0), (100.0, 1), (101.0, 2), (124.9, 3), (150.0, 4), (200.0, 5)]
    assert verdict.quarters(uneven, 100) == [[1, 2, 3], [], [4], [5]]
    assert verdict.quarters(uneven, 200) == [[5], [], [], []]
    assert verdict.quarters(uneven, 300) == [[], [], [], []]


NAMES = ("direct", "asgi")
KEPT = {"tables": {"sockets": 0, "manager": {}}, "tasks": 5, "descriptors": 18}


def report(**changes):
    acceleration = {
        name: [{"paths": {name: 3, "polling": 1}, "events": [], "emits": []}] for name in NAMES
    }
    redis = {"connected": True, "reconnects": 0, "dropped": 0}
    return {
        "wrong": {},
        "examples": {},
        "memory": {name: samples() for name in NAMES},
        "warm_up": 180,
        "most_growth": verdict.GROWTH,
        "logs": {name: [] for name in NAMES},
        "before": {name: {"tasks": 3, "descriptors": 16} for name in NAMES},
        "after": dict.fromkeys(NAMES, KEPT),
        "acceleration": acceleration,
        "redis": dict.fromkeys(NAMES, redis),
        "counts": dict.fromkeys(verdict.HAPPENED, 1),
        **changes,
    }


def test_nothing_is_wrong():
    assert verdict.judge(report()) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"wrong": {"x": 2}, "examples": {"x": ["y"]}}, "clients: x, 2 times: ['y']"),
        ({"logs": {"asgi": ["WARNING"]}}, "log of asgi: 1 lines: ['WARNING']"),
        (
            {"after": {"asgi": KEPT | {"tables": {"sockets": 1, "manager": {"callbacks": 2}}}}},
            "asgi keeps what clients have left: {'sockets': 1, 'manager': {'callbacks': 2}}",
        ),
        (
            {"after": {"asgi": KEPT | {"tasks": 6}}},
            "asgi keeps what clients have left: {'tasks': 6}",
        ),
        (
            {"acceleration": {"direct": [{"paths": {"asgi": 1}, "events": [], "emits": []}]}},
            "connections of direct were ['asgi']",
        ),
        (
            {
                "acceleration": {
                    "asgi": [{"paths": {"asgi": 1, "polling": 1}, "events": ["why"], "emits": []}]
                }
            },
            "asgi was slow: ['why']",
        ),
        (
            {"redis": {"asgi": {"connected": True, "reconnects": 1, "dropped": 0}}},
            "redis of asgi: {'connected': True, 'reconnects': 1, 'dropped': 0}",
        ),
        (
            {"counts": dict.fromkeys(verdict.HAPPENED, 1) | {"cuts": 0}},
            "this did not happen: ['cuts']",
        ),
    ],
)
def test_what_is_wrong(changes, why):
    assert verdict.judge(report(**changes)) == [why]
