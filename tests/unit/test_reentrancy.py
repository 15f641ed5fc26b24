"""Code that the Connection calls, doing what it should not: nothing is lost or mixed up."""

import asyncio
import contextvars
import gc
import inspect
import io
import logging
import sys
import zlib
from collections.abc import Coroutine

import pytest
import uvloop
from connections import CLOSE, PING, PONG, frame, until
from test_connection import echoing, joined

import toolboxsio

KINDS = ["async", "plain", "later"]


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("socketio.server").setLevel(logging.WARNING)
    logging.getLogger("engineio.server").setLevel(logging.WARNING)
    yield
    logging.getLogger("socketio.server").setLevel(logging.NOTSET)
    logging.getLogger("engineio.server").setLevel(logging.NOTSET)


def handler(sio, event, kind, function):
    """Register a function as a handler that is a coroutine function, a plain one, or a slow one."""
    if kind == "plain":
        sio.on(event, lambda sid, *args: function(*args))
        return

    @sio.on(event)
    async def run(sid, *args):
        if kind == "later":
            await asyncio.sleep(0)
        return function(*args)


async def settle(client, rounds=6):
    for _ in range(rounds):
        await asyncio.sleep(0)
    return client.taken()


# --- what handlers do to their own connection -----------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_feeds_its_own_connection(kind):
    client = joined()
    sio = client.sio

    def feed(*args):
        client.read(frame('422["e",2]') + frame('423["e",3]')[:4])
        client.read(frame('423["e",3]')[4:])
        return "fed"

    handler(sio, "feed", kind, feed)
    client.read(frame('421["feed"]') + frame('429["e",9]') + frame(b"x", PING))
    texts = await settle(client)
    if kind == "later":
        assert texts == ["439[9]", (PONG, b"x"), "432[2]", "433[3]", '431["fed"]']
    else:
        assert texts == ['431["fed"]', "439[9]", (PONG, b"x"), "432[2]", "433[3]"]
    assert not client.socket.closed


@pytest.mark.parametrize("kind", KINDS)
async def test_feeding_at_every_depth(kind):
    client = joined()

    def feed(depth):
        if depth:
            client.send(f'42{depth}["feed",{depth - 1}]')
        return depth

    handler(client.sio, "feed", kind, feed)
    client.send('420["feed",50]')
    texts = await settle(client, 200)
    assert sorted(texts) == sorted(
        ["430[50]", *(f"43{depth}[{depth - 1}]" for depth in range(1, 51))]
    )
    assert kind == "later" or texts[0] == "430[50]"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_feeds_another_connection(kind):
    sio = echoing()
    first, second = joined(sio), joined(sio, eio_sid="e2")

    def feed(n):
        shared = first.conn.get_buffer(-1)
        for at in range(0, 600, 100):
            data = frame(f'42{at}["e",{at}]')
            view = second.conn.get_buffer(-1)
            assert kind == "later" or view is not shared
            view[: len(data)] = data
            second.conn.buffer_updated(len(data))
        return n

    handler(sio, "feed", kind, feed)
    first.send('421["feed",1]', '422["feed",2]', '423["e","' + "x" * 100 + '"]')
    texts = await settle(first)
    assert sorted(texts) == ["431[1]", "432[2]", f'433["{"x" * 100}"]']
    assert second.taken() == [f"43{at}[{at}]" for at in range(0, 600, 100)] * 2


async def test_reading_while_the_buffer_is_in_use():
    sio = echoing()
    first, second = joined(sio), joined(sio, eio_sid="e2")

    def misuse():
        with pytest.raises(ValueError, match="cannot have been read"):
            second.conn.buffer_updated(5)
        second.send('421["e"]')
        view = second.conn.get_buffer(-1)
        assert view[10:20] is not view
        view[10:20][:1] = b"x"
        assert view[10] == ord("x")  # as TLS reads into slices of it

    handler(sio, "misuse", "plain", misuse)
    first.send('421["misuse"]', '422["e",2]')
    assert first.taken() == ["431[]", "432[2]"]
    assert second.taken() == ["431[]"]
    second.send('422["e"]')
    assert second.taken() == ["432[]"]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_closes_the_transport(kind, how, lost):
    client = joined()
    if lost:
        client.transport.on[how] = lambda: client.conn.connection_lost(None)
    handler(client.sio, "end", kind, lambda: getattr(client.transport, how)())
    client.send('421["end"]', '422["e"]', '423["wait"]')
    texts = await settle(client)
    if lost:
        await until(lambda: client.conn.path == "over")
        assert len(client.sio.seen) == 3
        assert client.sio.eio.sockets == {}
    else:
        assert sorted(texts) == ["431[]", "432[]", "433[]"]
    client.send('424["e"]')
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")


