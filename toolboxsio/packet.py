"""Socket.IO and Engine.IO packets and payloads whose encoding and decoding is in C.

The classes are subclasses of python-socketio's and python-engineio's and behave as these do.
Where an application has set another ``json`` on a packet class, that module does the JSON; where a
subclass replaces how binary data is found, its methods are called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import engineio.json
import engineio.packet
import engineio.payload
import socketio.packet
from engineio.packet import MESSAGE, NOOP
from socketio.packet import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    packet_names,
)

from . import json as _own_json
from ._load import core
from ._pure import dumps as _pure_dumps
from ._signatures import takes_keyword
from .json import MAX_DEPTH
from .options import OPTIONS, check_names

__all__ = [
    "ACK",
    "BINARY_ACK",
    "BINARY_EVENT",
    "CONNECT",
    "CONNECT_ERROR",
    "DISCONNECT",
    "EVENT",
    "EnginePacket",
    "EnginePayload",
    "Packet",
    "packet_names",
]

#: The module that upstream's packet classes start with. Ours is the same in C, so both mean "C".
_STOCK_JSON = engineio.json

_COMPACT = (",", ":")
#: Packets in the body of a request, unless the application has another idea.
MAX_PAYLOAD_PACKETS = 10_000
_UPSTREAM_MAX_PACKETS = engineio.payload.Payload.max_decode_packets

# Mirrors: socketio.packet.Packet; a subclass that replaces one of these has its own idea of binary.
_BINARY_METHODS = (
    "data_is_binary",
    "deconstruct_binary",
    "_deconstruct_binary_internal",
    "reconstruct_binary",
    "_reconstruct_binary_internal",
)


class _HookedJSON:
    """A ``json`` for upstream's packets that knows a ``json_default``."""

    loads = staticmethod(_STOCK_JSON.loads)

    def __init__(self, json_default: Callable[[Any], Any]) -> None:
        self.json_default = json_default

    def dumps(self, obj: Any, **options: Any) -> str:
        return _pure_dumps(obj, self.json_default, MAX_DEPTH)


def is_stock_json(module: Any) -> bool:
    """Whether JSON is read and written by our code, or by what stands for it without C."""
    is_stock = module is None or module is _STOCK_JSON or module is _own_json
    return is_stock or isinstance(module, _HookedJSON)


class _Configurable(socketio.packet.Packet):  # type: ignore[misc]
    #: Called with each object that JSON does not know; None: such objects are a TypeError.
    json_default: Callable[[Any], Any] | None = None
    #: How deep JSON may be nested, both ways.
    max_depth: int = MAX_DEPTH
    #: How many binary attachments a server accepts in one packet.
    max_attachments: int = OPTIONS["max_attachments"].default

    @classmethod
    def configure(cls, **options: Any) -> type[Packet]:
        """Return a subclass with other options, for use as ``serializer=``.

        :param json_default: called with each object that JSON does not know; None: nothing is.
        :param max_depth: how deep JSON may be nested, both ways.
        :param max_attachments: how many binary attachments a server accepts in one packet.
        """
        check_names(options, ("json_default", "max_depth", "max_attachments"), "Packet")
        own = {name: v for name, v in options.items() if v is not None or name == "json_default"}
        hook = own.get("json_default")
        if hook is not None:
            own["json_default"] = staticmethod(hook)
        if core is None and "json_default" in own:
            own["json"] = _STOCK_JSON if hook is None else _HookedJSON(hook)
        base: Any = cls
        former = vars(cls).get("_configured")
        known = {"_configured", "_plain", *_OF_CLASSES}
        if former is not None and vars(cls).keys() <= {*former, *known}:  # in its place, not on top
            own = {name: vars(cls)[name] for name in former} | own
            base = cls.__base__
        return type("ConfiguredPacket", (base,), {**own, "_configured": tuple(own)})


