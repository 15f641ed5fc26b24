"""Frameworks that build their own Socket.IO server, as they come from PyPI, after `install()`."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from .browser import DESKTOP, Browser
from .harness import HERE, START_SECONDS, stop, wait_until
from .machine import free_port

pytestmark = pytest.mark.timeout(90)


class NiceGui:
    """A process of nicegui_app.py."""

    def __init__(self, how: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(HERE / "nicegui_app.py"), how, str(self.port)]
        # which would have it be what its own tests need
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=subprocess.STDOUT, env=environment
        )

    def wait(self) -> None:
        def is_up() -> bool:
            assert self.process.poll() is None, self.said()
            try:
                return self.clients() == {}
            except OSError:
                return False

        wait_until("the application answers", is_up, START_SECONDS)

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def clients(self) -> dict[str, Any]:
        told: dict[str, Any] = self.ask("GET", "/clients")
        return told

    def close(self) -> None:
        stop(self.process)
        self.log.close()


@pytest.fixture(scope="module")
def browsers(javascript: str) -> Iterator[list[Browser]]:
    found = [Browser(javascript) for _ in range(2)]
    yield found
    for browser in found:
        browser.close()


@pytest.fixture(scope="module", params=["run", "run_with"])
def nicegui(request: pytest.FixtureRequest) -> Iterator[NiceGui]:
    application = NiceGui(request.param)
    try:
        application.wait()
        yield application
    finally:
        application.close()


def test_nicegui(nicegui: NiceGui, browsers: list[Browser]) -> None:
    first, second = browsers
    for browser in browsers:
        browser.may_complain = True  # the page before, of a server that has gone
        browser.visit("about:blank", DESKTOP)
        browser.may_complain = False
        browser.visit(nicegui.url, DESKTOP)
        browser.await_text(".own", "0")
    before = int(first.text(".shared"))
    for number in (1, 2, 3):
        first("click", ".click")
        first.await_text(".own", str(number))
    second("click", ".click")
    for browser, own in ((first, "3"), (second, "1")):
        browser.await_text(".shared", str(before + 4))
        browser.await_text(".own", own)
    first("fill", ".input input", "caf\u00e9 \u65e5\u672c")
    first.await_text(".entered", "CAF\u00c9 \u65e5\u672c")
    first("click", ".ask")
    first.await_text(".answer", "the page says 42")
    first.await_text(".clock", r"[1-9]\d+")
    clients = nicegui.clients()
    assert len(clients) == 2
    for acceleration in clients.values():
        assert acceleration == {"path": "direct", "fast": True, "reasons": []}

    for browser in browsers:
        browser("evaluate", "() => { window.sameDocument = true; }")
        browser.may_complain = True  # of a connection that has ended
    nicegui.ask("POST", "/cut")
    wait_until("both are back", lambda: len(nicegui.clients().keys() - clients.keys()) == 2)
    first("click", ".click")
    first.await_text(".own", "4")
    second.await_text(".shared", str(before + 5))
    for browser in browsers:
        assert browser("evaluate", "() => window.sameDocument === true")
        browser.may_complain = False
    assert {acceleration["path"] for acceleration in nicegui.clients().values()} == {"direct"}

    first("click", ".link")
    first.await_text(".title", "the other page")
    for browser in browsers:
        browser.visit("about:blank", DESKTOP)
    wait_until("nobody is connected", lambda: nicegui.clients() == {})
    said = nicegui.said().splitlines()
    usual = ("ready to go", "binding propagation for")  # it tells of a machine that is slow
    assert [line for line in said if not any(words in line for words in usual)] == []
