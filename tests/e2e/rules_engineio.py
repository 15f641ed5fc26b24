"""The rules of the Engine.IO protocol, revision 4: requests, heartbeat, upgrade, packets."""

import time

from .frames import BINARY, TEXT, encode
from .machine import SLOWNESS
from .rule_client import Client, End, Request, WebSocket
from .rules import (
    GONE_SECONDS,
    LIVES,
    OVER,
    PING_INTERVAL,
    PING_TIMEOUT,
    POLLING,
    REFUSED,
    RULES,
    SLACK,
    WEBSOCKET,
    Case,
    Lives,
    packets,
    rule,
)

__all__ = ["RULES"]

ONLY_POLLING = {"kinds": (POLLING,)}
ONLY_WEBSOCKET = {"kinds": (WEBSOCKET,)}
ONLY_STRICT = {"modes": ("strict",)}
SHORT = {"servers": "short"}
HANDSHAKE_KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


def check_alive(client: Client) -> None:
    assert client.answers('421["one","alive"]') == ['431["alive"]']


# --- handshake ------------------------------------------------------------------------------------


@rule("suite: a session begins with an open packet: id, upgrades, ping times, largest payload")
def handshake(case: Case) -> None:
    with case.client() as client:
        assert set(client.opened) == HANDSHAKE_KEYS
        assert isinstance(client.sid, str)
        assert client.opened["upgrades"] == (["websocket"] if case.is_polling else [])
        assert client.opened["pingInterval"] == 25000
        assert client.opened["pingTimeout"] == 20000
        assert client.opened["maxPayload"] == 1_000_000
        assert any(client.status()["held"].values())
        client.leave()


@rule("suite: ping times are told in milliseconds as they are, below a second too", **SHORT)
def handshake_of_short_times(case: Case) -> None:
    with case.client(None) as client:
        assert client.opened["pingInterval"] == 300
        assert client.opened["pingTimeout"] == 600


@rule("the open packet comes as text in UTF-8", **ONLY_POLLING)
def handshake_is_text(case: Case) -> None:
    response = Request(case.server.port, "GET", "EIO=4&transport=polling").response()
    assert response.headers["content-type"].lower() == "text/plain; charset=utf-8"


@rule("suite: without EIO=4 there is no session")
def handshake_without_version(case: Case) -> None:
    for version in ("", "EIO=abc&", "EIO=3&", "EIO=&", "EIO=5&"):
        assert case.ask(f"{version}transport={case.kind}") == 400, version


@rule("suite: without a transport there is no session; by default it is polling")
def handshake_without_transport(case: Case) -> None:
    if case.is_strict:
        assert case.ask("EIO=4") == 400
        assert case.ask("EIO=4&transport=") == 400
    elif case.is_polling:
        assert case.ask("EIO=4") == 200
    else:
        ws = WebSocket(case.server.port, "EIO=4")
        assert ws.status != 101 or ws.end(GONE_SECONDS).before == []


@rule("suite: a transport of another name is none")
def handshake_with_unknown_transport(case: Case) -> None:
    for name in ("abc", "webtransport", "POLLING"):
        assert case.ask(f"EIO=4&transport={name}") == 400, name


@rule("a WebSocket session needs a WebSocket handshake", **ONLY_POLLING)
def handshake_of_websocket_by_get(case: Case) -> None:
    assert case.ask("EIO=4&transport=websocket") == 400


@rule("suite: a session begins with GET", **ONLY_POLLING)
def handshake_by_post(case: Case) -> None:
    assert case.ask("EIO=4&transport=polling", "POST", b"40") == 400
    assert case.ask("EIO=4&transport=polling", "POST", b"") == 400


@rule("suite: other methods than GET and POST are answered 400; by default 405", **ONLY_POLLING)
def other_methods(case: Case) -> None:
    status = 400 if case.is_strict else 405
    for method in ("PUT", "DELETE", "PATCH"):
        assert case.ask("EIO=4&transport=polling", method, b"40") == status, method
    with case.client() as client:
        for method in ("PUT", "DELETE", "PATCH"):
            assert case.ask(client.query, method, b"40") == status, method
        check_alive(client)
        client.leave()


# --- requests of a session ------------------------------------------------------------------------


