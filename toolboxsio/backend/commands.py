"""`toolboxsio serve`, `token` and `nginx`: what needs the extra `backend`."""

from __future__ import annotations

import argparse
import logging
import logging.config
import os
import re
import socket
import sys
from typing import Any

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from toolboxsio._run import protocols
from toolboxsio.backend.app import create_app
from toolboxsio.backend.logs import log_config
from toolboxsio.backend.nginx import configuration
from toolboxsio.backend.settings import PREFIX, Settings, explain
from toolboxsio.backend.tokens import Tokens
from toolboxsio.backend.workers import NOT_STARTED, supervise
from toolboxsio.uvicorn import HTTPProtocol

logger = logging.getLogger(__name__)

#: Seconds that a connection is kept for the next request. nginx keeps its own for 60: the worker
#: must not be the first to close one, or a POST that is on its way then fails.
KEEP_ALIVE_SECONDS = 75

SHUTDOWN_SECONDS = 5  # for the connected clients, which uvicorn would wait for without an end

#: Options that stand for a setting; workers are told by the environment.
OPTIONS = {
    "host": "host",
    "port": "port",
    "debug": "debug",
    "workers": "workers",
    "redis": "redis_url",
}


def read_settings(args: argparse.Namespace, **more: Any) -> Settings | None:
    """The settings; None when they are not fit, which is said."""
    for option, name in OPTIONS.items():
        value = getattr(args, option, None)
        if value is not None and value is not False:
            os.environ[PREFIX + name.upper()] = str(value)
    try:
        return Settings(**more)
    except ValidationError as exc:
        lines = explain(exc)
    except SettingsError as exc:  # a list or a table that is not JSON
        named = re.search(r'field "(\w+)"', str(exc))
        name = PREFIX + named[1].upper() if named else "a setting"
        lines = [f"{name}: not JSON"]
    for line in lines:
        print(f"toolboxsio {args.name}: {line}", file=sys.stderr)
    return None


def serve(args: argparse.Namespace) -> int:
    """Serve the application until a signal ends it. 2: the settings are not fit for it."""
    settings = read_settings(args)
    if settings is None:
        return 2
    logging.config.dictConfig(log_config(args.log_level))
    if args.worker is None:
        try:
            settings.check_ports()
        except ValueError as exc:
            print(f"toolboxsio serve: {exc}", file=sys.stderr)
            return 2
        for line in settings.warnings():
            logger.warning("%s", line)
        if settings.workers > 1:
            command = [sys.executable, "-m", "toolboxsio", "serve"]
            return supervise(
                settings, [*command, "--loop", args.loop, "--log-level", args.log_level]
            )
    app = create_app(settings)
    # also without the extension the headers of a request have an end
    classes = {"http": HTTPProtocol, **protocols()}
    config = uvicorn.Config(
        app,
        **classes,
        host=settings.host,
        port=settings.port,
        loop=args.loop,
        # at debug it tells headers and frames, and tokens with them
        log_level="info" if args.log_level == "debug" else args.log_level,
        log_config=log_config(args.log_level),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    if args.fd is not None:
        server.run(sockets=[socket.socket(fileno=args.fd)])
    else:
        server.run()
    return 0 if server.started else NOT_STARTED


def token(args: argparse.Namespace) -> int:
    """Print a token, signed with the secret of the settings, or with that of debug mode."""
    settings = read_settings(args, debug=True)
    if settings is None:
        return 2
    try:
        text = Tokens(settings).make(args.sub, args.role, args.minutes * 60, args.username)
    except ValueError as exc:
        print(f"toolboxsio token: {exc}", file=sys.stderr)
        return 1
    if settings.has_debug_secret:
        hint = "SIO_JWT_SECRET is not set: signed with this machine's secret for debug mode"
        print(f"toolboxsio token: {hint}", file=sys.stderr)
    print(text)
    return 0


def nginx(args: argparse.Namespace) -> int:
    """Print the proxy's configuration for the settings in force."""
    settings = read_settings(args)
    if settings is None:
        return 2
    print(configuration(settings, args.listen, args.access_log), end="")
    return 0
