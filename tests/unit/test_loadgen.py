"""The load generator of the benchmarks: what it sends, counts and refuses."""

import json
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from scripted import (
    JOINED,
    OPEN,
    UPGRADED,
    frame,
    granting,
    read_frame,
    read_request,
    scripted,
)

from benchmarks import broker, churn, load, peers

RECEIVE = ("--payload", load.EVENT, "--receive", 4, "--seconds", 0.1)
SERVERS = [
    *((side, loop) for loop in peers.LOOPS for side in ("direct", "asgi", "upstream", "orjson")),
    *peers.jobs(
        ["node", "floor", "hypercorn-asgi", "hypercorn-upstream", *peers.TRIED], ["uvloop"]
    ),
]


@pytest.fixture(scope="module", autouse=True)
def loadgen():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOXSIO_DEV", "1")  # warnings are errors
        load.build_loadgen()


EVENT_FRAME = b"\x81\x7e" + (len(load.EVENT.read_bytes()) + 14).to_bytes(2, "big")
EVENT_FRAME += b'42["message",' + load.EVENT.read_bytes() + b"]"


@pytest.mark.parametrize(("side", "loop"), SERVERS)
def test_loadgen_gets_every_ack(side, loop):
    with load.server(side, loop) as (pid, port):
        for in_flight in (1, 16):
            options = ("--connections", 10, "--in-flight", in_flight, "--ops", 500)
            figures = load.generate(pid, port, *load.EVENTS, *options)
            assert figures["acks"] == 500
            assert 0 < figures["p50_us"] <= figures["p99_us"]
            assert figures["server_cpu_seconds"] > 0
        options = ("--connections", 3, "--rate", 100, "--seconds", 0.5)
        figures = load.generate(pid, port, *load.EVENTS, *options)
        assert 25 <= figures["acks"] <= 51
        assert 0 < figures["late_p50_us"] <= figures["p50_us"]


def test_loadgen_counts_what_is_answered_after_the_measurement(tmp_path):
    """A server that answers nothing until the end is seen, and may be silent for so long."""
    payload = tmp_path / "payload"
    payload.write_text("1")

    def serve(connection):
        connection.sendall(JOINED)
        assert read_frame(connection) == (1, b"40")
        for number in range(10):
            assert read_frame(connection) == (1, b'42%d["message",1]' % number)
        time.sleep(0.3)
        with suppress(OSError):
            connection.sendall(b"".join(b"\x81\x0543%d[]" % number for number in range(10)))
            while connection.recv(4096):
                pass

    options = ("--connections", 1, "--rate", 100, "--seconds", 0.095, "--announce")
    with scripted(serve) as port:
        done = run_loadgen("--port", port, "--payload", payload, *options)
    begin, figures = done.stdout.splitlines()
    assert begin == "measuring"
    figures = json.loads(figures)
    assert figures["acks"] == 10
    assert figures["max_us"] > 300_000
    with scripted(serve) as port:
        said = run_loadgen("--port", port, "--payload", payload, *options, "--silence", 0.1)
    assert "silence: 1 of 1 connected, 0 closed, 10 events unanswered" in said.stderr


def test_loadgen_sends_at_a_rate_that_is_too_high():
    """Several events of one connection are due at once; all of them are acknowledged."""
    with load.server("upstream", "uvloop") as (pid, port):
        options = ("--connections", 3, "--rate", 20000, "--seconds", 0.1)
        figures = load.generate(pid, port, *load.EVENTS, *options)
        assert 0 < figures["acks"] <= 2002
        assert figures["late_p99_us"] > 0


