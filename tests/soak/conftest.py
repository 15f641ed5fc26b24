"""The fixture of the end-to-end tests that a soak needs."""

from tests.e2e.conftest import javascript

__all__ = ["javascript"]