def dump_text(module: Any, value: Any) -> str:
    """The text of a value by an application's JSON, whose ``dumps`` may give bytes and need not
    take ``separators``, as that of ``orjson``.

    :raises TypeError: when it gives neither text nor bytes; and what ``dumps`` raises.
    """
    dumps = module.dumps
    is_usual = takes_keyword(dumps, "separators")
    text = dumps(value, separators=_COMPACT) if is_usual else dumps(value)
    if isinstance(text, (bytes, bytearray)):
        return text.decode()
    if not isinstance(text, str):
        raise TypeError(f"dumps() of json= returned {type(text).__name__}, not str or bytes")
    return text


class OwnJSON:
    """An application's JSON as csrc/conn calls it."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def dumps(self, value: Any) -> str:
        return dump_text(self._module, value)

    @property
    def loads(self) -> Callable[[str], Any]:
        loads: Callable[[str], Any] = self._module.loads
        return loads


if core is None and not TYPE_CHECKING:

    class Packet(_Configurable):
        """A Socket.IO packet: plain ``socketio.packet.Packet``."""

    class EnginePacket(engineio.packet.Packet):
        """An Engine.IO packet: plain ``engineio.packet.Packet``."""

    class EnginePayload(engineio.payload.Payload):
        """An Engine.IO payload: plain ``engineio.payload.Payload``."""

else:
    from ._core import (
        decode_packet,
        deconstruct,
        dumps,
        eio_base64,
        eio_decode,
        encode_packet,
        form_value,
        has_binary,
        payload_join,
        payload_split,
        reconstruct,
    )

    def loads_of(module: Any) -> Callable[[str], Any] | None:
        """The function that reads JSON for a packet class; None: C does."""
        return None if module is _STOCK_JSON or module is _own_json else module.loads

    class Packet(_Configurable):
        """A Socket.IO packet, protocol revision 5.

        Mirrors: ``socketio.packet.Packet``. Bytes in the data of an EVENT or ACK are found while
        it is encoded; :attr:`packet_type` looks for them when it is read before that.
        """

        _stock = True  # binary data is found, taken out and put back by C

        _plain = True  # and so is all else: a server may decode without an object

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            if any(name in cls.__dict__ for name in _BINARY_METHODS):
                cls._stock = False
            cls._plain = cls._stock and cls.decode is Packet.decode

        def __init__(
            self,
            packet_type: int = EVENT,
            data: Any = None,
            namespace: str | None = None,
            id: int | None = None,
            binary: bool | None = None,
            encoded_packet: str | None = None,
        ) -> None:
            self.data = data
            self.namespace = namespace
            self.id = id
            self._type = packet_type
            self._detect = False  # whether bytes in the data would make it a binary packet
            if self.uses_binary_events:
                if binary or (binary is None and packet_type != EVENT and packet_type != ACK):
                    if binary or self.data_is_binary(data):
                        self._make_binary()
                elif binary is None:
                    self._detect = True
            self.attachment_count = 0
            self.attachments: list[bytes] = []
            if encoded_packet:
                self.attachment_count = self.decode(encoded_packet) or 0

        def _make_binary(self) -> None:
            if self._type == EVENT:
                self._type = BINARY_EVENT
            elif self._type == ACK:
                self._type = BINARY_ACK
            else:
                raise ValueError("Packet does not support binary payload.")

        @property
        def packet_type(self) -> int:
            """The type, 0 to 6."""
            if self._detect:
                self._detect = False
                if self.data_is_binary(self.data):
                    self._make_binary()
            return self._type

        @packet_type.setter
        def packet_type(self, packet_type: int) -> None:
            self._type = packet_type
            self._detect = False

        def encode(self) -> str | list[str | bytes]:
            """Return the packet's text, or the text and the attachments of a binary one."""
            packet_type = self._type
            if (
                loads_of(self.json) is not None
                or not self._stock
                or type(packet_type) is not int
                or not 0 <= packet_type <= 9
            ):
                return self._encode_in_python()
            return encode_packet(
                packet_type,
                self.data,
                self.namespace,
                self.id,
                type(self).json_default,
                self.max_depth,
                self._detect,
            )

        def _encode_in_python(self) -> str | list[str | bytes]:
            """Mirrors: ``socketio.packet.Packet.encode``."""
            text, data, attachments = str(self.packet_type), self.data, None
            if self.packet_type in (BINARY_EVENT, BINARY_ACK):
                data, attachments = self.deconstruct_binary(data)
                text += f"{len(attachments)}-"
            if self.namespace is not None and self.namespace != "/":
                text += self.namespace + ","
            if self.id is not None:
                text += str(self.id)
            if data is not None:
                text += dump_text(self.json, data)
            return text if attachments is None else [text, *attachments]

        def decode(self, encoded_packet: Any) -> int:
            """Read a packet's text into this object; the number of attachments that follow."""
            if not isinstance(encoded_packet, str):
                return super().decode(encoded_packet)  # type: ignore[no-any-return]
            self.packet_type, self.namespace, id, self.data, count = decode_packet(
                encoded_packet, loads_of(self.json), self.max_depth
            )
            if id is not None:
                self.id = id
            return count

        @classmethod
        def data_is_binary(cls, data: Any) -> bool:
            """Whether ``data`` is, or holds within lists and dicts, bytes."""
            return has_binary(data)

        @classmethod
        def deconstruct_binary(cls, data: Any) -> tuple[Any, list[bytes]]:
            """Return a copy of ``data`` with placeholders, and the attachments."""
            if not cls._stock:
                return super().deconstruct_binary(data)  # type: ignore[no-any-return]
            return deconstruct(data)

        @classmethod
        def reconstruct_binary(cls, data: Any, attachments: list[bytes]) -> Any:
            """Return a copy of ``data`` with the attachments in place of the placeholders.

            :raises ValueError: when the number of a placeholder is not an integer in range.
            """
            if not cls._stock:
                return super().reconstruct_binary(data, attachments)
            return reconstruct(data, list(attachments))

    class EnginePacket(engineio.packet.Packet):  # type: ignore[misc]
        """An Engine.IO packet, protocol revision 4. Mirrors: ``engineio.packet.Packet``."""

        encode_cache: str | bytes | None

        def __init__(
            self, packet_type: int = NOOP, data: Any = None, encoded_packet: Any = None
        ) -> None:
            self.encode_cache = None
            if encoded_packet is not None:
                self.decode(encoded_packet)
                return
            self.packet_type = packet_type
            self.data = data
            self.binary = isinstance(data, (bytes, bytearray))
            if self.binary and packet_type != MESSAGE:
                raise ValueError("Binary packets can only be of type MESSAGE")

        def encode(self, b64: bool = False) -> Any:
            """Return the packet as it goes on the wire; later calls return the same again."""
            encoded: str | bytes | None = self.encode_cache
            if encoded and not self.binary:
                return encoded
            data = self.data
            if self.binary:  # made each time: the packet may be for both transports
                encoded = eio_base64(data) if b64 else data
            elif isinstance(data, str):
                encoded = str(self.packet_type) + data  # the text of a subclass, not its format
            elif isinstance(data, (dict, list)):
                is_own = loads_of(self.json) is not None
                text = dump_text(self.json, data) if is_own else dumps(data, None, MAX_DEPTH)
                encoded = str(self.packet_type) + text
            else:
                return super().encode(b64)
            self.encode_cache = encoded
            return encoded

        def decode(self, encoded_packet: str | bytes | bytearray) -> None:
            """Read a packet from the wire into this object."""
            self.packet_type, self.data, self.binary = eio_decode(
                encoded_packet, loads_of(self.json), MAX_DEPTH
            )

    class EnginePayload(engineio.payload.Payload):  # type: ignore[misc]
        """Packets in the body of a polling request. Mirrors: ``engineio.payload.Payload``.

        The limit is ``engineio.payload.Payload.max_decode_packets``, which applications set there.
        """

        packet_class = EnginePacket

        def encode(self, jsonp_index: int | None = None) -> str:
            """Return the body that carries the packets."""
            packets = [packet.encode(b64=True) for packet in self.packets]
            return payload_join(packets, jsonp_index)

        def decode(self, encoded_payload: str) -> None:
            """Read the packets of a body. ValueError when there are too many."""
            self.packets = []
            if len(encoded_payload) == 0:
                return
            self.packets = [
                self.packet_class(encoded_packet=packet)
                for packet in self.split(self.of_form(encoded_payload))
            ]

        @staticmethod
        def of_form(body: str) -> str:
            """The payload in a body: in the form field of a JSONP request, or all of it.

            :raises KeyError: when there is no such field.
            """
            if not body.startswith("d="):
                return body
            field = body[2:].partition("&")[0]
            if not field:
                raise KeyError("d")
            return form_value(field)

        @classmethod
        def packet_limit(cls) -> int:
            """How many packets a payload may have."""
            return int(cls.max_decode_packets)

        def split(self, encoded_payload: str) -> list[str]:
            """The encoded packets of a payload. ValueError when there are too many."""
            return payload_split(encoded_payload, self.packet_limit())


