"""Random sessions of several clients, made from a seed, and their player.

`generate(seed)` returns steps: one client's action each, with all that is in it. `play(server,
steps, name)` plays them one after the other and returns what each client saw and what the handlers
saw of it. A step ends when its client has the answer to a packet that the server handles last;
where others receive something too, steps follow in which they do the same. So the order of frames
is the server's own doing, and a correct server has no choice in it.

Handlers that do not wait for anything are called in bursts; those that do are called alone.

What is emitted to the others may wait for them for several steps: in their sockets, in what they
poll, and in an upgrade that has begun. A client that sees the event "asked" acknowledges it when it
has the answer it waits for; "called" is acknowledged by a step of its own.
"""

import base64
import hashlib
import json
import random
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from .emits_programs import ASKED, HOMES, Programs, answered_calls, asked_answer
from .emits_values import SPEAKING
from .frames import CLOSE, PING, TEXT, encode
from .harness import Server
from .raw import WebSocket, Wire, as_upstream, ends_sorted

CLIENTS = 8
STEPS = 45
ROOMS = ("r1", "r2", "\u00e9")
KINDS = ("websocket", "websocket", "polling", "upgrade")
NAMESPACES = ("/", "/", "/chat", "/wild", "/refuse", "/legacy", "/nowhere", SPEAKING)
#: Where an event is acknowledged at once: what is sent and what comes back, by namespace.
SYNC = {
    "/": ('42999["one","sync"]', '43999["sync"]'),
    "/wild": ('42/wild,999["sync"]', '43/wild,999["sync"]'),
    "/legacy": ('42/legacy,999["x"]', '43/legacy,999["legacy"]'),
    SPEAKING: (f'42{SPEAKING},999["sync"]', f'43{SPEAKING},999["sync"]'),
}
SYNC_ENGINE = ("5", "6")  # works without a namespace
#: Engine.IO packets without effect.
IDLE_PACKETS = ("2", "2probe", "3x", "6", "0", "0{}")
SHORT_ANSWERS = ("zero", "false", "empty text", "empty list", "empty dict", "empty tuple")
SHORT_ANSWERS += ("float", "whole float", "tiny", "big", "huge", "unicode", "nested")
BINARY_ANSWERS = ("empty bytes", "bytes", "bytes inside", "several with bytes")
#: What ends a WebSocket, with a status of the server: frames as they are on the wire.
VIOLATIONS: dict[str, list[Any]] = {
    "not UTF-8": [(b"\xff", TEXT, True)],
    "half a character": [(b"\xc3", TEXT, True)],
    "opcode 3": [(b"x", 3, True)],
    "opcode 11": [(b"x", 11, True)],
    "nothing to continue": [(b"x", 0, True)],
    "message in a message": [(b"4", TEXT, False), (b"4", TEXT, True)],
    "ping in fragments": [(b"x", PING, False)],
    "long ping": [(b"x" * 126, PING, True)],
    "reserved bit": [b"\xc1\x80\x00\x00\x00\x00"],
    "not masked": [b"\x81\x012"],
    "status of one byte": [(b"\x03", CLOSE, True)],
    "status 1005": [(b"\x03\xed", CLOSE, True)],
    "status 999": [(b"\x03\xe7", CLOSE, True)],
    "reason not UTF-8": [(b"\x03\xe8\xff", CLOSE, True)],
}

Frame = str | bytes


@dataclass
class Step:
    client: int
    action: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """What the generator knows of a client."""

    kind: str
    transport: str = "none"
    namespaces: set[str] = field(default_factory=set)
    remembered: bool = False

    def sync(self) -> tuple[str, str]:
        for namespace, exchange in SYNC.items():
            if namespace in self.namespaces:
                return exchange
        return SYNC_ENGINE


def prefix(namespace: str) -> str:
    return "" if namespace == "/" else f"{namespace},"


# --- values ---------------------------------------------------------------------------------------


