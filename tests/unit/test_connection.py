"""The Connection as an asyncio protocol: frames, packets, flow control, deadlines, the end."""

import asyncio
import gc
import json
import logging
import socket as sockets
import time
import weakref
import zlib
from contextlib import suppress

import pytest
import uvloop
from connections import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Client,
    Messages,
    frame,
    frames,
    server,
    until,
)

import toolboxsio.server

CLOSED = {1000: (CLOSE, b"\x03\xe8"), 1012: (CLOSE, b"\x03\xf4the server stops")}
NOT_WHOLE = [
    "1",
    (CLOSE, b"\x03\xf0a message was not whole in 0.03 s, which is message_timeout"),
]
NAMES = ["/", "/a", "/\xe9\u20ac\U0001f600", "/with space", "/a/b"]


@pytest.fixture(autouse=True)
def quiet():
    """Nothing is logged per packet, whatever ran before."""
    for name in ("socketio.server", "engineio.server"):
        logging.getLogger(name).setLevel(logging.WARNING)
    yield
    for name in ("socketio.server", "engineio.server"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def echoing(**options):
    """A server with one handler, `e`, that answers what it is sent, and a note of its calls."""
    sio = server(namespaces="*", **options)
    sio.seen = []

    @sio.on("e", namespace="*")
    async def echo(namespace, sid, *args):
        sio.seen.append((namespace, *args))
        return args

    @sio.on("wait", namespace="*")
    async def wait(namespace, sid, *args):
        sio.seen.append(("wait", *args))
        await asyncio.sleep(0)
        sio.seen.append(("waited", *args))
        return args

    return sio


def joined(sio=None, packet="40", **options):
    client = Client(sio or echoing(), **options)
    client.sid = client.join(packet)
    return client


# --- frames ---------------------------------------------------------------------------------------

SESSION = b"".join(
    [
        frame('421["e",1]'),
        frame('42["e","\xe9\u20ac\U0001f600"]'),
        frame(b"ping", PING),
        frame('422["e"', fin=False),
        frame(b"between", PING),
        frame(',"' + "x" * 700 + '"', CONT, fin=False),
        frame("]", CONT),
        frame(b"", PING),
        frame("3"),
        frame('423["e",[],{}]'),
        frame(b"", CLOSE),
        frame('424["e","too late"]'),
    ]
)
ANSWERS = [
    "431[1]",
    (PONG, b"ping"),
    (PONG, b"between"),
    '432["' + "x" * 700 + '"]',
    (PONG, b""),
    "433[[],{}]",
    (CLOSE, b""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 511, 512, 10_000])
async def test_a_session_in_reads_of_any_size(size):
    client = joined()
    for at in range(0, len(SESSION), size):
        client.read(SESSION[at : at + size])
    assert client.taken() == ANSWERS
    assert client.transport.names() == ["close"]
    assert [call[1] for call in client.sio.seen] == [1, "\xe9\u20ac\U0001f600", "x" * 700, []]


async def test_one_read_makes_one_write():
    client = joined()
    view = client.conn.get_buffer(-1)
    frames_in = b"".join(frame(f'42{i}["e"]') for i in range(10))
    view[: len(frames_in)] = frames_in
    client.conn.buffer_updated(len(frames_in))
    assert client.transport.names() == ["write"]
    assert client.taken() == [f"43{i}[]" for i in range(10)]


async def test_what_no_read_causes_leaves_in_one_write():
    client = joined()
    for i in range(3):
        await client.sio.emit("x", i)
    assert client.transport.calls == []
    await asyncio.sleep(0)
    assert client.transport.names() == ["write"]
    assert client.taken() == [f'42["x",{i}]' for i in range(3)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01x", 1002),  # no mask
        (b"\xf1\x80\0\0\0\0", 1002),  # RSV
        (frame("x", 3), 1002),
        (frame("x", CONT), 1002),
        (frame("x", fin=False) + frame("y"), 1002),
        (frame(b"x" * 126, PING), 1002),
        (frame(b"x", PING, fin=False), 1002),
        (frame(b"\xff", TEXT), 1007),
        (frame(b"\xe2\x82", TEXT), 1007),
        (frame(b"x", CLOSE), 1002),
        (frame(b"\x03\xee", CLOSE), 1002),
        (frame(b"\x03\xe8\xff", CLOSE), 1007),
        (b"\x81\xff\xff" + b"\0" * 11, 1002),
        (b"\x81\xff\0\0\0\0\0\x20\0\0\1\2\3\4", 1009),
    ],
)
async def test_broken_frames(data, code):
    for size in (1, 1000):
        client = joined()
        for at in range(0, len(data), size):
            client.read(data[at : at + size])
        [(opcode, payload)] = client.taken()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
        assert client.transport.names() == ["write_eof"]
        client.send('421["e"]')
        await until(lambda c=client: c.conn.path == "over")
        assert client.taken() == []
        assert client.sio.seen == []
        assert client.sio.eio.sockets == {}


