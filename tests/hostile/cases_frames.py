"""Attacks with WebSocket frames: RFC 6455 broken, sizes, floods.

On ASGI a WebSocket's frames are the ASGI server's: there the limits of frames are its own, and what
is asked is that the session goes on, or ends, without harm to the others.
"""

import zlib

from tests.e2e.frames import BINARY, CLOSE, PING, PONG, TEXT, encode

from .case import (
    ASGI_MAX_SIZE,
    MAX_CONTROL_FRAMES,
    MAX_FRAGMENTS,
    MAX_SIZE,
    NOT_UTF8,
    POLICY,
    PROTOCOL,
    SOON,
    TOO_BIG,
    Target,
    case,
    check_refused,
    refused,
)
from .peer import WEBSOCKET, Peer

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
MASK = b"\0\0\0\0"


async def flood_of_control(target: Target, opcode: int) -> None:
    """Control frames as fast as they are taken."""
    async with await target.joined() as peer:
        some = encode(b"", opcode) * 500
        if target.is_direct:
            for _ in range(200):
                if not await peer.send(some):
                    break
            await refused(peer, POLICY, goodbye=False)
        else:
            assert await peer.same(1, some) == ["431[1]"]


@case()
async def flood_of_pings(target: Target) -> None:
    await flood_of_control(target, PING)


@case()
async def flood_of_pongs(target: Target) -> None:
    await flood_of_control(target, PONG)


