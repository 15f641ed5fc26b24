"""The program of test_interpreters.py: the extension in several interpreters of this process."""

import sys

from toolboxsio import _core

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

#: What every interpreter does: JSON, packets, and a client of a server, to its end.
USES = f"""
import asyncio, json, sys
sys.path[:] = {sys.path!r}
from toolboxsio import _core
from connections import Client, server

async def play():
    sio = server()
    @sio.on("e")
    async def handler(sid, *args):
        await asyncio.sleep(0)
        return args
    client = Client(sio)
    sid = client.join()
    await sio.enter_room(sid, "room")
    client.send('421["e",{{"a":[1,null]}}]')
    assert await client.until() == ['431[{{"a":[1,null]}}]']
    await sio.emit("x", b"bytes", room="room")
    assert await client.until(2) == ['451-["x",{{"_placeholder":true,"num":0}}]', b"bytes"]
    client.conn.connection_lost(None)
    for _ in range(6):
        await asyncio.sleep(0)
    assert client.conn.path == "over"

def use():
    assert _core.loads('{{"a":[1.5,"\\u00e9"]}}', 512) == {{"a": [1.5, "\\u00e9"]}}
    try:
        _core.loads("[", 512)
    except json.JSONDecodeError:
        pass
    else:
        raise AssertionError
    loop = asyncio.new_event_loop()
    loop.run_until_complete(play())
    loop.close()

use()
"""
TYPES = ("Connection", "Hub", "Call")
REFUSED = f"""
import sys
sys.path[:] = {sys.path!r}
try:
    import toolboxsio._core
except ImportError as exc:
    assert "interpreters" in str(exc), exc
else:
    raise AssertionError("it was imported")
"""


def create(shares_gil=True):
    if sys.version_info >= (3, 13):
        return interpreters.create("legacy" if shares_gil else "isolated")
    return interpreters.create(isolated=not shares_gil)


def run(interpreter, text):
    """Run code there; what it raises is raised here."""
    failure = interpreters.run_string(interpreter, text)  # older ones raise it
    assert failure is None, failure.errdisplay


def begin():
    """An interpreter that has used the extension, and has a copy of its own."""
    interpreter = create()
    run(interpreter, USES)
    for name in TYPES:
        run(interpreter, f"assert id(_core.{name}) != {id(getattr(_core, name))}")
    return interpreter


def end(gone, *left):
    """One of them ends, and the others go on."""
    interpreters.destroy(gone)
    for interpreter in left:
        run(interpreter, "use()")
    exec(USES, {"__name__": "here"})


def shared():
    first, second, third = begin(), begin(), begin()
    end(second, first, third)
    fourth = begin()
    end(third, first, fourth)
    end(first, fourth)
    end(fourth)


def isolated():
    interpreter = create(shares_gil=False)
    run(interpreter, REFUSED)
    end(interpreter)


globals()[sys.argv[1]]()