async def test_limit_of_the_server_in_front():
    client = Client(echoing(), max_size=10)
    client.read(frame("4" * 11))
    [(opcode, payload)] = client.taken()
    assert (opcode, payload[:2]) == (CLOSE, b"\x03\xf1")


async def test_close_is_answered():
    client = joined()
    client.read(frame(b"\x03\xe9bye", CLOSE))
    assert client.taken() == [(CLOSE, b"\x03\xe9bye")]
    assert client.transport.names() == ["close"]
    await until(lambda: client.conn.path == "over")
    client.conn.connection_lost(None)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_client_that_stays_after_nonsense(paused, monkeypatch):
    monkeypatch.setattr(toolboxsio._hubs, "CLOSE_SECONDS", 0.03)
    client = joined()
    if paused:
        client.conn.pause_writing()
    client.read(frame("x", 3))
    await until(lambda: {"close", "abort"} & set(client.transport.names()))


@pytest.mark.parametrize("last", [frame(b"", CLOSE), frame("x", 3)], ids=["goodbye", "nonsense"])
async def test_a_client_that_takes_nothing_more(last, monkeypatch):
    """A transport that has been closed waits for what is written to leave, which may be never."""
    monkeypatch.setattr(toolboxsio._hubs, "CLOSE_SECONDS", 0.03)
    client = joined()
    client.read(last)
    await until(lambda: "close" in client.transport.names())
    await until(lambda: client.transport.names()[-1] == "abort")


async def test_shutdown_of_a_client_that_stays_after_nonsense():
    client = joined()
    client.read(frame("x", 3))
    await until(lambda: client.conn.path == "over")
    client.conn.shutdown()
    assert "close" in client.transport.names()


# --- packets --------------------------------------------------------------------------------------

KINDS = [
    (None, "[]"),
    ((), "[]"),
    ((1,), "[1]"),
    ((1, None, "x"), '[1,null,"x"]'),
    ([1, 2], "[[1,2]]"),
    ([], "[[]]"),
    ({"a": (1, 2)}, '[{"a":[1,2]}]'),
    (False, "[false]"),
    (0, "[0]"),
    ("", '[""]'),
    ("\ud800", '["\\ud800"]'),
    (1.5, "[1.5]"),
]
PLACE = '{"_placeholder":true,"num":%d}'
BINARIES = [
    (b"1", "1", f"[{PLACE % 0}]", [b"1"]),
    (bytearray(b"2"), "1", f"[{PLACE % 0}]", [b"2"]),
    ((b"1", b""), "2", f"[{PLACE % 0},{PLACE % 1}]", [b"1", b""]),
    ({"a": [b"x" * 300, 1]}, "1", '[{"a":[%s,1]}]' % (PLACE % 0), [b"x" * 300]),
]


@pytest.mark.parametrize("when", ["at once", "later", "plain"])
async def test_answers(when):
    sio = echoing()
    client = joined(sio)
    if when == "plain":
        sio.on("answer", lambda sid, i: [*KINDS, *BINARIES][i][0])
    else:

        @sio.on("answer")
        async def answer(sid, i):
            if when == "later":
                await asyncio.sleep(0)
            return [*KINDS, *BINARIES][i][0]

    for i, (_, text) in enumerate(KINDS):
        client.send(f'4212["answer",{i}]', f'42["answer",{i}]')
        assert await client.until() == [f"4312{text}"]
    for i, (_, count, text, attachments) in enumerate(BINARIES, len(KINDS)):
        client.send(f'4212["answer",{i}]')
        assert await client.until(1 + len(attachments)) == [f"46{count}-12{text}", *attachments]


@pytest.mark.parametrize("name", NAMES)
async def test_namespaces(name):
    client = joined(packet="40" if name == "/" else f"40{name},")
    prefix = "" if name == "/" else f"{name},"
    client.send(f'42{prefix}7["e","x"]', f'42{prefix}["e"]')
    assert client.taken() == [f'43{prefix}7["x"]']
    assert client.sio.seen == [(name, "x"), (name,)]
    client.send('42/other,7["e"]', "42/other,8[]x")
    assert client.taken() == [] or client.socket.closed
    assert len(client.sio.seen) == 2


async def test_root_namespace_by_name():
    client = joined()
    client.send('42/,7["e"]', '42/?q=1,8["e"]')
    assert client.taken() == ["437[]", "438[]"]


@pytest.mark.parametrize(
    ("digits", "answered"),
    [
        ("0", "0"),
        ("007", "7"),
        ("9" * 18, "9" * 18),
        ("9" * 19, "9" * 19),
        ("18446744073709551616", "18446744073709551616"),
        ("9" * 100, "9" * 100),
        ("0" * 99 + "5", "5"),
    ],
)
async def test_ids(digits, answered):
    client = joined()
    client.send(f'42{digits}["e",1]')
    assert await client.until() == [f"43{answered}[1]"]
    client.send(f'42{digits}["wait",1]')
    assert await client.until() == [f"43{answered}[1]"]


