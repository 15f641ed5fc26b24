"""A server whose clients, emits and questions are on several event loops and threads."""

import asyncio
import contextlib
import gc
import itertools
import json
import threading
import time
import weakref

import pytest

import toolboxsio

from .harness import wait_until
from .loops import KINDS, SECONDS, Client, Site, elsewhere, sites

STRESS_SECONDS = 3


def make(**options):
    sio = toolboxsio.AsyncServer(async_mode="asgi", **options)

    @sio.event
    async def ask(sid):
        return "ok"

    return sio


@contextlib.contextmanager
def joined(*kinds_of_clients):
    """Clients, closed at the end: (site, whether it polls)."""
    with contextlib.ExitStack() as stack:
        clients = []
        for site, is_polling in kinds_of_clients:
            clients.append(Client(site, is_polling))
            stack.callback(clients[-1].close)
        yield clients


def of_all_kinds(*opened):
    return [(site, is_polling) for site in opened for is_polling in (False, True)]


# --- one loop, and others that only emit ----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_emit_of_another_loop_leaves_the_server_as_it_is(kind):
    sio = make()
    working, go_on = threading.Event(), threading.Event()

    @sio.event
    async def slow(sid):
        working.set()
        while not go_on.is_set():  # noqa: ASYNC110 (another thread's)
            await asyncio.sleep(0.01)
        return "through"

    with sites(sio, kind) as [site], joined((site, False)) as [client]:
        assert client.ask("ask", 1) == '431["ok"]'
        elsewhere(lambda: sio.emit("x", 1))
        assert client.next() == '42["x",1]'
        assert client.ask("ask", 2) == '432["ok"]'
        assert sio.status()["events"]["ask"]["count"] == 2
        assert sio.acceleration(client.sid)["fast"]
        client.send('423["slow"]')
        assert working.wait(SECONDS)
        end = site.begin(sio.shutdown())
        wait_until("no session is opened", lambda: Refused(site).status == 503)
        client.send('424["ask"]')
        go_on.set()
        assert client.next() == '433["through"]'
        assert client.next() == "1"
        end.result(SECONDS)
        assert sio.status()["events"]["ask"]["count"] == 2


class Refused:
    """The status of a request for a new session."""

    def __init__(self, site):
        import urllib.error
        import urllib.request

        url = f"http://127.0.0.1:{site.port}/socket.io/?EIO=4&transport=polling"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as response:
                self.status = response.status
        except urllib.error.HTTPError as exc:
            self.status = exc.code


def test_a_thousand_short_loops_leave_nothing():
    sio = make()
    loops = []

    async def emit():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await sio.emit("x", 1)
        sio.status()

    with sites(sio, ("direct", "asyncio")) as [site], joined((site, False)) as [client]:

        def emit_often():
            for _ in range(1000):
                asyncio.run(emit())

        thread = threading.Thread(target=emit_often)
        thread.start()
        for _ in range(1000):
            assert client.next() == '42["x",1]'
        thread.join(SECONDS)
        gc.collect()
        assert [ref for ref in loops if ref() is not None] == []
    assert len(loops) == 1000


