"""Attacks over HTTP: polling, upgrades, handshakes."""

import asyncio

from .case import (
    LATE,
    MAX_SIZE,
    NORMAL,
    POLICY,
    SOON,
    Target,
    case,
    check_response,
    refused,
)
from .handlers import REQUEST_SECONDS
from .peer import POLLING, WEBSOCKET, Peer, Response, Session, request, ticks

POST = "POST /socket.io/?{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"


async def started(peer: Peer, query: str, headers: str) -> None:
    await peer.send(POST.format(query=query, headers=headers).encode())


@case()
async def post_that_announces_too_much(target: Target) -> None:
    """Refused before its body comes; the poll that waits is answered, the session over."""
    for size in (MAX_SIZE + 1, 1 << 62):
        session = await Session.open(target.port)
        poll = asyncio.create_task(session.get())
        async with await Peer.open(target.port) as peer:
            await started(peer, session.query, f"Content-Length: {size}\r\n")
            await peer.send(b"4")
            check_response(await peer.response(), 413)
        assert (await asyncio.wait_for(poll, SOON)).status in (200, 400)
        assert await session.is_over()


@case()
async def post_in_chunks_that_are_too_large(target: Target) -> None:
    """Refused while it is read, however it goes on."""
    session = await Session.open(target.port)
    async with await Peer.open(target.port) as peer:
        await started(peer, session.query, "Transfer-Encoding: chunked\r\n")
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        for _ in range(40):
            if not await peer.send(chunk):
                break
        check_response(await peer.response(), 413)
    assert await session.is_over()


@case()
async def post_in_tiny_chunks(target: Target) -> None:
    """A body in ten thousand chunks is a body."""
    session = await Session.open(target.port)
    async with await Peer.open(target.port) as peer:
        await started(peer, session.query, "Transfer-Encoding: chunked\r\nConnection: close\r\n")
        text = b'421["same","' + b"x" * 10_000 + b'"]'
        await peer.send(b"".join(b"1\r\n%c\r\n" % byte for byte in text) + b"0\r\n\r\n")
        check_response(await peer.response(), 200)
    assert (await session.get()).body.startswith(b'431["xxx')
    await session.leave()


@case()
async def posts_without_a_session(target: Target) -> None:
    for query in (POLLING, f"{POLLING}&sid=unknown", f"{POLLING}&sid=", f"{POLLING}&sid=%00%ff"):
        for body in (b"40", b"", b"x" * 1000):
            check_response(await request(target.port, "POST", query, body), 400)


GARBAGE = {
    "not UTF-8": b"\xff\xfe",
    "no Socket.IO packet": b"4",
    "a type that nobody has": b"9",
    "no type": b"x",
    "bytes unasked": b"bAQID",
    "no base64": b"b!!!!!",
    "separators alone": b"\x1e\x1e\x1e",
    "no JSON": b'42["counted",',
    "deep JSON": b'42["counted",' + b"[" * 100_000,
    "a huge integer": b'42["counted",' + b"9" * 100_000 + b"]",
    "seventeen packets": b"\x1e".join([b'42["counted"]'] * 17),
    "hundreds of thousands of packets": b"3\x1e" * 400_000 + b"3",
    "random bytes": bytes(range(256)) * 100,
}


@case()
async def posts_of_garbage(target: Target) -> None:
    """Refused, with the session and its poll."""
    for name, body in GARBAGE.items():
        session = await Session.open(target.port)
        poll = asyncio.create_task(session.get())
        response = await session.post(body)
        assert (response.status, response.seconds < SOON) == (400, True), (name, response)
        answer = await asyncio.wait_for(poll, SOON)
        assert answer.status in (200, 400), (name, answer)
        assert await session.is_over(), name


@case()
async def many_polls_at_once(target: Target) -> None:
    """If strict the second ends the session; else all are answered when it ends."""
    session = await Session.open(target.port)
    polls = [asyncio.create_task(session.get()) for _ in range(30)]
    if not target.strict:
        await all_wait(session, polls)
        for body in (b'421["same",1]', b"1"):
            assert (await session.post(body)).status == 200
    responses = await asyncio.wait_for(asyncio.gather(*polls), SOON * 2)
    assert await session.is_over()
    good = [response.body for response in responses if response.status == 200]
    packets = [packet for body in good for packet in body.split(b"\x1e")]
    said = [packet for packet in packets if packet not in (b"", b"2", b"6")]
    if target.strict:
        assert said == [b"1"]
        assert {response.status for response in responses} == {200, 400}
    else:
        assert said == [b"431[1]"]
        assert len(good) == len(polls)