async def test_an_id_that_is_too_long(caplog):
    client = joined()
    client.send(f'42{"9" * 101}["e",1]')
    assert client.sio.seen == []
    assert client.socket.closed
    assert len(caplog.records) == 1


@pytest.mark.parametrize("count", [5, 6, 7, 9, 10, 11, 300])
async def test_many_arguments(count):
    client = joined()
    args = json.dumps(list(range(count)), separators=(",", ":"))
    client.send(f'421["e",{args[1:]}')
    assert client.taken() == [f"431{args}"]


async def test_events_that_nobody_handles():
    client = joined()
    client.send('421["other"]', '422["e"]', '42["x\xe9"]')
    assert client.taken() == ["432[]"]


async def test_events_before_joining():
    client = Client(echoing())
    client.send('421["e"]')
    assert client.sio.seen == []
    client.send("40", '421["e"]')
    assert [text[:2] for text in client.taken()] == ["40", "43"]


@pytest.mark.parametrize(
    "packet",
    [
        '42["connect"]',
        '42["disconnect"]',
        '421["connect",1]',
        "42[",
        "42",
        "42[]",
        "42[1]",
        "42{}",
        '42["e"]]',
        '42["e",tru]',
        '42["e"',
        '42/a["e"]',
        "42" + "[" * 5000,
        '45["e"]',
        '450-["e"]',
        "4",
        "49",
        "8",
        "x",
        b"attachment of nothing",
    ],
)
async def test_refused_packets(packet, caplog):
    client = joined()
    client.send('421["e"]', packet, '422["e"]')
    texts = client.taken()
    await until(lambda: client.socket.closed)
    texts += client.taken()
    assert texts[0] == "431[]"
    assert "432[]" not in texts
    assert len(client.sio.seen) == 1
    assert len(caplog.records) == 1
    assert "Packet refused" in caplog.text or "rror" in caplog.text


async def test_attachments():
    client = joined()
    client.send(f'452-7["e",{PLACE % 0},{PLACE % 1}]', b"one")
    client.read(frame(b"tw", fin=False) + frame(b"o", CONT))
    assert await client.until(3) == [f"462-7[{PLACE % 0},{PLACE % 1}]", b"one", b"two"]
    assert client.sio.seen == [("/", b"one", b"two")]


async def test_namespace_classes():
    sio = server(namespaces="*")

    class Space(toolboxsio.AsyncNamespace):
        def on_plain(self, sid, *args):
            return args

        async def on_other(self, sid):
            await asyncio.sleep(0)
            return "other"

        async def on_cancelled(self, sid):
            raise asyncio.CancelledError

    class Own(toolboxsio.AsyncNamespace):
        async def trigger_event(self, event, *args):
            return [event, len(args)]

    for space in (Space("/"), Own("/own")):
        sio.register_namespace(space)
    client = joined(sio)
    client.send("40/own,")
    client.taken()
    client.send('421["plain",1]', '422["nobody"]', '42/own,3["x"]', '424["cancelled"]')
    assert client.taken() == [
        "431[1]",
        "432[]",
        '43/own,3["x",1]'.replace("3[", "3[[") + "]",
        "434[]",
    ]
    client.send('425["other"]')
    assert await client.until() == ['435["other"]']


# --- compression ----------------------------------------------------------------------------------


def deflated(text, zip=None):
    zip = zip or zlib.compressobj(9, zlib.DEFLATED, -15)
    return (zip.compress(text.encode()) + zip.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed(text, zip=None):
    data = bytearray(frame(deflated(text, zip), TEXT))
    data[0] |= 0x40
    return bytes(data)


@pytest.mark.parametrize("keeps", [False, True])
async def test_compressed_messages(keeps):
    client = joined(echoing(), bits=15, may_inflate=True, keeps=keeps)
    zip = zlib.compressobj(9, zlib.DEFLATED, -15) if keeps else None
    word = "word" * 500
    for i in range(5):
        client.read(compressed(f'42{i}["e","{word}"]', zip) + frame(f'42{i}["e"]'))
    data = b"".join(client.transport.writes())
    unzip = zlib.decompressobj(-15)
    for i in range(5):
        assert data[0] == 0xC1
        size = data[1]
        assert size < 126
        assert unzip.decompress(data[2 : 2 + size] + b"\0\0\xff\xff").decode() == f'43{i}["{word}"]'
        short = f"43{i}[]".encode()
        assert data[2 + size :].startswith(b"\x81" + bytes([len(short)]) + short)
        data = data[2 + size + 2 + len(short) :]
    assert data == b""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (compressed("4" * 2000), 1009),
        (bytes([0xC1]) + frame(b"\xff\xff\xff")[1:], 1002),
        (bytes([0xC1]) + frame(zlib.compressobj(9, 8, -15).flush(zlib.Z_SYNC_FLUSH))[1:], None),
    ],
)
async def test_compressed_nonsense(data, code):
    sio = echoing(max_http_buffer_size=1000)
    client = Client(sio, may_inflate=True)
    client.read(data)
    for answer in client.taken():
        assert code is None or int.from_bytes(answer[1][:2], "big") == code
    await until(lambda: client.socket.closed)


