"""The benchmarks of a checkout: payloads, equality before timing, records, tables, absent peers."""

import asyncio
import json
import re
import resource
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import socketio

import toolboxsio
from benchmarks import __main__ as command
from benchmarks import (
    ack,
    broker,
    churn,
    codec,
    crowd,
    emits,
    everything,
    fanout,
    load,
    make_payloads,
    memory,
    peers,
    polling,
    pubsub,
    readme,
    records,
    report,
    rooms,
    tables,
)
from benchmarks import server as python_server
from toolboxsio.bench import emitter, ratios, server
from toolboxsio.bench.codecs import CODECS

CASES = list(codec.cases())
FEW = {"loops": ("uvloop",), "cores": (None, None)}
QUICK = (1, 0.15, 0.1)  # rounds, seconds, warm-up of a benchmark of emits


@pytest.fixture(scope="module", autouse=True)
def loadgen():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOXSIO_DEV", "1")  # warnings are errors
        load.build_loadgen()


@pytest.fixture
def settings(monkeypatch):
    """Those of `all --quick`, shorter still."""
    monkeypatch.setattr(everything, "QUICK", {"rounds": 1, "seconds": 0.1, "warmup": 0.05})
    monkeypatch.setattr(everything, "QUICK_CLIENTS", 10)


