"""Joining a namespace and leaving it, with nothing left in the tables of who is gone.

python-socketio forgets a client after its handlers: one that raises, or whose client goes
meanwhile, leaves the client's rooms, callbacks and environ behind for good. Here all of them are
let go, and a client that was welcomed is told to the disconnect handler, once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextlib import suppress
from types import CoroutineType
from typing import Any

from engineio.async_socket import AsyncSocket
from engineio.exceptions import SocketIsClosedError
from socketio.async_namespace import AsyncNamespace as _UpstreamNamespace
from socketio.async_server import AsyncServer as _UpstreamServer
from socketio.exceptions import ConnectionRefusedError as _Refused
from socketio.packet import CONNECT, CONNECT_ERROR, DISCONNECT

from ._failures import FAILED_HANDLER, is_failure, report
from ._load import core
from ._loops import hub_elsewhere
from ._signatures import is_arity_error, takes
from .engine import EngineServer
from .engine_socket import DUE_CONNECT, EngineSocket
from .errors import PacketError
from .manager import AsyncManager

_Connection: Any = core.Connection if core is not None else ()
_trigger_in_namespace = _UpstreamNamespace.trigger_event
_trigger_in_server = _UpstreamServer._trigger_event

__all__ = ["HandlerRun", "JoiningServer"]

_FAILED: tuple[Any, ...] = ()  # of a connect handler


#: Events that connections cause.
_CONNECTIONS = ("connect", "disconnect")


class HandlerRun:
    """A handler is at work, for a session when one is given: the end of the server waits for it."""

    __slots__ = ("_conn", "_size", "_task", "_tasks")

    def __init__(self, sio: Any, eio_sid: str | None = None) -> None:
        conn = getattr(sio.eio.sockets.get(eio_sid), "conn", None) if eio_sid else None
        self._conn = conn if isinstance(conn, _Connection) else None
        self._tasks = sio.handler_tasks
        task = asyncio.current_task()
        self._task = None if task in self._tasks else task

    def __enter__(self) -> None:
        self._size = 0 if self._conn is None else self._conn.begin()
        if self._task is not None:
            self._tasks.add(self._task)

    def __exit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._tasks.discard(self._task)
        if self._conn is not None:
            self._conn.done(self._size)


class JoiningServer(_UpstreamServer):  # type: ignore[misc]
    """The part of :class:`toolboxsio.AsyncServer` that lets clients come and go."""

    strict: bool
    max_namespaces: int

    async def _handle_packet(
        self, socket: EngineSocket, packet_type: int, namespace: str | None, id: Any, data: Any
    ) -> None:
        """Do what a CONNECT, DISCONNECT or ACK of a client asks for, which C has read.

        Mirrors: ``socketio.async_server.AsyncServer._handle_eio_message``.
        """
        try:
            if packet_type == CONNECT:
                await self._handle_connect(socket.sid, namespace, data)
            elif packet_type == DISCONNECT:
                reason = self.reason.CLIENT_DISCONNECT
                await self._handle_disconnect(socket.sid, namespace, reason)
            else:
                await self._handle_ack(socket.sid, namespace, id, data)
        except BaseException as exc:
            await socket.until_received(self.eio.run_handler(socket.sid, _raise(exc)))
            return
        if not socket.received():
            await asyncio.sleep(0)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        """Let a client join a namespace.

        Mirrors: ``socketio.async_server.AsyncServer._handle_connect``.

        :raises PacketError: when it is in too many.
        """
        namespace = namespace or "/"
        eio, manager = self.eio, self.manager
        socket = eio.sockets.get(eio_sid)
        if getattr(eio, "stopping", False) is True:
            return
        if socket is None and isinstance(eio, EngineServer):
            return  # ended a second time while handlers are told of the first: it would never leave
        sid = None
        if self._is_known(namespace):
            if not self._may_ask(eio_sid, namespace, socket):
                return
            sid = await manager.pre_connect(eio_sid, namespace)
        elif self.strict:
            reason = {"message": "Invalid namespace"}
            packet = self.packet_class(CONNECT_ERROR, data=reason, namespace=namespace)
            await self._send_packet(eio_sid, packet)
            return
        if sid is None:
            await self._answer(eio_sid, CONNECT_ERROR, namespace, "Unable to connect")
            return
        try:
            if self.always_connect:
                await self._welcome(eio_sid, sid, namespace)
            refusal = await self._ask(eio_sid, sid, namespace, data)
            if manager.sid_from_eio_sid(eio_sid, namespace) != sid:
                return  # its own handler has disconnected it
            if refusal is None and not self.always_connect:
                await self._welcome(eio_sid, sid, namespace)
        except BaseException:
            await manager.disconnect(sid, namespace, ignore_queue=True)
            raise
        if refusal is _FAILED:
            await manager.disconnect(sid, namespace, ignore_queue=True)
            return
        if refusal is not None:
            kind = DISCONNECT if self.always_connect else CONNECT_ERROR
            try:
                if self.always_connect and manager.is_connected(sid, namespace):
                    manager.pre_disconnect(sid, namespace)
                await self._answer(eio_sid, kind, namespace, refusal[0])
            finally:
                await manager.disconnect(sid, namespace, ignore_queue=True)
            return
        if isinstance(socket, AsyncSocket) and (socket.closing or socket.closed):  # gone meanwhile
            await self._handle_disconnect(eio_sid, namespace, self.reason.TRANSPORT_CLOSE)
        elif isinstance(socket, EngineSocket) and socket.conn is not None:
            socket.conn.relax(DUE_CONNECT)

    def _may_ask(self, eio_sid: str, namespace: str, socket: Any) -> bool:
        """Whether a client's wish to join a namespace is answered.

        :raises PacketError: when it is in too many.
        """
        manager, most = self.manager, self.max_namespaces
        joined = self._namespaces_of(eio_sid)
        if self.strict and namespace in joined:
            sid = manager.sid_from_eio_sid(eio_sid, namespace)
            if sid and sid not in manager.pending_disconnect.get(namespace, ()):
                return False  # the official client may ask twice before it has the answer
        if len(joined) >= most and namespace not in joined and isinstance(manager, AsyncManager):
            raise PacketError(f"{most + 1} namespaces, max_namespaces is {most}")
        if self.strict and isinstance(socket, EngineSocket):
            socket.ask_for(namespace, joined, 4 * most)
        return True

    def _is_known(self, namespace: str) -> bool:
        """Whether clients may ask for a namespace."""
        return (
            namespace in self.handlers
            or namespace in self.namespace_handlers
            or self.namespaces == "*"
            or namespace in self.namespaces
        )

    async def _welcome(self, eio_sid: str, sid: str, namespace: str) -> None:
        await self._answer(eio_sid, CONNECT, namespace, {"sid": sid})
        await self.manager.connect(sid, namespace)

    async def _answer(self, eio_sid: str, kind: int, namespace: str, data: Any) -> None:
        conn: Any = getattr(self.eio.sockets.get(eio_sid), "conn", None)
        is_ours = isinstance(conn, _Connection)
        if is_ours and kind == CONNECT and conn.send_sid(namespace, data["sid"]):
            return
        packet = self.packet_class(kind, data, namespace)
        if is_ours and conn.sends:
            conn.send("4" + packet.encode())
            return
        with suppress(SocketIsClosedError):
            await self._send_packet(eio_sid, packet)

    async def _ask(
        self, eio_sid: str, sid: str, namespace: str, data: Any
    ) -> tuple[Any, ...] | None:
        """Call the connect handler; (what the client is told,) when it does not want the client."""
        args = (sid, self.environ[eio_sid], data or None)
        try:
            with HandlerRun(self, eio_sid):
                try:
                    answer = await self._trigger_event("connect", namespace, *args)
                except TypeError as exc:
                    answer = await self._ask_again(exc, namespace, args)
        except _Refused as exc:
            return (exc.error_args,)
        except ConnectionRefusedError:
            return ({"message": "Connection refused by server"},)
        except BaseException as exc:
            if not is_failure(exc, is_own_task=False):
                raise
            report(self, exc, FAILED_HANDLER, "connect", namespace, sid)
            return _FAILED
        return (_Refused().error_args,) if answer is False else None

    async def _ask_again(self, exc: TypeError, namespace: str, args: tuple[Any, ...]) -> Any:
        """Call the connect handler without ``auth``, when there is none and that was too much."""
        handler, given, _ = self._find_handler("connect", namespace, args)
        n = len(given)
        is_told = args[2] or handler is None or takes(handler, n) == n
        if is_told or not is_arity_error(exc, handler, n):
            raise exc
        try:
            return await self._trigger_event("connect", namespace, *args[:2])
        except TypeError as second:
            raise (exc if is_arity_error(second, handler, n - 1) else second) from None

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        """Call the handler of an event, and wait for what it returns as long as that can be
        awaited.

        Mirrors: ``socketio.async_server.AsyncServer._trigger_event``; a disconnect handler that
        takes no reason gets none, a connect handler no ``auth`` of None, and none is called twice.
        """
        if event not in _CONNECTIONS or _UpstreamServer._trigger_event is not _trigger_in_server:
            return await _awaited(await super()._trigger_event(event, namespace, *args))
        handler, given, trigger = self._find_handler(event, namespace, args)
        if handler is None:
            return self.not_handled if trigger is None else await trigger(event, *given)
        n: int | None = len(given)
        if event == "disconnect" or given[-1] is None:
            n = takes(handler, len(given))
        try:
            return await _awaited(handler(*given[:n]))
        except TypeError as exc:
            is_told = n is not None or event == "connect"
            if is_told or not is_arity_error(exc, handler, len(given)):
                raise
        return await _awaited(handler(*given[:-1]))

    def _find_handler(
        self, event: str, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...], Any]:
        """What handles a connect or disconnect event, and its arguments; None: nothing does, or
        something of which nothing is known but its ``trigger_event``, the third."""
        handler, given = self._get_event_handler(event, namespace, args)
        if handler is not None:
            return handler, given, None
        owner, given = self._get_namespace_handler(namespace, args)
        trigger = getattr(owner, "trigger_event", None)
        is_stock = getattr(trigger, "__func__", None) is _trigger_in_namespace
        return getattr(owner, f"on_{event}", None) if is_stock else None, given, trigger

    @functools.cached_property
    def handler_tasks(self) -> set[asyncio.Task[Any]]:
        """The tasks in which handlers are at work, but those that C has started."""
        return set()

    async def _handle_disconnect(
        self, eio_sid: str, namespace: str | None, reason: str | None = None
    ) -> None:
        """Let a client leave a namespace.

        Mirrors: ``socketio.async_server.AsyncServer._handle_disconnect``.
        """
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if not self.manager.is_connected(sid, namespace):
            return
        self.manager.pre_disconnect(sid, namespace=namespace)
        self._drop_partial(eio_sid, namespace)
        try:
            await self._tell(sid, namespace, reason or self.reason.CLIENT_DISCONNECT)
        except BaseException as exc:
            if not is_failure(exc, is_own_task=False):
                raise
            report(self, exc, FAILED_HANDLER, "disconnect", namespace, sid)

    def _drop_partial(self, eio_sid: str, namespace: str) -> None:
        """A packet that waits for attachments is not handled any more. They may still come."""
        packet = self._binary_packet.get(eio_sid)
        if packet is None or (packet.namespace or "/") != namespace:
            return
        del self._binary_packet[eio_sid]
        socket = self.eio.sockets.get(eio_sid)
        if isinstance(socket, EngineSocket):
            socket.stray_attachments += packet.attachment_count - len(packet.attachments)

    async def _tell(self, sid: str, namespace: str, reason: str) -> None:
        """Call the disconnect handler, and forget the client whatever comes of it."""
        try:
            with HandlerRun(self):
                await self._trigger_event("disconnect", namespace, sid, reason)
        finally:
            await self.manager.disconnect(sid, namespace, ignore_queue=True)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        """The session is over.

        Mirrors: ``socketio.async_server.AsyncServer._handle_eio_disconnect``.
        """
        try:
            for namespace in self._namespaces_of(eio_sid):
                try:
                    await self._handle_disconnect(eio_sid, namespace, reason)
                except Exception:  # in the words of engineio, which has it from the last one alone
                    self.eio.logger.exception("disconnect async handler error")
        finally:
            self._binary_packet.pop(eio_sid, None)
            self.environ.pop(eio_sid, None)

    def _hub_of(self, sid: str, namespace: str) -> Any:
        """That of a client on another event loop; None: it is on this one, or not here."""
        everybody = self.manager.rooms.get(namespace, {}).get(None, {})
        socket = self.eio.sockets.get(everybody.get(sid))
        return hub_elsewhere(getattr(socket, "conn", None))

    def _namespaces_of(self, eio_sid: str) -> list[str]:
        """The namespaces that a session may be in."""
        if isinstance(self.manager, AsyncManager):
            return self.manager.namespaces_of(eio_sid)
        return list(self.manager.get_namespaces())

    def _has_joined(self, eio_sid: str) -> bool:
        """Whether a client is in a namespace."""
        names = self._namespaces_of(eio_sid)
        return any(self.manager.sid_from_eio_sid(eio_sid, name) for name in names)

    def _is_connected(self, eio_sid: str) -> bool:
        """The same, and no connect handler that may still refuse it is at work."""
        manager = self.manager
        sids = ((manager.sid_from_eio_sid(eio_sid, n), n) for n in self._namespaces_of(eio_sid))
        return any(sid and manager.is_connected(sid, name) for sid, name in sids)

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Disconnect a client. Mirrors: ``socketio.async_server.AsyncServer.disconnect``.

        :param sid: the client's id in the namespace.
        :param namespace: the root namespace unless given.
        :param ignore_queue: with a message queue: the client is one of this server's.
        """
        namespace = namespace or "/"
        hub = self._hub_of(sid, namespace)
        if hub is not None and hub.loop.is_running():
            await hub.posts.run(JoiningServer.disconnect, self, sid, namespace, ignore_queue)
            return
        if self.manager.is_pre_connected(sid, namespace) is True:  # by its own connect handler, say
            await self._welcome(self.manager.eio_sid_from_sid(sid, namespace), sid, namespace)
        if ignore_queue:
            is_here = self.manager.is_connected(sid, namespace)
        else:
            is_here = await self.manager.can_disconnect(sid, namespace)
        if is_here:
            self.logger.info("Disconnecting %s [%s]", sid, namespace)
            eio_sid = self.manager.pre_disconnect(sid, namespace=namespace)
            self._drop_partial(eio_sid, namespace)
            try:
                await self._answer(eio_sid, DISCONNECT, namespace, None)
            finally:  # else it would stay, neither here nor gone
                await self._tell(sid, namespace, self.reason.SERVER_DISCONNECT)


async def _raise(exc: BaseException) -> None:
    try:
        raise exc
    finally:
        del exc  # whose traceback leads here


async def _awaited(answer: Any) -> Any:
    """What comes of an answer that can be awaited, as long as it can; None when it is cancelled, as
    with a coroutine function."""
    try:
        while type(answer) is CoroutineType or (answer is not None and inspect.isawaitable(answer)):
            answer = await answer
    except asyncio.CancelledError:
        return None
    return answer
