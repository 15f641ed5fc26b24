"""Requests as an ASGI server passes them: what they cost, their headers, bodies, schemes, paths."""

import asyncio
import gc
import time

import engineio
import pytest
import socketio

import toolboxsio
from tests.e2e.machine import SLOWNESS

POLLING = b"EIO=4&transport=polling"


class Answer:
    """What an application has answered to one request."""

    def __init__(self, sent, seconds):
        self.sent = sent
        self.seconds = seconds
        self.status = sent[0]["status"]
        self.headers = dict(sent[0].get("headers", []))
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def sid(self):
        assert self.status == 200, self.body
        return self.body.split(b'"sid":"')[1].split(b'"')[0].decode()


async def ask(app, query=POLLING, headers=(), body=(b"",), method="GET", **scope):
    """One HTTP request, the body in pieces; CPU seconds are measured."""
    events = (
        {"type": "http.request", "body": piece, "more_body": number < len(body)}
        for number, piece in enumerate(body, 1)
    )
    sent = []

    async def receive():
        return next(events, {"type": "http.disconnect"})

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/socket.io/",
        "query_string": query,
        "headers": list(headers),
        **scope,
    }
    began = time.process_time()
    await app(scope, receive, send)
    return Answer(sent, time.process_time() - began)


async def post(app, body, headers=(), **scope):
    """One POST to a session of its own."""
    sid = (await ask(app)).sid
    query = POLLING + b"&sid=" + sid.encode()
    return await ask(app, query, headers, body, "POST", **scope)


async def break_off(pieces):
    """A poll with a body, which a strict server waits for to be broken off."""
    app = toolboxsio.ASGIApp(toolboxsio.AsyncServer(async_mode="asgi", strict=True))
    sid = (await ask(app)).sid
    return await ask(app, POLLING + b"&sid=" + sid.encode(), body=pieces)


async def miss(app, pieces):
    """A request to a path that nobody serves: its body is dropped."""
    return await ask(app, body=pieces, method="POST", path="/missing", http_version="2")


@pytest.fixture
def environs():
    return []


@pytest.fixture
def app(environs):
    sio = toolboxsio.AsyncServer(async_mode="asgi")

    async def connect(sid, environ):
        environs.append(environ)
        return await sio._handle_eio_connect(sid, environ)

    sio.eio.on("connect", connect)
    return toolboxsio.ASGIApp(sio)


# --- cost -----------------------------------------------------------------------------------------

HEADER = (b"x-header", b"v" * 92)
#: Name: a request of n units. At the second number of units it is about 5 MB of headers, 1 MB of
#: body, or 64 KB of query.
COSTS = {
    "headers": (lambda app, n: ask(app, headers=[HEADER] * n), 50_000),
    "cookies": (lambda app, n: ask(app, headers=[(b"cookie", b"v" * 94)] * n), 50_000),
    "other headers": (
        lambda app, n: ask(app, headers=[(b"h%d" % i, b"") for i in range(n)]),
        50_000,
    ),
    "parameters": (lambda app, n: ask(app, POLLING + b"&a=1" * n), 16_000),
    "sessions in the query": (lambda app, n: ask(app, POLLING + b"&sid=1" * n), 10_000),
    "escapes in the query": (lambda app, n: ask(app, POLLING + b"&sid=" + b"%41" * n), 21_000),
    "escapes in a name": (lambda app, n: ask(app, POLLING + b"&" + b"%" * n), 64_000),
    "encodings": (lambda app, n: ask(app, headers=[(b"accept-encoding", b"x," * n)]), 32_000),
    "connection": (lambda app, n: ask(app, headers=[(b"connection", b"x," * n)]), 32_000),
    "origin": (lambda app, n: ask(app, headers=[(b"origin", b"x\n" * n)]), 32_000),
    "pieces": (lambda app, n: post(app, [b"4", *[b"x"] * n]), 100_000),
    "pieces of a poll": (lambda app, n: break_off([b"x"] * n), 100_000),
    "pieces that are dropped": (lambda app, n: miss(app, [b"x"] * n), 100_000),
    "fields": (lambda app, n: post(app, [b"d=4&" + b"a=1&" * n]), 240_000),
    "escapes": (lambda app, n: post(app, [b"d=4" + b"%41" * n]), 330_000),
    "packets": (lambda app, n: post(app, [b"\x1e".join([b"4"] * n)]), 490_000),
}
#: More than is to be spent on a request in one turn of the loop, on a slow machine.
SLOW_SECONDS = 0.05 * SLOWNESS