@pytest.mark.parametrize("what", ["session", "close", "abort", "release", "shutdown", "closing"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_ends_its_connection(kind, what):
    client = joined()
    sio = client.sio
    if what == "session":

        @sio.on("end")
        async def end(sid):
            if kind == "later":
                await asyncio.sleep(0)
            await sio.disconnect(sid)

    else:
        actions = {
            "close": lambda: client.conn.close(1001, "x" * 200),
            "abort": client.conn.abort,
            "release": client.conn.release,
            "shutdown": client.conn.shutdown,
            "closing": client.conn.closing,
        }
        handler(sio, "end", kind, actions[what])
    client.send('421["end"]', '422["e"]', '423["wait"]', "3", b"")
    await settle(client)
    client.read(frame(b"", PING) + frame(b"", CLOSE))
    await settle(client)
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")
    assert client.conn.running == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_emits(kind):
    client = joined()
    sio = client.sio

    @sio.on("many")
    async def many(sid):
        if kind == "later":
            await asyncio.sleep(0)
        for i in range(3):
            await sio.emit("x", i, to=sid)
        await sio.emit("binary", b"1", to=sid)
        return "done"

    client.send('421["many"]', '422["e"]')
    texts = await settle(client)
    answer = ["432[]"]
    ours = ['42["x",0]', '42["x",1]', '42["x",2]', '451-["binary",{"_placeholder":true,"num":0}]']
    ours += [b"1", '431["done"]']
    assert texts == (answer + ours if kind == "later" else ours + answer)


# --- exceptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_raises(kind, caplog):
    client = joined()

    def fail():
        raise KeyError("of a handler")

    handler(client.sio, "fail", kind, fail)
    client.send('421["fail"]', '422["e"]')
    assert await settle(client) == ["432[]"]
    gc.collect()
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]
    assert client.conn.running == 0


@pytest.mark.parametrize("by", ["itself", "another", "raise"])
async def test_a_handler_is_cancelled(by):
    client = joined()
    sio = client.sio
    tasks = []

    @sio.on("sleep")
    async def sleep(sid, *args):
        tasks.append(asyncio.current_task())
        if by == "itself":
            asyncio.current_task().cancel()
        if by == "raise":
            raise asyncio.CancelledError
        await asyncio.get_running_loop().create_future()

    handler(sio, "cancel", "plain", lambda: tasks[0].cancel())
    client.send('421["sleep"]', *(['422["cancel"]'] if by == "another" else []), '423["e"]')
    texts = await settle(client)
    assert "431[]" in texts  # as upstream: an answer of None
    assert "433[]" in texts
    assert tasks[0].done()
    assert client.conn.running == 0


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_end_the_process(exception, new_loop):
    """They come out of the loop, and not of what reads."""
    kept = []

    async def run():
        client = joined(echoing())
        kept.append(client)

        def stop():
            raise exception("stop")

        handler(client.sio, "stop", "async", stop)
        client.send('421["stop"]', '422["e"]')
        assert client.taken() == ["432[]"]
        assert client.conn.running == 0
        await asyncio.get_running_loop().create_future()

    with (
        pytest.raises(exception, match="stop"),
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        runner.run(run())
    assert kept


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
async def test_exceptions_that_end_nothing_in_order(exception, caplog):
    client = joined(echoing(async_handlers=False))

    def stop():
        raise exception("stop")

    handler(client.sio, "stop", "async", stop)
    client.send('421["stop"]', '422["e"]')
    assert await settle(client) == ["432[]"]
    assert client.conn.running == 0
    assert [record.exc_info[0] for record in caplog.records] == [exception]


async def test_a_done_callback_that_raises():
    client = joined()
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    @client.sio.on("callback")
    async def callback(sid):
        asyncio.current_task().add_done_callback(lambda task: 1 / 0)

    client.send('421["callback"]', '422["e"]')
    assert await settle(client) == ["431[]", "432[]"]
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]


# --- transports that do what they like ------------------------------------------------------------


async def test_write_raises(monkeypatch):
    client = joined()

    def fail(*args):
        raise OSError("write")

    client.transport.on["write"] = fail
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.exc_type))
    client.send('421["e"]', '422["e"]')
    assert told == [OSError]
    assert client.transport.names()[-1] == "abort"  # the client lacks what was for it
    client.transport.on.clear()
    client.send('423["e"]')
    assert client.transport.names()[-1] == "abort"


