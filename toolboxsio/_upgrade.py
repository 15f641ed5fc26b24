"""How a session that polls comes to a WebSocket.

The client sends PING "probe", gets PONG "probe", and sends UPGRADE: then the WebSocket is the
session's transport, and what waited for a poll leaves through it. Until then the session polls, and
whatever goes wrong with the WebSocket, it goes on polling.
"""

from __future__ import annotations

import zlib
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from engineio.packet import NOOP, PING, PONG, UPGRADE

from .errors import PacketError, text_of
from .packet import EnginePacket

if TYPE_CHECKING:
    from ._requests import SessionRequests
    from .engine_socket import EngineSocket

__all__ = ["UPGRADE_FAILED", "Probe", "Upgrade", "UpgradeError"]

#: Characters of what a client has sent, in a line of the log.
_LONGEST_SAID = 100

UPGRADE_FAILED = "the upgrade has failed"

#: Frames: RFC 6455, section 5.2. Those of an upgrade are as short as control frames.
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_FIN, _RSV1, _MASKED, _LONGEST_FRAME = 0x80, 0x40, 0x80, 125

#: Control frames in an upgrade.
_MAX_CONTROL = 16

#: Seconds for a client to answer a CLOSE frame.
_CLOSE_SECONDS = 1.0


class UpgradeError(Exception):
    """The WebSocket of an upgrade is closed; its text says why."""


class Probe:
    """The steps of an upgrade."""

    __slots__ = ("_socket", "is_probed")

    def __init__(self, socket: EngineSocket) -> None:
        self._socket = socket
        self.is_probed = False
        socket.upgrading = True

    def receive(self, encoded: Any) -> str | None:
        """Handle a packet: the answer to it; None: the upgrade is complete.

        :raises UpgradeError: when it is another one than is expected.
        :raises PacketError: when it is none.
        """
        socket = self._socket
        server = socket.server
        try:
            packet = server.packet_class(encoded_packet=encoded)
        except PacketError:
            raise
        except ValueError as exc:
            raise PacketError(text_of(exc)) from exc
        if self.is_probed:
            if packet.packet_type == UPGRADE:
                return None
            said = repr(encoded)[:_LONGEST_SAID]
            text = "%s: Failed websocket upgrade, expected UPGRADE packet, received %s instead."
            server.logger.info(text, socket.sid, said)
            raise UpgradeError(UPGRADE_FAILED)
        if packet.packet_type != PING or packet.data != "probe":
            server.logger.info("%s: Failed websocket upgrade, no PING packet", socket.sid)
            raise UpgradeError(UPGRADE_FAILED)
        self.is_probed = True
        return str(EnginePacket(PONG, data="probe").encode())

    def end_poll(self) -> None:
        """The answer has been sent: the poll that waits has to end."""
        if self._socket.polls or not self._socket._options.strict:
            self._socket.conn.send(EnginePacket(NOOP).encode())

    def late(self) -> UpgradeError:
        """The client has not come to the end of it in time."""
        socket = self._socket
        seconds = socket.server.upgrade_timeout
        socket.server.logger.info("%s: Failed websocket upgrade, timeout", socket.sid)
        return UpgradeError(
            f"the upgrade was not complete in {seconds:g} s, which is upgrade_timeout"
        )


async def _refuse(socket: EngineSocket, exc: PacketError) -> None:
    await socket.refuse(exc)
    socket.server._forget_closed(socket.sid)