# --- flow control ---------------------------------------------------------------------------------


async def test_a_pause_holds_output():
    client = joined()
    client.conn.pause_writing()
    client.send('421["e"]', '422["wait"]')
    await client.sio.emit("x", "y" * 100)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert client.transport.calls == []
    client.transport.waiting = 1000
    assert client.sio.backlog(client.sid) > 1100
    client.conn.resume_writing()
    assert client.transport.names() == ["write"]
    assert sorted(client.taken()) == [f'42["x","{"y" * 100}"]', "431[]", "432[]"]
    assert client.sio.backlog(client.sid) == 1000


@pytest.mark.parametrize("by", ["emit", "answers", "late answers", "pings"])
async def test_a_client_that_does_not_read_is_disconnected(by, caplog):
    sio = echoing(max_backlog=2000)
    reasons = []
    sio.on("disconnect", lambda sid, reason: reasons.append(reason), namespace="/")
    client = joined(sio)
    client.conn.pause_writing()
    for _ in range(100):
        if by == "emit":
            await sio.emit("x", "y" * 100)
        elif by == "pings":
            client.read(frame(b"x" * 120, PING))
        else:
            event = "e" if by == "answers" else "wait"
            client.send(f'421["{event}","{"y" * 100}"]')
        await asyncio.sleep(0)
    assert len(caplog.records) == 1
    assert "too slow" in caplog.text
    assert client.transport.names() == ["abort"]
    assert reasons == [sio.reason.TRANSPORT_ERROR]
    assert client.conn.backlog == 0
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_reading_pauses_while_many_handlers_run(limit):
    sio = echoing(max_running_handlers=limit)
    client = joined(sio)
    waiting = []

    @sio.on("long")
    async def long(sid):
        future = asyncio.get_running_loop().create_future()
        waiting.append(future)
        await future

    client.send(*['42["long"]'] * (limit - 1))
    assert client.transport.names() == []
    client.send('42["long"]')
    assert client.transport.names() == ["pause_reading"]
    client.send('42["long"]')
    assert client.conn.running == len(waiting) == limit  # the last one waits
    waiting[0].set_result(None)
    await until(lambda: len(waiting) == limit + 1)  # there is room for one
    assert client.transport.names() == ["pause_reading"]
    waiting[1].set_result(None)
    await until(lambda: client.transport.names() == ["pause_reading", "resume_reading"])
    for future in waiting:
        if not future.done():
            future.set_result(None)
    await until(lambda: client.conn.running == 0)


@pytest.mark.parametrize("kind", [Client, Messages])
async def test_input_that_waits_goes_on_after_the_limit_was_raised(kind):
    sio = echoing(max_running_handlers=2)
    client = kind(sio)
    gate = asyncio.Event()

    @sio.on("long")
    async def long(sid):
        await gate.wait()

    packets = ["40", '42["long"]', '42["long"]', '42["e",1]']
    if kind is Client:
        client.send(*packets)
    else:
        await client.exchange(*packets)
    assert client.conn.running == 2
    sio.max_running_handlers = 10
    gate.set()
    await until(lambda: sio.seen)
    if kind is Client:
        assert client.transport.names()[-1] == "resume_reading"
    else:
        await client.end()


async def test_what_handlers_hold_while_they_call_is_bounded():
    """Input is read on for the answers, but not without an end."""
    sio = echoing(max_running_bytes=10, max_http_buffer_size=1000)
    client = joined(sio)
    answers = []

    @sio.on("ask")
    async def ask(sid, data):
        answers.append(await sio.call("question", to=sid))

    packet = '42["ask","' + 488 * "x" + '"]'
    assert len(packet) == 500
    client.send(*[packet] * 63)  # less than 32 times as much
    assert client.conn.running == 63
    assert client.transport.names().count("pause_reading") == 0
    client.send(packet, packet)
    assert client.conn.running == 64
    assert client.transport.names().count("pause_reading") == 1
    client.conn.connection_lost(None)


async def test_the_end_of_a_call_looks_at_no_other():
    """With very many of them it would take long."""

    class Table(dict):
        def items(self):
            raise AssertionError("it is walked")

        __iter__ = keys = values = items

    sio = echoing()
    client = joined(sio)
    tables = sio.manager.callbacks
    tables.update({client.sid: Table({0: iter([7])}), "another": Table({0: iter([7])})})
    with pytest.raises(toolboxsio.exceptions.TimeoutError):
        await sio.call("question", to=client.sid, timeout=0.01)
    assert [len(table) for table in tables.values()] == [1, 1]


