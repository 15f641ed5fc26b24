"""Handlers that begin when their event is read, on both loops.

They do so of themselves, and where all tasks do by the application's factory, as Python 3.12 and
later have it: asyncio.eager_task_factory and its like.
"""

import asyncio
import contextvars
import gc
import sys
import threading

import pytest
import uvloop
from connections import Client, frame, server, until

WORD = contextvars.ContextVar("WORD", default="unset")
CHOICES = ["asyncio", "uvloop"]
if sys.version_info >= (3, 12):
    # uvloop hands an eager_start to its factory, which asyncio's own does not take everywhere.
    CHOICES += ["asyncio, eager", "asyncio, own eager", "uvloop, own eager"]


class Own(asyncio.Task):
    """The class of the application's own eager tasks."""


def own_eager(loop, coro, **options):
    return Own(coro, loop=loop, **{**options, "eager_start": True})


@pytest.fixture(params=CHOICES)
def play(request):
    """A function that runs a coroutine function on a loop, with a client that has joined."""
    name, _, factory = request.param.partition(", ")
    new_loop = uvloop.new_event_loop if name == "uvloop" else asyncio.new_event_loop

    def run(function):
        async def with_client():
            factories = {"": None, "own eager": own_eager}
            chosen = asyncio.eager_task_factory if factory == "eager" else factories[factory]
            asyncio.get_running_loop().set_task_factory(chosen)
            client = Client(server())
            client.join()
            await function(client)
            await until(lambda: client.conn.running == 0)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(with_client())

    run.task_class = Own if factory == "own eager" else asyncio.Task
    return run


def test_the_first_step(play):
    """It is that of a task like any other, and what was current before is so afterwards."""

    async def check(client):
        facts = []

        @client.sio.event
        async def e(sid):
            task = asyncio.current_task()
            facts.append(task)
            facts.append(task in asyncio.all_tasks())
            await asyncio.sleep(0)
            facts.append(asyncio.current_task() is task)
            facts.append(task in asyncio.all_tasks())
            return "answer"

        @client.sio.event
        def plain(sid):
            return asyncio.current_task() is not outer

        outer = asyncio.current_task()
        client.send('421["e"]', '422["plain"]')
        assert asyncio.current_task() is outer
        assert facts[1:] == [True]
        assert client.taken() == ["432[true]"]
        assert await client.until() == ['431["answer"]']
        assert facts[1:] == [True, True, True]
        assert type(facts[0]) is play.task_class
        assert facts[0] is not outer
        await until(facts[0].done)
        assert facts[0] not in asyncio.all_tasks()

    play(check)


def test_context(play):
    """Each handler has a copy of what the connect handlers leave in the connection's context."""

    async def check(client):
        @client.sio.on("connect", namespace="/other")
        async def connect(sid, environ):
            WORD.set("from connect")
            await asyncio.sleep(0)
            WORD.set(WORD.get() + ", later")

        @client.sio.event
        async def e(sid, value):
            before = WORD.get()
            WORD.set(value)
            await asyncio.sleep(0)
            return before, WORD.get()

        WORD.set("outer")
        client.send("40/other,")
        [answer] = await client.until()
        assert answer.startswith("40/other,{")
        for value in ("first", "second"):
            client.send(f'421["e","{value}"]')
            assert await client.until() == [f'431["from connect, later","{value}"]']
        assert WORD.get() == "outer"

    play(check)


def test_context_of_handlers_in_order(play):
    """Without tasks of their own they share it."""

    async def check(client):
        client.sio.async_handlers = False

        @client.sio.event
        async def e(sid, value):
            before = WORD.get()
            await asyncio.sleep(0)
            WORD.set(value)
            return before

        client.send('421["e","first"]', '422["e","second"]', '423["e","third"]')
        expected = ['431["unset"]', '432["first"]', '433["second"]']
        assert await client.until(3) == expected
        assert WORD.get() == "unset"

    play(check)


def test_timeouts_and_groups(play):
    """What needs a current task finds it in the first step."""

    async def check(client):
        @client.sio.event
        async def timeout(sid):
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                return asyncio.current_task().cancelling()

        @client.sio.event
        async def group(sid, *numbers):
            async def work(number):
                await asyncio.sleep(0)
                return 1 // number

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(work(number)) for number in numbers]
            except ExceptionGroup as failed:
                return repr(failed.exceptions[0])
            return [task.result() for task in tasks]

        client.send('421["timeout"]', '422["group",1,2]', '423["group",1,0]')
        error = "ZeroDivisionError('integer division or modulo by zero')"
        expected = ["431[0]", "432[[1,0]]", f'433["{error}"]']
        assert sorted(await client.until(3)) == expected

    play(check)


