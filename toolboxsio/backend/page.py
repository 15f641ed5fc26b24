"""The ConnectionStatus page of debug mode: GET /socketio/debug.

Its assets, and the client where ``client_script`` names a file, are below that path.
"""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse

from toolboxsio.backend.settings import Settings
from toolboxsio.backend.socketio_server import rules

PAGE = "/socketio/debug"

#: jsDelivr serves the files of npm's packages as they are.
CDN_CLIENT = "https://cdn.jsdelivr.net/npm/socket.io-client@4.8.4/dist/socket.io.min.js"
CDN_INTEGRITY = "sha384-fBrXvbDtHoeKWJ/hcA6M+YGueiDW+h45I7V6F2kD1S8bOkrF9rZYPLVkCR6BLR/1"

#: What the namespace `/debug` knows besides `ping`.
DEBUG_EVENTS = ("echo",)

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def content_security_policy(*scripts: str) -> str:
    """The header's value: the page may load its own files and `scripts`, and nothing else."""
    directives = {
        "default-src": "'none'",
        "script-src": " ".join(("'self'", *scripts)),
        "style-src": "'self'",
        "img-src": "data:",  # the empty icon
        "connect-src": "'self' ws:",  # wss: is within ws:
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def add_page(api: FastAPI, settings: Settings) -> None:
    """Add the page's routes to the application."""
    script = settings.client_script
    assets = resources.files(__package__) / "page_assets"

    def add(path: str, content: str, kind: str, **more: str) -> None:
        async def asset() -> Response:
            return Response(content, media_type=kind, headers={**HEADERS, **more})

        api.add_api_route(path, asset, include_in_schema=False)

    if script is None:
        policy = content_security_policy(CDN_CLIENT)
        client = f'src="{CDN_CLIENT}" integrity="{CDN_INTEGRITY}" crossorigin="anonymous"'
    else:
        policy = content_security_policy()
        client = f'src="{PAGE}/client.js"'

        @api.get(f"{PAGE}/client.js", include_in_schema=False)
        async def client_script() -> Response:
            return FileResponse(script, media_type="text/javascript", headers=HEADERS)

    events = [name for name, rule in rules.items() if not rule.is_routed]
    html = Template((assets / "page.html").read_text("utf-8")).substitute(
        path=escape(settings.path),
        page=PAGE,
        client=client,
        events="".join(f'<option value="{escape(name)}">' for name in [*events, *DEBUG_EVENTS]),
    )
    add(PAGE, html, "text/html", **{"Content-Security-Policy": policy})
    add(f"{PAGE}/page.css", (assets / "page.css").read_text("utf-8"), "text/css")
    add(f"{PAGE}/page.js", (assets / "page.js").read_text("utf-8"), "text/javascript")
