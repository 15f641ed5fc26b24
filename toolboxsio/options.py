"""The options of this package: one table, from which they are checked, set and described.

:data:`OPTIONS` are those of :class:`toolboxsio.AsyncServer`; :func:`toolboxsio.install` and
:func:`toolboxsio.accelerate` take the same, and each is an attribute of the server that can be
assigned. :data:`REDIS_OPTIONS` are those of :class:`toolboxsio.AsyncRedisManager`.
"""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import operator
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

__all__ = [
    "OPTIONS",
    "REDIS_OPTIONS",
    "Option",
    "OptionAttributes",
    "Options",
    "RedisOptions",
    "ServerOptions",
    "check",
    "check_all",
    "check_names",
    "describe",
    "installed",
    "parameters",
]

SlowClient = str | Callable[[dict[str, str], int], str]

#: What may be done with a slow client, and what a function that decides returns.
SLOW_CLIENT = ("disconnect", "drop_volatile")


class Options(TypedDict, total=False):
    """The options of a server, for type checkers; :data:`OPTIONS` describes them."""

    json_default: Callable[[Any], Any] | None
    slow_client: SlowClient
    strict: bool
    shutdown_timeout: float
    max_fragments: int | None
    max_attachments: int
    max_attachment_bytes: int | None
    max_payload_packets: int | None
    json_max_depth: int
    max_namespaces: int
    max_pending_acks: int
    max_running_handlers: int
    max_running_bytes: int
    max_control_frames: int
    max_backlog: int
    connect_timeout: float
    upgrade_timeout: float
    message_timeout: float | None


class ServerOptions(Options, total=False):
    """These, and those of python-socketio and python-engineio, for type checkers."""

    serializer: Any
    always_connect: bool
    engineio_logger: Any
    async_mode: str | None
    ping_interval: float | tuple[float, float]
    ping_timeout: float
    max_http_buffer_size: float
    allow_upgrades: bool
    http_compression: bool
    compression_threshold: int
    cookie: str | dict[str, Any] | None
    cors_allowed_origins: Any
    cors_credentials: bool
    monitor_clients: bool | None
    transports: str | list[str] | None


class RedisOptions(TypedDict, total=False):
    """The options of a Redis manager, for type checkers; :data:`REDIS_OPTIONS` describes them."""

    room_channels: bool
    max_pending: int
    health_check_interval: float


@dataclass(frozen=True)
class Option:
    """An option: its name, its default, what reads a value, and what it does.

    ``read`` returns the value to use. It raises TypeError or ValueError with the words that come
    after the name in a message, ``"must be …"``.
    """

    name: str
    default: Any
    read: Callable[[Any], Any]
    doc: str


def _count(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("must be an integer")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError("must be an integer") from None
    if number < 1:
        raise ValueError("must be positive")
    return number


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError("must be a number of seconds")
    if not math.isfinite(value) or value < 0:
        raise ValueError("must be a finite number of seconds, 0 or more")
    return value if isinstance(value, int | float) else float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be True or False")
    return value


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_it(value: Any) -> Any:
        try:
            return None if value is None else read(value)
        except TypeError as exc:
            raise TypeError(f"{exc} or None") from None

    return read_it


def _callable(value: Any) -> Any:
    if not callable(value):
        raise TypeError("must be a function")
    return value


def _slow_client(value: Any) -> Any:
    if callable(value) or (isinstance(value, str) and value in SLOW_CLIENT):
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"must be one of {SLOW_CLIENT} or a function")


