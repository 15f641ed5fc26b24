"""Redis servers of the tests as processes: killed, stopped and started again on the same port."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from .machine import free_port

START_SECONDS = 10


class RedisProcess:
    """A redis-server; with `sentinel`, the lines of its configuration, a sentinel."""

    def __init__(self, directory: Path, *options: str, sentinel: str = "", **client: Any) -> None:
        found = shutil.which("redis-server")
        assert found is not None, "redis-server is needed: apt-get install redis-server"
        self.program: str = found
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.options = list(options)
        self.client_options = client
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        if sentinel:
            path = directory / f"sentinel-{self.port}.conf"
            path.write_text(sentinel)
            self.options = [str(path), "--sentinel", *options]

    def __enter__(self) -> "RedisProcess":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def start(self) -> None:
        """Start, and return when it answers."""
        is_sentinel = "--sentinel" in self.options
        arguments = [*self.options, "--port", str(self.port), "--bind", "127.0.0.1"]
        arguments += ["--dir", str(self.directory)]
        if not is_sentinel:
            arguments += ["--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([self.program, *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    return
                assert self.process.poll() is None, "redis-server has ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, socket_timeout=10, **self.client_options)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def pause(self) -> None:
        """Let it be there and do nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @contextlib.contextmanager
    def subscribed(self, *patterns: str) -> Iterator["Tap"]:
        """Listen to what is published."""
        with self.client() as client:
            tap = client.pubsub(ignore_subscribe_messages=False)
            for pattern in patterns or ("*",):
                tap.psubscribe(pattern)
                while (message := tap.get_message(timeout=1)) is None:
                    pass
                assert message["type"] == "psubscribe"
            try:
                yield Tap(tap)
            finally:
                tap.close()

    def subscribers(self, channel: str) -> int:
        """How many have subscribed a channel."""
        with self.client() as client:
            [(_, count)] = client.pubsub_numsub(channel)
            return int(count)

    def channels(self) -> set[str]:
        """The channels that somebody has subscribed."""
        with self.client() as client:
            return {channel.decode() for channel in client.pubsub_channels()}


class Tap:
    """What was published."""

    def __init__(self, tap: Any) -> None:
        self.tap = tap

    def take(self, n: int, seconds: float = 8) -> list[tuple[str, bytes]]:
        """The next `n` messages, each (channel, payload)."""
        found: list[tuple[str, bytes]] = []
        deadline = time.monotonic() + seconds
        while len(found) < n:
            assert time.monotonic() < deadline, f"{len(found)} of {n} messages: {found[:20]}"
            message = self.tap.get_message(timeout=0.1)
            if message is not None:
                found.append((message["channel"].decode(), message["data"]))
        return found