async def test_a_call_that_exceeds_max_pending_acks_ends_at_once():
    sio = echoing(max_pending_acks=1)
    client = joined(sio)
    first = asyncio.create_task(sio.call("question", to=client.sid))
    await until(lambda: client.taken())
    with pytest.raises(toolboxsio.exceptions.TimeoutError):
        await asyncio.wait_for(sio.call("question", to=client.sid), 5)
    with pytest.raises(toolboxsio.exceptions.TimeoutError):
        await asyncio.wait_for(first, 5)


async def test_no_more_handlers_begin_in_one_read():
    sio = echoing(max_running_handlers=5)
    client = joined(sio)
    gate = asyncio.Event()

    @sio.on("long")
    async def long(sid, i):
        await gate.wait()
        return i

    client.read(b"".join(frame(f'42{i}["long",{i}]') for i in range(100)) + frame(b"x", PING))
    assert client.conn.running == 5
    assert client.transport.names() == ["pause_reading"]
    gate.set()
    assert await client.until(101) == [*(f"43{i}[{i}]" for i in range(100)), (PONG, b"x")]


async def test_bytes_are_held_while_connect_waits():
    sio = echoing()
    gate = asyncio.Event()

    @sio.event
    async def connect(sid, environ):
        sio.seen.append("connect")
        await gate.wait()
        sio.seen.append("connected")

    client = Client(sio)
    held = b"".join(frame(f'42{i}["e",{i}]') for i in range(50))
    client.read(frame("40") + held[:100])
    for at in range(100, len(held), 37):
        client.read(held[at : at + 37])
    client.read(frame(b"later", PING))
    assert sio.seen == ["connect"]
    assert client.transport.calls == []
    gate.set()
    texts = await client.until(52)
    assert texts[0].startswith("40{")
    assert texts[1:] == [*(f"43{i}[{i}]" for i in range(50)), (PONG, b"later")]
    assert client.transport.calls == []


async def test_reading_pauses_when_much_is_held():
    sio = echoing()
    gate = asyncio.Event()
    sio.on("connect", lambda *args: gate.wait())

    @sio.event
    async def connect(sid, environ):
        await gate.wait()

    client = Client(sio)
    big = frame('42["e","%s"]' % ("x" * 20_000), key=b"\0\0\0\0")
    client.read(frame("40"))
    i = 0
    while not client.transport.calls:
        client.read(big)
        i += 1
    assert client.transport.names() == ["pause_reading"]
    assert (i - 1) * len(big) <= 64 * 1024 < i * len(big)
    gate.set()
    await until(lambda: len(sio.seen) == i)
    assert "resume_reading" in client.transport.names()


async def test_order_without_async_handlers():
    client = joined(echoing(async_handlers=False))
    client.send('421["wait",1]', '422["e",2]', '423["wait",3]', f'451-4["e",{PLACE % 0}]', b"4")
    client.send('425["e",5]')
    texts = await client.until(6)
    assert [text for text in texts if isinstance(text, str)] == [
        "431[1]",
        "432[2]",
        "433[3]",
        f"461-4[{PLACE % 0}]",
        "435[5]",
    ]
    assert [call[-1] for call in client.sio.seen] == [1, 1, 2, 3, 3, b"4", 5]


async def test_order_without_async_handlers_after_an_exception(caplog):
    client = joined(echoing(async_handlers=False))

    @client.sio.on("bad")
    async def bad(sid):
        await asyncio.sleep(0)
        raise KeyError("bad")

    client.send('421["bad"]', '422["e"]')
    assert await client.until() == ["432[]"]
    [record] = caplog.records
    assert record.exc_info[0] is KeyError


# --- deadlines ------------------------------------------------------------------------------------


async def test_pings():
    sio = echoing(ping_interval=0.03, ping_timeout=5)
    client = joined(sio)
    client.send("3")  # unasked
    client.socket.schedule_ping()
    for _ in range(3):
        await until(lambda: client.transport.calls)
        assert client.taken() == ["2"]
        client.send("3", "3")


async def test_pings_without_monitoring():
    client = joined(echoing(ping_interval=0.02, ping_timeout=5, monitor_clients=False))
    client.socket.schedule_ping()
    for _ in range(3):
        await until(lambda: client.transport.calls)
        assert client.taken() == ["2"]
        client.send("3")


async def test_an_unasked_pong_moves_nothing():
    client = joined(echoing(ping_interval=0.1, ping_timeout=5))
    client.socket.schedule_ping()
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not client.transport.calls:
        client.send("3")
        assert loop.time() < start + 5
        await asyncio.sleep(0.005)  # between two of them
    assert client.taken() == ["2"]


