"""A NiceGUI application on toolboxsio: `python nicegui_app.py run 8080`, or run_with.

NiceGUI builds its Socket.IO server when it is imported. "run" lets it start uvicorn, too.
"""

import sys
from typing import Any

import toolboxsio

HOW, PORT = sys.argv[1], int(sys.argv[2])
toolboxsio.install(uvicorn=HOW == "run")

import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from fastapi.middleware.cors import CORSMiddleware  # noqa: E402
from nicegui import app, core, ui  # noqa: E402

SECRET = "a secret of the tests"
shared = {"clicks": 0}


@ui.page("/")
def index() -> None:
    """A counter of this page's own and one of all, an input, a clock, an answer of the page."""
    own = {"clicks": 0, "ticks": 0}

    def click() -> None:
        own["clicks"] += 1
        shared["clicks"] += 1

    def tick() -> None:
        own["ticks"] += 1

    async def ask() -> None:
        answer.set_text(f"the page says {await ui.run_javascript('6 * 7')}")

    ui.button("click", on_click=click).classes("click")
    ui.label().classes("own").bind_text_from(own, "clicks", str)
    ui.label().classes("shared").bind_text_from(shared, "clicks", str)
    entered = ui.label("nothing").classes("entered")
    ui.input(on_change=lambda event: entered.set_text(event.value.upper())).classes("input")
    ui.label().classes("clock").bind_text_from(own, "ticks", str)
    ui.timer(0.05, tick)
    ui.button("ask", on_click=ask).classes("ask")
    answer = ui.label().classes("answer")
    ui.link("other", "/other").classes("link")


@ui.page("/other")
async def other() -> None:
    ui.label("connecting").classes("state")
    await ui.context.client.connected()
    ui.label("the other page").classes("title")


@app.get("/clients")
async def clients() -> dict[str, Any]:
    """How the packets of each client go, by its id."""
    members = core.sio.manager.rooms.get("/", {}).get(None, ())
    return {sid: core.sio.acceleration(sid) for sid in members}


@app.post("/cut")
async def cut() -> None:
    """End all connections without a word."""
    for socket in list(core.sio.eio.sockets.values()):
        socket.conn.abort()


if __name__ == "__main__":
    if HOW == "run":
        ui.run(host="127.0.0.1", port=PORT, reload=False, show=False, storage_secret=SECRET)
    else:
        outer = FastAPI()
        outer.add_middleware(CORSMiddleware, allow_origins=["*"])
        ui.run_with(outer, storage_secret=SECRET)
        ws = "toolboxsio.uvicorn:WebSocketProtocol"
        uvicorn.run(outer, host="127.0.0.1", port=PORT, ws=ws, log_level="warning")