@pytest.mark.parametrize("name", ["pause_reading", "resume_reading", "close", "write_eof"])
async def test_other_calls_raise(name, monkeypatch):
    client = joined(echoing(max_running_handlers=1))
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)

    def fail(*args):
        raise RuntimeError(name)

    client.transport.on[name] = fail
    client.send('421["wait"]', '422["e"]')
    assert await settle(client) == ["431[]", "432[]"]
    client.read(frame("x", 3))
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")


async def test_write_pauses_loses_and_feeds():
    client = joined()
    client.transport.on["write"] = lambda data: client.conn.pause_writing()
    client.send('421["e"]', '422["e"]')
    assert client.taken() == ["431[]", "432[]"]
    client.send('423["e"]')
    assert client.taken() == []
    client.transport.on["write"] = lambda data: client.conn.resume_writing()
    client.conn.resume_writing()
    assert client.taken() == ["433[]"]

    rounds = iter(range(5, 9))

    def feed(data):
        for i in rounds:
            client.send(f'42{i}["e"]')

    client.transport.on["write"] = feed
    client.send('424["e"]')
    assert client.taken() == [f"43{i}[]" for i in range(4, 9)]

    client.transport.on["write"] = lambda data: client.conn.connection_lost(None)
    client.send('421["e"]', '422["wait"]')
    await until(lambda: client.conn.path == "over" and client.conn.running == 0)


@pytest.mark.parametrize("name", ["write", "close", "pause_reading", "write_eof", "abort"])
@pytest.mark.parametrize("action", ["connection_lost", "release", "shutdown", "abort", "pause"])
async def test_each_call_of_the_transport_may_end_the_connection(name, action):
    client = joined(echoing(max_running_handlers=1, max_backlog=100))
    conn = client.conn
    depth = []

    def act(*args):
        if len(depth) < 3:
            depth.append(name)
            if action == "connection_lost":
                conn.connection_lost(None)
            elif action == "pause":
                conn.pause_writing()
                conn.resume_writing()
            else:
                getattr(conn, action)()

    client.transport.on[name] = act
    client.send('421["wait"]', '422["e"]')
    client.read(frame(b"x", PING))
    conn.pause_writing()
    client.send('423["e","%s"]' % ("x" * 200))
    conn.resume_writing()
    client.read(frame("x", 3))
    client.send('424["e"]')
    await settle(client)
    conn.connection_lost(None)
    await until(lambda: conn.path == "over")
    assert conn.running == 0


async def test_a_broken_frame_while_writing_is_paused():
    client = joined()
    client.transport.on["write"] = lambda data: assert_open(client.transport)

    def assert_open(transport):
        assert "write_eof" not in transport.names()

    client.conn.pause_writing()
    client.read(frame('421["e"]') + frame("x", 3))
    client.conn.resume_writing()
    texts = client.taken()
    assert texts[0] == "431[]"
    assert texts[1][0] == CLOSE


# --- answers whose encoding runs code -------------------------------------------------------------


class Strange:
    pass


