"""The codecs that are compared, behind one set of methods.

Each does what its server does for a message between the text of a WebSocket frame and the objects
that a handler gets or returns. Packets are text that begins with the Engine.IO type; a packet
with attachments is a list of that text and bytes.
"""

import json
from datetime import UTC, datetime
from typing import Any

import engineio.json
import engineio.packet
import socketio.packet

import toolboxsio
from toolboxsio import _core
from toolboxsio.packet import ACK, EnginePacket, Packet

from . import orjson_json

MAX_ATTACHMENTS = 10
MAX_DEPTH = 512


class Upstream:
    """python-socketio as it comes, or with another `json=`."""

    def __init__(
        self,
        label: str = "python-socketio",
        configuration: str = "socketio.packet.Packet in engineio.packet.Packet, "
        "the json of the standard library",
        json_module: Any = engineio.json,
    ) -> None:
        self.label = label
        self.configuration = configuration
        self.json = json_module
        self.eio = type("EnginePacket", (engineio.packet.Packet,), {"json": json_module})
        self.sio = type("Packet", (socketio.packet.Packet,), {"json": json_module})

    def dumps(self, value: Any) -> str:
        encoded: str = self.json.dumps(value, separators=(",", ":"))
        return encoded

    def loads(self, text: str) -> Any:
        return self.json.loads(text)

    def encode(self, packet_type: int, data: Any, packet_id: int | None = None) -> Any:
        encoded = self.sio(packet_type, data=data, namespace="/", id=packet_id).encode()
        message = engineio.packet.MESSAGE
        if isinstance(encoded, list):
            return [self.eio(message, data=part).encode() for part in encoded]
        return self.eio(message, data=encoded).encode()

    def decode(self, packet: Any) -> tuple[Any, ...]:
        """(type, namespace, id, data); the namespace "/" is None."""
        first, *attachments = packet if isinstance(packet, list) else [packet]
        result = self.sio(encoded_packet=self.eio(encoded_packet=first).data)
        for attachment in attachments:
            result.add_attachment(self.eio(encoded_packet=attachment).data)
        return result.packet_type, result.namespace, result.id, result.data

    def ack(self, ok: bool, **fields: Any) -> dict[str, Any]:
        return {"ok": bool(ok), **fields, "ts": datetime.now(UTC).isoformat()}


class Ours:
    """toolboxsio, by the functions and classes that its server uses: for the text of an event or
    an acknowledgement from a WebSocket, and for an acknowledgement, that is C; else packets."""

    label = "toolboxsio"
    configuration = "what its server calls, with defaults"
    dumps = staticmethod(toolboxsio.json.dumps)
    loads = staticmethod(toolboxsio.json.loads)
    ack = staticmethod(toolboxsio.ack)

    def __init__(self) -> None:
        self.server = toolboxsio.AsyncServer(async_mode="asgi")

    def encode(self, packet_type: int, data: Any, packet_id: int | None = None) -> Any:
        message = engineio.packet.MESSAGE
        if packet_type == ACK:
            return _core.encode_packet(ACK, data, "/", packet_id, None, MAX_DEPTH, True, True)
        encoded = Packet(packet_type, data=data, namespace="/", id=packet_id).encode()
        if isinstance(encoded, list):
            return [EnginePacket(message, data=part).encode() for part in encoded]
        return EnginePacket(message, data=encoded).encode()

    def decode(self, packet: Any) -> tuple[Any, ...]:
        if isinstance(packet, str):  # an event: the server takes its text whole
            return _core.decode_message(packet, MAX_ATTACHMENTS, MAX_DEPTH, True)[:4]
        first, *attachments = packet if isinstance(packet, list) else [packet]
        *result, partial = self.server._decode(EnginePacket(encoded_packet=first).data)
        if partial is None:
            return tuple(result)
        for attachment in attachments:
            partial.add_attachment(EnginePacket(encoded_packet=attachment).data)
        return partial.packet_type, partial.namespace, partial.id, partial.data


class Core:
    """toolboxsio's C functions by themselves: what is left when no Python stands around them."""

    label = "its C alone"
    configuration = "functions of toolboxsio._core"
    ack = staticmethod(_core.ack)

    def dumps(self, value: Any) -> str:
        return _core.dumps(value, None, MAX_DEPTH)

    def loads(self, text: str) -> Any:
        return _core.loads(text, MAX_DEPTH)

    def encode(self, packet_type: int, data: Any, packet_id: int | None = None) -> Any:
        return _core.encode_packet(packet_type, data, None, packet_id, None, MAX_DEPTH, True, True)

    def decode(self, packet: Any) -> tuple[Any, ...]:
        if isinstance(packet, str):
            return _core.decode_message(packet, MAX_ATTACHMENTS, MAX_DEPTH, True)[:4]
        header = _core.decode_message(packet[0], MAX_ATTACHMENTS, MAX_DEPTH, True)
        return *header[:3], _core.reconstruct(header[3], packet[1:])


CODECS: dict[str, Any] = {
    "ours": Ours(),
    "core": Core(),
    "upstream": Upstream(),
    "orjson": Upstream(
        "with orjson as `json=`",
        "the same packets with orjson.dumps(value).decode() and orjson.loads",
        orjson_json,
    ),
}


def meaning(encoded: Any) -> Any:
    """What an encoded packet or document says, whatever spelling of JSON it uses."""
    if isinstance(encoded, list) or encoded.startswith("4"):
        return CODECS["upstream"].decode(encoded)
    return json.loads(encoded)
