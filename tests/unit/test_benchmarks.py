"""The benchmarks themselves: payloads, equality before timing, records, tables, load generator."""

import asyncio
import json
import re
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest
import socketio
from scripted import JOINED, UPGRADED, granting, read_frame, scripted

import toolboxsio
from benchmarks import __main__ as command
from benchmarks import (
    ack,
    broker,
    codec,
    emits,
    emitter,
    fanout,
    load,
    make_payloads,
    memory,
    peers,
    pubsub,
    readme,
    records,
    rooms,
    tables,
)
from benchmarks import server as python_server
from benchmarks.sides import SIDES

CASES = list(codec.cases())
FEW = {"loops": ("uvloop",), "cores": (None, None), "progress": str}
QUICK = (1, 0.15, 0.1)  # rounds, seconds, warm-up of a benchmark of emits
RECEIVE = ("--payload", load.EVENT, "--receive", 4, "--seconds", 0.1)
SERVERS = [
    *((side, loop) for loop in peers.LOOPS for side in ("direct", "asgi", "upstream", "orjson")),
    *peers.jobs(["node", "hypercorn-asgi", "hypercorn-upstream"], ["uvloop"]),
]


@pytest.fixture(scope="module", autouse=True)
def loadgen():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOXSIO_DEV", "1")  # warnings are errors
        load.build_loadgen()


@pytest.fixture(scope="module")
def codec_record():
    return codec.run(rounds=3, seconds=1e-4, only="ack", progress=str)


@pytest.fixture(scope="module")
def ack_record():
    return ack.run(1, 0.2, 0.1, loops=("uvloop",), cores=(None, None), progress=str)


@pytest.fixture(scope="module")
def memory_record():
    return memory.run(1, 20, 0.2, cores=(None, None), progress=str)


@pytest.fixture(scope="module")
def fanout_record(tmp_path_factory):
    """By the command line."""
    folder = tmp_path_factory.mktemp("records")
    words = "fanout --clients 7 --no-pin --loop uvloop --rounds 1 --seconds 0.15 --warmup 0.1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FOLDER", folder)
        patch.setattr(sys, "argv", ["benchmarks", *words.split(), "--record", "some"])
        assert command.main() == 0
    return records.read(folder / "some.json", "fanout")


@pytest.fixture(scope="module")
def rooms_record():
    return rooms.run(*QUICK, sides=("direct", "node"), **FEW)


@pytest.fixture(scope="module")
def redis_record():
    """One load of each sort, beside one other server."""
    loads = (pubsub.WITH_OTHERS[1], *pubsub.LOADS[-2:])  # "received" and "nobody here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pubsub, "OTHERS", 1)
        return pubsub.run(*QUICK, sides=("upstream",), loads=loads, **FEW)


def test_payloads_are_what_the_script_writes(tmp_path):
    make_payloads.write(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in codec.PAYLOADS.iterdir()}
    assert made == kept
    assert len(kept["event.json"]) == 214
    assert len(kept["document_18k.json"]) == 18 * 1024
    assert len(kept["document_292k.json"]) == 292 * 1024


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sides_agree(case):
    case.check()


@pytest.mark.parametrize("name", ["ack.encode", "text.loads", "binary.decode", "ack.build"])
def test_a_side_that_differs_is_noticed(name, monkeypatch):
    [case] = [case for case in CASES if case.name == name]
    other = {"ok": 1, "type": None, "ts": 0} if name == "ack.build" else '43[{"ok":true}]'
    for side in SIDES:
        with monkeypatch.context() as patch:
            patch.setattr(SIDES[side], case.method, lambda *_, **__: other)
            with pytest.raises(AssertionError, match=name):
                case.check()


def test_a_case_that_is_unknown_is_refused():
    with pytest.raises(SystemExit, match="nothing"):
        codec.run(1, 1e-4, only="nothing")


