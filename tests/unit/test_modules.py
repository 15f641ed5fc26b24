"""Every module of `socketio` is one of this package, too."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
import socketio

import toolboxsio

MODULES = [module.name for module in pkgutil.iter_modules(socketio.__path__)]
#: Classes that are this package's own, by module.
OWN = {
    "asgi": "ASGIApp",
    "async_manager": "AsyncManager",
    "async_redis_manager": "AsyncRedisManager",
    "async_server": "AsyncServer",
    "packet": "Packet",
}


@pytest.mark.parametrize("name", MODULES)
def test_each_module(name):
    ours = importlib.import_module(f"toolboxsio.{name}")
    theirs = importlib.import_module(f"socketio.{name}")
    assert getattr(toolboxsio, name) is ours
    defined = [
        attribute
        for attribute, value in vars(theirs).items()
        if getattr(value, "__module__", None) == theirs.__name__
    ]
    assert defined or name == "packet"
    for attribute in defined:
        if attribute == OWN.get(name):
            assert getattr(ours, attribute) is getattr(toolboxsio, attribute)
            assert issubclass(getattr(ours, attribute), getattr(theirs, attribute))
        else:
            assert getattr(ours, attribute) is getattr(theirs, attribute), attribute
    assert name not in OWN or OWN[name] in defined


def test_exceptions_are_the_very_same():
    from toolboxsio.exceptions import ConnectionRefusedError

    assert ConnectionRefusedError is socketio.exceptions.ConnectionRefusedError
    assert ConnectionRefusedError is toolboxsio.exceptions.ConnectionRefusedError


@pytest.mark.parametrize(
    "line",
    [
        "import toolboxsio.exceptions; toolboxsio.exceptions.ConnectionError",
        "import toolboxsio as socketio; socketio.exceptions.ConnectionRefusedError",
        "from toolboxsio.async_server import AsyncServer; AsyncServer(async_mode='asgi')",
        "from toolboxsio.packet import Packet, CONNECT",
        "import toolboxsio.async_namespace as a; a.AsyncNamespace",
    ],
)
def test_by_themselves(line):
    subprocess.run([sys.executable, "-W", "error", "-c", line], check=True, timeout=60)


def test_what_is_no_module():
    for name in ("nonsense", "exceptions.nonsense"):
        with pytest.raises(ModuleNotFoundError, match=rf"toolboxsio\.{name}"):
            importlib.import_module(f"toolboxsio.{name}")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = toolboxsio.nonsense


def test_type_checkers_know_them(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import toolboxsio.exceptions\n"
        "from toolboxsio.async_namespace import AsyncNamespace\n"
        "from toolboxsio.async_server import AsyncServer\n"
        "from toolboxsio.exceptions import ConnectionRefusedError\n"
        "sio = AsyncServer(async_mode='asgi', max_backlog=3)\n"
        "sio.max_backlog = 'x'\n"
        "AsyncServer(max_backlogg=3)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"]
    done = subprocess.run(
        [*command, str(program)], capture_output=True, text=True, timeout=110, check=False
    )
    errors = [
        line.partition(": error: ")[0] for line in done.stdout.splitlines() if "error" in line
    ]
    assert errors[:2] == [f"{program}:6", f"{program}:7"], done.stdout