class LimitedPayload(EnginePayload):
    """What a client sends to a server, which takes at most ``max_packets``.

    None: 10,000, or ``engineio.payload.Payload.max_decode_packets`` where the application has set
    it. Clients send in one request all that has come together while they could not send, and
    python-engineio's 16 packets are not enough for that.
    """

    max_packets: int | None = None

    @classmethod
    def packet_limit(cls) -> int:
        """How many packets a payload may have."""
        if cls.max_packets is not None:
            return cls.max_packets
        theirs: int = cls.max_decode_packets
        return MAX_PAYLOAD_PACKETS if theirs == _UPSTREAM_MAX_PACKETS else theirs

    def split(self, encoded_payload: str) -> list[str]:
        """The encoded packets of a payload. ValueError when there are too many."""
        limit = self.packet_limit()
        n = encoded_payload.count("\x1e") + 1
        if n > limit:
            raise ValueError(f"{n} packets in a request, max_payload_packets is {limit}")
        return payload_split(encoded_payload, n)


#: What a subclass of upstream's packet class may set and still be encoded and decoded in C.
_VALUES = {"json", "uses_binary_events", "json_default", "max_depth", "max_attachments"}

#: What every class has.
_OF_CLASSES = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__", "__static_attributes__"),
    "__firstlineno__",
}


