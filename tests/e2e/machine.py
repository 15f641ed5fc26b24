"""What the tests are told of the machine and of how long they may take.

Imports nothing of the tests: those of every folder import it.
"""

import os


def is_set(name: str) -> bool:
    """Whether a variable of the environment says yes: it is there, and neither empty nor 0."""
    return os.environ.get(name, "") not in ("", "0")


#: Whether there are hours and not minutes (make nightly).
NIGHTLY = is_set("TOOLBOXSIO_NIGHTLY")
#: By how much the processes are slower than usual: under a sanitizer, under valgrind.
SLOWNESS = float(os.environ.get("TOOLBOXSIO_SLOWNESS", "1"))
