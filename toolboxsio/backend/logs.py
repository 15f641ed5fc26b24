"""What may stand in a log: one line for each entry, and no tokens."""

from __future__ import annotations

import copy
import logging
import re
from typing import Any

LONGEST = 200

#: `token=` of a query, also where its name is written with escapes.
_TOKEN = re.compile(
    r"((?:t|%74)(?:o|%6f)(?:k|%6b)(?:e|%65)(?:n|%6e)(?:=|%3d))[^&#\s]+", re.IGNORECASE
)


def printable(value: object) -> str:
    """Text that came from a client, on one line, without control characters, and not too long."""
    text = str(value)
    if len(text) > LONGEST:
        text = text[:LONGEST] + "..."
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def redact(text: str) -> str:
    """The text without the tokens of the queries in it."""
    return _TOKEN.sub(r"\1[redacted]", text)


class Redact(logging.Filter):
    """Takes tokens out of what uvicorn says of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; always True."""
        record.msg = redact(record.msg) if isinstance(record.msg, str) else record.msg
        if isinstance(record.args, tuple):
            record.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


def log_config(level: str) -> dict[str, Any]:
    """uvicorn's configuration of logging, with the filter, and with this package's loggers."""
    from uvicorn.config import LOGGING_CONFIG

    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"redact": {"()": Redact}}
    for handler in config["handlers"].values():
        handler["filters"] = ["redact"]
    own = {"handlers": ["default"], "level": level.upper(), "propagate": False}
    config["loggers"]["toolboxsio"] = own
    for name in ("socketio", "engineio"):  # at INFO they log each packet, and nothing is fast
        config["loggers"][name] = {**own, "level": "WARNING"}
    return config