async def all_wait(session: Session, polls: list[asyncio.Task[Response]]) -> None:
    """Until each poll waits at the server, or has been answered with a PING."""
    async with asyncio.timeout(SOON):
        async for _ in ticks(0.005):
            waiting = int(await session.ask("/hostile/polls"))
            if waiting + sum(poll.done() for poll in polls) == len(polls):
                return


async def refuse_second_websocket(target: Target, query: str) -> None:
    """By a status, or, where the rules are strict, by a WebSocket that is closed at once."""
    async with await Peer.open(target.port) as second:
        if target.strict:
            assert await second.handshake(query) == 101
            assert (await second.ending(SOON)).code == NORMAL
        else:
            assert await second.handshake(query) == 400


@case()
async def second_websocket_of_a_session(target: Target) -> None:
    """Refused during and after the upgrade; the first goes on."""
    session = await Session.open(target.port)
    query = f"EIO=4&transport=websocket&sid={session.sid}"
    async with await Peer.open(target.port) as first:
        assert await first.handshake(query) == 101
        await first.frame("2probe")
        await first.until("3probe", SOON)
        await refuse_second_websocket(target, query)
        await first.frame("5")
        await first.same()
        for _ in range(3):
            await refuse_second_websocket(target, query)
        await first.same(2)


@case()
async def websocket_of_no_session(target: Target) -> None:
    async with await Peer.open(target.port) as peer:
        assert await peer.handshake("EIO=4&transport=websocket&sid=unknown") == 400


@case(slow=True)
async def upgrade_that_stalls(target: Target) -> None:
    """Before and after the probe; the session goes on by polling."""
    sessions = [await Session.open(target.port) for _ in range(2)]
    async with await Peer.open(target.port) as silent, await Peer.open(target.port) as probed:
        for peer, session in zip((silent, probed), sessions, strict=True):
            query = f"EIO=4&transport=websocket&sid={session.sid}"
            assert await peer.handshake(query) == 101
        await probed.frame("2probe")
        await probed.until("3probe", SOON)
        seconds = target.times.upgrade_timeout + LATE
        endings = await asyncio.gather(silent.ending(seconds), probed.ending(seconds))
        assert [ending.code for ending in endings] == [POLICY] * 2, endings
    for session in sessions:
        assert (await session.post(b'421["same",1]')).status == 200
        texts = b""
        while b"431[1]" not in texts:
            answer = await session.get()
            assert answer.status == 200
            texts += answer.body
        await session.leave()


@case(slow=True)
async def polling_and_never_joined(target: Target) -> None:
    """It polls and answers PINGs, and joins no namespace."""
    session = await Session.open(target.port, join=False)
    async with asyncio.timeout(target.times.connect_timeout + LATE):
        while (answer := await session.get()).status == 200:
            if answer.body == b"2":
                await session.post(b"3")
    assert await session.is_over()


@case(slow=True)
async def polling_and_silent(target: Target) -> None:
    """It never polls again."""
    session = await Session.open(target.port)
    begun = asyncio.get_running_loop().time()
    # a poll may be on its way when the PING is due: half of the timeout is added
    seconds = target.times.silence + target.times.ping_timeout + LATE
    async for _ in ticks(0.2):
        if await session.is_over():
            break
        assert asyncio.get_running_loop().time() - begun < seconds


@case(slow=True)
async def body_byte_by_byte(target: Target) -> None:
    """A POST whose body takes longer than a message may."""
    session = await Session.open(target.port)
    poll = asyncio.create_task(keep_polling(session))
    seconds = target.times.message_timeout + LATE
    for headers in (f"Content-Length: {MAX_SIZE}\r\n", "Transfer-Encoding: chunked\r\n"):
        if await session.is_over():
            session = await Session.open(target.port)
        async with await Peer.open(target.port) as peer:
            await started(peer, session.query, headers)
            piece = b"1\r\nx\r\n" if "chunked" in headers else b"x"
            dribbling = asyncio.create_task(peer.send_slowly(piece, seconds / 8, len(piece)))
            check_response(await peer.response(), 408, seconds)
            dribbling.cancel()
    poll.cancel()
    if not await session.is_over():
        await session.leave()


async def keep_polling(session: Session) -> None:
    while (answer := await session.get()).status == 200:
        if answer.body == b"2":
            await session.post(b"3")


