"""A server as a process: it starts, tells its port, and ends without a word."""

import json
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 10


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def running(
    command: Sequence[str], name: str, folder: Path | None = None, logs: bool = False
) -> Iterator[tuple[int, int]]:
    """A server that runs: (pid, port). Unless it logs, what it says on stderr is an error."""
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        line = ""
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            line = process.stdout.readline() if readable else ""
            if line:
                yield process.pid, json.loads(line)["port"]
        finally:
            stop(process)
            stderr.seek(0)
            said = stderr.read()
            if (said and not logs) or not line:  # tells more than what the load generator found
                raise RuntimeError(f"the {name} server said:\n{said}")
