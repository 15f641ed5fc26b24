"""The places of python-engineio and python-socketio that this package mirrors or reaches into.

When one of these tests fails, upstream has changed such a place: read the change, follow it in the
module that is named, then write the new digest here (`python -m tests.unit.test_upstream_places`).
"""

import hashlib
import importlib
import inspect

import pytest

#: Upstream's function, and the first digits of the SHA-256 of its source.
PLACES = {
    # toolboxsio/engine.py
    "engineio.async_server.AsyncServer.send": "ff1fdb18f1c30bb3",
    "engineio.async_server.AsyncServer._handle_connect": "5bd7edc1d1ae115a",
    "engineio.async_server.AsyncServer._trigger_event": "4a09b6e47eb66532",
    "engineio.base_server.BaseServer._ok": "b8f717402eac2b0d",
    "engineio.async_socket.AsyncSocket.handle_get_request": "05eaae9f0a60d9be",
    "engineio.async_socket.AsyncSocket.handle_post_request": "82dca119a261a959",
    "engineio.async_socket.AsyncSocket._upgrade_websocket": "820b83efe96adb98",
    "engineio.async_socket.AsyncSocket._websocket_handler": "27f120df4d717a24",
    "engineio.async_socket.AsyncSocket.receive": "a91ae36ec2fb5340",
    # toolboxsio/server.py
    "socketio.base_server.BaseServer.__init__": "6b998e091b34a563",
    "socketio.async_server.AsyncServer.__init__": "7ae671981d87c57f",
    "socketio.async_server.AsyncServer._engineio_server_class": "199c42bf149247e0",
    "socketio.async_server.AsyncServer._handle_eio_message": "bef50fc0e1635921",
    "socketio.async_server.AsyncServer._handle_event": "65178105ef8b593d",
    "socketio.async_server.AsyncServer._handle_ack": "b7521c6c30972551",
    # toolboxsio/packet.py, csrc/codec
    "socketio.packet.Packet": "e1660ba64e4e31fc",
    "engineio.packet.Packet": "a0d70ee4777b3af6",
    "engineio.payload.Payload": "6b839223a0a7fc97",
    "engineio.json.loads": "8a4490ed912f80c2",
    "engineio.json._safe_int": "9cba49b1e53e856b",
}


def digest(place):
    module, *names = place.rsplit(".", place.count(".") - 1)
    found = importlib.import_module(module)
    for name in names:
        found = getattr(found, name)
    return hashlib.sha256(inspect.getsource(found).encode()).hexdigest()[:16]


@pytest.mark.parametrize("place", PLACES)
def test_upstream_is_as_it_was(place):
    assert digest(place) == PLACES[place]


if __name__ == "__main__":
    for place in PLACES:
        print(f'    "{place}": "{digest(place)}",')