def commanded(kind, words):
    """The record that a command makes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FOLDER", Path(folder))
        patch.setattr(sys, "argv", ["benchmarks", kind, *words.split(), "--record", "some"])
        assert command.main() == 0
        return records.read(Path(folder) / "some.json", kind)


@pytest.fixture(scope="module")
def codec_record():
    return codec.run(rounds=3, samples=2, seconds=1e-4, only="ack")


@pytest.fixture(scope="module")
def ack_record():
    return ack.run(1, 0.2, 0.1, loops=("uvloop",), cores=(None, None))


@pytest.fixture(scope="module")
def memory_record():
    return memory.run(1, 20, 0.2, sides=("direct", "node"), cores=(None, None))


@pytest.fixture(scope="module")
def churn_record():
    return churn.run(1, 20, sides=("direct-http", "floor"), cores=(None, None))


@pytest.fixture(scope="module")
def polling_record():
    """By the command line."""
    return commanded("polling", "--no-pin --loop uvloop --rounds 1 --seconds 0.15 --warmup 0.1")


@pytest.fixture(scope="module")
def fanout_record():
    """By the command line."""
    words = "--clients 7 --no-pin --loop uvloop --rounds 1 --seconds 0.15 --warmup 0.1"
    return commanded("fanout", words)


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
    kept = {name: path.read_bytes() for name, path in codec.payloads().items()}
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
    for side in CODECS:
        with monkeypatch.context() as patch:
            patch.setattr(CODECS[side], case.method, lambda *_, **__: other)
            with pytest.raises(AssertionError, match=name):
                case.check()


def test_a_case_that_is_unknown_is_refused():
    with pytest.raises(SystemExit, match="nothing"):
        codec.run(1, 1, 1e-4, only="nothing")


def check_environment(record):
    assert len(record["commit"]) == 40
    of_kind = {"redis": {"redis", "hiredis", "redis-server"}}.get(record["kind"], set())
    assert of_kind <= record["versions"].keys()
    others = {"node", "socket.io", "ws", "bufferutil"} | of_kind
    assert record["versions"].keys() - others == set(records.PACKAGES)
    assert record["cpu"]
    assert record["python"]
    assert record["date"]
    assert isinstance(record["dirty"], bool)
    assert all(record["configurations"].values())
    assert {result["side"] for result in record["results"] if "side" in result} <= set(
        record["configurations"]
    )
    assert record.get("not_covered", {}) == {}
    assert json.loads(json.dumps(record)) == record


def test_codec_record(codec_record):
    check_environment(codec_record)
    assert [result["case"] for result in codec_record["results"]] == ["ack.encode", "ack.build"]
    for result in codec_record["results"]:
        assert result["sides"].keys() == {"ours", "core", "upstream", "orjson"}
        for figures in result["sides"].values():
            assert figures["n"] == len(figures["rounds"]) == 3
            assert min(figures["rounds"]) <= figures["cpu_median_ns"] <= max(figures["rounds"])
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
    assert measured == [(side, name) for side in peers.COMPARED for name in ack.loads_of(side)]
    for result in ack_record["results"]:
        side = result["side"]
        assert result["loop"] == (side if side in peers.OWN_LOOPS else "uvloop")
        assert all(figure > 0 for figure in result["median"].values())
        assert result["median"]["p50_us"] <= result["median"]["p99_us"]
    assert ack_record["versions"]["socket.io"].startswith("4.8.")
    assert ack_record["versions"]["node"]


def test_polling_record(polling_record):
    check_environment(polling_record)
    check_summaries(polling_record, ack.FIGURES)
    measured = [(result["side"], result["load"]) for result in polling_record["results"]]
    assert sorted(measured) == sorted((side, "1 in flight") for side in polling.SIDES)
    assert all(result["median"]["acks_per_second"] > 0 for result in polling_record["results"])
    costs, courses = split_tables(tables.lines(polling_record))
    assert costs[0] == ["CPU an ack, 50 clients", "uvloop, 1 in flight"]
    pairs = [pair for pair in peers.RATIOS if set(pair) <= set(polling.SIDES)]
    assert len(costs) == 1 + len(polling.SIDES) + len(pairs)
    assert len(courses) == 1 + len(polling.SIDES)


def check_waves(waves, clients):
    for wave, number in zip(waves, clients, strict=True):
        assert wave["connections"] == number
        assert all(kib > 500 for kib in wave["rss_kib"].values())
        assert wave["idle"]["server_cpu_seconds"] >= 0
        for phase in ("connect", "disconnect"):
            assert wave[phase]["seconds"] > 0
            assert wave[phase]["server_cpu_seconds"] >= 0


def test_memory_record(memory_record):
    check_environment(memory_record)
    check_summaries(memory_record, memory.FIGURES)
    assert [result["side"] for result in memory_record["results"]] == ["direct", "node"]
    for result in memory_record["results"]:
        [taken] = result["rounds"]
        check_waves([taken["every"]], [20])
        assert taken["every"]["events"] == 0
        assert taken["every"]["idle"]["seconds"] >= 0.2


def test_churn_record(churn_record):
    check_environment(churn_record)
    check_summaries(churn_record, churn.FIGURES)
    measured = [(result["side"], result["load"]) for result in churn_record["results"]]
    sides = ("direct-http", "floor")
    assert measured == [(side, name) for name in churn.LOADS for side in sides]
    for result in churn_record["results"]:
        [taken] = result["rounds"]
        clients = (20, 4) if result["load"] == "WebSocket" else (8, 1)
        check_waves([taken["every"], taken["fifth"]], clients)
        assert taken["every"]["events"] == 0
        assert 0 < taken["connect_p50_us"] <= taken["connect_p99_us"]
        both = taken["connect_cpu_us"] + taken["disconnect_cpu_us"]
        assert taken["cpu_us"] == pytest.approx(both)


def test_figures_of_clients():
    def wave(clients, connect, disconnect):
        phases = {"connect": connect, "idle": 0.3, "disconnect": disconnect}
        figures = {
            name: {"seconds": 2.0, "server_cpu_seconds": cpu, "generator_cpu_seconds": 0.1}
            for name, cpu in phases.items()
        }
        rss = {"before": 1000, "joined": 3000, "idle": 2000, "after": 1500}
        times = {"connect_p50_us": 100.0, "connect_p99_us": 200.0}
        return {"connections": clients, "rss_kib": rss, **figures, **times}

    idle = memory.figures(wave(1000, 0.8, 0.2))
    assert idle["kib_per_client"] == 1.0
    assert idle["idle_cpu_share"] == pytest.approx(0.15)
    taken = churn.figures(wave(1000, 0.8, 0.2), wave(200, 0.1, 0.1))
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


def absent(*_):
    raise RuntimeError("node and npm are needed\nreally")


def test_a_side_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(peers, "install_node", absent)
    record = memory.run(1, 5, 0.1, sides=("direct", "node"), cores=(None, None))
    assert record["not_covered"] == {"Node socket.io": "node and npm are needed"}
    assert {result["side"] for result in record["results"]} == {"direct"}
    assert "node" not in record["versions"]
    said = "Not covered: Node socket.io: node and npm are needed."
    assert tables.source(record, "here").endswith(said)
    with pytest.raises(SystemExit, match="node: node and npm are needed"):
        memory.run(1, 5, 0, sides=("node",), cores=(None, None))


def test_a_module_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.missing("orjson") == "not installed: uvicorn, orjson"
    assert peers.missing("hypercorn-asgi") == "not installed: hypercorn"


def test_all_goes_on_without_redis_and_node(tmp_path, monkeypatch, capsys, settings):
    def needed():
        raise SystemExit("redis-server is needed")

    monkeypatch.setattr(broker, "install", needed)
    monkeypatch.setattr(peers, "install_node", absent)
    words = ["all", "--quick", "--no-pin", "--only", "codec,redis,memory"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words, "--folder", str(tmp_path)])
    monkeypatch.setattr(codec, "cases", lambda cases=CASES[:1]: iter(cases))
    monkeypatch.setattr(crowd, "SIDES", ("direct", "node"))
    assert command.main() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"codec.json", "memory.json"}
    said = capsys.readouterr()
    assert "Not covered: redis: redis-server is needed." in said.out
    assert "Not covered: Node socket.io: node and npm are needed." in said.out
    assert f"- toolboxsio: {peers.SIDES['direct'].configuration}" in said.out
    assert report.NEVER_COVERED in said.out
    assert "1 of 3 codec: " in said.err
    assert "redis: not covered: redis-server is needed" in said.err
    assert "3 of 3 memory: round 1, direct on uvloop (step 1 of " in said.err


def test_all_is_everything_that_has_a_table():
    assert everything.parts(quick=False).keys() == tables.TABLES.keys()
    seconds = everything.expected(everything.parts(quick=False))
    assert 20 * 60 < sum(seconds.values()) < 70 * 60
    assert sum(everything.expected(everything.parts(quick=True)).values()) < 6 * 60


def test_all_of_an_unknown_benchmark_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "all", "--only", "codec,some"])
    with pytest.raises(SystemExit, match="no such benchmark: some: codec, ack"):
        command.main()


def test_asyncio_turns_nagle_off():
    with server.listen() as listener:
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
    [
        ([1], [8], "1/8.0"),
        ([3], [3], "1/1.0"),
        ([3], [2], "1.50"),
        ([0, 1], [1, 1], "-"),
        ([1], [0], "-"),
        ([1, 2, 2], [8, 8, 20], "1/8.0 (4.0-10.0)"),
        ([3, 5, 4], [2, 2, 2], "2.00 (1.50-2.50)"),
        ([1, 1, 2], [4, 2, 1], "1/2.0 (0.5-4.0)"),
    ],
)
def test_ratio(ours, theirs, text):
    assert ratios.spread(ours, theirs) == text


def test_a_ratio_is_of_the_figures_of_one_round():
    """A machine that is slow in one round is slow for both."""
    assert ratios.of_rounds([1, 2, 1], [8, 16, 8]) == [1 / 8] * 3
    with pytest.raises(ValueError, match="shorter"):
        ratios.of_rounds([1, 2], [8])


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
    labels = [side.label for side in peers.COMPARED.values()]
    assert [row[0] for row in costs[1 : 1 + len(labels)]] == labels
    pairs = [(a, b) for a, b in peers.RATIOS if {a, b} <= peers.COMPARED.keys()]
    ratios = [f"{peers.SIDES[a].label} : {peers.SIDES[b].label}" for a, b in pairs]
    assert [row[0] for row in costs[1 + len(labels) :]] == ratios
    assert len(courses) == 1 + len(peers.COMPARED)
    for row in (*costs[1:], *courses[1:]):
        assert (row[-1] == "-") == ("hypercorn" in row[0] or "floor" in row[0])
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
    assert rows[0] == ["20 idle clients", "memory a client", "idle: CPU"]
    labels = ["toolboxsio", "Node socket.io", "toolboxsio : Node socket.io"]
    assert [row[0] for row in rows[1:]] == labels


def test_churn_tables(churn_record):
    results = churn_record["results"]
    grids = split_tables(tables.lines({**churn_record, "results": results}))
    heads = ["20 clients, WebSocket", "8 clients, polling and upgrade", "8 clients, polling"]
    assert [grid[0][0] for grid in grids] == heads
    labels = [peers.SIDES[side].label for side in ("direct-http", "floor")]
    for grid in grids:
        assert [row[0] for row in grid[1:]] == [*labels, " : ".join(labels)]
        assert grid[3][3:] == ["-"] * 5
        assert "-" not in grid[1]


def test_emits_tables(fanout_record, redis_record):
    costs, courses = split_tables(tables.lines(fanout_record))
    assert costs[0] == ["CPU a delivery, uvloop", "7 clients"]
    labels = [peers.SIDES[side].label for side in emits.SIDES]
    assert [row[0] for row in costs[1 : 1 + len(labels)]] == labels
    pairs = [(a, b) for a, b in peers.RATIOS if {a, b} <= set(emits.SIDES)]
    ratios = [f"{peers.SIDES[a].label} : {peers.SIDES[b].label}" for a, b in pairs]
    assert [row[0] for row in costs[1 + len(labels) :]] == ratios
    alone = [row[0] for row in courses[3:]]
    assert alone == ["python-socketio, uvloop", "Node socket.io", "floor"]
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
    labels = ["toolboxsio", "Node socket.io", "floor"]
    ratios = [f"toolboxsio : {label}" for label in labels[1:]]
    assert [row[0] for row in grids[1][1:]] == [*labels, *ratios]


def test_a_record_of_an_older_shape_is_refused():
    old = {"kind": "ack", "results": [{"loop": "uvloop", "load": "1 in flight", "sides": {}}]}
    with pytest.raises(ValueError, match="older shape"):
        tables.lines(old)


def test_a_codec_record_has_a_spread(codec_record):
    [rows] = split_tables(tables.lines(codec_record))
    assert all("-" in row[-1] and row[-1].endswith(")") for row in rows[1:])


PUBLISHED = [kind for kind in tables.TABLES if (records.FOLDER / f"{kind}.json").exists()]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_what_is_published_was_measured_with_the_set_ups_of_today(kind):
    record = records.read(records.FOLDER / f"{kind}.json", kind)
    sides = CODECS if kind == "codec" else peers.SIDES
    assert record["configurations"] == {
        side: sides[side].configuration for side in record["configurations"]
    }
    assert "node" not in record["configurations"] or {"ws", "bufferutil"} <= set(record["versions"])


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
        "<!-- benchmarks:polling -->\n<!-- /benchmarks:polling -->\n"
        "<!-- benchmarks:churn -->\n<!-- /benchmarks:churn -->\n"
        "<!-- benchmarks:fairness -->\n<!-- /benchmarks:fairness -->\n"
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
    for kind in ("polling", "fanout", "rooms", "redis", "churn", "fairness"):
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
    monkeypatch.setattr(server.os, "_exit", leave)
    server.check_path(sio, "1", "asgi")
    with pytest.raises(SystemExit, match="1"):
        server.check_path(sio, "2", "direct")
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
    server.make_app(peers.SIDES["direct"])
    for number in range(3):
        ack = await made[0].handlers["/"]["message"](str(number), {"type": "x"})
        assert ack["type"] == "x"
    assert looked == ["0"]
