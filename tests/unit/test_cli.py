"""toolboxsio/cli.py and the demonstration."""

import os
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import toolboxsio
from toolboxsio import _run, cli
from toolboxsio.backend import Application, Settings
from toolboxsio.backend.tokens import InvalidToken, Tokens


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == toolboxsio.__version__


def test_module_and_script_are_the_same(run):
    texts = [run(sys.executable, "-m", "toolboxsio", "--help").stdout]
    texts.append(run(f"{sys.prefix}/bin/toolboxsio", "--help").stdout)
    assert texts[0] == texts[1]
    assert all(name in texts[0] for name in ("run", "serve", "bench", "doctor"))


def test_help_is_text(run):
    text = run(sys.executable, "-m", "toolboxsio", "--help").stdout
    assert "``" not in text
    assert ":class:" not in text


def test_command_is_required(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_serve_without_the_extra_names_it(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "toolboxsio.backend.commands", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["serve"]) == 1
    assert "toolboxsio[backend]" in capsys.readouterr().err


def test_run_without_uvicorn_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["run", "main:app", "--port", "80"]) == 1
    assert "toolboxsio run: uvicorn cannot be imported" in (told := capsys.readouterr().err)
    assert "pip install 'toolboxsio[uvicorn]'" in told
    with pytest.raises(ImportError, match=r"toolboxsio\[uvicorn\]"):
        toolboxsio.run("main:app")


def test_help_of_run_says_what_is_set(run):
    command = (sys.executable, "-m", "toolboxsio", "run", "--help")
    done = run(*command)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert text.startswith("Usage: toolboxsio run [OPTIONS] APP Serve APP")
    assert "--http and --ws are toolboxsio's" in text
    for name in ("HTTPProtocol", "WebSocketProtocol"):
        assert f"[default: (toolboxsio.uvicorn:{name})]" in text
    assert "--reload-dir" in text
    plain = " ".join(run(*command, TOOLBOXSIO_PURE="1").stdout.split())
    assert "Usage: toolboxsio run [OPTIONS] APP Serve APP" in plain
    assert "toolboxsio's" not in plain
    assert "toolboxsio.uvicorn" not in plain


def test_run_leaves_the_command_of_uvicorn_as_it_was():
    uvicorn = pytest.importorskip("uvicorn")
    before = [vars(parameter).copy() for parameter in uvicorn.main.params]
    assert _run.command().params is not uvicorn.main.params
    assert [vars(parameter) for parameter in uvicorn.main.params] == before
    assert "Serve APP" not in (uvicorn.main.help or "")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment of the test's own, and no `.env` of others."""
    monkeypatch.setattr(os, "environ", {**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    monkeypatch.chdir(tmp_path)
    return os.environ


def test_serve_takes_its_address_from_the_options(monkeypatch, environment):
    asked = []

    def run(server):
        asked.append(server.config)
        server.started = True

    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setattr("logging.config.dictConfig", lambda config: None)
    environment.update(SIO_PORT="9001", SIO_HOST="192.0.2.1")
    assert cli.main(["serve", "--debug", "--host", "127.0.0.2", "--loop", "asyncio"]) == 0
    [config] = asked
    assert (config.host, config.port, config.loop) == ("127.0.0.2", 9001, "asyncio")
    assert isinstance(config.app, Application)
    assert config.app.settings.debug


def test_serve_says_what_is_wrong_with_the_settings(capsys, environment):
    environment.update(SIO_PATH="/socket.io/", SIO_CORS_ORIGINS='["*"]')
    assert cli.main(["serve"]) == 2
    assert "serve: SIO_PATH: write /socket.io (" in capsys.readouterr().err
    del environment["SIO_PATH"]
    assert cli.main(["serve"]) == 2
    told = capsys.readouterr().err
    assert [line.split(": ")[1] for line in told.splitlines()] == [
        "SIO_JWT_SECRET",
        "SIO_CORS_ORIGINS",
        "SIO_TRUSTED_HOSTS",
    ]
    environment["SIO_CORS_ORIGINS"] = "https://a.example"
    assert cli.main(["serve"]) == 2
    assert "SIO_CORS_ORIGINS: not JSON" in capsys.readouterr().err


def test_a_token_is_that_of_debug_mode(capsys, environment):
    assert cli.main(["token", "--role", "teacher", "--sub", "u-1", "--username", "Ann"]) == 0
    told = capsys.readouterr()
    assert told.err == (
        "toolboxsio token: SIO_JWT_SECRET is not set: signed with this machine's secret for debug"
        " mode\n"
    )
    token = told.out.strip()
    identity = Tokens(Settings(debug=True)).check(token)
    assert (identity.sub, identity.username, identity.role) == ("u-1", "Ann", "teacher")
    environment["SIO_JWT_SECRET"] = "s" * 40
    with pytest.raises(InvalidToken):
        Tokens(Settings(debug=True)).check(token)
    assert cli.main(["token", "--sub", "u-2"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    identity = Tokens(Settings(debug=True)).check(told.out.strip())
    assert (identity.sub, identity.username, identity.role) == ("u-2", "u-2", "student")


def test_keys_sign_no_tokens(capsys, environment):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text = key.public_bytes(serialization.Encoding.PEM, form).decode()
    environment.update(SIO_JWT_ALGORITHMS='["ES256"]', SIO_JWT_SECRET=text)
    assert cli.main(["token", "--sub", "u-1"]) == 1
    assert "ES256" in capsys.readouterr().err


def test_nginx_prints_the_configuration(capsys, environment):
    environment.update(SIO_JWT_SECRET="s" * 40, SIO_TRUSTED_HOSTS='["api.example.com"]')
    assert cli.main(["nginx", "--listen", "8080", "--workers", "2"]) == 0
    text = capsys.readouterr().out
    assert "listen 8080;" in text
    assert "server_name api.example.com;" in text
    assert "ip_hash;" in text


LISTEN = ["80", "65535", "127.0.0.1:8080", "[::1]:80", "*:80", "a-host.example:443"]
NO_LISTEN = [
    "abc",
    "0",
    "65536",
    "-1",
    "",
    "80;",
    "::1:80",
    "host:",
    ":80",
    "[::1]",
    "unix:",
    "unix:x",
]


@pytest.mark.parametrize("address", [*LISTEN, "unix:/run/nginx.sock"])
def test_addresses_of_nginx(capsys, environment, address):
    assert cli.main(["nginx", "--debug", "--listen", address]) == 0
    assert f"    listen {address};\n" in capsys.readouterr().out


@pytest.mark.parametrize("address", [*NO_LISTEN, "80; }", "unix:/a b", "80 ssl"])
def test_what_is_no_address_of_nginx(capsys, environment, address):
    with pytest.raises(SystemExit) as end:
        cli.main(["nginx", "--debug", f"--listen={address}"])
    assert end.value.code == 2
    assert f"{address!r} is not a port" in capsys.readouterr().err


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
