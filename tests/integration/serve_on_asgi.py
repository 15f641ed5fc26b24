"""`toolboxsio serve` without its protocol class: every WebSocket goes through ASGI."""

import sys

from toolboxsio import cli
from toolboxsio.backend import commands

if __name__ == "__main__":
    commands.protocols = lambda: {"ws": "websockets-sansio"}  # type: ignore[attr-defined]
    sys.exit(cli.main())