def check_environment(record):
    assert len(record["commit"]) == 40
    of_kind = {"redis": {"redis", "hiredis", "redis-server"}}.get(record["kind"], set())
    assert of_kind <= record["versions"].keys()
    others = {"node", "socket.io"} | of_kind
    assert record["versions"].keys() - others == set(records.PACKAGES)
    assert record["cpu"]
    assert record["python"]
    assert record["date"]
    assert isinstance(record["dirty"], bool)
    assert json.loads(json.dumps(record)) == record


def test_codec_record(codec_record):
    check_environment(codec_record)
    assert [result["case"] for result in codec_record["results"]] == ["ack.encode", "ack.build"]
    for result in codec_record["results"]:
        assert result["sides"].keys() == {"ours", "core", "upstream", "orjson"}
        for figures in result["sides"].values():
            assert figures["n"] == 3
            assert figures["loops"] >= 1
            assert 0 < figures["min_ns"] <= figures["median_ns"]
            assert figures["cpu_median_ns"] > 0


def check_summaries(record, figures):
    for result in record["results"]:
        assert result["n"] == len(result["rounds"]) == 1
        assert result["median"].keys() == result["min"].keys() == set(figures)


def test_ack_record(ack_record):
    check_environment(ack_record)
    check_summaries(ack_record, ack.FIGURES)
    measured = [(result["side"], result["load"]) for result in ack_record["results"]]
    assert measured == [(side, name) for side in peers.SIDES for name in ack.loads_of(side)]
    for result in ack_record["results"]:
        assert result["loop"] == ("node" if result["side"] == "node" else "uvloop")
        assert all(figure > 0 for figure in result["median"].values())
        assert result["median"]["p50_us"] <= result["median"]["p99_us"]
    assert ack_record["versions"]["socket.io"].startswith("4.8.")
    assert ack_record["versions"]["node"]


def test_memory_record(memory_record):
    check_environment(memory_record)
    check_summaries(memory_record, memory.FIGURES)
    assert [result["side"] for result in memory_record["results"]] == list(memory.SIDES)
    for result in memory_record["results"]:
        [taken] = result["rounds"]
        assert taken["every"]["connections"] == 20
        assert taken["fifth"]["connections"] == 4
        for wave in (taken["every"], taken["fifth"]):
            assert all(kib > 1000 for kib in wave["rss_kib"].values())
            assert wave["idle"]["server_cpu_seconds"] >= 0
            for phase in ("connect", "disconnect"):
                assert wave[phase]["seconds"] > 0
                assert wave[phase]["server_cpu_seconds"] >= 0  # counted in ticks of 10 ms
        both = taken["connect_cpu_us"] + taken["disconnect_cpu_us"]
        assert taken["cpu_us"] == pytest.approx(both)
        assert taken["every"]["idle"]["seconds"] >= 0.2


def test_figures_of_idle_clients():
    def wave(clients, connect, disconnect):
        phases = {"connect": connect, "idle": 0.3, "disconnect": disconnect}
        figures = {
            name: {"seconds": 2.0, "server_cpu_seconds": cpu, "generator_cpu_seconds": 0.1}
            for name, cpu in phases.items()
        }
        rss = {"before": 1000, "joined": 3000, "idle": 2000, "after": 1500}
        return {"connections": clients, "rss_kib": rss, **figures}

    taken = memory.figures(wave(1000, 0.8, 0.2), wave(200, 0.1, 0.1))
    assert taken["kib_per_client"] == 1.0
    assert taken["idle_cpu_share"] == pytest.approx(0.15)
    assert taken["connect_cpu_us"] == pytest.approx(800)
    assert taken["disconnect_cpu_us"] == pytest.approx(200)
    assert taken["cpu_us"] == pytest.approx(1000)
    assert taken["cpu_growth"] == pytest.approx(1.0)
    assert taken["connects_per_second"] == pytest.approx(500)
    assert taken["generator_cpu_share"] == pytest.approx(0.05)


