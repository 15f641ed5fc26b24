"""The benchmarks themselves: payloads, equality before timing, records, tables, load generator."""

import json
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from benchmarks import __main__ as command
from benchmarks import ack, codec, make_payloads, readme, records, tables
from benchmarks.sides import SIDES

CASES = list(codec.cases())
UPGRADED = b"HTTP/1.1 101 \r\n\r\n"


@pytest.fixture(scope="module", autouse=True)
def loadgen():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLBOXSIO_DEV", "1")  # warnings are errors
        ack.build_loadgen()


@pytest.fixture(scope="module")
def codec_record():
    return codec.run(rounds=3, seconds=1e-4, only="ack", progress=str)


@pytest.fixture(scope="module")
def ack_record():
    return ack.run(1, 0.3, 0.1, loops=("asyncio",), cores=(None, None), progress=str)


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
    assert record["versions"].keys() == set(records.PACKAGES)
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


def test_ack_record(ack_record):
    check_environment(ack_record)
    assert [result["load"] for result in ack_record["results"]] == list(ack.LOADS)
    for result in ack_record["results"]:
        assert result["loop"] == "asyncio"
        assert result["sides"].keys() == {"ours", "upstream"}
        for side in result["sides"].values():
            assert side["n"] == len(side["rounds"]) == 1
            assert side["median"].keys() == set(ack.FIGURES)
            assert all(figure > 0 for figure in side["median"].values())
            assert side["median"]["p50_us"] <= side["median"]["p99_us"]


def test_ack_needs_its_cores():
    with pytest.raises(SystemExit, match="cores"):
        ack.run(1, 0.1, 0, cores=(0, 4095))


def test_record_of_another_kind_is_refused(tmp_path, codec_record):
    records.write(tmp_path / "ack.json", codec_record)
    with pytest.raises(ValueError, match="a record of codec, not of ack"):
        records.read(tmp_path / "ack.json", "ack")


@pytest.mark.parametrize(
    ("ours", "theirs", "text"), [(1, 8, "1/8.0"), (3, 3, "1/1.0"), (3, 2, "1.50")]
)
def test_ratio(ours, theirs, text):
    assert tables.ratio(ours, theirs) == text


def test_tables_are_whole(codec_record, ack_record):
    for record, rows in ((codec_record, 2), (ack_record, 3)):
        lines = tables.lines(record)
        assert len(lines) == rows + 2
        assert len({line.count("|") for line in lines}) == 1


def test_readme_command(tmp_path, monkeypatch, codec_record, ack_record):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    records.write(tmp_path / "one.json", codec_record)
    records.write(tmp_path / "two.json", ack_record)
    file = tmp_path / "README.md"
    blank = (
        "# Title\n<!-- benchmarks:ack -->\n<!-- /benchmarks:ack -->\nmiddle\n"
        "<!-- benchmarks:codec -->\nold\n<!-- /benchmarks:codec -->\nend\n"
    )
    file.write_text(blank)

    def run(*options):
        words = ["benchmarks", "readme", "--codec", "one", "--ack", "two", "--file", str(file)]
        monkeypatch.setattr(sys, "argv", [*words, *options])
        return command.main()

    assert run("--check") == 1
    assert file.read_text() == blank
    assert run() == 0
    written = file.read_text()
    assert "old" not in written
    for record, name in ((codec_record, "one.json"), (ack_record, "two.json")):
        assert "\n".join(tables.lines(record)) in written
        assert name in written
    assert written.startswith("# Title\n")
    assert "\nmiddle\n" in written
    assert written.endswith("\nend\n")
    assert run("--check") == 0
    file.write_text(written.replace(" µs", " ms", 1))
    assert run("--check") == 1
    assert run() == 0
    assert file.read_text() == written


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


def test_readme_says_what_its_records_say():
    paths = {kind: records.FOLDER / f"{kind}.json" for kind in tables.TABLES}
    assert readme.run(records.ROOT / "README.md", paths, check=True)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("side", ["ours", "upstream"])
def test_loadgen_gets_every_ack(side, loop):
    with ack.server(side, loop) as (pid, port):
        for in_flight in (1, 16):
            options = ("--connections", 10, "--in-flight", in_flight, "--ops", 500)
            figures = ack.generate(pid, port, *options)
            assert figures["acks"] == 500
            assert 0 < figures["p50_us"] <= figures["p99_us"]
            assert figures["server_cpu_seconds"] > 0
        figures = ack.generate(pid, port, "--connections", 3, "--rate", 100, "--seconds", 0.5)
        assert 25 <= figures["acks"] <= 51


def loadgen_fails(*options):
    words = [ack.LOADGEN, "--payload", ack.EVENT, "--connections", 1, "--ops", 1, *options]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_loadgen_refuses_an_ack_that_it_does_not_expect():
    with ack.server("upstream", "asyncio") as (_, port):
        said = loadgen_fails("--port", port, "--expect", '[{"ok":false')
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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(30)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(4096)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        said = loadgen_fails("--port", listener.getsockname()[1])
        thread.join(30)
        assert message in said


def test_loadgen_says_that_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "connect: Connection refused" in loadgen_fails("--port", port)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--port", "1", "--seconds", "1", "--ops", "1"],
        ["--port", "x", "--ops", "1"],
        ["--port", "1", "--ops", "1", "--rate", "5"],
        ["--port", "1", "--seconds", "1", "--rate", "5", "--in-flight", "2"],
        ["--port", "1", "--ops", "1", "--host", "localhost"],
    ],
)
def test_loadgen_refuses_a_wrong_command_line(options):
    words = [ack.LOADGEN, "--payload", ack.EVENT, *options]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "toolboxsio-loadgen" in done.stderr


def test_a_server_that_is_not_accelerated_is_not_measured(monkeypatch):
    monkeypatch.setenv("TOOLBOXSIO_PURE", "1")
    with (
        pytest.raises(RuntimeError, match="not accelerated"),
        ack.server("ours", "asyncio"),
    ):
        pytest.fail("it served")