def adapt(cls: Any, json: Any = None) -> Any:
    """Return the class of packets for a server.

    Upstream's packet class, or a subclass that replaces no method of it, becomes one that is a
    subclass of :class:`Packet`, too; another is returned as it is.

    :param json: the server's own JSON; it is set on a subclass, so that no other server has it.
    """
    if core is None or not isinstance(cls, type):
        return cls
    bases: tuple[type, ...] = (cls,)
    if cls is socketio.packet.Packet:
        bases = (Packet,)
    elif not issubclass(cls, Packet) and _has_only_values(cls):
        bases = (cls, Packet)
    if json is None and len(bases) == 1:
        return bases[0]
    more = {} if json is None else {"json": json}
    return type(cls.__name__, bases, {"__module__": cls.__module__, **more})


def _has_only_values(cls: type) -> bool:
    """Whether a subclass of upstream's packet class replaces none of its methods."""
    if not issubclass(cls, socketio.packet.Packet) or type(cls) is not type:
        return False
    own: dict[str, Any] = {}
    for base in cls.__mro__[: cls.__mro__.index(socketio.packet.Packet)]:
        own |= vars(base)
    return not any(
        isinstance(value, property) if name in _VALUES else _acts(name)
        for name, value in own.items()
    )


def _acts(name: str) -> bool:
    """Whether an attribute of this name changes what a packet does."""
    return name not in _OF_CLASSES and (name.startswith("__") or hasattr(Packet, name))