@rule("a session that is not known: 400")
def unknown_session(case: Case) -> None:
    for sid in ("unknown", "%00", "", "A" * 1000):
        query = f"EIO=4&transport={case.kind}&sid={sid}"
        expected = 400 if sid else (200 if case.is_polling else 101)  # an empty one is none
        assert case.ask(query) == expected, sid
        if case.is_polling:
            assert case.ask(query, "POST", b"40") == 400, sid


@rule("EIO is mandatory on every request, the session goes on", **ONLY_STRICT)
def requests_without_version(case: Case) -> None:
    with case.client(kind=POLLING) as client:
        for version in ("", "EIO=3&", "EIO=abc&"):
            query = f"{version}transport={case.kind}&sid={client.sid}"
            assert case.ask(query) == 400, version
            if case.is_polling:
                assert case.ask(query, "POST", b"40/chat,") == 400, version
        check_alive(client)
        client.leave()


@rule("the transport is mandatory on every request, the session goes on", **ONLY_STRICT)
def requests_without_transport(case: Case) -> None:
    with case.client(kind=POLLING) as client:
        for query in (f"EIO=4&sid={client.sid}", f"EIO=4&transport=abc&sid={client.sid}"):
            assert case.ask(query) == 400, query
            if case.is_polling:
                assert case.ask(query, "POST", b"40/chat,") == 400, query
        check_alive(client)
        client.leave()


@rule("suite: a POST that is accepted is answered `ok`; by default `OK`", **ONLY_POLLING)
def post_is_accepted(case: Case) -> None:
    with case.client() as client:
        for body in (b'42["one",1]', b"3"):
            response = client.post(body)
            assert (response.status, response.body) == (200, case.accepted)
        client.leave()


@rule("suite: a payload has one packet or several, text and binary, kept in order")
def payload_of_several(case: Case) -> None:
    event = '["one",{"_placeholder":true,"num":0}]'
    with case.client() as client:
        answers = client.answers(
            '421["one","first"]',
            f"451-2{event}",
            b"\x01\x02\x03\x04",
            '423["one","third"]',
        )
        assert answers == [
            '431["first"]',
            '461-2[{"_placeholder":true,"num":0}]',
            b"\x01\x02\x03\x04",
            '433["third"]',
        ]
        client.leave()


@rule("a POST of binary data may say application/octet-stream", **ONLY_POLLING)
def content_type_of_binary(case: Case) -> None:
    with case.client() as client:
        body = b'451-1["one",{"_placeholder":true,"num":0}]\x1ebAQID'
        headers = "Content-Type: application/octet-stream\r\n"
        assert client.post(body, headers=headers).status == 200
        assert client.answers() == ['461-1[{"_placeholder":true,"num":0}]', b"\x01\x02\x03"]
        client.leave()


@rule("suite: at most one GET of a session at a time, else it is over", **ONLY_POLLING)
def two_polls(case: Case) -> None:
    with case.client() as client:
        first = client.waiting_poll()
        second = client.poll()
        if case.is_strict:
            assert second.response(GONE_SECONDS).status == 400
            assert client.over_poll(first, GONE_SECONDS) == []
            client.gone("transport error", GONE_SECONDS)
            return
        client.begun()
        assert client.post(b'421["one",1]\x1e422["one",2]').status == 200
        got = first.response(GONE_SECONDS)
        assert got.status == 200
        client.leave()
        second.response(GONE_SECONDS)


@rule("at most one POST of a session at a time, else it is over", **ONLY_POLLING)
def two_posts(case: Case) -> None:
    with case.client() as client:
        first = Request(client.port, "POST", client.query, b'421["one"', announced=12)
        client.begun()
        second = client.post(b'422["one",2]')
        if case.is_strict:
            assert second.status == 400
            client.gone("transport error", GONE_SECONDS)
            first.send(b",1]")
            assert first.response(GONE_SECONDS).status == 400
            assert client.handlers() == [["disconnect", "str 'transport error'"]]
            return
        assert second.status == 200
        assert client.answers() == ["432[2]"]
        first.send(b",1]")
        assert first.response(GONE_SECONDS).status == 200
        assert client.answers() == ["431[1]"]
        client.leave()


@rule("suite: a poll that is broken off ends the session", **ONLY_POLLING, **ONLY_STRICT)
def poll_broken_off(case: Case) -> None:
    with case.client() as client:
        client.waiting_poll().abandon()
        client.gone("transport error", GONE_SECONDS)
        assert client.poll().response(GONE_SECONDS).status == 400


