"""Who gets in: tokens, origins, hosts; and what becomes of a token."""

import asyncio
import contextlib
import json
import time

import pytest
import socketio

from tests.e2e.machine import SLOWNESS

from .serving import SECRET, Frames, Polling, open_url, serving, sign, token

#: The way of a client: the server's path and the transport.
WAYS = {
    "direct": ("direct", "websocket"),
    "asgi": ("asgi", "websocket"),
    "polling": ("direct", "polling"),
}
#: What the servers are started with.
BACKENDS = {
    "plain": ((), {}),
    "debug": (("--debug",), {}),
    "talkative": (("--log-level", "debug"), {}),
    "audience": ((), {"SIO_JWT_AUDIENCE": "toolboxai"}),
    "prefixes": ((), {"SIO_CHANNEL_PREFIXES": '{"collaboration_staff": "teacher"}'}),
    "strict": (
        (),
        {
            "SIO_CORS_ORIGINS": '["https://dashboard.example"]',
            "SIO_TRUSTED_HOSTS": '["127.0.0.1", "*.example.com"]',
        },
    ),
}

SESSIONS = {"websocket": Frames, "polling": Polling}

every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def backends(free_port):
    """Give a server for a way, started when first asked for."""
    started = {}
    with contextlib.ExitStack() as stack:

        def give(way, name="plain"):
            path = WAYS[way][0]
            if (name, path) not in started:
                options, settings = BACKENDS[name]
                running = serving(free_port(), *options, path=path, **settings)
                started[name, path] = stack.enter_context(running)
            return started[name, path]

        yield give


def tampered():
    head, body, signature = token("u-1").split(".")
    other = token("u-2", "admin").split(".")[1]
    assert body != other
    return f"{head}.{other}.{signature}"


BAD_TOKENS = {
    "alg none": (
        lambda: token("u", "admin", aud="toolboxai", algorithm="none"),
        "invalid_token",
    ),
    "another algorithm": (
        lambda: token("u", "admin", aud="toolboxai", algorithm="HS512"),
        "invalid_token",
    ),
    "another secret": (
        lambda: token("u", "admin", aud="toolboxai", secret="x" * 40),
        "invalid_token",
    ),
    "tampered": (tampered, "invalid_token"),
    "wrong audience": (lambda: token("u", "admin", aud="elsewhere"), "invalid_token"),
    "no audience": (lambda: token("u", "admin"), "invalid_token"),
    "expired": (lambda: token("u", "admin", -1, aud="toolboxai"), "token_expired"),
    "not yet": (lambda: token("u", aud="toolboxai", nbf=time.time() + 60), "invalid_token"),
    "without an end": (lambda: token("u", aud="toolboxai", exp=None), "invalid_token"),
    "no subject": (lambda: token("", aud="toolboxai"), "invalid_token"),
    "a number for a subject": (
        lambda: sign({"sub": 7, "aud": "toolboxai", "exp": time.time() + 600}),
        "invalid_token",
    ),
    "unknown role": (lambda: token("u", "root", aud="toolboxai"), "invalid_token"),
    "a role that is no text": (
        lambda: token("u", aud="toolboxai", role=["admin"]),
        "invalid_token",
    ),
    "junk": (lambda: "junk", "invalid_token"),
    "no text": (lambda: {"$gt": ""}, "invalid_token"),
    "very long": (lambda: "x" * 10_000, "invalid_token"),
}


async def try_to_connect(backend, way, query="", headers=None, auth=None):
    """What a client is told: the greeting, or why it may not connect."""
    if way == "polling":
        session = await asyncio.to_thread(Polling, backend, query, **(headers or {}))
        told = await asyncio.to_thread(session.connect, auth)
        if "connected" in told:
            await asyncio.to_thread(session.close)
        return told.get("connected", told)
    client = socketio.AsyncClient(reconnection=False)
    told = asyncio.Queue()
    client.on("connect_error", told.put)
    client.on("connected", told.put)
    with contextlib.suppress(socketio.exceptions.ConnectionError):
        await client.connect(
            backend.url + query, transports=["websocket"], headers=headers or {}, auth=auth
        )
    answer = await asyncio.wait_for(told.get(), 5)
    await client.disconnect()
    return answer