@pytest.mark.parametrize("by", ["hook", "items"])
@pytest.mark.parametrize(
    "act",
    [
        "send",
        "feed",
        "lost",
        "release",
        "shutdown",
        "abort",
        "patch",
        "hook",
        "handlers",
        "collect",
    ],
)
async def test_the_encoding_of_an_answer_runs_code(act, by, monkeypatch):
    def run(obj=None):
        client.sio.seen.append(act)
        conn = client.conn
        if act == "send":
            conn.send("4sent")
            conn.send(b"sent")
        elif act == "feed":
            client.send('427["e",7]')
        elif act == "lost":
            conn.connection_lost(None)
        elif act == "patch":
            monkeypatch.setattr(type(client.sio), "_send_packet", type(client.sio)._send_packet)
            monkeypatch.setattr(client.sio, "_send_packet", client.sio._send_packet)
            assert client.sio.acceleration(client.sid)["fast"] is False
        elif act == "hook":
            client.sio.packet_class.json_default = lambda obj: "other"
            assert client.sio.acceleration(client.sid)["fast"] is True
        elif act == "handlers":
            client.sio.handlers = {}
            client.sio.manager.rooms = {}
            client.sio.eio.hub().is_fast  # noqa: B018
        elif act == "collect":
            gc.collect()
        else:
            getattr(conn, act)()
        return "x"

    class Items(dict):
        def items(self):
            run()
            return super().items()

    hook = lambda obj: run(obj)  # noqa: E731 (the class has the only reference)
    client = joined(echoing(json_default=hook))
    del hook

    @client.sio.on("strange")
    async def strange(sid):
        if by == "hook":
            return Strange(), [Strange(), Strange()], b"1", Strange()
        return Items(a=1), [Items(b=b"2")]

    client.send('421["strange"]', '422["e",2]')
    texts = await settle(client)
    assert client.sio.seen[0] == act
    if act in ("send", "patch", "hook", "handlers", "collect", "feed"):
        start = next(i for i, text in enumerate(texts) if str(text).startswith("461-1["))
        assert isinstance(texts[start + 1], bytes)
        assert texts[start + 1] in (b"1", b"2")
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")
    assert client.conn.running == 0


class Evil:
    """Something whose end acts."""

    def __init__(self, act):
        self.act = act
        self.me = self  # only the collector ends it

    def __del__(self):
        self.act()


@pytest.mark.parametrize("act", ["send", "feed", "lost", "collect", "handlers", "patch", "release"])
@pytest.mark.parametrize("when", ["arguments", "answer", "garbage"])
async def test_the_end_of_a_value_acts(act, when, monkeypatch):
    client = joined()
    sio = client.sio
    acted = []

    def run():
        if len(acted) < 20:
            acted.append(act)
            if act == "send":
                client.conn.send("4evil")
            elif act == "feed":
                client.send('427["e",7]')
            elif act == "lost":
                client.conn.connection_lost(None)
            elif act == "collect":
                gc.collect()
            elif act == "handlers":
                handlers = dict(sio.handlers["/"])
                sio.handlers["/"].clear()
                sio.handlers["/"].update(
                    {name: lambda sid, *args: args for name in handlers if name != "values"}
                )
            elif act == "patch":
                sio.handlers = {**sio.handlers}
                sio.eio.hub().is_fast  # noqa: B018
            else:
                client.conn.release()

    class Short:
        def __del__(self):
            run()

    @sio.on("values")
    async def values(sid, *args):
        if when == "arguments":
            args[0].append(Short())
            args[0].append(args[0])
        elif when == "answer":
            return type("Table", (dict,), {"__del__": lambda self: run()})(a=1)
        return "ok"

    def plain():
        return lambda sid, *args: args

    threshold = gc.get_threshold()
    try:
        for i in range(30):
            sio.on("short", plain())
            if when == "garbage":
                Evil(run)
                gc.set_threshold(1 + i % 5)
            client.send('421["values",[1]]', '422["e",{"a":[2]}]', '423["short",[[]]]', '42["x"]')
            await asyncio.sleep(0)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    await settle(client)
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")
    assert acted
    gc.collect()


