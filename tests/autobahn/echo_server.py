"""Every message of a WebSocket back to its client, through ``toolboxsio._core.Connection``.

What the Autobahn|Testsuite talks to; see README.md. The handshake is uvicorn's, its transport is
taken as ``toolboxsio.engine.EngineSocket._take_transport`` takes it, and in the place of an
``EngineSocket`` stands an :class:`Echo`.
"""

from __future__ import annotations

import argparse
import asyncio
from contextvars import copy_context
from typing import Any

import uvicorn

import toolboxsio
from toolboxsio.uvicorn import OFFER, WebSocketProtocol

MAX_SIZE = 32 * 1024 * 1024  # the largest message of the suite has 16 MiB

sio = toolboxsio.AsyncServer(
    async_mode="asgi",
    max_http_buffer_size=MAX_SIZE,
    max_fragments=MAX_SIZE,  # cases 9.3 and 9.4 have 65,536 of them
    max_backlog=2 * MAX_SIZE,
    compression_threshold=0,
    connect_timeout=0,
    message_timeout=0,
)


class Echo:
    """What a Connection calls of an ``EngineSocket``."""

    def __init__(self) -> None:
        self.conn = sio.eio.hub().connection(self, "echo")
        self.conn.stock = False  # each message comes to _receive_lane, whatever it holds

    async def _receive_lane(self, encoded: str | bytes) -> None:
        self.conn.send(encoded)

    async def _connection_over(self) -> None:
        self.conn.release()

    def _deadline(self, kind: int) -> None:
        """Nothing is late: there is no session."""

    def _backlog(self, waiting: int, is_over: bool) -> None:
        print(f"dropped a client: {waiting} bytes wait for it", flush=True)
        asyncio.get_running_loop().call_soon(self.conn.abort)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept, and let an Echo have the transport."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    conn = Echo().conn
    if scope["extensions"][OFFER].hand_over(conn, copy_context()):
        asyncio.get_running_loop().call_soon(conn.go_on)
    else:
        print("the transport is not to be had", flush=True)  # the client has left already
        conn.release()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The echo server for the Autobahn|Testsuite.")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    args = parser.parse_args()
    uvicorn.run(
        app,
        port=args.port,
        loop=args.loop,
        ws=WebSocketProtocol,
        ws_max_size=MAX_SIZE,
        lifespan="off",
        log_level="warning",
    )


if __name__ == "__main__":
    main()