@every_way
@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_an_invalid_token_is_refused(backends, name, way):
    make, code = BAD_TOKENS[name]
    told = await try_to_connect(backends(way, "audience"), way, auth={"token": make()})
    assert told["message"] == code
    assert told["data"]["error"] == code


async def connected(backend, way, **options):
    """(client, greeting)"""
    client = socketio.AsyncClient(reconnection=False)
    greetings = asyncio.Queue()
    client.on("connected", greetings.put)
    await client.connect(backend.url, transports=[WAYS[way][1]], **options)
    return client, await asyncio.wait_for(greetings.get(), 5)


@every_way
async def test_a_token_may_come_three_ways_in_this_order(backends, way):
    backend = backends(way)
    good, bad = token("u-1"), "bad"
    for query, headers, auth in (
        ("", {}, {"token": good}),
        ("", {"Authorization": f"Bearer {good}"}, None),
        ("", {"Authorization": f"bearer {good}"}, {"token": ""}),
        (f"?token={good}", {}, None),
        (f"?token={bad}", {"Authorization": f"Bearer {good}"}, None),
        (f"?token={bad}", {"Authorization": f"Bearer {bad}"}, {"token": good}),
    ):
        told = await try_to_connect(backend, way, query, headers, auth)
        assert told["authenticated"] is True
    for query, headers, auth in (
        (f"?token={good}", {"Authorization": f"Bearer {bad}"}, None),
        ("", {"Authorization": f"Bearer {good}"}, {"token": bad}),
        (f"?token={bad}", {}, None),
        ("?%74oken=bad", {}, None),
    ):
        told = await try_to_connect(backend, way, query, headers, auth)
        assert told["message"] == "invalid_token"
    told = await try_to_connect(backend, way)
    assert told["authenticated"] is False


@every_way
async def test_an_invalid_token_connects_in_debug_mode(backends, way):
    client, greeting = await connected(backends(way, "debug"), way, auth={"token": "junk"})
    assert greeting["authenticated"] is False
    assert (await client.call("ping", timeout=5))["error"] == "forbidden"
    await client.disconnect()


@every_way
async def test_the_end_of_a_token_is_the_end_of_its_privileges(backends, way):
    backend = backends(way)
    soon = 2.5 * SLOWNESS
    failed, heard = asyncio.Queue(), asyncio.Queue()
    client, _ = await connected(backend, way, auth={"token": token("t-9", "teacher", soon)})
    client.on("auth_failed", failed.put)
    client.on("message", heard.put)
    ack = await client.call("subscribe", {"channels": ["teacher_room", "lobby"]}, timeout=5)
    assert (ack["ok"], ack["total"]) == (True, 2)
    admin, _ = await connected(backend, way, auth={"token": token("a-9", "admin")})
    await admin.call("broadcast", {"channel": "teacher_room", "data": "before"}, timeout=5)
    assert (await asyncio.wait_for(heard.get(), 5))["payload"] == "before"
    assert (await asyncio.wait_for(failed.get(), soon + 5))["error"] == "token_expired"
    for channel in ("teacher_room", "lobby"):
        await admin.call("broadcast", {"channel": channel, "data": "after"}, timeout=5)
    ack = await client.call("broadcast", {"channel": "lobby", "data": 1}, timeout=5)
    assert ack["ok"] is False
    assert (ack["error"], ack["reason"]) == ("forbidden", "token_expired")
    ack = await client.call("refresh_token", {"token": token("t-9", "student")}, timeout=5)
    assert (ack["ok"], ack["user_id"]) == (True, "t-9")
    ack = await client.call("subscribe", "teacher_room", timeout=5)
    assert (ack["error"], ack["required_role"]) == ("forbidden", "teacher")
    ack = await client.call("subscribe", "lobby", timeout=5)
    assert (ack["ok"], ack["total"]) == (True, 1)
    await admin.call("broadcast", {"channel": "lobby", "data": "again"}, timeout=5)
    assert (await asyncio.wait_for(heard.get(), 5))["payload"] == "again"
    await client.disconnect()
    await admin.disconnect()