async def test_a_handler_is_removed_while_its_call_is_made():
    client = joined()
    handlers = client.sio.handlers.setdefault("/", {})
    dispatch, data = client.conn.dispatch, ["short", 1]
    threshold = gc.get_threshold()
    try:
        for i in range(20):
            handlers["short"] = (lambda: lambda sid, *args: args)()
            gc.collect()
            gc.disable()
            Evil(handlers.clear)
            gc.set_threshold(1 + i % 10, 1000, 1000)
            gc.enable()
            dispatch("/", 1, data)
            gc.disable()
            gc.set_threshold(*threshold)
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    assert set(await settle(client)) == {"431[1]"}


async def test_collecting_at_every_allocation():
    threshold = gc.get_threshold()
    try:
        gc.set_threshold(1)
        sio = echoing()
        clients = [joined(sio, eio_sid=f"e{i}") for i in range(3)]
        for client in clients:
            client.send('421["e",{"a":[1,{"b":[]}]}]', '422["wait",[]]', '423["e"]')
            client.send('451-4["e",{"_placeholder":true,"num":0}]', b"4")
        await sio.emit("x", {"a": [1, b"2"]})
        for client in clients:
            texts = await settle(client, 12)
            assert {'431[{"a":[1,{"b":[]}]}]', "432[[]]", "433[]"} <= {
                text for text in texts if isinstance(text, str)
            }
            client.conn.connection_lost(None)
        await until(lambda: not sio.eio.sockets)
    finally:
        gc.set_threshold(*threshold)


async def test_compression_while_compressing():
    """The collector runs while a message is being compressed, and what it frees sends one."""
    client = joined(echoing(), bits=15, may_inflate=True)
    sent = []

    def send(letter):
        sent.append(f'42["x","{letter * 2000}{len(sent)}"]')
        client.conn.send(sent[-1])

    threshold = gc.get_threshold()
    try:
        for i in range(30):
            gc.disable()
            Evil(lambda: send("e"))
            gc.set_threshold(1 + i % 6)
            gc.enable()
            send("x")
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    gc.collect()
    await asyncio.sleep(0)
    data = b"".join(client.transport.writes())
    unzip = zlib.decompressobj(-15)
    got = []
    while data:
        assert data[0] == 0xC1
        size = data[1]
        got.append(unzip.decompress(data[2 : 2 + size] + b"\0\0\xff\xff").decode())
        data = data[2 + size :]
    assert sorted(got) == sorted(sent)


# --- tasks ----------------------------------------------------------------------------------------


async def test_the_task_of_a_handler():
    client = joined()
    found = []
    inner = asyncio.current_task()

    @client.sio.on("look")
    async def look(sid, n):
        for _ in range(2):
            task = asyncio.current_task()
            coro = task.get_coro()
            assert task is not inner
            assert task in asyncio.all_tasks()
            assert inner in asyncio.all_tasks()
            assert task.get_loop() is asyncio.get_running_loop()
            assert not task.done()
            assert "look" in repr(task) or "Call" in repr(task)
            assert task.get_name() in repr(task)
            assert task.get_stack() is not None
            stream = io.StringIO()
            task.print_stack(file=stream)
            assert coro.cr_running in (True, False)
            assert inspect.getcoroutinestate(coro) in (
                inspect.CORO_RUNNING,
                inspect.CORO_SUSPENDED,
            )
            assert isinstance(coro, Coroutine)
            with pytest.raises(ValueError, match="already executing"):
                coro.send(None)
            with pytest.raises(ValueError, match="already executing"):
                coro.throw(KeyError)
            with pytest.raises(ValueError, match="already executing"):
                coro.close()
            found.append(task)
            await asyncio.sleep(0)
        task.set_name("own name")
        assert "own name" in repr(task)
        return n

    client.send('421["look",1]', '422["look",2]')
    assert asyncio.current_task() is inner
    assert found[0] is not found[1]
    assert inspect.getcoroutinestate(found[0].get_coro()) == inspect.CORO_SUSPENDED
    assert found[0].get_coro().cr_await is not None
    assert found[0].get_stack()
    assert await settle(client) == ["431[1]", "432[2]"]
    coro = found[0].get_coro()
    assert inspect.getcoroutinestate(coro) in (inspect.CORO_CLOSED, inspect.CORO_CREATED)
    assert found[0].done()
    assert found[0].result() is None
    assert repr(found[0])
    with pytest.raises(RuntimeError, match="reuse"):
        coro.send(None)
    coro.close()


