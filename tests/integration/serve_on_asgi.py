"""`toolboxsio serve` without its protocol class: every WebSocket goes through ASGI."""

import sys

from toolboxsio import cli
from toolboxsio.backend import commands

if __name__ == "__main__":
    commands.WebSocketProtocol = "websockets-sansio"  # type: ignore[assignment, misc]
    sys.exit(cli.main())
