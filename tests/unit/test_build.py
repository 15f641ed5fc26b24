"""setup.py and what it builds: with a compiler, without one, as archives."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata

import pytest

import toolboxsio

PURE_PROBE = """
import logging
logging.basicConfig(format="%(name)s: %(message)s")
import asyncio
import toolboxsio as socketio

async def main():
    assert socketio.ACCELERATED is False
    sio = socketio.AsyncServer(async_mode="asgi")
    socketio.ASGIApp(sio, socketio_path=socketio.SIO_PATH)
    packet = socketio.Packet(2, data=["message", {"a": 1}], id=7)
    assert packet.encode() == '27["message",{"a":1}]'
    assert socketio.Packet(encoded_packet=packet.encode()).data == ["message", {"a": 1}]
    assert socketio.json.loads(socketio.json.dumps({"a": [1, None]})) == {"a": [1, None]}
    assert socketio.ack(True, type="ping").keys() == {"ok", "type", "ts"}

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def source(top, tracked, tmp_path_factory):
    """A copy of the checkout as it would be cloned: without what was built in it."""
    copy = tmp_path_factory.mktemp("source") / "toolboxsio"
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(top / name, copy / name)
    assert not list(copy.rglob("*.so"))
    return copy


def defined_symbols(path):
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True
    )
    return [line.split()[-1] for line in listing.stdout.splitlines()]


def test_the_extension_is_here():
    assert toolboxsio.ACCELERATED, "build it: make build"


def test_version_is_that_of_the_metadata():
    assert toolboxsio.__version__ == metadata.version("toolboxsio")


def test_the_extension_exports_only_its_init_function():
    from toolboxsio import _core

    assert defined_symbols(_core.__file__) == ["PyInit__core"]


def test_pure_mode_is_said_once(run):
    done = run(sys.executable, "-c", PURE_PROBE, TOOLBOXSIO_PURE="1")
    warning = "toolboxsio: toolboxsio runs as plain python-socketio: TOOLBOXSIO_PURE is set\n"
    assert (done.returncode, done.stdout) == (0, warning)


@pytest.mark.timeout(300)
def test_install_without_a_compiler(run, source, tmp_path):
    venv = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", venv).returncode == 0
    python = venv / "bin" / "python"
    tree = shutil.copytree(source, tmp_path / "tree")
    done = run(python, "-m", "pip", "install", "-v", tree, timeout=240, CC="/bin/false")
    assert done.returncode == 0, done.stdout
    assert "the C extension could not be built" in done.stdout
    probe = run(python, "-c", PURE_PROBE, cwd=tmp_path)
    assert probe.returncode == 0, probe.stdout
    assert probe.stdout.count("runs as plain python-socketio") == 1
    doctor = run(venv / "bin" / "toolboxsio", "doctor", cwd=tmp_path)
    assert doctor.returncode == 1
    assert "the C extension cannot be imported" in doctor.stdout


@pytest.mark.parametrize("name", ["REQUIRE_EXT", "DEV", "DEBUG"])
def test_the_extension_can_be_required(run, source, tmp_path, name):
    build = ["setup.py", "build_ext", "--build-temp", tmp_path / "temp", "--build-lib", tmp_path]
    env = {"CC": "/bin/false", f"TOOLBOXSIO_{name}": "1", "cwd": source}
    done = run(sys.executable, *build, **env)
    assert done.returncode != 0
    assert "could not be built" not in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_builds_without_a_warning(run, source, tmp_path, compiler):
    build = ["setup.py", "build_ext", "--build-temp", tmp_path / "temp", "--build-lib", tmp_path]
    env = {"CC": compiler, "TOOLBOXSIO_DEV": "1", "cwd": source, "timeout": 240}
    done = run(sys.executable, *build, **env)
    assert done.returncode == 0, done.stdout
    [built] = tmp_path.glob("toolboxsio/_core*.so")
    assert defined_symbols(built) == ["PyInit__core"]


@pytest.mark.timeout(300)
def test_archives(run, source, tmp_path):
    # The wheel is built from the source archive: that proves that it is complete.
    env = {"cwd": source, "timeout": 240, "TOOLBOXSIO_REQUIRE_EXT": "1"}
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, **env)
    assert done.returncode == 0, done.stdout
    [sdist] = tmp_path.glob("*.tar.gz")
    [wheel] = tmp_path.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    files = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
    shipped = {name for name in files if name.startswith(("csrc/", "toolboxsio/", "tests/"))}
    shipped = {name for name in shipped if "__pycache__" not in name and ".egg-info" not in name}
    shipped |= {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", ".ci/run", ".ci/need"}
    assert shipped - set(names) == set()
    assert not [name for name in names if name.endswith(".so") or "node_modules/" in name]

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    modules = {name for name in files if name.startswith("toolboxsio/") and name.endswith(".py")}
    assets = {name for name in files if "/page_assets/" in name}
    assert len(assets) == 3
    assets |= {f"toolboxsio/bench/payloads/{name}.json" for name in ("event", "document_18k")}
    assert "toolboxsio/bench/command.py" in modules
    wanted = modules | assets | {"toolboxsio/py.typed", "toolboxsio/_core.pyi"}
    got = {name for name in names if ".dist-info/" not in name}
    [extension] = got - wanted
    assert wanted - got == set()
    assert os.path.basename(extension).startswith("_core.")
    assert extension.endswith(".so")


def test_an_editable_install_warns_of_nothing(source, tmp_path):
    """pip shows what setuptools puts into boxes at the head of `make demo`."""
    code = f"from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, "TOOLBOXSIO_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    assert "****" not in done.stdout + done.stderr
