"""`make demo`: serve the application, talk to it as a client, keep serving until Ctrl-C.

DEMO_SECONDS=n serves n seconds after the talk and ends; DEMO_PORT is the port (default 8008).
"""

import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import toolboxsio as socketio
from toolboxsio.backend import Settings
from toolboxsio.backend.tokens import Tokens

START_SECONDS = 20.0


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def wait_until_up(server: subprocess.Popen[bytes], url: str) -> Any:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if server.poll() is not None:
            raise SystemExit(f"demo: the server ended with exit code {server.returncode}")
        try:
            return get(f"{url}/health")
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: {url} did not answer in {START_SECONDS:.0f} s") from None
            time.sleep(0.05)  # between two questions


async def talk(url: str) -> None:
    client = socketio.AsyncClient()
    connected: asyncio.Queue[Any] = asyncio.Queue()
    client.on("connected", connected.put)
    auth = {"token": Tokens(Settings(debug=True)).make("demo", "teacher", 600)}
    await client.connect(url, auth=auth, socketio_path=socketio.SIO_PATH, transports=["websocket"])
    print("connected   ", await asyncio.wait_for(connected.get(), 5))
    answer = await client.call("message", {"type": "ping"}, timeout=5)
    print("message ping", answer)
    status = await asyncio.to_thread(get, f"{url}/socketio/status")
    print("status      ", status)
    await client.disconnect()
    if (
        answer["ok"] is not True
        or status["connected"] != 1
        or status["acceleration"]["paths"] != {"direct": 1}
    ):
        raise SystemExit("demo: the answers are not what they should be")


def main() -> int:
    port = os.environ.get("DEMO_PORT", "8008")
    seconds = os.environ.get("DEMO_SECONDS")
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "toolboxsio", "serve", "--debug", "--port", port]
    server = subprocess.Popen([*command, "--host", "127.0.0.1", "--log-level", "warning"])
    try:
        health = wait_until_up(server, url)
        print("health      ", health)
        if not health["accelerated"]:
            raise SystemExit("demo: the extension is not in use: toolboxsio doctor says why")
        asyncio.run(talk(url))
        token = f"{shlex.quote(sys.executable)} -m toolboxsio token --sub u-1"
        print(f"page         {url}/socketio/debug (a token for it: {token})")
        print("yours        toolboxsio run main:app serves an application of your own like this")
        end = "Ctrl-C ends it" if seconds is None else f"for {seconds} s"
        print(f"It works. Serving on {url} (Socket.IO at {socketio.SIO_PATH}), {end}.", flush=True)
        server.wait(None if seconds is None else float(seconds))
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        return 0
    finally:
        server.terminate()
        server.wait(10)
    return server.returncode


if __name__ == "__main__":
    sys.exit(main())
