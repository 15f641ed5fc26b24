"""The exceptions of this package."""

from engineio.exceptions import ContentTooLongError
from socketio.exceptions import DisconnectedError, TimeoutError


class ClientDisconnectedError(TimeoutError, DisconnectedError):  # type: ignore[misc]
    """Nobody is left to answer a ``call()``: the client has gone, or there is none of this id."""


class PacketError(ValueError):
    """A client sent what the server refuses; its session is over.

    ``code`` closes its WebSocket (RFC 6455, section 7.4), ``status`` answers its POST.
    """

    code = 1008
    status = "400 BAD REQUEST"


class TooBigError(PacketError, ContentTooLongError):  # type: ignore[misc]
    """It is larger than it may be."""

    code = 1009
    status = "413 CONTENT TOO LARGE"


class TooLateError(PacketError):
    """It was not whole in time."""

    status = "408 REQUEST TIMEOUT"


def text_of(exc: BaseException) -> str:
    """What an exception says, or, when that is nothing, its kind."""
    return str(exc) or type(exc).__name__
