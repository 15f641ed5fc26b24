"""Fixtures of the end-to-end tests: one pair of servers for a whole run."""

from collections.abc import Iterator

import pytest

from .harness import OURS, UPSTREAM, Server, node, serving


@pytest.fixture(scope="session")
def javascript() -> str:
    """Node's path, with the clients installed."""
    return node()


@pytest.fixture(scope="session")
def pair() -> Iterator[tuple[Server, Server]]:
    """Upstream's server and ours with default options."""
    with serving(UPSTREAM) as upstream, serving(OURS) as ours:
        yield upstream, ours
