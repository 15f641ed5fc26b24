"""What a client has sent, given to a web server's protocol in pieces.

uvicorn parses all that a read has brought, up to 256 KB, before anybody else is served; of frames
or requests that are very small this takes it more than a second. Here the protocol gets as much as
it parses in a slice of the event loop's time, the rest in later turns, and reading is paused
meanwhile.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable, Sized
from types import GeneratorType
from typing import Any, Protocol, cast

from ._server_stop import protocol_of

__all__ = [
    "MIN_PIECE",
    "REQUEST_PIECE",
    "Account",
    "SlicedInput",
    "slice_input",
    "slice_requests",
    "slice_websocket",
]

#: Nanoseconds of one connection in an iteration of the event loop, as TBX_SLICE_NS of
#: csrc/conn/conn.h, and of all connections: see csrc/conn/pump.c.
SLICE_NS = 2_000_000
ITERATION_NS = SLICE_NS * 5 // 2
MIN_SHARE_NS = SLICE_NS // 20

#: Nanoseconds that are spent on what a client sends when its session is over: it may have sent
#: much before its CLOSE frame.
END_NS = 50_000_000

#: Bytes of a piece. The smallest frames of the smallest piece take about a slice to parse; those of
#: the largest are what may come where large ones are expected.
MIN_PIECE = 512
MAX_PIECE = 8 * 1024
#: The same of HTTP: a request, as a rule, and the most of one with many headers.
REQUEST_PIECE = 4 * 1024
MAX_REQUEST_PIECE = 16 * 1024
#: The largest where the protocol parses in a task of its own: each piece takes an iteration.
MAX_TASK_PIECE = 32 * 1024

#: Bytes that are held with TLS before reading pauses, as TBX_HELD_MAX of csrc/conn/conn.h: uvloop's
#: loses what it has when a client goes meanwhile. Without TLS reading pauses for any.
MAX_HELD = 64 * 1024

_EMPTY = memoryview(b"")

#: Takes the place of a protocol whose connection is gone.
_NOBODY = asyncio.Protocol()


class Spending(Protocol):
    """An account of time: of a session, which its connection has, or of a connection without."""

    def charge(self, ns: int, /) -> bool:
        """Account for nanoseconds; True: no more until ``SlicedInput.go_on()`` is called."""


class _Turns:
    """The queue of an event loop's accounts whose slice is spent. Mirrors: csrc/conn/pump.c."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # it is the key of this one
        self._waiting: deque[Account] = deque()
        self._is_due = False

    def share_ns(self) -> int:
        return min(SLICE_NS, max(MIN_SHARE_NS, ITERATION_NS // (len(self._waiting) + 1)))

    def wait(self, account: Account) -> None:
        self._waiting.append(account)
        if not self._is_due:
            self._schedule()

    def _schedule(self) -> None:
        loop = self._loop()
        self._is_due = loop is not None and not loop.is_closed()
        if loop is not None and self._is_due:
            loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Each that waits has its turn, or as many as the time allows."""
        end = time.monotonic_ns() + ITERATION_NS
        try:
            for _ in range(len(self._waiting)):
                self._waiting.popleft().take_turn()
                if time.monotonic_ns() >= end:
                    break
        finally:
            self._is_due = False
            if self._waiting:
                self._schedule()


_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = weakref.WeakKeyDictionary()


class Account:
    """The account of a connection that has no session."""

    __slots__ = ("_awaits_turn", "_go_on", "_spent", "_turns")

    def __init__(self, loop: asyncio.AbstractEventLoop, go_on: Callable[[], None]) -> None:
        turns = _turns.get(loop)
        if turns is None:
            turns = _turns[loop] = _Turns(loop)
        self._turns = turns
        self._go_on = go_on
        self._spent = 0
        self._awaits_turn = False

    def charge(self, ns: int, /) -> bool:
        self._spent += ns
        if not self._awaits_turn and self._spent >= self._turns.share_ns():
            self._awaits_turn = True
            self._turns.wait(self)
        return self._awaits_turn

    def take_turn(self) -> None:
        self._awaits_turn = False
        self._spent = 0
        self._go_on()


def _ignore(*_: Any) -> None:
    """What is written to a connection that is gone."""


class SlicedInput(asyncio.Protocol):
    """Stands between a transport and a protocol, and is each for the other.

    What was read is held until the protocol has it, which gets nothing while it has paused reading.
    The end of the input, and of the connection, reaches it after what was read before.
    """

    __slots__ = (
        *(
            "account",
            "backlog",
            "max_piece",
            "parses_later",
            "_began",
            "_drops_input",
            "_exc",
            "_has_eof",
        ),
        *("_held", "_is_giving", "_is_lost", "_is_paused", "_is_reading", "_is_tls", "_left_ns"),
        *("_loop", "_min_piece", "_protocol", "_size", "_transport"),
        *("is_closing", "pause_writing", "resume_writing", "write"),
    )

    def __init__(
        self,
        transport: Any,
        protocol: Any,
        min_piece: int = MIN_PIECE,
        max_piece: int = MAX_PIECE,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.account: Spending | None = None  # made when it is needed
        #: The protocol parses what it was given in the next iteration, not in data_received().
        self.parses_later = False
        #: HTTP: requests that wait for the answers to those before; there need not be more of them.
        self.backlog: Sized | None = None
        self._is_giving = False  # and the protocol may be parsing
        self._began = 0
        self._left_ns: int | None = None  # that may be spent; None: as many as it takes
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._is_reading = transport.is_reading()
        self._is_paused = not self._is_reading  # by the protocol
        self._drops_input = False
        self._has_eof = False  # the protocol is to be told of it, and that the connection
        self._is_lost = False  # is gone, with
        self._exc: Exception | None = None
        self._held = _EMPTY
        self._protocol: Any = None
        self._min_piece = min_piece
        self.set_protocol(protocol, min_piece, max_piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    # --- the transport's protocol ---

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._drops_input:
            return
        if self._held or self._is_giving or self._is_paused:
            self._held = memoryview(bytes(self._held) + data)
            self._regulate()
        elif len(data) <= self._min_piece and self._left_ns is None:
            self._protocol.data_received(data)
        elif len(data) <= self._size and self._left_ns is None and not self.parses_later:
            self._begin()  # one piece an iteration needs no turn
            self._protocol.data_received(data)
            self._fit_size()
        else:
            self._held = memoryview(data)
            self._give()

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        if not self._held and not self._is_giving and not self._is_paused:
            keeps_open: bool | None = self._protocol.eof_received()
            return keeps_open
        self._has_eof = True
        self._loop.call_soon(self.go_on)
        return not self._is_tls  # it cannot stay open

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_lost = True
        self._exc = exc
        self.write = _ignore  # uvloop's raises an exception from now on
        self._loop.call_soon(self.go_on) if self._held else self.go_on()

    # --- the protocol's transport ---

    def pause_reading(self) -> None:
        """Give the protocol no more."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Give the protocol what is held, and what comes."""
        self._is_paused = False
        self._go_on_soon()
        self._regulate()  # it was paused, maybe, before this stood between

    def give_more(self) -> None:
        """Give what is held when ``backlog`` has become empty, and reading was not paused."""
        if not self.backlog:
            self._go_on_soon()

    def is_reading(self) -> bool:
        """Whether the protocol gets input."""
        return not self._is_paused and not self.is_closing()

    def close(self) -> None:
        """Close the connection when all was written; what is held is dropped."""
        self._drop_input()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._drop_input()
        self._transport.abort()

    def get_protocol(self) -> Any:
        """The protocol that gets the input."""
        return self._protocol

    def set_protocol(
        self, protocol: Any, min_piece: int = MIN_PIECE, max_piece: int = MAX_PIECE
    ) -> None:
        """Let a protocol have what is read from now on, in pieces of so many bytes."""
        self._held = _EMPTY  # it has followed an upgrade: uvicorn drops it too
        self._protocol = protocol
        self.backlog = None
        self._size = self._min_piece = min_piece
        self.max_piece = max_piece
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    # --- what is held ---

    def release(self) -> tuple[Any, bytes]:
        """Leave the transport, which may be paused, and what is held to the caller."""
        held = bytes(self._held)
        self._drop_input()
        self._forget()
        return self._transport, held

    def end_session(self) -> None:
        """The session is over: what is parsed until the client has gone is bounded."""
        self.account = None
        self._left_ns = END_NS
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        if self._held or self._has_eof or self._is_lost:
            self._loop.call_soon(self.go_on)

    def go_on(self) -> None:
        """Give what is held. Where the protocol fails the connection ends, as with a transport."""
        if self._is_giving:
            return
        try:
            self._give()
        except Exception as exc:
            message = "Fatal error: protocol.data_received() call failed."
            more = {"exception": exc, "transport": self._transport, "protocol": self._protocol}
            self._loop.call_exception_handler({"message": message, **more})
            self.abort()

    def _give(self) -> None:
        while self._may_give():
            piece = bytes(self._held[: self._size])
            self._held = self._held[len(piece) :]
            self._is_giving = True
            self._loop.call_soon(self._begin) if self.parses_later else self._begin()
            try:
                self._protocol.data_received(piece)
            except BaseException:
                self._held = _EMPTY
                raise
            finally:  # the step of the task that parses comes between the two
                self._loop.call_soon(self._parsed) if self.parses_later else self._measure()
        if not self._held and not self._is_giving:
            self._tell_end()
        self._regulate()

    def _may_give(self) -> bool:
        if not self._held or self._is_giving:
            return False
        return not self._is_stopped() and not self._charge(0)

    def _is_stopped(self) -> bool:
        """Whether the protocol wants no more. One of a WebSocket that is gone still does when it
        has handled what it has; unless the connection was broken off, of which it is told."""
        if self._is_lost and (self._exc is not None or self.backlog is not None):
            return False
        return self._is_paused or bool(self.backlog)

    def _charge(self, ns: int) -> bool:
        if self.account is None:
            self.account = Account(self._loop, self.go_on)
        return self.account.charge(ns)

    def _begin(self) -> None:
        self._began = time.monotonic_ns()

    def _fit_size(self) -> int:
        """A piece was parsed: the next one is of a size that takes less than a slice.

        :return: the nanoseconds that it took.
        """
        ns = time.monotonic_ns() - self._began
        if ns > SLICE_NS // 2:
            self._size = max(self._size // 2, MIN_PIECE)
        elif ns < SLICE_NS // 8:
            self._size = min(self._size * 2, self.max_piece)
        return ns

    def _measure(self) -> None:
        self._is_giving = False
        ns = self._fit_size()
        if self._left_ns is not None:
            self._left_ns -= ns
            if self._left_ns < 0:
                self._drop_input()
        self._charge(ns)

    def _parsed(self) -> None:
        self._measure()
        self.go_on()

    def _drop_input(self) -> None:
        """The protocol gets no more."""
        self._drops_input = True
        self._held = _EMPTY
        if self._is_lost and self._protocol is not _NOBODY:
            self._loop.call_soon(self._tell_end)

    def _regulate(self) -> None:
        """Read what has a place to go to."""
        if self._protocol is _NOBODY or self.is_closing():
            return
        reads = not self._drops_input and len(self._held) <= (MAX_HELD if self._is_tls else 0)
        if reads is not self._is_reading:
            self._is_reading = reads
            self._transport.resume_reading() if reads else self._transport.pause_reading()

    def _tell_end(self) -> None:
        """The protocol has all that was read."""
        if self._is_paused and self._is_stopped() and not self._drops_input:
            return  # as with a transport that does not read
        protocol = self._protocol
        if self._has_eof:
            self._has_eof = False
            if not protocol.eof_received() and not self._is_lost:
                self._transport.close()
        if self._is_lost:
            self._forget()
            protocol.connection_lost(self._exc)
            _end_parser(protocol)

    def _forget(self) -> None:
        self._protocol = _NOBODY
        self.pause_writing = self.resume_writing = _ignore  # type: ignore[method-assign]
        self.account = None


def _end_parser(protocol: Any) -> None:
    """Release the last frame of a client that has gone, which may be as large as ``ws_max_size``.

    ``websockets.protocol.Protocol`` and its parser, a generator, have each other, and so have it
    and the exception of a frame that was refused, whose traceback has the parser's variables: they
    would stay until garbage is collected.
    """
    conn = getattr(protocol, "conn", None)
    parser, refusal = getattr(conn, "parser", None), getattr(conn, "parser_exc", None)
    if isinstance(parser, GeneratorType):
        parser.close()
    if isinstance(refusal, Exception):
        refusal.__traceback__ = None


def _is_known(transport: Any, reader: Any = None) -> bool:
    """Whether all calls that a protocol makes of its transport can be seen."""
    names = ("pause_reading", "resume_reading", "is_reading", "get_protocol", "set_protocol")
    if not all(hasattr(transport, name) for name in names):
        return False
    return reader is None or getattr(reader, "_transport", None) is transport


def slice_input(protocol: Any, account: Spending | None = None) -> SlicedInput | None:
    """Slice what one of uvicorn's WebSocket protocols gets; None: it is not as it is known.

    Mirrors: ``uvicorn.protocols.websockets``, whose protocols have a ``transport``; that of
    ``websockets_impl`` is one of ``websockets.legacy``, with an ``asyncio.StreamReader``.

    :param account: that of a session, whose turns call ``go_on()``.
    """
    transport: Any = getattr(protocol, "transport", None)
    reader = getattr(protocol, "reader", None)
    if not _is_known(transport, reader):
        return None
    sliced = transport
    if not isinstance(transport, SlicedInput):
        sliced = protocol.transport = SlicedInput(transport, protocol)

        def install() -> None:
            if transport.get_protocol() is protocol:
                transport.set_protocol(sliced)

        install()
        sliced._loop.call_soon(install)  # an eager task runs before uvicorn sets its protocol
    if reader is not None:
        reader._transport = sliced
        reader._limit = MIN_PIECE  # bytes that wait for its task, which parses them at once
        sliced.parses_later = True
        sliced.max_piece = MAX_TASK_PIECE
    if account is not None:
        sliced.account = account
    return cast(SlicedInput, sliced)


def slice_requests(protocol: Any) -> SlicedInput | None:
    """Slice what one of uvicorn's HTTP protocols gets; None: it is not as it is known.

    Mirrors: ``uvicorn.protocols.http``, where ``flow`` and the cycles of requests have the
    transport, too. Who calls it calls ``give_more()`` after each answer.
    """
    transport, flow = protocol.transport, protocol.flow
    if not _is_known(transport) or flow.__dict__.get("_transport") is not transport:
        return None
    pipeline = getattr(protocol, "pipeline", ())  # h11 has none
    sliced = SlicedInput(transport, protocol, REQUEST_PIECE, MAX_REQUEST_PIECE)
    sliced.backlog = pipeline
    protocol.transport = flow._transport = sliced
    for cycle in (protocol.cycle, *(waiting for waiting, _ in pipeline)):
        if cycle is not None:
            cycle.transport = sliced
    transport.set_protocol(sliced)
    return sliced


def slice_websocket(
    environ: dict[str, Any], account: Spending | None, may_leave: bool = False
) -> SlicedInput | None:
    """The same for the WebSocket of a session; None: it is not uvicorn's, or has no account.

    :param may_leave: the session may yet take its transport from uvicorn: then it is left.
    """
    protocol = protocol_of(environ) if account is not None else None
    if protocol is None or (may_leave and hasattr(protocol, "hand_over")):
        return None
    return slice_input(protocol, account)