# --- what another thread may ask ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_polling", [False, True], ids=["websocket", "polling"])
def test_emits_of_another_thread(kind, is_polling):
    sio = make()
    gone = []

    @sio.event
    async def disconnect(sid, reason):
        gone.append((sid, reason, asyncio.get_running_loop()))

    with sites(sio, kind) as [site], joined((site, is_polling), (site, is_polling)) as [one, other]:

        async def emit():
            await sio.emit("all", {"n": 1})
            await sio.emit("one", to=one.sid)
            await sio.send("text", to=one.sid)
            await sio.enter_room(one.sid, "room")
            assert set(sio.rooms(one.sid)) == {one.sid, "room"}
            await sio.emit("room", room="room")
            await sio.leave_room(one.sid, "room")
            await sio.emit("nobody", room="room")
            await sio.emit("rooms", room=[one.sid, "room"])
            await sio.emit("skipped", skip_sid=other.sid)
            await sio.emit("binary", [b"\x01\x02", bytearray(b"\x03")], to=one.sid)
            if is_polling:  # what waits for a poll is not taken
                await sio.emit("dropped", volatile=True)
            await sio.emit("last", volatile=not is_polling)

        elsewhere(emit)
        expected = ['42["all",{"n":1}]', '42["one"]', '42["message","text"]', '42["room"]']
        expected += ['42["rooms"]', '42["skipped"]']
        expected.append(
            '452-["binary",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]]'
        )
        expected += ["bAQI=", "bAw=="] if is_polling else [b"\x01\x02", b"\x03"]
        for packet in [*expected, '42["last"]']:
            assert one.next() == packet
        assert [other.next(), other.next()] == ['42["all",{"n":1}]', '42["last"]']

        answers = []
        elsewhere(
            lambda: sio.emit("asked", 1, to=one.sid, callback=lambda *args: answers.append(args))
        )
        asked = one.next()
        assert asked.endswith('["asked",1]')
        one.send(f'43{asked[2 : asked.index("[")]}["heard",2]')
        wait_until("the callback is called", lambda: answers == [("heard", 2)])

        with pytest.raises(TypeError):
            elsewhere(lambda: sio.emit("bad", object()))

        elsewhere(lambda: sio.disconnect(one.sid))
        assert one.next() == "41"
        assert [entry[0] for entry in gone] == [one.sid]
        assert gone[0][2] is site.loop


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_polling", [False, True], ids=["websocket", "polling"])
def test_a_call_of_another_thread(kind, is_polling):
    sio = make()
    with sites(sio, kind) as [site], joined((site, is_polling)) as [client]:
        results = []
        thread = threading.Thread(
            target=lambda: results.append(asyncio.run(sio.call("q", to=client.sid, timeout=5)))
        )
        thread.start()
        asked = client.next()
        begun = time.monotonic()
        client.send(f"43{asked[2 : asked.index('[')]}[42]")
        thread.join(SECONDS)
        assert results == [42]
        assert time.monotonic() - begun < 3  # it is told, and does not find out
        assert not sio.manager.callbacks[client.sid].keys() - {0}


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_a_thread_is_kept(kind):
    sio = make()
    count = 3000
    with sites(sio, kind) as [site], joined((site, False), (site, True)) as clients:

        async def emit():
            for number in range(count):
                await sio.emit("n", number, to=clients[number % 2].sid if number % 3 else None)

        thread = threading.Thread(target=lambda: asyncio.run(emit()))
        thread.start()
        for index, client in enumerate(clients):
            for number in range(count):
                if number % 3 == 0 or number % 2 == index:
                    assert client.next() == f'42["n",{number}]'
        thread.join(SECONDS)


# --- clients on two loops -------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [(KINDS[0], KINDS[1]), (KINDS[2], KINDS[3])], ids=repr)
def test_two_web_servers_of_one_server(kinds):
    sio = make()

    @sio.event
    async def tell(sid):
        await sio.emit("told", sid)

    with sites(sio, *kinds) as opened, joined(*of_all_kinds(*opened)) as clients:
        for teller in clients:
            teller.send('42["tell"]')
            for client in clients:
                assert client.next() == f'42["told","{teller.sid}"]'
        for number, client in enumerate(clients, 1):
            assert client.ask("ask", number) == f'43{number}["ok"]'
        events = sio.status()["events"]
        assert events["ask"]["count"] == events["tell"]["count"] == len(clients)
        for site in opened:
            for client in clients:
                site.run(sio.emit("here", to=client.sid))
                assert client.next() == '42["here"]'
        elsewhere(lambda: sio.emit("there"))
        assert [client.next() for client in clients] == ['42["there"]'] * len(clients)
        assert sio.status()["sessions"] == len(clients)


@pytest.mark.parametrize("kinds", [(KINDS[0], KINDS[1]), (KINDS[2], KINDS[3])], ids=repr)
@pytest.mark.parametrize("by", ["shutdown", "uvicorn"])
def test_the_end_is_that_of_all_loops(kinds, by):
    sio = make()
    working, go_on, reasons = [], threading.Event(), []

    @sio.event
    async def slow(sid):
        working.append(sid)
        while not go_on.is_set():  # noqa: ASYNC110 (another thread's)
            await asyncio.sleep(0.01)
        return "through"

    @sio.event
    async def disconnect(sid, reason):
        reasons.append(reason)

    with sites(sio, *kinds) as opened, joined(*((site, False) for site in opened)) as clients:
        for client in clients:
            client.send('421["slow"]')
        wait_until("handlers are at work", lambda: len(working) == 2)
        if by == "shutdown":
            opened[0].begin(sio.shutdown())
        else:
            opened[0].server.should_exit = True
        wait_until("no session is opened", lambda: Refused(opened[1]).status == 503)
        for client in clients:
            client.send('422["ask"]')
        go_on.set()
        for client in clients:
            assert client.next() == '431["through"]'
            assert client.next() == "1"
            assert client.next() is None
        wait_until("both are told", lambda: reasons == ["server disconnect"] * 2)
        assert "ask" not in sio.status()["events"]


