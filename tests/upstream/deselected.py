"""What is not run of upstream's tests, what fails on this package's classes, and why."""

from typing import NamedTuple


class Case(NamedTuple):
    """`test` is a node id: of a test with all its parameters, or of a whole file."""

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

#: Run, and must fail on this package's classes: an entry that passes is an error.
DIFFERENT: tuple[Case, ...] = ()
