"""A fleet whose Redis fails: two servers of ours, one of python-socketio, a client on each.

Redis comes back in a way that tells losses apart: nothing is published until everybody has
subscribed again. What a server has sent has then arrived everywhere, but for what it counts as
dropped; and of that, what may have arrived after all is in its log.
"""

import contextlib
import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from .harness import OURS, SIDES, UPSTREAM, Server, wait_until
from .raw import Wire
from .redis_process import RedisProcess

pytestmark = pytest.mark.timeout(60)

BACK_SECONDS = 20  # redis-py retries for some seconds before python-socketio's listener does
KINDS: dict[str, dict[str, Any]] = {
    "first": {**SIDES["direct"], "loop": "uvloop"},
    "second": {**SIDES["asgi"], "loop": "asyncio"},
    "stock": SIDES["upstream"],
}


class Listener:
    """A client that keeps what it hears, in a thread."""

    def __init__(self, server: Server, name: str) -> None:
        self.wire = Wire(server.port, f"client-of-{name}")
        self.socket = self.wire.websocket().connect()
        assert not self.socket.ended, self.wire.lines
        self.heard: dict[str, list[int]] = {}
        self.marks: set[str] = set()
        self.has_ended = False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while not self.socket.ended:
            with contextlib.suppress(TimeoutError):
                self._take(self.socket.receive())
            self.wire.lines.clear()
        self.has_ended = True

    def hears(self, marks: set[str]) -> bool:
        assert not self.has_ended, "the connection was closed"
        return self.marks >= marks

    def close(self) -> None:
        """When its server has ended."""
        self.thread.join(10)
        self.wire.end()

    def _take(self, frame: Any) -> None:
        if frame == "2":
            self.socket.frame("3")
        elif isinstance(frame, str) and frame.startswith('42["n"'):
            data = json.loads(frame[2:])[1]
            self.heard.setdefault(data["from"], []).append(data["n"])
        elif isinstance(frame, str) and frame.startswith('42["mark"'):
            self.marks.add(json.loads(frame[2:])[1])


class Fleet:
    """Redis, the servers by name, and their clients."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        self.redis = RedisProcess(directory, "--unixsocket", str(self.socket))
        self.servers: dict[str, Server] = {}
        self.clients: dict[str, Listener] = {}
        self.marks = 0

    def __enter__(self) -> "Fleet":
        self.redis.start()
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(self.add, KINDS))
            self.wait_for_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for name, server in self.servers.items():
            server.close()
            if name in self.clients:
                self.clients[name].close()
        self.redis.end()

    def add(self, name: str) -> None:
        server = Server(**KINDS[name], handlers="redis_app", redis_url=self.redis.url)
        self.servers[name] = server
        self.clients[name] = Listener(server, name)

    def ours(self) -> list[str]:
        return [name for name in self.servers if name != "stock"]

    def post(self, server: str, path: str, /, **arguments: Any) -> Any:
        request = urllib.request.Request(
            self.servers[server].url + path,
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    def status(self, name: str) -> Any:
        return self.servers[name].get("/status")

    def configure(self, **options: Any) -> None:
        for name in self.ours():
            self.post(name, "/configure", **options)

    def control(self) -> "redis.Redis":
        """A client that is there before the port is."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10)

    def wait_for_all(self) -> None:
        """Wait until every server listens, and says so."""
        with self.control() as client:
            wait_until(
                "all are subscribed",
                lambda: client.pubsub_numsub("socketio")[0][1] == len(self.servers),
                BACK_SECONDS,
            )
        for name in self.ours():
            wait_until(f"{name} listens", lambda name=name: self.status(name)["connected"])

    def restart(self) -> None:
        """Start Redis again; nothing is published before everybody listens."""
        port = str(self.redis.port)
        self.redis.port, options = 0, self.redis.options
        self.redis.options = [*options, "--unixsocketperm", "700"]
        self.redis.client_options = {"unix_socket_path": str(self.socket)}
        try:
            self.redis.start()
        finally:
            self.redis.port, self.redis.options = int(port), options
            self.redis.client_options = {}
        with self.control() as client:
            client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            client.config_set("port", port)
            self.wait_for_all()
            client.execute_command("CLIENT", "UNPAUSE")

    def start_load(self, names: list[str], pause: float = 0.002, size: int = 20) -> None:
        for client in self.clients.values():
            client.heard.clear()
        for name in names:
            self.post(name, "/load", name=name, pause=pause, size=size)

    def end_load(self, names: list[str]) -> dict[str, Any]:
        with ThreadPoolExecutor() as pool:
            return dict(
                zip(names, pool.map(lambda name: self.post(name, "/unload"), names), strict=True)
            )

    def wait_for_load(self, sender: str, n: int = 50) -> None:
        """Wait until everybody has heard some more of a sender's events."""
        for name, client in self.clients.items():
            start = len(client.heard.get(sender, []))
            wait_until(
                f"the client of {name} hears of {sender}",
                lambda c=client, s=start: len(c.heard.get(sender, [])) >= s + n,
            )

    def mark(self) -> None:
        """All that was emitted before has arrived where it will: an event from each to all."""
        self.marks += 1
        marks = {f"{name} {self.marks}" for name in self.servers}
        for name in self.servers:
            self.servers[name].do("emit", event="mark", data=f"{name} {self.marks}")
        for name, client in self.clients.items():
            wait_until(f"{name}'s client hears {marks}", lambda c=client: c.hears(marks), 15)

    def errors(self, name: str) -> str:
        return self.servers[name].stderr()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