@pytest.mark.filterwarnings("ignore")  # what is left behind when a loop is not brought to its end
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_polling", [False, True], ids=["websocket", "polling"])
def test_clients_of_a_loop_that_is_closed_are_skipped(kind, is_polling):
    leave_a_loop(kind, is_polling)
    gc.collect()


def leave_a_loop(kind, is_polling):
    sio = make()
    gone = []

    @sio.event
    async def disconnect(sid, reason):
        gone.append(sid)

    with sites(sio, kind) as [site], joined((site, False)) as [client]:
        abandoned = Site(sio, *kind)
        other = Client(abandoned, is_polling)
        assert other.ask("ask", 1) == '431["ok"]'
        abandoned.abandon()
        elsewhere(lambda: sio.emit("x"))
        assert client.next() == '42["x"]'
        site.run(sio.emit("y"))
        site.run(sio.emit("z", to=other.sid))
        assert client.next() == '42["y"]'
        assert client.ask("ask", 2) == '432["ok"]'
        assert sio.status()["events"]["ask"]["count"] == 2
        site.run(sio.shutdown())
        assert sorted(gone) == sorted((client.sid, other.sid))
        assert sio.status()["sessions"] == 0


# --- questions ------------------------------------------------------------------------------------


def test_questions_before_there_is_a_loop():
    sio = make()
    status = sio.status()
    assert status["sessions"] == 0
    assert status["acceleration"] == {"paths": {}, "not_direct": [], "events": [], "emits": []}
    assert sio.event_counts() == []
    assert toolboxsio.status(sio)["connected"] == 0
    with pytest.raises(KeyError):
        sio.acceleration("nobody")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_loop", [False, True], ids=["thread", "loop"])
def test_questions_of_another_thread(kind, has_loop):
    sio = make()
    with sites(sio, kind) as [site], joined((site, False), (site, True)) as [client, poller]:
        assert client.ask("ask", 1) == '431["ok"]'

        def ask():
            return (
                toolboxsio.status(sio),
                [sio.acceleration(one.sid) for one in (client, poller)],
                [sio.backlog(one.sid) for one in (client, poller)],
                sio.event_counts(),
            )

        async def ask_on_a_loop():
            return ask()

        if has_loop:
            status, ways, backlogs, counts = elsewhere(ask_on_a_loop)
        else:
            status, ways, backlogs, counts = ask()
        assert status["connected"] == 2
        assert status["acceleration"]["paths"] == {kind[0]: 1, "polling": 1}
        assert status["acceleration"]["events"] == status["acceleration"]["emits"] == []
        assert status["events"]["ask"]["count"] == 1
        assert (ways[0]["path"], ways[0]["fast"]) == (kind[0], True)
        assert bool(ways[0]["reasons"]) is (kind[0] == "asgi")
        assert ways[1]["path"] == "polling"
        assert backlogs == [0, 0]
        assert [count[:3] for count in counts] == [("/", "ask", 1)]
        assert client.ask("ask", 2) == '432["ok"]'
        assert sio.status()["events"]["ask"]["count"] == 2


def test_an_endpoint_without_a_loop():
    fastapi = pytest.importorskip("fastapi")
    sio, app = make(), fastapi.FastAPI()

    @app.get("/status")
    def status(sid: str):
        return {**toolboxsio.status(sio), "way": sio.acceleration(sid), "backlog": sio.backlog(sid)}

    with (
        sites(sio, ("direct", "uvloop"), app=app) as [site],
        joined((site, False)) as [client],
    ):
        assert client.ask("ask", 1) == '431["ok"]'
        told = json.loads(client.wire.request("GET", f"sid={client.sid}", path="/status"))
        assert told["connected"] == 1
        assert told["events"]["ask"]["count"] == 1
        assert told["way"]["path"] == "direct"
        assert told["backlog"] == 0


