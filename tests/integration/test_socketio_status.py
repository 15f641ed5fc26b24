"""GET /socketio/status, /health and /metrics."""

import asyncio
import json
import time

import socketio
from prometheus_client.parser import text_string_to_metric_families

from .serving import Polling, token


async def connect(backend, **auth):
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(
        backend.url, socketio_path="socket.io", transports=["websocket"], auth=auth
    )
    return client


async def status_with(backend, connected):
    """The status once it tells that many clients."""
    deadline = time.monotonic() + 10
    while True:
        status = await asyncio.to_thread(backend.status)
        if status["connected"] == connected:
            return status
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.01)  # between two questions


async def test_status_tells_path_and_acks(backend):
    status = await status_with(backend, 0)
    assert status.pop("events") == {}
    assert status == {
        "status": "ok",
        "connected": 0,
        "authenticated": 0,
        "role_distribution": {},
        "acks_enabled": True,
        "path": "/socket.io",
        "acceleration": {"paths": {}, "not_direct": [], "events": [], "emits": []},
        "redis": None,
    }


async def test_status_counts_clients_roles_ways_and_events(backend):
    clients = [
        await connect(backend, token=token("s-1", "student")),
        await connect(backend, token=token("s-2", "student")),
        await connect(backend, token=token("t-1", "teacher")),
    ]
    poller = await asyncio.to_thread(Polling, backend)
    await asyncio.to_thread(poller.connect, None)
    ack = await clients[0].call("ping", timeout=5)
    assert ack["ok"] is True
    await asyncio.to_thread(poller.emit, '420["message",{"type":"ping"}]')
    [answer] = await asyncio.to_thread(poller.packets)
    assert json.loads(answer.removeprefix("430"))[0]["error"] == "forbidden"
    status = await status_with(backend, 4)
    assert status["authenticated"] == 3
    assert status["role_distribution"] == {"student": 2, "teacher": 1}
    assert status["acceleration"]["paths"] == {"direct": 3, "polling": 1}
    assert set(status["events"]) == {"ping", "message"}
    for event in status["events"].values():
        assert event["count"] == 1
        assert event["failed"] == 0
        assert 0 < event["p50"] <= event["p99"] < 1000
    await asyncio.to_thread(poller.close)
    for client in clients:
        await client.disconnect()
    status = await status_with(backend, 0)
    assert (status["authenticated"], status["role_distribution"]) == (0, {})


async def test_metrics(backend):
    client = await connect(backend, token=token("s-3", "student"))
    for _ in range(3):
        await client.call("quiz_response", {}, timeout=5)
    code, body = await asyncio.to_thread(backend.get, "/metrics")
    assert code == 200
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert found["toolboxsio_event_seconds_count", "/", "quiz_response"] == 3
    assert found["toolboxsio_event_seconds_bucket", "+Inf", "/", "quiz_response"] == 3
    assert 0 < found["toolboxsio_event_seconds_sum", "/", "quiz_response"] < 10
    assert found["toolboxsio_event_failures_total", "/", "quiz_response"] == 0
    assert found["toolboxsio_refusals_total", "invalid_format", "quiz_response"] == 3
    assert found["toolboxsio_sessions", "direct"] == 1
    assert found["toolboxsio_clients", "student"] == 1
    assert found["toolboxsio_accelerated", "events"] == 1
    assert "process_resident_memory_bytes" in body
    await client.disconnect()


async def test_health(backend):
    code, body = await asyncio.to_thread(backend.get, "/health")
    assert (code, json.loads(body)) == (200, {"status": "ok", "accelerated": True})
