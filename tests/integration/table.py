"""What every event is answered: for each role and kind of data, under and over the rate limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .serving import token

RANKS = {None: 0, "expired": 0, "student": 1, "teacher": 2, "admin": 3}
ROLES = tuple(RANKS)

DEEP: Any = "x"
for _ in range(200):
    DEEP = {"a": [DEEP]}
TOO_DEEP: Any = "x"
for _ in range(500):
    TOO_DEEP = [TOO_DEEP]
LONG = "x" * 100_000
NASTY = '\u0000\r\n\u2028{"$ne": null}</script>\ud83d\ude00'
JUNK = {"__proto__": {"role": "admin"}, "constructor": [DEEP, NASTY], "length": -1}

Emits = list[tuple[str, dict[str, Any]]]


@dataclass
class Row:
    """One event, or one way to use it.

    ``data``: kind -> (arguments, the ack's fields: True and what it has, or an error). ``own`` and
    ``seen``: what a valid one emits to the client itself, and to those in the room.
    """

    name: str
    event: str
    data: dict[str, tuple[list[Any], Any]]
    required: str | None = "student"
    routed: str | None = None
    role_of_data: str | None = None
    own: Emits = field(default_factory=list)
    seen: Emits = field(default_factory=list)

    @property
    def named(self) -> str:
        return self.routed or self.event


def ok(**fields: Any) -> tuple[bool, dict[str, Any]]:
    return True, fields


def error(name: str) -> tuple[bool, dict[str, Any]]:
    return False, {"error": name}


def routed(row: Row, bodies: dict[str, dict[str, Any]]) -> Row:
    """The same event in a `message`. bodies: kind -> what stands beside the type."""
    data = {}
    for kind, (_, (is_ok, fields)) in row.data.items():
        if kind in bodies:
            more = {"type": row.event} if is_ok else {}
            data[kind] = (
                [{"type": row.event.upper(), **bodies[kind]}],
                (is_ok, {**more, **fields}),
            )
    return Row(
        f"message {row.event}",
        "message",
        data,
        row.required,
        row.event,
        row.role_of_data,
        row.own,
        row.seen,
    )


def payload(row: Row) -> dict[str, dict[str, Any]]:
    """The data of a row as the payload of a `message`."""
    return {
        kind: {"payload": arguments[0]} if arguments else {}
        for kind, (arguments, _) in row.data.items()
        if len(arguments) < 2 and kind != "hostile depth"  # that is the message's
    }


def channels(name: str, required: str | None = None) -> list[Row]:
    """subscribe and unsubscribe."""
    rows = []
    for action in ("subscribe", "unsubscribe"):
        joined = action == "subscribe"
        fields = {"event": action, "action": action}
        data = {
            "valid": ([{"channel": name}], ok(**fields, channel=name, total=int(joined))),
            "valid text": ([name], ok(**fields, channel=name, total=int(joined))),
            "valid list": (
                [{"channels": [name, f"{name}2"]}],
                ok(**fields, channels=[name, f"{name}2"], total=2 * joined),
            ),
            "wrong type": ([7], error("invalid_format")),
            "wrong type within": ([{"channels": [name, 7]}], error("invalid_format")),
            "wrong name": ([{"channel": f"{name} 2"}], error("invalid_channel")),
            "missing": ([{}], error("invalid_format")),
            "nothing": ([], error("invalid_format")),
            "hostile": ([{"channel": LONG}], error("invalid_channel")),
            "hostile end": ([f"{name}\n"], error("invalid_channel")),
            "hostile junk": ([JUNK], error("invalid_format")),
            "hostile list": ([{"channels": [name] * 101}], error("invalid_format")),
            "too many": ([{"channel": name}, 1], error("invalid_format")),
        }
        rows.append(
            Row(f"{action} {name}", action, data, role_of_data=required if joined else None)
        )
    return rows


def rows() -> list[Row]:
    """All events."""
    ping = Row(
        "ping",
        "ping",
        {
            "valid": ([], ok(event="ping")),
            "wrong type": ([7], ok(event="ping")),
            "hostile": ([JUNK], ok(event="ping")),
            "too many": ([1, 2], error("invalid_format")),
        },
        own=[("pong", {})],
    )
    broadcast = Row(
        "broadcast",
        "broadcast",
        {
            "valid": (
                [{"channel": "news", "data": {"n": [1]}}],
                ok(event="broadcast", action="broadcast", channel="news"),
            ),
            "wrong type": ([["news", 1]], error("invalid_broadcast_payload")),
            "wrong channel": (
                [{"channel": 7, "data": 1}],
                error("invalid_broadcast_payload"),
            ),
            "wrong name": ([{"channel": "a b", "data": 1}], error("invalid_channel")),
            "missing": ([{"channel": "news"}], error("invalid_broadcast_payload")),
            "nothing": ([], error("invalid_broadcast_payload")),
            "hostile": ([{"channel": LONG, "data": DEEP}], error("invalid_channel")),
            "hostile junk": ([JUNK], error("invalid_broadcast_payload")),
        },
        "teacher",
        seen=[("message", {"type": "broadcast", "channel": "news", "payload": {"n": [1]}})],
    )
    content = Row(
        "content_request",
        "content_request",
        {
            "valid": ([{"topic": "volcanoes", "grade": 5}], ok(event="content_request")),
            "wrong type": ([{"topic": 7}], error("invalid_format")),
            "missing": ([{}], error("invalid_format")),
            "nothing": ([], error("invalid_format")),
            "hostile": ([{"topic": LONG}], error("invalid_format")),
            "hostile junk": ([JUNK], error("invalid_format")),
        },
        "teacher",
        own=[("content_progress", {"status": "processing", "progress": 0})],
    )
    right, wrong = {"selected": "a", "correct": "a"}, {"selected": 1, "correct": True}
    quiz = Row(
        "quiz_response",
        "quiz_response",
        {
            "valid": (
                [{"quiz_id": "q-1", "answers": [right, right, right, wrong]}],
                ok(event="quiz_response", score=75.0),
            ),
            "wrong type": ([{"quiz_id": "q", "answers": "a"}], error("invalid_format")),
            "wrong answer": ([{"quiz_id": "q", "answers": [["a", "a"]]}], error("invalid_format")),
            "no answers": ([{"quiz_id": "q", "answers": []}], error("invalid_format")),
            "missing": ([{"answers": [right]}], error("invalid_format")),
            "nothing": ([], error("invalid_format")),
            "hostile": (
                [{"quiz_id": "q", "answers": [{"selected": {"$ne": None}, "correct": DEEP}]}],
                error("invalid_format"),
            ),
            "hostile list": (
                [{"quiz_id": "q", "answers": [right] * 1001}],
                error("invalid_format"),
            ),
        },
        own=[("quiz_feedback", {"correct": True, "score": 75.0})],
    )
    progress = Row(
        "progress_update",
        "progress_update",
        {
            "valid": ([{"lesson": 3, "done": 0.5}], ok(event="progress_update")),
            "wrong type": ([[1]], error("invalid_format")),
            "wrong text": (["done"], error("invalid_format")),
            "nothing": ([], error("invalid_format")),
            "hostile": ([LONG], error("invalid_format")),
            "hostile depth": ([{"a": TOO_DEEP}], error("invalid_format")),
        },
        seen=[("student_progress", {"progress": {"lesson": 3, "done": 0.5}})],
    )
    collaboration = Row(
        "collaboration_message",
        "collaboration_message",
        {
            "valid": (
                [{"roomId": "r1", "message": {"text": "hi"}}],
                ok(event="collaboration_message", room_id="r1"),
            ),
            "wrong type": ([{"roomId": ["r1"], "message": 1}], error("invalid_room_id")),
            "wrong name": ([{"roomId": "r 1", "message": 1}], error("invalid_room_id")),
            "missing": ([{"roomId": "r1"}], error("invalid_format")),
            "nothing": ([], error("invalid_format")),
            "hostile": ([{"roomId": LONG, "message": DEEP}], error("invalid_room_id")),
            "hostile end": ([{"roomId": "r1\n", "message": NASTY}], error("invalid_room_id")),
            "hostile length": ([{"roomId": "r" * 90, "message": 1}], error("invalid_room_id")),
        },
        seen=[("collaboration_event", {"message": {"text": "hi"}})],
    )
    message = Row(
        "message",
        "message",
        {
            "valid": ([{"type": "Note", "payload": {"n": 1}}], ok(type="note")),
            "wrong type": ([7], error("invalid_format")),
            "wrong type within": ([{"type": ["ping"]}], error("invalid_format")),
            "missing": ([{"payload": 1}], error("invalid_format")),
            "nothing": ([], error("invalid_format")),
            "hostile": ([{"type": LONG}], error("invalid_format")),
            "hostile name": ([{"type": "__proto__", "payload": DEEP}], ok(type="__proto__")),
            "hostile event": ([{"type": "authenticate", "payload": {}}], ok(type="authenticate")),
            "too many": ([{"type": "ping"}, {"type": "ping"}], error("invalid_format")),
        },
        own=[("message", {"type": "ack", "payload": {"n": 1}})],
    )
    user_message = Row(
        "message user_message",
        "message",
        {
            "valid": (
                [{"type": "user_message", "channel": "elsewhere", "payload": "hi"}],
                (False, {"error": "not_subscribed", "channel": "elsewhere"}),
            ),
            "wrong type": ([{"type": "user_message", "channel": 7}], error("invalid_format")),
            "wrong name": ([{"type": "user_message", "channel": ""}], error("invalid_channel")),
            "missing": ([{"type": "user_message"}], error("invalid_format")),
            "hostile": ([{"type": "user_message", "channel": LONG}], error("invalid_channel")),
        },
        routed="user_message",
    )
    subscribe = channels("lobby")
    within_message = [
        routed(ping, payload(ping)),
        routed(
            broadcast,
            {
                **payload(broadcast),
                "valid": {"channel": "news", "payload": {"n": [1]}},
                "wrong channel": {"channel": 7, "payload": 1},
                "wrong name": {"channel": "a b", "payload": 1},
                "hostile": {"channel": LONG, "payload": DEEP},
            },
        ),
        *(routed(row, payload(row)) for row in (content, quiz, progress, collaboration)),
        *(
            routed(row, {**payload(row), "valid": {"channel": "lobby"}, "nothing": {}})
            for row in subscribe
        ),
    ]
    logins = [
        Row(
            event,
            event,
            {
                "valid": ([{"token": "<token>"}], ok(event=event, user_id="<sub>")),
                "expired": ([{"token": "<expired>"}], error("token_expired")),
                "wrong type": ([{"token": 7}], error("invalid_token")),
                "missing": ([{}], error("invalid_format")),
                "nothing": ([], error("invalid_format")),
                "hostile": ([{"token": LONG}], error("invalid_token")),
                "hostile junk": ([{"token": JUNK}], error("invalid_token")),
            },
            None,
            own=[(told, {"user_id": "<sub>"})],
        )
        for event, told in (("authenticate", "auth_success"), ("refresh_token", "token_refreshed"))
    ]
    return [
        *(ping, broadcast, content, quiz, progress, collaboration, message, user_message),
        *subscribe,
        *(row for name, role in PREFIXES.items() for row in channels(name, role)),
        *within_message,
        *logins,
    ]


PREFIXES = {"admin_x": "admin", "teacher_x": "teacher", "private_x": "student", "user_x": "student"}

#: What the observer is subscribed to.
ROOMS = ["news", "teacher_updates", "collaboration_r1"]


@dataclass
class Case:
    """One connection that sends one event several times."""

    row: Row
    role: str | None
    kind: str

    @property
    def sub(self) -> str:
        return f"{self.row.name}, {self.role}, {self.kind}"

    @property
    def arguments(self) -> list[Any]:
        """What is sent."""
        arguments: list[Any] = self.row.data[self.kind][0]
        if arguments and isinstance(arguments[0], dict):
            stand_ins = {"<token>": token(self.sub), "<expired>": token(self.sub, seconds=-1)}
            return [{k: _put(v, stand_ins) for k, v in arguments[0].items()}, *arguments[1:]]
        return arguments

    def allowed(self, limit: int) -> int:
        """How often it may be sent: who becomes a user by it is counted as one from then on."""
        has_become = self.role is None and self.row.required is None and self.ack()["ok"]
        return limit + has_become

    @property
    def is_allowed(self) -> bool:
        return RANKS[self.role] >= RANKS[self.row.required]

    def ack(self) -> dict[str, Any]:
        """The acknowledgement under the limit, without `ts`."""
        row = self.row
        is_ok, fields = row.data[self.kind][1]
        if not self.is_allowed:
            if row.routed is not None and RANKS[self.role] >= RANKS["student"]:
                return self.forbidden(row.required, row.routed)
            # `message` is refused before it is looked at, what has too many arguments before that
            if len(self.arguments) > 1:
                return {"ok": False, "error": "invalid_format", "event": row.event}
            return self.forbidden("student" if row.event == "message" else row.required, row.event)
        if not is_ok:
            named = row.named if len(self.arguments) < 2 else row.event
            return {"ok": False, **fields, "event": named}
        if row.role_of_data is not None and RANKS[self.role] < RANKS[row.role_of_data]:
            return self.forbidden(row.role_of_data, row.named)
        return {"ok": True, **{k: _put(v, {"<sub>": self.sub}) for k, v in fields.items()}}

    def forbidden(self, role: str | None, event: str) -> dict[str, Any]:
        more = {"reason": "token_expired"} if self.role == "expired" else {}
        return {"ok": False, "error": "forbidden", "required_role": role, "event": event, **more}

    def emits(self, emits: Emits) -> Emits:
        """What a positive answer comes with."""
        if not self.ack()["ok"]:
            return []
        stand_ins = {"<sub>": self.sub}
        return [(name, {k: _put(v, stand_ins) for k, v in data.items()}) for name, data in emits]


def _put(value: Any, stand_ins: dict[str, str]) -> Any:
    return stand_ins.get(value, value) if isinstance(value, str) else value


def cases() -> list[Case]:
    """All of them."""
    return [Case(row, role, kind) for row in rows() for role in ROLES for kind in row.data]
