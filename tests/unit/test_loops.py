"""What threads and event loops ask of each other."""

import asyncio
import threading
import time

import pytest

from toolboxsio._loops import Posts


async def test_who_asks_a_loop_that_makes_no_task_is_told():
    def refuse(loop, coro, **options):
        coro.close()
        raise ZeroDivisionError

    async def answer():
        raise AssertionError("it is not run")

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        loop.set_task_factory(refuse)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(Posts(loop).run(answer), 5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_calls_of_threads_leave_the_loop_its_time():
    posts = Posts(asyncio.get_running_loop())
    done = []

    def work():
        time.sleep(0.002)  # of the loop
        done.append(len(done))

    for _ in range(100):
        posts.post(work)
    turns = 0
    while len(done) < 100:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 20
    assert done == list(range(100))