@pytest.mark.parametrize("how", ["close", "throw", "send", "cancel", "drop"])
async def test_the_coroutine_of_a_handler_is_driven_by_others(how):
    client = joined()

    @client.sio.on("sleep")
    async def sleep(sid):
        try:
            await Pause()
        except KeyError:
            return "thrown"
        return "sent"

    class Pause:
        def __await__(self):
            yield

    class NamedFuture(asyncio.Future):
        def set_name(self, name):
            """Python 3.13.0's create_task() calls it, whatever the factory gives."""

    made = []

    def factory(loop, coro, **options):
        made.append(coro)
        return NamedFuture(loop=loop)

    asyncio.get_running_loop().set_task_factory(factory)
    client.send('421["sleep"]')
    asyncio.get_running_loop().set_task_factory(None)
    [call] = made
    assert client.conn.running == 1
    assert call.cr_running is call.cr_suspended is False
    if how == "close":
        call.close()
    elif how == "throw":
        assert call.send(None) is None
        with pytest.raises(StopIteration):
            call.throw(KeyError("x"))
    elif how == "send":
        assert call.send(None) is None
        with pytest.raises(StopIteration):
            call.send(None)
    elif how == "cancel":
        with pytest.raises(asyncio.CancelledError):
            call.throw(asyncio.CancelledError())
    made.clear()
    del call
    gc.collect()
    answers = {"throw": ['431["thrown"]'], "send": ['431["sent"]']}
    assert client.conn.running == 0
    assert await settle(client) == answers.get(how, [])


async def test_task_factories(caplog):
    client = joined()
    loop = asyncio.get_running_loop()
    made = []

    def factory(loop, coro, **options):
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    client.send('421["e"]', '422["wait"]')
    assert client.taken() == []
    assert sorted(await settle(client)) == ["431[]", "432[]"]
    assert len(made) == 2
    loop.set_task_factory(None)
    client.send('423["e"]')
    assert client.taken() == ["433[]"]
    assert len(made) == 2

    def failing(loop, coro, **options):
        coro.close()
        raise RuntimeError("no tasks here")

    loop.set_task_factory(failing)
    client.send('424["e"]', '425["e"]')
    loop.set_task_factory(None)
    assert client.conn.running == 0
    assert [str(record.exc_info[1]) for record in caplog.records] == ["no tasks here"] * 2
    client.send('426["e"]')
    assert "436[]" in client.taken()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the loop waits for the task at its end")
async def test_a_context_that_is_entered_is_refused():
    hub = joined().sio.eio.hub()
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()

    async def nothing():
        raise AssertionError("not to be begun")

    async def inside():
        coro = nothing()
        with pytest.raises(RuntimeError, match="already entered"):
            hub.start(coro, context)
        coro.close()
        return asyncio.current_task()

    task = loop.create_task(inside(), context=context)
    assert await task is task


async def test_call_soon_of_the_application(monkeypatch):
    client = joined()
    loop = asyncio.get_running_loop()
    calls = []
    call_soon = loop.call_soon

    def own(*args, **options):
        calls.append(args[0])
        return call_soon(*args, **options)

    monkeypatch.setattr(loop, "call_soon", own)
    client.send('421["e"]', '422["wait"]')
    assert sorted(await settle(client)) == ["431[]", "432[]"]
    assert calls
    monkeypatch.undo()
    client.send('423["e"]')
    assert client.taken() == ["433[]"]


async def test_fed_from_inside_a_task():
    client = joined()
    order = []

    @client.sio.on("inner")
    async def inner(sid):
        order.append(asyncio.current_task())
        other = asyncio.create_task(task())
        await other
        return "inner"

    async def task():
        order.append(asyncio.current_task())
        client.send('422["e"]')
        order.append(asyncio.current_task())
        await asyncio.sleep(0)

    outer = asyncio.create_task(task())
    await outer
    client.send('421["inner"]')
    assert sorted(await settle(client)) == ['431["inner"]', "432[]", "432[]"]
    assert order[0] is order[1] is outer
    assert order[3] is order[4] is not order[2]


