"""The Python servers that are compared, and how each is set up."""

from typing import NamedTuple

LOOPS = ("uvloop", "asyncio")

_UVICORN = "uvicorn with http=httptools, access_log=False, log_level=warning"
_UPSTREAM_WS = "websockets-sansio"  # the quickest for python-socketio of those that uvicorn has
_OPTIONS = "its defaults: async_handlers=True, logger=False, engineio_logger=False"


class Side(NamedTuple):
    label: str
    module: str | None  # that the server imports; None: it is not in Python
    configuration: str  # as it is printed and recorded; the loop is told beside it
    server: str = "uvicorn"
    ws: str = _UPSTREAM_WS  # uvicorn's option, as is http
    http: str = "httptools"
    middleware: bool = False  # an ASGI middleware around the application
    path: str | None = None  # which `acceleration(sid)["path"]` its events have to take
    orjson: bool = False  # behind json=
    loops: tuple[str, ...] = LOOPS


SIDES = {
    "direct": Side(
        "toolboxsio",
        "toolboxsio",
        f"toolboxsio.AsyncServer with {_OPTIONS}; {_UVICORN}, "
        "ws=toolboxsio.uvicorn:WebSocketProtocol",
        ws="toolboxsio.uvicorn:WebSocketProtocol",
        path="direct",
    ),
    "asgi": Side(
        "toolboxsio through ASGI",
        "toolboxsio",
        f"toolboxsio.AsyncServer with {_OPTIONS}; {_UVICORN}, ws={_UPSTREAM_WS}",
        path="asgi",
    ),
    "upstream": Side(
        "python-socketio",
        "socketio",
        f"socketio.AsyncServer with {_OPTIONS}; {_UVICORN}, ws={_UPSTREAM_WS}",
    ),
    "orjson": Side(
        "python-socketio with orjson",
        "socketio",
        f"socketio.AsyncServer with orjson behind json=, else {_OPTIONS}; {_UVICORN}, "
        f"ws={_UPSTREAM_WS}",
        orjson=True,
    ),
}
RATIOS = (  # what is to be told: the first over the second
    ("direct", "upstream"),
    ("direct", "orjson"),
    ("asgi", "upstream"),
)
