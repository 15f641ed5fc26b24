"""Chromium with one page, by way of tests/js/page.mjs."""

import json
import re
import select
import shutil
import subprocess
from typing import Any

from .harness import JS, stop, wait_until

STEP_SECONDS = 20
DESKTOP = {"viewport": {"width": 1280, "height": 900}, "colorScheme": "light"}


class Browser:
    """What it complains of fails the test."""

    def __init__(self, node: str) -> None:
        chromium = shutil.which("chromium")
        assert chromium is not None, "chromium is needed: apt-get install chromium"
        self._process = subprocess.Popen(
            [node, str(JS / "page.mjs"), json.dumps({"browser": chromium})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.may_complain = False

    def __call__(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([method, *arguments]), file=self._process.stdin, flush=True)
        ready, _, _ = select.select([self._process.stdout], [], [], STEP_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        assert line, f"no answer to {method} {arguments}"
        answer = json.loads(line)
        assert "error" not in answer, f"{method} {arguments}: {answer['error']}"
        assert self.may_complain or answer["problems"] == [], answer["problems"]
        return answer.get("value")

    def visit(self, url: str, options: dict[str, Any], **files: str) -> None:
        """Open a page in a context of its own; files stand for URLs."""
        self("open", url, options, files)

    def text(self, selector: str) -> str:
        return self("textContent", selector) or ""

    def await_text(self, selector: str, pattern: str) -> str:
        """The text of an element, once the pattern matches the whole of it."""
        seen = ""

        def probe() -> str | None:
            nonlocal seen
            seen = self.text(selector)
            return seen if re.fullmatch(pattern, seen, re.DOTALL) else None

        try:
            return wait_until(f"{selector} is {pattern!r}", probe) or ""
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen!r}") from None

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # the script ends its browser and itself
        try:
            self._process.wait(10)
        finally:
            stop(self._process)
