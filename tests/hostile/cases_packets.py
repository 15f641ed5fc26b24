"""Attacks with Engine.IO and Socket.IO packets over a WebSocket.

Floods of packets that no rule forbids come from one client at a time. On ASGI the frames of a read
are the ASGI server's to parse, all at once: there nothing is asked of the others' latency.
"""

import asyncio
import json

from tests.e2e.frames import CLOSE, encode

from .case import (
    LATE,
    MAX_ATTACHMENTS_SIZE,
    MAX_BACKLOG,
    MAX_NAMESPACES,
    MAX_PENDING_ACKS,
    MAX_RUNNING,
    POLICY,
    SOON,
    TOO_BIG,
    Target,
    case,
    refused,
)
from .handlers import CLOSE_SECONDS, MANY
from .peer import Peer, Session, request, ticks

PLACEHOLDER = '{"_placeholder":true,"num":0}'
DEEP = 100_000

REFUSED: dict[str, list[str | bytes]] = {
    "nested a little too deep": ['42["counted",' + "[" * 513 + "]" * 513 + "]"],
    "nested far too deep": ['42["counted",' + "[" * DEEP + "]" * DEEP + "]"],
    "nested and never closed": ['42["counted",' + "[" * DEEP],
    "nested objects": ['42["counted",' + '{"a":' * DEEP],
    "no attachments announced": ['450-["counted"]'],
    "no number of attachments": ['45["counted","x"]'],
    "eleven attachments": [f'4511-["counted",{PLACEHOLDER}]'],
    "a billion attachments": [f'45999999999-["counted",{PLACEHOLDER}]'],
    "attachments without end": ["45" + "9" * 100_000 + "-[]"],
    "a placeholder out of range": ['451-["counted",{"_placeholder":true,"num":1}]', b"x"],
    "a placeholder far out of range": [
        '451-["counted",{"_placeholder":true,"num":99999999999999999999}]',
        b"x",
    ],
    "a placeholder below zero": ['451-["counted",{"_placeholder":true,"num":-1}]', b"x"],
    "a placeholder that is no number": ['451-["counted",{"_placeholder":true,"num":1.5}]', b"x"],
    "an event that is an object": ["42{}"],
    "an event that is a number": ["421e400"],
    "an event without data": ["42"],
    "an event without a name": ["42[]"],
    "an event with a number as its name": ["42[1]"],
    "the event connect": ['42["connect",{"REQUEST_METHOD":"GET"}]'],
    "the event disconnect": ['42["disconnect","transport close"]'],
    "an answer that is an object": ["431{}"],
    "an id that is too long": ["42" + "1" * 101 + '["counted"]'],
    "an id without end": ["42" + "1" * 100_000 + '["counted"]'],
    "a connect error": ['44{"message":"x"}'],
    "a type that nobody has": ["49[]"],
    "no type": ["4"],
    "no packet": [""],
    "an Engine.IO type that nobody has": ["7"],
    "no JSON": ['42["counted",nul]'],
    "bytes unasked": [b"\x04x"],
    "a text in the place of bytes": [f'451-["counted",{PLACEHOLDER}]', '42["counted"]'],
}
#: With strict=True, too.
REFUSED_STRICTLY: dict[str, list[str | bytes]] = {
    "a connect with data that is no object": ["40/many-0,[]"],
    "a disconnect with data": ["41{}"],
    "an event for a namespace that was not asked for": ['42/many-1,["counted"]'],
    "an OPEN": ["0{}"],
    "a PING": ["2"],
    "a probe": ["2probe"],
    "an UPGRADE": ["5"],
    "a NOOP": ["6"],
}


@case()
async def packets_that_are_none(target: Target) -> None:
    """Refused at once, each alone."""
    for name, frames in (REFUSED | REFUSED_STRICTLY if target.strict else REFUSED).items():
        async with await target.joined() as peer:
            await peer.send(b"".join(map(encode, frames)))
            try:
                await refused(peer, POLICY)
            except AssertionError as exc:
                raise AssertionError(f"{name}: {exc}") from exc


