"""HTTP requests that C reads: what it accepts is the same to httptools; the rest is uvicorn's."""

import asyncio
from urllib.parse import parse_qs

import httptools
import pytest
from engineio.async_drivers import asgi as upstream
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolboxsio import _core
from toolboxsio.asgi import translate_request

PREFIX = b"/socket.io"
SESSION = b"EIO=4&transport=polling&sid=aB-_"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
)


class Heard:
    """What httptools tells of one request."""

    def __init__(self, data):
        self.url, self.headers, self.body, self.ended = b"", [], b"", 0
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.ended += 1

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_headers_complete(self):
        self.keeps_alive = self.parser.should_keep_alive()

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.ended += 1


def check_same(data, request):
    end, method, path, query, headers, body, closes, websocket, session = request
    heard = Heard(data[:end])
    assert heard.ended in (1, 2 if websocket else 1)
    assert heard.parser.get_method() == method.encode()
    assert heard.url.partition(b"?")[::2] == (path.encode(), query)
    assert (heard.headers, heard.body) == (headers, body)
    assert heard.parser.should_upgrade() == (websocket is not None)
    if websocket is None:
        assert heard.keeps_alive != closes
    if session is not None:
        check_session(query.decode(), dict(headers), websocket, *session)


def check_session(query, headers, websocket, sid, is_plain, origin, host):
    parameters = parse_qs(query, keep_blank_values=True, strict_parsing=True)
    transport = "polling" if websocket is None else "websocket"
    wanted = {"EIO": ["4"], "transport": [transport], "sid": [sid]}
    assert {name: parameters.pop(name) for name in wanted} == wanted
    assert parameters.keys() <= {"t"}
    assert is_plain == (not any(name[:12] == b"x-forwarded-" for name in headers))
    if is_plain:
        assert origin == (headers[b"origin"].decode() if b"origin" in headers else None)
        assert host == (headers[b"host"].decode() if b"host" in headers else None)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (b"GET /socket.io HTTP/1.1\r\n\r\n", None),
        (b"POST /socket.io/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n40", None),
        (b"POST /socket.io/ HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n40GET", -3),
        (b"OPTIONS /socket.io/x/y HTTP/1.1\r\nOrigin: a\r\n\r\n", None),
        (b"GET /socket.io/?" + SESSION + b" HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\n\r\n", None),
        (b"GET /socket.io/?t=1&" + SESSION + b" HTTP/1.1\r\nX-Forwarded-For: y\r\n\r\n", None),
        (HANDSHAKE + b"\r\n", None),
        (HANDSHAKE + b"Cookie: a\r\nCookie: b\r\n\r\n\x81\x82", -2),
    ],
)
def test_ordinary_requests(data, size):
    for before in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        request = _core.http_request(before + data, len(before), PREFIX)
        assert request is not None
        assert request[0] == len(before) + len(data) + (size or 0)
        check_same(data, (request[0] - len(before), *request[1:]))
    for short in range(len(data) + (size or 0)):
        assert _core.http_request(data[:short], 0, PREFIX) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /socket.iox HTTP/1.1\r\n\r\n",
        b"GET /socket HTTP/1.1\r\n\r\n",
        b"HEAD /socket.io/ HTTP/1.1\r\n\r\n",
        b"POST /socket.io/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /socket.io/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        b"POST /socket.io/ HTTP/1.1\r\nContent-Length: 3\r\n\r\n40",
    ],
)
def test_requests_that_are_left(data):
    assert _core.http_request(data, 0, PREFIX) is None


@pytest.mark.parametrize(
    "args", [("", 0, PREFIX), (b"", 1, PREFIX), (b"", -1, PREFIX), (b"", 0, "")]
)
def test_arguments(args):
    with pytest.raises(TypeError):
        _core.http_request(*args)


PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"OPTIONS ", b"/socket.io/", b"?a=b", b" HTTP/1.1\r\n", b"\r\n", b" "),
        *(b"Content-Length: ", b"1", b"0", b"-", b"Connection: ", b"close", b"keep-alive", b", "),
        *(b"Upgrade", b"Upgrade: ", b"websocket", b"Sec-WebSocket-Version: 13\r\n", b"a: b\r\n"),
        *(
            b"Sec-WebSocket-Key: " + KEY + b"\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\t",
            b"\xe9",
        ),
        *(b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b":"),
        *(
            b"Host: x\r\n",
            b"Content-Length: 1\r\n",
            b"Expect: 100-continue\r\n",
            b"\n",
            b"%41",
            b"#",
        ),
    ]
)
START = st.sampled_from([b"GET /socket.io/ HTTP/1.1\r\n", b"POST /socket.io/?x HTTP/1.1\r\n", b""])


@settings(max_examples=3000, deadline=None)
@given(START, st.lists(PIECES, max_size=12))
@example(b"POST /socket.io/ HTTP/1.1\r\n", [b"Content-Length: 1\r\n", b"\r\n", b"1"])
def test_what_is_accepted_means_the_same_to_httptools(start, pieces):
    data = start + b"".join(pieces)
    for end in (b"", b"\r\n", b"\r\n\r\n"):
        request = _core.http_request(data + end, 0, PREFIX)
        if request is not None:
            check_same(data + end, request)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"host",
                b"cookie",
                b"Cookie",
                b"x-a",
                b"x_a",
                b"content-type",
                b"content_type",
                b"\xff",
            ]
        )
        | st.binary(min_size=1, max_size=4),
        st.sampled_from([b"a", b"b; c", b"\xc3\xa9", b"\xff"]) | st.binary(max_size=600),
    ),
    max_size=8,
)


def environs(headers, kind):
    scope = {"type": kind, "path": "/", "headers": headers, "query_string": b"a=b"}
    event = {"type": "websocket.connect" if kind == "websocket" else "http.request", "body": b""}

    async def receive():
        return event

    made = []
    for translate in (upstream.translate_request, translate_request):
        own = {**scope, "headers": list(headers)}
        environ = asyncio.run(translate(own, receive, None))
        assert [(bytes(n), bytes(v)) for n, v in own["headers"]] == headers
        for key in ("wsgi.input", "asgi.receive", "asgi.scope", "wsgi.url_scheme"):
            del environ[key]
        made.append(environ)
    return made


@settings(max_examples=300, deadline=None)
@given(HEADERS, st.sampled_from(["http", "websocket"]))
def test_environs_are_those_of_upstream(headers, kind):
    theirs, ours = environs(headers, kind)
    if "HTTP_COOKIE" in theirs:  # joined by a semicolon, on purpose
        for environ in (theirs, ours):
            environ["HTTP_COOKIE"] = environ["HTTP_COOKIE"].replace("; ", ",")
    assert ours == theirs


def test_what_many_have_in_common_is_one_object():
    made = [[(bytes(bytearray(b"user-agent")), bytes(bytearray(b"x" * 100)))] for _ in range(2)]
    for headers in made:
        _core.environ_headers({}, headers, 0, 1, {}, True)
    assert made[0][0][0] is made[1][0][0]
    assert made[0][0][1] is made[1][0][1]


@pytest.mark.parametrize(
    "headers", [[1], [(b"a",)], [("a", b"b")], [(b"a", "b")], [(b"a", b"b", 1)]]
)
def test_headers_that_are_none(headers):
    with pytest.raises(TypeError):
        _core.environ_headers({}, headers, 0, 1, {}, False)