@every_way
async def test_another_token_takes_the_rooms_of_the_first_away(backends, way):
    backend = backends(way)
    client, _ = await connected(backend, way, auth={"token": token("a-8", "admin")})
    ack = await client.call(
        "subscribe", {"channels": ["admin_room", "private_x", "lobby"]}, timeout=5
    )
    assert ack["total"] == 3
    ack = await client.call("authenticate", {"token": token("a-8", "student")}, timeout=5)
    assert ack["ok"] is True
    assert (await client.call("unsubscribe", "x", timeout=5))["total"] == 2
    await client.disconnect()


@every_way
@pytest.mark.parametrize(
    ("host", "origin", "is_let_in"),
    [
        ("127.0.0.1", None, True),
        ("127.0.0.1:8008", "https://dashboard.example", True),
        ("api.example.com", "https://dashboard.example", True),
        ("127.0.0.1", "https://elsewhere.example", False),
        ("127.0.0.1", "https://dashboard.example.evil", False),
        ("127.0.0.1", "null", False),
        ("evil.example", None, False),
        ("evil.example", "https://dashboard.example", False),
        ("example.com.evil", None, False),
    ],
)
async def test_hosts_and_origins(backends, host, origin, is_let_in, way):
    backend = backends(way, "strict")
    headers = {"Host": host, **({"Origin": origin} if origin else {})}
    path = "/socket.io/?EIO=4&transport="
    if way == "polling":
        url = f"{backend.url}{path}polling"
        code, body = await asyncio.to_thread(open_url, url, **headers)
        assert code == (200 if is_let_in else 400), body
    else:
        async with Handshake(backend.port, path, headers) as ws:
            assert is_let_in == (ws is not None and (await ws.recv()).startswith("0{"))
    code, _ = await asyncio.to_thread(open_url, f"{backend.url}/health", Host=host)
    assert (code == 200) == (host.startswith("127.0.0.1") or host == "api.example.com")


