"""What the tests are told of the machine and of how long they may take, and ports of it.

Imports nothing of the tests: those of every folder, and programs that they start, import it.
"""

import contextlib
import os
import random
import socket

HOST = "127.0.0.1"


def is_set(name: str) -> bool:
    """Whether a variable of the environment says yes: it is there, and neither empty nor 0."""
    return os.environ.get(name, "") not in ("", "0")


#: Whether there are hours and not minutes (make nightly).
NIGHTLY = is_set("TOOLBOXSIO_NIGHTLY")
#: By how much the processes are slower than usual: under a sanitizer, under valgrind.
SLOWNESS = float(os.environ.get("TOOLBOXSIO_SLOWNESS", "1"))

#: Sockets by which other processes see, to the end of this one, which ports it has given.
_given: list[contextlib.ExitStack] = []


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nothing listens on, nor has been given before.

    They are below those that the system gives to clients (Linux; 32768 and more): one that asks
    again and again for a server that is not there yet would at last be given its port, and then be
    connected with itself. Each stays given while this process lives, to all that ask here, as a
    UDP port of the same number, which no server of the tests wants.
    """
    while True:
        first = random.randrange(10_000, 32_768 - count)
        with (
            contextlib.suppress(OSError),
            contextlib.ExitStack() as given,
            contextlib.ExitStack() as tried,
        ):
            for port in range(first, first + count):
                mark = given.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                mark.bind((HOST, port))
                tried.enter_context(socket.create_server((HOST, port)))
            _given.append(given.pop_all())
            return first


def free_port() -> int:
    """One of them."""
    return free_ports(1)
