"""Each documented difference differs, for the reason given, and the README names it."""

from pathlib import Path

import pytest

from .actions import both
from .compare import is_same
from .differences import DIFFERENCES, explain

README = Path(__file__).resolve().parents[2] / "README.md"
EXAMPLES = [(d, action, given) for d in DIFFERENCES for action, given in d.examples]


@pytest.mark.parametrize(
    ("difference", "action", "given"),
    EXAMPLES,
    ids=[f"{d.name}-{n}" for n, (d, _, _) in enumerate(EXAMPLES)],
)
def test_differs(difference, action, given):
    theirs, ours = both(action, given)
    assert not is_same(theirs, ours)
    assert explain(action, given, theirs, ours) == difference.name


def test_names_are_unique():
    names = [difference.name for difference in DIFFERENCES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_readme_names_it(difference):
    assert f"`{difference.name}`" in README.read_text(encoding="utf-8")
