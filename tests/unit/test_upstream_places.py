"""The places of python-engineio and python-socketio that this package mirrors or reaches into.

When one of these tests fails, upstream has changed such a place: read the change, follow it in the
module that is named, then write the new digest here (`python -m tests.unit.test_upstream_places`).
"""

import hashlib
import importlib
import inspect

import pytest
import starlette.middleware.sessions  # noqa: F401

#: Upstream's function, and the first digits of the SHA-256 of its source.
PLACES = {
    # toolboxsio/engine.py, toolboxsio/engine_socket.py, toolboxsio/_polling.py
    "engineio.async_server.AsyncServer.send": "ff1fdb18f1c30bb3",
    "engineio.async_server.AsyncServer._handle_connect": "5bd7edc1d1ae115a",
    "engineio.async_server.AsyncServer._trigger_event": "4a09b6e47eb66532",
    "engineio.async_server.AsyncServer.handle_request": "1a8c878e35166cfe",
    "engineio.async_server.AsyncServer._make_response": "5f883ef57e34f34c",
    "engineio.async_server.AsyncServer.shutdown": "3f734c62c291d56a",
    "engineio.base_server.BaseServer._log_error_once": "dccbb5602dc46a09",
    "engineio.base_server.BaseServer._ok": "b8f717402eac2b0d",
    "engineio.async_socket.AsyncSocket.handle_get_request": "05eaae9f0a60d9be",
    "engineio.async_socket.AsyncSocket.handle_post_request": "82dca119a261a959",
    "engineio.async_socket.AsyncSocket._upgrade_websocket": "820b83efe96adb98",
    "engineio.async_socket.AsyncSocket._websocket_handler": "27f120df4d717a24",
    "engineio.async_socket.AsyncSocket.receive": "a91ae36ec2fb5340",
    "engineio.base_socket.BaseSocket.__init__": "8532b631a4dc815f",
    "engineio.async_socket.AsyncSocket.poll": "826f58a9f3606db2",
    "engineio.async_socket.AsyncSocket.send": "0437276ccba7ab09",
    "engineio.async_socket.AsyncSocket.close": "faa2e93902543244",
    "engineio.async_socket.AsyncSocket.schedule_ping": "fe316639159cd70d",
    "engineio.async_socket.AsyncSocket._send_ping": "67db82a704ea49d0",
    "engineio.async_socket.AsyncSocket.check_ping_timeout": "77616d5ca7809257",
    "engineio.async_drivers.asgi.translate_request": "39e74733f1fe46aa",
    "engineio.async_drivers.asgi.make_response": "91fd4c6dde84e576",
    "engineio.async_drivers.asgi.WebSocket": "ce9c81653992cd62",
    # toolboxsio/server.py, csrc/conn
    "socketio.base_server.BaseServer.__init__": "6b998e091b34a563",
    "socketio.async_server.AsyncServer.__init__": "7ae671981d87c57f",
    "socketio.async_server.AsyncServer._engineio_server_class": "199c42bf149247e0",
    "socketio.async_server.AsyncServer.call": "4b7ae754cf3dffbc",
    "socketio.async_server.AsyncServer.emit": "84391bfd624104d1",
    "socketio.base_manager.BaseManager.get_rooms": "56a1017f85af9f91",
    "socketio.base_manager.BaseManager.get_participants": "7d78ad681c95de5b",
    "socketio.async_server.AsyncServer._handle_eio_message": "bef50fc0e1635921",
    "socketio.async_server.AsyncServer._handle_connect": "c97c480cf777de36",
    "socketio.async_server.AsyncServer.shutdown": "70ac47acea94d661",
    "socketio.async_server.AsyncServer._handle_event": "65178105ef8b593d",
    "socketio.async_server.AsyncServer._handle_ack": "b7521c6c30972551",
    "socketio.async_server.AsyncServer._handle_event_internal": "472e8b723a12d507",
    "socketio.async_server.AsyncServer._trigger_event": "01ba90cfa09ba43e",
    "socketio.async_server.AsyncServer._send_packet": "a00022b42c1c29e9",
    "socketio.async_server.AsyncServer._send_eio_packet": "64cf72a2ab7d75b1",
    "socketio.base_server.BaseServer._get_event_handler": "e18d9a6570aaaaf4",
    "socketio.base_server.BaseServer._get_namespace_handler": "3672467a1c13f704",
    "socketio.async_namespace.AsyncNamespace.trigger_event": "95e90e5e1d98c31a",
    "socketio.async_server.AsyncServer._handle_disconnect": "c0b32ada5b371230",
    "socketio.async_server.AsyncServer._handle_eio_disconnect": "9344593148b66fd9",
    "socketio.async_server.AsyncServer.disconnect": "7d2f76686c12cc23",
    # toolboxsio/manager.py, csrc/conn
    "socketio.async_manager.AsyncManager.emit": "01ccd5b82b4f955e",
    "socketio.base_manager.BaseManager.sid_from_eio_sid": "15467098a36bcd71",
    "socketio.base_manager.BaseManager.is_connected": "d37721466718b4f4",
    "socketio.base_manager.BaseManager._generate_ack_id": "ca3840d6559ee335",
    "socketio.base_manager.BaseManager.basic_enter_room": "3f509586d2d7f47e",
    "socketio.base_manager.BaseManager.basic_leave_room": "e27f3eea06d1c6a6",
    "socketio.base_manager.BaseManager.basic_disconnect": "2933b50bc4b2ea7b",
    # toolboxsio/redis.py, csrc/conn/pubsub.c
    "socketio.async_redis_manager.AsyncRedisManager._publish": "033e4da7cc8768b4",
    "socketio.async_redis_manager.AsyncRedisManager._redis_connect": "da4530c936323c25",
    "socketio.async_redis_manager.AsyncRedisManager._listen": "3e74fdd1084b4e13",
    "socketio.async_redis_manager.AsyncRedisManager._redis_listen_with_retries": "ad347f253fd3423a",
    "socketio.async_pubsub_manager.AsyncPubSubManager.emit": "6cc46e0ff9b6d7cf",
    "socketio.async_pubsub_manager.AsyncPubSubManager._handle_emit": "4284671be955f644",
    "socketio.async_pubsub_manager.AsyncPubSubManager._handle_callback": "e637e7708127b711",
    "socketio.async_pubsub_manager.AsyncPubSubManager._thread": "fa8d075729aac64d",
    "socketio.async_pubsub_manager.AsyncPubSubManager.enter_room": "839498e1ae603f2b",
    "socketio.async_pubsub_manager.AsyncPubSubManager.initialize": "e8a2b026ecea320f",
    # toolboxsio/_bystanders.py
    "starlette._exception_handler.wrap_app_handling_exceptions": "d5e41f0fa794c0a8",
    "starlette.middleware.sessions.SessionMiddleware.__call__": "d9d8f7569df18d73",
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