# --- heartbeat ------------------------------------------------------------------------------------


@rule("suite: PINGs come at their interval; who answers each with PONG stays", **SHORT)
def heartbeat(case: Case) -> None:
    with case.client() as client:
        for _ in range(3):
            begun = time.monotonic()
            assert client.receive() == "2"
            waited = time.monotonic() - begun
            assert PING_INTERVAL - 0.1 < waited < PING_INTERVAL + SLACK
            client.send("3")
        check_alive(client)
        client.leave()


@rule("a client has one heartbeat, however many PONGs it sends: CVE-2026-48802", **SHORT)
def pongs_start_no_heartbeats(case: Case) -> None:
    with case.client() as client:
        for _ in range(6):
            response = client.send(*["3"] * 10)
            assert response is None or response.status == 200
        begun = time.monotonic()
        pings = 0
        while time.monotonic() < begun + 3.5 * PING_INTERVAL:
            assert client.receive() == "2"
            pings += 1
            client.send("3")
        assert 3 <= pings <= 5, pings
        check_alive(client)
        client.leave()


def is_gone_after(case: Case, client: Client, seconds: float, begun: float) -> None:
    """By default a client that polls may be late by half the timeout."""
    slack = SLACK
    if case.is_polling and case.is_strict:
        slack = PING_TIMEOUT / 3 * SLOWNESS  # less than what it may be by default
    elif case.is_polling:
        seconds += PING_TIMEOUT / 2
    client.gone(None, seconds + slack)
    assert time.monotonic() - begun > seconds - 0.1


@rule("suite: who does not answer a PING is gone after the timeout", **SHORT)
def ping_without_answer(case: Case) -> None:
    with case.client() as client:
        assert client.receive() == "2"
        is_gone_after(case, client, PING_TIMEOUT, time.monotonic())
        if client.ws is not None:
            client.ws.end(GONE_SECONDS)
        else:
            assert client.poll().response(GONE_SECONDS).status == 400


@rule("suite: who does nothing any more is gone after interval and timeout", **SHORT)
def nothing_done(case: Case) -> None:
    begun = time.monotonic()  # the session may be older than the client knows
    with case.client() as client:
        is_gone_after(case, client, PING_INTERVAL + PING_TIMEOUT, begun)
        if client.ws is None:
            assert client.poll().response(GONE_SECONDS).status == 400
            assert client.post(b"3").status == 400


packets(
    "pongs unasked",
    "a PONG that nobody has asked for is nothing, also with data",
    ("3", "3", "3"),
    "3x",
    default=LIVES,
)

# --- close ----------------------------------------------------------------------------------------


@rule("suite: a client closes its session with the packet 1")
def close(case: Case) -> None:
    with case.client() as client:
        if client.ws is not None:
            client.ws.send("1")
            assert client.ws.end(GONE_SECONDS).before == []
        else:
            poll = client.waiting_poll()
            response = client.post(b"1")
            assert (response.status, response.body) == (200, case.accepted)
            assert client.over_poll(poll, GONE_SECONDS, last="6") == []
        client.gone("client disconnect", GONE_SECONDS)


@rule("a WebSocket that ends without a packet 1 ends the session", **ONLY_WEBSOCKET)
def close_of_the_websocket(case: Case) -> None:
    with case.client() as client:
        assert client.ws is not None
        client.ws.close()
        client.gone("transport close", GONE_SECONDS)


# --- upgrade --------------------------------------------------------------------------------------


def probed(client: Client) -> WebSocket:
    """A WebSocket of a polling session whose probe was answered."""
    ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
    assert ws.status == 101, ws.status
    ws.send("2probe")
    assert ws.receive(GONE_SECONDS) == "3probe"
    return ws


def completed(case: Case, client: Client, ws: WebSocket) -> None:
    """UPGRADE: the session is the WebSocket's, and the first packet there is an answer."""
    ws.send("5")
    client.ws = ws
    answers = client.answers('421["transport"]')
    if not case.is_strict and answers[:1] == ["6"]:  # as upstream: what no poll has fetched
        answers = answers[1:]
    assert answers == ['431["websocket"]']


@rule(
    "suite: an upgrade; the poll that comes after the probe is answered with NOOP", **ONLY_POLLING
)
def upgrade(case: Case) -> None:
    with case.client() as client:
        ws = probed(client)
        poll = client.poll().response(GONE_SECONDS)
        assert (poll.status, poll.body) == (200, "6")
        completed(case, client, ws)
        client.leave()