def test_metrics_of_a_thread():
    prometheus = pytest.importorskip("prometheus_client")
    import urllib.request

    from toolboxsio.metrics import Collector

    sio, registry = make(), prometheus.CollectorRegistry()
    registry.register(Collector(sio))
    exporter, thread = prometheus.start_http_server(0, "127.0.0.1", registry)

    def metrics():
        url = f"http://127.0.0.1:{exporter.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            return response.read().decode()

    try:
        assert 'toolboxsio_sessions{path="direct"} 0.0' in metrics()  # before there is a server
        with sites(sio, ("direct", "uvloop")) as [site], joined((site, False)) as [client]:
            assert client.ask("ask", 1) == '431["ok"]'
            text = metrics()
            assert 'toolboxsio_event_seconds_count{event="ask",namespace="/"} 1.0' in text
            assert 'toolboxsio_sessions{path="direct"} 1.0' in text
            assert 'toolboxsio_accelerated{what="events"} 1.0' in text
    finally:
        exporter.shutdown()
        exporter.server_close()
        thread.join(SECONDS)


# --- a loop for each request ----------------------------------------------------------------------


def test_a_loop_for_each_request():
    """Starlette's TestClient without `with`: a session goes from one loop to the next."""
    testclient = pytest.importorskip("starlette.testclient")
    sio = make()

    @sio.event
    async def both(sid):
        await sio.emit("told")
        return "both"

    client = testclient.TestClient(toolboxsio.ASGIApp(sio))

    def poll(sid):
        response = client.get(f"/socket.io/?EIO=4&transport=polling&sid={sid}")
        assert response.status_code == 200
        return response.text.split("\x1e")

    def post(sid, packet):
        response = client.post(
            f"/socket.io/?EIO=4&transport=polling&sid={sid}", content=packet.encode()
        )
        assert (response.status_code, response.text) == (200, "OK")

    sids = []
    for _ in range(3):
        opened = client.get("/socket.io/?EIO=4&transport=polling").text
        sids.append(json.loads(opened[1:])["sid"])
        post(sids[-1], "40")
        assert poll(sids[-1])[0].startswith('40{"sid"')
    for number in range(1, 4):
        post(sids[0], f'42{number}["both"]')
        packets = poll(sids[0])
        assert sorted(packets) == ['42["told"]', f'43{number}["both"]']
        assert poll(sids[1]) == ['42["told"]']
        asyncio.run(sio.emit("again", number))
        assert poll(sids[0]) == [f'42["again",{number}]']
        assert poll(sids[1]) == [f'42["again",{number}]']
        assert len(poll(sids[2])) == 2
    assert sio.status()["events"]["both"]["count"] == 3
    asyncio.run(sio.shutdown())
    assert sio.status()["sessions"] == 0


# --- stress ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_that_emits_while_clients_come_and_go(kind):
    sio = make()
    numbers, failures = itertools.count(), []
    over = threading.Event()

    @sio.event
    async def connect(sid, environ):
        await sio.enter_room(sid, f"room {next(numbers) % 5}")

    async def emit():
        while not over.is_set():
            n = next(numbers)
            await sio.emit("n", n)
            await sio.emit("n", [b"x" * 100, n], room=f"room {n % 5}")
            await sio.emit("n", n, room=["room 1", "room 2"], volatile=True)
            for sid, _ in list(sio.manager.get_participants("/", None))[:2]:
                await sio.emit("n", n, to=sid, callback=print)
                with contextlib.suppress(KeyError, ValueError):  # it is gone
                    await sio.enter_room(sid, f"room {n % 7}")
                await sio.leave_room(sid, f"room {n % 3}")
            sio.status()

    def work(function):
        def run():
            try:
                function()
            except BaseException as exc:
                failures.append(exc)
                raise

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with sites(sio, kind) as [site]:

        def come_and_go():
            number = 0
            while not over.is_set():
                client = Client(site, number % 3 == 2)
                for _ in range(3):
                    number += 1
                    client.send(f'42{number}["ask"]')
                    while not str(client.next()).startswith(f"43{number}["):
                        pass
                client.close()

        def emits():
            asyncio.run(emit())

        threads = [work(function) for function in (emits, come_and_go, come_and_go)]
        threads[0].join(STRESS_SECONDS)
        over.set()
        for thread in threads:
            thread.join(SECONDS)
        assert failures == []
        with joined((site, False)) as [client]:
            site.run(sio.emit("end"))
            while client.next() != '42["end"]':
                pass
        wait_until("all have gone", lambda: sio.status()["sessions"] == 0)
    assert sio.manager.rooms == {}
    assert sio.manager.callbacks == {}
