"""Settings of the application: environment variables SIO_<NAME>, or the same in a file `.env`."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import jwt
from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from toolboxsio import SIO_PATH
from toolboxsio.backend.roles import CHANNEL_PREFIXES, REQUIRED_ROLES, Required

PREFIX = "SIO_"

#: Names of this machine: where SIO_DEBUG is set and no trusted hosts are.
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]", "::1"]

#: What HTTP has at the top.
OWN_PATHS = ("socketio", "health", "metrics", "docs", "redoc", "openapi.json")

#: RFC 7518, section 3.2: a key of the size of the hash, or larger.
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}

ALGORITHMS = (
    *SECRET_BYTES,
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
)

_ORIGIN = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_CHANNEL_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Settings(BaseSettings):
    """Lists and tables are JSON: ``SIO_CORS_ORIGINS='["https://dashboard.example"]'``.

    :raises pydantic.ValidationError: for what the application cannot or should not run with;
        :func:`explain` puts it into words. Secrets and the URL of Redis never appear in it.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        validate_default=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8008, ge=0, le=65535)
    debug: bool = False
    """The page and namespace for debugging, a random secret, tokens that may be invalid."""
    path: str = SIO_PATH
    """Where Socket.IO is: in the mount, the status, the proxy's configuration and the page."""

    cors_origins: list[str] = []
    """Origins of browsers that may connect; empty: the server's own origin alone."""
    trusted_hosts: list[str] = []
    """Values of the header Host that are served; `*.example.com` is every subdomain."""

    _has_debug_secret: bool = PrivateAttr(default=False)
    jwt_secret: SecretStr | None = None
    """The secret of the tokens; with RS, PS, ES and EdDSA algorithms the public key as PEM."""
    jwt_algorithms: list[str] = ["HS256"]
    jwt_audience: str | None = None
    """What `aud` of a token must contain; None: a token with `aud` is refused."""
    jwt_issuer: str | None = None

    rbac_required_roles: dict[str, Required] = {}
    """The role that an event needs; events that it does not name keep their default."""
    channel_prefixes: dict[str, Required | Literal["owner"]] = {}
    """The role that channels with such a name need; `owner`: the rest of the name is the client's
    own `sub`, or the client is an admin. Prefixes that it does not name keep their default."""
    max_channels: int = Field(default=1000, ge=1)
    """Channels that one client may subscribe to."""
    rate_limit_per_minute: int = Field(default=100, ge=1)
    """For each user (or sid) and event."""

    redis_url: SecretStr | None = None
    """For several workers: emits to each other's clients, and rate limits in common."""
    workers: int = Field(default=1, ge=1, le=1024)
    sticky: bool = True
    """Each worker listens on a port of its own, from `port` on, so that a proxy can send a client
    to the same one each time; False: they share `port`, and only WebSocket clients can connect."""

    ping_interval: float = Field(default=25, gt=0)
    ping_timeout: float = Field(default=60, gt=0)
    max_http_buffer_size: int = Field(default=1_000_000, gt=0)
    client_script: Path | None = None
    """socket.io.min.js for the page of debug mode; None: from a CDN."""

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        plain = "/" + path.strip("/")
        if path != plain or len(plain) == 1:
            write = plain if len(plain) > 1 else SIO_PATH
            raise ValueError(
                f"write {write} (clients and proxies must use the same path, without a slash "
                "at its end)"
            )
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
            raise ValueError(f"letters, digits and ._~- between slashes, such as {SIO_PATH}")
        if path.split("/")[1] in OWN_PATHS:
            raise ValueError(f"{path} is the application's: write {SIO_PATH}")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                parts = urlsplit(origin)
                hint = ""
                if parts.scheme in ("http", "https") and parts.hostname:
                    port = parts.netloc.rpartition("@")[2].removeprefix(parts.hostname)
                    hint = f": write {parts.scheme}://{parts.hostname}{port}"
                raise ValueError(f"{origin!r} is not an origin{hint or ', as https://a.example'}")
        return origins

    @field_validator("trusted_hosts")
    @classmethod
    def _check_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            name = host.removeprefix("*.") if host != "*" else "any"
            if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", name):
                raise ValueError(
                    f"{host!r} is not a name of a host: no scheme, no port; `*.example.com` is "
                    "every subdomain"
                )
        return hosts

    @field_validator("jwt_algorithms")
    @classmethod
    def _check_algorithms(cls, algorithms: list[str]) -> list[str]:
        unknown = [name for name in algorithms if name not in ALGORITHMS]
        if unknown or not algorithms:
            raise ValueError(f"one or more of {', '.join(ALGORITHMS)}")
        if len({name in SECRET_BYTES for name in algorithms}) > 1:
            raise ValueError(
                "HS algorithms and others must not be mixed: a public key would be taken for a "
                "secret"
            )
        return algorithms

    @field_validator("rbac_required_roles")
    @classmethod
    def _check_roles(cls, roles: dict[str, Required]) -> dict[str, Required]:
        unknown = sorted(roles.keys() - REQUIRED_ROLES.keys())
        if unknown:
            raise ValueError(
                f"no such event: {', '.join(map(repr, unknown))}; there are "
                f"{', '.join(sorted(REQUIRED_ROLES))}"
            )
        return {**REQUIRED_ROLES, **roles}

    @field_validator("channel_prefixes")
    @classmethod
    def _check_prefixes(cls, prefixes: dict[str, Any]) -> dict[str, Any]:
        for prefix in prefixes:
            if not _CHANNEL_PREFIX.fullmatch(prefix):
                raise ValueError(f"{prefix!r} cannot begin the name of a channel")
        return {**CHANNEL_PREFIXES, **prefixes}

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, url: SecretStr | None) -> SecretStr | None:
        """The value may have a password: it is in no message."""
        if url is not None:
            parts = urlsplit(url.get_secret_value())
            if parts.scheme not in ("redis", "rediss", "unix"):
                raise ValueError("write redis://host:port/0, rediss://... or unix:///path")
            try:
                _ = parts.port
            except ValueError:
                raise ValueError("its port is not a number") from None
        return url

    @field_validator("client_script")
    @classmethod
    def _check_script(cls, script: Path | None) -> Path | None:
        if script is not None and not script.is_file():
            raise ValueError(f"there is no file {script}")
        return script

    @property
    def has_debug_secret(self) -> bool:
        """Whether the secret is that of debug mode on this machine, for none was given."""
        return self._has_debug_secret

    @model_validator(mode="after")
    def _check_all(self) -> Settings:
        problems = self._problems()
        if problems:
            raise ValueError("\n".join(problems))
        if self.debug and not self.trusted_hosts:
            own = [self.host] if re.fullmatch(r"[A-Za-z0-9._-]+", self.host) else []
            self.__dict__["trusted_hosts"] = list(dict.fromkeys([*LOCAL_HOSTS, *own]))
        if self.debug and self.jwt_secret is None:
            self.__dict__["jwt_secret"] = SecretStr(debug_secret())
            self._has_debug_secret = True
        return self

    def _problems(self) -> list[str]:
        problems = []
        if self.jwt_secret is None and (not self.debug or self.uses_keys):
            kind = "public key (PEM)" if self.uses_keys else "secret (32 bytes or more)"
            more = "" if self.uses_keys else "; SIO_DEBUG=true makes one for development"
            problems.append(f"SIO_JWT_SECRET: the {kind} of the tokens is missing{more}")
        elif self.jwt_secret is not None and not self.uses_keys and not self.debug:
            least = max(SECRET_BYTES[name] for name in self.jwt_algorithms)
            if len(self.jwt_secret.get_secret_value().strip().encode()) < least:
                problems.append(f"SIO_JWT_SECRET: shorter than {least} bytes: it can be guessed")
        if self.jwt_secret is not None:
            problem = key_problem(self.jwt_secret.get_secret_value(), self.jwt_algorithms)
            if problem is not None:
                problems.append(f"SIO_JWT_SECRET: {problem}")
        if not self.debug and "*" in self.cors_origins:
            problems.append(
                "SIO_CORS_ORIGINS: `*` lets every site in; name the origins of the dashboard"
            )
        if not self.debug and (not self.trusted_hosts or "*" in self.trusted_hosts):
            problems.append(
                "SIO_TRUSTED_HOSTS: name the hosts that are served, as '[\"api.example.com\"]'"
            )
        if self.workers > 1 and self.port == 0:
            problems.append("SIO_PORT: 0 is for one worker alone")
        return problems

    def check_ports(self) -> None:
        """Raise ValueError when there are not enough ports for the workers."""
        if max(self.ports) > 65535:
            raise ValueError("SIO_PORT: too high for a port for each worker")

    @property
    def uses_keys(self) -> bool:
        """Whether the tokens are signed with keys instead of a secret."""
        return self.jwt_algorithms[0] not in SECRET_BYTES

    @property
    def ports(self) -> list[int]:
        """The port of each worker."""
        if not self.sticky:
            return [self.port]
        return [self.port + index for index in range(self.workers)]

    def warnings(self) -> list[str]:
        """What works, but not as one might think."""
        found = []
        if self.workers > 1 and self.redis_url is None:
            found.append(
                f"{self.workers} workers without SIO_REDIS_URL: emits reach the clients of one "
                "worker alone, and each worker counts rate limits for itself; set "
                "SIO_REDIS_URL=redis://..."
            )
        if self.workers > 1 and not self.sticky:
            found.append(
                f'{self.workers} workers share port {self.port}: clients that poll get "Invalid '
                'session"; remove SIO_STICKY=false and put the configuration of `toolboxsio nginx` '
                'in front, or let clients connect with transports: ["websocket"]'
            )
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        unknown = sorted(
            name for name in os.environ if name.startswith(PREFIX) and name not in known
        )
        if unknown:
            found.append(f"no such setting: {', '.join(unknown)}")
        return found


