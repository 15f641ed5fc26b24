"""toolboxsio/backend: the guard, the rate limits, the table of clients, the log."""

import asyncio
import base64
import hmac
import json
import logging
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.redis_process import RedisProcess
from toolboxsio.backend import events
from toolboxsio.backend.clients import Clients
from toolboxsio.backend.guard import Guard, Rules
from toolboxsio.backend.limiter import Limiter, LimiterFailed, RateLimited
from toolboxsio.backend.logs import printable, redact
from toolboxsio.backend.settings import Settings
from toolboxsio.backend.tokens import Identity, InvalidToken, Tokens, take_tokens

SECRET = "s" * 32


def settings(**more):
    return Settings(jwt_secret=SECRET, trusted_hosts=["localhost"], **more)


@pytest.fixture
def redis(tmp_path):
    with RedisProcess(tmp_path, "--unixsocket", str(tmp_path / "redis.sock")) as server:
        yield server


async def test_events_of_a_user_are_limited():
    limiter = Limiter(settings(rate_limit_per_minute=3))
    for _ in range(3):
        await limiter.hit("u-1", "ping")
    with pytest.raises(RateLimited) as refusal:
        await limiter.hit("u-1", "ping")
    assert 59 <= refusal.value.retry_after <= 60
    await limiter.hit("u-1", "message")
    await limiter.hit("u-2", "ping")
    await limiter.close()


async def test_counters_that_are_over_are_let_go(monkeypatch):
    limiter = Limiter(settings(rate_limit_per_minute=3))
    for number in range(500):
        await limiter.hit(f"u-{number}", "ping")
    storage = limiter._storage
    assert len(storage.storage) == 500
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    storage._next = 0
    await limiter.hit("u-1", "ping")
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(storage.storage) == 1


async def test_a_hit_does_not_go_through_all_counters():
    """What it costs does not depend on how many users there are."""
    limiter = Limiter(settings(rate_limit_per_minute=1000))
    looked = []
    storage = limiter._storage

    class Expirations(dict):
        def keys(self):
            looked.append(len(self))
            return super().keys()

    storage.expirations = Expirations()
    for number in range(1000):
        await limiter.hit(f"u-{number}", "ping")
        await asyncio.sleep(0)
    assert sum(looked) < 3000


async def test_workers_count_together_in_redis(redis):
    urls = (redis.url, f"unix://{redis.directory}/redis.sock?db=0")
    limiters = [Limiter(settings(rate_limit_per_minute=4, redis_url=url)) for url in urls]
    for limiter in limiters * 2:
        await limiter.hit("u-1", "ping")
    for limiter in limiters:
        with pytest.raises(RateLimited) as refusal:
            await limiter.hit("u-1", "ping")
        assert 1 <= refusal.value.retry_after <= 60
        await limiter.close()


async def test_a_limiter_that_fails_refuses_and_says_so(redis, caplog):
    limiter = Limiter(settings(redis_url=redis.url.replace("//", "//nobody:secret@")))
    with pytest.raises(LimiterFailed):  # Redis knows nobody of that name
        await limiter.hit("u-1", "ping")
    await limiter.close()
    limiter = Limiter(settings(redis_url=redis.url))
    await limiter.hit("u-1", "ping")
    redis.kill()
    caplog.clear()
    limiter._logged = -100
    limiter.failures = 0
    for _ in range(5):
        with pytest.raises(LimiterFailed):
            await limiter.hit("u-1", "ping")
    assert limiter.failures == 5
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "events are refused" in record.getMessage()
    assert "secret" not in caplog.text
    await limiter.close()


async def test_a_limiter_that_hangs_refuses(free_port):
    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(say_nothing, "127.0.0.1", port)
    limiter = Limiter(settings(redis_url=f"redis://127.0.0.1:{port}/0"))
    begun = time.monotonic()
    with pytest.raises(LimiterFailed):
        await limiter.hit("u-1", "ping")
    assert time.monotonic() - begun < 4
    await limiter.close()
    server.close()


rules = Rules()


@rules.on("fail", events.Nothing, is_open=True)
async def fail(owner, client, data):
    raise RuntimeError("on purpose")


@rules.on("good", events.Nothing, is_open=True)
async def good(owner, client, data):
    return {"event": "good"}


class Broken:
    async def hit(self, user, event):
        raise LimiterFailed


async def answer(guard, event, *data):
    clients = Clients(lambda client: None)
    ack = await guard.answer(event, clients.add("sid", None), data)
    assert ack.pop("ts")
    return ack


