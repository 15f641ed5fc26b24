"""The ConnectionStatus page in a real Chromium, against `toolboxsio serve`.

Screenshots are left in build/screenshots.
"""

import base64
import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import DESKTOP, Browser
from tests.e2e.harness import JS, ROOT, node, wait_until
from tests.e2e.machine import free_port
from toolboxsio.backend import page

from .serving import Backend, serving
from .serving import token as make_token

CLIENT = JS / "node_modules" / "sio48" / "dist" / "socket.io.min.js"
SCREENSHOTS = ROOT / "build" / "screenshots"
PHONE = {
    "viewport": {"width": 375, "height": 812},
    "colorScheme": "dark",
    "deviceScaleFactor": 2,
    "isMobile": True,
    "hasTouch": True,
}


class PageBrowser(Browser):
    """Chromium on the ConnectionStatus page."""

    def open(self, backend: Backend, options: dict[str, Any], **files: str) -> None:
        """Open the page anew, once the one before has gone; its first connection is awaited."""
        self.may_complain = True
        self("open", "about:blank")
        wait_until("nobody is connected", lambda: connected(backend) == 0)
        self.may_complain = False
        self.visit(backend.url + page.PAGE, options, **files)
        self.await_text("#state", "connected")

    def details(self, selector: str) -> dict[str, str]:
        """What a list of terms (dl) says."""
        script = "(dl) => [...dl.children].map((item) => item.textContent)"
        texts = self("$eval", f"dl{selector}", script)
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def emit(self, event: str, data: str, namespace: str = "/") -> Any:
        """Emit by the console; the acknowledgement that it shows."""
        self("selectOption", "#namespace", namespace)
        self("fill", "#event", event)
        self("fill", "#data", data)
        self("click", "#emit")
        return json.loads(self.await_text("#answer", r"[^w].*"))


def connected(backend: Backend) -> int:
    """How many clients the application has."""
    count: int = backend.status()["connected"]
    return count


@pytest.fixture(scope="module")
def javascript() -> str:
    """Node's path, with the client that the page is given."""
    return node()


@pytest.fixture(scope="module")
def backend(javascript: str) -> Iterator[Backend]:
    with serving(free_port(), "--debug", SIO_CLIENT_SCRIPT=str(CLIENT)) as backend:
        yield backend
        backend.kill()


@pytest.fixture(scope="module")
def browser(javascript: str) -> Iterator[PageBrowser]:
    browser = PageBrowser(javascript)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def token() -> str:
    return make_token("teacher-7", "teacher")


def test_the_cdn_client_is_that_of_npm(javascript: str) -> None:
    version = json.loads((CLIENT.parent.parent / "package.json").read_text())["version"]
    assert f"/socket.io-client@{version}/dist/{CLIENT.name}" in page.CDN_CLIENT
    digest = hashlib.sha384(CLIENT.read_bytes()).digest()
    assert f"sha384-{base64.b64encode(digest).decode()}" == page.CDN_INTEGRITY


@pytest.mark.parametrize("name", ["", "/page.css", "/page.js", "/client.js"])
def test_headers(backend: Backend, name: str) -> None:
    with urllib.request.urlopen(backend.url + page.PAGE + name, timeout=10) as response:
        assert response.status == 200
        body, headers = response.read().decode(), response.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    if name == "":
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["connect-src"] == "'self' ws:"
        assert page.CDN_CLIENT not in body
    if name == "/client.js":
        assert body == CLIENT.read_text()


def test_production_has_no_page() -> None:
    with serving(free_port(), SIO_CLIENT_SCRIPT=str(Path(__file__))) as backend:
        for name in ("", "/page.css", "/page.js", "/client.js"):
            assert backend.get(page.PAGE + name)[0] == 404
        code, body = backend.get("/")
        assert (code, json.loads(body)) == (
            200,
            {"name": "ToolboxAI", "socketio": "/socket.io", "status": "/socketio/status"},
        )