@rule("an upgrade; the poll that waits when the probe comes is answered with NOOP", **ONLY_POLLING)
def upgrade_with_a_poll_waiting(case: Case) -> None:
    with case.client() as client:
        poll = client.waiting_poll()
        ws = probed(client)
        answer = poll.response(GONE_SECONDS)
        assert (answer.status, answer.body) == (200, "6")
        completed(case, client, ws)
        client.leave()


@rule("an upgrade without a poll: nothing of it comes over the WebSocket", **ONLY_POLLING)
def upgrade_without_a_poll(case: Case) -> None:
    with case.client() as client:
        completed(case, client, probed(client))
        client.leave()


@rule("what is sent in an upgrade is not lost", **ONLY_POLLING)
def upgrade_with_messages(case: Case) -> None:
    with case.client() as client:
        ws = probed(client)
        assert client.post(b'421["one","meanwhile"]').status == 200
        ws.send("5")
        client.ws = ws
        answers = [packet for packet in client.answers() if packet != "6" or case.is_strict]
        assert answers == ['431["meanwhile"]']
        client.leave()


@rule("suite: after an upgrade HTTP requests get 400, and the session goes on", **ONLY_POLLING)
def requests_after_the_upgrade(case: Case) -> None:
    with case.client() as client:
        completed(case, client, probed(client))
        assert client.poll().response(GONE_SECONDS).status == 400
        for body in (b'429["one",1]', b"1", b"abc"):
            assert client.post(body).status == 400
        check_alive(client)
        client.leave()


def check_second_websocket(case: Case, client: Client) -> None:
    """By default it is refused, as python-socketio does; the suite has it open and close."""
    ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
    if case.is_strict:
        assert ws.status == 101
        assert ws.end(GONE_SECONDS) == End(1000)
    else:
        assert ws.status == 400


@rule("suite: one WebSocket a session: another one is closed at once, the first goes on")
def second_websocket(case: Case) -> None:
    with case.client() as client:
        if client.ws is None:
            ws = probed(client)
            check_second_websocket(case, client)  # in the upgrade
            completed(case, client, ws)
        for _ in range(2):
            check_second_websocket(case, client)
        check_alive(client)
        client.leave()


@rule("polling requests for a session that began as a WebSocket get 400", **ONLY_WEBSOCKET)
def polling_for_a_websocket(case: Case) -> None:
    with case.client() as client:
        assert client.poll().response(GONE_SECONDS).status == 400
        assert client.post(b'429["one",1]').status == 400
        check_alive(client)
        client.leave()


@rule("an upgrade begins with the probe; with another packet it fails alone", **ONLY_POLLING)
def upgrade_without_probe(case: Case) -> None:
    for first in ("2", "2x", "2probe2", "3probe", "5", "4x", "6"):
        with case.another().client() as client:
            ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
            ws.send(first)
            assert ws.end(GONE_SECONDS).before == [], first
            check_alive(client)
            client.leave()


@rule("an upgrade ends with UPGRADE; with another packet it fails alone", **ONLY_POLLING)
def upgrade_not_completed(case: Case) -> None:
    for second in ("2probe", "6", '421["one",1]'):
        with case.another().client() as client:
            ws = probed(client)
            ws.send(second)
            assert ws.end(GONE_SECONDS).before == [], second
            answers = client.answers()
            assert [packet for packet in answers if packet != "6" or case.is_strict] == []
            client.leave()


@rule("an upgrade that the client breaks off fails alone", **ONLY_POLLING)
def upgrade_broken_off(case: Case) -> None:
    with case.client() as client:
        probed(client).close()
        WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}").close()
        client.begun()
        check_alive_but_for_noops(case, client)
        client.leave()


def check_alive_but_for_noops(case: Case, client: Client) -> None:
    answers = client.answers('421["one","alive"]')  # and a PING, if its time has come
    assert [packet for packet in answers if packet not in ("2", "6")] == ['431["alive"]']


@rule("an upgrade has its time; what is late is closed alone", **ONLY_POLLING, **SHORT)
def upgrade_too_slow(case: Case) -> None:
    for first in (None, "2probe"):
        with case.another().client() as client:
            begun = time.monotonic()
            ws = WebSocket(client.port, f"EIO=4&transport=websocket&sid={client.sid}")
            if first:
                ws.send(first)
            end = ws.end(0.2 + SLACK)
            assert end.code == 1008, end
            assert time.monotonic() - begun > 0.1
            client.post(b"3")
            check_alive_but_for_noops(case, client)
            client.leave()


