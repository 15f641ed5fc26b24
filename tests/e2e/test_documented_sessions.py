"""What sessions get by requests and packets that are not as they should be, upstream and here."""

from collections.abc import Callable
from typing import Any

import pytest

from .harness import Server, Trio, wait_until
from .raw import WebSocket, Wire

pytestmark = pytest.mark.timeout(60)

EIO = "EIO=4&transport=polling"
TO_COME = '451-0["one",{"_placeholder":true,"num":0}]'


def joined(wire: Wire) -> str:
    """A polling session in the namespace `/`."""
    sid = wire.open_polling()
    wire.post(sid, "40")
    wire.get(sid)
    wire.lines.clear()
    return sid


def text_as_attachment(wire: Wire) -> None:
    ws = wire.websocket().connect()
    wire.lines.clear()
    ws.frame(TO_COME)
    ws.frame('42["one",2]')
    ws.until('430["2[\\"one\\",2]"]')


def binary_before_connect(wire: Wire) -> None:
    ws = wire.websocket()
    ws.receive()
    wire.lines.clear()
    ws.frame(TO_COME)
    ws.frame(b"x")
    ws.frame("40")
    ws.receive()
    ws.receive()


def event_before_connect(wire: Wire) -> None:
    ws = wire.websocket()
    ws.receive()
    ws.frame('42["one",1]')
    ws.frame("40")
    ws.receive()
    ws.receive()
    ws.synchronise()


def websocket_by(query: str) -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        ws = WebSocket(wire, query)
        if ws.accepted:
            ws.receive()

    return play


def lost_upgrade(wire: Wire) -> None:
    sid = joined(wire)
    wire.websocket(sid).connection.close()
    wire.post(sid, '421["one",1]')
    wait_until("the upgrade is over", lambda: wire.get(sid) != "6")


def refused(query: str, method: str = "GET", **more: Any) -> Callable[[Wire], None]:
    return lambda wire: wire.request(method, query, **more) and None


def websocket_transport_of_a_poll(wire: Wire) -> None:
    sid = joined(wire)
    wire.request("GET", f"EIO=4&transport=websocket&sid={sid}")


def poll_of_a_websocket(wire: Wire) -> None:
    opened = wire.websocket().receive()
    assert isinstance(opened, str)
    sid = opened.split('"sid":"')[1].split('"')[0]
    wire.lines.clear()
    wire.get(sid)
    wire.post(sid, "4")


#: The same on all sides, the texts of refusals too.
SAME: dict[str, Callable[[Wire], None]] = {
    "event before connect": event_before_connect,
    "unknown session": refused(EIO + "&sid=none"),
    "POST to an unknown session": refused(EIO + "&sid=none", "POST", body=b"4"),
    "POST without a session": refused(EIO, "POST", body=b"4"),
    "unknown transport": refused("EIO=4&transport=x"),
    "another version": refused("EIO=3&transport=polling"),
    "WebSocket without an upgrade": refused("EIO=4&transport=websocket"),
    "WebSocket of a session without an upgrade": websocket_transport_of_a_poll,
    "poll of a WebSocket": poll_of_a_websocket,
    "bad JSONP index": refused(EIO + "&j=x"),
    "another method": refused(EIO, "PUT"),
    "another origin": refused(EIO, headers="Origin: http://evil\r\n"),
    "OPTIONS": refused(EIO, "OPTIONS"),
}


def lines_of(server: Server, play: Callable[[Wire], None], name: str) -> list[Any]:
    with Wire(server.port, name.replace(" ", "-")) as wire:
        play(wire)
        return list(wire.lines)


@pytest.mark.parametrize("name", SAME)
def test_same(trio: Trio, name: str) -> None:
    upstream, *ours = (lines_of(server, SAME[name], name) for server in trio)
    assert len(upstream) >= 1
    for lines in ours:
        assert lines == upstream


#: What the README tells: what upstream sends, and ours.
DIFFERENT: dict[str, tuple[Callable[[Wire], None], list[Any], list[Any]]] = {
    "text-attachments": (
        text_as_attachment,
        ['430["2[\\"one\\",2]"]'],
        ["1", 1008, "text in the place of a binary attachment"],
    ),
    "unconnected-binary": (
        binary_before_connect,
        ['42["welcome",{"from":"connect"}]', '40{"sid":"<sid 1>"}'],
        ["1", 1008, "binary packet from a client that is not connected"],
    ),
    "no transport": (
        websocket_by("EIO=4"),
        ["HTTP/1.1 101 Switching Protocols"],
        ["HTTP/1.1 400 Bad Request", '"Invalid transport"'],
    ),
    "polling": (
        websocket_by(EIO),
        ["HTTP/1.1 101 Switching Protocols"],
        ["HTTP/1.1 400 Bad Request", '"Invalid transport"'],
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(trio: Trio, name: str) -> None:
    play, theirs, ours = DIFFERENT[name]
    for server, expected in zip(trio, (theirs, ours, ours), strict=True):
        values = [value for line in lines_of(server, play, name) for value in line]
        found = [value for value in values if value in expected]
        assert found == expected, (server.name, values)


def test_lost_upgrade(trio: Trio) -> None:
    """Ours goes on by polling."""
    for server in trio[1:]:
        *_, line = lines_of(server, lost_upgrade, "lost upgrade")
        assert line[1] == "HTTP/1.1 200 OK", server.name
        assert line[-1] == "431[1]", server.name


@pytest.mark.parametrize("packet", ["0", "2", "6"])
def test_posts_of_what_servers_send(trio: Trio, packet: str) -> None:
    """Ours answers 400 at once, and the session is over; upstream does not answer."""

    def play(wire: Wire) -> None:
        sid = joined(wire)
        wire.post(sid, packet)
        wire.get(sid)

    for server in trio[1:]:
        statuses = [line[1] for line in lines_of(server, play, f"post {packet}")]
        assert statuses == ["HTTP/1.1 400 Bad Request"] * 2, server.name
