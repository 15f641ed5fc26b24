"""How often events were handled, and how long that took (csrc/conn/event_stats.c)."""

import asyncio

import pytest
import socketio
from connections import Client, frame, server, until

from toolboxsio.status import endpoint, status


def counts(sio):
    """(namespace, event) -> (count, failed)"""
    return {(ns, name): (n, failed) for ns, name, n, failed, *_ in sio.event_counts()}


class Rooms(socketio.AsyncNamespace):
    async def on_enter(self, sid, *data):
        return 1

    def on_plain(self, sid, *data):
        return 2


def build(**options):
    sio = server(**options)

    @sio.event
    async def good(sid, data):
        return data

    @sio.event
    async def slow(sid, data):
        await asyncio.sleep(0.05)

    @sio.event
    async def bad(sid, data):
        raise RuntimeError("on purpose")

    @sio.event
    def unencodable(sid, data):
        return object()

    sio.register_namespace(Rooms("/rooms"))
    return sio


async def join(client, packet="40"):
    client.send(packet)
    [answer] = await client.until(1)
    assert answer.startswith(packet)


async def send(client, *names, namespace=""):
    for name in names:
        client.read(frame(f'42{namespace}1["{name}",0]'))
        await asyncio.sleep(0)


@pytest.fixture(params=["C", "Python"])
def sio(request):
    """A server, and one whose events go through Python."""
    sio = build(namespaces=["/", "/rooms", "/other"])
    if request.param == "Python":
        trigger = sio._trigger_event

        async def trigger_event(*args):
            return await trigger(*args)

        sio._trigger_event = trigger_event
    return sio


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_events_are_counted(sio):
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    client = Client(sio)
    await join(client)
    await join(client, "40/rooms,")
    await send(client, "good", "good", "bad", "unencodable", "unknown", "slow")
    await send(client, "enter", "plain", "missing", namespace="/rooms,")
    await until(lambda: ("/", "slow") in counts(sio))
    await until(lambda: ("/rooms", "plain") in counts(sio))
    assert counts(sio) == {
        ("/", "good"): (2, 0),
        ("/", "bad"): (1, 1),
        ("/", "unencodable"): (1, 1),
        ("/", "slow"): (1, 0),
        ("/rooms", "enter"): (1, 0),
        ("/rooms", "plain"): (1, 0),
    }
    for ns, name, n, _, total, p50, p99, longest, _ in sio.event_counts():
        assert 0 < p50 <= p99 <= longest <= total, (ns, name)
        assert total <= n * longest
        assert (p50 > 0.045) == (name == "slow")


async def test_names_that_clients_make_up_are_one(sio):
    @sio.on("*")
    async def anything(event, sid, data):
        return event

    @sio.on("*", namespace="*")
    async def anywhere(event, namespace, sid, data):
        return event

    client = Client(sio)
    await join(client)
    await join(client, "40/other,")
    await send(client, *(f"made up {i}" for i in range(50)))
    await send(client, *(f"made up {i}" for i in range(50)), namespace="/other,")
    await until(lambda: sum(n for n, _ in counts(sio).values()) == 100)
    assert counts(sio) == {("/", "*"): (50, 0), ("*", "*"): (50, 0)}


async def test_there_is_an_end_to_their_number():
    sio = build()
    hub = sio.eio.hub()
    for number in range(1500):
        hub.count_event("/", f"event {number}", 0.001, number % 2 == 0)
    found = counts(sio)
    assert len(found) == 1000
    assert found["*", "*"] == (501, 250)
    assert found["/", "event 998"] == (1, 1)
    assert ("/", "event 999") not in found


async def test_quantiles_and_bounds():
    sio = build()
    hub = sio.eio.hub()
    for milliseconds in range(1, 101):
        hub.count_event("/", "e", milliseconds / 1000, False)
    [(_, _, n, _, total, p50, p99, longest, up_to)] = sio.event_counts((0.0001, 0.01, 0.1, 10))
    assert n == 100
    assert total == pytest.approx(5.05)
    assert p50 == pytest.approx(0.05, rel=1 / 30)
    assert p99 == pytest.approx(0.099, rel=1 / 30)
    assert longest == 0.1
    assert up_to[0] == 0
    assert up_to[1] == pytest.approx(10, abs=1)
    assert up_to[2] == pytest.approx(100, abs=4)
    assert up_to[3] == 100
    for bounds in ((-1,), (float("nan"),), (2e9,), (0.1,) * 65):
        with pytest.raises(ValueError, match="bound"):
            hub.events(bounds)
    with pytest.raises(TypeError):
        hub.events(("x",))
    for seconds in (-1, float("nan"), 1e10):
        with pytest.raises(ValueError, match="duration"):
            hub.count_event("/", "e", seconds, False)
    with pytest.raises(TypeError):
        hub.count_event("/", 1, 0.1, False)


async def test_status_tells_of_them(sio):
    client = Client(sio)
    await join(client)
    await join(client, "40/rooms,")
    await send(client, "good")
    await send(client, "enter", namespace="/rooms,")
    await until(lambda: len(counts(sio)) == 2)
    told = status(sio)
    assert told["connected"] == 1
    assert told["path"] == "/socket.io"
    assert told["acceleration"]["paths"] == {"direct": 1}
    assert set(told["events"]) == {"good", "/rooms enter"}
    assert told["events"]["good"]["count"] == 1
    assert await endpoint(sio, "/ws")() == {**told, "path": "/ws"}


async def test_a_server_without_clients_tells_nothing():
    sio = build()
    assert sio.event_counts() == []
    assert status(sio)["events"] == {}


async def test_a_namespace_with_methods_for_any_name_is_one(sio):
    class Dynamic(socketio.AsyncNamespace):
        def __getattr__(self, name):
            if not name.startswith("on_"):
                raise AttributeError(name)

            async def anything(sid, *data):
                return name

            return anything

    sio.register_namespace(Dynamic("/other"))
    client = Client(sio)
    await join(client)
    await join(client, "40/other,")
    await send(client, *(f"made up {i}" for i in range(20)), namespace="/other,")
    await until(lambda: counts(sio) == {("/other", "*"): (20, 0)})


async def test_names_that_no_report_can_have_are_not_counted():
    sio = build()
    hub = sio.eio.hub()
    hub.count_event("/", "\ud800", 0.1, False)
    hub.count_event("\ud800", "e", 0.1, False)
    hub.count_event("*", "*", 0.1, False)
    assert counts(sio) == {("*", "*"): (1, 0)}
