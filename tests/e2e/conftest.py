"""Fixtures of the end-to-end tests: one trio of servers for a whole run."""

from collections.abc import Iterator

import pytest

from .harness import Trio, node, serving_all

ASSERTING = ("place", "rule_client", "rules", "rules_engineio", "rules_socketio")
pytest.register_assert_rewrite(*(f"{__package__}.{name}" for name in ASSERTING))


@pytest.fixture(scope="session")
def javascript() -> str:
    """Node's path, with the clients installed."""
    return node()


@pytest.fixture(scope="session")
def trio() -> Iterator[Trio]:
    """Upstream's server, ours on ASGI and ours direct, with default options."""
    with serving_all() as servers:
        yield servers
