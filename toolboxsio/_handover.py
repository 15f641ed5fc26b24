"""How a Socket.IO connection takes the transport of one of uvicorn's protocols."""

from __future__ import annotations

import asyncio
from asyncio.trsock import TransportSocket
from contextvars import Context
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY
from typing import Any

from ._sliced_input import SlicedInput

__all__ = ["OFFER", "UvicornServer", "hand_over"]

#: The key in the extensions of the ASGI scope.
OFFER = "toolboxsio.direct"


class UvicornServer:
    """What the connections of one uvicorn server leave when they are over."""

    __slots__ = ("connections", "tasks")

    def __init__(self, connections: set[Any], tasks: set[Any]) -> None:
        self.connections = connections
        self.tasks = tasks

    def left(self, connection: Any) -> None:
        """A connection is lost."""
        self.connections.discard(connection)


def _shared_of(server_state: Any) -> UvicornServer:
    """The one of a uvicorn server."""
    try:
        shared: UvicornServer = server_state.toolboxsio
    except AttributeError:
        shared = UvicornServer(server_state.connections, server_state.tasks)
        server_state.toolboxsio = shared
    return shared


#: uvloop's transports keep a method of the last protocol that was not a buffered one.
_FORGETFUL = asyncio.Protocol()


def hand_over(
    protocol: Any,
    connection: Any,
    context: Context,
    extensions: tuple[Any, ...],
    *,
    is_paused: bool,
) -> tuple[Any, bytes]:
    """Let a connection have the transport of one of uvicorn's protocols.

    :return: the transport, whose reading may be paused, and what was read and the protocol has not.

    :param extensions: what ``Connection.attach()`` is told of them: the bits of our window,
        whether messages may be compressed, the client's decompressor, whether it keeps its window.
    :param is_paused: the transport has paused writing.
    """
    transport, shared, sent = protocol.transport, _shared_of(protocol.server_state), b""
    if isinstance(transport, SlicedInput):
        transport, sent = transport.release()
    max_size = protocol.config.ws_max_size
    connection.attach(transport, context, shared, max_size, *extensions)
    sock = transport.get_extra_info("socket")
    if isinstance(sock, TransportSocket) and sock.family in (AF_INET, AF_INET6):
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # asyncio does it for sockets of its own
    shared.connections.discard(protocol)
    shared.connections.add(connection)
    transport.set_protocol(_FORGETFUL)
    transport.set_protocol(connection)
    if is_paused:
        connection.pause_writing()
    return transport, sent
