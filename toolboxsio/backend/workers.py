"""Several worker processes: started, watched, ended.

Each runs `toolboxsio serve` with a port of its own, or, without stickiness, with the one listening
socket that all of them share. One that ends is started again, later each time when it ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

from toolboxsio.backend.settings import Settings

logger = logging.getLogger(__name__)

#: The exit code of a worker that cannot start: it is uvicorn's, too.
NOT_STARTED = 3

#: A worker that ends by itself sooner has not begun to serve.
START_SECONDS = 5.0
LONGEST_PAUSE = 30.0

#: Seconds for a worker to end by itself, before it is killed.
STOP_SECONDS = 15.0


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port.

    :raises OSError: when it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


class Supervisor:
    """Keeps the workers of the settings running.

    :param command: what starts a worker; `--worker <index>`, `--parent <process id>` and
        `--port` or `--fd` are appended.
    """

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._settings = settings
        self._command = list(command)
        self._stopping = asyncio.Event()
        self._code = 0
        self._shared: socket.socket | None = None

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit code: 0, or that of a worker that cannot start."""
        settings = self._settings
        if not settings.sticky:
            self._shared = listening_socket(settings.host, settings.port)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(settings.workers):
                    group.create_task(self._keep(index))
        finally:
            if self._shared is not None:
                self._shared.close()
        return self._code

    def _arguments(self, index: int) -> list[str]:
        where = ["--port", str(self._settings.ports[index])] if self._shared is None else []
        if self._shared is not None:
            where = ["--fd", str(self._shared.fileno())]
        return [*self._command, "--worker", str(index), "--parent", str(os.getpid()), *where]

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._arguments(index),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=() if self._shared is None else (self._shared.fileno(),),
        )

    async def _keep(self, index: int) -> None:
        has_served, pause = False, 0.5
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                process = await self._start(index)
            except OSError as exc:
                code, who, end = 1, f"worker {index}", f"could not be made: {exc}"
            else:
                logger.info("worker %d is process %d", index, process.pid)
                code = await self._wait(process)
                who, end = f"worker {index} (process {process.pid})", f"has ended with {code}"
            if self._stopping.is_set():
                return
            lived = time.monotonic() - begun
            is_early = lived < START_SECONDS and -code not in (signal.SIGKILL, signal.SIGTERM)
            if (is_early or code == NOT_STARTED) and not has_served:
                logger.error("worker %d cannot start: it %s", index, end)
                self._code = self._code or (code if code > 0 else 1)
                self._stopping.set()
                return
            has_served = True
            pause = 0.5 if lived >= LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            logger.error("%s %s: again in %.1f s", who, end, pause)
            await self._sleep(pause)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _wait(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the end of a process, or bring it about when all are to stop."""
        ended = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait((ended,), timeout=STOP_SECONDS)
            if not ended.done():
                logger.error("process %d does not end: killed", process.pid)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        return await ended


def supervise(settings: Settings, command: Sequence[str]) -> int:
    """Run the workers until a signal ends them; the exit code. 2: there are none on Windows."""
    if sys.platform == "win32":  # no signals to end them by, no sockets that they could inherit
        print(
            "toolboxsio serve: on Windows there is one worker: start a process for each port",
            file=sys.stderr,
        )
        return 2
    if settings.sticky:
        ports = settings.ports
        logger.info(
            "%d workers on ports %d to %d: `toolboxsio nginx` prints the proxy's configuration",
            settings.workers,
            ports[0],
            ports[-1],
        )
    try:
        return asyncio.run(Supervisor(settings, command).run())
    except OSError as exc:
        print(f"toolboxsio serve: {settings.host}:{settings.port}: {exc}", file=sys.stderr)
        return 1