def test_shows_connection_and_status(backend: Backend, browser: PageBrowser) -> None:
    browser.open(backend, DESKTOP)
    browser.await_text("#latency", r"\d+\.\d ms")
    browser.await_text("#fetched", "As of .*")
    assert browser.text("#transport") == "websocket"
    assert browser.text("#client") == "anonymous"
    assert browser.text("#attempts") == "0"
    assert int(browser.text("#up")) >= 1
    assert int(browser.text("#down")) >= 2  # `connected` and the acknowledgement of the heartbeat
    status = browser.details("#status")
    assert status["Clients"] == "1"
    assert status["Authenticated"] == "0"
    assert status["Roles"] == "none"
    assert status["Path"] == "/socket.io"
    assert status["Acknowledgements"] == "enabled"
    assert status["Acceleration"] == "direct 1"
    assert status["Events"] == status["Emits"] == "through C"
    assert status["Redis"] == "not used"


def test_a_token_with_the_connection(backend: Backend, browser: PageBrowser, token: str) -> None:
    browser.open(backend, DESKTOP)
    browser("click", "#disconnect")
    browser.await_text("#state", "disconnected")
    browser("fill", "#token", token)
    browser("click", "#connect")
    browser.await_text("#client", "authenticated")
    browser.await_text("#status", ".*Rolesteacher 1.*")
    ack = browser.emit("message", '{"type": "ping"}')
    assert (ack["ok"], ack["type"]) == (True, "ping")
    assert token not in browser("content")
    assert browser("evaluate", "() => [...Object.keys(localStorage), location.href]") == [
        backend.url + page.PAGE
    ]


def test_a_bad_token_with_the_connection(backend: Backend, browser: PageBrowser) -> None:
    browser.open(backend, DESKTOP)
    browser("click", "#disconnect")
    browser.await_text("#state", "disconnected")
    browser("fill", "#token", "not a token")
    browser("click", "#connect")
    browser.await_text("#state", "connected")
    browser.await_text("#client", "anonymous: the token was refused")


def test_the_status_follows_a_token(backend: Backend, browser: PageBrowser, token: str) -> None:
    browser.open(backend, DESKTOP)
    browser.await_text("#status", ".*Authenticated0.*")
    browser("fill", "#token", token)
    browser("click", "#authenticate")
    browser.await_text("#status", ".*Authenticated1.*")  # long before it is fetched anew


def test_an_event_that_nobody_handles(backend: Backend, browser: PageBrowser) -> None:
    browser.open(backend, DESKTOP)
    browser("fill", "#event", "nobody-has-this")
    browser("click", "#emit")
    browser.await_text("#answer", "no ack within 5 s: nobody handles the event, perhaps")
    assert browser.text("#client") == "anonymous"


def test_the_root_leads_to_the_page(backend: Backend) -> None:
    code, body = backend.get("/")
    assert (code, "<title>Connection status</title>" in body) == (200, True)


def test_a_token_later(backend: Backend, browser: PageBrowser, token: str) -> None:
    browser.open(backend, DESKTOP)
    browser("fill", "#token", "not a token")
    browser("click", "#authenticate")
    browser.await_text("#client", "refused: invalid_token")
    browser("fill", "#token", token)
    browser("click", "#authenticate")
    browser.await_text("#client", "authenticated: teacher-7, teacher")
    assert token not in browser.text("#log")


def test_console(backend: Backend, browser: PageBrowser, token: str) -> None:
    browser.open(backend, DESKTOP)
    ack = browser.emit("message", '{"type": "ping"}')
    assert (ack["ok"], ack["error"]) == (False, "forbidden")
    browser("fill", "#token", token)
    browser("click", "#authenticate")
    browser.await_text("#client", "authenticated: .*")
    ack = browser.emit("subscribe", '{"channel": "no such name"}')
    assert (ack["ok"], ack["error"]) == (False, "invalid_channel")
    ack = browser.emit("echo", '["<b>markup</b>", 1]', namespace="/debug")
    assert ack["data"] == [["<b>markup</b>", 1]]
    assert browser.emit("ping", "", namespace="/debug")["ok"] is True
    assert browser("$$eval", "#log b", "(found) => found.length") == 0

    browser("selectOption", "#namespace", "/")
    browser("fill", "#event", "content_request")
    browser("fill", "#data", '{"topic": "volcanoes"}')
    browser("uncheck", "#with-ack")
    browser("click", "#emit")
    browser.await_text("#answer", "sent, without an ack")
    browser.await_text("#log li:first-child", ".*content_progress.*volcanoes.*")
    browser("fill", "#data", "{no JSON")
    browser("click", "#emit")
    browser.await_text("#answer", "not JSON: .*")

    browser("fill", "#event", "message")
    browser("fill", "#data", '{"type": "note"}')
    browser("$eval", "#emit", "(button) => { for (let i = 0; i < 90; i += 1) button.click(); }")
    browser.await_text("#log li:first-child", ".*ack.*")
    wait_until("a full log", lambda: log_length(browser) > 150)
    browser("$eval", "#emit", "(button) => { for (let i = 0; i < 60; i += 1) button.click(); }")
    wait_until("a full log", lambda: log_length(browser) == 200)


