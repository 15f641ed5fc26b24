"""An application's own json=: its functions make and read all JSON of events, the rest is in C."""

import json
import logging
from decimal import Decimal

import pytest
from connections import Client, Polling, server, until

import toolboxsio
from toolboxsio._load import core


class Own:
    """With spaces where nobody else has them, and numbers that stay as they are."""

    def __init__(self):
        self.calls = []

    def dumps(self, obj, **options):
        assert options == {"separators": (",", ":")}
        self.calls.append("dumps")
        return json.dumps(obj, separators=(", ", ": "), default=float)

    def loads(self, text):
        self.calls.append("loads")
        return json.loads(text, parse_float=Decimal)


@pytest.fixture
def own():
    return Own()


@pytest.fixture
def sio(own):
    sio = server(json=own)

    @sio.event
    async def same(sid, *args):
        return args

    return sio


def joined(sio, own, name="e1"):
    client = Client(sio, name)
    client.send("40")
    client.taken()
    own.calls.clear()
    return client


async def test_loads_that_ends_the_process(sio, own, monkeypatch):
    """What no handler of errors may keep is let out, as python-socketio lets it."""
    client = joined(sio, own)

    def loads(text):
        own.calls.append(text)
        raise SystemExit(3)

    monkeypatch.setattr(own, "loads", loads)
    with pytest.raises(SystemExit):
        client.send('42["same"]')
    assert own.calls == ['["same"]']


async def test_events_and_answers(sio, own):
    client = joined(sio, own)
    client.send('427["same",1.50,[null]]', '42/,8["same"]', '42["same", 1]')
    assert await client.until(2) == ["437[1.5, [null]]", "438[]"]
    assert own.calls == ["loads", "dumps", "loads", "dumps", "loads"]
    [sid] = [sid for sid in sio.manager.rooms["/"] if sid]
    assert sio.acceleration(sid) == {"path": "direct", "fast": True, "reasons": []}


async def test_bytes(sio, own):
    client = joined(sio, own)
    client.send('451-7["same",{"_placeholder":true,"num":0},2]', b"\x01")
    assert await client.until(2) == ['461-7[{"_placeholder": true, "num": 0}, 2]', b"\x01"]
    await sio.emit("e", ({"b": [bytearray(b"x"), b"y"]}, Decimal("0.5")))
    text = '{"b": [{"_placeholder": true, "num": 0}, {"_placeholder": true, "num": 1}]}'
    assert await client.until(3) == [f'452-["e", {text}, 0.5]', b"x", b"y"]


async def test_an_emit_is_encoded_once(sio, own):
    clients = [joined(sio, own, f"e{n}") for n in range(3)]
    await sio.emit("e", {"a": [1, "\u00e9"]})
    assert own.calls == ["dumps"]
    for client in clients:
        assert await client.until() == ['42["e", {"a": [1, "\\u00e9"]}]']
    polling = Polling(sio)
    await polling.join()
    answers = []
    own.calls.clear()
    await sio.emit("e", callback=lambda *args: answers.append(args))
    assert [await client.until() for client in clients] == [['421["e"]']] * 3
    assert own.calls == ["dumps"]
    assert polling.waiting() == ['21["e"]']
    clients[0].send("431[1.5]")
    assert answers == [(Decimal("1.5"),)]


async def test_lone_surrogates(sio, own):
    own.dumps = lambda obj, **options: json.dumps(obj, ensure_ascii=False)
    polling, client = Polling(sio), joined(sio, own)
    await polling.join()
    await sio.emit("e", "\ud800")
    assert polling.waiting() == ['2["e", "\ud800"]']
    assert core.payload_encode(polling.seen) == b'42["e", "\xed\xa0\x80"]'
    await until(client.transport.writes)
    assert client.transport.writes()[-1].endswith(b'42["e", "\xed\xa0\x80"]')


@pytest.mark.parametrize("error", [TypeError, KeyError, RecursionError])
async def test_what_dumps_raises(sio, own, error, caplog):
    client = joined(sio, own)

    def dumps(obj, **options):
        raise error("no")

    own.dumps = dumps
    with pytest.raises(error):
        await sio.emit("e")
    client.send('427["same"]')
    own.dumps = Own().dumps
    client.send('428["same"]')
    assert await client.until() == ["438[]"]
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info[0] is error


async def test_dumps_returns_no_text(sio, own):
    client = joined(sio, own)
    own.dumps = lambda obj, **options: ["[]"]
    with pytest.raises(TypeError, match="str"):
        await sio.emit("e")
    assert client.taken() == []


@pytest.mark.parametrize("read", [None, {}, [], [1], "e", ["same", "\ud800"]])
async def test_what_loads_returns(sio, own, read):
    """An event, or the end of the session."""
    client = joined(sio, own)
    own.loads = lambda text: read
    client.send('427["e"]')
    is_event = isinstance(read, list) and read[:1] == ["same"]
    found = await client.until()
    assert (found[0] == '437["\\ud800"]') is is_event
    assert client.socket.closed is not is_event


@pytest.mark.parametrize("text", ["[", '["e",]', "", "nothing"])
async def test_what_loads_refuses(sio, own, text):
    client = joined(sio, own)
    client.send(f"427{text}")
    found = await client.until()
    assert found[0] == "1"
    assert client.socket.closed


async def test_loads_may_end_the_session(sio, own):
    client = joined(sio, own)

    def loads(text):
        client.conn.abort()
        return ["same", 1]

    own.loads = loads
    client.send('427["same"]', '428["same"]')
    assert client.taken() == []
    assert "abort" in client.transport.names()


@pytest.mark.parametrize("does", ["connection_lost", "reads", "replaces"])
async def test_loads_raises_after_what_it_has_done(sio, own, does):
    """The text is read once more, by Python, from where it was."""
    client = joined(sio, own)
    texts = []

    def loads(text):
        texts.append(text)
        if len(texts) == 1:
            if does == "connection_lost":
                client.conn.connection_lost(None)
            elif does == "reads":  # into the memory where the text is, if nothing kept it
                client.send('429["same","' + "x" * 100 + '"]')
            else:
                sio.on("other", lambda sid: None)
            raise LookupError
        return json.loads(text)

    own.loads = loads
    client.send('427["same",1]', '428["same",2]')
    if does == "connection_lost":  # what came before it is read
        await until(lambda: client.socket.closed)
        assert texts == ['["same",1]'] * 2 + ['["same",2]']
    else:
        answers = ["437[1]", "438[2]"] + (['439["' + "x" * 100 + '"]'] if does == "reads" else [])
        assert sorted(await client.until(len(answers))) == sorted(answers)


async def test_dumps_may_end_a_session(sio, own):
    first, second = joined(sio, own), joined(sio, own, "e2")

    def dumps(obj, **options):
        first.conn.abort()
        return json.dumps(obj)

    own.dumps = dumps
    await sio.emit("e", 1)
    assert second.taken() == ['42["e", 1]']
    second.send('427["same"]')
    assert await second.until() == ["437[]"]


async def test_another_json_later(sio, own, monkeypatch):
    client = joined(sio, own)
    monkeypatch.setattr(sio.packet_class, "json", toolboxsio.json)
    client.send('427["same",[1,2]]')
    assert await client.until() == ["437[[1,2]]"]
    assert own.calls == []
