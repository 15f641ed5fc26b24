"""toolboxsio/cli.py and the demonstration."""

import sys

import pytest

import toolboxsio
from toolboxsio import cli


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == toolboxsio.__version__


def test_module_and_script_are_the_same(run):
    texts = [run(sys.executable, "-m", "toolboxsio", "--help").stdout]
    texts.append(run(f"{sys.prefix}/bin/toolboxsio", "--help").stdout)
    assert texts[0] == texts[1]
    assert all(name in texts[0] for name in ("serve", "bench", "doctor"))


def test_command_is_required(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_bench_runs_in_a_checkout(run):
    done = run(sys.executable, "-m", "toolboxsio", "bench", "codec", "--help")
    assert done.returncode == 0
    assert "--rounds" in done.stdout


def test_bench_elsewhere_says_so(run, tmp_path):
    done = run(f"{sys.prefix}/bin/toolboxsio", "bench", "codec", cwd=tmp_path)
    assert done.returncode == 1
    assert "source checkout" in done.stdout


def test_serve_without_the_extra_names_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["serve"]) == 1
    assert "toolboxsio[backend]" in capsys.readouterr().err


def test_serve_takes_its_address_from_the_options(monkeypatch):
    asked = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **options: asked.update(options, app=app))
    monkeypatch.setenv("SIO_PORT", "9001")
    monkeypatch.setenv("SIO_HOST", "192.0.2.1")
    assert cli.main(["serve", "--host", "127.0.0.2", "--loop", "asyncio"]) == 0
    assert (asked["host"], asked["port"], asked["loop"]) == ("127.0.0.2", 9001, "asyncio")
    assert isinstance(asked["app"], toolboxsio.ASGIApp)


def test_demo_shows_that_it_works(run, free_port):
    demo = (sys.executable, "-m", "toolboxsio.backend.demo")
    done = run(*demo, DEMO_PORT=str(free_port()), DEMO_SECONDS="0.1")
    assert done.returncode == 0, done.stdout
    assert "'ok': True, 'type': 'ping'" in done.stdout
    assert "It works." in done.stdout


def test_demo_fails_without_the_extension(run, free_port):
    demo = (sys.executable, "-m", "toolboxsio.backend.demo")
    done = run(*demo, DEMO_PORT=str(free_port()), DEMO_SECONDS="0.1", TOOLBOXSIO_PURE="1")
    assert done.returncode == 1, done.stdout
    assert "toolboxsio doctor" in done.stdout
