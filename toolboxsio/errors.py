"""The exception of this package."""


class PacketError(ValueError):
    """A client sent a packet that the server refuses; its connection is closed."""
