"""What threads and event loops ask of each other."""

import asyncio
import threading

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
