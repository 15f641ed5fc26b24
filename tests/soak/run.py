"""One soak: Redis, a server on the direct path and one on ASGI, all clients, all figures."""

import asyncio
import contextlib
import json
import os
import resource
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.harness import JS, OURS, Server, node, serving
from tests.e2e.redis_process import RedisProcess

from . import verdict
from .crowd import Crowd
from .peers import Findings

NAMES = ("direct", "asgi")
SAMPLE_SECONDS = 1.0
LOOK_SECONDS = 5.0
COUNT_EVERY = 12  # looks: objects are counted that seldom
MIB = 1 << 20


@dataclass
class Plan:
    """What is asked for.

    `rate`: actions of a client in a second. `life`: seconds, the shortest and the longest, that
    those that do not stay are connected at a time. `patience`: seconds after which something is
    taken for lost. `ping`: seconds, ping_interval and ping_timeout: one that was cut while it
    polled is missed after their sum.
    """

    seconds: float = 1200
    clients: int = 2000
    rate: float = 0.35
    warm_up: float = 180
    most_growth: float = verdict.GROWTH
    official: int = 12
    patience: float = 60
    life: tuple[float, float] = (5, 60)
    ping: tuple[float, float] = (10, 40)
    faults: list[str] = field(default_factory=list)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """Of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_busy() -> tuple[float, float]:
    """Ticks that the machine's processors were busy, and all."""
    values = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(values) - values[3] - values[4], sum(values)


