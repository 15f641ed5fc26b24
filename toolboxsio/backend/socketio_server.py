"""The Socket.IO server of the application: its handlers, and who is connected."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

import toolboxsio as socketio
from toolboxsio.backend import events
from toolboxsio.backend.clients import Client, Clients
from toolboxsio.backend.guard import Fields, Guard, Refused, Rules
from toolboxsio.backend.limiter import Limiter
from toolboxsio.backend.logs import printable
from toolboxsio.backend.roles import has
from toolboxsio.backend.settings import Settings
from toolboxsio.backend.tokens import InvalidToken, Tokens
from toolboxsio.json import is_finite

logger = logging.getLogger(__name__)

TEACHERS = "teacher_updates"
PASS_SCORE = 70

STICKY_HINT = (
    "requests of one client must reach the same worker: see the configuration that `toolboxsio "
    'nginx` prints, or connect with transports: ["websocket"]'
)

rules = Rules()


def utc_now() -> str:
    return datetime.now(UTC).isoformat()


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC).isoformat()


def check_channel(name: Any, error: str = "invalid_channel", event: str = "") -> str:
    """The name, if it is one of a channel.

    A client's own room is no channel: its name has a full stop (see :func:`own_ids`).
    """
    if not isinstance(name, str) or not re.match(events.CHANNEL, name):
        raise Refused(error, event=event)
    return name


def own_ids(eio: Any) -> None:
    """Let sids begin with a full stop.

    The room with a client's sid as its name is the client's own; no name of a channel is a sid.
    """
    generate_id = eio.generate_id
    eio.generate_id = lambda: "." + generate_id()[1:]


#: Seconds that handlers have when the server stops; `commands.SHUTDOWN_SECONDS` is for all of it.
HANDLER_SECONDS = 3.0


class DebugNamespace(socketio.AsyncNamespace):  # type: ignore[misc]
    """`/debug`, in debug mode: `ping` answers, `echo` answers with its data."""

    def __init__(self, namespace: str, tokens: Tokens) -> None:
        super().__init__(namespace)
        self._tokens = tokens

    async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        self._tokens.read(environ)

    async def on_ping(self, sid: str, *data: Any) -> Fields:
        return socketio.ack(True, event="ping", sid=sid)

    async def on_echo(self, sid: str, *data: Any) -> Fields:
        if not is_finite(data, max_depth=events.MOST_DEPTH):
            return socketio.ack(False, error="invalid_format", event="echo")
        return socketio.ack(True, event="echo", data=list(data))


class SocketServer:
    """``sio``, the server with its handlers, and ``clients``, one entry for each connected sid."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clients = Clients(self.expired)
        self.tokens = Tokens(settings)
        self.limiter = Limiter(settings)
        self.guard = Guard(self, rules, self.limiter, settings.rbac_required_roles)
        manager = None
        if settings.redis_url is not None:
            manager = socketio.AsyncRedisManager(settings.redis_url.get_secret_value())
        self.sio = socketio.AsyncServer(
            async_mode="asgi",
            client_manager=manager,
            # To engineio an empty list means every origin, None the server's own.
            cors_allowed_origins=self._origins(),
            cors_credentials=True,
            cookie=None,
            logger=False,
            engineio_logger=False,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            max_http_buffer_size=settings.max_http_buffer_size,
            allow_upgrades=True,
            http_compression=True,
            compression_threshold=1024,
            strict=True,
            shutdown_timeout=HANDLER_SECONDS,
        )
        own_ids(self.sio.eio)
        if settings.workers > 1:
            self.sio.eio.session_hint = STICKY_HINT
        self.sio.on("connect", self.connect)
        self.sio.on("disconnect", self.disconnect)
        for name, rule in rules.items():
            if not rule.is_routed:
                self.sio.on(name, self._handler(name))
        if settings.debug:
            self.sio.register_namespace(DebugNamespace("/debug", self.tokens))

    def _origins(self) -> list[str] | str | None:
        origins = self.settings.cors_origins
        return "*" if "*" in origins else origins or None

    def _handler(self, event: str) -> Any:
        clients, answer = self.clients, self.guard.answer

        async def handler(sid: str, *data: Any) -> Fields:
            return await answer(event, clients.get(sid), data)

        return handler

    # --- who comes and goes ---

    async def connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        try:
            identity = self.tokens.identify(environ, auth)
        except InvalidToken as exc:
            logger.warning("%s: token refused: %s", sid, exc.reason)
            if not self.settings.debug:
                raise socketio.exceptions.ConnectionRefusedError(
                    exc.code, {"error": exc.code, "timestamp": utc_now()}
                ) from None
            identity = None
        self.clients.add(sid, identity)
        greeting = {
            "message": "connected",
            "sid": sid,
            "authenticated": identity is not None,
            "timestamp": utc_now(),
        }
        try:
            await self.sio.emit("connected", greeting, to=sid)
        except BaseException:  # it does not connect, and so does not disconnect
            self.clients.remove(sid)
            raise

    async def disconnect(self, sid: str, reason: str) -> None:
        self.clients.remove(sid)

    def expired(self, client: Client) -> None:
        """The token of a client is not valid any more: so are its privileges."""
        logger.info("%s: the token has expired", client.sid)
        self.sio.start_background_task(self._withdraw, client, "token_expired")

    async def _withdraw(self, client: Client, error: str) -> None:
        if client.is_gone or not client.is_expired:  # it has another token already
            return
        await self._leave_forbidden(client)
        await self.sio.emit("auth_failed", {"error": error, "timestamp": utc_now()}, to=client.sid)

    async def _leave_forbidden(self, client: Client) -> None:
        """Leave the channels that the client may not be in as who it is now."""
        may_none = not has(client.role, self.guard.required("subscribe"))
        for channel in list(client.channels):
            if may_none or self._requirement(client, channel) is not None:
                client.channels.discard(channel)
                await self.sio.leave_room(client.sid, channel)

    def _requirement(self, client: Client, channel: str) -> str | None:
        """The role that a channel needs and the client does not have; None: it may."""
        needed = None
        for prefix, required in self.settings.channel_prefixes.items():
            if not channel.startswith(prefix):
                continue
            if required == "owner":
                identity = client.identity
                is_own = identity is not None and channel == prefix + identity.sub
                if client.role is None or not (is_own or client.role == "admin"):
                    needed = "admin"
            elif not has(client.role, required):
                needed = required
        return needed

    def _check_access(self, client: Client, channel: str, event: str) -> str:
        check_channel(channel, event=event)
        required = self._requirement(client, channel)
        if required is not None:
            raise Refused("forbidden", required_role=required, event=event)
        return channel

    # --- events ---

    async def _authenticate(self, client: Client, data: events.Token, event: str) -> Fields:
        try:
            identity = self.tokens.check(data.token)
        except InvalidToken as exc:
            logger.warning("%s: token refused: %s", client.sid, exc.reason)
            failure = {"error": exc.code, "timestamp": utc_now()}
            await self.sio.emit("auth_failed", failure, to=client.sid)
            raise Refused(exc.code, event=event) from None
        self.clients.identify(client, identity)
        await self._leave_forbidden(client)
        fields = {"user_id": identity.sub, "expires_at": iso(identity.expires_at)}
        name = "token_refreshed" if event == "refresh_token" else "auth_success"
        told = {**fields, "role": identity.role, "timestamp": utc_now()}
        await self.sio.emit(name, told, to=client.sid)
        return {"event": event, **fields}

    @rules.on("authenticate", events.Token, is_open=True)
    async def authenticate(self, client: Client, data: events.Token) -> Fields:
        return await self._authenticate(client, data, "authenticate")

    @rules.on("refresh_token", events.Token, is_open=True)
    async def refresh_token(self, client: Client, data: events.Token) -> Fields:
        return await self._authenticate(client, data, "refresh_token")

    @rules.on("message", events.Message)
    async def message(self, client: Client, data: events.Message) -> Fields:
        """Goes on as the event that ``type`` names; other types are echoed."""
        kind = data.type.lower()
        rule = rules.get(kind)
        if rule is None or rule.is_open or kind == "message":
            reply = {"type": "ack", "payload": data.payload, "timestamp": utc_now()}
            await self.sio.emit("message", reply, to=client.sid)
            return {"type": kind}
        return {"type": kind, **await self.guard.handle(kind, client, _routed(kind, data))}

    @rules.on("ping", events.Nothing)
    async def ping(self, client: Client, data: events.Nothing) -> Fields:
        await self.sio.emit("pong", {"timestamp": utc_now()}, to=client.sid)
        return {"event": "ping"}

    @rules.on("subscribe", events.Channels)
    async def subscribe(self, client: Client, data: events.Channels) -> Fields:
        for channel in data.channels:
            self._check_access(client, channel, "subscribe")
        if len(client.channels.union(data.channels)) > self.settings.max_channels:
            raise Refused("too_many_channels", limit=self.settings.max_channels, event="subscribe")
        for channel in data.channels:
            await self.sio.enter_room(client.sid, channel)
            client.channels.add(channel)
        return _subscribed("subscribe", client, data)

    @rules.on("unsubscribe", events.Channels)
    async def unsubscribe(self, client: Client, data: events.Channels) -> Fields:
        for channel in data.channels:
            check_channel(channel, event="unsubscribe")
        for channel in client.channels.intersection(data.channels):
            client.channels.discard(channel)
            await self.sio.leave_room(client.sid, channel)
        return _subscribed("unsubscribe", client, data)

    @rules.on("broadcast", events.Broadcast, "invalid_broadcast_payload")
    async def broadcast(self, client: Client, data: events.Broadcast) -> Fields:
        channel = self._check_access(client, data.channel, "broadcast")
        await self._send_to_channel(client, "broadcast", channel, data.data)
        return {"event": "broadcast", "action": "broadcast", "channel": channel}

    @rules.on("user_message", events.UserMessage, is_routed=True)
    async def user_message(self, client: Client, data: events.UserMessage) -> Fields:
        channel = check_channel(data.channel, event="user_message")
        if channel not in client.channels:
            raise Refused("not_subscribed", channel=channel, event="user_message")
        await self._send_to_channel(client, "user_message", channel, data.payload)
        return {"event": "user_message", "channel": channel}

    async def _send_to_channel(self, client: Client, kind: str, channel: str, payload: Any) -> None:
        told = {
            "type": kind,
            "channel": channel,
            "payload": payload,
            "timestamp": utc_now(),
            "sender": _name(client),
        }
        await self.sio.emit("message", told, room=channel, skip_sid=client.sid)

    @rules.on("content_request", events.ContentRequest)
    async def content_request(self, client: Client, data: events.ContentRequest) -> Fields:
        told = {
            "status": "processing",
            "progress": 0,
            "message": f"Content on {printable(data.topic)} is being made",
            "timestamp": utc_now(),
        }
        await self.sio.emit("content_progress", told, to=client.sid)
        return {"event": "content_request"}

    @rules.on("quiz_response", events.QuizResponse)
    async def quiz_response(self, client: Client, data: events.QuizResponse) -> Fields:
        score = data.score
        has_passed = score >= PASS_SCORE
        told = {
            "correct": has_passed,
            "feedback": "Well done!" if has_passed else "Keep practising!",
            "score": score,
            "timestamp": utc_now(),
        }
        await self.sio.emit("quiz_feedback", told, to=client.sid)
        return {"event": "quiz_response", "score": score}

    @rules.on("progress_update", events.Progress)
    async def progress_update(self, client: Client, data: events.Progress) -> Fields:
        told = {
            "student": _name(client),
            "progress": data.model_extra,
            "timestamp": utc_now(),
        }
        await self.sio.emit("student_progress", told, room=TEACHERS)
        return {"event": "progress_update"}

    @rules.on("collaboration_message", events.CollaborationMessage)
    async def collaboration_message(
        self, client: Client, data: events.CollaborationMessage
    ) -> Fields:
        event, room_id = "collaboration_message", data.roomId
        check_channel(room_id, "invalid_room_id", event)
        room = check_channel(f"collaboration_{room_id}", "invalid_room_id", event)
        self._check_access(client, room, event)
        told = {"from": _name(client), "message": data.message, "timestamp": utc_now()}
        await self.sio.emit("collaboration_event", told, room=room, skip_sid=client.sid)
        return {"event": event, "room_id": room_id}

    # --- what it tells ---

    def status(self) -> dict[str, Any]:
        """What GET /socketio/status answers."""
        roles = self.clients.roles()
        status: dict[str, Any] = socketio.status(self.sio)
        return {
            **status,
            "connected": len(self.clients),
            "authenticated": sum(roles.values()),
            "role_distribution": roles,
            "path": self.settings.path,
        }

    async def close(self) -> None:
        """Let go of everything."""
        await self.sio.shutdown()
        await self.limiter.close()


def _name(client: Client) -> str:
    return client.sid if client.identity is None else client.identity.sub


def _subscribed(action: str, client: Client, data: events.Channels) -> Fields:
    named: Fields = {"channels": data.channels} if data.is_list else {"channel": data.channels[0]}
    return {"event": action, "action": action, **named, "total": len(client.channels)}


def _routed(kind: str, data: events.Message) -> Any:
    """What an event gets of the ``message`` that carries it.

    The payload is its data; ``channel`` beside the payload counts where the payload names none.
    """
    payload, channel = data.payload, data.channel
    if kind == "broadcast":
        if channel is None and isinstance(payload, dict):
            return payload
        return {"channel": channel, "data": payload}
    if kind == "user_message":
        return {"channel": channel, "payload": payload}
    if kind in ("subscribe", "unsubscribe") and channel is not None:
        if payload is None:
            return {"channel": channel}
        if isinstance(payload, dict) and not payload.keys() & {"channel", "channels"}:
            return {**payload, "channel": channel}
    return payload
