"""One soak: Redis, a server on the direct path and one on ASGI, all clients, all figures."""

import asyncio
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.harness import JS, OURS, ROOT, Server, node, serving
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

    `rate`: actions of a client in a second. `tick`: seconds between two events to all. `life`:
    seconds, the shortest and the longest, that those that do not stay are connected at a time.
    `companions`: clients of each kind that is another's program. `patience`: seconds after which
    something is taken for lost. `ping`: seconds, ping_interval and ping_timeout: one that was cut
    while it polled is missed after their sum.
    """

    seconds: float = 1200
    clients: int = 2000
    rate: float = 0.5
    tick: float = 2
    warm_up: float = 180
    most_growth: float = verdict.GROWTH
    companions: int = 12
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


class Companions:
    """Clients in a process of their own: python_clients.py, tests/js/soak.mjs."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process

    @classmethod
    async def begin(cls, name: str, command: list[str], config: dict[str, Any]) -> "Companions":
        process = await asyncio.create_subprocess_exec(
            *command,
            json.dumps(config),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        companions = cls(name, process)
        await companions.line()
        return companions

    async def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(200):
            line = await self.process.stdout.readline()
        assert line, f"{self.name} clients have ended"
        told: dict[str, Any] = json.loads(line)
        return told

    async def tell(self, value: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(value)}\n".encode())
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
            companions = await self.companions(urls, stack)
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
            await asyncio.gather(crowd.rest(), *(each.tell("rest") for each in companions))
            for task in watching:
                task.cancel()
            ends = await self.call_all("POST", "/end")
            last = last_numbers(ends)
            ticks = {name: end["ticks"]["/"] for name, end in ends.items()}
            told = {"ticks": ticks, "all": [[*key, number] for key, number in last.items()]}
            await asyncio.gather(crowd.settle(last), *(self.end(each, told) for each in companions))
            await crowd.leave()
            kept = await self.kept(before)
            held = await self.call_all("GET", "/held")
            redis = {n: f["redis"] for n, f in (await self.call_all("GET", "/figures")).items()}
        return self.report(before, kept, held, redis, load)

    async def companions(
        self, urls: list[str], stack: contextlib.AsyncExitStack
    ) -> list[Companions]:
        """Clients that are others' programs, in processes of their own."""
        plan = self.plan
        config = {"urls": urls, "clients": plan.companions, "patience": plan.patience}
        found = []
        for name, command, more in (
            ("JavaScript", [node(), str(JS / "soak.mjs")], {}),
            (
                "Python",
                [sys.executable, "-m", "tests.soak.python_clients"],
                {"rate": 2 * plan.rate, "life": plan.life},
            ),
        ):
            companions = await Companions.begin(name, command, config | more)
            stack.push_async_callback(companions.close)
            found.append(companions)
        return found

    async def end(self, companions: Companions, last: Any) -> None:
        """Let companions settle and leave, and take their findings."""
        told = await companions.tell(last)
        name, findings = companions.name, self.findings
        findings.counts.update({f"{name} {what}": n for what, n in told["counts"].items()})
        findings.wrong.update({f"{name}: {what}": n for what, n in told["wrong"].items()})
        findings.examples |= {f"{name}: {what}": e for what, e in told["examples"].items()}

    def report(self, before: Any, kept: Any, held: Any, redis: Any, load: Any) -> dict[str, Any]:
        logs = {
            name: [
                line
                for line in (*held[name]["log"], *server.stderr().splitlines())
                if not ("Invalid session" in line and self.findings.over & set(line.split()))
            ]
            for name, server in self.servers.items()
        }
        report = {
            **vars(self.plan),
            "counts": dict(sorted(self.findings.counts.items())),
            "wrong": self.findings.wrong,
            "examples": self.findings.examples,
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
                    tick_seconds=plan.tick,
                    faults=plan.faults,
                )
            )
            for name in NAMES
        }
        return uvloop.run(Soak(plan, servers).go())
