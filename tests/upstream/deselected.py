"""What is not run of upstream's tests, what fails on this package's classes, and why."""

from typing import NamedTuple


class Case(NamedTuple):
    """`test` is a node id: of a test with all its parameters, or of a whole file.

    `package` is a name, or `name==version` for a case of that version alone.
    """

    package: str
    test: str
    reason: str


_NO_FILES = "the source distribution lacks the directory of files that the test serves"

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

_ONE_RESPONSE = (
    "uvicorn's class sends the status together with the body, so that a refusal without a body is"
    " never sent; uvicorn skips the test for its own class by the class's name"
)
_WEBSOCKET = "tests/protocols/test_websocket.py"
_BIGGER = "test_send_binary_data_to_server_bigger_than_default_on_websockets"
_LONG_REASON = (
    "the test limits its client to 10 bytes, and the reason in the Close frame is longer; uvicorn"
    " runs it on the class made of websockets' old implementation"
)

_CALLED_ONCE = (
    "the handler is a mock that takes any number of arguments and raises a TypeError of its own: it"
    " is not called again"
)
_OWN_JSON = "the JSON of a server is not that of all packets"
_SERVER = "tests/async/test_server.py::TestAsyncServer"

#: Run, and must fail on this package's classes: an entry that passes is an error.
DIFFERENT: tuple[Case, ...] = (
    Case(
        "python-engineio",
        "tests/async/test_socket.py::TestSocket::test_polling_write_without_content_length",
        "the body of a request without a length is read up to the limit, not as empty",
    ),
    Case("python-engineio", f"{_SERVER}::test_custom_json", _OWN_JSON),
    Case("python-socketio", f"{_SERVER}::test_custom_json", _OWN_JSON),
    Case("python-socketio", f"{_SERVER}::test_handle_connect_with_auth_none", _CALLED_ONCE),
    Case(
        "python-socketio",
        f"{_SERVER}::test_handle_connect_with_auth_none_type_error",
        _CALLED_ONCE,
    ),
    Case("python-socketio", f"{_SERVER}::test_handle_legacy_disconnect", _CALLED_ONCE),
    Case("python-socketio", f"{_SERVER}::test_handle_legacy_disconnect_async", _CALLED_ONCE),
    Case(
        "uvicorn",
        f"{_WEBSOCKET}::test_server_reject_connection_with_invalid_msg",
        _ONE_RESPONSE,
    ),
    Case(
        "uvicorn",
        f"{_WEBSOCKET}::test_server_reject_connection_with_missing_body",
        _ONE_RESPONSE,
    ),
    Case(
        "uvicorn",
        f"{_WEBSOCKET}::test_server_multiple_websocket_http_response_start_events",
        _ONE_RESPONSE,
    ),
    Case("uvicorn==0.35.0", f"{_WEBSOCKET}::{_BIGGER}[httptools-max=10 sent=11]", _LONG_REASON),
    Case("uvicorn==0.35.0", f"{_WEBSOCKET}::{_BIGGER}[h11-max=10 sent=11]", _LONG_REASON),
)
