"""Random programs of emits, for the handlers in emits_handlers.py."""

import json
import random
import re
from typing import Any

from .emits_values import HALL, ODD, SPEAKING

ROOMS = ("r1", "r2", "\u00e9", HALL, 5)
EVENTS = ("e", "with space \u00e9", "\u65e5\u672c\u2028", 'a "quoted"', "")
#: Lengths at which the head of a WebSocket frame grows.
EDGES = (125, 126, 65535, 65536)
#: Where an event can ask for a program, and where its class emits.
HOMES = ("/", SPEAKING)
CLASSES = ("/chat", SPEAKING)
#: Events that want an acknowledgement: attachments, namespace, id, name
ASKED = re.compile(r'4[25](?:(\d+)-)?(/[^,]*,)?(\d+)\["(asked|called)"')
#: Operations, and how often each is to come.
WEIGHTS = {
    "emit": 9,
    "send": 2,
    "callback": 2,
    "call": 2,
    "odd": 2,
    "disconnect": 1,
    "enter_room": 4,
    "leave_room": 1,
    "close_room": 1,
    "rooms": 1,
    "participants": 1,
}


class Programs:
    """Operations on the clients of a session.

    `members` tells who is in a namespace, by number; operations that disconnect change it.
    """

    def __init__(
        self, rng: random.Random, values: Any, count: int, members: dict[str, set[int]]
    ) -> None:
        self.rng = rng
        self.values = values
        self.count = count
        self.members = members

    def operation(self, caller: int, home: str, with_bytes: bool) -> dict[str, Any]:
        """One operation, most often in the namespace of its caller.

        :param with_bytes: whether bytes may be emitted to more than one client.
        """
        rng = self.rng
        namespace = home
        if rng.random() < 0.25:
            namespace = rng.choice(("/", "/", "/chat", "/wild", "/legacy", SPEAKING, "/nowhere"))
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        operation = getattr(self, f"make_{kind}")(caller, namespace, with_bytes)
        operation["namespace"] = namespace
        if namespace in CLASSES and kind != "participants" and rng.random() < 0.5:
            operation["by"] = "namespace"
        return operation

    # who

    def client(self, namespace: str) -> dict[str, int]:
        members = sorted(self.members[namespace])
        if members and self.rng.random() < 0.85:
            return {"client": self.rng.choice(members)}
        return {"client": self.rng.randrange(self.count)}

    def room(self) -> Any:
        return self.rng.choice((*ROOMS, "unknown room"))

    def rooms(self, namespace: str) -> Any:
        """Several rooms, which overlap; sids are among them."""
        rng = self.rng
        kind = rng.choice(("list", "list", "list", "tuple", "tuple", "set"))
        count = rng.choice((1, 1, 2, 2, 3, 4))  # none: nobody, where upstream has everybody
        rooms = [
            self.room() if rng.random() < 0.7 else self.client(namespace) for _ in range(count)
        ]
        return {kind: rooms}

    def address(self, namespace: str) -> dict[str, Any]:
        """Arguments that tell who is to receive something."""
        rng = self.rng
        name = rng.choice(("to", "room"))
        how = rng.random()
        address: dict[str, Any] = {}
        if how < 0.2:
            address[name] = self.client(namespace)
        elif how < 0.45:
            address[name] = self.room()
        elif how < 0.75:
            address[name] = self.rooms(namespace)
        elif how < 0.8:
            address[name] = rng.choice((None, "", 0))
        if rng.random() < 0.1:
            address |= {"to": rng.choice(("", self.room())), "room": self.room()}
        if rng.random() < 0.35:
            address["skip_sid"] = self.skipped(namespace)
        return address

    def skipped(self, namespace: str) -> Any:
        several = [self.client(namespace) for _ in range(self.rng.randrange(3))]
        return self.rng.choice(
            (
                self.client(namespace),
                {"list": several},
                {"list": several},
                {"tuple": several},
                "who",
            )
        )

    def is_for_one(self, address: dict[str, Any]) -> bool:
        target = address.get("to") or address.get("room")
        return isinstance(target, dict) and "client" in target

    # what

    def data(self, is_binary: bool, frame: int = 0) -> Any:
        """Data of an emit.

        :param frame: bytes of what else is in the frame, for lengths at its edges; 0: none of them.
        """
        rng, values = self.rng, self.values
        how = rng.random()
        if is_binary and how < 0.4:
            leaves = [
                {"$bytes": rng.choice((0, 1, 3, 300, *EDGES))} for _ in range(rng.randrange(4))
            ]
            leaves.append({"$bytes": 5})
            nested = values.value(2, leaves)
            return rng.choice(([nested, *leaves], {"$tuple": [nested, *leaves]}, {"b": leaves}))
        if frame and how > 0.9:
            return {"$text": ["x", rng.choice(EDGES) - frame]}
        if how < 0.15:
            return None
        if how < 0.35:
            return {"$tuple": [values.value() for _ in range(rng.randrange(4))]}
        if how < 0.4:
            return {"$text": [rng.choice(("x", "\u00e4", "\U0001f600")), rng.choice((200, 70_000))]}
        return values.value()

    def event(self) -> Any:
        if self.rng.random() < 0.02:
            return self.rng.choice((5, None))
        if self.rng.random() < 0.1:
            return self.values.text()
        return self.rng.choice(EVENTS)

    # operations

    def make_emit(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        address = self.address(namespace)
        is_binary = with_bytes or self.is_for_one(address)
        if self.rng.random() < 0.1:
            frame = len('42["e",""]') + (0 if namespace == "/" else len(f"{namespace},".encode()))
            return {"do": "emit", "event": "e", "data": self.data(is_binary, frame), **address}
        return {"do": "emit", "event": self.event(), "data": self.data(is_binary), **address}

    def make_send(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        address = self.address(namespace)
        is_binary = with_bytes or self.is_for_one(address)
        return {"do": "send", "data": self.data(is_binary), **address}

    def make_callback(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        operation = self.make_emit(caller, namespace, with_bytes)
        name = self.rng.choice(("plain ", "async ")) + str(self.rng.randrange(100))
        return operation | {"event": "asked", "callback": name}

    def make_call(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        if self.rng.random() < 0.1:
            return {"do": "call", "event": "called", "timeout": 0.01}  # to nobody in particular
        client = self.client(namespace)
        room = client if self.rng.random() < 0.8 else {"list": [client]}
        call = {"do": "call", "event": "called", "data": self.data(True), "timeout": 0.01}
        if client["client"] in self.members[namespace] and self.rng.random() < 0.7:
            call["timeout"] = 6
        return call | {self.rng.choice(("to", "sid")): room}

    def make_enter_room(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        room = self.room() if self.rng.random() < 0.9 else self.client(namespace)
        return {"do": "enter_room", "sid": self.client(namespace), "room": room}

    def make_leave_room(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        return {"do": "leave_room", "sid": self.client(namespace), "room": self.room()}

    def make_close_room(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        room = self.room() if self.rng.random() < 0.9 else self.client(namespace)
        return {"do": "close_room", "room": room}

    def make_rooms(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        return {"do": "rooms", "sid": self.client(namespace)}

    def make_participants(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        room = self.rng.choice((None, self.room(), self.client(namespace), self.rooms(namespace)))
        return {"do": "participants", "room": room}

    def make_disconnect(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        client = self.client(namespace)
        if self.rng.random() < 0.5:  # there are few clients, and enough that ends
            client = {"client": self.count}
        self.members[namespace].discard(client["client"])
        return {"do": "disconnect", "sid": client}

    def make_odd(self, caller: int, namespace: str, with_bytes: bool) -> dict[str, Any]:
        """Data that JSON does not know, or not as it is."""
        odd = self.rng.choice(sorted(ODD))
        return {"do": "emit", "event": "odd", "data": {"$odd": odd}, **self.address(namespace)}


def answered_calls(operations: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Who is called and has to answer, and in which namespace, in order."""
    calls = []
    for operation in operations:
        if operation["do"] == "call" and operation["timeout"] > 1:
            client = operation.get("to") or operation.get("sid")
            client = client["list"][0] if "list" in client else client
            calls.append((client["client"], operation["namespace"]))
    return calls


def kinds_of(operation: dict[str, Any]) -> set[str]:
    """What is remarkable about an operation, in words."""
    kinds = {operation["do"], operation["namespace"], *operation}
    if operation["do"] == "call" and operation["timeout"] > 1:
        kinds.add("answered call")
    if "by" in operation:
        kinds.add("by namespace")
    if operation.get("data", "") is None:
        kinds.add("None")
    text = json.dumps(operation, ensure_ascii=False)
    words = ("$bytes", "$text", "$tuple", "list", "tuple", "set", "client", *ODD)
    return kinds | {word for word in words if f'"{word}"' in text}


def asked_answer(namespace: str, id: int) -> list[str | bytes]:
    """How a client acknowledges the event "asked"."""
    if id % 3 == 0:
        return [f'461-{namespace}{id}[{{"_placeholder":true,"num":0}}]', b"\x00\xff"]
    return [f"43{namespace}{id}[]" if id % 3 == 1 else f'43{namespace}{id}[{id},"\u00e9"]']


def program_of(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of emits that a step with these arguments asks for."""
    frame = (arguments.get("frames") or [""])[0]
    if not isinstance(frame, str) or '["emits"' not in frame:
        return []
    operations: list[dict[str, Any]] = json.loads(frame[frame.index("[") :])[1]
    return operations