class Values:
    """Random JSON: values, and how they are written."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def text(self) -> str:
        rng = self.rng
        pools = (
            "abc XYZ 019",
            '"\\/\b\f\n\r\t\x00\x1f\x7f',
            "\u00e4\u00df\u0416\u65e5\u672c\u2028\u2029\ufeff\uffff",
            "\U0001f600\U0010ffff",
            "\ud800\udc00\udfff",
        )
        if rng.random() < 0.02:
            return rng.choice(("x", "\u00e4", "\U0001f600")) * rng.choice((125, 200, 33_000))
        weights = (8, 2, 3, 2, 0.3)
        return "".join(rng.choice(rng.choices(pools, weights)[0]) for _ in range(rng.randrange(10)))

    def scalar(self) -> Any:
        rng = self.rng
        return rng.choice(
            (
                lambda: rng.choice((None, True, False)),
                lambda: rng.randrange(-20, 300),
                lambda: rng.choice((1, -1)) * 2 ** rng.randrange(130) + rng.randrange(-1, 2),
                lambda: rng.choice((0.0, -0.0, 1.5, 1e16, 1e22, 5e-324, 1e-5, 1.7e308, 0.1)),
                lambda: rng.uniform(-1e6, 1e6),
                lambda: struct.unpack("<d", rng.randbytes(8))[0],  # now and then no number
                self.text,
                self.text,
            )
        )()

    def value(self, depth: int = 4, leaves: list[Any] | None = None) -> Any:
        """Return a value; some of its leaves are taken from `leaves` while there are any."""
        rng = self.rng
        if leaves and rng.random() < 0.4:
            return leaves.pop()
        kind = rng.random()
        if depth == 0 or kind < 0.5:
            if rng.random() < 0.005:
                return json.loads("[" * 60 + "]" * 60)
            return self.scalar()
        items = [self.value(depth - 1, leaves) for _ in range(rng.randrange(5))]
        if kind < 0.75:
            return items
        return {self.text(): item for item in items}

    def dump(self, value: Any) -> str:
        rng = self.rng
        ascii_only = rng.random() < 0.5
        separators = rng.choice(((",", ":"), (",", ":"), (", ", ": "), (" ,\t", " :\n")))
        text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
        try:
            text.encode()
        except UnicodeEncodeError:  # half a pair can only be sent as an escape
            text = json.dumps(value, separators=separators)
        return text


# --- the generator --------------------------------------------------------------------------------


class Generator:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.values = Values(self.rng)
        self.clients = [State(self.rng.choice(KINDS)) for _ in range(CLIENTS)]
        self.steps: list[Step] = []

    def add(self, client: int, action: str, **arguments: Any) -> None:
        self.steps.append(Step(client, action, arguments))

    def sync(self, *clients: int) -> None:
        for client in clients:
            packet, answer = self.clients[client].sync()
            self.add(client, "sync", packet=packet, answer=answer)

    def everyone(self, namespace: str, first: int) -> list[int]:
        """Return who may receive what is sent in a namespace, `first` before the others."""
        others = [
            number
            for number, state in enumerate(self.clients)
            if namespace in state.namespaces and number != first
        ]
        return [first, *others]

    def is_one_transport(self, clients: list[int]) -> bool:
        """Whether bytes can be sent to all of them.

        Where one polls and one does not, python-engineio sends one of them what it has encoded for
        the other.
        """
        return len({self.clients[number].transport for number in clients}) == 1

    def steps_of(self) -> list[Step]:
        for _ in range(STEPS):
            number = self.rng.randrange(CLIENTS)
            state = self.clients[number]
            if state.transport == "none":
                self.open(number, state)
            elif state.transport != "closed":
                self.act(number, state)
        for number, state in enumerate(self.clients):
            if state.transport not in ("none", "closed"):
                self.end(number, state)
        return self.steps

    def open(self, number: int, state: State) -> None:
        state.transport = "websocket" if state.kind == "websocket" else "polling"
        self.add(number, "open", transport=state.transport)
        if self.rng.random() < 0.9:
            self.burst(number, state, [self.connect(state, "/")])

    def act(self, number: int, state: State) -> None:
        rng = self.rng
        if state.kind == "upgrade" and state.transport == "polling" and rng.random() < 0.4:
            self.upgrade(number, state)
            return
        kinds: list[Any] = [self.several, self.several, self.several]
        kinds += [self.reconnect, self.leave]
        if self.homes(state):
            kinds += [self.emits] * 4
        if "/" in state.namespaces:
            kinds += [self.alone, self.question, self.to_room, self.to_room, self.kick]
        if "/chat" in state.namespaces:
            kinds += [self.chat, self.chat]
        if state.transport == "websocket":
            kinds += [self.ping, self.fragments]
        if rng.random() < 0.06:
            kinds = [self.end]
        rng.choice(kinds)(number, state)

    # packets

    def id(self) -> str:
        rng = self.rng
        return rng.choice(("", str(rng.randrange(10)), str(rng.randrange(1000, 10**15))))

    def event(self, namespace: str, id: str, name: str, *args: Any) -> list[Frame]:
        """Return the frames of an event; now and then with attachments."""
        rng = self.rng
        if rng.random() > 0.2 or not args:
            data = self.values.dump([name, *args])
            return [f"42{prefix(namespace)}{id}{data}"]
        return self.binary("45", namespace, id, [name, *args])

    def binary(self, kind: str, namespace: str, id: str, data: list[Any]) -> list[Frame]:
        rng = self.rng
        count = rng.randrange(1, 4)
        holes = [{"_placeholder": True, "num": num} for num in range(count)]
        rng.shuffle(holes)
        data = [*data, self.values.value(2, holes), *holes]  # all are in it in the end
        attachments = [rng.randbytes(rng.choice((0, 1, 3, 126, 300))) for _ in range(count)]
        head = f"{kind}{count}-{prefix(namespace)}{id}{self.values.dump(data)}"
        return [head, *attachments]

    def connect(self, state: State, namespace: str) -> list[Frame]:
        rng = self.rng
        auth = rng.choice(("", "", "{}", "null", "false"))
        if namespace == "/refuse":
            auth = rng.choice(("", '"false"', '"builtin"', '{"a":[1]}'))
        elif namespace != "/legacy" and rng.random() < 0.6:  # there the handler takes none
            auth = rng.choice(('{"token":"t\u00f6ken"}', "[1]", '"text"', "true"))
        if namespace not in ("/refuse", "/nowhere"):
            state.namespaces.add(namespace)
        return [f"40{prefix(namespace)}{auth}"]

    def pure(self, state: State) -> list[Frame]:
        """Return the frames of one packet whose handler does not wait."""
        rng, values = self.rng, self.values
        namespace = rng.choice(NAMESPACES)
        if state.namespaces and rng.random() < 0.8:
            namespace = rng.choice(sorted(state.namespaces))
        if namespace not in state.namespaces:
            return [f"42{prefix(namespace)}{self.id()}{values.dump(['one', values.value()])}"]
        if namespace == "/wild":
            return self.event(namespace, self.id(), "any " + values.text(), values.value())
        if namespace == "/legacy":
            return [f'42/legacy,{self.id()}["x"]']
        if namespace == SPEAKING:
            return [f'42{SPEAKING},{self.id()}["sync"]']
        if namespace == "/chat":
            return [f'42/chat,{self.id()}["unknown",1]']
        choice = rng.randrange(15)
        if choice < 3:
            value = values.value()
            return self.event("/", self.id(), "several", value, values.value())
        if choice < 5:
            return [f"42{self.id()}{values.dump(['one', values.value()])}"]
        if choice == 5:
            return self.event("/", self.id(), "plain", values.value(), values.value())
        if choice == 6:
            return self.event("/", self.id(), "nothing", values.value())
        if choice == 7:
            name = rng.choice((*SHORT_ANSWERS, *BINARY_ANSWERS))
            return [f'42{self.id()}["answer","{name}"]']
        if choice == 8:
            return [f'42{self.id()}["{rng.choice(("join", "leave"))}","{rng.choice(ROOMS)}"]']
        if choice == 9:
            if state.remembered:
                return [f'42{self.id()}["recall"]']
            state.remembered = True
            return [f"42{self.id()}{values.dump(['remember', values.value()])}"]
        if choice == 10:
            name = rng.choice(("transport", "whoami", "with space \u00e9"))
            return [f'42{self.id()}["{name}"]']
        if choice == 11:  # without an answer: raises, has too many arguments, is not there
            name = rng.choice(('"boom"', '"whoami",1', '"no such event",{}', '"recall",1'))
            return [f"42{self.id()}[{name}]"]
        if choice == 12:
            return [f'42["numbered",{rng.randrange(100)}]']
        if choice == 13:
            return [f"43{rng.randrange(100, 999)}{values.dump([values.value()])}"]
        return [rng.choice(IDLE_PACKETS) if state.transport == "websocket" else "3"]

    # steps

    def burst(self, number: int, state: State, packets: list[list[Frame]]) -> None:
        frames = [frame for packet in packets for frame in packet][:15]
        how = self.rng.choice(("frames", "segment", "segment", "bytes"))
        if how == "bytes" and sum(map(len, frames)) > 400:
            how = "segment"
        self.add(number, "send", frames=frames, how=how)
        self.sync(number)

    def several(self, number: int, state: State) -> None:
        packets: list[list[Frame]] = []
        for _ in range(self.rng.randrange(1, 6)):
            packet = self.pure(state)
            if sum(map(len, packets)) + len(packet) <= 15:
                packets.append(packet)
        self.burst(number, state, packets)

    def reconnect(self, number: int, state: State) -> None:
        """Connect to a namespace, among other packets where nothing overtakes them."""
        rng = self.rng
        namespace = rng.choice(NAMESPACES)
        if namespace == SPEAKING:  # its handlers wait for what they emit
            refused = SPEAKING in state.namespaces
            frames = self.connect(state, SPEAKING)
            self.alone_until(number, frames, f"{44 if refused else 40}{SPEAKING},")
            return
        packets = []
        if state.transport == "websocket" and rng.random() < 0.5:
            packets.append(self.pure(state))
        packets.append(self.connect(state, namespace))
        if rng.random() < 0.5:
            packets.append(self.pure(state))
        self.burst(number, state, packets)
        state.remembered &= namespace != "/"

    def leave(self, number: int, state: State) -> None:
        namespace = self.rng.choice(NAMESPACES)
        if namespace == SPEAKING and SPEAKING in state.namespaces:
            state.namespaces.discard(SPEAKING)
            self.alone_until(number, [f"41{SPEAKING},"], f'42{SPEAKING},["goodbye"]')
            return
        is_websocket = state.transport == "websocket"  # in one payload the end would come first
        before = [self.pure(state)] if is_websocket and self.rng.random() < 0.5 else []
        state.namespaces.discard(namespace)
        state.remembered &= namespace != "/"
        packet = f"41{prefix(namespace)}"
        self.burst(number, state, [*before, [packet], self.pure(state)])

    def alone(self, number: int, state: State) -> None:
        """An event whose handler sends something before it answers."""
        id = str(self.rng.randrange(10))
        frames = self.rng.choice(
            (
                lambda: self.event("/", id, "echo", self.values.value(), self.values.value()),
                lambda: [f'42{id}["burst",{self.rng.randrange(4)}]'],
                lambda: [f'42{id}["send_message"]'],
            )
        )()
        self.alone_until(number, frames, f"43{id}[")

    def alone_until(self, number: int, frames: list[Frame], answer: str) -> None:
        """Send what is handled in several turns, and nothing before its last packet is there."""
        self.add(number, "send", frames=frames, how="frames")
        self.add(number, "until", answer=answer)
        self.sync(number)

    def question(self, number: int, state: State) -> None:
        id = str(self.rng.randrange(10))
        name = self.rng.choice(("ask", "callback"))
        answer = [self.values.value() for _ in range(self.rng.randrange(3))]
        frames: list[Frame] = [f"42{id}{self.values.dump([name, self.values.value()])}"]
        if self.rng.random() < 0.3:
            frames = [f'451-{id}["{name}",[{{"_placeholder":true,"num":0}}]]', b"\x00kind"]
        answers: list[Frame] = [f"43ID{self.values.dump(answer)}"]
        if self.rng.random() < 0.3:
            answers = self.binary("46", "/", "ID", answer)
        self.add(
            number,
            "question",
            frames=frames,
            answer=answers,
            last=f"43{id}[",
            acked_first=name == "callback",
        )
        self.sync(number)

    def to_room(self, number: int, state: State) -> None:
        id = str(self.rng.randrange(10))
        room = self.rng.choice((*ROOMS, None))
        data: Any = self.values.value()
        skip = self.rng.random() < 0.3
        frames: list[Frame] = [f"42{id}{self.values.dump(['to_room', room, data, skip])}"]
        everyone = self.everyone("/", number)
        if self.is_one_transport(everyone) and self.rng.random() < 0.3:
            data = '{"_placeholder":true,"num":0}'
            room_text = json.dumps(room)
            frames = [f'451-{id}["to_room",{room_text},{data},{json.dumps(skip)}]', b"\x00\xff"]
        self.add(number, "send", frames=frames, how="segment")
        self.add(number, "until", answer=f"43{id}[")
        self.sync(*everyone)

    def chat(self, number: int, state: State) -> None:
        id = str(self.rng.randrange(10))
        everyone = self.everyone("/chat", number)
        args = [self.values.value() for _ in range(2)]
        frames: list[Frame] = [f"42/chat,{id}{self.values.dump(['say', *args])}"]
        if self.is_one_transport(everyone) and self.rng.random() < 0.3:
            frames = self.binary("45", "/chat", id, ["say", *args])
        self.add(number, "send", frames=frames, how="segment")
        self.add(number, "until", answer=f"43/chat,{id}[")
        self.sync(*everyone)

    def kick(self, number: int, state: State) -> None:
        namespace = "/chat" if "/chat" in state.namespaces and self.rng.random() < 0.5 else "/"
        id = str(self.rng.randrange(10))
        state.namespaces.discard(namespace)
        state.remembered &= namespace != "/"
        self.add(number, "send", frames=[f'42{prefix(namespace)}{id}["kick"]'], how="frames")
        self.add(number, "until", answer=f"43{prefix(namespace)}{id}[")
        self.sync(number)

    # emits

    def homes(self, state: State) -> list[str]:
        return [namespace for namespace in HOMES if namespace in state.namespaces]

    def emits(self, number: int, state: State, busy: int | None = None) -> None:
        """A program of emits.

        :param busy: a client that is amid an upgrade, and does nothing else.
        """
        rng = self.rng
        home = rng.choice(self.homes(state))
        members = {
            namespace: {n for n, other in enumerate(self.clients) if namespace in other.namespaces}
            for namespace in {*NAMESPACES, "/nowhere"}
        }
        programs = Programs(rng, self.values, CLIENTS, members)
        operations = []
        for _ in range(rng.randrange(1, 8)):
            alike = self.is_one_transport([n for group in members.values() for n in group])
            operations.append(programs.operation(number, home, alike and busy is None))
        for operation in operations:
            if busy in (client for client, _ in answered_calls([operation])):
                operation["timeout"] = 0.01
        id = str(rng.randrange(10))
        frames: list[Frame] = [f"42{prefix(home)}{id}{json.dumps(['emits', operations])}"]
        self.add(number, "send", frames=frames, how="segment")
        for client, namespace in answered_calls(operations):
            answer: list[Frame] = [f"43{prefix(namespace)}ID{self.values.dump([client, None])}"]
            if rng.random() < 0.3:
                answer = self.binary("46", namespace, "ID", [client])
            self.add(client, "answer", answer=answer)
        self.add(number, "until", answer=f"43{prefix(home)}{id}[")
        for client, other in enumerate(self.clients):
            other.namespaces &= {name for name, group in members.items() if client in group}
            other.remembered &= "/" in other.namespaces
        if any('"$bytes' in json.dumps(operation) for operation in operations):
            self.sync_all(busy)  # what polls must not be upgraded with bytes that others poll, too
        elif rng.random() < 0.3:
            self.sync_all(busy)
        elif busy != number:
            self.sync(number)

    def sync_all(self, busy: int | None) -> None:
        for number, state in enumerate(self.clients):
            if state.transport not in ("none", "closed") and number != busy:
                self.sync(number)

    def ping(self, number: int, state: State) -> None:
        payload = self.rng.randbytes(self.rng.choice((0, 1, 125)))
        self.add(number, "ping", payload=payload)

    def fragments(self, number: int, state: State) -> None:
        """One packet in fragments, at any byte, with control frames between them."""
        packet = self.pure(state)
        frame = packet[0]
        data = frame.encode() if isinstance(frame, str) else frame
        cuts = sorted(self.rng.randrange(len(data) + 1) for _ in range(self.rng.randrange(1, 4)))
        parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        pings = [self.rng.random() < 0.4 for _ in parts[1:]]
        self.add(number, "fragments", parts=parts, pings=pings)
        if len(packet) > 1:
            self.add(number, "send", frames=packet[1:], how="segment")
        self.sync(number)

    def upgrade(self, number: int, state: State) -> None:
        rng = self.rng
        fails = rng.random() < 0.3
        last = "5"
        if fails:
            last = rng.choice(("2probe", "4x", "6"))
        first = rng.choice(("2", "3probe", "4x")) if fails and rng.random() < 0.5 else "2probe"
        self.add(number, "upgrade_begin", first=first, waiting=rng.random() < 0.5)
        others = [n for n, s in enumerate(self.clients) if n != number and self.homes(s)]
        if first == "2probe":
            if others and rng.random() < 0.6:
                other = rng.choice(others)
                self.emits(other, self.clients[other], busy=number)
            self.add(number, "upgrade_end", last=last)
        if not fails:
            state.transport = "websocket"
        self.sync(number)

    def end(self, number: int, state: State) -> None:
        rng = self.rng
        ways = ["packet"]
        if state.transport == "websocket":
            ways += ["fin", "reset", "half a frame", "half a packet", "close", "violation"]
        way = rng.choice(ways)
        arguments: dict[str, Any] = {"way": way}
        if way == "close":
            code = rng.choice((1000, 1001, 1011, 3000, 4999))
            reason = rng.choice(("", "bye", "\u00e9" * 61)).encode()
            arguments["payload"] = rng.choice((b"", code.to_bytes(2) + reason))
        elif way == "violation":
            arguments["violation"] = rng.choice(sorted(VIOLATIONS))
        elif way == "half a packet":
            arguments["connected"] = "/" in state.namespaces
        self.add(number, "end", **arguments)
        if any(
            other.transport not in ("none", "closed") for other in self.clients if other != state
        ):
            self.add(number, "settle")  # what the others are told of it comes before their turn
        state.transport = "closed"
        state.namespaces.clear()


def generate(seed: int) -> list[Step]:
    return Generator(seed).steps_of()


# --- the player -----------------------------------------------------------------------------------

QUESTION = re.compile(r'4[25](?:(\d+)-)?(\d+)\["question"')
LARGE = 1000
#: Acknowledge at once: the kernel would wait for more to come, and the server for that.
QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class Client:
    """One client of a session, whatever its transport."""

    def __init__(self, port: int, run: str) -> None:
        self.run = run
        self.wire = Wire(port, run)
        self.ws: WebSocket | None = None
        self.sid = ""
        self.polled: list[str] = []
        self.asked: list[tuple[str, list[Frame]]] = []  # namespace, answer that is not sent yet
        self.upgrading: WebSocket | None = None
        self.was_polling = False
        self.ended = False

    # frames

    def next(self) -> Frame | None:
        """Note one packet of the server and return it; None at the end."""
        if self.ws is not None:
            if self.ws.ended:
                return None
            if QUICKACK is not None:
                self.ws.connection.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
            return self.seen(self.ws.receive())
        if self.ended:
            return None
        if not self.polled:
            self.polled = self.wire.get(self.sid).split("\x1e")
            response = self.wire.lines.pop()
            if response[1] != "HTTP/1.1 200 OK":
                self.wire.lines.append(response)
                self.ended = True
                return None
        packet = self.polled.pop(0)
        self.wire.note("packet", packet if len(packet) < 2000 else len(packet))
        return self.seen(packet)

    def seen(self, packet: Frame | None) -> Frame | None:
        """Note what is in a packet of which the line tells only the length; remember questions."""
        if packet is not None and len(packet) >= LARGE:
            data = self.wire.label(packet).encode() if isinstance(packet, str) else packet
            self.wire.note("content", hashlib.sha1(data).hexdigest())
        if isinstance(packet, str) and (match := ASKED.match(packet)) and match[4] == "asked":
            namespace = match[2] or ""
            self.asked.append((namespace, asked_answer(namespace, int(match[3]))))
        self.forget(packet)
        return packet

    def forget(self, packet: Frame | None) -> None:
        """Answer nothing any more in a namespace that a DISCONNECT packet ends."""
        if isinstance(packet, str) and packet.startswith("41"):
            self.asked = [asked for asked in self.asked if asked[0] != packet[2:]]

    def until(self, start: str, inside: str = "") -> str | None:
        """Receive up to a packet with such a start, and with `inside` in it."""
        while (got := self.next()) is not None:
            if isinstance(got, str) and got.startswith(start) and inside in got:
                return got
        return None

    def send(self, frames: list[Frame], how: str = "segment") -> None:
        if self.ws is None:
            packets = [
                frame if isinstance(frame, str) else "b" + base64.b64encode(frame).decode()
                for frame in frames
            ]
            self.wire.post(self.sid, "\x1e".join(packets))
            return
        encoded = [encode(frame) for frame in frames]
        if how == "segment":
            encoded = [b"".join(encoded)]
        elif how == "bytes":
            encoded = [bytes([byte]) for byte in b"".join(encoded)]
        for part in encoded:
            self.ws.send(part, len(part))

    # steps

    def step_open(self, transport: str) -> None:
        if transport == "polling":
            self.sid = self.wire.open_polling()
            self.wire.polling.clear()
            return
        self.ws = self.wire.websocket()
        self.ws.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ws.receive()

    def step_send(self, frames: list[Frame], how: str) -> None:
        self.send(frames, how)
        for frame in frames:
            self.forget(frame)

    def step_until(self, answer: str) -> None:
        """Wait for an ack, with attachments or without."""
        while (got := self.next()) is not None:
            head = re.sub(r"^46\d+-", "43", got) if isinstance(got, str) else ""
            if head.startswith(answer):
                for _ in range(int(got[2 : got.index("-")]) if got.startswith("46") else 0):
                    self.next()
                return

    def step_sync(self, packet: str, answer: str) -> None:
        self.send([packet])
        self.until(answer)
        while self.asked:
            answers, self.asked = self.asked, []
            for _, frames in answers:
                self.send(frames)
            self.send([packet])
            self.until(answer)

    def step_answer(self, answer: list[Frame]) -> None:
        """Wait for the event "called" and acknowledge it."""
        match = ASKED.match(self.until("4", '["called"') or "")
        if match is None:
            return
        for _ in range(int(match[1] or 0)):
            self.next()
        head = answer[0]
        assert isinstance(head, str)
        self.send([head.replace("ID", match[3], 1), *answer[1:]])

    def step_question(
        self, frames: list[Frame], answer: list[Frame], last: str, acked_first: bool
    ) -> None:
        self.send(frames)
        got = self.until("4", '["question"')
        match = QUESTION.match(got or "")
        if match is None:
            return
        for _ in range(int(match[1] or 0)):
            self.next()
        if acked_first:
            self.step_until(last)
        head = answer[0]
        assert isinstance(head, str)
        self.send([head.replace("ID", match[2], 1), *answer[1:]])
        if not acked_first:
            self.step_until(last)

    def step_ping(self, payload: bytes) -> None:
        assert self.ws is not None
        self.ws.frame(payload, PING)
        self.ws.receive()

    def step_fragments(self, parts: list[bytes], pings: list[bool]) -> None:
        assert self.ws is not None
        self.ws.frame(parts[0], TEXT, fin=False)
        for number, (part, ping) in enumerate(zip(parts[1:], pings, strict=True), 2):
            if ping:
                self.step_ping(b"between")
            self.ws.frame(part, 0, fin=number == len(parts))

    def step_upgrade(self, first: str, last: str, waiting: bool) -> None:
        self.step_upgrade_begin(first, waiting)
        if first == "2probe":
            self.step_upgrade_end(last)

    def step_upgrade_begin(self, first: str, waiting: bool) -> None:
        """Begin an upgrade; one that does not begin with a probe has failed already."""
        poll = self.wire.poll(self.sid) if waiting and first == "2probe" else None
        self.upgrading = ws = self.wire.websocket(self.sid)
        ws.frame(first)
        self.was_polling = poll is not None
        if first == "2probe":
            ws.until("3probe")
            if poll is not None:
                self.wire.finish(poll)
        else:
            ws.until("")

    def step_upgrade_end(self, last: str) -> None:
        ws = self.upgrading
        assert ws is not None
        ws.frame(last)
        if last == "5":
            self.ws = ws
            if not self.was_polling:  # what would have ended the poll
                self.until("6")
        else:
            ws.until("")

    def violate(self, name: str) -> None:
        assert self.ws is not None
        frames = [
            frame if isinstance(frame, bytes) else encode(*frame) for frame in VIOLATIONS[name]
        ]
        self.ws.send(b"".join(frames), 0)
        self.ws.until("")

    def step_end(self, way: str, **arguments: Any) -> None:
        if way == "packet":
            self.send(["1"])
        if self.ws is None:
            self.wire.get(self.sid)  # there is no such session any more
            return
        if self.ws.ended:
            return
        connection = self.ws.connection
        if way == "half a frame":
            self.ws.send(encode('42["one",1]')[:-3], 0)
        elif way == "half a packet" and arguments["connected"]:
            self.send(['451-["one",{"_placeholder":true,"num":0}]'])
        elif way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == "close":
            self.ws.frame(arguments["payload"], CLOSE)
            self.ws.until("")
        elif way == "violation":
            self.violate(arguments["violation"])
            status = self.wire.lines[-1]  # its wording is compared elsewhere
            self.wire.lines[-1] = status[:2]
        connection.close()


def play(server: Server, steps: list[Step], name: str) -> list[list[Any]]:
    """Return the lines of each client: what it saw, then what the handlers saw of it."""
    clients = [Client(server.port, f"{name}-{number}") for number in range(CLIENTS)]
    try:
        for number, step in enumerate(steps):
            client = clients[step.client]
            client.wire.note("step", number, step.action)
            if step.action == "settle":
                server.transcript(client.run)
                continue
            try:
                getattr(client, f"step_{step.action}")(**step.arguments)
            except OSError as exc:  # a server that does not answer: the transcripts tell
                client.wire.note("failed", type(exc).__name__)
                break
        else:
            return [
                [
                    *as_upstream(client.wire.lines),
                    ["handlers"],
                    *ends_sorted(server.transcript(client.run)),
                ]
                for client in clients
            ]
        return [client.wire.lines for client in clients]
    finally:
        for client in clients:
            client.wire.__exit__()