@pytest.mark.parametrize("name", COSTS)
async def test_cost_is_linear(app, name):
    """Four times as much costs about four times as much, or next to nothing."""
    request, most = COSTS[name]
    gc.collect()
    small, large = [], []
    for _ in range(5):
        small.append((await request(app, most // 4)).seconds)
        large.append((await request(app, most)).seconds)
    assert min(large) < SLOW_SECONDS or min(large) < 8 * min(small)


@pytest.mark.parametrize("name", COSTS)
async def test_others_are_served_meanwhile(app, name):
    """No request keeps the event loop for long, as far as it is ours."""
    request, most = COSTS[name]
    longest = 0.0
    is_over = False

    async def others():
        nonlocal longest
        while not is_over:
            began = time.process_time()
            await asyncio.sleep(0)
            longest = max(longest, time.process_time() - began)

    best = 1.0
    for _ in range(3):
        longest, is_over = 0.0, False
        turns = asyncio.create_task(others())
        await asyncio.sleep(0)
        await request(app, most)
        is_over = True
        await turns
        best = min(best, longest)
    assert best < SLOW_SECONDS


# --- headers --------------------------------------------------------------------------------------


async def test_repeated_headers(app, environs):
    headers = [
        *((b"cookie", b"a=1; b=2"), (b"x-forwarded-for", b"1.1.1.1"), (b"cookie", b"c=3")),
        *((b"x-forwarded-for", b"2.2.2.2"), (b"x_forwarded_for", b"3.3.3.3")),
        *((b"content-type", b"a"), (b"content-type", b"b"), (b"cookie", b"d=4")),
    ]
    await ask(app, headers=headers)
    [environ] = environs
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3; d=4"
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.1.1.1,2.2.2.2,3.3.3.3"
    assert environ["CONTENT_TYPE"] == "b"


async def test_every_header_of_very_many(app, environs):
    headers = [(b"x-a", b"%d" % number) for number in range(2500)]
    await ask(app, headers=headers)
    assert environs[0]["HTTP_X_A"] == ",".join(str(number) for number in range(2500))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (b"%45IO=4&tr%61nsport=polling", 200),
        (b"transport=polling&EIO=4&&&a&=&b=%ff", 200),
        (b"EIO=4&transport=", 200),
        (b"EIO=4&EIO=4&transport=polling", 400),
        (POLLING + b"&j=1&t=abc", 200),
        (POLLING + b"&j=", 200),
        (POLLING + b"&j=x", 400),
        (POLLING + b"&sid=%E4", 400),
        (POLLING + b"&xsid=1&sidx=2", 200),
        (POLLING + b"&sid=&t=1&x", 200),
        (POLLING + b"&sid=a+b", 400),
        (b"EIO&EIO=4&transport=polling=", 400),
        (b"EIO=4=&transport=polling", 400),
        (b"a" * 60_000 + b"&" + POLLING, 200),
        (b"a" * 70_000 + b"&" + POLLING, 400),
        (POLLING + b"&%41=1" * 101, 400),
    ],
)
async def test_queries(app, query, status):
    assert (await ask(app, query)).status == status
    if len(query) < 1000 and query.count(b"%") < 100:
        upstream = socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"))
        assert (await ask(upstream, query)).status == status


async def test_a_response_that_is_sent_by_others(app, monkeypatch):
    """An application may have replaced how python-engineio sends responses."""
    statuses = []
    upstream = engineio.AsyncServer._make_response

    async def replaced(self, response, environ):
        statuses.append(response["status"])
        return await upstream(self, response, environ)

    monkeypatch.setattr(engineio.AsyncServer, "_make_response", replaced)
    assert (await ask(app)).sid
    assert (await ask(app, POLLING + b"&sid=x")).status == 400
    assert statuses == ["200 OK", "400 BAD REQUEST"]


def headers_and_body(answer):
    return answer.status, answer.headers, answer.body


@pytest.mark.parametrize("query", [POLLING + b"&sid=x", b"EIO=4&transport=x", b"EIO=3"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT"])
async def test_responses_are_those_of_upstream(app, query, method):
    headers = [(b"host", b"a"), (b"origin", b"http://a"), (b"access-control-request-headers", b"x")]
    upstream = socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"))
    answers = [await ask(one, query, headers, method=method) for one in (app, upstream)]
    assert headers_and_body(answers[0]) == headers_and_body(answers[1])


# --- schemes and origins --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "forwarded", "expected"),
    [
        ("http", None, "http"),
        ("https", None, "https"),
        ("ws", None, "http"),
        ("wss", None, "https"),
        (None, None, "http"),
        ("http", b"https", "https"),
        ("ws", b"wss", "https"),
        ("http", b"WSS", "https"),
        ("http", b"https, http", "https"),
        ("https", b"http,https", "http"),
        ("wss", b"ws", "http"),
        ("https", b"nonsense", "https"),
        ("https", b"", "https"),
    ],
)
async def test_scheme(app, environs, scheme, forwarded, expected):
    headers = [(b"host", b"example.org")]
    if forwarded is not None:
        headers.append((b"x-forwarded-proto", forwarded))
    scope = {"scheme": scheme} if scheme else {}
    await ask(app, headers=headers, **scope)
    assert environs[0]["wsgi.url_scheme"] == expected
    other = "http" if expected == "https" else "https"
    for origin, status in ((expected, 200), (other, 400), ("wss", 400), ("ws", 400)):
        own = (b"origin", f"{origin}://example.org".encode())
        answer = await ask(app, headers=[*headers, own], **scope)
        assert answer.status == status, origin
        allowed = answer.headers.get(b"Access-Control-Allow-Origin")
        assert allowed == (own[1] if status == 200 else None)


async def test_forwarded_host(app):
    headers = [(b"host", b"inner"), (b"x-forwarded-host", b"outer, middle")]
    for scheme in ("http", "https"):
        for host, is_own in (("outer", True), ("inner", True), ("middle", False), ("x", False)):
            origin = (b"origin", f"{scheme}://{host}".encode())
            answer = await ask(app, headers=[*headers, origin], scheme=scheme)
            assert (answer.status == 200) is is_own, (scheme, host)


# --- bodies ---------------------------------------------------------------------------------------


async def test_a_body_is_received_to_its_end(app):
    """The last piece may be empty, and come after all that Content-Length has announced."""
    left = []
    sid = (await ask(app)).sid

    def pieces():
        for number, piece in enumerate([b"4", b"0", b"", b""]):
            left.append(number)
            yield {"type": "http.request", "body": piece, "more_body": number < 3}

    events = pieces()
    sent = []

    async def receive():
        return next(events)

    async def send(message):
        assert left == [0, 1, 2, 3]
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": "/socket.io/",
        "query_string": POLLING + b"&sid=" + sid.encode(),
        "headers": [(b"content-length", b"2")],
    }
    await app(scope, receive, send)
    assert Answer(sent, 0).status == 200
