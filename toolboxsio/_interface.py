"""What C calls of this package's Python: the classes that its objects have to be like.

The same calls stand in csrc/py/interface.h, which names their arguments; toolboxsio/_core.pyi says
where the objects are given. They are called on the thread of the hub's event loop, in the middle of
a read, a write or an emit for another client: they may log, and schedule what they have to do, but
not call an application's handlers. An exception of one that returns None is printed
(``sys.unraisablehook``).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from ._core import Connection, Hub
    from ._handover import UvicornServer
    from .engine_socket import EngineSocket
    from .packet import OwnJSON
    from .server import AsyncServer

__all__ = [
    "Acknowledge",
    "HandlePacket",
    "JSONInterface",
    "MakePlan",
    "Plan",
    "PostInterface",
    "Report",
    "SessionInterface",
    "WebServerInterface",
]

#: See toolboxsio/plan.py: (reasons why events are not dispatched in C, ``Acknowledge``, ``Report``,
#: what dispatching needs or None, reasons why emits do not leave from C, what they need or None,
#: whether bytes become attachments).
Plan: TypeAlias = tuple[
    tuple[str, ...],
    "Acknowledge",
    "Report",
    tuple[Any, ...] | None,
    tuple[str, ...],
    tuple[Any, ...] | None,
    bool,
]


class SessionInterface(Protocol):
    """A session: :class:`toolboxsio.engine_socket.EngineSocket`, given to ``Hub.connection``.

    What C does by itself, without a call: PINGs of a direct connection, closing a direct WebSocket
    whose time is over, and dropping the output of one that lets too much wait.
    """

    #: Its connection; None where the session is python-engineio's alone. An emit reads it of each
    #: recipient; it may be one of another event loop.
    conn: Connection | None

    def _deadline(self, kind: int) -> None:
        """A deadline has passed, in a callback of the hub's timer.

        It is not set again: who wants that calls ``Connection.expect``.

        :param kind: one of the ``DUE_…`` of toolboxsio/engine_socket.py.
        """

    def _backlog(self, waiting: int, is_over: bool) -> None:
        """More than ``max_backlog`` waits for the client; in the middle of an emit or a write.

        Once while the client lags behind, and once more when the session is to end. When it
        raises it is called again with the next output.

        :param waiting: bytes.
        :param is_over: what waits is dropped and nothing is put any more: the session has to end.
            Otherwise slow clients are kept, and it may be decided to call ``Connection.give_up``.
        """

    def _receive_lane(self, encoded: str | bytes) -> Coroutine[Any, Any, None]:
        """A message that is not handled in C: a packet as python-engineio encodes it.

        The coroutine runs in a task, in the context of the connection,
        its first step at once; the client's next message waits for its end. It may run handlers.
        """

    def _resume_reading(self) -> None:
        """The client's next message may be read; its input was held. ASGI."""

    def _interrupt(self, at_once: bool = False) -> None:
        """The session was aborted: who waits for the client's messages has to end. ASGI.

        :param at_once: always true: nothing more is sent.
        """

    def _drain_soon(self, sockets: list[Any]) -> None:
        """Messages wait for clients of ASGI servers, in ``Connection.next_message``.

        :param sockets: all sessions of which that is so; the first of them is called. None of them
            sends just now.
        """

    def _output_ready(self) -> None:
        """Messages wait, in ``Connection.take_messages``, which has told before that there were
        none. Polling."""

    def _broken(self, code: int, text: str) -> None:
        """The client has broken the WebSocket protocol, or a limit of it; its connection closes.

        :param code: of the CLOSE frame.
        :param text: its reason, or an empty text.
        """

    def _server_stops(self) -> None:
        """The web server has called ``Connection.shutdown``: it wants its connections to end.

        When it raises, the connection is closed with code 1012.
        """

    def _connection_over(self) -> Coroutine[Any, Any, None]:
        """The WebSocket is closed, and what the client had sent is handled; once, direct alone.

        The coroutine runs as that of :meth:`_receive_lane`, and may run handlers. It has to call
        ``Connection.release``.
        """


class PostInterface(Protocol):
    """A POST: :class:`toolboxsio._polling.Post`, for ``Connection.post``."""

    def done(self) -> None:
        """All of its packets were handled, or the session is over. Once, perhaps before ``post``
        has returned."""


class WebServerInterface(Protocol):
    """A uvicorn server: :class:`toolboxsio._handover.UvicornServer`, for ``Connection.attach``."""

    def left(self, connection: Connection) -> None:
        """A connection is lost. Its session may still be at work, in a task."""


class JSONInterface(Protocol):
    """An application's JSON: :class:`toolboxsio.packet.OwnJSON`, given by ``MakePlan``.

    Both run the application's code. Exceptions are those of the packet: of an event that cannot be
    read, an answer or an emit that cannot be written.
    """

    def dumps(self, value: Any, /) -> str:
        """The text of an event or an acknowledgement, a list."""

    def loads(self, text: str, /) -> Any:
        """The value of an event's text."""


class MakePlan(Protocol):
    """What a hub was made with: :func:`toolboxsio.plan.make_plan` of a server."""

    def __call__(self, hub: Hub, /) -> Plan:
        """What may be done in C; called first, and when what ``Hub.watch`` was told has changed.

        It may run the application's ``__getattr__``. When it raises, nothing is done in C until the
        next call.
        """


class Acknowledge(Protocol):
    """``AsyncServer._acknowledge``, given by ``MakePlan``."""

    def __call__(
        self, eio_sid: str, namespace: str, id: int, answer: Any, /
    ) -> Coroutine[Any, Any, None]:
        """Send the answer of a handler that C may not send, in the handler's task.

        It raises what encoding or sending raises.

        :param id: of the event.
        :param answer: what the handler has returned.
        """


class HandlePacket(Protocol):
    """What becomes of a packet that is no event: a method of the server, given by ``MakePlan``."""

    def __call__(
        self,
        session: Any,
        packet_type: int,
        namespace: str | None,
        id: int | None,
        data: Any,
        /,
    ) -> Coroutine[Any, Any, None]:
        """Handle a CONNECT, DISCONNECT, ACK or BINARY_ACK that C has read.

        The coroutine runs as that of ``SessionInterface._receive_lane``; through ASGI who reads
        awaits it. It raises nothing.
        """


class Report(Protocol):
    """:func:`toolboxsio._failures.report` of a server, given by ``MakePlan``."""

    def __call__(
        self,
        exc: BaseException,
        what: int,
        event: str | None,
        namespace: str | None,
        sid: Any,
        is_own_task: bool,
        /,
    ) -> None:
        """Log an exception; within the task that it ends, or where a task could not be started.

        :param what: one of the ``FAILED_…`` of toolboxsio/_failures.py.
        :param event: None: what failed is the start of a task without a handler; then ``namespace``
            and ``sid`` are None, too.
        :param is_own_task: the current task is the handler's, and ends with the exception.
        """


if TYPE_CHECKING:

    def _fit(
        session: EngineSocket, web_server: UvicornServer, json: OwnJSON, server: AsyncServer
    ) -> tuple[SessionInterface, WebServerInterface, JSONInterface, Acknowledge, HandlePacket]:
        return session, web_server, json, server._acknowledge, server._handle_packet
