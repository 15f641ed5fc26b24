"""toolboxsio/backend/settings.py: what the application does not start with, and what it says."""

import json
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from toolboxsio import SIO_PATH
from toolboxsio.backend.settings import LOCAL_HOSTS, Settings, explain

SECRET = "s" * 64
GOOD = {"SIO_JWT_SECRET": SECRET, "SIO_TRUSTED_HOSTS": '["api.example.com"]'}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment of the test's own, and no `.env` of others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIO_")}
    monkeypatch.setattr(os, "environ", {**kept, "XDG_STATE_HOME": str(tmp_path / "state")})
    monkeypatch.chdir(tmp_path)
    return os.environ


def problems(**settings):
    """What is said of them."""
    with pytest.raises(ValidationError) as refusal:
        Settings(**settings)
    assert SECRET not in str(refusal.value)
    return explain(refusal.value)


def test_production_needs_a_secret_and_hosts(environment):
    missing = problems()
    assert [line.split(":")[0] for line in missing] == ["SIO_JWT_SECRET", "SIO_TRUSTED_HOSTS"]
    environment.update(GOOD)
    settings = Settings()
    assert (settings.port, settings.path, settings.debug) == (8008, "/socket.io", False)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SIO_JWT_SECRET", "short", "can be guessed"),
        ("SIO_JWT_SECRET", "", "missing"),
        ("SIO_TRUSTED_HOSTS", '["*"]', "name the hosts"),
        ("SIO_TRUSTED_HOSTS", "[]", "name the hosts"),
        ("SIO_CORS_ORIGINS", '["https://a.example", "*"]', "lets every site in"),
    ],
)
def test_production_is_strict_where_debug_mode_is_not(environment, name, value, said):
    environment.update({**GOOD, name: value})
    [line] = problems()
    assert line.startswith(f"{name}: ")
    assert said in line
    assert Settings(debug=True).debug


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SIO_PATH", "/socket.io/", "write /socket.io "),
        ("SIO_PATH", "socket.io", "write /socket.io "),
        ("SIO_PATH", "/ws/socket.io//", "write /ws/socket.io "),
        ("SIO_PATH", "/", f"write {SIO_PATH} "),
        ("SIO_PATH", "/a b", "letters"),
        ("SIO_PATH", "/socketio", "is the application's"),
        ("SIO_PORT", "65536", "65535"),
        ("SIO_PORT", "x", "integer"),
        ("SIO_CORS_ORIGINS", '["https://a.example/"]', "write https://a.example"),
        ("SIO_CORS_ORIGINS", '["a.example"]', "not an origin"),
        ("SIO_TRUSTED_HOSTS", '["https://a.example"]', "no scheme"),
        ("SIO_TRUSTED_HOSTS", '["a.example:80"]', "no port"),
        ("SIO_TRUSTED_HOSTS", '["a.*"]', "subdomain"),
        ("SIO_TRUSTED_HOSTS", '["[;} server {]"]', "not a name"),
        ("SIO_CORS_ORIGINS", '["https://u:p@a.example:443"]', "write https://a.example:443"),
        ("SIO_JWT_ALGORITHMS", '["none"]', "one or more of"),
        ("SIO_JWT_ALGORITHMS", "[]", "one or more of"),
        ("SIO_JWT_ALGORITHMS", '["HS256", "RS256"]', "must not be mixed"),
        ("SIO_RBAC_REQUIRED_ROLES", '{"brodcast": "admin"}', "no such event: 'brodcast'"),
        ("SIO_RBAC_REQUIRED_ROLES", '{"broadcast": "root"}', "'admin'"),
        ("SIO_CHANNEL_PREFIXES", '{"a b": "admin"}', "cannot begin"),
        ("SIO_RATE_LIMIT_PER_MINUTE", "0", "1"),
        ("SIO_WORKERS", "0", "1"),
        ("SIO_CLIENT_SCRIPT", "missing.js", "no file"),
        ("SIO_PING_INTERVAL", "0", "0"),
    ],
)
@pytest.mark.parametrize("debug", [True, False])
def test_what_is_wrong_everywhere(environment, name, value, said, debug):
    environment.update({**GOOD, name: value})
    [line] = problems(debug=debug)
    assert line.startswith(name)
    assert said in line


def test_ports_of_workers(environment):
    environment.update(GOOD)
    assert Settings(workers=3, port=9000).ports == [9000, 9001, 9002]
    assert Settings(workers=3, port=9000, sticky=False).ports == [9000]
    assert "SIO_PORT" in problems(workers=2, port=0)[0]
    Settings(workers=3, port=65533).check_ports()
    with pytest.raises(ValueError, match="SIO_PORT"):
        Settings(workers=3, port=65534).check_ports()


