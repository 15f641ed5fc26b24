"""GET /metrics: the counters of the server, and those of the application."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from toolboxsio.backend.socketio_server import SocketServer
from toolboxsio.metrics import Collector as ServerCollector


class _Application(Collector):
    def __init__(self, server: SocketServer) -> None:
        self._server = server

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        server = self._server
        clients = GaugeMetricFamily("toolboxsio_clients", "Clients, by role", labels=("role",))
        roles = server.clients.roles()
        for role, count in roles.items():
            clients.add_metric((role,), count)
        clients.add_metric(("none",), len(server.clients) - sum(roles.values()))
        yield clients
        refusals = CounterMetricFamily(
            "toolboxsio_refusals", "Events that were refused", labels=("event", "error")
        )
        for (event, error), count in server.guard.refusals.items():
            refusals.add_metric((event, error), count)
        yield refusals
        yield CounterMetricFamily(
            "toolboxsio_limiter_failures",
            "Events refused because they could not be counted",
            value=server.limiter.failures,
        )


def registry(server: SocketServer) -> CollectorRegistry:
    """What GET /metrics shows."""
    own = CollectorRegistry(auto_describe=False)
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        own.register(collector)
    own.register(ServerCollector(server.sio))
    own.register(_Application(server))
    return own