def log_length(browser: PageBrowser) -> int:
    length: int = browser("$$eval", "#log li", "(entries) => entries.length")
    return length


def test_reconnects(backend: Backend, browser: PageBrowser) -> None:
    browser.open(backend, DESKTOP)
    browser.may_complain = True  # of requests that are not answered
    backend.stop()
    try:
        browser.await_text("#state", "reconnecting")
        assert browser.text("#latency") == "\N{EN DASH}"
        browser.await_text("#attempts", r"[1-9]\d*")
    finally:
        backend.start()
    backend.wait()
    browser.await_text("#state", "connected")
    browser.await_text("#latency", r"\d+\.\d ms")
    browser.await_text("#fetched", "As of .*")
    assert browser.details("#status")["Clients"] == "1"


@pytest.mark.parametrize(
    ("transports", "name"),
    [("websocket", "websocket"), ("polling", "polling"), ("polling, websocket", "websocket")],
)
def test_transports(backend: Backend, browser: PageBrowser, transports: str, name: str) -> None:
    browser.open(backend, DESKTOP)
    browser("click", "#disconnect")
    browser("selectOption", "#transports", transports)
    browser("click", "#connect")
    browser.await_text("#state", "connected")
    browser.await_text("#transport", name)
    browser.await_text("#latency", r"\d+\.\d ms")
    browser("click", "#disconnect")
    wait_until("the server knows", lambda: connected(backend) == 0)


def test_the_client_of_the_cdn(tmp_path: Path, browser: PageBrowser) -> None:
    # The browser checks the policy and the integrity of the file that stands for the CDN's.
    with serving(free_port(), "--debug", SIO_PATH="/other.path") as backend:
        browser.open(backend, DESKTOP, **{page.CDN_CLIENT: str(CLIENT)})
        browser.await_text("#status", r".*Path/other\.path.*")
        assert backend.get(f"{page.PAGE}/client.js")[0] == 404
        tampered = tmp_path / "tampered.js"
        tampered.write_text(CLIENT.read_text() + "\n")
        browser.may_complain = True
        browser("open", backend.url + page.PAGE, DESKTOP, {page.CDN_CLIENT: str(tampered)})
        browser.await_text("#state", ".*not loaded; SIO_CLIENT_SCRIPT.*")
        backend.kill()


@pytest.mark.parametrize(
    ("name", "options", "ground"),
    [("desktop-light", DESKTOP, "rgb(243, 244, 246)"), ("phone-dark", PHONE, "rgb(18, 21, 26)")],
)
def test_looks(
    backend: Backend, browser: PageBrowser, token: str, name: str, options: Any, ground: str
) -> None:
    browser.open(backend, options)
    browser("fill", "#token", token)
    browser("click", "#authenticate")
    browser.await_text("#client", "authenticated: .*")
    browser.emit("echo", '["hello"]', namespace="/debug")
    browser.emit("collaboration_message", '{"roomId": "7", "message": "' + "x" * 300 + '"}')
    browser.emit("broadcast", '{"channel": "admin_news", "data": null}')
    browser("click", "#disconnect")
    browser("click", "#connect")  # the status is fetched anew
    browser.await_text("#status", ".*Rolesteacher 1.*")
    browser.await_text("#latency", r"\d+\.\d ms")
    script = "(body) => getComputedStyle(body).backgroundColor"
    assert browser("$eval", "body", script) == ground
    widths = browser("$eval", "html", "(html) => [html.scrollWidth, html.clientWidth]")
    assert widths[0] <= widths[1] == options["viewport"]["width"]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser("screenshot", {"path": str(SCREENSHOTS / f"{name}.png"), "fullPage": True})
