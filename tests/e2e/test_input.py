"""What a client has sent and its server has not handled yet.

Nothing of it is lost, nobody is thrown out for it, and there is no more of it than there may be.
"""

import contextlib
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .frames import BINARY, TEXT, encode
from .harness import Server, serving_at_once, wait_until
from .machine import SLOWNESS
from .place import WAYS
from .rule_client import Client, Packet, WebSocket, new_run

pytestmark = pytest.mark.timeout(60 * SLOWNESS)

LOOPS = ("uvloop", "asyncio")
#: Seconds of a heartbeat, which a connect handler and others outlast.
BEAT = 0.4 * SLOWNESS
OPTIONS: dict[str, Any] = {
    "ping_interval": BEAT,
    "ping_timeout": BEAT,
    "max_running_handlers": 4,
    "max_running_bytes": 100_000,
}
each_way = pytest.mark.parametrize("way", WAYS)
each_websocket = pytest.mark.parametrize("way", ["direct", "asgi"])
each_loop = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[tuple[str, str], Server]]:
    more = {"handlers": "input_app", "options": OPTIONS, "logs": "ERROR"}
    configurations = {
        (path, loop): {"path": path, "loop": loop, **more}
        for path in ("direct", "asgi")
        for loop in LOOPS
    }
    with serving_at_once(configurations) as started:
        yield started


@pytest.fixture
def server(servers: dict[tuple[str, str], Server], way: str, loop: str) -> Server:
    return servers[WAYS[way][0], loop]


def post(server: Server, path: str, **query: Any) -> None:
    request = urllib.request.Request(f"{server.url}{path}?name={query['name']}", b"")
    with urllib.request.urlopen(request, timeout=10):
        pass


class Beating:
    """A client that answers each PING in a thread, and keeps what else comes."""

    def __init__(self, server: Server, way: str) -> None:
        self.client = Client(server, new_run(way), WAYS[way][1])
        self.got: list[Packet] = []
        self.failed: list[BaseException] = []
        self.is_over = False
        self.pongs: list[threading.Thread] = []
        self.posting = threading.Lock()
        self.thread = threading.Thread(target=self.answer, daemon=True)
        self.thread.start()

    def send(self, *packets: Packet) -> None:
        """Send; on polling one request at a time, as the official client does."""
        with self.posting:
            response = self.client.send(*packets)
            assert response is None or response.status == 200, response

    def answer(self) -> None:
        try:
            while not self.is_over:
                packet = self.client.receive(20 * SLOWNESS)
                if packet == "2":
                    if self.client.ws is not None:
                        self.send("3")
                    else:  # it leaves when the request before it was answered
                        self.pongs.append(threading.Thread(target=self.pong, daemon=True))
                        self.pongs[-1].start()
                else:
                    self.got.append(packet)
        except BaseException as exc:  # all that ends it is shown
            self.failed.append(exc)

    def pong(self) -> None:
        with contextlib.suppress(AssertionError):  # the session is over
            self.send("3")

    def until(self, *packets: Packet) -> None:
        def has_come() -> bool:
            assert not self.failed, self.failed
            return all(packet in self.got for packet in packets)

        wait_until(f"{packets}", has_come, 15)

    def leave(self) -> None:
        self.is_over = True
        with contextlib.suppress(AssertionError):
            self.send("1")
        for thread in self.pongs:
            thread.join()


@each_websocket
@each_loop
def test_events_sent_before_the_client_leaves_are_handled(server: Server, way: str) -> None:
    """More of them than handlers may be at work; the client ends its side of the connection."""
    client = Client(server, new_run(way), "websocket")
    assert client.ws is not None
    count = 120
    client.ws.send_raw(encode('42["work",0.02]') * count)
    client.ws.sock.shutdown(socket.SHUT_WR)

    def handled() -> bool:
        lines = server.get("/transcript", run=client.run)["lines"]
        return any(line[0] == "disconnect" for line in lines)

    wait_until("the client is gone", handled, 10)
    names = [line[0] for line in server.get("/transcript", run=client.run)["lines"]]
    assert names.count("worked") >= count - OPTIONS["max_running_handlers"]
    wait_until(
        "all are handled",
        lambda: (
            [line[0] for line in server.get("/transcript", run=client.run)["lines"]].count("worked")
            == count
        ),
    )


