"""The documented differences from upstream. What differs and is not recognised here is a fault.

`applies` is given what was done (`action`), its input, and both outcomes, and is true only for a
case that the difference explains. `examples` are inputs that must differ, and for this reason.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import toolboxsio

from .compare import Outcome, depth_of, depth_of_text

MAX_DEPTH = 512
_DECODES = ("decode", "decode_text", "decode_hex")
MAX_ATTACHMENTS = 10


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference on purpose, by name."""

    name: str
    what: str
    applies: Callable[[str, Any, Outcome, Outcome], bool]
    examples: tuple[tuple[str, Any], ...]


def _is_refused(ours: Outcome) -> bool:
    return isinstance(ours.error, ValueError) and not isinstance(ours.error, json.JSONDecodeError)


def _depth(given: Any) -> int:
    if isinstance(given, str):
        return depth_of_text(given)
    if isinstance(given, bytes | bytearray):
        return depth_of_text(given.decode("utf-8", "replace"))
    return depth_of(given)


def _is_too_deep(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    if action == "engine_decode":  # what JSON refuses is text to Engine.IO
        return isinstance(given, str) and _depth(given) > MAX_DEPTH
    if action in ("dumps", "encode"):
        given = given if action == "dumps" else given["data"]
    return _is_refused(ours) and "nested" in str(ours.error) and _depth(given) > MAX_DEPTH


def _is_shared_binary(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    """Encoded for polling first, then for a WebSocket: upstream gives the first form again."""
    if action != "engine_encode" or theirs.error or ours.error:
        return False
    _, data, b64 = given
    return (
        b64
        and isinstance(data, bytes | bytearray)
        and ours.value[:3] == [True, theirs.value[1], data]
    )


def _header_digits(text: str) -> str:
    """The characters that upstream takes for digits: type, attachment count and id."""
    digits, rest = text[:1], text[1:]
    count, dash, behind = rest.partition("-")
    if dash and count.isdigit():
        digits, rest = digits + count, behind
    if rest.startswith("/"):
        rest = rest.partition(",")[2]
    return digits + "".join(itertools.takewhile(str.isdigit, rest))


def _has_other_digits(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    if action not in (*_DECODES, "decode_message"):
        return False
    return any(char.isdigit() and not char.isascii() for char in _header_digits(given))


def _placeholders(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [found for item in value for found in _placeholders(item)]
    if not isinstance(value, dict):
        return []
    if value.get("_placeholder") and "num" in value:
        return [value["num"]]
    return [found for item in value.values() for found in _placeholders(item)]


def _has_bad_placeholder(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    if action != "reconstruct" or not _is_refused(ours):
        return False
    data, attachments = given
    size = len(attachments)
    return any(type(num) is not int or not 0 <= num < size for num in _placeholders(data))


def _is_message_refused(action: str, ours: Outcome) -> bool:
    return action == "decode_message" and _is_refused(ours)


def _head(text: str) -> tuple[int, int]:
    """Type and attachment count, which are looked at before the JSON is read; (-1, 0) for none."""
    found = re.match(r"([0-9])(?:([0-9]+)-)?", text)
    return (int(found[1]), int(found[2] or 0)) if found else (-1, 0)


def _is_unknown(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return _is_message_refused(action, ours) and _head(given)[0] > 6


def _has_bad_count(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    if not _is_message_refused(action, ours):
        return False
    kind, count = _head(given)
    return kind in (5, 6) and not 1 <= count <= MAX_ATTACHMENTS


def _has_shape(kinds: tuple[int, int], is_good: Callable[[Any], bool]) -> Callable[..., bool]:
    def applies(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
        if not _is_message_refused(action, ours) or theirs.error is not None:
            return False
        kind, _, _, data, _ = theirs.value
        return kind in kinds and not is_good(data)

    return applies


def _is_event(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], str)


def _is_reserved(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return action == "server" and _is_refused(ours) and "reserved" in str(ours.error)


def _is_resized(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return action == "dumps_resized" and type(ours.error) is RuntimeError


def _is_emit_to_nobody(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return action == "emit" and not any(given.values()) and ours.value == []


def _leaves(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return action == "session" and given[0] and ours.value == ["connect", 0, 1, "disconnect"]


def _is_called_again(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    if action != "session" or given[0] or not given[1]:
        return False
    return theirs.value.count(given[1]) == 2 and ours.value.count(given[1]) == 1


def _is_call_in_vain(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return action == "call" and isinstance(ours.error, toolboxsio.ClientDisconnectedError)


def _is_answer_with_bytes(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    is_lost = isinstance(theirs.error, TypeError) and ours.error is None
    return action == "publish_answer" and is_lost and toolboxsio.Packet.data_is_binary(given)


def _is_undefined(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    return action == "auth" and given.endswith(b"\xd4\0\0") and ours.value == [None]


def _is_unknown_option(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
    if action != "options" or theirs.error is not None or type(ours.error) is not TypeError:
        return False
    return any(f"no option {name!r}" in str(ours.error) for name in given)


def _is_json_of(given: str) -> Callable[..., bool]:
    return lambda action, actual, theirs, ours: action == "json_of" and actual == given


def _headers_of(given: dict[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in given.get("headers", []) if key == name]


def _own_paths(given: dict[str, Any]) -> tuple[str, str]:
    path = given.get("path", "/socket.io/")
    return path, path.removeprefix(given.get("root_path", ""))


def _is_own(path: str) -> bool:
    return f"{path}/".startswith("/socket.io/")


def _request_with(is_different: Callable[[dict[str, Any]], bool]) -> Callable[..., bool]:
    def applies(action: str, given: Any, theirs: Outcome, ours: Outcome) -> bool:
        return action == "request" and is_different(given)

    return applies


def _has_another_scheme(given: dict[str, Any]) -> bool:
    return given.get("scheme", "http") != "http" or bool(_headers_of(given, b"x-forwarded-proto"))


def _has_long_lists(given: dict[str, Any]) -> bool:
    query, connection = given.get("query_string", b""), _headers_of(given, b"connection")
    return len(query) > 300 or b"".join(connection).count(b",") > 100


def _is_anothers_websocket(given: dict[str, Any]) -> bool:
    kind = given.get("type", "http")
    is_own = kind == "websocket" and any(map(_is_own, _own_paths(given)))
    return kind != "http" and not is_own


def _is_reached_by_root_path(given: dict[str, Any]) -> bool:
    path, rest = _own_paths(given)
    return not _is_own(path) and _is_own(rest)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


DIFFERENCES = (
    Difference(
        "depth-limit",
        "JSON nested more than 512 deep is a ValueError instead of, deeper still, a RecursionError",
        _is_too_deep,
        (
            ("dumps", _nested(513)),
            ("loads", "[" * 513 + "]" * 513),
            ("loads", "[" * 100_000),
            ("decode", "2" + "[" * 513 + "]" * 513),
            ("engine_decode", "4" + "[" * 513 + "]" * 513),
        ),
    ),
    Difference(
        "ascii-digits",
        "only ASCII digits are digits in the header of a packet",
        _has_other_digits,
        (
            ("decode", '٢["a"]'),
            ("decode", '2٣["a"]'),
            ("decode", '5\u0661-["a"]'),
            ("decode_message", '2٣["a"]'),
        ),
    ),
    Difference(
        "placeholder-numbers",
        "the number of a placeholder is an int within the attachments, or ValueError",
        _has_bad_placeholder,
        (
            ("reconstruct", ([{"_placeholder": True, "num": -1}], [b"a"])),
            ("reconstruct", ([{"_placeholder": True, "num": 1}], [b"a"])),
            ("reconstruct", ([{"_placeholder": True, "num": "a"}], [b"a"])),
            ("reconstruct", ([{"_placeholder": True, "num": True}], [b"a", b"b"])),
        ),
    ),
    Difference(
        "resized-dict",
        "a dict whose size `default` changes while it is written is a RuntimeError",
        _is_resized,
        (("dumps_resized", None),),
    ),
    Difference(
        "unknown-type",
        "the server refuses a packet of type 7, 8 or 9 where it is read, before its JSON",
        _is_unknown,
        (("decode_message", "7"), ("decode_message", '9["a"]')),
    ),
    Difference(
        "attachment-count",
        "the server refuses a binary packet with no attachments, or more than max_attachments",
        _has_bad_count,
        tuple(("decode_message", text) for text in ('50-["a"]', '6["a"]', '511-["a"]', "5x")),
    ),
    Difference(
        "event-shape",
        "the server refuses an event that is not an array that starts with a string",
        _has_shape((2, 5), _is_event),
        tuple(("decode_message", text) for text in ("2", "2{}", "2[]", "2[1]", '51-{"a":1}')),
    ),
    Difference(
        "ack-shape",
        "the server refuses an acknowledgement that is not an array",
        _has_shape((3, 6), lambda data: isinstance(data, list)),
        tuple(("decode_message", text) for text in ("31", "31{}", '3"a"')),
    ),
    Difference(
        "reserved-names",
        "the server refuses the events connect and disconnect from a client",
        _is_reserved,
        (("server", '2["connect",{"forged":1}]'), ("server", '2["disconnect","x"]')),
    ),
    Difference(
        "empty-rooms",
        "an emit to an empty list, tuple or set is for nobody",
        _is_emit_to_nobody,
        (
            ("emit", {"to": []}),
            ("emit", {"room": []}),
            ("emit", {"to": (), "room": None}),
            ("emit", {"room": set()}),
        ),
    ),
    Difference(
        "disconnect-in-connect",
        "a connect handler may disconnect its client",
        _leaves,
        (("session", (True, "")),),
    ),
    Difference(
        "type-errors",
        "connect and disconnect handlers that raise TypeError are called once",
        _is_called_again,
        (("session", (False, "connect")), ("session", (False, "disconnect"))),
    ),
    Difference(
        "gone-calls",
        "call() to a client that has gone ends at once",
        _is_call_in_vain,
        (("call", {"to": "gone"}), ("call", {"to": ["gone"]}), ("call", {"sid": "gone"})),
    ),
    Difference(
        "binary-acks",
        "an acknowledgement with bytes reaches the process that has asked",
        _is_answer_with_bytes,
        (("publish_answer", [b"x"]), ("publish_answer", [1, {"a": [bytearray(b"x")]}])),
    ),
    Difference(
        "msgpack-undefined",
        "undefined as the data of a CONNECT packet of msgpack is None",
        _is_undefined,
        (("auth", bytes.fromhex("83a47479706500a36e7370a12fa464617461d40000")),),
    ),
    Difference(
        "unknown-options",
        "an option that does not exist is a TypeError",
        _is_unknown_option,
        (
            ("options", {"ping_intervall": 5}),
            ("options", {"ping_timeout": 5, "async_handler": False}),
            ("options", {"max_backlogs": 1}),
        ),
    ),
    Difference(
        "own-json",
        "the json= of a server is not that of the others",
        _is_json_of("another"),
        (("json_of", "another"),),
    ),
    Difference(
        "json-bytes",
        "dumps() of json= may give bytes, and need not take separators",
        _is_json_of("bytes"),
        (("json_of", "bytes"),),
    ),
    Difference(
        "awaited-answers",
        "what a handler returns is awaited as long as that can be done",
        lambda action, given, theirs, ours: (
            action == "handler" and theirs.value == [] and ours.value == ["awaited"]
        ),
        (("handler", "returns an awaitable"),),
    ),
    Difference(
        "handler-failures",
        "what a handler raises is logged where it is called, with the event and the client",
        lambda action, given, theirs, ours: (
            action == "handler" and type(theirs.error) is LookupError and ours.value == []
        ),
        (("handler", "fails"),),
    ),
    Difference(
        "cookie-headers",
        "several Cookie headers are joined as cookies are",
        _request_with(lambda given: len(_headers_of(given, b"cookie")) > 1),
        (("request", {"headers": [(b"cookie", b"a=1"), (b"cookie", b"b=2")]}),),
    ),
    Difference(
        "origin-scheme",
        "the scheme of a request is that of its connection, and https for wss",
        _request_with(_has_another_scheme),
        (
            ("request", {"scheme": "https"}),
            ("request", {"headers": [(b"host", b"x"), (b"x-forwarded-proto", b"wss")]}),
            (
                "request",
                {"scheme": "https", "headers": [(b"host", b"x"), (b"origin", b"https://x")]},
            ),
        ),
    ),
    Difference(
        "long-queries",
        "a request whose query or Connection header takes long to read is refused",
        _request_with(_has_long_lists),
        (
            ("request", {"query_string": b"EIO=4&transport=polling&" + b"%41=1&" * 200}),
            ("request", {"query_string": b"EIO=4&transport=polling&" + b"a" * 70_000}),
            ("request", {"headers": [(b"connection", b"," * 101)]}),
        ),
    ),
    Difference(
        "refused-bodies",
        "the body of a request that is refused is received before the answer, on HTTP/2",
        _request_with(lambda given: given.get("http_version") == "2"),
        (
            (
                "request",
                {"http_version": "2", "method": "POST", "body": [b"4", b"4"]},
            ),
        ),
    ),
    Difference(
        "other-websockets",
        "a WebSocket for nobody is answered 404; a scope of another type is refused",
        _request_with(_is_anothers_websocket),
        (
            ("request", {"type": "websocket", "path": "/x"}),
            (
                "request",
                {"type": "websocket", "path": "/x", "extensions": {"websocket.http.response": {}}},
            ),
            ("request", {"type": "webtransport"}),
        ),
    ),
    Difference(
        "websocket-polling",
        "a WebSocket opens no polling session",
        _request_with(
            lambda given: (
                given.get("type") == "websocket"
                and b"transport=websocket" not in given.get("query_string", b"transport=polling")
            )
        ),
        (
            ("request", {"type": "websocket", "query_string": b"EIO=4"}),
            ("request", {"type": "websocket"}),
        ),
    ),
    Difference(
        "root-path",
        "the path is looked for behind root_path, too",
        _request_with(_is_reached_by_root_path),
        (("request", {"path": "/ws/socket.io/", "root_path": "/ws"}),),
    ),
    Difference(
        "static-directories",
        "a folder is no static file",
        _request_with(lambda given: given.get("path", "").startswith("/files")),
        (("request", {"path": "/files"}), ("request", {"path": "/files/.."})),
    ),
    Difference(
        "open-failures",
        "a session whose OPEN packet cannot be encoded is not opened",
        lambda action, given, theirs, ours: action == "open" and ours.value == 0,
        (("open", "polling"),),
    ),
    Difference(
        "shared-binary",
        "a binary packet may be encoded for both transports",
        _is_shared_binary,
        (("engine_encode", (4, b"", True)), ("engine_encode", (4, b"12", True))),
    ),
)


def explain(action: str, given: Any, theirs: Outcome, ours: Outcome) -> str | None:
    """The name of the difference that explains a case, or None."""
    names = (d.name for d in DIFFERENCES if d.applies(action, given, theirs, ours))
    return next(names, None)