def run_loadgen(*options):
    words = [str(word) for word in (load.LOADGEN, *options)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def loadgen_fails(*options):
    done = run_loadgen("--connections", 1, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


ONE_EVENT = ("--payload", load.EVENT, "--ops", 1)


def test_loadgen_refuses_an_ack_that_it_does_not_expect():
    with load.server("upstream", "asyncio") as (_, port):
        said = loadgen_fails("--port", port, *ONE_EVENT, "--expect", '[{"ok":false')
        assert 'ack with unexpected data: \'430[{"ok":true,' in said


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "the server closed a connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the upgrade was refused: 'HTTP/1.1 400"),
        (UPGRADED + b"\x81\x0243", "unexpected packet: '43'"),
        (UPGRADED + b"\x81\x010", "unexpected packet: '0'"),
        (UPGRADED + b"\x81\x03a\xff\n", "unexpected packet: 'a??'"),
        (b"HTTP/1.1 101 \r\n\r\n", "an upgrade without the accept of its key"),
        (UPGRADED + frame(b"0{}"), "unexpected packet: '0{}'"),
        (UPGRADED + frame(OPEN) + frame(b"40{}"), "unexpected answer to CONNECT: '40{}'"),
        (UPGRADED + frame(OPEN) + frame(b"44{}"), "unexpected packet: '44{}'"),
        (JOINED + frame(b"437[]"), "ack of nothing sent: '437[]'"),
        (UPGRADED + b"\x81\x810000x", "bad frame: 81 81"),
        (UPGRADED + b"\xc1\x010", "bad frame: c1 01"),
        (UPGRADED + b"\x01\x010", "bad frame: 01 01"),
        (UPGRADED + b"\x81\x7f" + b"\xff" * 8, "bad frame: 81 7f"),
        (UPGRADED + b"\x81\x7e\xff\xff" + b"0" * 20000, "a frame or an answer of over 16384 bytes"),
        (UPGRADED + b"\x82\x010", "frame with opcode 2"),
        (UPGRADED + b"\x88\x00", "the server closed a WebSocket"),
    ],
)
def test_loadgen_ends_with_a_server_that_misbehaves(answer, message):
    def serve(connection):
        with suppress(OSError):
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass

    with scripted(serve) as port:
        assert message in loadgen_fails("--port", port, *ONE_EVENT)


def test_loadgen_answers_pings_while_idle_and_closes():
    frames = []

    def serve(connection):
        connection.sendall(JOINED)
        frames.append(read_frame(connection))
        connection.sendall(b"\x81\x012\x89\x02hi\x81\x012")
        frames.extend(read_frame(connection) for _ in range(5))
        connection.sendall(
            b"\x81\x012\x88\x02\x03\xe8"
        )  # what comes before the answer is passed over

    with scripted(serve) as port:
        done = run_loadgen("--port", port, "--connections", 1, "--idle", 1)
    assert done.stderr == ""
    assert frames == [(1, b"40"), (1, b"3"), (10, b"hi"), (1, b"3"), (1, b"41"), (8, b"")]
    figures = json.loads(done.stdout)
    # they may come before the idle time begins, which is when the server is quiet
    assert figures["eio_pings"] <= 2
    assert figures["idle"]["seconds"] >= 1
    assert figures["rss_kib"] == {"before": 0, "joined": 0, "idle": 0, "after": 0}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "the server closed a connection"),
        (b"\x81\x010", "the server closed a connection"),
        (b"\x88\x00\x81\x010", "a frame after the close frame: 81"),
    ],
)
def test_loadgen_wants_a_close_frame_and_nothing_after_it(answer, message):
    def serve(connection):
        connection.sendall(JOINED)
        while read_frame(connection)[0] != 8:
            pass
        connection.sendall(answer)

    with scripted(serve) as port:
        assert message in loadgen_fails("--port", port, "--idle", 0)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([EVENT_FRAME], "a client got more than the 0 events asked for"),
        ([b"", EVENT_FRAME * 2 + b"\x81\x012" + EVENT_FRAME * 3, b""], "got more than the 4"),
        ([b"", EVENT_FRAME.replace(b"0.875", b"0.876")], "event with unexpected data: '42["),
        ([b"", EVENT_FRAME.replace(b"done", b"gone")], "event with unexpected data"),
        ([b"", b"\x81\x0442[]"], "event with unexpected data: '42[]'"),
        ([b"", b"\x88\x00"], "the server closed a WebSocket"),
    ],
)
def test_loadgen_checks_what_it_receives(answers, message):
    with scripted(granting(answers)) as port:
        assert message in loadgen_fails("--port", port, *RECEIVE)


def test_loadgen_publishes_for_those_who_subscribe(tmp_path):
    messages = tmp_path / "messages"
    messages.write_text("")

    def said(port):
        publish = ("--publish", redis_port, "--messages", messages)
        return loadgen_fails("--port", port, *RECEIVE, *publish)

    with broker.running() as redis_port:
        assert "no messages" in said(1)
        messages.write_text("one\ntwo\n")
        with scripted(granting([b""])) as port:
            assert "redis: nobody subscribes to socketio" in said(port)
    assert "redis: Connection refused" in said(1)