@pytest.mark.parametrize("heard", [False, True])
async def test_a_pong_that_does_not_come(heard):
    sio = echoing(ping_interval=0.02, ping_timeout=0.03)
    reasons = []
    sio.on("disconnect", lambda sid, reason: reasons.append(reason), namespace="/")
    client = joined(sio)
    client.socket.schedule_ping()
    await until(lambda: client.transport.calls)
    if heard:
        client.send('42["e"]')
    await until(lambda: reasons)
    assert reasons == [sio.reason.PING_TIMEOUT if heard else sio.reason.TRANSPORT_CLOSE]
    while CLOSED[1000] not in await client.until():
        pass


async def test_a_client_that_joins_nothing():
    client = Client(echoing(connect_timeout=0.02))
    client.conn.expect(toolboxsio.engine_socket.DUE_CONNECT)
    await until(lambda: client.transport.calls)
    reason = b"no namespace was joined in 0.02 s, which is connect_timeout"
    assert client.taken() == ["1", (CLOSE, b"\x03\xf0" + reason)]
    other = Client(echoing(connect_timeout=0.02), "e2")
    other.conn.expect(toolboxsio.engine_socket.DUE_CONNECT)
    other.join()
    await asyncio.sleep(0.1)  # nothing happens
    assert other.transport.calls == []


@pytest.mark.parametrize("first", [frame('42["e"', fin=False), frame('42["e"]')[:5], b"\x81"])
async def test_a_message_that_is_not_whole_in_time(first):
    client = joined(echoing(message_timeout=0.03))
    client.read(first)
    await until(lambda: client.transport.calls)
    assert client.taken() == NOT_WHOLE


async def test_a_message_that_is_whole_in_time():
    client = joined(echoing(message_timeout=0.05))
    client.read(frame('42["e"', fin=False))
    client.read(frame("]", CONT))
    await asyncio.sleep(0.15)  # nothing happens
    assert client.sio.seen == [("/",)]
    assert client.transport.calls == []


@pytest.mark.parametrize("parts", [[], [b"1"]])
async def test_attachments_that_do_not_come(parts):
    client = joined(echoing(message_timeout=0.03))
    client.send(f'452-["e",{PLACE % 0},{PLACE % 1}]', *parts)
    await until(lambda: client.transport.calls)
    assert client.taken() == NOT_WHOLE
    assert client.sio.seen == []


async def test_attachments_that_come_in_time():
    client = joined(echoing(message_timeout=0.05))
    client.send(f'452-["e",{PLACE % 0},{PLACE % 1}]')
    client.send(b"1")
    client.send(b"2")
    await asyncio.sleep(0.15)  # nothing happens
    assert client.sio.seen == [("/", b"1", b"2")]
    assert client.transport.calls == []


async def test_a_client_that_does_not_answer_close(monkeypatch):
    monkeypatch.setattr(toolboxsio._hubs, "CLOSE_SECONDS", 0.03)
    client = joined()
    client.conn.close(1001, "away")
    await until(lambda: client.transport.names() == ["write", "close"])
    assert client.taken() == [(CLOSE, b"\x03\xe9away")]


async def test_a_client_that_answers_close():
    client = joined()
    client.conn.close(1001)
    client.conn.close(1000)
    await asyncio.sleep(0)
    client.send('421["e"]')
    assert client.taken() == [(CLOSE, b"\x03\xe9")]
    client.read(frame(b"\x03\xe9", CLOSE))
    assert client.transport.names() == ["close"]
    client.conn.connection_lost(None)
    await until(lambda: client.conn.path == "over")
    assert client.sio.seen == []


async def test_one_timer_for_all(monkeypatch):
    loop = asyncio.get_running_loop()
    timers = []
    call_later = loop.call_later

    def counted(*args, **options):
        assert not [timer for timer in timers if not timer.cancelled()]
        timers.append(call_later(*args, **options))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", counted)
    sio = echoing(ping_interval=5, ping_timeout=5, connect_timeout=5)
    clients = [joined(sio, eio_sid=f"e{i}") for i in range(100)]
    for client in clients:
        client.socket.schedule_ping()
        client.conn.expect(toolboxsio.engine_socket.DUE_CONNECT)
    assert len(timers) == 1
    fired = []
    for client in clients:
        client.socket._deadline = fired.append
        client.conn.expect(toolboxsio.engine_socket.DUE_MESSAGE, 0)
    monkeypatch.undo()
    assert len(timers) == 2
    await until(lambda: len(fired) == 100)


async def test_deadlines_fire_in_their_order():
    sio = echoing()
    fired = []
    clients = [Client(sio, f"e{i}") for i in range(20)]
    start = time.monotonic() + 0.05  # moments, whatever passes between two of these calls
    for i, client in enumerate(clients):
        client.socket._deadline = lambda kind, i=i: fired.append(i)
        moment = start + 0.01 * (i * 7 % 20)
        client.conn.expect(toolboxsio.engine_socket.DUE_MESSAGE, max(0, moment - time.monotonic()))
    clients[3].conn.relax(toolboxsio.engine_socket.DUE_CONNECT)
    clients[5].conn.relax(toolboxsio.engine_socket.DUE_MESSAGE)
    await until(lambda: len(fired) == 19)
    assert fired == sorted((i for i in range(20) if i != 5), key=lambda i: i * 7 % 20)
    with pytest.raises(ValueError, match="no such deadline"):
        clients[0].conn.expect(77)