def test_a_loop_that_is_closed_with_handlers_at_work():
    async def start():
        client = joined()

        @client.sio.on("forever")
        async def forever(sid):
            await asyncio.get_running_loop().create_future()

        client.send('421["forever"]', '422["wait"]')
        await client.sio.emit("x")
        client.socket.schedule_ping()
        return client

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(start())
    log = logging.getLogger("asyncio")
    log.disabled = True
    try:
        tasks = asyncio.all_tasks(loop)
        assert len(tasks) == client.conn.running == 1
        loop.close()
        del tasks
        client.conn.closing()
        gc.collect()
        hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
        try:
            client.conn.send("4x")
            client.conn.expect(toolboxsio.engine_socket.DUE_CLOSE)
            client.conn.close(1000)
            client.conn.abort()
        finally:
            sys.unraisablehook = hook
        client.conn.release()
        del client
        gc.collect()
    finally:
        log.disabled = False


async def test_the_plan_cannot_be_made(monkeypatch):
    client = joined()
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    manager = client.sio.manager
    rooms = manager.rooms
    manager.rooms = None
    assert client.conn.feed('42["e"]') is False
    manager.rooms = rooms
    client.send('421["e"]')
    assert client.taken() == ["431[]"]


async def test_a_handler_runs_the_loop():
    """As nest_asyncio does: other callbacks run within a handler."""
    sio = echoing()
    first, second = joined(sio), joined(sio, eio_sid="e2")

    def nested():
        second.send('421["e",1]')
        second.send('422["e",2]')
        first.send('422["e",2]')
        sio.eio.hub()._flush()
        sio.eio.hub()._tick()
        return second.taken()

    handler(sio, "nested", "plain", nested)
    first.send('421["nested"]', '423["e"]')
    assert first.taken() == [
        '431["431[1]","432[2]"]'.replace('1["', '1[["', 1) + "]",
        "433[]",
        "432[2]",
    ]


async def test_a_key_that_clears_the_handlers_while_it_is_compared():
    client = joined()
    sio = client.sio
    done = []

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            done.append(other)
            sio.handlers.clear()
            gc.collect()
            return False

    sio.on(Key("odd"), lambda sid: "odd")
    client.send('421["odd"]', '422["e"]')
    assert await settle(client) == []
    assert done


async def test_output_when_the_loop_could_not_be_asked(monkeypatch):
    """call_soon() near the recursion limit fails once: what was put leaves all the same."""
    client = joined()
    loop = asyncio.get_running_loop()
    ask, fails = loop.call_soon, [True]

    def call_soon(*args, **kwargs):
        if fails:
            fails.clear()
            raise RecursionError("deep")
        return ask(*args, **kwargs)

    monkeypatch.setattr(loop, "call_soon", call_soon)
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    client.conn.send("4a")
    client.conn.send("4b")
    assert [*client.taken(), *await settle(client)] == ["4a", "4b"]
    assert not fails


async def test_a_deadline_set_while_the_timer_is_armed(monkeypatch):
    """By what is collected then, say: no timer is left that nobody knows."""
    client = joined()
    loop = asyncio.get_running_loop()
    ask, nested = loop.call_later, [True]
    made = []

    def call_later(*args, **kwargs):
        if nested:
            nested.clear()
            client.conn.expect(toolboxsio.engine_socket.DUE_LEAVE, 0.05)
        made.append(ask(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(loop, "call_later", call_later)
    client.conn.expect(toolboxsio.engine_socket.DUE_LEAVE, 0.05)
    assert len(made) == 2
    inner = made[0]
    assert gc.get_referrers(inner) != []
    kept = sys.getrefcount(inner)
    inner.cancel()
    assert [
        one for one in gc.get_referrers(inner) if one is not made and one is not loop._scheduled
    ] == []
    assert kept == 4  # of `made`, the loop's heap, `inner` and the call


def test_hubs_are_checked():
    hub = type(asyncio.run(a_hub()))
    with pytest.raises(TypeError):
        hub(None, None, {})
    with pytest.raises(TypeError):
        hub(None, None, None)
    with pytest.raises(TypeError):
        hub(None, None, {1: 2})


async def a_hub():
    return echoing().eio.hub()
