"""toolboxsio/options.py: how options are given, checked, set and described."""

import asyncio
import operator
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import get_type_hints

import engineio
import engineio.packet
import engineio.payload
import pytest
import socketio
import socketio.packet
from connections import CLOSE, Client, server

import toolboxsio
from toolboxsio.options import (
    OPTIONS,
    REDIS_OPTIONS,
    OptionAttributes,
    Options,
    RedisOptions,
    ServerOptions,
    parameters,
)

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
COUNTS = [name for name in OPTIONS if name.startswith(("max_", "json_max"))]
SECONDS = [name for name in OPTIONS if name.endswith("_timeout")]
REDIS_COUNTS, REDIS_SECONDS = ["max_pending"], ["health_check_interval"]
#: A value of each that is not its default.
OTHERS = dict.fromkeys((*COUNTS, *SECONDS), 7) | {
    "json_default": repr,
    "slow_client": "drop_volatile",
    "strict": True,
}


class Index:
    """An integer that is no int, as numpy has them."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


def redis_manager(**options):
    return toolboxsio.AsyncRedisManager(write_only=True, **options)


@pytest.fixture
def uninstalled() -> Iterator[None]:
    yield
    toolboxsio.uninstall()


@pytest.fixture
def own_json(monkeypatch) -> type:
    """An application's own JSON; python-socketio puts it into classes."""
    for cls in (engineio.packet.Packet, socketio.packet.Packet, toolboxsio.Packet):
        monkeypatch.setattr(cls, "json", cls.json)
    return type("Json", (), {"dumps": str, "loads": str})


def test_there_is_one_table():
    for table, typed in ((OPTIONS, Options), (REDIS_OPTIONS, RedisOptions)):
        assert list(table) == list(get_type_hints(typed))
    assert set(OPTIONS) == set(OTHERS) == set(get_type_hints(OptionAttributes))
    upstream = parameters(socketio.AsyncServer, engineio.AsyncServer) - {"binary"}
    named = {"client_manager", "logger", "json", "async_handlers", "namespaces"}
    assert set(get_type_hints(ServerOptions)) == set(OPTIONS) | (upstream - named)


@pytest.mark.parametrize("name", [*OPTIONS, *REDIS_OPTIONS])
def test_each_option_is_described(name):
    doc = toolboxsio.AsyncServer.__doc__ + toolboxsio.AsyncRedisManager.__doc__
    assert f":param {name}: " in doc
    assert f"`{name}" in README


def test_the_readme_has_the_defaults():
    table = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README, re.MULTILINE))
    shown = {
        "json_default": "`None`",
        "slow_client": '`"disconnect"`',
        "strict": "`False`",
        "max_fragments": "`max_http_buffer_size`",
        "max_attachment_bytes": "256 \u00d7 `max_http_buffer_size`",
        "max_payload_packets": "10,000",
        "max_backlog": "64 MiB",
        "max_running_bytes": "8 MiB",
        "message_timeout": "`ping_interval + ping_timeout`, 45 s",
    }
    for name, option in OPTIONS.items():
        text = shown.get(name) or f"{option.default:,}"
        assert table[name].removesuffix(" s") == text.removesuffix(" s"), name


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("max_backlogg", "max_backlog"),
        ("strickt", "strict"),
        ("pingtimeout", "ping_timeout"),
        ("cors_allowed_origin", "cors_allowed_origins"),
        ("max_http_bufer_size", "max_http_buffer_size"),
        ("qqqq", None),
    ],
)
def test_a_name_that_nobody_knows(name, near):
    with pytest.raises(TypeError, match=f"AsyncServer has no option '{name}'") as caught:
        server(**{name: 3})
    assert str(caught.value).partition("; ")[2] == (f"did you mean {near}?" if near else "")


def test_names_that_nobody_knows_elsewhere(uninstalled):
    sio = server()
    with pytest.raises(TypeError, match=r"install\(\) has no option 'max_backlogg'; did you mean"):
        toolboxsio.install(max_backlogg=3)
    with pytest.raises(TypeError, match=r"accelerate\(\) has no option 'strickt'"):
        toolboxsio.accelerate(sio, strickt=True)
    with pytest.raises(TypeError, match="'room_chanels'; did you mean room_channels"):
        redis_manager(room_chanels=True)
    with pytest.raises(TypeError, match="'socketio_paht'; did you mean socketio_path"):
        toolboxsio.ASGIApp(sio, socketio_paht="/")
    with pytest.raises(TypeError, match="'max_depht'; did you mean max_depth"):
        toolboxsio.Packet.configure(max_depht=3)
    assert not hasattr(sio, "max_backlogg")