def explain(error: ValidationError) -> list[str]:
    """One line for each problem, in the terms of the environment."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        message = problem["msg"].removeprefix("Value error, ")
        where = problem["loc"]
        if where:
            more = "".join(f"[{part!r}]" for part in where[1:])
            lines.append(f"{PREFIX}{str(where[0]).upper()}{more}: {message}")
        else:
            lines += message.splitlines()
    return lines


def key_problem(key: str, algorithms: list[str]) -> str | None:
    """Why tokens cannot be checked with a key; None: they can."""
    for name in algorithms:
        try:
            prepared = jwt.get_algorithm_by_name(name).prepare_key(key)
        except Exception as exc:  # whatever cryptography raises
            return f"not a key for {name} ({type(exc).__name__})"
        if hasattr(prepared, "private_bytes"):
            return "a private key: write the public one"
        if getattr(prepared, "key_size", 2048) < 2048 and name[:2] in ("RS", "PS"):
            return "an RSA key of less than 2048 bits"
    return None


def debug_secret() -> str:
    """The secret of debug mode: random, made once for a user of a machine.

    ``toolboxsio serve`` and ``toolboxsio token`` find the same one. Where it cannot be kept it is
    another each time, which is said.
    """
    made = secrets.token_urlsafe(48)
    try:
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return _kept_secret(Path(state) / "toolboxsio" / "debug-secret", made)
    except (OSError, RuntimeError) as exc:  # RuntimeError: nobody knows where home is
        why = getattr(exc, "strerror", None) or exc
        print(f"toolboxsio: the secret of debug mode cannot be kept: {why}", file=sys.stderr)
        return made


def _kept_secret(file: Path, made: str) -> str:
    """Return the secret in a file, which is made where there is none."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=file.parent)  # 0600
    own = Path(name)
    try:
        with open(handle, "w") as out:
            out.write(made)
        with contextlib.suppress(FileExistsError):
            os.link(own, file)  # whole from the start, and never over one that is there
    finally:
        own.unlink()
    with open(os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))) as kept:
        about = os.fstat(kept.fileno())
        secret = kept.read().strip()
    # On Windows files have neither: their folder, which is the user's own, says who may read them.
    is_posix = hasattr(os, "geteuid")
    if is_posix and (about.st_uid != os.geteuid() or about.st_mode & 0o077):
        raise PermissionError(0, f"others may read or write {file}")
    if len(secret) < SECRET_BYTES["HS512"]:
        raise OSError(0, f"{file} is damaged: remove it")
    return secret
