"""What a run is at, and how long the rest will take."""

import sys
import time
from collections.abc import Callable, Mapping


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """About so long, in words."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min"


class Course:
    """The progress of several parts, one after the other.

    `expected` tells how many seconds each part should take; what is left is told from that and from
    how quick the run has been.
    """

    def __init__(
        self,
        expected: Mapping[str, float],
        say: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expected = dict(expected)
        self._say = say
        self._clock = clock
        self._name = ""
        self._begun = self._part_begun = clock()

    def begin(self, name: str) -> None:
        self._name = name
        self._part_begun = self._clock()

    def left(self, done: float) -> float:
        """Seconds until the end, when this share of the part is done."""
        names = list(self._expected)
        at = names.index(self._name)
        before, part = sum(self._expected[one] for one in names[:at]), self._expected[self._name]
        over = before + done * part
        now = self._clock()
        pace = (now - self._begun) / over if over > 0 else 1.0
        rest = sum(self._expected[one] for one in names[at + 1 :]) * pace
        if done > 0:  # what this part took tells more of it than the others do
            return rest + (now - self._part_begun) / done * (1 - done)
        return rest + part * pace

    def __call__(self, text: str, done: int = 0, of: int = 1) -> None:
        """Say what begins, after so many steps of the part."""
        names = list(self._expected)
        number = f"{names.index(self._name) + 1} of {len(names)} " if len(names) > 1 else ""
        left = duration(self.left(done / of))
        self._say(f"{number}{self._name}: {text} (step {done + 1} of {of}, about {left} left)")