def check_emits(record, jobs, loads):
    check_environment(record)
    measured = [(result["side"], result["load"]) for result in record["results"]]
    assert measured == [(side, one.name) for side in jobs for one in loads]
    for result in record["results"]:
        one = emits.Load(**record["settings"]["loads"][result["load"]])
        assert result["n"] == len(result["rounds"]) == 1
        assert all(figure > 0 for figure in result["median"].values())
        assert ("p99_us" in result["median"]) == one.paced
        said = result["rounds"][0]["generator"]
        for phase in ("saturated", "paced") if one.paced else ("saturated",):
            assert said[phase]["rounds"] > 0
            assert said[phase]["deliveries"] == said[phase]["rounds"] * one.clients
            assert 0 < said[phase]["reads"] <= said[phase]["deliveries"]


def test_fanout_record(fanout_record):
    [one] = fanout.loads((7,))
    check_emits(fanout_record, emits.SIDES, [one])
    assert [one.window for one in fanout.loads(fanout.SIZES)] == [32, 8, 2]


def test_rooms_record(rooms_record):
    check_emits(rooms_record, ("direct", "node"), rooms.LOADS)


def test_redis_record(redis_record):
    check_emits(redis_record, ["upstream"], (pubsub.WITH_OTHERS[1], *pubsub.LOADS[-2:]))
    _, received, missed = (result["rounds"][0] for result in redis_record["results"])
    for taken, messages in ((received, 50), (missed, 1000)):
        assert taken["generator"]["messages_per_round"] == messages
        cpu = taken["generator"]["saturated"]["server_cpu_seconds"]
        done = messages * taken["generator"]["saturated"]["rounds"]
        assert taken["server_cpu_us"] == pytest.approx(cpu * 1e6 / done)


def test_redis_of_toolboxsio():
    if python_server.manager_owner(toolboxsio) != "toolboxsio":
        with pytest.raises(SystemExit, match="the AsyncRedisManager of toolboxsio is socketio's"):
            python_server.make_manager(toolboxsio, "redis://127.0.0.1/0")
        return
    loads = (pubsub.ALONE[0], pubsub.RECEIVED)
    record = pubsub.run(*QUICK, sides=("direct", "asgi"), loads=loads, **FEW)
    assert all(result["median"]["server_cpu_us"] > 0 for result in record["results"])


def test_events_that_did_not_come_are_noticed():
    one = emits.Load("some", emitter.BROADCAST, 10, 2)
    with pytest.raises(ValueError, match="some"):
        emits.figures(one, {"saturated": {"rounds": 3, "deliveries": 29}})


async def test_messages_are_what_python_socketio_publishes():
    with broker.running() as port, broker.client(port) as reader:
        subscription = reader.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe(broker.CHANNEL)
        await asyncio.to_thread(broker.wait_for_subscribers, port, 1)
        manager = socketio.AsyncRedisManager(broker.url(port), write_only=True)
        for room in ("a", "b"):
            await manager.emit("message", emitter.EVENT, room=room)
        await manager.redis.aclose()
        found = []
        while len(found) < 2:
            message = subscription.get_message(timeout=10)
            found += [message["data"].decode()] if message else []
        subscription.close()
    ours = await asyncio.to_thread(broker.messages, ["a", "b"])
    for one, other in zip(ours, found, strict=True):
        host = json.loads(one)["host_id"]
        assert one.replace(host, json.loads(other)["host_id"]) == other


def test_asyncio_turns_nagle_off():
    with python_server.listen() as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_node_has_no_redis():
    with pytest.raises(SystemExit, match="no Redis for node"):
        pubsub.run(*QUICK, sides=("node",), **FEW)


async def test_an_emitter_that_fails_says_so():
    async def fail():
        raise OSError("gone")

    said = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    tasks = [asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(60))]
    for task in tasks:
        task.add_done_callback(emitter.fail_loudly)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    assert [str(context["exception"]) for context in said] == ["gone"]


@pytest.mark.parametrize(
    ("sides", "loops", "expected"),
    [
        (["node", "direct"], ["uvloop", "asyncio"], "direct uvloop node node direct asyncio"),
        (["node"], ["asyncio"], "node node"),
        (["hypercorn-asgi", "upstream"], ["asyncio"], "upstream asyncio"),
    ],
)
def test_node_runs_once_and_hypercorn_on_one_loop(sides, loops, expected):
    assert " ".join(word for job in peers.jobs(sides, loops) for word in job) == expected


