"""Fixtures: the application as the README deploys it."""

import pytest

from .serving import serving


@pytest.fixture(scope="module")
def backend(free_port):
    """`toolboxsio serve` in production mode."""
    with serving(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def debug_backend(free_port):
    """The same in debug mode."""
    with serving(free_port(), "--debug") as running:
        yield running