# --- the end --------------------------------------------------------------------------------------


class Uvicorn:
    def __init__(self):
        self.tasks = set()
        self.gone = []

    def left(self, connection):
        self.gone.append(connection)


async def test_shutdown_by_the_web_server():
    uvicorn = Uvicorn()
    sio = echoing()
    gate = asyncio.Event()

    @sio.event
    async def slow(sid):
        await gate.wait()
        return "done"

    client = joined(sio, server=uvicorn)
    client.send('421["slow"]')
    client.conn.shutdown()
    [task] = uvicorn.tasks
    client.send('42["e"]')  # nobody handles it
    await asyncio.sleep(0.03)  # nothing happens
    assert client.transport.calls == []
    gate.set()
    assert await client.until(3) == ['431["done"]', "1", CLOSED[1012]]
    client.conn.shutdown()
    assert client.taken() == []
    client.conn.connection_lost(None)
    assert uvicorn.gone == [client.conn]
    await until(lambda: client.conn.path == "over")
    await asyncio.wait_for(task, 1)
    assert sio.seen == []
    assert sio.eio.sockets == {}
    assert uvicorn.tasks == set()


async def test_connection_lost_tells_the_application_once():
    uvicorn = Uvicorn()
    sio = echoing()
    gate = asyncio.Event()
    reasons = []

    @sio.on("disconnect", namespace="/")
    async def disconnect(sid, reason):
        reasons.append(reason)
        await gate.wait()

    client = joined(sio, server=uvicorn)
    client.conn.connection_lost(None)
    assert len(uvicorn.tasks) == 1
    client.conn.connection_lost(OSError())
    assert reasons == [sio.reason.TRANSPORT_CLOSE]
    client.read(frame('42["e"]'))
    gate.set()
    await until(lambda: client.conn.path == "over")
    assert uvicorn.gone == [client.conn] * 2
    assert sio.seen == []
    assert client.sio.eio.hub().n_connections == 1


async def test_what_was_sent_before_the_end_is_handled():
    sio = echoing()
    gate = asyncio.Event()

    @sio.event
    async def connect(sid, environ):
        await gate.wait()

    client = Client(sio)
    client.send("40", '42["e",1]', '42["e",2]')
    client.conn.connection_lost(None)
    assert sio.seen == []
    gate.set()
    await until(lambda: client.conn.path == "over")
    assert sio.seen == [("/", 1), ("/", 2)]


async def test_disconnect_by_the_server():
    sio = echoing()
    client = joined(sio)
    await sio.disconnect(client.sid)
    await asyncio.sleep(0)
    assert client.taken()[0] == "41"
    client.read(frame("1"))
    await until(lambda: client.transport.names()[-1:] == ["close"] or client.conn.close_sent)


async def test_misuse():
    sio = echoing()
    client = joined(sio)
    conn = client.conn
    with pytest.raises(RuntimeError, match="attached"):
        client.attach()
    with pytest.raises(RuntimeError, match="attached"):
        conn.attach_messages()
    for n in (-1, 1 << 40):
        with pytest.raises((ValueError, OverflowError)):
            conn.buffer_updated(n)
    with pytest.raises(TypeError):
        conn.send(1)
    with pytest.raises(TypeError):
        conn.dispatch("/", None, ("e",))
    with pytest.raises(TypeError):
        type(conn)()
    with pytest.raises(TypeError):
        conn.hold(1)
    del conn.stock
    assert conn.stock is False
    fresh = sio.eio.hub().connection(client.socket, "e9")
    with pytest.raises(TypeError, match="context"):
        fresh.attach(None, None, None, 1, 0, False, None, False)
    assert not fresh.feed({"type": "websocket.disconnect"})
    fresh.release()
    fresh.release()
    with pytest.raises(RuntimeError):
        fresh.attach_messages()
    assert fresh.path == "over"


async def test_dispatch_of_decoded_events():
    client = joined()
    dispatch = client.conn.dispatch
    assert dispatch(None, 5, ["e", b"1"]) is True
    assert dispatch("/", None, ["e"]) is True
    assert dispatch("/", 1 << 64, ["e"]) is False
    assert dispatch("/", -1, ["e"]) is False
    assert dispatch("/", (1 << 63) - 1, ["e"]) is True
    assert dispatch("/other", 5, ["e"]) is False
    for data in ([], [1], ["connect"]):
        assert dispatch(None, None, data) is False
    with pytest.raises(TypeError):
        dispatch("/", "x", ["e"])
    assert client.sio.seen == [("/", b"1"), ("/",), ("/",)]
    assert await client.until(3) == [f"461-5[{PLACE % 0}]", b"1", "439223372036854775807[]"]


