"""Settings of the application: environment variables SIO_<NAME>, or the same in a file `.env`."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
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

_ORIGIN = re.compile(r"https?://[^/\s?#]+")
_CHANNEL_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Settings(BaseSettings):
    """Lists and tables are JSON: ``SIO_CORS_ORIGINS='["https://dashboard.example"]'``.

    :raises pydantic.ValidationError: for what the application cannot or should not run with;
        :func:`explain` puts it into words. Values never appear in it.
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

    jwt_secret: SecretStr | None = None
    """The secret of the tokens; with RS, PS, ES and EdDSA algorithms the public key as PEM."""
    jwt_algorithms: list[str] = ["HS256"]
    jwt_audience: str | None = None
    """What `aud` of a token must contain; None: a token with `aud` is refused."""
    jwt_issuer: str | None = None

    rbac_required_roles: dict[str, Required] = {}
    """The role that an event needs; events that it does not name keep their default."""
    channel_prefixes: dict[str, Required | Literal["owner"]] = dict(CHANNEL_PREFIXES)
    """The role that channels with such a name need; `owner`: the rest of the name is the client's
    own `sub`, or the client is an admin."""
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
                if parts.scheme in ("http", "https") and parts.netloc:
                    hint = f": write {parts.scheme}://{parts.netloc}"
                raise ValueError(f"{origin!r} is not an origin{hint or ', as https://a.example'}")
        return origins

    @field_validator("trusted_hosts")
    @classmethod
    def _check_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            name = host.removeprefix("*.") if host != "*" else "any"
            is_ipv6 = name.startswith("[") and name.endswith("]")
            if not name or (not is_ipv6 and not re.fullmatch(r"[A-Za-z0-9._-]+", name)):
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
        return prefixes

    @field_validator("client_script")
    @classmethod
    def _check_script(cls, script: Path | None) -> Path | None:
        if script is not None and not script.is_file():
            raise ValueError(f"there is no file {script}")
        return script

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
        return self

    def _problems(self) -> list[str]:
        problems = []
        if self.jwt_secret is None and (not self.debug or self.uses_keys):
            kind = "public key (PEM)" if self.uses_keys else "secret (32 bytes or more)"
            more = "" if self.uses_keys else "; SIO_DEBUG=true makes one for development"
            problems.append(f"SIO_JWT_SECRET: the {kind} of the tokens is missing{more}")
        elif self.jwt_secret is not None and not self.uses_keys and not self.debug:
            least = max(SECRET_BYTES[name] for name in self.jwt_algorithms)
            if len(self.jwt_secret.get_secret_value().encode()) < least:
                problems.append(f"SIO_JWT_SECRET: shorter than {least} bytes: it can be guessed")
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
        if self.workers > 1 and self.sticky and self.port + self.workers - 1 > 65535:
            problems.append("SIO_PORT: too high for a port for each worker")
        return problems

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


def debug_secret() -> str:
    """The secret of debug mode: random, made once for a user of a machine.

    ``toolboxsio serve`` and ``toolboxsio token`` find the same one. Where it cannot be kept it is
    another each time, which is said.
    """
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    file = Path(state) / "toolboxsio" / "debug-secret"
    made = secrets.token_urlsafe(48)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        own = file.with_name(f"{file.name}.{os.getpid()}")
        with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(made)
        try:
            os.link(own, file)  # whole from the start, and never over one that is there
        except FileExistsError:
            pass
        finally:
            own.unlink()
        kept = file.read_text().strip()
    except OSError as exc:
        print(f"toolboxsio: {file} cannot be used ({exc.strerror})", file=sys.stderr)
        return made
    return kept if len(kept) >= SECRET_BYTES["HS512"] else made