@pytest.mark.parametrize("side", ["upstream", "node"])
def test_loadgen_holds_idle_clients(side):
    with load.server(side, "uvloop") as (pid, port):
        options = ("--connections", 30, "--connecting", 7, "--idle", 0.2)
        figures = load.generate(pid, port, *options)
        assert figures["connections"] == 30
        assert all(kib > 1000 for kib in figures["rss_kib"].values())
        for phase in ("connect", "idle", "disconnect"):
            assert figures[phase]["seconds"] > 0
            assert figures[phase]["generator_cpu_seconds"] > 0
        assert 0.2 <= figures["idle"]["seconds"] < 2


def test_loadgen_says_when_it_cannot_open_so_many_files():
    words = [load.LOADGEN, "--port", 1, "--idle", 0, "--connections", 300]
    limited = "ulimit -n 200 && exec " + " ".join(str(word) for word in words)
    done = subprocess.run(["sh", "-c", limited], capture_output=True, text=True)
    assert done.returncode == 1
    assert "300 connections need 316 open files, but no more than 200" in done.stderr


def test_loadgen_says_that_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "connect: Connection refused" in loadgen_fails("--port", port, *ONE_EVENT)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--port", "1", "--seconds", "1", "--ops", "1"],
        ["--port", "x", "--ops", "1"],
        ["--port", "1", "--ops", "1", "--rate", "5"],
        ["--port", "1", "--seconds", "1", "--rate", "5", "--in-flight", "2"],
        ["--port", "1", "--ops", "1", "--host", "localhost"],
        ["--port", "1", "--ops", "1", "--idle", "1"],
        ["--port", "1", "--receive", "1", "--ops", "1"],
        ["--port", "1", "--receive", "1"],
        ["--port", "1", "--receive", "1", "--seconds", "1", "--in-flight", "1"],
        ["--port", "1", "--receive", "1", "--seconds", "1", "--expect", "x"],
        ["--port", "1", "--receive", "1", "--seconds", "1", "--publish", "1"],
        ["--port", "1", "--seconds", "1", "--paced", "1"],
        ["--port", "1", "--seconds", "1", "--publish", "1", "--messages", "x"],
        ["--port", "1", "--seconds", "1", "--transport", "other"],
        ["--port", "1", "--seconds", "1", "--receive", "1", "--transport", "polling"],
    ],
)
def test_loadgen_refuses_a_wrong_command_line(options):
    done = run_loadgen("--payload", load.EVENT, *options)
    assert done.returncode == 2
    assert "toolboxsio-loadgen" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--ops", "1"],
        ["--seconds", "1"],
        ["--in-flight", "1"],
        ["--rate", "1"],
        ["--warmup", "1"],
        ["--idle", "x"],
        ["--receive", "1"],
    ],
)
def test_loadgen_refuses_what_idle_clients_do_not_do(options):
    done = run_loadgen("--port", 1, "--idle", 1, *options)
    assert done.returncode == 2
    assert "--idle" in done.stderr


def http(body, head=None):
    """An answer with a body."""
    head = f"content-length: {len(body)}" if head is None else head
    return f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}".encode()


def chunked(*parts):
    body = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (*parts, ""))
    return http(body, "Transfer-Encoding: chunked")


OPENED, OK = http('0{"sid":"s-1","pingInterval":25000}'), http("ok")
CONNECTED = http('40{"sid":"x"}')
ONE_ACK = "430" + load.ACK
POLLS = ("--connections", 1, "--idle", 0, "--transport", "polling")
QUERY = "/socket.io/?EIO=4&transport=polling"


