"""The states of a connection: each move of the table in csrc/conn/conn_state.c is made."""

import asyncio
import collections

import pytest
from connections import Client, Polling, server, until

from toolboxsio import _core


class Watched(Client):
    """A client whose handler takes its time, and the moves of its connection."""

    def __init__(self, moves):
        super().__init__(server(max_running_handlers=1))
        self.may_end = asyncio.Event()
        self.sio.on("wait", lambda sid: self.may_end.wait())
        self.moves = moves
        self.state = self.conn.state

    def look(self, wanted):
        """The connection is in this state now; it was in the one before until now."""
        assert self.conn.state == wanted
        if wanted != self.state:
            self.moves.add((self.state, wanted))
        self.state = wanted

    def leave(self):
        self.conn.connection_lost(None)

    def hold_input(self):
        """What the peer has sent waits for a handler."""
        self.join()
        self.send(*['42["wait"]'] * 3)

    def leave_with_input(self):
        """The peer leaves meanwhile."""
        self.hold_input()
        self.leave()
        self.look("left")


async def closed_and_left(client):
    client.hold_input()
    client.conn.closing()
    client.look("closing")
    client.leave()
    client.look("gone")
    told = asyncio.Event()
    client.socket._connection_over = lambda: told.wait()
    client.may_end.set()
    await until(lambda: client.conn.state != "gone")
    client.look("ending")
    client.conn.release()
    client.look("over")
    told.set()


async def left(client):
    client.leave_with_input()
    told = asyncio.Event()
    client.socket._connection_over = lambda: told.wait()
    client.may_end.set()
    await until(lambda: client.conn.state != "left")
    client.look("ending")
    client.conn.release()
    client.look("over")
    told.set()


async def left_and_closed(client):
    client.leave_with_input()
    client.conn.closing()
    client.look("gone")
    client.conn.release()
    client.look("over")


async def released(client):
    client.conn.release()
    client.look("over")


async def released_while_closing(client):
    client.conn.closing()
    client.look("closing")
    client.conn.release()
    client.look("over")


async def released_while_left(client):
    client.leave_with_input()
    client.conn.release()
    client.look("over")


async def not_given_up(client):
    """What Python is told of it fails."""
    seen = []

    def fails(waiting, is_over):
        seen.append(client.conn.state)
        raise ValueError

    client.socket._backlog = fails
    client.conn.give_up()
    assert seen == ["closing"]
    client.moves |= {("open", "closing"), ("closing", "open")}
    client.look("open")


async def not_ended(client):
    """There is no memory for what tells of the end; the timer tries again."""
    seen = []

    def fails():
        seen.append(client.conn.state)
        raise MemoryError

    client.socket._connection_over = fails
    client.conn.closing()
    client.look("closing")
    with pytest.raises(MemoryError):
        client.leave()
    assert seen == ["ending"]
    client.state = "ending"
    client.look("gone")
    del client.socket._connection_over
    await until(lambda: client.conn.state == "over")


WAYS = [
    *(closed_and_left, left, left_and_closed, released, released_while_closing),
    *(released_while_left, not_given_up, not_ended),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_each_move_is_made():
    moves = set()
    for way in WAYS:
        client = Watched(moves)
        client.look("open")
        await way(client)
        client.may_end.set()
    assert moves == set(_core.connection_moves())


async def test_a_session_that_polls():
    client = Polling(server())
    assert client.conn.state == "open"
    await client.socket.close(wait=False)
    assert client.conn.state == "closing"
    client.socket._let_go()
    assert (client.conn.state, client.conn.path) == ("over", "over")


def test_all_states_come_to_an_end():
    after = collections.defaultdict(set)
    for before, state in _core.connection_moves():
        after[before].add(state)
    assert after.keys() == {"open", "closing", "left", "gone", "ending"}
    assert all("over" in states for states in after.values())
