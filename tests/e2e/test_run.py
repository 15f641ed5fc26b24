"""`toolboxsio run` and `toolboxsio.run()`: uvicorn with other defaults.

TLS, Unix sockets and workers: test_deployments.py. Old versions of uvicorn: test_versions.py.
"""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from .harness import HERE, ROOT, RUN_SECONDS, wait_until
from .machine import SLOWNESS
from .test_deployments import MAX_CLIENTS, PATH, started, toolboxsio_run, where

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

UVICORN = ("-m", "uvicorn")
RUN = ("-m", "toolboxsio", "run")
DIRECT = {"path": "direct", "fast": True, "reasons": []}


def about(port: int, path: str = PATH) -> Any:
    """What acceleration() and the paths of status() say of a client, the only one."""
    with connect(f"ws://127.0.0.1:{port}{path}") as client:
        where(client)
        client.send('428["about"]')
        answer = str(client.recv(10))
        assert answer.startswith("438[")
        return json.loads(answer[3:])[0]


def has_limit_of_headers(port: int) -> bool:
    """Whether a request with more than 64 KiB of headers is refused, as by HTTPProtocol."""
    head = b"GET /socket.io/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head)
        answer = client.recv(12)
    assert answer.startswith(b"HTTP/1.1 4")  # 400 of Socket.IO: nothing was asked for
    return answer.endswith(b"431")


def test_both_protocols_are_set(tmp_path: Path, free_port: Any) -> None:
    port = free_port()
    with toolboxsio_run(tmp_path, "--port", str(port)):
        assert about(port) == [DIRECT, {"direct": 1}]
        assert has_limit_of_headers(port)


@pytest.mark.parametrize(
    ("options", "env", "ws", "is_limited"),
    [
        (["--ws", "websockets"], {}, "websockets_impl.WebSocket", True),
        (["--ws=wsproto"], {}, "wsproto_impl.WS", True),
        ([], {"UVICORN_WS": "wsproto"}, "wsproto_impl.WS", True),
        (["--http", "auto"], {}, None, False),
        (["--ws", "auto", "--http", "h11"], {}, "websockets_sansio_impl.WebSocketsSansIO", False),
    ],
)
def test_what_is_given_wins(
    tmp_path: Path,
    free_port: Any,
    options: Sequence[str],
    env: dict[str, str],
    ws: str | None,
    is_limited: bool,
) -> None:
    port = free_port()
    with toolboxsio_run(tmp_path, "--port", str(port), *options, **env):
        [client, _] = about(port)
        if ws is None:
            assert client == DIRECT
        else:
            [reason] = client["reasons"]
            assert f"uvicorn.protocols.websockets.{ws}Protocol, not toolboxsio" in reason
            assert "`toolboxsio run`" in reason
        assert has_limit_of_headers(port) == is_limited


def test_quick_start_of_the_readme(tmp_path: Path, free_port: Any) -> None:
    port = free_port()
    _, _, text = (ROOT / "README.md").read_text().partition("## Quick start\n")
    code, _, rest = text.partition("```python\n")[2].partition("```\n")
    assert rest.lstrip().startswith("```sh\ntoolboxsio run main:app ")
    (tmp_path / "main.py").write_text(code)
    command = [*RUN, "main:app", "--app-dir", str(tmp_path), "--port", str(port)]
    with started(tmp_path / "log", *command), connect(f"ws://127.0.0.1:{port}{PATH}") as client:
        assert str(client.recv(10)).startswith("0{")
        client.send("40")
        assert str(client.recv(10)).startswith("40{")
        client.send('421["message",{"type":"ping"}]')
        [answer] = json.loads(str(client.recv(10)).removeprefix("431"))
        assert (answer["ok"], answer["type"]) == (True, "ping")


def test_root_path(tmp_path: Path, free_port: Any) -> None:
    port = free_port()
    with toolboxsio_run(tmp_path, "--port", str(port), "--root-path", "/api"):
        assert about(port)[0] == DIRECT


RELOADED = """
import toolboxsio as socketio
sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio)
@sio.event
async def where(sid):
    return [sio.acceleration(sid)["path"], {!r}]
"""


@pytest.mark.parametrize("by", ["command", "function"])
def test_reload(tmp_path: Path, free_port: Any, by: str) -> None:
    port, folder = free_port(), tmp_path / "app"
    folder.mkdir()
    file = folder / "reloaded.py"
    file.write_text(RELOADED.format("first"))
    command = [*RUN, "reloaded:app", "--app-dir", str(folder), "--port", str(port)]
    command += ["--reload", "--reload-dir", str(folder), "--reload-delay", "0.05"]
    if by == "function":
        options = f"app_dir={str(folder)!r}, port={port}, reload=True, reload_dirs={str(folder)!r}"
        code = f"import toolboxsio; toolboxsio.run('reloaded:app', {options}, reload_delay=0.05)"
        command = ["-c", code]

    def ask() -> Any:
        try:
            with connect(f"ws://127.0.0.1:{port}{PATH}") as client:
                return where(client)
        except (OSError, WebSocketException, AssertionError):  # the old process ends, and says so
            return None

    with started(tmp_path / "log", *command) as server:
        assert ask() == ["direct", "first"]
        file.write_text(RELOADED.format("after it"))
        wait_until("it is reloaded", lambda: ask() == ["direct", "after it"], 20)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10 * SLOWNESS) == 0


