"""What the log says of a packet that is refused."""

import asyncio

import engineio
import pytest
from connections import Client, Messages, Polling, server, until

import toolboxsio


class SilentJson:
    """An application's JSON whose exceptions say nothing."""

    @staticmethod
    def dumps(value, **kwargs):
        return "{}"

    @staticmethod
    def loads(text, **kwargs):
        raise ValueError


@pytest.mark.parametrize("way", [Client, Messages, Polling])
async def test_an_exception_without_a_text(way, caplog, monkeypatch):
    """Its kind is told."""
    for cls in (toolboxsio.Packet, engineio.packet.Packet):  # which keep what a server is given
        monkeypatch.setattr(cls, "json", cls.json)
    session = way(server(json=SilentJson))
    packet = '42["e"]'
    if way is Client:
        session.send(packet)
    elif way is Messages:
        session.inbox.put_nowait(packet)
    else:
        await session.socket._receive_encoded(packet)
    await until(lambda: session.socket.closed)
    [record] = caplog.records
    assert record.getMessage().partition(": ")[2].startswith("Packet refused: ValueError (")
    if way is Messages:
        await asyncio.wait_for(session.task, 5)


async def test_errors_are_logged_again_after_an_option_was_set(caplog, monkeypatch):
    monkeypatch.setattr(toolboxsio.engine, "LOG_SECONDS", 1e-9)
    sio = server()
    sio.eio._log_error_once("first", "key")
    sio.max_backlog = 1000
    sio.eio._log_error_once("second", "key")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
