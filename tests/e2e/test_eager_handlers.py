"""Handlers where the application has chosen that all tasks begin at once (Python 3.12 and later).

The tests are those of test_handlers.py; uvicorn's own tasks begin at once, too.
"""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import Trio, serving_all
from .test_handlers import (  # noqa: F401 (collected here, with the servers below)
    ANSWERS,
    TRANSPORTS,
    check,
    exchange,
    factory,
    packets,
    play_all,
    test_a_handler_outlives_its_client,
    test_call_in_a_handler,
    test_context,
    test_context_of_an_upgraded_connection,
    test_disconnected_in_its_handler,
    test_failing_callbacks,
    test_failures,
    test_namespaces,
    test_order,
    test_other_client_is_disconnected,
    test_slow_connect,
)

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before Python 3.12"),
]

#: Loop and factory. uvloop passes its factory an eager_start, which Python 3.13's does not take.
CHOICES = [("asyncio", "eager"), ("uvloop", "own eager")]
#: What the factory decides: the class, the name that asyncio gives a task once it has begun, and
#: anyio's groups, which know the factories of asyncio alone and hang with others.
UNLIKE = {"no factory": "", "renamed": "", "anyio task group": "own eager"}


@pytest.fixture(scope="module", params=CHOICES, ids=" ".join)
def choice(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def trio(choice: Any) -> Iterator[Trio]:
    loop, name = choice
    with (
        serving_all(handlers="handlers_app", options={"namespaces": "*"}, loop=loop) as servers,
        factory(servers, name),
    ):
        yield servers


def test_tasks_begin_at_once(trio: Trio) -> None:
    """And the connections are what they are without that."""
    check(trio, "at once", ['421["begins at once"]'], ['431[[true,"step"]]'])
    _, asgi, direct = (server.get("/facts")["paths"] for server in trio)
    assert set(asgi) == {"websocket asgi", "polling polling"}
    assert set(direct) == {"websocket direct", "polling polling"}


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - set(UNLIKE)))
def test_asyncio(trio: Trio, name: str) -> None:
    check(trio, name, *ANSWERS[name])


def test_what_the_factory_decides(trio: Trio, choice: Any) -> None:
    names = [name for name, unlike in UNLIKE.items() if unlike not in choice]
    for transport in TRANSPORTS:
        for name in names:
            session = exchange(*ANSWERS[name][0], last="431[")
            assert packets(play_all(trio, name, transport, session))[1:] == ['43999["sync"]']