@pytest.mark.parametrize("value", [True, "10", 1.5, b"1", [1]])
@pytest.mark.parametrize("name", [*COUNTS, *REDIS_COUNTS])
def test_counts_of_the_wrong_type(name, value):
    make = redis_manager if name in REDIS_COUNTS else server
    with pytest.raises(TypeError, match=f"^{name} must be an integer"):
        make(**{name: value})


@pytest.mark.parametrize("name", [*COUNTS, *REDIS_COUNTS])
def test_counts_are_positive(name):
    make = redis_manager if name in REDIS_COUNTS else server
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"^{name} must be positive, not {value}$"):
            make(**{name: value})
    for value in (1, Index(1), 10**30):
        made = make(**{name: value})
        assert getattr(made, name) == operator.index(value)


@pytest.mark.parametrize("name", [*SECONDS, *REDIS_SECONDS])
def test_seconds(name):
    make = redis_manager if name in REDIS_SECONDS else server
    for wrong in ("x", True, b"1", [1]):
        with pytest.raises(TypeError, match=f"^{name} must be a number of seconds"):
            make(**{name: wrong})
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"^{name} must be a finite number of seconds"):
            make(**{name: wrong})
    for value in (0, 3, 0.5, Fraction(1, 2)):
        assert getattr(make(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["strict", "room_channels"])
@pytest.mark.parametrize("value", ["no", 0, 1, None])
def test_flags(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be True or False"):
        (server if name == "strict" else redis_manager)(**{name: value})


def test_functions():
    with pytest.raises(TypeError, match=r"^json_default must be a function or None, not 3"):
        server(json_default=3)
    with pytest.raises(TypeError, match=r"^slow_client must be one of"):
        server(slow_client=3)
    with pytest.raises(ValueError, match=r"^slow_client must be one of"):
        server(slow_client="keep")


def test_what_python_socketio_takes_is_taken():
    """All that it names, what it has named, and what a subclass names."""
    upstream = {"ping_interval": (1, 2), "ping_timeout": 3, "max_http_buffer_size": 1e6}
    upstream |= {"allow_upgrades": True, "http_compression": True, "compression_threshold": 5}
    upstream |= {"cookie": None, "cors_allowed_origins": "*", "cors_credentials": True}
    upstream |= {"monitor_clients": True, "transports": ["websocket"], "engineio_logger": False}
    upstream |= {"always_connect": True, "serializer": "default", "binary": True}
    sio = server(**upstream)
    assert sio.eio.ping_timeout == 3

    class Own(toolboxsio.AsyncServer):
        def __init__(self, house=None, **kwargs):
            super().__init__(house=house, **kwargs)

    assert Own(house=1, async_mode="asgi").async_mode == "asgi"


# --- how they are given ---------------------------------------------------------------------------


def set_as_attribute(name, value):
    sio = server()
    setattr(sio, name, value)
    return sio


GIVERS = {
    "constructor": lambda name, value: server(**{name: value}),
    "attribute": set_as_attribute,
    "accelerate": lambda name, value: toolboxsio.accelerate(
        socketio.AsyncServer(async_mode="asgi"), **{name: value}
    ),
    "accelerate ours": lambda name, value: toolboxsio.accelerate(server(), **{name: value}),
}


@pytest.mark.parametrize("way", GIVERS)
@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_can_be_given(name, way):
    value = OTHERS[name]
    sio = GIVERS[way](name, value)
    assert getattr(sio, name) == value
    assert getattr(server(), name) == OPTIONS[name].default
    for other in set(OPTIONS) - {name}:
        assert getattr(sio, other) == OPTIONS[other].default, other
    packets = {"json_default": "json_default", "json_max_depth": "max_depth"}
    if name in packets:
        assert getattr(sio.packet_class, packets[name]) == value
    if name in ("upgrade_timeout", "message_timeout", "shutdown_timeout", "strict"):
        assert getattr(sio.eio, name) == value


@pytest.mark.parametrize("name", OPTIONS)
def test_install_gives_each_to_later_servers(name, uninstalled):
    before, value = server(), OTHERS[name]
    toolboxsio.install(uvicorn=False, **{name: value})
    assert getattr(before, name) == OPTIONS[name].default
    assert getattr(socketio.AsyncServer(async_mode="asgi"), name) == value
    assert getattr(server(), name) == value
    toolboxsio.install(uvicorn=False)  # adds nothing, takes nothing
    assert getattr(server(), name) == value
    toolboxsio.uninstall()
    assert getattr(server(), name) == OPTIONS[name].default


def test_what_a_server_is_given_comes_before_what_install_was(uninstalled, own_json):
    plain = socketio.AsyncServer(async_mode="asgi")
    toolboxsio.install(uvicorn=False, max_namespaces=3, json_max_depth=4, max_attachments=5)
    assert server(max_namespaces=8).max_namespaces == 8
    sio = toolboxsio.accelerate(plain, json_max_depth=9)
    assert (sio.max_namespaces, sio.json_max_depth, sio.max_attachments) == (3, 9, 5)
    sio = server(json=own_json)  # which json_max_depth is not for
    assert sio.max_attachments == 5
    assert server(serializer="msgpack").max_attachments == 5


def test_options_of_json_are_not_for_anothers(own_json):
    for options in ({"json": own_json}, {"serializer": "msgpack"}):
        with pytest.raises(ValueError, match="of toolboxsio's own JSON"):
            server(**options, json_max_depth=3)
        sio = server(**options)
        with pytest.raises(ValueError, match="of toolboxsio's own JSON"):
            sio.json_max_depth = 3
        with pytest.raises(ValueError, match="of toolboxsio's own JSON"):
            toolboxsio.accelerate(sio, json_default=repr)


# --- while clients are connected ------------------------------------------------------------------


def echoing(**options):
    """A server with one event, `e`, that answers with its argument."""
    sio = server(namespaces="*", **options)

    @sio.event
    async def e(sid, value):
        return value

    return sio


async def test_limits_of_connected_clients_change():
    sio = echoing()
    client = Client(sio)
    client.join()
    client.send('421["e",[[1]]]')
    assert await client.until() == ["431[[[1]]]"]
    sio.json_max_depth = 2
    client.send('422["e",[[1]]]')
    text = "JSON is nested too deeply: 3 levels, json_max_depth is 2"
    assert await client.until(2) == ["1", (CLOSE, b"\x03\xf0" + text.encode())]


@pytest.mark.parametrize("is_stricter", [True, False])
async def test_the_backlog_of_connected_clients_changes(is_stricter):
    sio = echoing(max_backlog=100_000 if is_stricter else 100)
    client = Client(sio)
    client.join()
    client.conn.pause_writing()
    sio.max_backlog = 100 if is_stricter else 100_000
    for _ in range(10):
        await sio.emit("e", "x" * 100)
    await asyncio.sleep(0)
    assert ("abort" in client.transport.names()) is is_stricter


async def test_strict_cannot_change_while_there_are_clients():
    sio = echoing()
    Client(sio)
    with pytest.raises(RuntimeError, match="strict cannot be changed while there are clients"):
        sio.strict = True
    with pytest.raises(RuntimeError, match="strict"):
        toolboxsio.accelerate(sio, strict=True)
    assert sio.strict is sio.eio.strict is False
    sio.strict = False  # which it is


async def test_a_wrong_value_changes_nothing():
    sio = echoing(max_backlog=5)
    with pytest.raises(TypeError, match="max_backlog must be an integer"):
        toolboxsio.accelerate(sio, connect_timeout=3, max_backlog="6")
    assert (sio.max_backlog, sio.connect_timeout) == (5, 45)


# --- defaults that are made of others -------------------------------------------------------------


def test_the_time_of_a_message_is_that_of_a_ping():
    assert server().eio.message_timeout == 45
    assert server(ping_interval=30, ping_timeout=60).eio.message_timeout == 90
    assert server(ping_interval=(30, 5), ping_timeout=60).eio.message_timeout == 90
    assert server(ping_timeout=60, message_timeout=3).eio.message_timeout == 3


def test_the_packets_of_a_request(monkeypatch):
    def packets(sio, n):
        return len(sio.eio.payload_class(encoded_payload="\x1e".join(["2"] * n)).packets)

    sio = server()
    assert packets(sio, 10_000) == 10_000
    with pytest.raises(ValueError, match=r"^10001 packets in a request, max_payload_packets is"):
        packets(sio, 10_001)
    monkeypatch.setattr(engineio.payload.Payload, "max_decode_packets", 20)
    assert packets(sio, 20) == 20
    with pytest.raises(ValueError, match=r"^21 packets in a request, max_payload_packets is 20$"):
        packets(sio, 21)
    sio.max_payload_packets = 3
    assert packets(sio, 3) == 3
    with pytest.raises(ValueError, match=r"^4 packets in a request, max_payload_packets is 3$"):
        packets(sio, 4)


def test_a_server_whose_options_are_set_often_keeps_one_class():
    sio = toolboxsio.AsyncServer(async_mode="asgi")
    sio.json_default = str
    depth = len(sio.packet_class.__mro__)
    for number in range(1, 10):
        sio.max_attachments = number
        sio.json_max_depth = 10 * number
    assert len(sio.packet_class.__mro__) == depth
    cls = sio.packet_class
    assert (cls.json_default, cls.max_attachments, cls.max_depth) == (str, 9, 90)
