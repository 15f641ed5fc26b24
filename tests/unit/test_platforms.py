"""What other systems than this one offer or lack: as far as this one can show it."""

import asyncio
import sys

import pytest

from tests.e2e.proactor import ProactorLoop
from tests.release import smoke
from toolboxsio.backend.settings import Settings
from toolboxsio.backend.workers import supervise

#: Takes from the standard library what Windows does not have, once all but ours is imported.
AS_ON_WINDOWS = """
import asyncio, importlib, os, pkgutil, signal, socket, sys
import fastapi, hiredis, limits, prometheus_client, pydantic_settings, jwt, redis.asyncio, uvicorn
import socketio, engineio, limits.aio.storage, limits.aio.strategies, uvicorn.protocols.http.auto
import uvicorn.protocols.websockets.websockets_sansio_impl

for name in ("fcntl", "grp", "posix", "pwd", "resource", "termios", "uvloop"):
    sys.modules[name] = None
for module, gone in {
    os: "O_NOFOLLOW fork getegid geteuid getgid getuid killpg pread register_at_fork setsid "
        "sched_getaffinity sched_setaffinity uname waitid",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGUSR1 pthread_sigmask setitimer sigwait",
    socket: "AF_UNIX CMSG_LEN SO_REUSEPORT recv_fds send_fds",
}.items():
    for name in gone.split():
        delattr(module, name)
sys.platform = "win32"

import toolboxsio

names = [found.name for found in pkgutil.walk_packages(toolboxsio.__path__, "toolboxsio.")]
for name in names:
    if name not in ("toolboxsio.__main__", "toolboxsio.gunicorn"):  # gunicorn is of POSIX alone
        importlib.import_module(name)
assert toolboxsio.ACCELERATED and len(names) > 40, names

from toolboxsio.backend.settings import Settings
from toolboxsio.cli import main

assert Settings(debug=True).jwt_secret == Settings(debug=True).jwt_secret
assert main(["token", "--sub", "u-1"]) == 0
"""


def test_windows_event_loop():
    with asyncio.Runner(loop_factory=ProactorLoop) as runner:
        assert runner.run(smoke.serve(is_pure=False)) == "ProactorLoop"


def test_what_windows_lacks_is_not_missed(run, tmp_path):
    done = run(sys.executable, "-c", AS_ON_WINDOWS, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "cannot be kept" not in done.stdout


@pytest.mark.parametrize("sticky", [True, False])
def test_workers_are_refused_on_windows(monkeypatch, capsys, sticky):
    settings = Settings(debug=True, workers=2, sticky=sticky)
    monkeypatch.setattr(sys, "platform", "win32")
    assert supervise(settings, ["none"]) == 2
    assert "on Windows there is one worker" in capsys.readouterr().err
