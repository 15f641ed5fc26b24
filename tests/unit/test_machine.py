"""tests/e2e/machine.py: what the tests are told of the machine."""

import pytest

from tests.e2e.machine import is_set


@pytest.mark.parametrize(
    ("value", "expected"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)]
)
def test_a_variable_says_yes_or_no(monkeypatch, value, expected):
    monkeypatch.delenv("TOOLBOXSIO_SOMETHING", raising=False)
    if value is not None:
        monkeypatch.setenv("TOOLBOXSIO_SOMETHING", value)
    assert is_set("TOOLBOXSIO_SOMETHING") is expected