def test_cancellation(play):
    """A handler that is cancelled answers, as upstream has it, with nothing."""

    async def check(client):
        tasks = []

        @client.sio.event
        async def itself(sid):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

        @client.sio.event
        async def waits(sid):
            tasks.append(asyncio.current_task())
            await asyncio.get_running_loop().create_future()

        @client.sio.event
        async def cancels(sid):
            return tasks[0].cancel()

        client.send('421["waits"]', '422["cancels"]', '423["itself"]')
        assert sorted(await client.until(3)) == ["431[]", "432[true]", "433[]"]
        await until(tasks[0].done)

    play(check)


def test_failures(play, monkeypatch):
    """An exception of the first step is the task's: nobody retrieves it, and the loop tells so."""

    async def check(client):
        # pytest keeps the records, and so exceptions, frames and tasks
        monkeypatch.setattr(client.sio.logger, "propagate", False)
        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))

        @client.sio.event
        async def fails(sid, rounds):
            for _ in range(rounds):
                await asyncio.sleep(0)
            raise LookupError(rounds)

        @client.sio.event
        async def e(sid):
            return "goes on"

        client.send('421["fails",0]', '422["fails",2]', '423["e"]')
        assert client.taken() == ['433["goes on"]']
        await until(lambda: client.conn.running == 0)
        await asyncio.sleep(0)
        gc.collect()
        assert sorted(map(repr, told)) == ["LookupError(0)", "LookupError(2)"]

    play(check)


def test_the_end(play):
    """A disconnect handler that asks for the end of the server joins the one that it is part of."""

    async def check(client):
        ends = []

        @client.sio.event
        async def disconnect(sid, reason):
            ends.append(client.sio.eio.stop_soon(1001))

        end = client.sio.eio.stop_soon(1001)
        client.conn.connection_lost(None)
        await until(end.done)
        assert ends == [end]

    play(check)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio begins tasks at once")
def test_two_threads_make_a_task_at_the_same_time():
    """A collection while one makes its task lets the other come half way through its own."""
    begin, half_way, go_on, over = (threading.Event() for _ in range(4))
    seen, failed, waits = [], [], []

    class Loop(asyncio.SelectorEventLoop):
        def get_debug(self):
            if waits:
                waits.clear()
                half_way.set()
                go_on.wait(5)
            return super().get_debug()

    def client_of(name):
        sio = server()

        @sio.event
        async def e(sid):
            seen.append(name)

        client = Client(sio)
        client.join()
        return client

    async def other():
        client = client_of("other")
        while True:
            begin.wait()
            begin.clear()
            if over.is_set():
                return
            waits.append(True)
            try:
                client.send('42["e"]')
            except Exception as exc:
                failed.append(exc)
            half_way.set()

    def run_other():
        loop = Loop()
        loop.run_until_complete(other())
        loop.close()

    def on_collection(phase, info):
        if armed and threading.current_thread() is threading.main_thread():
            armed.clear()
            begin.set()
            half_way.wait(5)

    async def one():
        client = client_of("one")
        data = frame('42["e"]')
        for more in range(20):
            client.conn.get_buffer(-1)[: len(data)] = data
            go_on.clear()
            half_way.clear()
            kept = [(i,) for i in range(3000)]  # no tuple is taken from those that were set free
            armed.append(True)
            gc.set_threshold(gc.get_count()[0] + more, 10**6, 10**6)
            client.conn.buffer_updated(len(data))
            gc.set_threshold(10**6)
            was_hit = not armed
            armed.clear()
            half_way.clear()
            go_on.set()
            if was_hit:
                await asyncio.to_thread(half_way.wait, 5)
            kept.clear()
        await until(lambda: seen.count("one") == 20)

    armed = []
    thresholds = gc.get_threshold()
    thread = threading.Thread(target=run_other)
    thread.start()
    gc.callbacks.append(on_collection)
    try:
        gc.set_threshold(10**6)
        asyncio.run(one())
    finally:
        gc.callbacks.remove(on_collection)
        gc.set_threshold(*thresholds)
        over.set()
        begin.set()
        go_on.set()
        thread.join()
    assert failed == []
    assert "other" in seen
