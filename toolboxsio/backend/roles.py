"""Roles, and which of them an event or a channel needs."""

from __future__ import annotations

from typing import Literal

Role = Literal["student", "teacher", "admin"]

#: What a requirement may name: `anonymous` is met by everybody.
Required = Literal["anonymous", "student", "teacher", "admin"]

RANKS: dict[str | None, int] = {None: 0, "anonymous": 0, "student": 1, "teacher": 2, "admin": 3}

#: The roles that events need where the settings do not say otherwise.
REQUIRED_ROLES: dict[str, Required] = {
    "message": "student",
    "ping": "student",
    "subscribe": "student",
    "unsubscribe": "student",
    "broadcast": "teacher",
    "content_request": "teacher",
    "quiz_response": "student",
    "progress_update": "student",
    "collaboration_message": "student",
    "user_message": "student",
}

#: What channels whose names begin like this need, where the settings do not say otherwise.
CHANNEL_PREFIXES: dict[str, Required | Literal["owner"]] = {
    "admin_": "admin",
    "teacher_": "teacher",
    "private_": "student",
    "user_": "student",
}


def has(role: str | None, required: str) -> bool:
    """Whether a role (None: nobody has authenticated) is the required one or above."""
    return RANKS[role] >= RANKS[required]
