"""toolboxsio/backend: the application, in a process of its own, and its clients."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta

import pytest
import socketio
from pydantic import ValidationError

from toolboxsio.backend import Settings, create_app
from toolboxsio.backend.socketio_server import UNSUPPORTED_TYPES, SocketServer, answered


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response), response.headers


async def status_with(url, connected):
    """The status once it tells that many clients, or the last one."""
    deadline = time.monotonic() + 5
    while True:
        status, _ = await asyncio.to_thread(get, f"{url}/socketio/status")
        if status["connected"] == connected or time.monotonic() > deadline:
            return status
        await asyncio.sleep(0.01)  # between two questions


class Dashboard(socketio.AsyncClient):
    """A client that keeps what it gets."""

    def __init__(self):
        super().__init__(reconnection=False)
        self.inbox = {"connected": asyncio.Queue(), "message": asyncio.Queue()}
        for name, queue in self.inbox.items():
            self.on(name, queue.put)

    async def next(self, name):
        return await asyncio.wait_for(self.inbox[name].get(), 5)


@pytest.fixture
async def client(backend):
    client = Dashboard()
    await client.connect(
        backend,
        socketio_path="socket.io",
        transports=["websocket"],
        auth={"token": "t"},
        namespaces=["/", "/debug"],
    )
    yield client
    await client.disconnect()


def check_ack(ack, **fields):
    stamp = ack.pop("ts")
    assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0)
    assert ack == fields


async def test_connect_greets(client):
    greeting = await client.next("connected")
    assert greeting.pop("timestamp")
    assert greeting == {"message": "connected", "sid": client.get_sid(), "authenticated": False}


async def test_ping_is_acknowledged_and_answered(client):
    check_ack(await client.call("message", {"type": "PING"}, timeout=5), ok=True, type="ping")
    reply = await client.next("message")
    assert reply.pop("timestamp")
    assert reply == {"type": "pong"}


async def test_other_types_are_echoed(client):
    payload = {"text": "h\u00e9llo", "list": [1, 2.5, None]}
    ack = await client.call("message", {"type": "note", "payload": payload}, timeout=5)
    check_ack(ack, ok=True, type="note")
    reply = await client.next("message")
    assert reply.pop("timestamp")
    assert reply == {"type": "ack", "payload": payload}


@pytest.mark.parametrize(
    "data", [None, "ping", 7, [], {}, {"type": None}, {"type": ""}, {"type": ["ping"]}, b"\0"]
)
async def test_malformed_data_is_refused(client, data):
    check_ack(await client.call("message", data, timeout=5), ok=False, error="invalid_format")


async def test_several_arguments_are_refused(client):
    ack = await client.call("message", ({"type": "ping"}, 1), timeout=5)
    check_ack(ack, ok=False, error="invalid_format")


@pytest.mark.parametrize("kind", sorted(UNSUPPORTED_TYPES))
async def test_types_that_are_not_served_are_refused(client, kind):
    ack = await client.call("message", {"type": kind}, timeout=5)
    check_ack(ack, ok=False, error="unsupported_type", type=kind)


async def test_debug_namespace(client):
    ack = await client.call("ping", namespace="/debug", timeout=5)
    check_ack(ack, ok=True, event="ping", sid=client.get_sid("/debug"))
    ack = await client.call("echo", {"a": [1]}, namespace="/debug", timeout=5)
    check_ack(ack, ok=True, event="echo", data=[{"a": [1]}])


async def test_status_counts_the_connected(backend):
    empty = {
        "status": "ok",
        "connected": 0,
        "authenticated": 0,
        "role_distribution": {},
        "acks_enabled": True,
        "path": "/socket.io",
    }
    assert await status_with(backend, 0) == empty
    clients = [Dashboard() for _ in range(3)]
    for client in clients:
        await client.connect(backend, transports=["websocket"])
    assert await status_with(backend, 3) == {**empty, "connected": 3}
    for client in clients:
        await client.disconnect()
    assert await status_with(backend, 0) == empty


async def test_health_tells_of_the_extension(backend):
    health, _ = await asyncio.to_thread(get, f"{backend}/health")
    assert health == {"status": "ok", "accelerated": True}


async def test_foreign_origin_is_refused(backend):
    url = f"{backend}/socket.io/?EIO=4&transport=polling"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        await asyncio.to_thread(get, url, Origin="http://elsewhere.example")
    with refusal.value as error:
        assert error.code == 400


async def test_a_failing_handler_is_answered(caplog):
    @answered
    async def broken(sid):
        raise RuntimeError("on purpose")

    check_ack(await broken("sid"), ok=False, error="internal_error")
    assert "on purpose" in caplog.text


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SIO_CORS_ORIGINS", '["https://dashboard.example"]')
    monkeypatch.setenv("SIO_PING_INTERVAL", "5")
    sio = create_app().engineio_server
    assert sio.eio.cors_allowed_origins == ["https://dashboard.example"]
    assert sio.eio.ping_interval == 5
    monkeypatch.setenv("SIO_PING_INTERVAL", "0")
    with pytest.raises(ValidationError):
        Settings()


def test_no_origins_means_the_own_one_alone():
    assert SocketServer(Settings(cors_origins=[])).sio.eio.cors_allowed_origins is None
