"""JSON Web Tokens (RFC 7519): who a client is.

A token is read, checked and forgotten: what is kept is an :class:`Identity`, and it is taken out of
the environ that python-socketio keeps for each client.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt

from toolboxsio.backend.roles import RANKS, Role
from toolboxsio.backend.settings import Settings

LONGEST_TOKEN = 8192
LONGEST_NAME = 200

#: Where an environ keeps what its token said: an Identity or an InvalidToken.
_READ = "toolboxsio.token"

REDACTED = "[redacted]"


class InvalidToken(Exception):
    """A token that proves nothing. ``code``: ``"invalid_token"`` or ``"token_expired"``."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid token says. ``expires_at``: seconds since the epoch."""

    sub: str
    username: str
    role: Role
    expires_at: float


class Tokens:
    """Checks tokens, and makes them for development."""

    def __init__(self, settings: Settings) -> None:
        assert settings.jwt_secret is not None
        self._key = settings.jwt_secret.get_secret_value()
        self._uses_keys = settings.uses_keys
        self._algorithms = list(settings.jwt_algorithms)
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer

    def check(self, token: Any) -> Identity:
        """Return who the bearer is.

        Claims: ``exp`` and ``sub`` (required), ``nbf``, ``aud``, ``iss``, ``role`` (``student``
        where there is none), ``username`` (else ``sub``).

        :raises InvalidToken: for anything else.
        """
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            raise InvalidToken("invalid_token", "not a token")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "sub"]},
            )
            expires_at = float(claims["exp"])
        except jwt.ExpiredSignatureError:
            raise InvalidToken("token_expired", "expired") from None
        except Exception as exc:  # whatever the libraries raise, it proves nothing
            raise InvalidToken("invalid_token", type(exc).__name__) from None
        sub, role = claims["sub"], claims.get("role", "student")
        username = claims.get("username", sub)
        if not isinstance(role, str) or role not in RANKS or not RANKS[role]:
            raise InvalidToken("invalid_token", "unknown role")
        for name in (sub, username):
            if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not is_text(name):
                raise InvalidToken("invalid_token", "no name")
        return Identity(sub, username, role, expires_at)  # type: ignore[arg-type]

    def make(self, sub: str, role: Role, seconds: float, username: str | None = None) -> str:
        """Return a token, for development and tests.

        :raises ValueError: where tokens are signed with keys: this side knows the public one alone.
        """
        if self._uses_keys:
            raise ValueError(f"{self._algorithms[0]}: who has the private key signs")
        now = time.time()
        claims: dict[str, Any] = {"sub": sub, "role": role, "iat": int(now), "exp": now + seconds}
        if username is not None:
            claims["username"] = username
        if self._audience is not None:
            claims["aud"] = self._audience
        if self._issuer is not None:
            claims["iss"] = self._issuer
        return jwt.encode(claims, self._key, self._algorithms[0])

    def read(self, environ: dict[str, Any]) -> None:
        """Take the tokens out of an environ, and keep what they say."""
        header, query = take_tokens(environ)
        if _READ not in environ and (header or query):
            try:
                environ[_READ] = self.check(header or query)
            except InvalidToken as exc:
                environ[_READ] = exc

    def identify(self, environ: dict[str, Any], auth: Any) -> Identity | None:
        """Return who connects: by ``auth.token``, ``Authorization: Bearer`` or the query.

        The first that is there counts, and an empty one is none. None: there is no token.

        :raises InvalidToken: when it proves nothing.
        """
        self.read(environ)
        token = auth.get("token") if isinstance(auth, dict) else None
        if token not in (None, ""):
            return self.check(token)
        found = environ.get(_READ)  # read with the first namespace that the client has joined
        if isinstance(found, InvalidToken):
            raise InvalidToken(found.code, found.reason)
        if isinstance(found, Identity) and found.expires_at <= time.time():
            raise InvalidToken("token_expired", "expired")
        return found


def is_text(name: str) -> bool:
    """Whether it is Unicode: without lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def take_tokens(environ: dict[str, Any]) -> tuple[str, str]:
    """Take the tokens of the header and of the query out of an environ and its ASGI scope."""
    scheme, _, header = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    header = header.strip() if scheme.lower() == "bearer" else ""
    if "HTTP_AUTHORIZATION" in environ:
        environ["HTTP_AUTHORIZATION"] = REDACTED
    query = ""
    text = environ.get("QUERY_STRING", "")
    if "token" in text or "%" in text:
        pairs = parse_qsl(text, keep_blank_values=True)
        if any(name == "token" for name, _ in pairs):
            query = next(value for name, value in pairs if name == "token")
            text = urlencode([(k, REDACTED if k == "token" else v) for k, v in pairs])
            path = environ.get("PATH_INFO", "")
            environ["QUERY_STRING"], environ["RAW_URI"] = text, f"{path}?{text}"
    scope = environ.get("asgi.scope")
    if scope is not None:
        if query:
            scope["query_string"] = text.encode()
        if header or "HTTP_AUTHORIZATION" in environ:
            scope["headers"] = [
                (name, REDACTED.encode() if name.lower() == b"authorization" else value)
                for name, value in scope["headers"]
            ]
    return header, query
