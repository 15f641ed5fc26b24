"""The Redis manager, with a real Redis (toolboxsio/redis.py)."""

import asyncio
import base64
import contextlib
import functools
import gc
import json
import logging
import re
import ssl
import subprocess
import sys
import time
import warnings

import pytest
import socketio
import trustme
import uvloop
from connections import Client, Polling, until

import toolboxsio
from tests.e2e.machine import free_port
from tests.e2e.redis_process import RedisProcess
from toolboxsio import _redis_publisher
from toolboxsio._calls import PendingCall
from toolboxsio.redis import AsyncRedisManager, is_available

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("redis")


@pytest.fixture(scope="module")
def shared(directory):
    """A Redis that no test breaks."""
    with RedisProcess(directory) as process:
        yield process


@pytest.fixture
def mortal(directory):
    """A Redis for one test."""
    with RedisProcess(directory) as process:
        yield process


class Keeping:
    """Keeps the messages of others; Python handles all."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heard = []

    async def _handle_emit(self, message):
        if message.get("host_id") != self.host_id:
            self.heard.append(message)
        await super()._handle_emit(message)

    async def next(self, n):
        await until(lambda: len(self.heard) >= n)
        return self.heard


class Heard(Keeping, AsyncRedisManager):
    pass


class Stock(Keeping, socketio.AsyncRedisManager):
    """python-socketio's."""

    def __init__(self, url, **kwargs):
        # without a time limit an idle subscription stays
        super().__init__(url, redis_options={"socket_timeout": None}, **kwargs)


def manager_of(task):
    """The manager that a task works for."""
    frame = task.get_coro().cr_frame
    return getattr(frame and frame.f_locals.get("self"), "manager", None)


@contextlib.asynccontextmanager
async def serving(manager, is_up=True):
    """A server with this manager, which listens; and no trace of it afterwards."""
    sio = toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager)
    sio.manager_initialized = True
    before = asyncio.all_tasks()
    manager.initialize()
    if is_up:
        await until(lambda: manager.status()["connected"])
    try:
        yield sio
    finally:
        await manager.close()
        assert not [task for task in asyncio.all_tasks() - before if manager is manager_of(task)]


@contextlib.asynccontextmanager
async def stock_serving(manager, redis):
    """A server of python-socketio, which listens."""
    n = len(subscribers(redis))
    sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager)
    sio.manager_initialized = True
    manager.initialize()
    await until(lambda: len(subscribers(redis)) > n)
    try:
        yield sio
    finally:
        manager.thread.cancel()
        await asyncio.wait([manager.thread])
        await manager.pubsub.aclose()
        await manager.redis.aclose()


def subscribers(redis):
    with redis.client() as client:
        return [c for c in client.client_list() if c["sub"] != "0"]


async def took(tap, n):
    """The next messages that are published; the loop turns meanwhile."""
    return await asyncio.to_thread(tap.take, n)


