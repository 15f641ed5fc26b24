"""The soak's clients: who they are, what they do all the time, and how they come and go."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import socketio

from .peers import OTHER, Findings, Gone, HandPeer, Kind, Peer, PythonPeer, Unanswered

#: How many of a hundred clients are of each kind.
SHARES: dict[Kind, int] = {"websocket": 73, "deflate": 10, "upgrade": 10, "polling": 7}
STAYING = 0.3  # the share of those that stay to the end
AWAY_SECONDS = 2.0
ROOM_SIZE = 40
CONNECTING = 100  # at a time
SMALL, MIDDLE, LARGE = 40, 2000, 60_000
FAILURES = (Gone, aiohttp.ClientError, ConnectionError, TimeoutError)


def web_client(**options: Any) -> aiohttp.ClientSession:
    """For as many connections at once as are needed."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, **options),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )


class Crowd:
    """What all share."""

    def __init__(
        self,
        urls: list[str],
        clients: int,
        rate: float,
        life: tuple[float, float],
        findings: Findings,
        shares: dict[Kind, int] = SHARES,
    ) -> None:
        self.urls = urls
        self.findings = findings
        self.rate = rate
        self.life = life
        self.rooms = [f"room {n}" for n in range(max(1, clients * 2 // ROOM_SIZE))]
        self.is_over = asyncio.Event()
        self.connecting = asyncio.Semaphore(CONNECTING)
        self.here = 0
        #: Peers that stay, by server.
        self.staying: dict[str, list[Peer]] = {url: [] for url in urls}
        self.web = web_client()
        # uvicorn ends connections that are idle for five seconds: a POST may meet that.
        self.posts = web_client(force_close=True)
        kinds = [kind for kind, share in shares.items() for _ in range(share)]
        chance = random.Random(7)
        chance.shuffle(kinds)
        self.clients = [
            Client(self, n, kinds[n % 100], urls[(n + n // 100) % len(urls)])
            for n in range(clients)
        ]
        self.living: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        self.living = [asyncio.create_task(client.live()) for client in self.clients]

    async def rest(self) -> None:
        """Let all come to rest; those that are connected stay so."""
        self.is_over.set()
        await asyncio.gather(*self.living)

    def peers(self) -> list[Peer]:
        """Those that are here."""
        peers = [client.peer for client in self.clients if client.peer is not None]
        return [peer for peer in peers if not peer.over.is_set()]

    async def settle(self, last: dict[tuple[str, str], int]) -> None:
        """Wait until everybody has the last numbers."""
        try:
            async with asyncio.timeout(self.findings.patience):
                while any(peer.numbers.behind(last) for peer in self.peers()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            for peer in self.peers():
                for what in peer.numbers.behind(last):
                    peer.wrong("the last number is missing", what)

    async def leave(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self.peers()))
        await self.web.close()
        await self.posts.close()

    async def pause(self, seconds: float) -> None:
        """Wait, no longer than to the end of all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.is_over.wait()

    def other_url(self, url: str) -> str:
        return self.urls[(self.urls.index(url) + 1) % len(self.urls)]


class Client:
    """One that comes, does things, leaves and comes again; some stay."""

    def __init__(self, crowd: Crowd, number: int, kind: Kind, url: str) -> None:
        self.crowd = crowd
        self.number = number
        self.kind = kind
        self.url = url
        self.chance = random.Random(number)
        self.stays = self.chance.random() < STAYING
        self.peer: Peer | None = None
        self.count = 0  # of what is asked, in all its connections
        self.remembered = 0
        self.in_rooms: list[str] = []
        self.actions: list[tuple[int, Callable[[Peer], Awaitable[None]]]] = [
            *((30, self.echoes), (8, self.echoes_at_once), (8, self.sends_bytes), (3, self.slow)),
            *((8, self.says), (8, self.remembers), (6, self.is_asked), (3, self.lets_ask)),
            *((4, self.moves), (4, self.tells)),
        ]
        if kind != "python":
            self.actions += [(12, self.echoes_elsewhere), (2, self.leaves_elsewhere)]

    # --- coming and going ---

    async def live(self) -> None:
        crowd = self.crowd
        await crowd.pause(self.chance.random() * min(5, crowd.life[0]))
        while not crowd.is_over.is_set():
            if not await self.comes():
                await crowd.pause(AWAY_SECONDS)
                continue
            life = float("inf") if self.stays else self.chance.uniform(*crowd.life)
            try:
                await self.act(life)
            except FAILURES as exc:
                peer = self.peer
                if peer and not peer.over.is_set() and not isinstance(exc, Unanswered):
                    peer.wrong("the connection was lost", repr(exc))
                await self.vanish()
                continue
            if crowd.is_over.is_set():
                return
            await self.go()
            await crowd.pause(self.chance.random() * AWAY_SECONDS)

    async def comes(self) -> bool:
        """Connect, join, enter rooms; False when that has failed."""
        crowd = self.crowd
        if self.kind == "python":
            peer: Peer = PythonPeer(self.url, self.number, crowd.findings)
        else:
            peer = HandPeer(
                self.url, self.number, crowd.findings, self.kind, crowd.web, crowd.posts
            )
        self.remembered, self.in_rooms = 0, []
        async with crowd.connecting:
            try:
                await peer.open()
                if isinstance(peer, HandPeer):
                    await peer.join(OTHER)
                await self.enters(peer)
                await self.enters(peer)
            except (*FAILURES, socketio.exceptions.ConnectionError) as exc:
                if not isinstance(exc, Unanswered):
                    peer.wrong("could not connect", repr(exc))
                with contextlib.suppress(Exception):
                    await peer.close()
                return False
        self.peer = peer
        crowd.here += 1
        crowd.findings.counts["connections"] += 1
        if self.stays:
            crowd.staying[self.url].append(peer)
        return True

    async def act(self, life: float) -> None:
        crowd, peer = self.crowd, self.peer
        assert peer is not None
        end = asyncio.get_running_loop().time() + life
        weights = [weight for weight, _ in self.actions]
        actions = [action for _, action in self.actions]
        while True:
            await crowd.pause(self.chance.expovariate(crowd.rate))
            if crowd.is_over.is_set() or asyncio.get_running_loop().time() > end:
                return
            if peer.over.is_set():
                raise Gone
            (action,) = self.chance.choices(actions, weights)
            await action(peer)
            crowd.findings.counts[action.__name__] += 1

    async def vanish(self) -> None:
        """Forget a connection that has failed."""
        peer, self.peer = self.peer, None
        assert peer is not None
        self.crowd.here -= 1
        if self.stays:
            self.crowd.staying[self.url].remove(peer)
        with contextlib.suppress(Exception):
            await peer.close()

    async def go(self) -> None:
        """Leave in one of many ways."""
        peer = self.peer
        assert peer is not None
        ways: list[Callable[[Any], Awaitable[None]]] = [self.goes_properly, self.is_kicked]
        if self.crowd.staying[self.crowd.other_url(self.url)]:
            ways.append(self.is_kicked_by_another)
        if isinstance(peer, HandPeer):
            ways += [self.cuts, self.cuts_in_the_midst]
            if peer.ws is not None:
                ways.append(self.closes)
        way = self.chance.choice(ways)
        try:
            await way(peer)
        except FAILURES as exc:
            if not isinstance(exc, Unanswered):
                peer.wrong("a way to leave has failed", f"{way.__name__} {exc!r}")
            await peer.close()
        self.crowd.findings.counts[way.__name__] += 1
        self.peer = None
        self.crowd.here -= 1

    async def goes_properly(self, peer: Peer) -> None:
        """Only when all that its own server has sent so far is here."""
        server, number = await peer.ask("/", "last_tick")
        numbers = peer.numbers
        key = ("tick /", server)
        try:
            async with asyncio.timeout(self.crowd.findings.patience):
                while key in numbers.last and numbers.last[key] < number:
                    numbers.came.clear()
                    await numbers.came.wait()
        except TimeoutError:
            peer.wrong("tick is missing", f"at its end: {numbers.last[key]}, not {number}")
        await peer.close()

    async def closes(self, peer: HandPeer) -> None:
        await peer.close_websocket()

    async def cuts(self, peer: HandPeer) -> None:
        await peer.cut()

    async def cuts_in_the_midst(self, peer: HandPeer) -> None:
        """With a call, a handler and half a packet under way.

        One that polls sends whole packets: it is not missed before its time for the rest is over,
        which would be said in the log.
        """
        peer.is_leaving = True
        peer.is_mute = True
        packets = ['42["ask",null,"nobody hears the answer"]', '42["slow"]']
        if peer.ws is not None:
            packets.append('451-77["echo",{"_placeholder":true,"num":0}]')
        await peer.send(*packets)
        await peer.cut()

    async def is_kicked(self, peer: Peer) -> None:
        peer.is_leaving = True
        await peer.tell("/", "kick", None)
        await self.wait_for_the_end(peer)

    async def is_kicked_by_another(self, peer: Peer) -> None:
        other = self.chance.choice(self.crowd.staying[self.crowd.other_url(self.url)])
        peer.is_leaving = True
        answer = await other.ask("/", "kick", peer.sid)
        if answer != [True]:
            other.wrong("a wrong answer", f"kick: {answer}")
        await self.wait_for_the_end(peer)

    async def wait_for_the_end(self, peer: Peer) -> None:
        await peer.is_sent_away("/")
        await peer.close()

    # --- what they do ---

    def payload(self) -> list[Any]:
        """Something that no other has sent, of varying size."""
        self.count += 1
        size = self.chance.choices((SMALL, MIDDLE, LARGE), (80, 19, 1))[0]
        text = f"{self.number}:{self.count}:\u00e9" * (size // 10)
        return [self.number, self.count, {"text": text, "list": [None, True, 1.5, []]}]

    async def expect(
        self, peer: Peer, expected: list[Any], event: str, *args: Any, namespace: str = "/"
    ) -> None:
        answer = await peer.ask(namespace, event, *args)
        if answer != expected:
            peer.wrong("a wrong answer", f"{event}: {answer!r:.300}, not {expected!r:.300}")

    async def echoes(self, peer: Peer) -> None:
        payload = self.payload()
        event = self.chance.choice(("echo", "plain"))
        await self.expect(peer, payload, event, *payload)

    async def echoes_at_once(self, peer: Peer) -> None:
        payloads = [self.payload() for _ in range(4)]
        await asyncio.gather(*(self.expect(peer, p, "echo", *p) for p in payloads))

    async def sends_bytes(self, peer: Peer) -> None:
        number, count, _ = self.payload()
        data = bytes([count % 256]) * self.chance.choice((0, 10, 3000, 40_000))
        payload = [number, data, [count, data[:5]]]
        await self.expect(peer, payload, "echo", *payload)

    async def slow(self, peer: Peer) -> None:
        payload = self.payload()
        await self.expect(peer, payload, "slow", *payload)

    async def tells(self, peer: Peer) -> None:
        await peer.tell("/", "quiet", *self.payload())

    async def says(self, peer: Peer) -> None:
        room = self.chance.choice(self.in_rooms or self.crowd.rooms)
        number, count, _ = self.payload()
        data = self.chance.choice(("text", b"bytes" * 100, {"more": ["text"] * 100}))
        await self.expect(peer, [room], "say", room, [number, count, data])

    async def remembers(self, peer: Peer) -> None:
        self.count += 1
        await self.expect(peer, [self.remembered], "remember", self.count)
        self.remembered = self.count

    async def is_asked(self, peer: Peer) -> None:
        self.count += 1
        args = [self.number, self.count]
        await self.expect(peer, [[*args, "of", self.number]], "ask", None, *args)

    async def lets_ask(self, peer: Peer) -> None:
        """Let its server ask a client of the other one."""
        others = self.crowd.staying[self.crowd.other_url(self.url)]
        if others:
            other = self.chance.choice(others)
            self.count += 1
            args = [self.number, self.count]
            await self.expect(peer, [[*args, "of", other.number]], "ask", other.sid, *args)

    async def moves(self, peer: Peer) -> None:
        if self.in_rooms:
            room = self.in_rooms.pop(self.chance.randrange(len(self.in_rooms)))
            await self.expect(peer, [False], "leave", room)
            peer.numbers.rooms.discard(room)
            peer.numbers.forget(f"room {room}")
        await self.enters(peer)

    async def enters(self, peer: Peer) -> None:
        room = self.chance.choice(self.crowd.rooms)
        if room not in self.in_rooms:
            peer.numbers.rooms.add(room)
            await self.expect(peer, [True], "enter", room)
            self.in_rooms.append(room)

    async def echoes_elsewhere(self, peer: Peer) -> None:
        payload = self.payload()
        await self.expect(peer, payload, "echo", *payload, namespace=OTHER)

    async def leaves_elsewhere(self, peer: Peer) -> None:
        """Leave the other namespace, by itself or sent away, and join it again."""
        assert isinstance(peer, HandPeer)
        if self.chance.random() < 0.5:
            await peer.leave(OTHER)
        else:
            peer.left[OTHER].clear()
            await peer.tell(OTHER, "kick")
            await peer.is_sent_away(OTHER)
            peer.numbers.forget(f"tick {OTHER}")
        await peer.join(OTHER)
