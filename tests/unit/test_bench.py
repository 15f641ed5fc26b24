"""`toolboxsio bench`: the benchmarks of the package itself."""

import asyncio
import json
import sys
from types import SimpleNamespace

import pytest
from scripted import JOINED, read_frame, scripted

import toolboxsio
from toolboxsio import cli
from toolboxsio.bench import client, command, emitter, load, peers, process, progress, server
from toolboxsio.bench.ratios import aligned

SIDES = ("direct", "upstream")


@pytest.fixture
def few(monkeypatch):
    """A short run: two sides, few clients, few samples."""
    monkeypatch.setattr(command, "SIDES", {side: peers.SIDES[side] for side in SIDES})
    monkeypatch.setattr(command, "HEADS", {side: command.HEADS[side] for side in SIDES})
    monkeypatch.setattr(command, "SAMPLE_SECONDS", 1e-4)
    monkeypatch.setattr(load, "CLIENTS", 4)
    monkeypatch.setattr(load, "cores", lambda: (None, None))


def test_bench(tmp_path, capsys, few):
    file = tmp_path / "record.json"
    words = ["bench", "--rounds", "2", "--seconds", "0.1", "--json", str(file)]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    record = json.loads(file.read_text())
    assert record["kind"] == "bench"
    assert record["settings"]["rounds"] == 2
    assert len(record["results"]) == 7 + len(load.LOADS)
    for result in record["results"]:
        sides = result["sides"]
        assert sides.keys() >= {"direct", "upstream"}
        for figures in sides.values():
            assert len(figures["rounds_us"]) == 2
            assert min(figures["rounds_us"]) > 0
        row = next(line for line in said.out.splitlines() if line.startswith(result["label"]))
        assert " (" in row
    assert "1 of 2 codec: ack: encode (step 2 of 7, about " in said.err
    assert "2 of 2 servers: round 2, python-socketio (step 3 of 4, about " in said.err
    assert record["cpu"] in said.out
    assert f"uvicorn {record['versions']['uvicorn']}" in said.out
    assert f"toolboxsio: {peers.SIDES['direct'].configuration}." in said.out
    assert "Not covered: " in said.out


def test_bench_needs_the_extension_and_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(command, "is_there", lambda name: name not in ("orjson", "httptools"))
    assert cli.main(["bench"]) == 1
    told = "toolboxsio bench: not installed: orjson, httptools: pip install 'toolboxsio[bench]'\n"
    assert capsys.readouterr().err == told
    monkeypatch.setattr(toolboxsio, "ACCELERATED", False)
    assert cli.main(["bench"]) == 1
    assert "toolboxsio doctor" in capsys.readouterr().err


def test_bench_is_for_posix_systems(monkeypatch):
    monkeypatch.setattr(command, "os", SimpleNamespace(name="nt"))
    assert command.problem() == "servers are measured on POSIX systems alone"


@pytest.mark.parametrize("side", peers.SIDES)
def test_every_side_answers_and_emits(side, monkeypatch):
    monkeypatch.setattr(load, "CLIENTS", 3)
    taken = load.run(side, "asyncio", 0.05, None)
    assert list(taken) == ["ack, 1 in flight", "ack, 16 in flight", "broadcast to 50"]
    for figures in taken.values():
        assert figures["server_cpu_us"] > 0
        assert figures["per_second"] > 0


def serve_with(*answers):
    """A scripted server that lets a client join, and then sends an answer for each frame."""

    def serve(connection):
        connection.sendall(JOINED)
        assert read_frame(connection) == (1, b"40")
        for answer in answers:
            assert read_frame(connection)[0] == 1
            connection.sendall(answer)

    return serve


def text(payload):
    return b"\x81" + bytes([len(payload)]) + payload


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "the server closed a connection"),
        (text(b'43999[{"ok":false}]'), r"an acknowledgement that was not expected: b'\[\{\"ok\":f"),
        (text(b'42["message",{}]'), "an event that was not expected"),
        (text(b"41"), "a packet that was not expected: b'41'"),
        (b"\x88\x00", "a frame that begins with 0x88"),
        (b"\x81\x7f" + bytes(8), "a long or masked frame"),
    ],
)
async def test_a_server_that_answers_wrongly_ends_the_run(answer, message):
    failure = asyncio.get_running_loop().create_future()
    with scripted(serve_with(answer)) as port:
        one = client.Client(failure.set_exception)
        await one.connect(port)
        one.write(client.frame(b'421["x"]'))
        with pytest.raises(client.WrongAnswer, match=message):
            await asyncio.wait_for(failure, 10)
        await one.leave()


async def test_an_upgrade_that_is_refused_ends_the_run():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(client.WrongAnswer, match="the upgrade was refused"):
            await load.measure(port, 0.1)


async def test_clients_answer_pings():
    frames = []

    def serve(connection):
        connection.sendall(JOINED)
        frames.append(read_frame(connection))
        connection.sendall(text(b"2") + b"\x89\x02hi")
        frames.extend(read_frame(connection) for _ in range(3))

    with scripted(serve) as port:
        one = client.Client(pytest.fail)
        await one.connect(port)
        while len(frames) < 3:  # noqa: ASYNC110 (another thread has them)
            await asyncio.sleep(0.001)
        await one.leave()
    assert frames == [(1, b"40"), (1, b"3"), (10, b"hi"), (8, b"\x03\xe8")]


def test_what_a_server_says_is_an_error():
    script = 'import sys; print("oh", file=sys.stderr); print("{\\"port\\": 1}", flush=True)'
    with (
        pytest.raises(RuntimeError, match="the loud server said:\noh"),
        process.running([sys.executable, "-c", script], "loud"),
    ):
        pass


def test_what_is_left_is_told_from_how_quick_the_run_is():
    now = [0.0]
    said = []
    course = progress.Course({"a": 10, "b": 20, "c": 10}, said.append, lambda: now[0])
    course.begin("a")
    assert course.left(0) == 40
    now[0] = 10
    assert course.left(0.5) == 10 + 60  # this part takes twice as long; so will the others
    now[0] = 20
    course.begin("b")
    assert course.left(0) == 40 + 20
    now[0] = 40
    course("half", 5, 10)
    assert said == ["2 of 3 b: half (step 6 of 10, about 40 s left)"]


def test_durations_are_in_words():
    said = [progress.duration(seconds) for seconds in (0.2, 12.4, 89, 90, 2500)]
    assert said == ["1 s", "12 s", "89 s", "2 min", "42 min"]


def test_tables_for_a_terminal_are_aligned():
    assert aligned(["a", "bb"], [["ccc", "1"]]) == ["a    bb", "ccc   1"]


def test_no_figure_is_of_another_path(monkeypatch):
    sio = server.make_server(peers.SIDES["direct"])
    monkeypatch.setattr(type(sio), "acceleration", lambda self, sid: {"path": "asgi"})
    monkeypatch.setattr(server.os, "_exit", sys.exit)
    with pytest.raises(SystemExit):
        server.check_path(sio, "1", "direct")
    server.check_path(sio, "1", None)


def test_a_core_for_each_where_there_are_two(monkeypatch):
    monkeypatch.setattr(load.os, "sched_getaffinity", lambda _: {3, 1, 2}, raising=False)
    assert load.cores() == (1, 2)
    assert "--core" in load.command("direct", "uvloop", 1)
    monkeypatch.setattr(load.os, "sched_getaffinity", lambda _: {5})
    assert load.cores() == (None, None)
    assert load.command("direct", "uvloop", None)[-2:] == [emitter.BROADCAST, "--answers"]