@pytest.mark.parametrize(
    ("sides", "message"), [(["nobody"], "no such side: nobody"), (["hypercorn-asgi"], "none of")]
)
def test_sides_that_cannot_run_are_refused(sides, message):
    with pytest.raises(SystemExit, match=message):
        peers.jobs(sides, ["asyncio"])


def test_servers_need_their_cores():
    with pytest.raises(SystemExit, match="cores"):
        ack.run(1, 0.1, 0, cores=(0, 4095))
    with pytest.raises(SystemExit, match="cores"):
        memory.run(1, 20, 0, cores=(0, 4095))


def test_too_many_clients_are_refused(monkeypatch):
    def refused(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refused)
    load.allow_clients(900)
    with pytest.raises(SystemExit, match="5000 clients need 5100 open files"):
        load.allow_clients(5000)


def test_the_limit_of_open_files_is_raised(monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    for hard in (4096, 20000, resource.RLIM_INFINITY):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (1024, hard))
        load.allow_clients(5000)
    assert limits == [(5100, 5100), (5100, 20000), (5100, resource.RLIM_INFINITY)]


def test_record_of_another_kind_is_refused(tmp_path, codec_record):
    records.write(tmp_path / "ack.json", codec_record)
    with pytest.raises(ValueError, match="a record of codec, not of ack"):
        records.read(tmp_path / "ack.json", "ack")


def test_record_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="python -m benchmarks memory --record idle"):
        records.read(tmp_path / "idle.json", "memory")


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [(1, 8, "1/8.0"), (3, 3, "1/1.0"), (3, 2, "1.50"), (0, 1, "-"), (1, 0, "-")],
)
def test_ratio(ours, theirs, text):
    assert tables.ratio(ours, theirs) == text


def split_tables(lines):
    """The tables of some lines, each a list of rows of cells, without the rule below the head."""
    blocks = "\n".join(lines).split("\n\n")
    grids = [[line.strip("| ").split(" | ") for line in block.split("\n")] for block in blocks]
    for grid in grids:
        assert len({len(row) for row in grid}) == 1
        del grid[1]
    return grids


def test_codec_table(codec_record):
    [rows] = split_tables(tables.lines(codec_record))
    assert len(rows) == 1 + 2


def test_ack_tables(ack_record):
    costs, courses = split_tables(tables.lines(ack_record))
    assert costs[0][1:] == [f"uvloop, {name}" for name in ack.LOADS]
    labels = [side.label for side in peers.SIDES.values()]
    assert [row[0] for row in costs[1:8]] == labels
    ratios = [f"{peers.SIDES[a].label} : {peers.SIDES[b].label}" for a, b in peers.RATIOS]
    assert [row[0] for row in costs[8:]] == ratios
    assert len(courses) == 1 + len(peers.SIDES)
    for row in (*costs[1:], *courses[1:]):
        assert (row[-1] == "-") == ("hypercorn" in row[0])
        assert "-" not in row[1:-1]


def test_ack_tables_of_two_loops_and_few_sides(ack_record):
    results = [r for r in ack_record["results"] if r["side"] in ("direct", "node", "asgi")]
    twice = [{**r, "loop": "asyncio"} for r in results if r["side"] == "direct"]
    costs, courses = split_tables(tables.lines({**ack_record, "results": [*results, *twice]}))
    figures = {row[0]: row[1:] for row in costs[1:]}
    assert figures["toolboxsio"][:3] == figures["toolboxsio"][3:]
    assert figures["Node socket.io"][:3] == figures["Node socket.io"][3:]
    assert figures["toolboxsio through ASGI"][3:] == ["-"] * 3
    assert "-" not in figures["toolboxsio : Node socket.io"]
    assert len(figures) == 4
    assert [row[0] for row in courses[1:]] == [
        "toolboxsio, uvloop",
        "toolboxsio through ASGI, uvloop",
        "Node socket.io",
        "toolboxsio, asyncio",
    ]