def uncertain(log: str) -> int:
    """How many messages may or may not have arrived, by the log."""
    return sum(map(int, re.findall(r"(\d+) messages may not have arrived", log)))


class Account:
    """What became of the events of our servers."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.dropped = {name: fleet.status(name)["dropped"] for name in fleet.ours()}
        self.logged = {name: len(fleet.errors(name)) for name in fleet.servers}

    def new_log(self, name: str) -> str:
        return self.fleet.errors(name)[self.logged[name] :]

    def settle(self, loads: dict[str, Any], in_one_piece: bool = True) -> dict[str, int]:
        """See that all is accounted for. How many were dropped, by sender.

        :param in_one_piece: no message left while the oldest were dropped.
        """
        self.fleet.mark()
        found = {}
        for sender in self.fleet.ours():
            sent = loads[sender]["sent"]
            dropped = self.fleet.status(sender)["dropped"] - self.dropped[sender]
            doubt = uncertain(self.new_log(sender))
            for name, client in self.fleet.clients.items():
                heard = client.heard.get(sender, [])
                assert heard == sorted(set(heard)), f"{sender} at {name}: order, or duplicates"
                missing = sent - len(heard)
                if name == sender:
                    assert missing == 0
                else:
                    what = f"{sender} at {name}: {sent} sent, {missing} missing, {doubt} doubtful"
                    assert dropped - doubt <= missing <= dropped, f"{what}, {dropped} dropped"
                    if missing and in_one_piece:  # the oldest of those that had to wait
                        gap = sorted(set(range(sent)) - set(heard))
                        assert gap[-1] - gap[0] < dropped, what
            found[sender] = dropped
        return found


def test_redis_is_killed_under_load(fleet: Fleet) -> None:
    account = Account(fleet)
    everybody = list(fleet.servers)
    fleet.start_load(everybody)
    for name in everybody:
        fleet.wait_for_load(name)
    # an emit of python-socketio's that fails replaces the subscription of its listener, and the
    # old one counts as listening
    fleet.end_load(["stock"])
    fleet.redis.kill()
    for name in fleet.ours():
        wait_until(f"{name} has noticed", lambda n=name: not fleet.status(n)["connected"])
        wait_until(f"{name} holds", lambda n=name: fleet.status(n)["pending"] > 10_000)
    fleet.restart()
    for name in fleet.ours():
        fleet.wait_for_load(name)
    dropped = account.settle(fleet.end_load(fleet.ours()))
    for name in fleet.ours():
        log = account.new_log(name)
        assert dropped[name] == uncertain(log)  # what had to wait has arrived
        assert "Cannot receive from redis... retrying in" in log
        assert "Cannot publish to redis... retrying in" in log
        status = fleet.status(name)
        assert status["reconnects"] >= 1
        assert status["last_message_age"] < 10


def test_redis_is_away_for_longer_than_messages_may_wait(fleet: Fleet) -> None:
    account = Account(fleet)
    limit = 20_000
    fleet.configure(max_pending=limit)
    try:
        fleet.start_load(fleet.ours())
        fleet.wait_for_load("first", 10)
        fleet.redis.signal(15)
        assert fleet.redis.process is not None
        fleet.redis.process.wait(10)
        for name in fleet.ours():
            wait_until("some are dropped", lambda n=name: "bytes wait" in account.new_log(n))
        fleet.restart()
        fleet.wait_for_load("second", 10)
        loads = fleet.end_load(fleet.ours())
        dropped = account.settle(loads)
    finally:
        fleet.configure(max_pending=8 * 1024 * 1024)
    for name in fleet.ours():
        log = account.new_log(name)
        assert dropped[name] > uncertain(log)
        assert 0 < loads[name]["most_pending"] <= limit
        assert f"bytes wait, max_pending is {limit}; messages dropped: 1\n" in log
        n = dropped[name] - uncertain(log)
        assert f"messages dropped meanwhile: {n}\n" in log
        assert log.count("bytes wait") < 5


def test_redis_stands_still_for_longer_than_messages_may_wait(fleet: Fleet) -> None:
    """The connections stay: what was written arrives, the rest is counted, nothing is in doubt."""
    account = Account(fleet)
    limit = 200_000
    fleet.configure(max_pending=limit, health_check_interval=0)
    try:
        fleet.start_load(fleet.ours(), size=10_000)
        fleet.wait_for_load("first", 3)
        fleet.redis.pause()
        for name in fleet.ours():
            wait_until("some are dropped", lambda n=name: "bytes wait" in account.new_log(n))
        loads = fleet.end_load(fleet.ours())
        fleet.redis.resume()
        dropped = account.settle(loads, in_one_piece=False)
    finally:
        fleet.redis.resume()
        fleet.configure(max_pending=8 * 1024 * 1024, health_check_interval=10)
    for name in fleet.ours():
        assert dropped[name] > 0
        assert uncertain(account.new_log(name)) == 0
        assert 0 < loads[name]["most_pending"] <= limit
        assert f"bytes wait, max_pending is {limit}" in account.new_log(name)


def test_a_redis_that_says_nothing_is_noticed(fleet: Fleet) -> None:
    account = Account(fleet)
    fleet.configure(health_check_interval=0.4)
    try:
        fleet.redis.kill()  # for connections with this interval
        fleet.restart()
        before = {name: fleet.status(name)["reconnects"] for name in fleet.ours()}
        fleet.redis.pause()
        for name in fleet.ours():
            wait_until(f"{name} notices", lambda n=name: not fleet.status(n)["connected"])
            wait_until(
                "it is in the log", lambda n=name: "no answer within 0.4 s" in account.new_log(n)
            )
    finally:
        fleet.redis.resume()
        fleet.configure(health_check_interval=10)
    fleet.wait_for_all()
    for name in fleet.ours():
        assert fleet.status(name)["reconnects"] > before[name]
    fleet.mark()


def test_a_server_is_killed(fleet: Fleet) -> None:
    """The others go on, and what it has sent until then has arrived in order."""
    account = Account(fleet)
    everybody = list(fleet.servers)
    fleet.start_load(everybody)
    for name in everybody:
        fleet.wait_for_load(name)
    dead = fleet.servers.pop("second")
    dead.process.kill()
    client = fleet.clients.pop("second")
    wait_until("its client notices", lambda: client.has_ended)
    client.close()
    for name in fleet.servers:
        fleet.wait_for_load(name)
    loads = fleet.end_load(list(fleet.servers))
    dropped = account.settle(loads)
    assert dropped == {"first": 0}
    for name, client in fleet.clients.items():
        heard = client.heard["second"]
        assert heard == list(range(len(heard))), name
        stock = client.heard["stock"]
        assert stock == list(range(len(stock)))
        assert account.new_log(name) == ""
    dead.close()
    fleet.add("second")
    fleet.wait_for_all()
    fleet.mark()


@pytest.mark.parametrize("count", [1, 50])
def test_a_process_without_a_server_ends_after_its_emits(fleet: Fleet, count: int) -> None:
    """Whatever it has emitted has arrived, in order."""
    script = (
        "import asyncio, sys\n"
        "from toolboxsio.redis import AsyncRedisManager\n"
        "manager = AsyncRedisManager(sys.argv[1], write_only=True)\n"
        "async def main():\n"
        "    await asyncio.gather(*(\n"
        "        manager.emit('n', {'from': 'outside', 'n': n}) for n in range(int(sys.argv[2]))\n"
        "    ))\n"
        "asyncio.run(main())\n"
    )
    for client in fleet.clients.values():
        client.heard.clear()
    program = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
    done = subprocess.run(
        [*program, fleet.redis.url, str(count)], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name, client in fleet.clients.items():
        wait_until(
            f"all has arrived at {name}",
            lambda c=client: c.heard.get("outside") == list(range(count)),
        )


def test_the_servers_are_what_they_should_be(fleet: Fleet) -> None:
    assert [fleet.servers[name].name for name in ("first", "second", "stock")] == [
        f"{OURS} (direct)",
        f"{OURS} (asgi)",
        UPSTREAM,
    ]