def test_warnings_name_the_cure(environment):
    environment.update(GOOD)
    assert Settings().warnings() == []
    assert Settings(workers=2, redis_url="redis://127.0.0.1").warnings() == []
    [line] = Settings(workers=2).warnings()
    assert "SIO_REDIS_URL=redis://" in line
    [line] = Settings(workers=2, sticky=False, redis_url="redis://127.0.0.1").warnings()
    assert "SIO_STICKY" in line
    assert "toolboxsio nginx" in line
    environment["SIO_JWT_SECRETS"] = "x"
    assert Settings().warnings() == ["no such setting: SIO_JWT_SECRETS"]


def test_a_file_with_settings(environment, tmp_path):
    lines = [f"{name}={value}" for name, value in GOOD.items()]
    (tmp_path / ".env").write_text("\n".join([*lines, "SIO_PORT=9009", "OTHER=1"]))
    assert Settings().port == 9009
    environment["SIO_PORT"] = "9010"
    assert Settings().port == 9010


def test_prefixes_that_are_not_named_stay(environment):
    environment.update({**GOOD, "SIO_CHANNEL_PREFIXES": '{"user_": "owner", "x_": "teacher"}'})
    assert Settings().channel_prefixes == {
        "admin_": "admin",
        "teacher_": "teacher",
        "private_": "student",
        "user_": "owner",
        "x_": "teacher",
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://:SECRETPW@host/0",
        "redis://:SECRETPW@host:port/0",
        "redis+sentinel://:SECRETPW@host:26379/0/name",  # the rate limits would not understand it
        "SECRETPW",
    ],
)
def test_the_password_of_redis_is_in_no_message(environment, url):
    environment.update({**GOOD, "SIO_REDIS_URL": url})
    [line] = problems()
    assert line.startswith("SIO_REDIS_URL: ")
    assert "SECRETPW" not in line


def pem(private, is_private=False):
    encoding = serialization.Encoding.PEM
    if is_private:
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return private.private_bytes(encoding, form, none).decode()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(encoding, form).decode()


def test_keys_are_looked_at(environment):
    environment.update(GOOD)
    good, small = (rsa.generate_private_key(65537, size) for size in (2048, 1024))
    assert Settings(jwt_algorithms=["RS256"], jwt_secret=pem(good)).uses_keys
    for key, said in (
        (pem(good, True), "private key"),
        (pem(small), "2048 bits"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not a key for RS256"),
        ("x" * 40, "not a key for RS256"),
    ):
        [line] = problems(jwt_algorithms=["RS256"], jwt_secret=key)
        assert said in line
    [line] = problems(jwt_secret=pem(good))
    assert "not a key for HS256" in line


def test_roles_that_are_not_named_stay(environment):
    environment.update({**GOOD, "SIO_RBAC_REQUIRED_ROLES": json.dumps({"ping": "anonymous"})})
    roles = Settings().rbac_required_roles
    assert (roles["ping"], roles["broadcast"], roles["message"]) == (
        "anonymous",
        "teacher",
        "student",
    )


def test_debug_mode_needs_nothing(environment, tmp_path):
    first, second = Settings(debug=True), Settings(debug=True, host="my.host")
    assert first.jwt_secret == second.jwt_secret
    assert len(first.jwt_secret.get_secret_value()) >= 64
    assert first.trusted_hosts == [*LOCAL_HOSTS]
    assert second.trusted_hosts == [*LOCAL_HOSTS, "my.host"]
    [file] = (tmp_path / "state" / "toolboxsio").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_cannot_be_kept_is_another_each_time(environment, tmp_path, capsys):
    (tmp_path / "state").write_text("not a folder")
    assert Settings(debug=True).jwt_secret != Settings(debug=True).jwt_secret
    assert "cannot be kept" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["short", "writable", "elsewhere"])
def test_a_kept_secret_that_is_not_to_be_trusted(environment, tmp_path, capsys, damage):
    secret = Settings(debug=True).jwt_secret
    file = tmp_path / "state" / "toolboxsio" / "debug-secret"
    assert file.read_text() == secret.get_secret_value()
    if damage == "short":
        file.write_text("")
    elif damage == "writable":
        file.chmod(0o666)
    else:
        file.rename(tmp_path / "other")
        file.symlink_to(tmp_path / "other")
    assert Settings(debug=True).jwt_secret != secret
    assert "cannot be kept" in capsys.readouterr().err