@contextmanager
def polled(posts, gets, handshake=b""):
    """A server of a session: its port, and what came in POSTs, GETs and, after an upgrade, frames.

    :param posts: answers to POSTs; gets: those to GETs, of which all but the first two are given
        when a POST, or a frame, was read that asks for them: bytes, or a list of them, one by one.
        An empty answer lets a GET wait until the client closes.
    """
    came = {"POST": [], "GET": [], "frame": [], "heads": []}
    posts, gets, asked = iter(posts), iter(gets), threading.Semaphore(2)

    def upgraded(connection):
        connection.sendall(handshake)
        for answer in (frame(b"3probe"), b""):
            came["frame"].append(read_frame(connection))
            connection.sendall(answer)
            asked.release()
        while came["frame"][-1][0] != 8:
            came["frame"].append(read_frame(connection))
        connection.sendall(frame(b"", 8))

    def serve(connection):
        with connection, suppress(OSError, StopIteration):
            connection.settimeout(30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := read_request(connection):
                line, body = request
                if "transport=websocket" in line:
                    came["heads"].append(line)
                    upgraded(connection)
                    return
                method = line.partition(" ")[0]
                came[method].append((line, body))
                if method == "GET":
                    asked.acquire()
                answer = next(gets if method == "GET" else posts)
                for part in answer if isinstance(answer, list) else [answer]:
                    connection.sendall(part)
                if method == "POST" and body != b"40":
                    asked.release()

    def accept():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], came
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("in_pieces", [False, True])
def test_loadgen_polls_and_leaves(in_pieces):
    acked = chunked(ONE_ACK[:9], ONE_ACK[9:])
    if in_pieces:
        acked = [acked[at : at + 7] for at in range(0, len(acked), 7)]
    posts = [chunked("OK"), OK, OK, OK]
    with polled(posts, [OPENED, CONNECTED, acked, b"", b""]) as (port, came):
        done = run_loadgen("--port", port, *POLLS, *load.EVENTS)
    assert done.stderr == ""
    assert json.loads(done.stdout)["events"] == 1
    event = b'420["message",' + load.EVENT.read_bytes() + b"]"
    first, *others = came["GET"]
    assert first == (f"GET {QUERY} HTTP/1.1", b"")
    assert set(others) == {(f"GET {QUERY}&sid=s-1 HTTP/1.1", b"")}
    assert came["POST"] == [
        (f"POST {QUERY}&sid=s-1 HTTP/1.1", body) for body in (b"40", event, b"41", b"1")
    ]


def test_loadgen_upgrades_and_leaves():
    gets = [OPENED, CONNECTED, http("6")]
    upgrade = (*POLLS[:-1], "upgrade")
    with polled([OK], gets, UPGRADED) as (port, came):
        done = run_loadgen("--port", port, *upgrade)
    assert done.stderr == ""
    assert json.loads(done.stdout)["connect_p50_us"] > 0
    assert len(came["GET"]) == 3
    assert came["heads"] == ["GET /socket.io/?EIO=4&transport=websocket&sid=s-1 HTTP/1.1"]
    assert came["frame"] == [(1, b"2probe"), (1, b"5"), (1, b"41"), (8, b"")]


@pytest.mark.parametrize(
    ("posts", "gets", "message"),
    [
        ([], [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "a request was refused: 'HTTP/1.1 400"),
        ([], [b"HTTP/1.1 200 OK\r\n\r\n0"], "an answer without a length"),
        ([], [http("0{}")], "unexpected packet: '0{}'"),
        ([], [http('0{"sid":"' + "s" * 40 + '"}')], "unexpected id of a session"),
        ([], [http("x\r\n0\r\n\r\n", "transfer-encoding: chunked")], "bad chunks"),
        ([], [OPENED + b"x"], "more than an answer"),
        ([http("no")], [OPENED, b""], "unexpected answer to a POST: 'no'"),
        ([OK], [OPENED, http("41")], "unexpected packet: '41'"),
        ([OK], [OPENED, http("")], "an answer without a packet"),
        ([OK], [OPENED, http("40{}")], "unexpected answer to CONNECT: '40{}'"),
        ([OK, OK], [OPENED, CONNECTED, http("6\x1e431" + load.ACK)], "ack of nothing sent"),
        ([OK, OK], [OPENED, CONNECTED, http("430[]")], "ack with unexpected data"),
    ],
)
def test_loadgen_ends_with_a_server_that_answers_polls_wrongly(posts, gets, message):
    with polled(posts, gets) as (port, _):
        done = run_loadgen("--port", port, *POLLS, *load.EVENTS, "--silence", 5)
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize("side", churn.SIDES)
def test_loadgen_lets_clients_ask_and_leave(side):
    [(_, loop)] = peers.jobs([side], ["uvloop"])
    with load.server(side, loop, None, ("--transport", "upgrade")) as (pid, port):
        for transport in peers.TRANSPORTS:
            common = (*load.EVENTS, "--transport", transport)
            options = ("--connections", 30, "--connecting", 7, "--idle", 0)
            figures = load.generate(pid, port, *common, *options)
            assert figures["events"] == figures["connections"] == 30
            for phase in ("connect", "disconnect"):
                assert figures[phase]["server_cpu_seconds"] > 0
            assert 0 < figures["connect_p50_us"] <= figures["connect_p99_us"]
            taken = load.generate(pid, port, *common, "--connections", 10, "--ops", 100)
            assert taken["acks"] == 100