# --- transports of event loops --------------------------------------------------------------------


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_real_transports(new_loop):
    async def play():
        loop = asyncio.get_running_loop()
        sio = echoing(max_backlog=1 << 20)
        ours, theirs = sockets.socketpair()
        theirs.setblocking(False)
        client = Client.__new__(Client)
        client.sio, client.eio_sid = sio, "e1"
        client.socket = toolboxsio.engine.EngineSocket(sio.eio, "e1")
        client.socket.connected = client.socket.upgraded = True
        sio.eio.sockets["e1"], sio.environ["e1"] = client.socket, {}
        client.conn = client.socket.conn = sio.eio.hub().connection(client.socket, "e1")
        client.transport, _ = await loop.connect_accepted_socket(lambda: client.conn, ours)
        client.attach()
        got = b""

        async def receive(n):
            nonlocal got
            while len(got) < n:
                got += await loop.sock_recv(theirs, 65536)
            part, got = got[:n], got[n:]
            return frames(part)

        await loop.sock_sendall(theirs, frame("40"))
        [answer] = await receive(2 + len('40{"sid":"' + "x" * 20 + '"}'))
        assert answer.startswith("40{")
        data = b"".join(frame(f'42{i}["e",{i}]') for i in range(100, 999))
        await loop.sock_sendall(theirs, data)
        expected = [f"43{i}[{i}]" for i in range(100, 999)]
        assert await receive(sum(2 + len(text) for text in expected)) == expected

        big = "x" * 50_000  # more than fits into the kernel's buffers
        for _ in range(10):
            await sio.emit("big", big)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert client.conn.backlog > 100_000
        size = 4 + len(f'42["big","{big}"]')
        assert await receive(10 * size) == [f'42["big","{big}"]'] * 10

        with suppress(OSError):
            await loop.sock_sendall(theirs, frame(b"\x03\xe8", CLOSE) + frame('42["e"]'))
        assert await receive(4) == [CLOSED[1000]]
        assert await loop.sock_recv(theirs, 10) == b""
        await until(lambda: client.conn.path == "over")
        theirs.close()

    loop = new_loop()
    try:
        loop.run_until_complete(play())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# --- memory ---------------------------------------------------------------------------------------


def collected(make):
    """Whether what a coroutine function made in a loop of its own is freed."""
    loop = asyncio.new_event_loop()
    try:
        made = loop.run_until_complete(make())
    finally:
        loop.close()
    del loop
    for _ in range(3):
        gc.collect()
    return [ref() for ref in made] == [None] * len(made)


@pytest.mark.parametrize(
    "end", ["nothing", "lost", "output waits", "handler waits", "connect waits", "deadline", "held"]
)
def test_garbage_is_collected(end):
    async def make():
        sio = echoing()
        client = Client(sio)
        if end == "connect waits":

            @sio.event
            async def connect(sid, environ):
                await asyncio.get_running_loop().create_future()

            client.send("40", '42["e"]')
        else:
            client.join()
        if end == "lost":
            client.conn.connection_lost(None)
        elif end == "output waits":
            await sio.emit("x", 1)
        elif end == "handler waits":

            @sio.on("forever")
            async def forever(sid):
                await asyncio.get_running_loop().create_future()

            client.send('421["forever"]')
        elif end == "deadline":
            client.socket.schedule_ping()
        elif end == "held":
            client.conn.hold(b"x" * 100)
        return [weakref.ref(thing) for thing in (sio, client.socket, client.transport)]

    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.disabled = True  # tasks that were pending
    try:
        assert collected(make)
    finally:
        asyncio_log.disabled = False


def test_frames_of_this_file():
    assert frames(b"\x81\x01x\x82\x01y\x89\x00") == ["x", b"y", (PING, b"")]
    assert frame("x", key=b"\0\0\0\0") == b"\x81\x81\0\0\0\0x"
    assert frame(b"", BINARY) == b"\x82\x80\x01\x82\x03\xf4"


@pytest.mark.parametrize("packet", ["text", b"bytes"])
async def test_backlog_of_messages(packet):
    """Through ASGI, too, what waits for a client that does not take it is bounded."""
    sio = echoing(max_backlog=2000)
    blocked = asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        await blocked.wait()

    client = Messages(sio)
    await client.join()

    async def send(message):
        await blocked.wait()

    client.send = send
    client.conn.send("first")
    await asyncio.sleep(0)
    for _ in range(1000):
        client.conn.send(packet)
    assert client.conn.backlog < 2000 + 3 * len(packet)  # beside the largest
    await asyncio.sleep(0)
    assert client.socket.closing
    blocked.set()
    await until(lambda: client.socket.closed)
    client.task.cancel()
    await asyncio.gather(client.task, return_exceptions=True)
