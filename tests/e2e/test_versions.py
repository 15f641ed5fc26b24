"""Other versions of what this package uses the internals of: real servers and clients."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from toolboxsio import _versions, doctor

from .harness import HERE, ROOT
from .machine import SLOWNESS
from .test_deployments import PATH, started, where

pytestmark = pytest.mark.timeout(200 * SLOWNESS)

#: The last that does not fit, and what is said of it.
OLD = {
    "python-socketio": ("5.16.1", "5.18"),
    "python-engineio": ("4.12.3", "4.15"),
    "uvicorn": ("0.34.3", "0.35"),
    "redis": ("4.6.0", "5.0"),
}


class Installed:
    """An interpreter whose first choice is an old version of one distribution."""

    def __init__(self, name: str, folder: Path, version: str = "") -> None:
        too_old, needed = OLD[name]
        version = version or too_old
        self.name = name
        self.text = f"{name} {version} is too old, {needed} or newer is needed"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, f"{name}=={version}"], check=True, timeout=120)
        self.env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
        self.env.pop("TOOLBOXSIO_PURE", None)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *command],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=90 * SLOWNESS,
            cwd=ROOT,
        )

    def serve(self) -> tuple[dict[str, Any], list[str]]:
        """What the application tells, and what it logs of this package."""
        done = self.run(str(HERE / "old_versions_app.py"), self.name)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told, [line for line in done.stderr.splitlines() if " toolboxsio: " in line]

    def doctor(self) -> tuple[int, dict[str, str]]:
        done = self.run("-m", "toolboxsio", "doctor")
        lines = (line.split("  ", 1) for line in done.stdout.splitlines())
        return done.returncode, {name: rest.strip() for name, rest in lines}


@pytest.fixture(scope="module")
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(request.param, tmp_path_factory.mktemp("old"))


@pytest.mark.parametrize("old", ["python-socketio", "python-engineio"], indirect=True)
def test_too_old_to_accelerate_anything(old: Installed) -> None:
    told, log = old.serve()
    assert told["paths"] == ["upstream", "upstream"]
    assert told["accelerated"] is False
    assert told["manager"] == "socketio.async_manager"
    assert log == [f"WARNING toolboxsio: toolboxsio runs as plain python-socketio: {old.text}"]
    code, lines = old.doctor()
    assert code == 1
    assert lines["accelerated"] == lines["direct path"] == f"no: {old.text}"
    assert lines[old.name] == f"{OLD[old.name][0]} (does not fit)"


@pytest.mark.parametrize("old", ["uvicorn"], indirect=True)
def test_too_old_for_the_direct_path(old: Installed) -> None:
    told, log = old.serve()
    assert told["paths"] == ["asgi", "polling"]
    assert told["accelerated"] is True
    assert log == [f"WARNING toolboxsio: WebSockets go through ASGI: {old.text}"]
    code, lines = old.doctor()
    assert code == 0
    assert (lines["accelerated"], lines["direct path"]) == ("yes", f"no: {old.text}")


def paths_of_workers(old: Installed, log: Path, port: int, *options: str) -> tuple[set[str], str]:
    """The paths of clients of `toolboxsio run` with two workers, and what it has logged."""
    command = ["-m", "toolboxsio", "run", "deployed:app", "--port", str(port), *options]
    command += ["--workers", "2"]
    with started(log, *command, workers=2, **old.env) as server:
        paths = set()
        for _ in range(4):
            with connect(f"ws://127.0.0.1:{port}{PATH}") as client:
                paths.add(where(client)[0])
        return paths, server.said()


@pytest.mark.parametrize("old", ["uvicorn"], indirect=True)
def test_run_on_a_uvicorn_that_is_too_old(old: Installed, tmp_path: Path, free_port: Any) -> None:
    paths, said = paths_of_workers(old, tmp_path / "log", free_port())
    assert paths == {"asgi"}
    assert said.count("toolboxsio") == 0
    assert said.count(f"WebSockets go through ASGI: {old.text}") == 1


def test_run_on_the_oldest_uvicorn(tmp_path: Path, free_port: Any) -> None:
    """It takes classes, and its command line only names of its own."""
    old = Installed("uvicorn", tmp_path, ".".join(map(str, _versions.NEEDED["uvicorn"])))
    paths, said = paths_of_workers(old, tmp_path / "log", free_port())
    assert paths == {"direct"}
    assert "go through ASGI" not in said
    paths, _ = paths_of_workers(old, tmp_path / "log", free_port(), "--ws", "wsproto")
    assert paths == {"asgi"}
    done = old.run("-m", "toolboxsio", "run", "--help")
    assert "(toolboxsio.uvicorn:WebSocketProtocol)" in "".join(done.stdout.split())


@pytest.mark.parametrize("old", ["redis"], indirect=True)
def test_too_old_for_the_redis_manager(old: Installed) -> None:
    told, log = old.serve()
    assert told == {
        "accelerated": True,
        "paths": [],
        "manager": "socketio.async_redis_manager",
    } or told["manager"].startswith("socketio")
    assert log == [f"WARNING toolboxsio: The Redis manager is python-socketio's: {old.text}"]
    code, lines = old.doctor()
    assert code == 0
    assert lines["Redis manager"] == f"python-socketio's: {old.text}"


def test_nothing_is_missing_here() -> None:
    for name in _versions.NEEDED:
        assert _versions.problem.__wrapped__(name) is None
        assert _versions.is_tested(name)
        assert doctor.fitness(name) == importlib.metadata.version(name)


def test_a_newer_version_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_versions, "TESTED", dict.fromkeys(_versions.TESTED, (0, 1)))
    for name in _versions.NEEDED:
        assert _versions.problem.__wrapped__(name) is None
        version = importlib.metadata.version(name)
        assert doctor.fitness(name) == f"{version} (not tested with)"


def test_a_version_that_lacks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    import engineio.async_socket

    monkeypatch.delattr(engineio.async_socket.AsyncSocket, "_send_ping")
    text = _versions.problem.__wrapped__("python-engineio")
    assert text is not None
    assert "does not fit" in text
    assert "_send_ping" in text