@case()
async def huge_integers(target: Target) -> None:
    """A hundred digits are an argument; more are refused."""
    async with await target.joined() as peer:
        await peer.frame('421["counted",' + "9" * 100 + "]")
        assert await peer.until("431[]", SOON)
    for digits in (101, 5000, 900_000):
        async with await target.joined() as peer:
            await peer.frame('42["counted",' + "9" * digits + "]")
            await refused(peer, POLICY)


@case(clients=1, fair=("direct",))
async def flood_of_connects(target: Target) -> None:
    """For the namespace that the client is in: not answered if strict, else an error each."""
    async with await target.joined() as peer:
        count = 500
        messages = await peer.same(1, encode("40") * count)
        assert messages[:-1] == ([] if target.strict else ['44"Unable to connect"'] * count)


@case(clients=1, fair=("direct",))
async def connects_to_unknown_namespaces(target: Target) -> None:
    """Each is answered with an error, or the client refused; it never joins any."""
    async with await target.joined() as peer:
        count = 1000
        await peer.send(b"".join(encode(f"40/nowhere-{n},") for n in range(count)))
        await peer.frame('421["same",1]')
        errors = 0
        try:
            async with asyncio.timeout(5):
                while (message := await peer.message()) != "431[1]":
                    assert isinstance(message, str)
                    assert message == "1" or message.startswith("44/nowhere-"), message
                    errors += message != "1"
        except EOFError as exc:
            code = int.from_bytes(exc.args[0][:2])
        else:
            code = 0
        assert code == POLICY or errors == count, (code, errors)


@case()
async def connects_to_many_namespaces(target: Target) -> None:
    """As many as a client may be in; one more ends it."""
    async with await target.joined() as peer:
        packets = [encode(f"40/many-{n},") for n in range(MANY)]
        await peer.send(b"".join(packets[: MAX_NAMESPACES - 1]))
        await peer.until(f"40/many-{MAX_NAMESPACES - 2},", 5)
        await peer.same()
        await peer.send(packets[MAX_NAMESPACES - 1])
        await refused(peer, POLICY)
    async with await target.joined() as peer:
        await peer.send(b"".join(packets))
        await refused(peer, POLICY, seconds=2)


@case(clients=1, fair=("direct",))
async def answers_to_nothing(target: Target) -> None:
    """Acknowledgements of ids that were never sent are ignored, however many."""
    async with await target.joined() as peer:
        acks = b"".join(encode(f"43{n}[1]") for n in range(5000))
        assert await peer.same(1, acks) == ["431[1]"]
        assert await peer.same(2, encode("43" + "9" * 100 + "[]") * 10) == ["432[2]"]


@case(clients=1, fair=("direct",))
async def events_that_nobody_handles(target: Target) -> None:
    async with await target.joined() as peer:
        events = b"".join(encode(f'42["nobody {n}",{{}}]') for n in range(2000))
        assert await peer.same(1, events) == ["431[1]"]


@case(clients=1, fair=())
async def questions_that_are_never_answered(target: Target) -> None:
    """The server keeps no more callbacks for a client than it may have.

    That a client can let it ask so often is the application's doing.
    """
    async with await target.joined() as peer:
        await peer.frame(f'421["asks",{MAX_PENDING_ACKS - 1}]')
        await peer.until("431[]", 10)
        await peer.frame('42["asks",10]')
        await refused(peer, POLICY, seconds=2, goodbye=False)


@case(holds=MAX_BACKLOG * 2 + (2 << 20))
async def output_that_is_not_read(target: Target) -> None:
    """A client that lets the server send and reads nothing is dropped.

    On ASGI its session is; the ASGI server keeps the connection until its own PINGs fail.
    """
    async with await Peer.open(target.port, buffer=4096) as peer:
        await peer.join()
        peer.stop_reading()
        await peer.frame('42["pours",400,50000]')
        session = Session(target.port, peer.sid)
        async with asyncio.timeout(SOON):
            async for _ in ticks(0.02):
                is_sent = target.is_direct and await peer.send(encode('42["counted"]'))
                if not is_sent and await session.is_over():
                    break


