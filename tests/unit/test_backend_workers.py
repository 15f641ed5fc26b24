"""toolboxsio/backend/workers.py: what the supervisor does, with programs that serve nothing."""

import asyncio
import logging
import os
import re
import signal
import sys
import time

import pytest

from toolboxsio.backend.settings import Settings
from toolboxsio.backend.workers import NOT_STARTED, Supervisor

SLEEPER = ["sh", "-c", "exec sleep 600"]


def settings(workers):
    return Settings(
        _env_file=None, jwt_secret="s" * 32, trusted_hosts=["localhost"], workers=workers
    )


async def until(what, probe):
    deadline = time.monotonic() + 20
    while not (value := probe()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)  # between two questions
    return value


@pytest.fixture
def processes(caplog):
    """A function: the process of each worker, the newest last."""
    caplog.set_level(logging.INFO, "toolboxsio.backend.workers")

    def find():
        found = {}
        for index, process in re.findall(r"worker (\d+) is process (\d+)", caplog.text):
            found.setdefault(int(index), []).append(int(process))
        return found

    return find


async def test_each_of_many_workers_is_watched(processes):
    """However many there are: more than an executor has threads."""
    count = 40 + (os.cpu_count() or 1)
    running = asyncio.create_task(Supervisor(settings(count), SLEEPER).run())
    await until("all are started", lambda: len(processes()) == count)
    last = processes()[count - 1]
    os.kill(last[0], signal.SIGKILL)
    await until("another is started", lambda: len(processes()[count - 1]) == 2)
    assert sum(map(len, processes().values())) == count + 1
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 20) == 0
    for started in processes().values():
        for process in started:
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)


@pytest.mark.parametrize(("ends", "code"), [("exit 3", NOT_STARTED), ("exit 7", 7)])
async def test_one_that_cannot_start_ends_the_others(processes, caplog, ends, code):
    program = ["sh", "-c", f'test "$2" = 1 && {ends}; exec sleep 600', "sh"]
    supervisor = Supervisor(settings(3), program)
    assert await asyncio.wait_for(supervisor.run(), 20) == code
    assert f"worker 1 cannot start: it has ended with {code}" in caplog.text
    assert [len(started) for started in processes().values()] == [1, 1, 1]


async def test_one_that_is_slow_and_cannot_start_ends_the_others(monkeypatch, caplog):
    monkeypatch.setattr("toolboxsio.backend.workers.START_SECONDS", 0.0)
    program = ["sh", "-c", f"exit {NOT_STARTED}"]
    code = await asyncio.wait_for(Supervisor(settings(2), program).run(), 20)
    assert code == NOT_STARTED
    assert "cannot start" in caplog.text


async def test_one_that_breaks_as_it_starts_ends_the_others(caplog):
    program = ["sh", "-c", "kill -ABRT $$"]
    assert await asyncio.wait_for(Supervisor(settings(2), program).run(), 20) == 1
    assert f"cannot start: it has ended with {-signal.SIGABRT}" in caplog.text


async def test_a_worker_whose_parent_has_gone_before_ends(run):
    end = "from toolboxsio.cli import end_with as end; end({}); print('stays')"
    gone = await asyncio.to_thread(run, sys.executable, "-c", end.format(-1))
    assert (gone.returncode, gone.stdout) == (NOT_STARTED, "")
    here = await asyncio.to_thread(run, sys.executable, "-c", end.format(os.getpid()))
    assert (here.returncode, here.stdout) == (0, "stays\n")
