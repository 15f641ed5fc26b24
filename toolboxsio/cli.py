"""The command line: `toolboxsio serve | bench | doctor`."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import toolboxsio
from toolboxsio.doctor import doctor

SHUTDOWN_SECONDS = 5  # for the connected clients, which uvicorn would wait for without an end


def serve(args: argparse.Namespace) -> int:
    try:
        import uvicorn

        from toolboxsio.backend import Settings, create_app
        from toolboxsio.uvicorn import WebSocketProtocol
    except ModuleNotFoundError as exc:
        print(f"toolboxsio serve: {exc}: pip install 'toolboxsio[backend]'", file=sys.stderr)
        return 1
    given = {name: getattr(args, name) for name in ("host", "port")}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop=args.loop,
        ws=WebSocketProtocol,
        log_level=args.log_level,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return 0


def bench(args: argparse.Namespace) -> int:
    # The benchmarks are not installed: they are in the source checkout.
    if not Path("benchmarks", "__main__.py").is_file():
        print("toolboxsio bench: run it at the top of a source checkout", file=sys.stderr)
        return 1
    return subprocess.call([sys.executable, "-m", "benchmarks", *args.arguments])


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="toolboxsio", description=toolboxsio.__doc__)
    parser.add_argument("--version", action="version", version=toolboxsio.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="serve the ToolboxAI application")
    command.add_argument("--host", help="default: SIO_HOST, else 127.0.0.1")
    command.add_argument("--port", type=int, help="default: SIO_PORT, else 8008")
    command.add_argument("--loop", choices=("auto", "asyncio", "uvloop"), default="auto")
    command.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    command.set_defaults(run=serve)

    command = commands.add_parser("bench", help="run the benchmarks of a source checkout")
    command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    command.set_defaults(run=bench)

    command = commands.add_parser("doctor", help="say what this installation runs on; 1 if not C")
    command.set_defaults(run=lambda args: doctor())
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    code: int = args.run(args)
    return code
