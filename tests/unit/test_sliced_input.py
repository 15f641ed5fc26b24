"""What stands between a transport and uvicorn's protocols, on real transports of both loops."""

import asyncio
import contextlib
import random
import socket
import struct
import time

import pytest
import uvloop

from tests.e2e.machine import SLOWNESS
from toolboxsio._sliced_input import END_NS, MAX_PIECE, SLICE_NS, SlicedInput

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SLICE_SECONDS = SLICE_NS / 1e9


class Recorder(asyncio.Protocol):
    """Keeps what it is given and told; `costs` are seconds for each byte."""

    def __init__(self, costs=0.0):
        self.costs = costs
        self.got = b""
        self.pieces = []
        self.told = []
        self.transport = None

    def data_received(self, data):
        self.got += data
        self.pieces.append(len(data))
        end = time.perf_counter() + len(data) * self.costs
        while time.perf_counter() < end:
            pass

    def eof_received(self):
        self.told.append(("eof", len(self.got)))

    def connection_lost(self, exc):
        self.told.append((None if exc is None else OSError, len(self.got)))


async def until(condition):
    async with asyncio.timeout(10 * SLOWNESS):
        while not condition():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(protocol):
    """What slices the protocol's input, and the client's socket, over TCP."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    client.setblocking(False)
    with client:
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
        sliced = protocol.transport = SlicedInput(transport, protocol)
        transport.set_protocol(sliced)
        yield sliced, client
        transport.abort()
        await asyncio.sleep(0)


@pytest.fixture(params=LOOPS)
def run(request):
    def run(coroutine):
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(coroutine)

    return run


def test_a_transport_that_was_paused_before_goes_on(run):
    async def main():
        protocol = Recorder()
        async with connected(protocol) as (sliced, client):
            sliced.release()[0].pause_reading()  # as its protocol did, alone with it
            again = SlicedInput(sliced._transport, protocol)
            sliced._transport.set_protocol(again)
            client.send(b"x")
            await asyncio.sleep(0.01)
            assert protocol.got == b""
            again.resume_reading()
            await until(lambda: protocol.got)

    run(main())


def test_the_pieces_are_the_whole_in_order_and_the_end_comes_last(run):
    async def main():
        protocol = Recorder()
        dice = random.Random(1)
        sent = dice.randbytes(1_000_000)
        async with connected(protocol) as (sliced, client):
            sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(client, sent))
            is_paused = False
            while len(protocol.got) < len(sent):
                if dice.random() < 0.3:
                    sliced.resume_reading() if is_paused else sliced.pause_reading()
                    is_paused = not is_paused
                await asyncio.sleep(0)
            await sending
            client.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.01)
            sliced.resume_reading()
            await until(lambda: len(protocol.told) == 2)
        assert protocol.got == sent
        assert max(protocol.pieces) <= MAX_PIECE
        assert protocol.told == [("eof", len(sent)), (None, len(sent))]

    run(main())


def test_others_have_their_turn_between_the_pieces_of_several(run):
    async def main():
        protocols = [Recorder(costs=SLICE_SECONDS / 600) for _ in range(4)]
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                (await stack.enter_async_context(connected(protocol)))[1] for protocol in protocols
            ]
            for client in clients:
                client.send(bytes(60_000))
            longest = 0.0
            while any(len(protocol.got) < 60_000 for protocol in protocols):
                began = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - began)
        assert longest < 8 * SLICE_SECONDS * SLOWNESS

    run(main())


def test_a_protocol_that_has_paused_gets_nothing_and_no_end(run):
    async def main():
        protocol = Recorder()
        async with connected(protocol) as (sliced, client):
            client.send(bytes(600))
            await until(lambda: protocol.got)
            sliced.pause_reading()
            client.send(bytes(50_000))
            client.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.02)
            assert len(protocol.got) == 600
            assert protocol.told == []
            assert not sliced.is_reading()
            sliced.resume_reading()  # and nothing more comes from the socket
            await until(lambda: len(protocol.told) == 2)
        assert protocol.told[0] == ("eof", 50_600)

    run(main())


def test_what_was_read_is_given_though_the_client_has_broken_the_connection_off(run):
    async def main():
        protocol = Recorder(costs=SLICE_SECONDS / 512)
        async with connected(protocol) as (sliced, client):
            client.send(bytes(60_000))
            await until(lambda: protocol.got)
            sliced.pause_reading()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            while not protocol.told:
                sliced.write(b"x")  # by which it is noticed, and which is nothing afterwards
                await asyncio.sleep(0)
        assert protocol.told == [(OSError, 60_000)]

    run(main())


def test_a_protocol_that_closes_gets_no_more(run):
    async def main():
        protocol = Recorder(costs=SLICE_SECONDS / 512)
        async with connected(protocol) as (sliced, client):
            client.send(bytes(60_000))
            await until(lambda: protocol.got)
            sliced.close()
            await until(lambda: protocol.told)
        assert protocol.told == [(None, len(protocol.got))]
        assert len(protocol.got) < 60_000

    run(main())


def test_a_protocol_that_fails_in_a_later_turn_ends_the_connection(run):
    async def main():
        class Failing(Recorder):
            def data_received(self, data):
                super().data_received(data)
                if len(self.pieces) > 2:
                    raise ValueError("a test")

        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        protocol = Failing(costs=SLICE_SECONDS / 512)
        async with connected(protocol) as (_, client):
            client.send(bytes(60_000))
            await until(lambda: protocol.told)
            with contextlib.suppress(ConnectionError):
                assert await loop.sock_recv(client, 1) == b""
        assert [type(exc) for exc in told] == [ValueError]
        assert len(protocol.pieces) == 3

    run(main())


def test_the_transport_is_given_back_with_what_is_held(run):
    async def main():
        first, second = Recorder(), Recorder()
        async with connected(first) as (sliced, client):
            sliced.pause_reading()
            client.send(b"x" * 60_000)
            await asyncio.sleep(0.02)
            transport, held = sliced.release()
            transport.set_protocol(second)
            transport.resume_reading()
            client.send(b"y" * 1000)
            await until(lambda: second.got.endswith(b"y" * 1000))
        assert first.got == b""
        assert held + second.got == b"x" * 60_000 + b"y" * 1000

    run(main())


def test_a_client_without_a_session_is_parsed_for_a_while_only(run):
    async def main():
        protocol = Recorder(costs=SLICE_SECONDS / 512)
        async with connected(protocol) as (sliced, client):
            sliced.end_session()
            end = asyncio.get_running_loop().time() + 20 * END_NS / 1e9
            while asyncio.get_running_loop().time() < end:
                with contextlib.suppress(BlockingIOError):
                    client.send(bytes(60_000))
                await asyncio.sleep(0)
        spent = len(protocol.got) * protocol.costs
        assert 0 < spent < 2 * END_NS / 1e9

    run(main())