def test_memory_table(memory_record):
    [rows] = split_tables(tables.lines(memory_record))
    assert rows[0][0] == "20 idle clients"
    assert [row[0] for row in rows[1:5]] == [peers.SIDES[side].label for side in memory.SIDES]
    assert [row[0] for row in rows[5:]] == [
        "toolboxsio : python-socketio",
        "toolboxsio : Node socket.io",
        "toolboxsio through ASGI : python-socketio",
    ]


def test_emits_tables(fanout_record, redis_record):
    costs, courses = split_tables(tables.lines(fanout_record))
    assert costs[0] == ["CPU a delivery, uvloop", "7 clients"]
    assert [row[0] for row in costs[1:5]] == [peers.SIDES[side].label for side in emits.SIDES]
    pairs = [(a, b) for a, b in peers.RATIOS if {a, b} <= set(emits.SIDES)]
    labels = [f"{peers.SIDES[a].label} : {peers.SIDES[b].label}" for a, b in pairs]
    assert [row[0] for row in costs[5:]] == labels
    assert [row[0] for row in courses[3:]] == ["python-socketio, uvloop", "Node socket.io"]
    costs, courses = split_tables(tables.lines(redis_record))
    assert costs[0][0] == "CPU a delivery or message, uvloop"
    assert [row[0] for row in costs[1:]] == ["python-socketio"]
    assert " · - · - · " in courses[1][-1]
    assert "ms" in courses[1][-2]
    assert re.search(r"redis-server \d+\.\d", tables.source(redis_record, "here"))


def test_emits_tables_of_two_loops(fanout_record):
    results = fanout_record["results"]
    twice = [{**r, "loop": "asyncio"} for r in results if r["side"] == "direct"]
    grids = split_tables(tables.lines({**fanout_record, "results": [*results, *twice]}))
    assert [grid[0][0] for grid in grids[:2]] == [f"CPU a delivery, {x}" for x in peers.LOOPS]
    labels = ["toolboxsio", "Node socket.io"]
    assert [row[0] for row in grids[1][1:]] == [*labels, " : ".join(labels)]


def test_a_record_of_an_older_shape_is_refused():
    old = {"kind": "ack", "results": [{"loop": "uvloop", "load": "1 in flight", "sides": {}}]}
    with pytest.raises(ValueError, match="older shape"):
        tables.lines(old)


def test_readme_command(tmp_path, monkeypatch, codec_record, ack_record, memory_record):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    records.write(tmp_path / "one.json", codec_record)
    records.write(tmp_path / "two.json", ack_record)
    records.write(tmp_path / "three.json", memory_record)
    file = tmp_path / "README.md"
    blank = (
        "# Title\n<!-- benchmarks:ack -->\n<!-- /benchmarks:ack -->\nmiddle\n"
        "<!-- benchmarks:codec -->\nold\n<!-- /benchmarks:codec -->\nend\n"
        "<!-- benchmarks:memory -->\n<!-- /benchmarks:memory -->\n"
        "<!-- benchmarks:fanout -->\n<!-- /benchmarks:fanout -->\n"
        "<!-- benchmarks:rooms -->\n<!-- /benchmarks:rooms -->\n"
        "<!-- benchmarks:redis -->\n<!-- /benchmarks:redis -->\n"
    )
    file.write_text(blank)

    def run(*options):
        words = ["benchmarks", "readme", "--codec", "one", "--ack", "two"]
        words += ["--memory", "three", "--file"]
        monkeypatch.setattr(sys, "argv", [*words, str(file), *options])
        return command.main()

    assert run("--check") == 1
    assert file.read_text() == blank
    assert run() == 0
    written = file.read_text()
    assert "old" not in written
    written_of = {"one": codec_record, "two": ack_record, "three": memory_record}
    for name, record in written_of.items():
        assert "\n".join(tables.lines(record)) in written
        assert f"{name}.json" in written
    for kind in ("fanout", "rooms", "redis"):
        assert f"-->\n{readme.NOT_MEASURED.format(kind=kind)}\n<!--" in written
    assert written.startswith("# Title\n")
    assert "\nmiddle\n" in written
    assert "\nend\n" in written
    assert run("--check") == 0
    file.write_text(written.replace(" µs", " ms", 1))
    assert run("--check") == 1
    assert run() == 0
    assert file.read_text() == written
    file.write_text(written.replace("benchmarks:memory", "benchmarks:other"))
    with pytest.raises(SystemExit, match=r"README.md: exactly one <!-- benchmarks:memory -->"):
        run()
    (tmp_path / "two.json").unlink()
    with pytest.raises(SystemExit, match=r"two.json is missing"):
        run()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- benchmarks:ack -->",
        "<!-- /benchmarks:ack --><!-- benchmarks:ack -->",
        "<!-- benchmarks:ack --><!-- /benchmarks:ack -->" * 2,
    ],
)
def test_readme_with_wrong_markers_is_refused(text):
    with pytest.raises(ValueError, match="exactly one"):
        readme.replaced(text, "ack", ["line"])