@each_way
@each_loop
def test_a_client_that_answers_stays_while_its_input_is_held(server: Server, way: str) -> None:
    """Five handlers that outlast several heartbeats, of which four may be at work."""
    beating = Beating(server, way)
    names = [f"{beating.client.run}-{i}" for i in range(5)]
    sender = threading.Thread(
        target=beating.send, args=[f'42{i}["wait","{name}"]' for i, name in enumerate(names)]
    )
    sender.start()
    wait_until("four are at work", lambda: len(server.get("/at-work")) == 4)
    time.sleep(6 * BEAT)
    assert not beating.failed, beating.failed
    for name in names:
        post(server, "/open", name=name)
    beating.until(*(f'43{i}["{name}"]' for i, name in enumerate(names)))
    sender.join()
    beating.send('429["one","still here"]')
    beating.until('439["still here"]')
    beating.leave()


@each_way
@each_loop
def test_a_client_that_answers_stays_while_its_connect_handler_is_at_work(
    server: Server, way: str
) -> None:
    beating = Beating(server, way)
    seconds = 5 * BEAT
    beating.send(f"40/slow,{json.dumps({'seconds': seconds})}")
    wait_until(
        "joined",
        lambda: beating.failed or any(str(p).startswith("40/slow,{") for p in beating.got),
        10 + seconds,
    )
    assert not beating.failed, beating.failed
    beating.send('42/slow,1["hello"]')
    beating.until('43/slow,1["hello"]')
    beating.leave()


@each_way
@each_loop
def test_the_next_event_begins_when_one_place_is_free(server: Server, way: str) -> None:
    beating = Beating(server, way)
    run = beating.client.run
    packets = [f'42{i}["wait","{run}-{i}"]' for i in range(6)]
    sender = threading.Thread(target=beating.send, args=packets)
    sender.start()
    wait_until("four are at work", lambda: len(server.get("/at-work")) == 4)
    post(server, "/open", name=f"{run}-0")
    wait_until("the fifth is at work", lambda: f"{run}-4" in server.get("/at-work"))
    assert f"{run}-5" not in server.get("/at-work")
    for i in range(1, 6):
        post(server, "/open", name=f"{run}-{i}")
    beating.until(*(f'43{i}["{run}-{i}"]' for i in range(6)))
    sender.join()
    beating.leave()


@pytest.mark.parametrize("way", ["polling"])
@each_loop
def test_a_post_whose_packets_wait_outlasts_an_upgrade(server: Server, way: str) -> None:
    run = new_run(way)
    with Client(server, run, "polling") as client, ThreadPoolExecutor(1) as pool:
        names = [f"{run}-{i}" for i in range(6)]
        sending = pool.submit(client.send, *(f'42{i}["wait","{run}-{i}"]' for i in range(6)))
        wait_until("four are at work", lambda: len(server.get("/at-work")) == 4)
        ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
        ws.send("2probe")
        assert ws.receive() == "3probe"
        ws.send("5")
        for name in names:
            post(server, "/open", name=name)
        missing = {f'43{i}["{name}"]' for i, name in enumerate(names)}
        deadline = time.monotonic() + 10 * SLOWNESS
        while missing and time.monotonic() < deadline:
            packet = ws.receive()
            assert isinstance(packet, str), packet
            missing.discard(packet)
            if packet == "2":
                ws.send("3")
        client.ws = ws
        assert not missing
        response = sending.result(10)
        assert response is not None
        assert response.status == 200


@each_way
@each_loop
def test_handlers_that_wait_for_the_client_do_not_keep_its_answers_away(
    server: Server, way: str
) -> None:
    """More handlers than may be at work, each in a call() for which the client answers."""
    beating = Beating(server, way)
    count = 2 * OPTIONS["max_running_handlers"]
    sender = threading.Thread(
        target=beating.send, args=[f'42{i}["ask","{i}"]' for i in range(count)]
    )
    sender.start()

    def questions() -> list[str]:
        assert not beating.failed, beating.failed
        return [str(p) for p in beating.got if '["question","' in str(p)]

    wait_until("all ask", lambda: len(questions()) == count)
    for question in questions():
        id, name = question[2 : question.index("[")], question.split('"')[3]
        beating.send(f'43{id}["yes {name}"]')
    beating.until(*(f'43{i}["yes {i}"]' for i in range(count)))
    sender.join()
    beating.leave()


