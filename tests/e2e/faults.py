"""What the tests of faults share: servers that record, clients as processes, a link."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .frames import encode
from .harness import HERE, OURS, Server, Transport, stop, wait_until

#: Seconds; a client that says nothing stays for their sum, one that polls for half of the second
#: more: its poll may be on its way.
PING_INTERVAL, PING_TIMEOUT = 1.0, 1.5
MESSAGE_TIMEOUT = 3.0
#: Behind a link that loses packets: the first of a connection comes again after a second.
FAR_PING_TIMEOUT = 3.5
#: What a deadline may be late, with other work on the machine.
LATE = 1.5

Lines = list[list[Any]]


def read_lines(path: Path) -> Lines:
    """The whole lines of a file so far."""
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def numbers(lines: Lines, *start: Any) -> list[int]:
    """The numbers behind the start of lines."""
    size = len(start)
    return [line[size] for line in lines if line[:size] == list(start)]


class RecordingServer(Server):
    """A server whose handlers' record is a file."""

    def __init__(
        self, path: Transport, directory: Path, ping_timeout: float = PING_TIMEOUT, **more: Any
    ) -> None:
        self.record = directory / f"record-{path}-{time.monotonic_ns()}"
        options = {"ping_interval": PING_INTERVAL, "ping_timeout": ping_timeout}
        options["message_timeout"] = (
            MESSAGE_TIMEOUT  # a body in the middle of which the link is cut
        )
        self.ping_timeout = ping_timeout
        self.silence = {"websocket": PING_INTERVAL + ping_timeout}
        self.silence["polling"] = PING_INTERVAL + ping_timeout * 1.5
        #: Files that stay open once they are: connections to Redis.
        self.more_files = 4 if "redis" in more else 0
        super().__init__(
            OURS, path, handlers="faults_app", record=str(self.record), options=options, **more
        )
        self.get("/left")  # what is loaded at the first time is loaded
        self.first = self.get("/left")

    def lines(self) -> Lines:
        return read_lines(self.record)

    def left_at(self, run: str) -> list[Any]:
        """Reason and time of the end of a client's session; empty before."""
        return next((line[2:] for line in self.lines() if line[:2] == ["left", run]), [])

    def wait_until_empty(self, more_files: int = 0) -> None:
        """Wait until nothing is left of any client, but for a number of files."""
        may_be = {"tasks": self.more_files, "files": self.more_files + more_files}

        def is_empty() -> bool:
            left, first = self.get("/left"), self.first
            more = {name: left[name] - first[name] for name in may_be}
            return left | more == first | more and all(more[n] <= may_be[n] for n in may_be)

        try:
            # a session by polling is kept for a while after its end, uvicorn's connection for 5 s
            seconds = max(self.silence["polling"] + self.ping_timeout, 5) + LATE
            wait_until("clients have gone", is_empty, seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {self.first} became {self.get('/left')}") from None


def serving_both(
    stack: contextlib.ExitStack, directory: Path, **more: Any
) -> dict[str, RecordingServer]:
    """A server on each path."""
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda path: RecordingServer(path, directory, **more), ("direct", "asgi"))
        servers = dict(zip(("direct", "asgi"), made, strict=True))
    for server in servers.values():
        stack.callback(server.close)
    return servers


