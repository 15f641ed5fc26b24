"""toolboxsio/doctor.py."""

import platform
import re
import sys
from importlib.metadata import version

import toolboxsio
from toolboxsio import _core, doctor


def test_report_of_an_accelerated_installation(capsys):
    assert doctor.doctor() == 0
    lines = dict(re.split("  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["toolboxsio"] == toolboxsio.__version__
    assert lines["accelerated"] == "yes"
    assert lines["extension"] == _core.__file__
    assert "toolboxsio run main:app" in lines["direct path"]
    assert "ws=toolboxsio.uvicorn:WebSocketProtocol" in lines["direct path"]
    assert lines["SIMD"] == _core.simd()
    assert lines["Python"].endswith(platform.python_version())
    assert lines["python-socketio"] == version("python-socketio")
    assert lines["python-engineio"] == version("python-engineio")


def test_report_of_a_missing_distribution(monkeypatch):
    monkeypatch.setattr(doctor, "REQUIRED", ("no-such-distribution",))
    monkeypatch.setattr(doctor, "OPTIONAL", ("neither-this-one",))
    report = doctor.report()
    assert report["no-such-distribution"] == "missing"
    assert report["neither-this-one"] == "not installed"


def test_the_redis_manager_is_told(run):
    assert doctor.report()["Redis manager"] == "toolboxsio.AsyncRedisManager"
    code = (
        "import sys; sys.modules['hiredis'] = None\n"
        "import socketio, toolboxsio, toolboxsio.doctor as doctor\n"
        "assert toolboxsio.AsyncRedisManager is socketio.AsyncRedisManager\n"
        "sio = toolboxsio.AsyncServer(client_manager=socketio.AsyncRedisManager())\n"
        "assert isinstance(sio.manager, toolboxsio.AsyncManager)\n"
        "print(doctor.report()['Redis manager'])"
    )
    done = run(sys.executable, "-c", code)
    assert "toolboxsio[redis]" in done.stdout, done.stderr


def test_pure_mode_is_reported_and_fails(run):
    done = run(sys.executable, "-m", "toolboxsio", "doctor", TOOLBOXSIO_PURE="1")
    assert done.returncode == 1
    assert "TOOLBOXSIO_PURE is set" in done.stdout
    assert "the standard library's" in done.stdout
