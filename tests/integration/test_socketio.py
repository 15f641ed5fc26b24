"""The events of the application: each with every role, kind of data and transport."""

import asyncio
import json
import subprocess
from datetime import datetime, timedelta

import pytest
import socketio

from tests.e2e.harness import JS, node

from . import table
from .serving import SECRET, serving, token

LIMIT = 2
EXPIRE_SECONDS = 5


async def test_a_typed_message_is_acknowledged(backend):
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(
        backend.url,
        socketio_path="socket.io",
        transports=["websocket"],
        auth={"token": token("u-1")},
    )
    ack = await client.call("message", {"type": "ping"}, timeout=3)
    assert ack["ok"] is True
    assert ack["type"] == "ping"
    assert datetime.fromisoformat(ack["ts"]).utcoffset() == timedelta(0)
    await client.disconnect()


def check_times(values):
    """Every ack and emit tells when."""
    for value in values:
        stamp = value.pop("ts", None) or value.pop("timestamp")
        assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0)


def play(url, transports, cases):
    wanted = []
    for case in cases:
        given = case.role if case.role != "expired" else "student"
        seconds = 600 if case.role != "expired" else EXPIRE_SECONDS
        wanted.append(
            {
                "id": case.sub,
                "role": given,
                "seconds": seconds,
                "event": case.row.event,
                "data": case.arguments,
                "times": case.allowed(LIMIT) + 1,
                "awaits": "auth_failed" if case.role == "expired" else None,
            }
        )
    config = {
        "url": url,
        "path": "/socket.io",
        "transports": transports,
        "secret": SECRET,
        "channels": table.ROOMS,
        "cases": wanted,
    }
    done = subprocess.run(
        [node(), str(JS / "table.mjs")],
        input=json.dumps(config),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def own_emits(case, told):
    """What a client has got besides the greeting and the news of its token."""
    greeting, *told = told
    assert greeting[0] == "connected"
    assert greeting[1]["authenticated"] is (case.role is not None)
    if case.role == "expired":
        failed, *told = told
        assert failed[:1] == ["auth_failed"]
        assert failed[1]["error"] == "token_expired"
    return told


def check_case(case, result):
    *under, over = [ack for (ack,) in result["acks"]]
    check_times([*under, over])
    retry_after = over.pop("retry_after")
    assert 1 <= retry_after <= 60
    limited = case.row.event
    assert over == {"ok": False, "error": "rate_limited", "event": limited}
    for ack in under:
        expires = ack.pop("expires_at", None)
        assert (expires is not None) == (
            ack["ok"] and case.row.event in ("authenticate", "refresh_token")
        )
    expected = case.ack()
    assert under == [expected] * case.allowed(LIMIT)
    told = own_emits(case, result["emits"])
    if case.row.event in ("authenticate", "refresh_token"):
        refusals = [emit for emit in told if emit[0] == "auth_failed"]
        has_failed = expected.get("error") in ("invalid_token", "token_expired")
        assert len(refusals) == LIMIT * has_failed
        told = [emit for emit in told if emit[0] != "auth_failed"]
    if case.row.name == "message" and expected["ok"]:
        sent = case.arguments[0].get("payload")
        wanted = [("message", {"type": "ack", "payload": sent})]
    else:
        wanted = case.emits(case.row.own)
    assert [name for name, *_ in told] == [name for name, _ in wanted] * case.allowed(LIMIT)
    for (_, data), (_, fields) in zip(told, wanted * case.allowed(LIMIT), strict=True):
        check_times([data])
        assert {name: data[name] for name in fields} == fields


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=lambda t: t[0])
def test_every_event_role_and_kind_of_data(free_port, transports):
    cases = table.cases()
    with serving(free_port(), SIO_RATE_LIMIT_PER_MINUTE=str(LIMIT)) as backend:
        results = play(backend.url, transports, cases)
        status = backend.status()
        log = backend.log()
    assert set(results["cases"]) == {case.sub for case in cases}
    for case in cases:
        try:
            check_case(case, results["cases"][case.sub])
        except (AssertionError, KeyError, ValueError) as exc:
            raise AssertionError(f"{case.sub}: {exc}: {results['cases'][case.sub]}") from exc
    check_observed(cases, results["observed"])
    assert "Traceback" not in log
    assert "failed" not in log
    total = sum(event["count"] for event in status["events"].values())
    assert total == sum(case.allowed(LIMIT) + 1 for case in cases) + 2
    assert all(event["failed"] == 0 for event in status["events"].values())


