"""What is not run of upstream's tests, what fails on this package's classes, and why."""

from typing import NamedTuple


class Case(NamedTuple):
    """`test` is a node id: of a test with all its parameters, or of a whole file."""

    package: str
    test: str
    reason: str


_NO_FILES = "the source distribution lacks the directory of files that the test serves"
_CLASS_IN_MODULE = (
    "the test puts a mock in the place of engineio.async_server.async_socket.AsyncSocket, which "
    "EngineServer does not look at: it makes an EngineSocket"
)

#: Not run on upstream's classes either. An entry that matches nothing is an error.
DESELECTED = (
    Case(
        "python-engineio",
        "tests/async/test_tornado.py",
        "the driver for Tornado, which is not installed; no class of ours is involved",
    ),
    Case(
        "python-engineio",
        "tests/common/test_middleware.py::TestWSGIApp::test_static_files",
        _NO_FILES,
    ),
    Case(
        "python-engineio",
        "tests/async/test_asgi.py::TestAsgi::test_static_file_routing",
        _NO_FILES,
    ),
    Case(
        "python-socketio",
        "tests/async/test_admin.py::TestAsyncAdmin::test_admin_connect_with_others",
        "its web server waits for a client that the test leaves open, until the timeout",
    ),
)

#: Run, and must fail on this package's classes: an entry that passes is an error.
DIFFERENT = (
    *(
        Case("python-engineio", f"tests/async/test_server.py::TestAsyncServer::{name}", why)
        for why in (_CLASS_IN_MODULE,)
        for name in (
            "test_connect_bad_poll",
            "test_connect_transport_websocket",
            "test_http_upgrade_case_insensitive",
            "test_connect_transport_websocket_closed",
        )
    ),
    Case(
        "python-engineio",
        "tests/async/test_socket.py::TestSocket::test_websocket_upgrade_with_large_packet",
        "an upgrade that fails is a closed WebSocket; upstream raises ValueError out of it",
    ),
)