class Official:
    """The official clients' process: see tests/js/soak.mjs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def begin(cls, urls: list[str], clients: int, patience: float) -> "Official":
        config = json.dumps({"urls": urls, "clients": clients, "patience": patience})
        process = await asyncio.create_subprocess_exec(
            node(),
            str(JS / "soak.mjs"),
            config,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        official = cls(process)
        await official.line()
        return official

    async def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            told: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return told

    async def end(self, ticks: dict[str, int]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(ticks)}\n".encode())
        return await self.line()

    async def close(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()


class Soak:
    """A run, and its report."""

    def __init__(self, plan: Plan, servers: dict[str, Server]) -> None:
        self.plan = plan
        self.servers = servers
        self.begun = time.monotonic()
        self.findings = Findings(plan.patience)
        self.looks: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        self.memory: dict[str, list[tuple[float, int]]] = {name: [] for name in servers}
        self.web: aiohttp.ClientSession

    async def call(self, name: str, method: str, path: str) -> Any:
        url = f"{self.servers[name].url}{path}"
        async with self.web.request(method, url) as response:
            response.raise_for_status()
            return await response.json()

    async def call_all(self, method: str, path: str) -> dict[str, Any]:
        answers = await asyncio.gather(*(self.call(name, method, path) for name in self.servers))
        return dict(zip(self.servers, answers, strict=True))

    async def measure(self) -> None:
        """Memory, every second."""
        while True:
            now = time.monotonic() - self.begun
            for name, server in self.servers.items():
                self.memory[name].append((round(now, 2), resident(server.process.pid)))
            await asyncio.sleep(min(SAMPLE_SECONDS, self.plan.seconds / 40))

    async def look(self, crowd: Crowd) -> None:
        """The rest of the figures, less often."""
        count = 0
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self.plan.seconds / 10))
            count += 1
            with_objects = "?objects=true" if count % COUNT_EVERY == 0 else ""
            told = await self.call_all("GET", f"/figures{with_objects}")
            for name, figures in told.items():
                now = round(time.monotonic() - self.begun, 1)
                self.looks[name].append({"t": now, "here": crowd.here, **figures})
                if with_objects:
                    mib = self.memory[name][-1][1] / MIB
                    print(
                        f"{now:6.0f} s {name:6} {mib:6.1f} MiB {figures['sessions']:5} sessions"
                        f" {figures['tasks']:5} tasks {figures['objects']:8} objects"
                        f" {sum(self.findings.wrong.values())} wrong",
                        flush=True,
                    )

    async def settle(self, crowd: Crowd, last: dict[tuple[str, str], int]) -> None:
        """Wait until everybody has the last numbers."""
        deadline = time.monotonic() + self.plan.patience
        while time.monotonic() < deadline:
            if not any(peer.numbers.behind(last) for peer in crowd.peers()):
                return
            await asyncio.sleep(0.05)
        for peer in crowd.peers():
            for what in peer.numbers.behind(last):
                peer.wrong("the last number is missing", what)

    async def kept(self, before: dict[str, Any]) -> dict[str, Any]:
        """What the servers keep when all have gone, or after a while."""
        deadline = time.monotonic() + self.plan.patience + sum(self.plan.ping)
        while True:
            kept = await self.call_all("GET", "/kept")
            if not verdict.of_rest(before, kept) or time.monotonic() > deadline:
                return kept
            await asyncio.sleep(0.2)

    async def go(self) -> dict[str, Any]:
        """Run it all; return the report."""
        urls = [server.url for server in self.servers.values()]
        async with aiohttp.ClientSession() as self.web, contextlib.AsyncExitStack() as stack:
            before = await self.call_all("GET", "/kept")
            await self.call_all("POST", "/begin")
            crowd = Crowd(urls, self.plan.clients, self.plan.rate, self.plan.life, self.findings)
            official = await Official.begin(urls, self.plan.official, self.plan.patience)
            stack.push_async_callback(official.close)
            crowd.begin()
            cpu = {n: cpu_seconds(s.process.pid) for n, s in self.servers.items()}
            own_cpu, (busy, ticks) = time.process_time(), machine_busy()
            watching = [asyncio.create_task(each) for each in (self.measure(), self.look(crowd))]
            stack.callback(lambda: [task.cancel() for task in watching])
            self.begun = time.monotonic()
            done, _ = await asyncio.wait(
                [*watching, *crowd.living], timeout=self.plan.seconds, return_when="FIRST_COMPLETED"
            )
            for task in done:
                task.result()  # nobody ends before; it raises why
            busy, ticks = (now - b for now, b in zip(machine_busy(), (busy, ticks), strict=True))
            load = {"clients": time.process_time() - own_cpu, "machine": busy / ticks}
            load |= {n: cpu_seconds(s.process.pid) - cpu[n] for n, s in self.servers.items()}
            await crowd.rest()
            for task in watching:
                task.cancel()
            ends = await self.call_all("POST", "/end")
            await self.settle(crowd, last_numbers(ends))
            told = await official.end({name: end["ticks"]["/"] for name, end in ends.items()})
            await crowd.leave()
            kept = await self.kept(before)
            held = await self.call_all("GET", "/held")
            redis = {n: f["redis"] for n, f in (await self.call_all("GET", "/figures")).items()}
        return self.report(before, kept, held, redis, told, load)

    def report(
        self, before: Any, kept: Any, held: Any, redis: Any, official: Any, load: Any
    ) -> dict[str, Any]:
        wrong = Counter(self.findings.wrong)
        examples = dict(self.findings.examples)
        for what, found in official["wrong"].items():
            name = f"official: {what}"
            wrong[name] = official["counts"][f"wrong: {what}"]
            examples[name] = found
        counts = self.findings.counts | {f"official {k}": n for k, n in official["counts"].items()}
        logs = {
            name: [*held[name]["log"], *server.stderr().splitlines()]
            for name, server in self.servers.items()
        }
        report = {
            **vars(self.plan),
            "counts": dict(sorted(counts.items())),
            "wrong": wrong,
            "examples": examples,
            "cpu": load,
            "logs": logs,
            "before": before,
            "after": kept,
            "redis": redis,
            "acceleration": {
                name: [look["acceleration"] for look in looks] for name, looks in self.looks.items()
            },
            "looks": {
                name: [
                    {k: v for k, v in look.items() if k not in ("acceleration", "redis")}
                    for look in looks
                ]
                for name, looks in self.looks.items()
            },
            "memory": self.memory,
        }
        report["verdict"] = verdict.judge(report)
        return report


def last_numbers(ends: dict[str, Any]) -> dict[tuple[str, str], int]:
    """By sequence and server, what is said when they end."""
    last = {}
    for server, end in ends.items():
        last |= {(f"tick {ns}", server): number for ns, number in end["ticks"].items()}
        last |= {(f"room {room}", server): number for room, number in end["said"].items()}
    return last


def soak(plan: Plan) -> dict[str, Any]:
    """Run one; servers and Redis end with it."""
    import uvloop

    wanted = 2 * plan.clients + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        redis = stack.enter_context(RedisProcess(Path(folder)))
        options = {"ping_interval": plan.ping[0], "ping_timeout": plan.ping[1]}
        # A machine that is slow for once is not what is looked for.
        options |= dict.fromkeys(("upgrade_timeout", "connect_timeout"), plan.patience)
        servers = {
            name: stack.enter_context(
                serving(
                    OURS,
                    path=name,  # type: ignore[arg-type]
                    name=name,
                    redis=redis.url,
                    handlers="tests.soak.handlers",
                    options=options,
                    logs="WARNING",
                    call_seconds=plan.patience / 2,
                    faults=plan.faults,
                )
            )
            for name in NAMES
        }
        return uvloop.run(Soak(plan, servers).go())