def check_observed(cases, observed):
    """What reached the rooms is what was allowed to, LIMIT times each."""
    seen = {}
    for name, data in observed:
        if name in ("connected", "pong"):
            continue
        check_times([data])
        sender = data.pop("sender", None) or data.pop("from", None) or data.pop("student")
        seen.setdefault(sender, []).append((name, data))
    for case in cases:
        wanted = case.emits(case.row.seen) if case.kind.startswith("valid") else []
        assert seen.pop(case.sub, []) == wanted * LIMIT, case.sub
    assert seen == {}


async def test_a_message_of_a_megabyte_is_acknowledged(backend):
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(
        backend.url, transports=["websocket"], auth={"token": token("big", "admin")}
    )
    big = "x" * 990_000
    for event, data, expected in (
        ("message", {"type": "note", "payload": big}, None),
        ("message", {"type": big}, "invalid_format"),
        ("subscribe", {"channel": big}, "invalid_channel"),
        ("subscribe", big, "invalid_channel"),
        ("broadcast", {"channel": "news", "data": big}, None),
        ("content_request", {"topic": big}, "invalid_format"),
        ("quiz_response", {"quiz_id": big, "answers": []}, "invalid_format"),
        ("progress_update", {"note": big}, None),
        ("collaboration_message", {"roomId": "r", "message": big}, None),
        ("authenticate", {"token": big}, "invalid_token"),
        ("ping", big, None),
    ):
        ack = await client.call(event, data, timeout=10)
        assert (ack["ok"], ack.get("error")) == (expected is None, expected), event
    await client.disconnect()


async def test_members_of_a_channel_hear_each_other(backend):
    teacher, student, outsider = [socketio.AsyncClient(reconnection=False) for _ in range(3)]
    heard = asyncio.Queue()
    for who, client in (("teacher", teacher), ("student", student), ("outsider", outsider)):
        client.on("message", lambda data, who=who: heard.put_nowait((who, data)))
        role = "teacher" if who == "teacher" else "student"
        await client.connect(
            backend.url, transports=["websocket"], auth={"token": token(who, role)}
        )
    for client in (teacher, student):
        ack = await client.call("subscribe", {"channels": ["class-1", "class-2"]}, timeout=5)
        assert ack["total"] == 2
    said = {"type": "user_message", "channel": "class-1", "payload": "hello"}
    ack = await student.call("message", said, timeout=5)
    assert ack["ok"] is True
    who, data = await asyncio.wait_for(heard.get(), 5)
    assert who == "teacher"
    assert (data["type"], data["payload"], data["sender"]) == ("user_message", "hello", "student")
    await student.call("unsubscribe", "class-1", timeout=5)
    ack = await student.call("message", said, timeout=5)
    assert (ack["ok"], ack["error"]) == (False, "not_subscribed")
    await teacher.call("broadcast", {"channel": "class-1", "data": 1}, timeout=5)
    await teacher.call("broadcast", {"channel": "class-2", "data": 2}, timeout=5)
    who, data = await asyncio.wait_for(heard.get(), 5)
    assert (who, data["payload"]) == ("student", 2)
    for client in (teacher, student, outsider):
        await client.call("ping", timeout=5)
        await client.disconnect()
    assert heard.empty()


async def test_nobody_gets_into_the_room_of_another_client(backend):
    victim, thief = [socketio.AsyncClient(reconnection=False) for _ in range(2)]
    for name, client in (("victim", victim), ("thief", thief)):
        await client.connect(
            backend.url, transports=["websocket"], auth={"token": token(name, "admin")}
        )
    for data in ({"channel": victim.get_sid()}, victim.get_sid(), {"channels": [victim.get_sid()]}):
        ack = await thief.call("subscribe", data, timeout=5)
        assert (ack["ok"], ack["error"]) == (False, "invalid_channel")
    assert len(victim.get_sid()) == 20
    for client in (victim, thief):
        await client.disconnect()
