"""Waits that others may end: the result of an awaitable, or None when it was interrupted."""

import asyncio
import gc
import types

import pytest

from toolboxsio import _core


class Awaitable:
    """Of a server that is not written in Python: its iterator has no throw()."""

    def __init__(self, steps, result=None):
        self.steps, self.result = iter(steps), result

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        for step in self.steps:
            return step
        raise StopIteration(self.result)


@types.coroutine
def turns():
    """Waits for an iteration of the event loop again and again, without a future."""
    while True:
        yield


async def returns(value):
    return value


async def waits_for(future, log=None):
    try:
        return await future
    except asyncio.CancelledError:
        if log is not None:
            log.append("cancelled")
        raise


async def started(coro):
    """Its task, after its first steps."""
    task = asyncio.create_task(coro)
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def awaits(wait, awaitable):
    return await wait.run(awaitable)


def future():
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("value", [1, None, (1, 2), StopIteration(3), ValueError()])
async def test_the_result(value):
    wait = _core.Interruptible()
    assert await wait.run(returns(value)) is value
    assert await wait.run(Awaitable([None, None], value)) is value
    slow = future()
    task = await started(awaits(wait, waits_for(slow)))
    assert not task.done()
    slow.set_result(value)
    assert await task is value
    assert not wait.interrupted


async def test_what_is_raised():
    wait = _core.Interruptible()
    slow = future()
    task = await started(awaits(wait, waits_for(slow)))
    slow.set_exception(LookupError("x"))
    with pytest.raises(LookupError, match="x"):
        await task
    assert await wait.run(returns(2)) == 2


async def test_an_interruption_ends_the_wait_and_those_that_follow():
    wait, log = _core.Interruptible(), []
    slow = future()
    task = await started(awaits(wait, waits_for(slow, log)))
    wait.interrupt()
    assert await task is None
    assert task.cancelling() == 0
    assert log == ["cancelled"]
    assert wait.interrupted
    assert await wait.run(returns(1)) is None
    assert await wait.run(Awaitable([], 1)) is None
    wait.interrupt()


async def test_an_interruption_of_what_waits_without_a_future():
    wait = _core.Interruptible()
    for awaitable in (turns(), Awaitable(iter(lambda: None, 1))):
        wait = _core.Interruptible()
        task = await started(awaits(wait, awaitable))
        wait.interrupt()
        assert await task is None
        assert task.cancelling() == 0


async def test_an_interruption_as_the_result_is_there():
    wait = _core.Interruptible()
    slow = future()
    task = await started(awaits(wait, waits_for(slow)))
    slow.set_result(1)
    wait.interrupt()
    assert await task is None


async def test_an_interruption_by_what_is_awaited():
    wait = _core.Interruptible()

    async def interrupts():
        wait.interrupt()
        await future()

    assert await wait.run(interrupts()) is None
    assert asyncio.current_task().cancelling() == 0


async def test_what_is_awaited_may_clean_up_and_fail():
    wait, log = _core.Interruptible(), []

    async def cleans_up():
        try:
            await future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("clean")
            raise LookupError("x") from None

    task = await started(awaits(wait, cleans_up()))
    wait.interrupt()
    with pytest.raises(LookupError):
        await task
    assert log == ["clean"]


async def test_a_cancelled_task_is_cancelled():
    wait, log = _core.Interruptible(), []
    for awaitable in (waits_for(future(), log), turns(), Awaitable(iter(lambda: None, 1))):
        task = await started(awaits(wait, awaitable))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
    assert log == ["cancelled"]
    assert await wait.run(returns(1)) == 1


async def test_a_task_counts_what_was_cancelled_besides():
    wait = _core.Interruptible()
    task = await started(awaits(wait, waits_for(future())))
    wait.interrupt()
    task.cancel()
    assert await task is None
    assert task.cancelling() == 1


async def test_one_wait_at_a_time():
    wait = _core.Interruptible()
    task = await started(awaits(wait, waits_for(slow := future())))
    coro = returns(1)
    with pytest.raises(RuntimeError):
        wait.run(coro)
    coro.close()
    slow.set_result(2)
    assert await task == 2
    with pytest.raises(RuntimeError):
        await wait
    with pytest.raises(ValueError, match="x"):
        wait.throw(ValueError("x"))
    with pytest.raises(TypeError):
        wait.run(1)


async def test_a_coroutine_that_is_closed_closes_what_it_awaits():
    wait, log = _core.Interruptible(), []

    async def notes():
        try:
            await turns()
        finally:
            log.append("closed")

    coro = awaits(wait, notes())
    coro.send(None)
    coro.close()
    assert log == ["closed"]
    assert await wait.run(returns(1)) == 1


def test_as_an_iterator():
    wait = _core.Interruptible()
    assert iter(wait.run(Awaitable(["a", "b"], "c"))) is wait
    assert [next(wait), wait.send(None)] == ["a", "b"]
    with pytest.raises(StopIteration) as ended:
        next(wait)
    assert ended.value.value == "c"
    wait.close()
    wait.run(turns()).send(None)
    with pytest.raises(LookupError):
        wait.throw(LookupError("x"))


def test_a_cycle_is_collected():
    class Holds(Awaitable):
        pass

    wait = _core.Interruptible()
    held = Holds([None])
    held.wait = wait
    next(wait.run(held))
    del wait, held
    gc.collect()
    assert not [obj for obj in gc.get_objects() if isinstance(obj, Holds)]
