"""The command line: `toolboxsio run | serve | token | nginx | bench | doctor`."""

import argparse
import ctypes
import os
import re
import signal
import sys
from collections.abc import Sequence

import toolboxsio
from toolboxsio import _run
from toolboxsio.bench.command import add_arguments as add_bench_arguments
from toolboxsio.doctor import doctor

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Let this process get SIGTERM when its supervisor is gone, however it went (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it has gone already
        raise SystemExit(3)


def backend(args: argparse.Namespace) -> int:
    """Run a command of the application, which needs the extra `backend`."""
    if getattr(args, "parent", None) is not None:
        end_with(args.parent)
    try:
        from toolboxsio.backend import commands
    except ModuleNotFoundError as exc:
        print(f"toolboxsio {args.name}: {exc}: pip install 'toolboxsio[backend]'", file=sys.stderr)
        return 1
    code: int = getattr(commands, args.name)(args)
    return code


def bench(args: argparse.Namespace) -> int:
    from toolboxsio.bench import command

    return command.main(args)


def serve_with_uvicorn(arguments: Sequence[str]) -> int:
    """Run uvicorn's command line, which ends the process; 1: there is no uvicorn."""
    try:
        command = _run.command()
    except ImportError as exc:
        print(f"toolboxsio run: {exc}", file=sys.stderr)
        return 1
    code: int = command.main(list(arguments), prog_name="toolboxsio run")
    return code


def listen_address(text: str) -> str:
    """What `listen` of nginx takes, as far as it is an address."""
    if re.fullmatch(r"unix:/[^\s;{}]+", text):
        return text
    address = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.*-]+):)?([0-9]{1,5})", text)
    if address is None or not 0 < int(address[2]) < 65536:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port, host:port, [IPv6 address]:port or unix:path"
        )
    return text


def add_settings(command: argparse.ArgumentParser) -> None:
    """The settings that are options, too."""
    command.add_argument("--host", help="default: SIO_HOST, else 127.0.0.1")
    command.add_argument("--port", type=int, help="default: SIO_PORT, else 8008")
    command.add_argument("--debug", action="store_true", help="as SIO_DEBUG=true: for development")
    command.add_argument("--workers", type=int, help="default: SIO_WORKERS, else 1")
    command.add_argument("--redis", metavar="URL", help="default: SIO_REDIS_URL")


def build_parser() -> argparse.ArgumentParser:
    text = "A drop-in python-socketio server in C: what comes with it."
    parser = argparse.ArgumentParser(prog="toolboxsio", description=text)
    parser.add_argument("--version", action="version", version=toolboxsio.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    # only for the list of commands: main() leaves its arguments to uvicorn
    commands.add_parser("run", help="serve an application with uvicorn, on the direct path")

    command = commands.add_parser("serve", help="serve the ToolboxAI application")
    add_settings(command)
    command.add_argument("--loop", choices=("auto", "asyncio", "uvloop"), default="auto")
    command.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    command.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    command.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    command.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    command.set_defaults(run=backend, name="serve")

    command = commands.add_parser("token", help="print a token to connect with")
    command.add_argument("--sub", required=True, help="whose token it is")
    command.add_argument("--role", choices=("student", "teacher", "admin"), default="student")
    command.add_argument("--username", help="default: the same as --sub")
    command.add_argument("--minutes", type=float, default=60, help="default: 60")
    command.set_defaults(run=backend, name="token")

    command = commands.add_parser("nginx", help="print the configuration of a reverse proxy")
    add_settings(command)
    command.add_argument(
        "--listen",
        type=listen_address,
        default="80",
        help="port, host:port, [IPv6 address]:port or unix:path; default: 80",
    )
    command.add_argument(
        "--access-log",
        metavar="PATH",
        default="/var/log/nginx/access.log",
        help="default: /var/log/nginx/access.log",
    )
    command.set_defaults(run=backend, name="nginx")

    command = commands.add_parser("bench", help="measure it beside python-socketio, in two minutes")
    add_bench_arguments(command)
    command.set_defaults(run=bench)

    command = commands.add_parser("doctor", help="say what this installation runs on; 1 if not C")
    command.set_defaults(run=lambda args: doctor())
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["run"]:
        return serve_with_uvicorn(arguments[1:])
    args = build_parser().parse_args(arguments)
    code: int = args.run(args)
    return code
