"""A server and its clients in one process, on whatever versions are found: test_versions.py."""

import asyncio
import json
import logging
import socket
import sys

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")

import uvicorn  # noqa: E402

import toolboxsio as socketio  # noqa: E402


async def main() -> None:
    with_redis = sys.argv[1] == "redis"
    manager = socketio.AsyncRedisManager() if with_redis else None
    sio = socketio.AsyncServer(
        async_mode="asgi", max_backlog=1_000_000, strict=True, client_manager=manager
    )

    @sio.event
    async def hello(sid: str, data: object) -> object:
        return {"got": data}

    paths = []
    if not with_redis:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        from toolboxsio.uvicorn import WebSocketProtocol

        config = uvicorn.Config(
            socketio.ASGIApp(sio), log_level="warning", log_config=None, ws=WebSocketProtocol
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not (server.started or serving.done()):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
        for transport in ("websocket", "polling"):
            client = socketio.AsyncClient()
            await client.connect(f"http://127.0.0.1:{port}", transports=[transport])
            assert await client.call("hello", 1, timeout=10) == {"got": 1}
            paths.append(sio.acceleration(client.get_sid())["path"])
            await client.disconnect()
        server.should_exit = True
        await serving
    print(
        json.dumps(
            {
                "accelerated": socketio.ACCELERATED,
                "paths": paths,
                "manager": type(sio.manager).__module__,
            }
        )
    )


asyncio.run(main())
