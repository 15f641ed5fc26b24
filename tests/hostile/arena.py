"""A server under attack with honest clients on it, and what is measured there."""

import asyncio
import contextlib
import json
import re
import resource
import select
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.harness import OURS, Server, stop, wait_until
from tests.e2e.raw import SID

from .case import ASGI_MAX_SIZE, OPTIONS, SOON, Case, Target, Times

HERE = Path(__file__).resolve().parent
T = TypeVar("T")

CASE_SECONDS = 60
UVICORN = re.compile(
    r"^WARNING:  Invalid HTTP request received\.\n"
    r"|^ERROR:    Invalid UTF-8 sequence .*\nTraceback .*\n( .*\n)+UnicodeDecodeError: .*\n",
    re.MULTILINE,
)
#: What differs in two lines of one cause: numbers, and what is quoted.
VALUE = re.compile(r"\"[^\"]*\"|'[^']*'|0x[0-9a-f]+|[0-9]+(\.[0-9]+)?")
#: A hostile client that was refused comes back after so many seconds.
PAUSE = 0.1


class Honest:
    """The honest clients' process: see honest.py."""

    def __init__(self, clients: int) -> None:
        self.clients = clients
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "honest.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _write(self, value: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def join(self, port: int, rate: float, window: float) -> None:
        """Let all come, and ask from now on."""
        self._write({"port": port, "clients": self.clients, "rate": rate, "window": window})
        assert self._line() == {"joined": self.clients}

    def _line(self) -> Any:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline() if ready else ""
        assert line, "the honest clients' process does not answer"
        return json.loads(line)

    def take(self) -> dict[str, Any]:
        """What was seen since the last time."""
        self._write("take")
        told: dict[str, Any] = self._line()
        return told

    def measure(self, seconds: float) -> dict[str, float]:
        """Figures of the next so many seconds."""
        self.take()
        time.sleep(seconds)
        return figures(self.take())

    def close(self) -> None:
        stop(self.process)


def figures(told: dict[str, Any]) -> dict[str, float]:
    """Medians of the windows, and the longest of all."""
    assert told["wrong"] == [], told["wrong"][:5]
    windows = told["windows"]
    assert windows, "nobody was answered"
    return {
        "p50": statistics.median(window["p50"] for window in windows),
        "p99": statistics.median(window["p99"] for window in windows),
        "max": max([told["oldest"], *(window["max"] for window in windows)]),
        "windows": len(windows),
    }


def cause_of(line: str) -> str:
    """A line of the log without what may be another in each line of the same cause."""
    return VALUE.sub("*", line)


class Resident(threading.Thread):
    """Looks at the memory of a process, and keeps the most."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.most = self.now()
        self.over = threading.Event()
        self.start()

    def now(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, self.now())

    def take(self) -> int:
        """The most since the last time."""
        most, self.most = self.most, self.now()
        return most

    def close(self) -> None:
        self.over.set()
        self.join()


class Arena:
    """The server, the honest clients, and a loop in a thread for the hostile ones."""

    def __init__(
        self, path: Any, strict: bool, times: Times, clients: int, rate: float, window: float
    ) -> None:
        self.times = times
        self.strict = strict
        self.name = path
        self.begun = time.monotonic()
        self.stack = contextlib.ExitStack()
        try:
            self._open(path, clients, rate, window)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Any, clients: int, rate: float, window: float) -> None:
        options = {**OPTIONS, **vars(self.times), "strict": self.strict}
        more: dict[str, Any] = {"ws_max_size": ASGI_MAX_SIZE}
        if path == "direct":
            more = {"http": "toolboxsio.uvicorn:HTTPProtocol"}
        self.server = Server(OURS, path, handlers="tests.hostile.handlers", options=options, **more)
        self.stack.callback(self.server.close)
        self.target = Target(self.server.port, path, self.times, self.strict)
        self.resident = Resident(self.server.process.pid)
        self.stack.callback(self.resident.close)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.stack.callback(self._end_loop)
        self.running: dict[str, Any] = {}
        self.reports: list[dict[str, Any]] = []
        self.honest = Honest(clients)
        self.stack.callback(self.honest.close)
        self.honest.join(self.server.port, rate, window)
        self.status()  # what is loaded at the first time is loaded
        self.first = self.status()
        self.quiet: dict[str, float] = {}
        self.quiet_bytes = 0
        paths = self.first["paths"]
        assert paths == {path: clients}, paths

    def close(self) -> None:
        self.stack.close()

    def _end_loop(self) -> None:
        for attack in self.running.values():
            attack.cancel()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self.server.get("/hostile")
        return told

    def begin(self, attack: Coroutine[Any, Any, T]) -> Any:
        """Let an attack run; `result()` waits for its end and raises what it found."""
        return asyncio.run_coroutine_threadsafe(bounded(attack), self.loop)

    def run(self, attack: Coroutine[Any, Any, T]) -> T:
        result: T = self.begin(attack).result(CASE_SECONDS + 5)
        return result

    async def besiege(self, case: Case, seconds: float) -> int:
        """Clients that attack, once at least; return how often they were refused."""
        over = self.loop.time() + seconds

        async def one(number: int) -> int:
            await asyncio.sleep(PAUSE * number / case.clients)
            count = 0
            while True:
                await case.attack(self.target)
                count += 1
                await asyncio.sleep(PAUSE)
                if self.loop.time() >= over:
                    return count

        return sum(await asyncio.gather(*(one(number) for number in range(case.clients))))

    def wait_for_peace(self) -> dict[str, Any]:
        """Wait until nothing is left of the hostile clients; return the server's status."""
        seconds = self.times.silence * 2 + self.times.upgrade_timeout + SOON
        keep = ("sessions", "environs", "half packets", "callbacks", "rooms", "running")

        def peaceful() -> dict[str, Any] | None:
            status = self.status()
            return status if all(status[key] == self.first[key] for key in keep) else None

        try:
            return wait_until("the hostile clients have gone", peaceful, seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {self.first} became {self.status()}") from None

    def log(self) -> list[str]:
        """The lines of the server's log without what tells clients apart; uvicorn's own are left
        out: one for each request that is no HTTP, a traceback for each text that is not UTF-8."""
        lines = UVICORN.sub("", self.server.stderr()).splitlines()
        return [SID.sub("<sid>", line) for line in lines]


async def bounded(attack: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(CASE_SECONDS):
        return await attack