async def test_a_failing_handler_is_answered(caplog):
    guard = Guard(None, rules, Limiter(settings()), {})
    assert await answer(guard, "good") == {"ok": True, "event": "good"}
    expected = {"ok": False, "error": "internal_error", "event": "fail"}
    assert await answer(guard, "fail") == expected
    assert "on purpose" in caplog.text
    assert guard.refusals == {("fail", "internal_error"): 1}


async def test_a_failing_limiter_is_answered():
    guard = Guard(None, rules, Broken(), {})
    expected = {"ok": False, "error": "rate_limiter_unavailable", "event": "good"}
    assert await answer(guard, "good") == expected


async def test_who_leaves_meanwhile_leaves_nothing():
    class Slow:
        async def hit(self, user, event):
            clients.remove("sid")

    clients = Clients(lambda client: None)
    client = clients.add("sid", None)
    ack = await Guard(None, rules, Slow(), {}).answer("good", client, ())
    assert (ack["ok"], ack["error"]) == (False, "not_connected")
    clients.identify(client, Identity("u", "u", "admin", time.time() + 3600))
    assert client.timer is None


async def test_who_is_gone_is_answered():
    guard = Guard(None, rules, Limiter(settings()), {})
    ack = await guard.answer("good", None, ())
    assert (ack["ok"], ack["error"]) == (False, "not_connected")


async def test_a_token_ends_with_the_clock_of_the_wall(monkeypatch):
    ended = []
    clients = Clients(ended.append)
    client = clients.add("sid", Identity("u", "u", "admin", time.time() + 3600))
    gone = clients.add("gone", Identity("u", "u", "admin", time.time() + 0.05))
    clients.remove("gone")
    assert (client.role, client.is_expired) == ("admin", False)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert (client.role, client.is_expired) == (None, True)
    assert clients.roles() == {}
    clients.identify(client, client.identity)  # the timer is due at once
    await asyncio.sleep(0.1)
    assert ended == [client]
    assert gone.timer is not None
    assert gone.timer.cancelled()


async def test_a_timer_that_is_early_is_set_anew(monkeypatch):
    ended = []
    clients = Clients(ended.append)
    client = clients.add("sid", Identity("u", "u", "admin", time.time() + 3600))
    clients._due(client)
    assert ended == []
    assert client.timer.when() > asyncio.get_running_loop().time() + 3000


def test_texts_of_clients_are_one_line():
    assert printable("a\r\nb\x00\u2028\x1b[31m\x85") == "a\\r\\nb\\x00\\u2028\\x1b[31m\\x85"
    assert printable("x" * 1000) == "x" * 200 + "..."
    assert printable("\u00e9\U0001f600 \u4e2d") == "\u00e9\U0001f600 \u4e2d"
    assert printable(7) == "7"


def test_tokens_are_taken_out_of_requests():
    for text in (
        "/x?token=abc.d-e_f&a=1",
        "/x?%74oken=abc.d-e_f&a=1",
        "/x?TOKEN%3Dabc.d-e_f&a=1",
        "/x?token='abc&a=1",
    ):
        assert "abc" not in redact(text)
        assert redact(text).endswith("[redacted]&a=1")
    scope = {
        "headers": [(b"Authorization", b"Bearer abc"), (b"x", b"y")],
        "query_string": b"a=1&token=abc&token=d",
    }
    environ = {
        "HTTP_AUTHORIZATION": "bearer  abc",
        "QUERY_STRING": "a=1&token=abc&token=d",
        "RAW_URI": "/socket.io/?a=1&token=abc&token=d",
        "PATH_INFO": "/socket.io/",
        "asgi.scope": scope,
    }
    assert take_tokens(environ) == ("abc", "abc")
    assert "abc" not in str(environ)
    assert environ["QUERY_STRING"].startswith("a=1&token=")
    assert take_tokens(environ)[0] == ""


def key_pair():
    """(private, public) as PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    kept = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    given = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return kept.decode(), given.decode()


def test_tokens_that_are_signed_with_a_key():
    (private, public), (other, _) = key_pair(), key_pair()
    tokens = Tokens(
        Settings(jwt_secret=public, jwt_algorithms=["ES256"], trusted_hosts=["localhost"])
    )
    claims = {"sub": "u-1", "role": "teacher", "exp": int(time.time()) + 60}
    assert tokens.check(jwt.encode(claims, private, "ES256")).role == "teacher"
    with pytest.raises(InvalidToken):
        tokens.check(jwt.encode(claims, other, "ES256"))
    # the public key is no secret
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    text = b"%s.%s" % (head, body)
    digest = hmac.digest(public.encode(), text, "sha256")
    forged = text + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")
    with pytest.raises(InvalidToken):
        tokens.check(forged.decode())
    with pytest.raises(ValueError, match="private key"):
        tokens.make("u-1", "student", 60)
