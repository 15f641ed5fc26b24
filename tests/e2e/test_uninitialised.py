"""No byte that nobody has written leaves a server under valgrind with clients of every kind.

TOOLBOXSIO_VALGRIND=1 (make valgrind) runs this; it takes minutes.
"""

from pathlib import Path
from typing import Any

import pytest

from .harness import OURS, serving
from .leaks_clients import DEFLATE, KINDS, Leaver, use
from .machine import SLOWNESS, is_set
from .memcheck import errors

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not is_set("TOOLBOXSIO_VALGRIND"), reason="takes minutes"),
]

VALGRIND = ["valgrind", "--xml=yes", "--leak-check=no", "--num-callers=30", "--error-limit=no"]
#: What a client that does not answer PINGs may do, under valgrind.
OPTIONS = {"ping_interval": 600, "ping_timeout": 600, "max_backlog": 300_000, "connect_timeout": 0}


def compressed_answers(port: int) -> None:
    """Answers that the server compresses, text and bytes."""
    client = Leaver(port, headers=DEFLATE)
    client.until(b"\r\n\r\n")
    client.send("40")
    for size in (10, 200, 2000, 70_000):
        client.send_packed(f'421["echo","{"ab" * size}"]')
        client.send('451-2["echo",{"_placeholder":true,"num":0}]', b"xy" * size)
    client.say_close()


def sizes(port: int) -> None:
    """Answers whose frames have headers of every length."""
    client = Leaver(port).join()
    for size in (0, 1, 100, 125, 126, 1000, 65_530, 70_000):
        client.send(f'421["echo","{"x" * size}"]')
        client.until(b'"]')
        client.send('451-2["echo",{"_placeholder":true,"num":0}]', b"y" * size)
        client.until(b"461-2[")
    use(client)
    client.say_close()


@pytest.mark.parametrize(("path", "loop"), [("direct", "uvloop"), ("asgi", "asyncio")])
def test_all_that_is_sent_was_written(path: Any, loop: Any, tmp_path: Path) -> None:
    assert SLOWNESS >= 5, "TOOLBOXSIO_SLOWNESS must say that this is slow"
    under = [*VALGRIND, f"--xml-file={tmp_path}/%p.xml"]
    config = {"handlers": "leaks_handlers", "options": OPTIONS, "under": under}
    failed = {}
    with serving(OURS, path=path, loop=loop, **config) as server:
        for name, kind in {**KINDS, "compressed": compressed_answers, "sizes": sizes}.items():
            if name == "too_slow":  # under valgrind it is the server that is slower
                continue
            try:
                kind(server.port)
            except (AssertionError, OSError) as exc:
                failed[name] = repr(exc)[:200]
        server.get("/kept")
    [report] = tmp_path.glob("*.xml")
    found = list(errors(report))
    print(f"{len(KINDS) + 1} clients, {len(found)} errors")  # shown with -s
    assert [error for error in found if error[2]] == []
    assert failed == {}
