"""Cases 9.3 and 9.4 of the Autobahn|Testsuite, by hand: 4 MiB in fragments, to its echo server."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .frames import BINARY, TEXT, encode
from .harness import ROOT, START_SECONDS, stop, wait_until
from .machine import SLOWNESS, free_port
from .rule_client import WebSocket

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

SIZE = 4 * 1024 * 1024
#: Bytes of a fragment, by the number of the case; those after them have larger ones.
PIECES = {1: 64, 2: 256, 3: 1024, 4: 4096}


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, str(ROOT / "tests" / "autobahn" / "echo_server.py")]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--loop", request.param],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    try:
        wait_until("the echo server listens", lambda: listens(port, server), START_SECONDS)
        yield port
    finally:
        stop(server)


def listens(port: int, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "the echo server has ended"
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["9.3", "9.4"])
@pytest.mark.parametrize("case", PIECES)
def test_a_message_in_fragments(port: int, opcode: int, case: int) -> None:
    data, step = b"*" * SIZE, PIECES[case]
    whole = [encode(data[:step], opcode, fin=step == SIZE)]
    whole += [encode(data[i : i + step], 0, fin=i + step == SIZE) for i in range(step, SIZE, step)]
    assert len(whole) == SIZE // step
    ws = WebSocket(port, "")
    assert ws.send_raw(b"".join(whole))
    assert ws.receive(30 * SLOWNESS) == (data.decode() if opcode == TEXT else data)
    ws.close()