@case(slow=True, holds=MAX_BACKLOG + (4 << 20))
async def goodbye_of_one_that_does_not_read(target: Target) -> None:
    """What waits for it never leaves: its connection is dropped.

    On ASGI that is not ours to do, and a goodbye behind output is not seen.
    """
    async with await Peer.open(target.port, buffer=4096) as peer:
        await peer.join()
        peer.stop_reading()
        session = Session(target.port, peer.sid)
        stuck = 0
        async with asyncio.timeout(5):
            async for _ in ticks(0.03):
                is_stuck = await session.ask("/hostile/backlog") != b"0"
                stuck = stuck + 1 if is_stuck else 0
                if stuck == 5:
                    break
                if not is_stuck:
                    await peer.frame('42["pours",5,10000]')
        await peer.frame(b"\x03\xe8", CLOSE)
        late = 2 * CLOSE_SECONDS if target.is_direct else target.times.silence
        async with asyncio.timeout(late + LATE):
            async for _ in ticks(0.1):
                if await session.is_over() and (not target.is_direct or not await peer.send(b"\0")):
                    break


@case(fair=())
async def events_whose_handlers_take_long(target: Target) -> None:
    """No more handlers of a client are at work than may be; all are in the end.

    What they take is the application's, and within the rules. Each takes longer than it takes the
    server to begin with all that it may; whether it begins with more, test_nobody_suffered sees.
    """
    async with await target.joined() as peer:
        count = MAX_RUNNING * 2
        sending = asyncio.create_task(
            peer.send(b"".join(encode(f'42{n}["slow",0.4]') for n in range(count)))
        )
        answers = 0
        async with asyncio.timeout(15):
            while answers < count:
                assert str(await peer.message()).startswith("43")
                answers += 1
        await sending
    told = json.loads((await request(target.port, "GET", "", path="/hostile")).body)
    assert told["most running"] >= MAX_RUNNING


@case(holds=4 * MAX_ATTACHMENTS_SIZE)
async def attachments_that_are_too_large_together(target: Target) -> None:
    async with await target.joined() as peer:
        await peer.frame(f'4510-["counted",{PLACEHOLDER}]')
        for _ in range(3):
            if not await peer.frame(b"x" * 900_000):
                break
        await refused(peer, TOO_BIG)


@case(slow=True)
async def attachments_that_never_come(target: Target) -> None:
    """None of one, and nine of ten, answering every PING."""
    begun = asyncio.get_running_loop().time()
    async with await target.joined() as peer, await target.joined() as other:
        await peer.frame(f'451-["counted",{PLACEHOLDER}]')
        await other.frame(f'4510-["counted",{PLACEHOLDER}]')
        for _ in range(9):
            await other.frame(b"x" * 1000)
        seconds = target.times.message_timeout
        await asyncio.gather(
            refused(peer, POLICY, seconds + LATE), refused(other, POLICY, seconds + LATE)
        )
        assert asyncio.get_running_loop().time() - begun > seconds * 0.8


@case(slow=True)
async def attachments_one_by_one(target: Target) -> None:
    """Each has its time, as a message has; one that does not come in it ends the session."""
    seconds = target.times.message_timeout
    async with await target.joined() as peer:
        await peer.frame(f'4510-["counted",{PLACEHOLDER}]')
        for _ in range(6):
            await asyncio.sleep(seconds / 4)
            assert await peer.frame(b"x")
        begun = asyncio.get_running_loop().time()
        await refused(peer, POLICY, seconds + LATE)
        assert asyncio.get_running_loop().time() - begun > seconds * 0.8


@case(slow=True)
async def never_answers_a_ping(target: Target) -> None:
    """A client that has joined and is silent is gone when it has missed a PING."""
    async with await target.joined() as peer:
        peer.pongs = False
        await peer.ending(target.times.silence + LATE)


@case(slow=True)
async def opened_and_never_joined(target: Target) -> None:
    """It answers PINGs and joins no namespace."""
    async with await Peer.open(target.port) as peer:
        assert await peer.handshake() == 101
        await peer.until("0")
        await refused(peer, POLICY, target.times.connect_timeout + LATE, goodbye=False)