class Handshake:
    """A WebSocket handshake by hand: any Host may stand in it. Gives what it was let in to."""

    def __init__(self, port, path, headers):
        self.port = port
        self.lines = [
            f"GET {path}websocket HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write("\r\n".join([*self.lines, "", ""]).encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        if not head.startswith(b"HTTP/1.1 101"):
            assert head.split()[1] in (b"400", b"403"), head
            return None
        return self

    async def recv(self):
        head = await self.reader.readexactly(2)
        return (await self.reader.readexactly(head[1] & 127)).decode()

    async def __aexit__(self, *_):
        self.writer.close()


@every_way
async def test_a_token_is_in_no_log_and_in_no_table(backends, way):
    backend = backends(way, "talkative")
    secrets = [token(f"u-{number}") for number in range(4)]
    for query, headers, auth in (
        (f"?token={secrets[0]}&x=1", {}, None),
        ("", {"Authorization": f"Bearer {secrets[1]}"}, None),
        ("", {}, {"token": secrets[2]}),
    ):
        await try_to_connect(backend, way, query, headers, auth)
    client, _ = await connected(backend, way, auth={"token": secrets[2]})
    await client.call("refresh_token", {"token": secrets[3]}, timeout=5)
    await client.disconnect()
    bad = "bad" + secrets[0]
    await try_to_connect(backend, way, auth={"token": bad})
    await asyncio.to_thread(backend.get, f"/health?token={secrets[0]}")
    await asyncio.to_thread(backend.get, f"/health?%74OKEN={secrets[0]}")
    log = backend.log()
    assert "GET /health" in log
    assert "[redacted]" in log
    for secret in (*secrets, bad, SECRET):
        assert secret not in log
        assert secret.split(".")[-1] not in log


@every_way
async def test_no_line_of_a_log_is_a_clients(backends, way):
    backend = backends(way, "talkative")
    nasty = "x\r\nERROR: forged"
    client, _ = await connected(backend, way, auth={"token": token(nasty, username=nasty)})
    for event in ("message", "subscribe", "content_request", nasty):
        data = {"type": nasty, "channel": nasty, "topic": nasty}
        await client.emit(event, data)
    await client.call("ping", nasty, timeout=5)
    await client.disconnect()
    await try_to_connect(backend, way, auth={"token": nasty})
    assert not any(line.startswith("ERROR: forged") for line in backend.log().splitlines())


@every_way
async def test_what_is_no_json_reaches_nobody(backends, way):
    """JavaScript clients end their connection when they get it."""
    session = await asyncio.to_thread(SESSIONS[WAYS[way][1]], backends(way))
    await asyncio.to_thread(session.connect, {"token": token("nan", "admin")})
    for number, text in enumerate(("NaN", "1e999", "-Infinity", '{"a":[1.5,NaN]}')):
        for event, data in (
            ("progress_update", f'{{"x":{text}}}'),
            ("broadcast", f'{{"channel":"c","data":{text}}}'),
            ("collaboration_message", f'{{"roomId":"r","message":{text}}}'),
            ("message", f'{{"type":"note","payload":{text}}}'),
            ("quiz_response", f'{{"quiz_id":"q","answers":[{{"selected":{text},"correct":1}}]}}'),
        ):
            await asyncio.to_thread(session.emit, f'42{number}["{event}",{data}]')
            [answer] = await asyncio.to_thread(session.packets)
            ack = json.loads(answer.removeprefix(f"43{number}"))[0]
            assert ack["ok"] is False
            assert ack["error"].startswith("invalid_")
    await asyncio.to_thread(session.close)


@every_way
async def test_a_token_of_the_query_is_good_for_every_namespace(backends, way):
    query = f"?token={token('u-7', 'teacher')}"
    for packets, count in (
        (("40/debug,", "40"), 1),
        (("40", "40/debug,"), 1),
        (("40", "41", "40"), 2),
    ):
        kind = SESSIONS[WAYS[way][1]]
        session = await asyncio.to_thread(kind, backends(way, "debug"), query)
        greetings = []
        for packet in packets:
            await asyncio.to_thread(session.emit, packet)
        while len(greetings) < count:
            for text in await asyncio.to_thread(session.packets):
                if text.startswith('42["connected"'):
                    greetings.append(json.loads(text[2:])[1])
        assert all(greeting["authenticated"] for greeting in greetings)
        await asyncio.to_thread(session.close)


@every_way
async def test_a_room_of_collaboration_is_a_channel(backends, way):
    client, _ = await connected(
        backends(way, "prefixes"), way, auth={"token": token("s", "student")}
    )
    said = {"roomId": "staff", "message": 1}
    ack = await client.call("collaboration_message", said, timeout=5)
    assert (ack["error"], ack["required_role"]) == ("forbidden", "teacher")
    await client.disconnect()


@every_way
async def test_whoever_has_refreshed_in_time_hears_of_no_end(backends, way):
    backend = backends(way)
    told = []
    soon = 1 * SLOWNESS
    client, _ = await connected(backend, way, auth={"token": token("r-1", "student", soon)})
    client.on("auth_failed", told.append)
    ack = await client.call("refresh_token", {"token": token("r-1", "student")}, timeout=5)
    assert ack["ok"] is True
    deadline = time.monotonic() + soon + 0.5
    while time.monotonic() < deadline:
        assert (await client.call("ping", timeout=5))["ok"] is True
        await asyncio.sleep(0.1)
    assert told == []
    await client.disconnect()


async def test_the_ways_are_what_they_are_called(backends):
    for way, (path, transport) in WAYS.items():
        backend = backends(way)
        before = backend.status()["acceleration"]["paths"]
        client, _ = await connected(backend, way, auth={"token": token("way")})
        now = backend.status()["acceleration"]["paths"]
        name = path if transport == "websocket" else "polling"
        assert now.get(name, 0) == before.get(name, 0) + 1
        await client.disconnect()