async def dribbled(target: Target, peer: Peer, data: bytes, size: int = 1) -> None:
    """A message that is never whole: the connection sees that itself, on ASGI the PINGs do."""
    peer.pongs = False
    times = target.times
    seconds = times.message_timeout if target.is_direct else times.silence
    sending = asyncio.create_task(peer.send_slowly(data, seconds / 8, size))
    if target.is_direct:
        await refused(peer, POLICY, seconds + LATE)
    else:
        await peer.ending(seconds + LATE)
    sending.cancel()


@case(slow=True)
async def frame_byte_by_byte(target: Target) -> None:
    async with await target.joined() as peer:
        await peer.send(b"\x81\xfe\x10\x00\0\0\0\0" + b'42["')
        await dribbled(target, peer, b"x" * 100)


@case(slow=True)
async def message_fragment_by_fragment(target: Target) -> None:
    async with await target.joined() as peer:
        await peer.frame('42["', 1, fin=False)
        await dribbled(target, peer, b"\x00\x81\0\0\0\0x" * 100, 7)


@case(slow=True)
async def header_byte_by_byte(target: Target) -> None:
    """The header of a frame, of which nothing can be known yet."""
    async with await target.joined() as peer:
        await peer.send(b"\x81")
        await dribbled(target, peer, b"\xff" + (65536).to_bytes(8) + b"\0" * 100)


# --- what the HTTP server answers for -------------------------------------------------------------


async def unanswered(peer: Peer, seconds: float) -> Response | None:
    """What the HTTP server has said; None: nothing yet."""
    try:
        return await peer.response(seconds)
    except TimeoutError:
        return None


async def awaits_request(target: Target, peer: Peer) -> None:
    """Our HTTP protocol has an end for one that does not come; uvicorn's own has none."""
    if target.is_direct:
        check_response(await peer.response(), 408, REQUEST_SECONDS + LATE)
    else:
        assert await unanswered(peer, REQUEST_SECONDS + LATE) is None


@case(slow=True, clients=100)
async def handshake_byte_by_byte(target: Target) -> None:
    async with await Peer.open(target.port) as peer:
        head = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nX-Slow: "
        await peer.send(head[:10])
        sending = asyncio.create_task(peer.send_slowly(head[10:] + b"x" * 1000, 0.1))
        await awaits_request(target, peer)
        sending.cancel()


@case(slow=True, clients=100)
async def connection_that_says_nothing(target: Target) -> None:
    async with await Peer.open(target.port) as peer:
        await awaits_request(target, peer)


@case(bounded=("direct",))
async def headers_without_end(target: Target) -> None:
    """Of a request for a poll. uvicorn's own HTTP protocol takes them as long as they come."""
    async with await Peer.open(target.port) as peer:
        await peer.send(f"GET /socket.io/?{POLLING} HTTP/1.1\r\nHost: x\r\n".encode())
        for _ in range(20):
            if not await peer.send(b"X-Long: " + b"x" * 50_000 + b"\r\n"):
                break
        if target.is_direct:
            check_response(await peer.response(), 431)
        else:
            assert await unanswered(peer, 0.1) is None


async def not_served(target: Target, query: str, headers: str) -> None:
    """No WebSocket; uvicorn's own protocol class says nothing, and leaves the connection open."""
    async with await Peer.open(target.port) as peer:
        head = f"GET /socket.io/?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        head += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        await peer.send((head + headers + key).encode())
        response = await unanswered(peer, SOON if target.is_direct else 0.1)
        assert response is not None or not target.is_direct, "not answered"
        assert response is None or response.status == 0 or 400 <= response.status < 500


@case(fair=("direct",), bounded=("direct",))
async def request_with_huge_headers(target: Target) -> None:
    """A line of a megabyte, and twenty thousand lines.

    uvicorn's own HTTP protocol reads all of them, for some 10 ms each time, while all others wait.
    """
    for headers in ("X-Long: " + "x" * 1_000_000 + "\r\n", "X-Short: x\r\n" * 20_000):
        await not_served(target, WEBSOCKET, headers)


@case(bounded=("direct",))
async def request_with_a_huge_path(target: Target) -> None:
    await not_served(target, f"{WEBSOCKET}&x=" + "x" * 1_000_000, "")


@case()
async def no_http_at_all(target: Target) -> None:
    for data in (b"\0" * 1000, b"\x16\x03\x01\x02\x00\x01" * 20, b"GET\r\n\r\n", b"x" * 10_000):
        async with await Peer.open(target.port) as peer:
            await peer.send(data)
            response = await unanswered(peer, SOON)
            assert response is not None
            assert response.status in (0, 400), response