def errors(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def emitted(messages):
    return [message["data"] for message in messages]


class Gate:
    """A way to Redis that can be shut."""

    def __init__(self, redis):
        self.redis = redis
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.server = None
        self.writers = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        await self.shut()

    async def open(self):
        self.server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def shut(self):
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _pass(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.redis.port)
        self.writers += [writer, far_writer]

        async def copy(source, target):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            target.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


# --- messages -------------------------------------------------------------------------------------


EMITS = [
    (("e", {"a": [1, "é\U0001f600", None, 1.5]}), {"room": "r"}),
    (("e", (1, [2], None)), {"to": ["r", "s"], "skip_sid": ["x"]}),
    (("e", None), {"namespace": "/other"}),
    (("e", ()), {"skip_sid": "x"}),
    (("e", {"a": b"\x00\xff", "b": [bytearray(b"x")]}), {"room": 7}),
    (("é", b"only"), {}),
]


async def test_messages_are_those_of_python_socketio(shared):
    ours = AsyncRedisManager(shared.url, channel="format", write_only=True)
    theirs = Stock(shared.url, channel="format", write_only=True)
    with shared.subscribed("format") as tap:
        for args, kwargs in EMITS:
            await ours.emit(*args, **kwargs)
            await theirs.emit(*args, **kwargs)
            mine, other = (json.loads(payload) for _, payload in await took(tap, 2))
            assert mine.pop("channels") is False
            assert mine.pop("host_id") == ours.host_id
            del other["host_id"]
            assert mine == other
        for manager in (ours, theirs):
            await manager.can_disconnect("sid", "/")
            await manager.leave_room("sid", "/n", "r")
        messages = [json.loads(payload) for _, payload in await took(tap, 4)]
    for message in messages:
        message.pop("channels", None)
        message.pop("host_id")
    assert messages[:2] == messages[2:]
    await ours.close()
    await theirs.redis.aclose()


async def test_the_payload_comes_last_and_on_one_channel(shared):
    async with serving(AsyncRedisManager(shared.url, channel="order")) as sio:
        with shared.subscribed("order*") as tap:
            await sio.emit("é", [1, {"a": "b"}], room="r", volatile=True)
            await sio.emit("bin", b"x")
            (channel, first), (_, second) = await took(tap, 2)
    assert channel == "order"
    host = sio.manager.host_id.encode()
    assert first == (
        b'{"method":"emit","host_id":"' + host + b'","channels":false,"volatile":true,'
        b'"namespace":"/","room":"r","skip_sid":null,"callback":null,"binary":false,'
        b'"event":"\\u00e9","data":[[1,{"a":"b"}]]}'
    )
    assert list(json.loads(second))[-2:] == ["event", "data"]
    data = json.loads(second)["data"]
    assert base64.b64decode(data[1]) == b"x"


async def test_both_ways_with_python_socketio(shared):
    ours, theirs = Heard(shared.url, channel="both"), Stock(shared.url, channel="both")
    async with serving(ours) as sio, stock_serving(theirs, shared) as stock:
        for args, kwargs in EMITS:
            for server in (sio, stock):
                await server.emit(*args, **kwargs)
        n = len(EMITS)
        await until(lambda: len(theirs.heard) == n and len(ours.heard) == n)
        for mine, other in zip(theirs.heard, ours.heard, strict=True):
            for key in ("event", "data", "namespace", "room", "skip_sid", "binary", "callback"):
                assert mine[key] == other[key]


async def test_clients_of_other_servers_get_what_is_emitted(shared):
    async with (
        serving(AsyncRedisManager(shared.url, channel="c")) as first,
        serving(AsyncRedisManager(shared.url, channel="c")) as second,
    ):
        here, there = Client(first), Client(second)
        sids = here.join(), there.join()
        for n in range(50):
            await first.emit("n", n)
        assert await there.until(50) == [f'42["n",{n}]' for n in range(50)]
        assert await here.until(50) == [f'42["n",{n}]' for n in range(50)]
        await second.emit("one", {"b": b"\x01"}, to=sids[0])
        text = '451-["one",{"b":{"_placeholder":true,"num":0}}]'
        assert await here.until(2) == [text, b"\x01"]
        await second.enter_room(sids[0], "r")
        await second.emit("in room", room="r", skip_sid=sids[1])
        assert await here.until() == ['42["in room"]']
        await second.close_room("r")
        await second.emit("nobody", room="r")
        await second.emit("all")
        assert await here.until() == ['42["all"]']


async def test_call_and_disconnect_of_a_client_elsewhere(shared):
    async with (
        serving(AsyncRedisManager(shared.url, channel="call")) as first,
        serving(AsyncRedisManager(shared.url, channel="call")) as second,
    ):
        client = Client(first)
        sid = client.join()
        gone = []
        first.on("disconnect", lambda sid, reason: gone.append(reason))
        asking = asyncio.create_task(second.call("question", 1, to=sid, timeout=5))
        [question] = await client.until()
        id = re.fullmatch(r'42(\d+)\["question",1\]', question)[1]
        client.send(f'43{id}["answer"]')
        assert await asking == "answer"
        await second.disconnect(sid)
        await until(lambda: gone)


async def test_nothing_stays_of_clients_elsewhere_that_have_answered(shared):
    """Nor of rooms; an id that was used is not used again, late answers may come."""
    async with (
        serving(AsyncRedisManager(shared.url, channel="answers")) as first,
        serving(AsyncRedisManager(shared.url, channel="answers")) as second,
        serving(Heard(shared.url, channel="answers")) as other,
    ):
        client = Client(first)
        sid = client.join()
        await first.enter_room(sid, "r")
        answers = []
        for target in (sid, "r", sid):
            await second.emit("question", to=target, callback=answers.append)
            [question] = await client.until()
            id = re.fullmatch(r'42(\d+)\["question"\]', question)[1]
            client.send(f"43{id}[{id}]")
            await until(lambda: len(answers) == int(id))  # noqa: B023
            assert second.manager.callbacks == {}
        assert answers == [1, 2, 3]
        heard = await other.manager.next(3)
        assert len({message["callback"][2] for message in heard}) == 3
        asking = asyncio.create_task(second.call("never answered", to=sid, timeout=0.01))
        await asyncio.wait([asking])
        assert isinstance(asking.exception(), socketio.exceptions.TimeoutError)
        assert second.manager.callbacks == {}


@pytest.mark.parametrize("first", [b"bytes", "text"])
async def test_what_is_emitted_first_is_published_first(shared, first):
    """Whatever it is, and whoever emits: an emit of which Python sends a part waits before it is
    through."""
    async with (
        serving(AsyncRedisManager(shared.url, channel="order")) as sio,
        serving(AsyncRedisManager(shared.url, channel="order")) as elsewhere,
    ):
        await Polling(sio).join()
        there = Client(elsewhere)
        there.join()
        second = b"bytes" if first == "text" else "text"
        await asyncio.gather(sio.emit("first", first), sio.emit("second", second))
        found = await there.until(3)
        assert [re.search("first|second", text)[0] for text in found if isinstance(text, str)] == [
            "first",
            "second",
        ]


async def test_one_turn_of_the_loop_is_one_write(shared):
    async with serving(AsyncRedisManager(shared.url, channel="one")) as sio:
        with shared.subscribed("one") as tap:
            await sio.emit("first")
            await took(tap, 1)
            writes = []
            wire = sio.manager._publisher.wire
            write = wire.write
            wire.write = lambda data: (writes.append(data), write(data))
            await asyncio.gather(*(sio.emit("n", n) for n in range(100)))
            assert emitted(json.loads(p) for _, p in await took(tap, 100)) == [
                [n] for n in range(100)
            ]
    assert len(writes) == 1


async def test_what_cannot_be_encoded_or_emitted(shared, caplog):
    manager = AsyncRedisManager(shared.url, channel="bad")
    async with serving(manager) as sio:
        await sio.emit("e", object())  # nobody here: as python-socketio has it
        assert len(errors(caplog)) == 1
        assert "Cannot publish to redis... giving up: TypeError" in errors(caplog)[0]
        client = Client(sio)
        sid = client.join()
        with pytest.raises(TypeError):
            await sio.emit("e", object())
        with pytest.raises(ValueError, match="room"):
            await sio.emit("e", callback=print)
        with shared.subscribed("bad") as tap:
            await sio.emit("here", to=sid, ignore_queue=True)
            assert await client.until() == ['42["here"]']
            await sio.emit("there")
            assert json.loads((await took(tap, 1))[0][1])["event"] == "there"
    with pytest.raises(RuntimeError):
        await AsyncRedisManager(shared.url, write_only=True).emit("e", 1, room="r", callback=print)


# --- an application's own parts -------------------------------------------------------------------


async def test_what_the_application_overrides_is_called(shared):
    published = []

    class Own(Heard):
        async def _publish(self, data):
            published.append(data)
            await super()._publish({**data, "more": 1})

    own, other = Own(shared.url, channel="own"), Heard(shared.url, channel="own")
    async with serving(own) as sio, serving(other):
        await sio.emit("e", (1, 2))
        assert published[0]["data"] == [1, 2]
        assert (await other.next(1))[0]["more"] == 1


async def test_a_method_replaced_on_the_object_is_called(shared):
    async with serving(AsyncRedisManager(shared.url, channel="obj")) as sio:
        published = []

        async def publish(data):
            published.append(data)

        await sio.emit("before")
        sio.manager._publish = publish
        await sio.emit("after")
    assert [data["event"] for data in published] == ["after"]


async def test_own_json(shared):
    class Tagged:
        @staticmethod
        def dumps(value, **kwargs):
            return json.dumps(["tag", value])

        @staticmethod
        def loads(text, **kwargs):
            return json.loads(text)[1]

    manager = AsyncRedisManager(shared.url, channel="json", write_only=True, json=Tagged)
    with shared.subscribed("json") as tap:
        await manager.emit("e", 1)
        assert json.loads((await took(tap, 1))[0][1])[0] == "tag"
    await manager.close()


async def test_own_logger(shared, caplog):
    """It is told of each message at level DEBUG, and else makes no difference."""
    logger = logging.getLogger("tests.redis")
    manager = AsyncRedisManager(shared.url, channel="logger", logger=logger)
    async with serving(manager) as sio, serving(Heard(shared.url, channel="logger")) as other:
        client = Client(sio)
        client.join()
        for level in (logging.INFO, logging.DEBUG):
            caplog.set_level(level, "tests.redis")
            await other.emit("e")
            assert await client.until() == ['42["e"]']
            told = [r.getMessage() for r in caplog.records if "pubsub message" in r.getMessage()]
            assert told == ["pubsub message: emit"] * (level == logging.DEBUG)


async def test_own_listen(shared):
    class Own(Heard):
        async def _listen(self):
            yield json.dumps({"method": "emit", "event": "e", "data": [1], "host_id": "x"})
            await asyncio.Event().wait()

    manager = Own(shared.url)
    async with serving(manager, is_up=False):
        assert emitted(await manager.next(1)) == [[1]]
        manager.thread.cancel()
        await asyncio.wait([manager.thread])


async def test_a_manager_that_was_built_as_upstreams(shared):
    manager = socketio.AsyncRedisManager(shared.url, channel="adopted")
    manager.__class__ = AsyncRedisManager
    async with serving(manager) as sio:
        with shared.subscribed("adopted") as tap:
            await sio.emit("e", 1)
            assert json.loads((await took(tap, 1))[0][1])["data"] == [1]
        assert await manager.flush()
        status = manager.status()
        assert 0 <= status.pop("last_message_age") < 30
        assert status == {
            "connected": True,
            "dropped": 0,
            "pending": 0,
            "reconnects": 0,
            "room_channels": False,
        }


@pytest.mark.parametrize(
    ("missing", "outcome"),
    [("hiredis", 'RuntimeError: .*pip install "toolboxsio\\[redis\\]"'), ("redis", "ok")],
)
def test_missing_packages(missing, outcome):
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import socketio, toolboxsio, toolboxsio.redis as r\n"
        f"assert r.is_available() is ({missing!r} != 'hiredis')\n"
        "socketio.AsyncRedisManager()\n"
        "r.AsyncRedisManager()\n"
        "print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert re.search(outcome, done.stdout + done.stderr), done.stderr
    assert is_available()


# --- connections ----------------------------------------------------------------------------------


async def exchange(manager, redis):
    """A message out and a message in."""
    async with serving(manager) as sio:
        with redis.subscribed(manager.channel) as tap:
            await sio.emit("out", "x" * 100_000)
            assert len(json.loads((await took(tap, 1))[0][1])["data"][0]) == 100_000
        with redis.client() as client:
            message = {"method": "emit", "event": "in", "data": [1], "host_id": "x"}
            client.publish(manager.channel, json.dumps(message))
        assert (await manager.next(1))[-1]["event"] in ("in", "out")
        await until(lambda: manager.heard[-1]["event"] == "in")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_protocols_and_loops(shared, protocol, loop):
    options = {"protocol": protocol, "decode_responses": True, "client_name": "tbx"}
    manager = Heard(shared.url, channel=f"p{protocol}{loop}", redis_options=options)
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(exchange(manager, shared))


async def test_valkey(shared):
    await exchange(Heard(shared.url.replace("redis:", "valkey:"), channel="valkey"), shared)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_unix_socket(directory, loop):
    path = directory / "redis.sock"
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with (
        RedisProcess(directory, "--unixsocket", str(path)) as redis,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        runner.run(exchange(Heard(f"unix://{path}"), redis))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tls(directory, loop):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    tls = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file"]
    files = [str(directory / word) if word.endswith("pem") else word for word in tls]
    files.append(str(directory / "ca.pem"))
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    port = RedisProcess(directory).port
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", *files]
    with RedisProcess(directory, *options) as redis:
        manager = Heard(
            f"rediss://localhost:{port}/0",
            redis_options={"ssl_ca_certs": str(directory / "ca.pem")},
        )
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(exchange(manager, redis))
        wrong = AsyncRedisManager(f"rediss://localhost:{port}/0", write_only=True)
        asyncio.run(wrong.emit("e", 1))  # its certificate is nobody's
        assert wrong.status()["dropped"] == 1
    assert ssl.OPENSSL_VERSION


async def test_password_and_sentinel(directory, caplog):
    with RedisProcess(directory, "--requirepass", "secret", password="secret") as redis:
        url = f"redis://:secret@127.0.0.1:{redis.port}/1"
        await exchange(Heard(url), redis)
        watched = f"sentinel monitor mine 127.0.0.1 {redis.port} 1\nsentinel auth-pass mine secret"
        with RedisProcess(directory, sentinel=watched) as sentinel:
            absent = RedisProcess(directory).port
            hosts = f"127.0.0.1:{absent},127.0.0.1:{sentinel.port}"
            manager = Heard(f"redis+sentinel://:secret@{hosts}/0/mine", channel="sentinel")
            await exchange(manager, redis)
            with sentinel.client() as client:  # nobody stays connected to it
                await until(lambda: len(client.client_list()) == 1)
        assert not errors(caplog)
        wrong = AsyncRedisManager(f"redis://:wrong@127.0.0.1:{redis.port}/0", write_only=True)
        await wrong.emit("e", 1)
        assert "giving up: AuthenticationError" in errors(caplog)[-1]


async def test_a_time_limit_for_sockets_does_not_end_an_idle_listener(shared):
    options = {"socket_timeout": 0.05}
    async with serving(Heard(shared.url, channel="idle", redis_options=options)) as sio:
        wire = sio.manager._listener.wire
        before = time.monotonic()
        await until(lambda: time.monotonic() - before > 0.3)
        assert sio.manager._listener.wire is wire
        assert sio.manager.status()["reconnects"] == 0


async def test_an_idle_connection_is_asked(shared):
    options = {"health_check_interval": 0.05}
    async with serving(AsyncRedisManager(shared.url, channel="asked", **options)) as sio:
        await sio.emit("e")
        links = sio.manager._listener, sio.manager._publisher
        await until(lambda: all(link.is_up for link in links))
        wires = [link.wire for link in links]
        started = asyncio.get_running_loop().time()
        await until(lambda: all(wire.heard_at > started + 0.3 for wire in wires))
        assert [link.wire for link in links] == wires


# --- without a server -----------------------------------------------------------------------------


def test_a_process_may_end_right_after_its_emit(shared):
    manager = AsyncRedisManager(shared.url, channel="end", write_only=True)
    with warnings.catch_warnings(), shared.subscribed("end") as tap:
        warnings.simplefilter("error")
        for n in range(3):  # an event loop for each
            asyncio.run(manager.emit("n", n))
        gc.collect()
        assert emitted(json.loads(p) for _, p in tap.take(3)) == [[0], [1], [2]]
    assert manager.status()["dropped"] == 0


async def test_without_redis_an_emit_gives_up(directory, caplog):
    absent = RedisProcess(directory)
    manager = AsyncRedisManager(absent.url, write_only=True)
    await asyncio.gather(*(manager.emit("e", n) for n in range(3)))
    [first, second] = errors(caplog)
    assert first.startswith("Cannot publish to redis... retrying: ConnectionError")
    assert second.startswith("Cannot publish to redis... giving up: ConnectionError")
    assert manager.status()["dropped"] == 3
    absent.start()
    try:
        with absent.subscribed() as tap:
            await manager.emit("e", 3)
            assert emitted(json.loads(p) for _, p in await took(tap, 1)) == [[3]]
        absent.kill()
        absent.start()
        with absent.subscribed() as tap:
            await manager.emit("e", 4)
            assert emitted(json.loads(p) for _, p in await took(tap, 1)) == [[4]]
    finally:
        absent.end()
    await manager.close()


async def test_what_redis_refuses(shared, caplog):
    with shared.client() as client:
        client.acl_setuser(
            "reader", enabled=True, nopass=True, commands=["+@all", "-publish"], channels=["*"]
        )
    url = f"redis://reader:x@127.0.0.1:{shared.port}/0"
    manager = AsyncRedisManager(url, write_only=True)
    await manager.emit("e", 1)
    assert "NOPERM" in errors(caplog)[0] or "no permissions" in errors(caplog)[0]
    assert manager.status()["dropped"] == 1
    await manager.close()


# --- Redis away or slow ---------------------------------------------------------------------------


async def test_the_oldest_are_dropped_while_redis_is_away(shared, caplog):
    async with Gate(shared) as gate:
        manager = AsyncRedisManager(gate.url, channel="away", max_pending=20_000)
        async with serving(manager, is_up=False) as sio:
            for n in range(300):
                await sio.emit("n", (n, "x" * 100))
                assert manager.status()["pending"] <= 20_000
            dropped = manager.status()["dropped"]
            assert 0 < dropped < 300
            lines = [line for line in errors(caplog) if "max_pending is 20000" in line]
            assert len(lines) == 1
            assert lines[0].endswith("messages dropped: 1")
            with shared.subscribed("away") as tap:
                await gate.open()
                await until(lambda: manager.status()["connected"], 10)
                assert await manager.flush()
                messages = [json.loads(payload) for _, payload in await took(tap, 300 - dropped)]
            assert [data[0] for data in emitted(messages)] == list(range(dropped, 300))
            summary = f"messages dropped meanwhile: {dropped}"
            assert any(summary in line for line in errors(caplog))
            assert manager.status()["dropped"] == dropped


async def test_one_message_may_be_larger_than_what_may_wait(shared):
    manager = AsyncRedisManager(shared.url, channel="large", max_pending=1000)
    async with serving(manager) as sio:
        await sio.emit("small")
        assert await manager.flush()
        with shared.subscribed("large") as tap:
            await sio.emit("large", "x" * 1_000_000)
            assert len((await took(tap, 1))[0][1]) > 1_000_000
        assert manager.status()["dropped"] == 0


async def test_what_was_not_confirmed_is_counted_and_not_sent_again(mortal, caplog):
    manager = AsyncRedisManager(mortal.url)
    async with serving(manager) as sio:
        await sio.emit("first")
        assert await manager.flush()
        mortal.pause()
        for n in range(7):
            await sio.emit("n", n)
        assert not await manager.flush(0.05)
        assert manager.status()["pending"] == 0
        mortal.kill()
        await until(lambda: manager.status()["dropped"] == 7)
        assert any("7 messages may not have arrived" in line for line in errors(caplog))
        await sio.emit("after")
        mortal.start()
        assert await manager.flush()
        assert manager.status()["dropped"] == 7


async def test_who_emits_waits_for_a_slow_redis_but_not_for_an_absent_one(mortal):
    manager = AsyncRedisManager(mortal.url)
    async with serving(manager) as sio:
        await sio.emit("first")
        assert await manager.flush()
        mortal.pause()
        sent = 0

        async def flood():
            nonlocal sent
            while sent < 400:
                await sio.emit("n", (sent, "x" * 100_000))
                sent += 1

        flooding = asyncio.create_task(flood())
        await until(lambda: manager.status()["pending"] > _redis_publisher.FULL_SIZE)
        await asyncio.sleep(0.1)  # nothing should happen now
        stopped_at = sent
        assert stopped_at < 400
        assert manager.status()["pending"] < 2 * _redis_publisher.FULL_SIZE
        mortal.resume()
        await until(lambda: sent > stopped_at)
        mortal.pause()
        await until(lambda: sent == 400 or manager.status()["pending"] > 1 << 20)
        mortal.kill()
        await asyncio.wait_for(flooding, 10)
        assert manager.status()["pending"] <= manager.max_pending
        assert manager.status()["dropped"] > 0
        mortal.start()
        assert await manager.flush()


async def test_a_tight_loop_lets_the_others_run(shared):
    async with serving(AsyncRedisManager(shared.url, channel="tight")) as sio:
        await sio.emit("first")
        await sio.manager.flush()
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        for n in range(200):
            await sio.emit("n", (n, "x" * 20_000))
        assert turns > 3
        turning.cancel()
        await asyncio.wait([turning])


@pytest.mark.parametrize("link", ["_listener", "_publisher"])
async def test_a_redis_that_says_nothing_is_noticed(mortal, caplog, link):
    manager = Heard(mortal.url, health_check_interval=0.2)
    async with serving(manager) as sio:
        await sio.emit("first")
        assert await manager.flush()
        mortal.pause()
        kept = getattr(manager, link)
        await until(lambda: not kept.is_up)
        line = "Cannot receive" if link == "_listener" else "Cannot publish"
        await until(lambda: any(line in text for text in errors(caplog)))
        assert any("no answer within 0.2 s" in text for text in errors(caplog))
        mortal.resume()
        await until(lambda: kept.is_up, 15)
        assert manager.status()["reconnects"] >= (link == "_listener")
        with mortal.client() as client:
            message = {"method": "emit", "event": "in", "data": [1], "host_id": "x"}
            await until(lambda: manager.status()["connected"], 15)
            client.publish("socketio", json.dumps(message))
        assert (await manager.next(1))[0]["event"] == "in"


async def test_a_loop_that_stood_still_is_not_a_silent_redis(shared):
    options = {"health_check_interval": 0.1}
    async with serving(AsyncRedisManager(shared.url, channel="still", **options)) as sio:
        wire = sio.manager._listener.wire
        await until(lambda: wire.asked_at is not None)
        time.sleep(0.8)  # noqa: ASYNC251
        await asyncio.sleep(0.3)
        assert sio.manager._listener.wire is wire


async def test_the_listener_comes_back(mortal, caplog):
    caplog.set_level(logging.INFO)
    manager = Heard(mortal.url)
    async with serving(manager) as sio:
        mortal.kill()
        await until(lambda: not manager.status()["connected"])
        line = re.compile(r"Cannot receive from redis\.\.\. retrying in 0\.\d secs: .")
        await until(lambda: any(line.match(text) for text in errors(caplog)))
        mortal.start()
        await until(lambda: manager.status()["connected"], 10)
        assert manager.status()["reconnects"] == 1
        assert sio.logger.getEffectiveLevel() == logging.ERROR
        async with serving(Heard(mortal.url)) as other:
            await other.emit("again", 1)
            assert (await manager.next(1))[0]["event"] == "again"


# --- what is heard --------------------------------------------------------------------------------


NONSENSE = [b"", b"nonsense", b"[]", b"7", b'"method"', b"null", b"{}", b'{"method":"?"}', b"\xff"]
FAULTY = [
    {"method": "emit"},
    {"method": "emit", "event": "e", "data": ["one"], "binary": True},
    {"method": "enter_room", "sid": "?", "namespace": "/", "room": "r"},
    {"method": "callback", "host_id": "?"},
    {"method": ["emit"]},
]


async def test_nonsense_is_ignored(shared, caplog):
    manager = Heard(shared.url, channel="nonsense")
    async with serving(manager) as sio:
        client = Client(sio)
        client.join()
        with shared.client() as redis:
            for payload in NONSENSE:
                redis.publish("nonsense", payload)
            assert not errors(caplog)
            for message in FAULTY:
                redis.publish("nonsense", json.dumps(message))
            good = {"method": "emit", "event": "e", "data": [1], "namespace": "/"}
            redis.publish("nonsense", json.dumps(good))
        assert await client.until() == ['42["e",1]']
        assert set(errors(caplog)) == {"Handler error in pubsub listening thread"}
        assert manager.status()["reconnects"] == 0


async def test_messages_wait_for_one_that_is_not_through(shared):
    entered = asyncio.Event()

    class Slow(Heard):
        async def _handle_emit(self, message):
            if message["event"] == "slow":
                await entered.wait()
            await super()._handle_emit(message)

    manager = Slow(shared.url, channel="slow")
    async with serving(manager) as sio, serving(Heard(shared.url, channel="slow")) as other:
        client = Client(sio)
        sid = client.join()
        calls = []
        sio.on("disconnect", lambda *args: calls.append("disconnect"))
        await other.emit("slow")
        await other.enter_room(sid, "r")
        await other.emit("in room", room="r")
        await until(lambda: len(manager._listener.held) == 2)
        assert not client.taken()
        entered.set()
        assert await client.until(2) == ['42["slow"]', '42["in room"]']
        assert [m["event"] for m in manager.heard] == ["slow", "in room"]


async def test_the_applications_code_does_not_keep_messages_waiting(shared):
    manager = AsyncRedisManager(shared.url, channel="app")
    async with serving(manager) as sio, serving(Heard(shared.url, channel="app")) as other:
        client, second = Client(sio), Client(sio, "e2")
        sid = client.join()
        second.join()
        begun, end = asyncio.Event(), asyncio.Event()

        async def disconnect(sid, reason):
            begun.set()
            await end.wait()

        sio.on("disconnect", disconnect)
        await other.disconnect(sid)
        await begun.wait()
        await other.emit("meanwhile")
        await until(lambda: '42["meanwhile"]' in second.taken())
        end.set()
        await until(lambda: not sio.manager.is_connected(sid, "/"))
        if tasks := manager._listener.tasks:
            await asyncio.wait(tasks)


async def test_reading_pauses_when_too_much_is_held(shared):
    released = asyncio.Event()

    class Slow(Heard):
        async def _handle_emit(self, message):
            await released.wait()
            await super()._handle_emit(message)

    manager = Slow(shared.url, channel="held")
    async with serving(manager), serving(Heard(shared.url, channel="held")) as other:
        for n in range(60):
            await other.emit("n", (n, "x" * 100_000))
        await other.manager.flush()
        await until(lambda: not manager._listener.wire.reads)
        assert manager._listener.held_bytes < 3 << 20
        released.set()
        await manager.next(60)
        assert [data[0] for data in emitted(manager.heard)] == list(range(60))
        assert manager._listener.wire.reads


# --- rooms with a channel of their own ------------------------------------------------------------


async def test_room_channels(shared):
    options = {"channel": "rooms", "room_channels": True}
    async with (
        serving(AsyncRedisManager(shared.url, **options)) as sio,
        serving(AsyncRedisManager(shared.url, **options)) as other,
    ):
        client, second = Client(sio), Client(sio, "e2")
        sids = client.join(), second.join()
        with shared.subscribed("rooms*") as tap:
            await sio.enter_room(sids[0], "a")
            assert "rooms#1#/#a#" in shared.channels()
            await other.emit("1", room="a")
            await other.emit("2", room="nobody's")
            await other.emit("3", room=sids[1])
            await other.emit("4", room=["a"])
            await other.emit("5")
            got = [(channel, json.loads(payload)) for channel, payload in await took(tap, 5)]
        assert [channel for channel, _ in got] == [
            "rooms#1#/#a#",
            "rooms#1#/#nobody's#",
            "rooms",
            "rooms",
            "rooms",
        ]
        assert all(message["channels"] is True for _, message in got)
        assert await client.until(3) == ['42["1"]', '42["4"]', '42["5"]']
        assert await second.until(2) == ['42["3"]', '42["5"]']
        await sio.enter_room(sids[1], "a")
        await sio.leave_room(sids[0], "a")
        await asyncio.sleep(0)
        await other.emit("6", room="a")
        assert await second.until() == ['42["6"]']
        assert "rooms#1#/#a#" in shared.channels()
        await sio.close_room("a")
        await until(lambda: "rooms#1#/#a#" not in shared.channels())
        for n in range(20):
            await sio.enter_room(sids[0], f"r{n}")
        await sio.disconnect(sids[0])
        await until(lambda: shared.channels() == {"rooms"})
        assert not sio.manager._listener.due
        assert sio.manager.status()["room_channels"]


async def test_joined_and_left_in_one_turn(shared):
    options = {"channel": "turn", "room_channels": True}
    async with serving(AsyncRedisManager(shared.url, **options)) as sio:
        sid = Client(sio).join()
        writes = []
        wire = sio.manager._listener.wire
        write = wire.write
        wire.write = lambda data: (writes.append(data), write(data))
        for n in range(50):
            sio.manager.basic_enter_room(sid, "/", f"r{n}")
        for n in range(49):
            sio.manager.basic_leave_room(sid, "/", f"r{n}")
        await until(lambda: writes and not sio.manager._listener.due)
        assert writes == [b"*2\r\n$9\r\nSUBSCRIBE\r\n$13\r\nturn#1#/#r49#\r\n"]
        await asyncio.gather(sio.enter_room(sid, "x"), sio.enter_room(sid, "y"))
        assert {"turn#1#/#r49#", "turn#1#/#x#", "turn#1#/#y#"} <= shared.channels()


async def test_rooms_are_subscribed_again(mortal):
    options = {"room_channels": True}
    async with (
        serving(AsyncRedisManager(mortal.url, **options)) as sio,
        serving(AsyncRedisManager(mortal.url, **options)) as other,
    ):
        client = Client(sio)
        sid = client.join()
        await sio.enter_room(sid, "a")
        mortal.kill()
        await until(lambda: not sio.manager.status()["connected"])
        before = time.monotonic()
        await sio.enter_room(sid, "b")  # at once
        assert time.monotonic() - before < 0.5
        mortal.start()
        await until(lambda: sio.manager.status()["connected"], 10)
        for room in ("a", "b"):
            await other.emit("e", room, room=room)
        assert await client.until(2) == ['42["e","a"]', '42["e","b"]']


async def test_a_process_without_room_channels_is_noticed(shared, caplog):
    ours = AsyncRedisManager(shared.url, channel="mixed", room_channels=True)
    theirs = Stock(shared.url, channel="mixed")
    async with serving(ours) as sio, stock_serving(theirs, shared) as stock:
        client = Client(sio)
        await sio.enter_room(client.join(), "a")
        await stock.emit("e", 1, room="a")  # reaches us all the same
        assert await client.until() == ['42["e",1]']
        assert not ours.status()["room_channels"]
        assert ["room_channels=True" in line for line in errors(caplog)] == [True]
        await sio.emit("e", 2, room="a")
        await until(lambda: theirs.heard)
        assert theirs.heard[0]["data"] == [2]
        await stock.emit("e", 3, room="a")
        assert await client.until(2) == ['42["e",2]', '42["e",3]']
        assert len(errors(caplog)) == 1


# --- the end --------------------------------------------------------------------------------------


async def test_what_waits_is_sent_before_it_closes(shared):
    manager = AsyncRedisManager(shared.url, channel="close")
    async with serving(manager) as sio:
        await sio.emit("first")
        await manager.flush()
        with shared.subscribed("close") as tap:
            await sio.emit("n", 1)
            await manager.close()
            assert emitted(json.loads(p) for _, p in await took(tap, 1)) == [[1]]
        assert manager.status()["connected"] is False
        await until(lambda: not [c for c in subscribers(shared) if "close" in str(c)])


def test_it_ends_with_the_event_loop(shared):
    async def main():
        manager = AsyncRedisManager(shared.url, channel="loop")
        sio = toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager)
        manager.initialize()
        await until(lambda: manager.status()["connected"])
        await sio.emit("e", "x" * 500_000)

    with warnings.catch_warnings(), shared.subscribed("loop") as tap:
        warnings.simplefilter("error")
        for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(main())
            tap.take(1)
        gc.collect()


async def test_counting_makes_no_plan_anew() -> None:
    """The manager's attributes are watched; what is dropped is counted beside them."""
    manager = toolboxsio.AsyncRedisManager("redis://127.0.0.1:1/0")
    sio = toolboxsio.AsyncServer(async_mode="asgi", client_manager=manager)
    hub = sio.eio.hub()
    manager.dropped += 1
    reasons = hub.reasons
    manager.dropped += 1
    manager.reconnects += 1
    assert hub.reasons is reasons
    assert (manager.dropped, manager.reconnects) == (2, 1)


async def test_a_call_that_is_given_up_takes_no_callback_of_another_server():
    """Two servers ask the same client, with the same number each: one does not wait any more."""
    sio = toolboxsio.AsyncServer(client_manager=AsyncRedisManager("redis://localhost:1"))
    manager = sio.manager

    call = PendingCall(asyncio.Event())
    id = manager._generate_ack_id("room", call)
    for host_id in (manager.host_id, "another"):
        back = functools.partial(manager._return_callback, host_id, "room", "/", id)
        last = manager._generate_ack_id("client", back)
    sio._forget_callback(call)
    assert list(manager.callbacks) == ["client"]
    assert list(manager.callbacks["client"]) == [0, last]
