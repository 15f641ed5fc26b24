"""What clients may send: one model for each event. What does not fit it is refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

CHANNEL = r"^[A-Za-z0-9_-]{1,100}\Z"
MOST_CHANNELS = 100  # of one subscribe
MOST_ANSWERS = 1000
MOST_DEPTH = 500  # of lists and dicts: what is sent on is nested deeper, and has to be encoded

Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100)]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=1000)]
Scalar = Annotated[str, Field(strict=True, max_length=10_000)] | bool | int | float | None


class Event(BaseModel):
    """Data of an event: a JSON object; fields that are not named are let be."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True)


class Token(Event):
    """``{token}``. What is no token is found out by who checks it."""

    token: Any


class Message(Event):
    """``{type, payload?, channel?}``"""

    type: Name
    payload: Any = None
    channel: Any = None


class Channels(Event):
    """``{channel}``, ``{channels: [...]}`` or a string."""

    channels: list[str] = Field(max_length=MOST_CHANNELS, min_length=1)
    is_list: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"channels": [data]}
        if isinstance(data, dict) and data.get("channels") is not None:
            return {"channels": data["channels"], "is_list": True}
        if isinstance(data, dict) and "channel" in data:
            return {"channels": [data["channel"]]}
        raise ValueError("no channel")


class Broadcast(Event):
    """``{channel, data}``"""

    channel: str
    data: Any


class ContentRequest(Event):
    """``{topic, ...}``"""

    topic: Text


class Answer(Event):
    """``{selected, correct}``"""

    selected: Scalar
    correct: Scalar

    @property
    def is_right(self) -> bool:
        """Whether both are the same JSON: ``1`` is not ``true``, and ``1`` is ``1.0``."""
        kinds = isinstance(self.selected, bool), isinstance(self.correct, bool)
        return kinds[0] == kinds[1] and self.selected == self.correct


class QuizResponse(Event):
    """``{quiz_id, answers: [{selected, correct}]}``"""

    quiz_id: Annotated[str, Field(min_length=1, max_length=100)] | int
    answers: list[Answer] = Field(min_length=1, max_length=MOST_ANSWERS)

    @property
    def score(self) -> float:
        """Per cent of right answers, to two places."""
        return round(100 * sum(answer.is_right for answer in self.answers) / len(self.answers), 2)


class Progress(BaseModel):
    """``{...}``: any JSON object."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


class CollaborationMessage(Event):
    """``{roomId, message}``. ``roomId`` is part of a channel's name."""

    roomId: Any
    message: Any


class UserMessage(Event):
    """``{channel, payload}``: to a channel that the client has subscribed to."""

    channel: str
    payload: Any = None


class Nothing(BaseModel):
    """Whatever comes with an event that needs no data."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return {}