def common(log: str) -> list[str]:
    """The lines of a log without processes and ports, in one order: there are two streams."""
    return sorted(re.sub(r"\d{4,}", "N", line) for line in log.splitlines())


@pytest.mark.parametrize(
    ("options", "number", "is_configured"),
    [([], signal.SIGTERM, False), (["--lifespan", "off"], signal.SIGINT, True)],
)
def test_log_lifespan_and_end_are_uvicorns(
    tmp_path: Path, free_port: Any, options: Sequence[str], number: int, is_configured: bool
) -> None:
    if is_configured:
        handler = {"class": "logging.StreamHandler", "formatter": "own"}
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"own": {"format": "own: %(name)s %(levelname)s %(message)s"}},
            "handlers": {"own": handler},
            "root": {"handlers": ["own"], "level": "INFO"},
        }
        (tmp_path / "log.json").write_text(json.dumps(config))
        options = [*options, "--log-config", str(tmp_path / "log.json")]
    seen = []
    for program in (RUN, UVICORN):
        port = free_port()
        command = [*program, "deployed:with_lifespan", "--port", str(port), *options]
        if program == UVICORN:
            command += ["--ws", "toolboxsio.uvicorn:WebSocketProtocol"]
        with started(tmp_path / "log", *command, workers="--lifespan" not in options) as server:
            assert about(port) == [DIRECT, {"direct": 1}]
            server.wait_for("disconnect transport close")
            server.process.send_signal(number)
            seen.append((server.process.wait(10 * SLOWNESS), common(server.said())))
    assert seen[0] == seen[1]
    code, lines = seen[0]
    assert code == (-signal.SIGTERM if number == signal.SIGTERM else 0)
    assert ("begun" in lines) == ("ended" in lines) == ("--lifespan" not in options)
    assert any("Finished server process" in line for line in lines)
    assert any(line.startswith("own: uvicorn.error INFO") for line in lines) == is_configured


def finished(program: Sequence[str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        cwd=HERE,
    )
    text = done.stderr.replace("toolboxsio run", "uvicorn").replace("python -m uvicorn", "uvicorn")
    return done.returncode, text.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["deployed:app", "--no-such-option"],
        ["deployed:app", "--port", "x"],
        ["no_such_module:app"],
        ["deployed:no_such_app"],
        ["deployed:app", "--port", "{taken}"],
    ],
    ids=lambda arguments: " ".join(arguments) or "no application",
)
def test_exit_statuses_of_what_cannot_start(arguments: Sequence[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = str(listener.getsockname()[1])
        words = [argument.format(taken=taken) for argument in arguments]
        ours, theirs = finished(RUN, *words), finished(UVICORN, *words)
    assert common(ours[1]) == common(theirs[1])
    assert ours[0] == theirs[0] != 0


def test_function_with_workers(tmp_path: Path, free_port: Any) -> None:
    port, workers = free_port(), set[int]()
    code = f"import toolboxsio; toolboxsio.run('deployed:app', port={port}, workers=2)"
    with started(tmp_path / "log", "-c", code, workers=2) as server:
        for _ in range(MAX_CLIENTS):
            with connect(f"ws://127.0.0.1:{port}{PATH}") as client:
                path, process = where(client)
            assert path == "direct"
            workers.add(process)
            if len(workers) == 2:
                break
        assert len(workers - {server.process.pid}) == 2
        assert has_limit_of_headers(port)


@pytest.mark.parametrize(
    ("options", "path", "is_limited"),
    [
        ("", "direct", True),
        (", ws='wsproto'", "asgi", True),
        (", http='auto'", "direct", False),
        (", http='auto', ws='auto'", "asgi", False),
    ],
)
def test_function(
    tmp_path: Path, free_port: Any, options: str, path: str, is_limited: bool
) -> None:
    port = free_port()
    code = f"import deployed, toolboxsio; toolboxsio.run(deployed.app, port={port}{options})"
    with started(tmp_path / "log", "-c", code):
        assert about(port)[0]["path"] == path
        assert has_limit_of_headers(port) == is_limited


def test_function_takes_an_object_for_one_process_alone() -> None:
    code = "import deployed, toolboxsio; toolboxsio.run(deployed.app, workers=2)"
    status, text = finished(("-c", code))
    assert "import string" in text
    assert (status, text) == finished(("-c", code.replace("toolboxsio", "uvicorn")))


def test_without_the_extension_it_is_uvicorn(tmp_path: Path, free_port: Any) -> None:
    port = free_port()
    with toolboxsio_run(tmp_path, "--port", str(port), TOOLBOXSIO_PURE="1") as server:
        assert about(port)[0]["path"] == "upstream"
        assert not has_limit_of_headers(port)
        assert server.said().count("toolboxsio") == 1  # the line at import