# --- packets --------------------------------------------------------------------------------------

packets(
    "unknown packet types",
    "suite: a packet begins with a digit from 0 to 6",
    *("7", "8", "9", "abc", " 4", "\u0664", "-1", "b", "\x00"),
    default=REFUSED,
)
packets(
    "empty packet",
    "a packet has at least its type",
    "",
    default=REFUSED,
    **ONLY_WEBSOCKET,
)
packets(
    "empty packets in a payload",
    "a payload has packets between its separators",
    ("", ""),
    ('420["one",1]', ""),
    ("", '420["one",1]'),
    default=REFUSED,
    **ONLY_POLLING,
)
packets(
    "open from a client",
    "OPEN is the server's packet",
    *("0", "0{}", '0{"sid":"x"}'),
    default=LIVES,
    default_polling=OVER,
    strict=REFUSED,
)
packets(
    "ping from a client",
    "since revision 4 PING is the server's packet, but for the probe of an upgrade",
    *("2", "2x", "2probe"),
    default=LIVES,
    default_polling=OVER,
    strict=REFUSED,
)
packets(
    "upgrade outside of one",
    "UPGRADE ends an upgrade",
    *("5", "5x"),
    default=Lives(("6",)),
    strict=REFUSED,
)
packets(
    "noop from a client",
    "NOOP is the server's packet",
    *("6", "6x"),
    default=LIVES,
    default_polling=OVER,
    strict=REFUSED,
)
packets(
    "binary that is not base64",
    "binary in a payload is base64 after a b",
    *("b!!!!", "bA", "bAQI", "b====", "bAQ=ID"),
    default=REFUSED,
    **ONLY_POLLING,
)
packets(
    "several packets in a frame",
    "on a WebSocket each packet has a message of its own",
    '420["one",1]\x1e421["one",2]',
    default=REFUSED,
    **ONLY_WEBSOCKET,
)


@rule("text is UTF-8")
def text_is_utf8(case: Case) -> None:
    with case.client() as client:
        if client.ws is not None:
            client.ws.send_raw(encode(b'42["one","\xff"]', TEXT))
            assert client.ws.end(GONE_SECONDS).code == 1007
            client.gone(None, GONE_SECONDS)
            return
        poll = client.waiting_poll()
        assert client.post(b'42["one","\xff"]').status == 400
        assert client.over_poll(poll, GONE_SECONDS) == []
        client.gone("transport error", GONE_SECONDS)


@rule("a message may come in fragments", **ONLY_WEBSOCKET)
def fragments(case: Case) -> None:
    with case.client() as client:
        assert client.ws is not None
        client.ws.send_raw(
            encode('421["one",', TEXT, fin=False)
            + encode('"\u00e9', 0, fin=False)
            + encode('"]', 0)
            + encode('451-2["one",{"_placeholder":true,"num":0}]')
            + encode(b"\x01", BINARY, fin=False)
            + encode(b"\x02", 0)
        )
        assert client.answers() == [
            '431["\\u00e9"]',
            '461-2[{"_placeholder":true,"num":0}]',
            b"\x01\x02",
        ]
        client.leave()


@rule("a message in fragments has its time", **ONLY_WEBSOCKET, **SHORT, paths=("direct",))
def fragments_that_do_not_end(case: Case) -> None:
    with case.client() as client:
        assert client.ws is not None
        client.ws.send_raw(encode('421["one",', TEXT, fin=False))
        deadline = time.monotonic() + 0.3 + SLACK
        while True:
            got = client.ws.receive(deadline - time.monotonic())
            if isinstance(got, End):
                break
            if got == "2":
                client.ws.send_raw(encode(b"", 0, fin=False))
        assert got.code == 1008, got
        client.gone("transport error", GONE_SECONDS)


@rule("a body has its time", **ONLY_POLLING, **SHORT)
def body_that_does_not_come(case: Case) -> None:
    with case.client() as client:
        begun = time.monotonic()
        post = Request(client.port, "POST", client.query, b"4", announced=100)
        response = post.response(0.3 + SLACK)
        assert response.status == 408
        assert time.monotonic() - begun > 0.2
        client.gone("transport error", GONE_SECONDS)
