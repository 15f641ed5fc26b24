"""What an application changes on a server in use: noticed where it matters, and nowhere else."""

import asyncio
import inspect
import logging
import subprocess
import sys
import textwrap

import pytest
from connections import Client

import toolboxsio
from toolboxsio.engine import EngineServer, EngineSocket
from toolboxsio.manager import AsyncManager


class Logger(logging.Logger):
    """Counts how often it is looked at: each packet that Python handles asks it, or each plan."""

    asked = 0

    def isEnabledFor(self, level):
        Logger.asked += 1
        return super().isEnabledFor(level)


class Server(toolboxsio.AsyncServer):
    n = 0


def joined():
    sio = Server(async_mode="asgi", logger=Logger("of the tests", logging.ERROR))
    client = Client(sio)
    client.sid = client.join()

    @sio.event
    async def e(sid):
        return 1

    return client


async def events(client, count=1):
    for _ in range(count):
        client.send('421["e"]')
        async with asyncio.timeout(5):
            assert await client.until() == ["431[1]"]


def own_attribute(name):
    def change(client):
        owner = {"sio": client.sio, "eio": client.sio.eio, "manager": client.sio.manager}[name]
        owner.n = getattr(owner, "n", 0) + 1

    return change


def of_class(client):
    Server.n += 1


def come_and_go(client):
    client.sio.other = 1
    del client.sio.other


def of_logger(client):
    client.sio.logger.n = object()


UNRELATED = {
    **{name: own_attribute(name) for name in ("sio", "eio", "manager")},
    "class": of_class,
    "come and go": come_and_go,
    "logger": of_logger,
    "dict": lambda client: setattr(client.sio, "__dict__", dict(vars(client.sio))),
}


@pytest.mark.parametrize("name", UNRELATED)
async def test_what_nobody_looks_at(name):
    """An event costs what it costs without it."""
    client = joined()
    change = UNRELATED[name]
    await events(client, 2)
    change(client)
    await events(client)
    before = Logger.asked
    for _ in range(5):
        change(client)
        await events(client)
    assert Logger.asked == before


def counting(cls, name, calls):
    """A subclass that counts the calls of a method."""
    method = getattr(cls, name)

    def count(self, *args, **kwargs):
        calls.append(name)
        return method(self, *args, **kwargs)

    async def wait(self, *args, **kwargs):
        return await count(self, *args, **kwargs)

    function = wait if inspect.iscoroutinefunction(method) else count
    return type(f"Counting{cls.__name__}", (cls,), {name: function})


CLASSES = {
    "sio": (Server, "_handle_eio_message"),
    "trigger": (Server, "_trigger_event"),
    "eio": (EngineServer, "_trigger_event"),
    "manager": (AsyncManager, "is_connected"),
    "socket": (EngineSocket, "receive"),
}


def owner_of(client, name):
    sio = client.sio
    owners = {"eio": sio.eio, "manager": sio.manager, "socket": client.socket}
    return owners.get(name, sio)


def by_class(owner, cls):
    owner.__class__ = cls


def by_dict(owner, cls):
    [name] = set(vars(cls)) - {"__module__", "__doc__"}
    owner.__dict__ = {**vars(owner), name: vars(cls)[name].__get__(owner)}


def by_key(owner, cls):
    [name] = set(vars(cls)) - {"__module__", "__doc__"}
    vars(owner)[name] = vars(cls)[name].__get__(owner)


@pytest.mark.parametrize("how", [by_class, by_dict, by_key])
@pytest.mark.parametrize("name", CLASSES)
async def test_what_matters(name, how):
    """It is called from the next event on."""
    client = joined()
    await events(client, 2)
    calls = []
    cls, method = CLASSES[name]
    owner = owner_of(client, name)
    how(owner, counting(cls, method, calls))
    if name == "sio":
        client.sio.eio.on("message", client.sio._handle_eio_message)
    await events(client, 2)
    assert calls.count(method) >= 2


async def test_a_change_while_it_is_looked_at():
    """What changes in the middle of it counts from the next event on."""
    client = joined()
    calls = []
    await events(client, 2)
    sio = client.sio
    original = sio._trigger_event

    async def counted(*args):
        calls.append(args[0])
        return await original(*args)

    class Late(Logger):
        def isEnabledFor(self, level):
            if self is sio.logger and not calls:
                sio._trigger_event = counted
            return super().isEnabledFor(level)

    sio.logger = Late("of the tests", logging.ERROR)
    await events(client, 3)
    assert len(calls) >= 2


async def test_emits_see_it():
    """They leave by a method that was put into a socket's dict."""
    client = joined()
    await events(client)
    sent = []
    send = client.socket.send

    async def counted(packet):
        sent.append(packet.data)
        await send(packet)

    vars(client.socket)["send"] = counted
    await client.sio.emit("x", to=client.sid)
    assert sent == ['2["x"]']


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are none")
def test_without_dict_watchers():
    """All are taken: changes are noticed all the same."""
    program = """
        import asyncio, ctypes, sys
        callback = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *args: 0)
        add = ctypes.pythonapi.PyDict_AddWatcher
        add.argtypes = [ctypes.c_void_p]
        try:
            while True:
                add(callback)
        except RuntimeError:
            pass
        sys.path.insert(0, sys.argv[1])
        import toolboxsio
        from connections import Client, server

        async def main():
            sio, calls = server(), []
            client = Client(sio)
            client.join()
            sio.on("e", lambda sid: 1)
            for n in range(6):
                if n == 3:
                    method = sio._trigger_event
                    sio._trigger_event = lambda *args: (calls.append(n), method(*args))[1]
                client.send('421["e"]')
                assert await client.until() == ["431[1]"]
            assert calls == [3, 4, 5]

        asyncio.run(main())
        assert toolboxsio.ACCELERATED
    """
    here = sys.modules[__name__].__file__.rpartition("/")[0]
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), here], check=True, timeout=60)
