"""What an installed toolboxsio has to do on every system: `python smoke.py [--pure]`.

It needs uvicorn and websockets, and nothing of the source tree. One server, on the event loop that
the system has by default, and one client that speaks the protocol by hand.
"""

import asyncio
import json
import sys

import uvicorn
from websockets.asyncio.client import connect

import toolboxsio as socketio
from toolboxsio.uvicorn import WebSocketProtocol

SECONDS = 60
BIG = "x" * 300_000  # more than a socket takes at once


def check(condition, what):
    if not condition:
        raise SystemExit(f"smoke: {what}")


def check_codec():
    value = {"text": 'a\u00e9\u20ac\U0001f600\\"\n', "numbers": [0, -1, 2**63, 1.5, 1e-300, 5e-324]}
    value["deep"] = [[[{"null": None, "yes": True}]]]
    text = socketio.json.dumps(value)
    check(text == json.dumps(value, separators=(",", ":")), f"dumps: {text}")
    check(socketio.json.loads(text) == value, "loads")
    packet = socketio.Packet(2, data=["message", value], id=7)
    again = socketio.Packet(encoded_packet=packet.encode())
    check((again.data, again.id) == (["message", value], 7), "Packet")


def make_server(is_pure):
    sio = socketio.AsyncServer(async_mode="asgi")

    @sio.event
    async def message(sid, data):
        path = "none" if is_pure else sio.acceleration(sid)["path"]
        return socketio.ack(True, data=data, path=path)

    @sio.event
    async def later(sid, data):
        await asyncio.sleep(0.05)
        await sio.emit("more", data, to=sid)
        return len(data)

    app = socketio.ASGIApp(sio, socketio_path=socketio.SIO_PATH)
    options = {"host": "127.0.0.1", "port": 0, "ws": WebSocketProtocol, "log_level": "warning"}
    return uvicorn.Server(uvicorn.Config(app, **options))


async def talk(port, is_pure):
    url = f"ws://127.0.0.1:{port}{socketio.SIO_PATH}/?EIO=4&transport=websocket"
    async with connect(url, max_size=None) as client:
        check((await client.recv()).startswith("0{"), "no OPEN packet")
        await client.send("40")
        check((await client.recv()).startswith("40{"), "no answer to CONNECT")

        await client.send('420["message",{"type":"ping"}]')
        answer = await client.recv()
        check(answer.startswith("430["), answer)
        [ack] = json.loads(answer[3:])
        check(ack["ok"] is True and ack["data"] == {"type": "ping"}, answer)
        check(ack["path"] == ("none" if is_pure else "direct"), f"the path is {ack['path']}")

        await client.send(f'421["later","{BIG}"]')
        check(await client.recv() == f'42["more","{BIG}"]', "an event with much data")
        check(await client.recv() == f"431[{len(BIG)}]", "the answer to it")

        await client.send('451-["later",{"_placeholder":true,"num":0}]')
        await client.send(b"\0\xff")
        check(await client.recv() == '451-["more",{"_placeholder":true,"num":0}]', "a binary event")
        check(await client.recv() == b"\0\xff", "its attachment")


async def serve(is_pure):
    server = make_server(is_pure)
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(SECONDS):
        while not server.started:
            check(not running.done(), "the server does not start")
            await asyncio.sleep(0.01)
        await talk(server.servers[0].sockets[0].getsockname()[1], is_pure)
        server.should_exit = True
        await running
    return type(asyncio.get_running_loop()).__name__


def main(*options):
    is_pure = "--pure" in options
    check(socketio.ACCELERATED is not is_pure, f"accelerated: {socketio.ACCELERATED}")
    check_codec()
    loop = asyncio.run(serve(is_pure))
    print(f"smoke: {'pure' if is_pure else 'accelerated, direct path'}, {loop}: all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