class Upgrade:
    """The WebSocket of an upgrade that has not passed ASGI, until the session takes its transport.

    Its frames are read here: they are few and short. :class:`toolboxsio._requests.SessionRequests`
    hands them over.
    """

    keep_alive = True  # of the connection, as of other requests

    def __init__(self, protocol: SessionRequests, socket: EngineSocket, extensions: Any) -> None:
        self._protocol: SessionRequests | None = protocol
        self._socket: EngineSocket | None = socket  # None: it has failed
        self._extensions = extensions
        _, _, may_inflate, self._keeps = extensions
        self._may_inflate = bool(may_inflate)
        self._inflate: Any = None
        self._read = b""
        self._n_control = 0
        self._probe = Probe(socket)
        socket.upgrade = self
        seconds = socket.server.upgrade_timeout
        self._late = protocol.loop.call_later(seconds, self._fail_late) if seconds else None

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._socket is None:  # it has failed: the answer to our CLOSE is awaited
            if data[0] == _FIN | _CLOSE and len(data) <= _LONGEST_FRAME + 6:
                self._close()
            return
        self._read += data
        while self._socket is not None and (frame := self._take_frame()) is not None:
            self._receive(*frame)

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The first byte and the payload of the frame that was read; None: it is not whole."""
        data = self._read
        if len(data) < 2:
            return None
        size = data[1] & ~_MASKED
        has_deflate = data[0] & _RSV1 and self._may_inflate and not data[0] & _CLOSE
        is_valid = data[1] & _MASKED and not data[0] & ~(_FIN | 15 | (_RSV1 if has_deflate else 0))
        if not is_valid:
            self._fail(1002, "")
            return None
        if size > _LONGEST_FRAME or not data[0] & _FIN:
            self._fail(1008, UPGRADE_FAILED)
            return None
        if len(data) < size + 6:
            return None
        key, payload = data[2:6] * (size // 4 + 1), data[6 : size + 6]
        mask = int.from_bytes(key[:size], "big")
        self._read = data[size + 6 :]
        return data[0], (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")

    def _receive(self, first: int, payload: bytes) -> None:
        opcode = first & 15
        if opcode == _CLOSE:
            self._send(_CLOSE, payload[:2] if len(payload) > 1 else b"")
            self._close()
        elif opcode in (_PING, _PONG):
            self._n_control += 1
            if self._n_control > _MAX_CONTROL:
                self._fail(1008, UPGRADE_FAILED)
            elif opcode == _PING:
                self._send(_PONG, payload)
        elif opcode not in (_TEXT, _BINARY):
            self._fail(1002, "")
        else:
            try:
                data = self._inflated(payload) if first & _RSV1 else payload
                self._step(data.decode() if opcode == _TEXT else data)
            except UpgradeError as exc:
                self._fail(1008, str(exc))
            except PacketError as exc:
                self._refuse(exc)
            except UnicodeDecodeError:
                self._fail(1007, "")
            except zlib.error:
                self._fail(1002, "")

    def _inflated(self, payload: bytes) -> bytes:
        if self._inflate is None or not self._keeps:
            self._inflate = zlib.decompressobj(-15)
        data: bytes = self._inflate.decompress(payload + b"\0\0\xff\xff", _LONGEST_FRAME)
        if self._inflate.unconsumed_tail:
            raise UpgradeError(UPGRADE_FAILED)
        return data

    def _step(self, encoded: Any) -> None:
        """A packet of the upgrade."""
        socket, protocol = self._socket, self._protocol
        assert socket is not None
        assert protocol is not None
        if socket.closing or socket.closed:
            raise UpgradeError(UPGRADE_FAILED)
        answer = self._probe.receive(encoded)
        if answer is not None:
            self._send(_TEXT, answer.encode())
            self._probe.end_poll()
            return
        if protocol.transport.is_closing():
            return
        self._end()
        self._protocol = None
        _, bits, may_inflate, keeps = self._extensions
        inflate = self._inflate if keeps else None
        context = copy_context()
        protocol.hand_over(socket.conn, context, (bits, may_inflate, inflate, keeps), self._read)
        socket.is_upgraded()
        protocol.loop.call_soon(socket.conn.go_on)

    def _end(self) -> None:
        """The session is not being upgraded any more."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self._socket is not None:
            self._socket.upgrading = False
            self._socket.upgrade = None
            self._socket = None

    def _refuse(self, exc: PacketError) -> None:
        """The client has sent what is no packet: its session ends."""
        socket = self._socket
        assert socket is not None
        self._fail(exc.code, str(exc))
        socket.server.hub().start(_refuse(socket, exc), copy_context())

    def _fail_late(self) -> None:
        self._late = None
        self._fail(1008, str(self._probe.late()))

    def session_over(self) -> None:
        """There is nothing to be upgraded."""
        self._fail(1008, UPGRADE_FAILED)

    def _fail(self, code: int, reason: str) -> None:
        """The WebSocket is closed, the session polls."""
        if self._socket is None:
            return
        self._end()
        payload = reason.encode()[: _LONGEST_FRAME - 2].decode(errors="ignore").encode()
        self._send(_CLOSE, code.to_bytes(2, "big") + payload)
        self._read = b""
        if self._protocol is not None:
            self._late = self._protocol.loop.call_later(_CLOSE_SECONDS, self._close)

    def _close(self) -> None:
        """The client has closed the WebSocket, or has had its time for that."""
        protocol = self._protocol
        if protocol is not None:
            protocol.transport.close()
            protocol.loop.call_later(_CLOSE_SECONDS, protocol.transport.abort)  # it may not read
        self.leave()

    def _send(self, opcode: int, payload: bytes) -> None:
        protocol = self._protocol
        if protocol is not None and not protocol.transport.is_closing():
            protocol.transport.write(bytes([_FIN | opcode, len(payload)]) + payload)

    def shutdown(self) -> None:
        """The web server stops."""
        self._fail(1012, "")

    def leave(self) -> None:
        """The client has gone."""
        self._end()
        self._protocol = None