@case()
async def pings_within_the_limit(target: Target) -> None:
    """Half of what may be is no offence."""
    async with await target.joined() as peer:
        assert await peer.same(1, encode(b"x", PING) * (MAX_CONTROL_FRAMES // 2)) == ["431[1]"]


@case(fair=("direct",))
async def flood_of_engine_pongs(target: Target) -> None:
    """Counted on the direct path alone; through ASGI a web server in Python parses all of them."""
    async with await target.joined() as peer:
        some = encode("3") * 500
        if target.is_direct:
            for _ in range(200):
                if not await peer.send(some):
                    break
            await refused(peer, POLICY)
        else:
            assert await peer.same(1, some * 4) == ["431[1]"]


async def flood_of_fragments(target: Target, piece: bytes) -> None:
    """One message in more fragments than a message may have."""
    async with await target.joined() as peer:
        first, one = encode('42["counted","', TEXT, fin=False), encode(piece, 0, fin=False)
        if target.is_direct:
            await peer.send(first + one * (MAX_FRAGMENTS + 10))
            await refused(peer, TOO_BIG)
        else:
            assert await peer.same(1, first + one * 500 + encode('"]', 0)) == ["431[1]"]


@case()
async def flood_of_tiny_fragments(target: Target) -> None:
    await flood_of_fragments(target, b"x")


@case()
async def flood_of_empty_fragments(target: Target) -> None:
    await flood_of_fragments(target, b"")


@case()
async def frame_that_announces_too_much(target: Target) -> None:
    """The header alone is enough, whether a byte over the limit or the most that can be said.

    On ASGI the limit for what is announced is the ASGI server's.
    """
    for size in ((MAX_SIZE if target.is_direct else ASGI_MAX_SIZE) + 1, 1 << 62):
        for opcode in (TEXT, BINARY):
            async with await target.joined() as peer:
                await peer.send(bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8) + MASK + b"42")
                await refused(peer, TOO_BIG)


@case(bounded=("direct",))
async def message_that_is_too_large(target: Target) -> None:
    """Through ASGI the web server has it whole, and lets go of it when garbage is collected."""
    async with await target.joined() as peer:
        await peer.frame('42["counted","' + "x" * MAX_SIZE + '"]')
        await refused(peer, TOO_BIG)


@case()
async def fragments_that_are_too_large_together(target: Target) -> None:
    async with await target.joined() as peer:
        await peer.frame('42["counted","', TEXT, fin=False)
        for last in [False] * 16 + [True]:
            if not await peer.frame(b"x" * 60_000, 0, fin=last):
                break
        await refused(peer, TOO_BIG)


@case()
async def size_with_its_highest_bit(target: Target) -> None:
    """RFC 6455, 5.2: the most significant bit of the 64 is 0."""
    async with await target.joined() as peer:
        await peer.send(b"\x81\xff" + b"\xff" * 8 + MASK)
        ending = await peer.ending(SOON)
        check_refused(ending, PROTOCOL if target.is_direct else ending.code or 0)
        assert ending.code in (PROTOCOL, TOO_BIG)


def bomb(size: int, rounds: int = 1) -> bytes:
    """A text that is large when it is inflated, as permessage-deflate has it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [packer.compress(b'42["counted","')]
    parts += [packer.compress(b"x" * size) for _ in range(rounds)]
    parts.append(packer.flush(zlib.Z_SYNC_FLUSH))
    return b"".join(parts)[:-4]


BOMB = bomb(1 << 20, 64)


@case(holds=40 << 20, bounded=("direct",))
async def deflate_bomb(target: Target) -> None:
    """64 KiB that become 64 MiB, whole and in fragments. Through ASGI the web server inflates up to
    its own limit, and keeps that with the exception in its protocol until garbage is collected."""
    for pieces in (1, 50):
        async with await Peer.open(target.port) as peer:
            assert await peer.handshake(WEBSOCKET, DEFLATE) == 101
            await peer.receive()  # OPEN, deflated or not
            step = len(BOMB) // pieces + 1
            frames = b""
            for start in range(0, len(BOMB), step):
                frame = bytearray(encode(BOMB[start : start + step], 0 if start else TEXT, False))
                frame[0] |= (0 if start else 0x40) | (0x80 if start + step >= len(BOMB) else 0)
                frames += frame
            await peer.send(frames)
            await refused(peer, TOO_BIG)


@case()
async def deflated_garbage(target: Target) -> None:
    """What cannot be inflated is no text; the code is the WebSocket implementation's."""
    async with await Peer.open(target.port) as peer:
        assert await peer.handshake(WEBSOCKET, DEFLATE) == 101
        await peer.receive()
        frame = bytearray(encode(b"\xff" * 100, TEXT))
        frame[0] |= 0x40
        await peer.send(bytes(frame))
        assert (await peer.ending(SOON)).code in (PROTOCOL, NOT_UTF8)


@case()
async def bad_utf8(target: Target) -> None:
    """At once where it is read, in a fragment too; in a close frame."""
    for text in (b"\xff", b"42\xc0\xaf", b"4\xed\xa0\x80", b"4\xf4\x90\x80\x80", b"42\xe6\x97"):
        async with await target.joined() as peer:
            await peer.frame(text, TEXT)
            await refused(peer, NOT_UTF8)
    async with await target.joined() as peer:
        await peer.frame(b"\x03\xe8\xff\xff", CLOSE)
        await refused(peer, NOT_UTF8)
    if target.is_direct:
        async with await target.joined() as peer:
            await peer.frame(b"42\xff", TEXT, fin=False)
            await refused(peer, NOT_UTF8)


AGAINST_THE_PROTOCOL = {
    "not masked": b'\x81\x0142["counted"]',
    "reserved bit 2": b"\xa1\x80" + MASK,
    "reserved bit 3": b"\x91\x80" + MASK,
    "reserved bit 1 without deflate": b"\xc1\x80" + MASK,
    "opcode 3": encode(b"x", 3),
    "opcode 7": encode(b"x", 7),
    "opcode 11": encode(b"x", 11),
    "opcode 15": encode(b"x", 15),
    "a long ping": encode(b"x" * 126, PING),
    "a long pong": encode(b"x" * 70_000, PONG),
    "a long close": encode(b"\x03\xe8" + b"x" * 124, CLOSE),
    "a ping in fragments": encode(b"x", PING, fin=False),
    "a close in fragments": encode(b"\x03\xe8", CLOSE, fin=False),
    "a continuation of nothing": encode(b"x", 0),
    "a message within a message": encode("42", TEXT, fin=False) + encode("42", TEXT),
    "a close of one byte": encode(b"\x03", CLOSE),
    "a close with a code that is not sent": encode(b"\x03\xed", CLOSE),
    "a close with a code that nobody has": encode(b"\x00\x01", CLOSE),
}


@case()
async def frames_against_the_protocol(target: Target) -> None:
    for name, frames in AGAINST_THE_PROTOCOL.items():
        async with await target.joined() as peer:
            await peer.send(frames)
            ending = await peer.ending(SOON)
            assert ending.code == PROTOCOL, (name, ending)


@case()
async def data_after_the_close(target: Target) -> None:
    """It is answered with the close of the other side; what follows is nobody's."""
    async with await target.joined() as peer:
        after = encode('42["counted"]') * 200 + encode(b"x", PING) * 200
        await peer.send(encode(b"\x03\xe8", CLOSE) + after)
        ending = await peer.ending(SOON)
        assert (ending.code, ending.messages) == (1000, [])
        for _ in range(20):
            if not await peer.send(after):
                break


@case(slow=True)
async def nothing_after_the_servers_close(target: Target) -> None:
    """A client that neither answers a close nor leaves."""
    async with await target.joined() as peer:
        await peer.frame(b"x", 3)
        assert (await peer.ending(SOON)).code == PROTOCOL
        seconds = target.times.silence + 10 * (not target.is_direct)
        await ended(peer, seconds)


async def ended(peer: Peer, seconds: float) -> None:
    """Wait until the TCP connection is closed."""
    import asyncio

    async with asyncio.timeout(seconds):
        while await peer.fill():
            peer.buffer.clear()