@pytest.mark.parametrize("kind", tables.TABLES)
def test_readme_says_what_its_records_say(kind):
    paths = {kind: records.FOLDER / f"{kind}.json"}
    assert readme.run(records.ROOT / "README.md", paths, check=True)


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
        (UPGRADED + b"\x81\x030{}\x81\x0440{}\x81\x05437[]", "ack of nothing sent: '437[]'"),
        (UPGRADED + b"\x81\x810000x", "bad frame: 81 81"),
        (UPGRADED + b"\xc1\x010", "bad frame: c1 01"),
        (UPGRADED + b"\x01\x010", "bad frame: 01 01"),
        (UPGRADED + b"\x81\x7f" + b"\xff" * 8, "bad frame: 81 7f"),
        (UPGRADED + b"\x81\x7e\xff\xff" + b"0" * 20000, "a frame of over 16384 bytes"),
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
        frames.extend(read_frame(connection) for _ in range(4))
        connection.sendall(
            b"\x81\x012\x88\x02\x03\xe8"
        )  # what comes before the answer is passed over

    with scripted(serve) as port:
        done = run_loadgen("--port", port, "--connections", 1, "--idle", 1)
    assert done.stderr == ""
    assert frames == [(1, b"40"), (1, b"3"), (10, b"hi"), (1, b"3"), (8, b"\x03\xe8")]
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


def test_a_server_that_is_not_accelerated_is_not_measured(monkeypatch):
    monkeypatch.setenv("TOOLBOXSIO_PURE", "1")
    with (
        pytest.raises(RuntimeError, match="not accelerated"),
        load.server("direct", "asyncio"),
    ):
        pytest.fail("it served")


def test_a_server_on_another_path_ends(monkeypatch, capsys):
    paths = []

    def leave(status):
        raise SystemExit(status)

    def acceleration(sid):
        paths.append(sid)
        return {"path": "asgi"}

    sio = SimpleNamespace(acceleration=acceleration)
    monkeypatch.setattr(python_server.os, "_exit", leave)
    python_server.check_path(sio, "1", "asgi")
    with pytest.raises(SystemExit, match="1"):
        python_server.check_path(sio, "2", "direct")
    assert paths == ["1", "2"]
    assert capsys.readouterr().err == "events take the path 'asgi', not 'direct'\n"


async def test_the_path_is_looked_at_once(monkeypatch):
    import toolboxsio

    looked = []

    def acceleration(self, sid):
        looked.append(sid)
        return {"path": "direct"}

    made = []
    monkeypatch.setattr(toolboxsio.AsyncServer, "acceleration", acceleration, raising=False)
    monkeypatch.setattr(toolboxsio, "ASGIApp", made.append)
    python_server.make_app(peers.SIDES["direct"])
    for number in range(3):
        ack = await made[0].handlers["/"]["message"](str(number), {"type": "x"})
        assert ack["type"] == "x"
    assert looked == ["0"]
