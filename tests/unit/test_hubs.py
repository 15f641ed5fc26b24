"""The hubs of event loops that come and go."""

import asyncio
import gc

from connections import hub_of, server

from toolboxsio.engine_socket import DUE_CONNECT, EngineSocket


def test_a_hub_lives_until_the_deadlines_of_its_last_session_have_moved():
    sio = server()
    socket = EngineSocket(sio.eio, "e1")
    seen = []

    async def begin():
        socket.conn = hub_of(sio).connection(socket, "e1")
        socket.conn.heartbeat()
        socket.conn.expect(DUE_CONNECT)
        return id(socket.conn.hub)

    class Loop(asyncio.SelectorEventLoop):
        def call_later(self, *args, **options):
            gc.collect()
            hubs = [obj for obj in gc.get_objects() if type(obj).__name__ == "Hub"]
            seen.append(old in map(id, hubs))
            return super().call_later(*args, **options)

    async def go_on():
        socket.follow_loop()
        return sio.eio.hub() is socket.conn.hub

    old = asyncio.run(begin())
    loop = Loop()
    try:
        assert loop.run_until_complete(go_on())
    finally:
        loop.close()
    assert seen == [True]