@each_way
@each_loop
@pytest.mark.parametrize("kind", ["text", "attachment"])
def test_handlers_hold_no_more_bytes_than_they_may(server: Server, way: str, kind: str) -> None:
    """Three of four events of 60 KB have to wait for the first two; none is refused."""
    beating = Beating(server, way)
    run = beating.client.run
    sent: list[Packet] = []
    for i in range(4):
        if kind == "text":
            sent.append(f'42{i}["wait","{run}-{i}","{"x" * 60_000}"]')
        else:
            placeholder = '{"_placeholder":true,"num":0}'
            sent += [f'451-{i}["wait","{run}-{i}",{placeholder}]', b"x" * 60_000]
    sender = threading.Thread(target=beating.send, args=sent)
    sender.start()
    wait_until("two are at work", lambda: len(server.get("/at-work")) == 2)
    time.sleep(2 * BEAT)
    assert server.get("/at-work") == [f"{run}-0", f"{run}-1"]
    for i in range(4):
        post(server, "/open", name=f"{run}-{i}")
    beating.until(*(f'43{i}["{run}-{i}"]' for i in range(4)))
    sender.join()
    beating.leave()


@pytest.fixture(scope="module")
def hasty() -> Iterator[dict[str, Server]]:
    """Servers that give a message a second to be whole."""
    side = {"handlers": "input_app", "options": {"message_timeout": SLOWNESS}, "logs": "ERROR"}
    with serving_at_once({path: {"path": path, **side} for path in ("direct", "asgi")}) as started:
        yield started


@each_websocket
@pytest.mark.parametrize("kind", ["text", "attachments"])
def test_a_client_that_uploads_without_a_pause_stays(
    hasty: dict[str, Server], way: str, kind: str
) -> None:
    """Each message is whole in time, but no read ends where one does."""
    client = Client(hasty[way], new_run(way), "websocket")
    assert client.ws is not None
    if kind == "text":
        one = encode(f'42["one","{"x" * 5000}"]', TEXT)
    else:  # of one packet, which takes longer than a message may
        one = encode(b"x" * 5000, BINARY)
        places = ",".join(f'{{"_placeholder":true,"num":{i}}}' for i in range(10))
        client.ws.send_raw(encode(f'4510-["one",[{places}]]', TEXT))
    count, middle = 10, len(one) // 2
    client.ws.send_raw(one[:middle])
    for _ in range(count - 1):
        time.sleep(0.25 * SLOWNESS)
        assert client.ws.send_raw(one[middle:] + one[:middle])
    client.ws.send_raw(one[middle:])
    client.answers()
    client.leave()


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    options = {"strict": True, "ping_interval": 0.3, "ping_timeout": 0.2}
    with serving_at_once({"direct": {"path": "direct", "options": options}}) as started:
        yield started["direct"]


@pytest.mark.skipif(SLOWNESS > 1, reason="milliseconds count")
def test_strict_a_silent_session_is_gone_in_time_by_polling(strict_server: Server) -> None:
    late = []
    for _ in range(10):
        client = Client(strict_server, new_run("silent"), "polling", None)
        opened = time.monotonic()
        assert client.poll().response().body == "2"
        time.sleep(opened + 0.5 + 0.005 - time.monotonic())
        late.append(client.poll().response().status == 400)
    assert sum(late) > 5, late


@pytest.mark.skipif(SLOWNESS > 1, reason="milliseconds count")
def test_strict_a_silent_session_is_gone_in_time_by_websocket(strict_server: Server) -> None:
    seconds = []
    for _ in range(10):
        client = Client(strict_server, new_run("silent"), "websocket", None)
        opened = time.monotonic()
        assert client.ws is not None
        assert client.ws.receive() == "2"
        client.ws.end()
        seconds.append(time.monotonic() - opened)
    assert min(seconds) < 0.505, seconds