def _table(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


MIB = 1024 * 1024

OPTIONS: Mapping[str, Option] = _table(
    Option(
        "json_default",
        None,
        _or_none(_callable),
        "called with each object that JSON does not know, such as a pydantic model; its result is"
        " sent in the place of the object.",
    ),
    Option(
        "slow_client",
        "disconnect",
        _slow_client,
        'what becomes of a client for which more than ``max_backlog`` waits: ``"disconnect"``;'
        ' ``"drop_volatile"``: it is kept, gets no volatile events until it has caught up, and is'
        " disconnected when twice as much waits; or a function ``(sids, waiting) -> str`` of its"
        " ids (``{namespace: sid}``) and the bytes that wait, which returns one of the two. It is"
        " called once, until the client has caught up.",
    ),
    Option(
        "strict",
        False,
        _flag,
        "follow the protocol documents to the letter, where python-socketio does not; False. It"
        " cannot be changed while there are clients.",
    ),
    Option("shutdown_timeout", 5, _seconds, "seconds that handlers have when the server stops; 5."),
    Option(
        "max_fragments",
        None,
        _or_none(_count),
        "WebSocket frames of a message; None: as many as ``max_http_buffer_size``, one for each"
        " byte. (``max_http_buffer_size`` is python-engineio's: bytes of a message, and of the"
        " body of a request.) A change is for connections that are made after it.",
    ),
    Option("max_attachments", 1000, _count, "binary attachments of a packet; 1,000."),
    Option(
        "max_attachment_bytes",
        None,
        _or_none(_count),
        "bytes of all of them; None: 256 times ``max_http_buffer_size``.",
    ),
    Option(
        "max_payload_packets",
        None,
        _or_none(_count),
        "packets in the body of a request; None: 10,000, or"
        " ``engineio.payload.Payload.max_decode_packets`` where the application has set that.",
    ),
    Option("json_max_depth", 512, _count, "how deep JSON may be nested, both ways; 512."),
    Option("max_namespaces", 1000, _count, "namespaces that a client may be in; 1,000."),
    Option(
        "max_pending_acks",
        50_000,
        _count,
        "acknowledgements that are awaited from a client; 50,000.",
    ),
    Option(
        "max_running_handlers",
        1000,
        _count,
        "handlers of a client at work, before no more of its messages are read; 1,000.",
    ),
    Option(
        "max_running_bytes",
        8 * MIB,
        _count,
        "bytes of the messages that these handle, attachments included, before no more is read;"
        " one handler may always be at work, and handlers that wait in ``call()`` for an answer of"
        " the client may hold 32 times as much, or as ``max_http_buffer_size``; 8 MiB.",
    ),
    Option(
        "max_control_frames",
        1000,
        _count,
        "PING and PONG frames of WebSocket, and PONG packets, of a client in one second; 1,000.",
    ),
    Option(
        "max_backlog",
        64 * MIB,
        _count,
        "bytes that may wait for a client beside the largest message that does; 64 MiB.",
    ),
    Option(
        "connect_timeout",
        45,
        _seconds,
        "seconds until a client must have joined a namespace; 45. 0: no limit.",
    ),
    Option(
        "upgrade_timeout", 10, _seconds, "seconds for an upgrade to WebSocket; 10. 0: no limit."
    ),
    Option(
        "message_timeout",
        None,
        _or_none(_seconds),
        "seconds for each message in fragments, each attachment of a packet, the body of a request;"
        " None: ``ping_interval + ping_timeout``, 45 as these are by default."
        " 0: no limit.",
    ),
)

REDIS_OPTIONS: Mapping[str, Option] = _table(
    Option(
        "room_channels",
        False,
        _flag,
        "publish what is emitted to one room on a channel of that room, so that only the servers"
        " that have somebody in it receive it. For fleets of which every process has this option:"
        " one that has not is noticed when it publishes, and all is published on the common"
        " channel from then on.",
    ),
    Option(
        "max_pending",
        64 * MIB,
        _count,
        "bytes of messages that may wait while Redis is away or slow, or one message that is"
        " larger; 64 MiB. Beyond them the oldest are dropped, counted, and an ERROR in the log.",
    ),
    Option(
        "health_check_interval",
        10,
        _seconds,
        "seconds without a byte from Redis until it is asked whether it is there, and again until"
        " the connection is given up; 10; 0: never.",
    ),
)

#: Options that python-socketio has had, and takes without a word now that they do nothing.
_IGNORED_UPSTREAM = ("binary",)


def check(name: str, value: Any, table: Mapping[str, Option] = OPTIONS) -> Any:
    """Return the value of an option as it is used.

    :raises TypeError: for a value of another type.
    :raises ValueError: for one out of range.
    """
    try:
        return table[name].read(value)
    except (TypeError, ValueError) as exc:
        raise type(exc)(f"{name} {exc}, not {value!r}") from None


def check_names(given: Iterable[str], known: Iterable[str], taker: str) -> None:
    """Raise TypeError for a name that is not known, with the nearest one that is."""
    names = set(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(f"{taker} has no option {name!r}{hint}")


def check_all(given: Mapping[str, Any], taker: str, table: Mapping[str, Option]) -> dict[str, Any]:
    """The values of options as they are used; for functions that take those of a table alone."""
    check_names(given, table, taker)
    return {name: check(name, value, table) for name, value in given.items()}


def parameters(cls: type, *more: type) -> set[str]:
    """The names of all parameters of these classes and those that they are derived from."""
    names = {"engineio_logger", *_IGNORED_UPSTREAM}
    for base in (base for one in (cls, *more) for base in one.__mro__):
        init = vars(base).get("__init__")
        if inspect.isfunction(init):
            named = inspect.signature(init).parameters.values()
            names.update(p.name for p in named if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return names - {"self"}


def describe(table: Mapping[str, Option] = OPTIONS) -> str:
    """The options as lines of a docstring."""
    paragraphs = (
        textwrap.fill(
            f":param {option.name}: {option.doc}",
            96,
            initial_indent="    ",
            subsequent_indent="        ",
            break_on_hyphens=False,
        )
        for option in table.values()
    )
    return "\n".join(paragraphs)


#: Those of install(), for servers that are built later.
installed: dict[str, Any] = {}


class OptionAttributes:
    """Each option as an attribute of a server; an assigned value is checked and takes effect."""

    json_default: Callable[[Any], Any] | None
    slow_client: SlowClient
    strict: bool
    shutdown_timeout: float
    max_fragments: int | None
    max_attachments: int
    max_attachment_bytes: int | None
    max_payload_packets: int | None
    json_max_depth: int
    max_namespaces: int
    max_pending_acks: int
    max_running_handlers: int
    max_running_bytes: int
    max_control_frames: int
    max_backlog: int
    connect_timeout: float
    upgrade_timeout: float
    message_timeout: float | None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OPTIONS:
            self._set_options({name: value})
        else:
            super().__setattr__(name, value)

    def _set_options(self, given: Mapping[str, Any]) -> None:
        raise NotImplementedError


for _option in OPTIONS.values():
    setattr(OptionAttributes, _option.name, _option.default)