class Client:
    """A client's process: see faults_client.py. `prefix` runs it somewhere else."""

    def __init__(
        self,
        server: Server,
        directory: Path,
        run: str,
        transport: str = "websocket",
        *,
        prefix: tuple[str, ...] = (),
        **more: Any,
    ) -> None:
        self.run = run
        self.path = directory / f"client-{run}"
        config = {"url": server.url, "run": run, "transport": transport, "pause": 0.02, **more}
        with self.path.open("wb") as output:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, str(HERE / "faults_client.py"), json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=output,
            )

    def lines(self) -> Lines:
        return read_lines(self.path)

    def wait_for(self, count: int, *start: Any, seconds: float = 20) -> None:
        """Wait for that many lines with a start."""

        def enough() -> bool:
            assert self.process.poll() is None, "the client has ended"
            return len([line for line in self.lines() if line[: len(start)] == list(start)]) > count

        wait_until(f"{count} times {start} at {self.run}", enough, seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def leave(self) -> Lines:
        """Let it come to its end; return all it has seen."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        return self.lines()

    def close(self) -> None:
        stop(self.process)


class Link:
    """A link of its own, to a network namespace: see link.py."""

    def __init__(self) -> None:
        number = os.getpid() % 16384
        net = f"198.{18 + number // 8192 % 2}.{number // 32 % 256}.{number % 32 * 8}"
        first = net.rsplit(".", 1)[0] + "."
        last = int(net.rsplit(".", 1)[1])
        self.here, self.there = f"{first}{last + 1}", f"{first}{last + 2}"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "link.py"), self.here, self.there],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self._line()
        if not line:
            assert self.process.stderr is not None
            self.reason = self.process.stderr.read().strip().splitlines()[-1:]
            self.close()
            raise OSError(f"no link of TUN devices: {self.reason}")
        self.prefix = ("nsenter", "-t", str(json.loads(line)["pid"]), "-n")

    def _line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 10)
        return self.process.stdout.readline() if ready else ""

    def be(self, **state: Any) -> None:
        """Change what becomes of packets; unnamed things are as usual."""
        usual = {"delay": 0.0, "loss": 0.0, "rate": 0.0, "cut": False}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(usual | state) + "\n")
        self.process.stdin.flush()
        assert self._line()

    def close(self) -> None:
        stop(self.process)
        assert self.process.stderr is not None
        self.process.stderr.close()


def why_no_link() -> str:
    """Why there can be no link; empty: there can."""
    if sys.platform != "linux" or not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    if os.geteuid() != 0:
        return "needs root, for network devices and a namespace"
    missing = [name for name in ("ip", "nsenter") if shutil.which(name) is None]
    return f"needs {missing}" if missing else ""


# --- clients that are killed in the middle --------------------------------------------------------

SLOT = '{"_placeholder":true,"num":0}'
EVENTS = 5


def http(method: str, query: str, body: bytes = b"", size: int | None = None) -> bytes:
    """A request; `size` announces another body than there is."""
    length = (
        f"Content-Length: {len(body) if size is None else size}\r\n" if method == "POST" else ""
    )
    return f"{method} /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode() + body


def upgrade(query: str) -> bytes:
    return (
        f"GET /socket.io/?EIO=4&transport=websocket&{query} HTTP/1.1\r\nHost: x\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


Step = tuple[str, bytes, str]


def events(first: int) -> list[str]:
    return [f'42{n}["numbered",{n}]' for n in range(first, first + EVENTS)]


def by_websocket(run: str) -> list[Step]:
    """Join, and some events that are answered."""
    numbered = b"".join(map(encode, events(0)))
    last = f"43{EVENTS - 1}[{EVENTS - 1}]"
    return [
        ("ws", upgrade(f"run={run}"), '"sid"'),
        ("ws", encode("40"), "40{"),
        ("ws", numbered, last),
    ]


def by_polling(run: str) -> list[Step]:
    sid = "transport=polling&sid={sid}"
    last = f"43{EVENTS - 1}[{EVENTS - 1}]"
    return [
        ("get", http("GET", f"transport=polling&run={run}"), '"sid"'),
        ("post", http("POST", sid, b"40"), "OK"),
        ("get", http("GET", sid), "40{"),
        ("post", http("POST", sid, "\x1e".join(events(0)).encode()), "OK"),
        ("get", http("GET", sid), last),
    ]


def killed_steps(moment: str, run: str) -> list[Step]:
    """What a client has sent when it is killed."""
    sid = "transport=polling&sid={sid}"
    half = encode('42["numbered",99]')[:-3]
    probe: list[Step] = [("ws", upgrade("sid={sid}"), "101 "), ("ws", encode("2probe"), "3probe")]
    return {
        "in a frame": [*by_websocket(run), ("ws", half, "")],
        "between fragments": [
            *by_websocket(run),
            ("ws", encode('42["numbered",', fin=False), ""),
        ],
        "before an attachment": [
            *by_websocket(run),
            ("ws", encode(f'451-["numbered",99,{SLOT}]'), ""),
        ],
        "in an attachment": [
            *by_websocket(run),
            ("ws", encode(f'451-["numbered",99,{SLOT}]') + encode(b"x" * 1000)[:-1], ""),
        ],
        "in a body": [*by_polling(run), ("post", http("POST", sid, b'42["numbered",99]', 100), "")],
        "in a poll": [*by_polling(run), ("get", http("GET", sid), "")],
        "in an upgrade": [*by_polling(run), *probe],
        "after an upgrade": [*by_polling(run), *probe, ("ws", encode("5") + half, "")],
    }[moment]


#: Those in which the end of the process is the end of the session, and the others.
SEEN = ("in a frame", "between fragments", "before an attachment", "in an attachment")
SEEN += ("after an upgrade",)
MOMENTS = (*SEEN, "in a body", "in a poll", "in an upgrade")


@contextlib.contextmanager
def raw_client(server: Server, steps: list[Step]) -> Iterator["subprocess.Popen[str]"]:
    """A client's process that has come to the end of its steps: see faults_raw.py."""
    encoded = [(name, base64.b64encode(data).decode(), text) for name, data, text in steps]
    program = [sys.executable, str(HERE / "faults_raw.py")]
    process = subprocess.Popen(
        [*program, json.dumps([server.host, server.port, encoded])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
