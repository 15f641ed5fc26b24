"""A server's counters for Prometheus (needs ``prometheus-client``).

``prometheus_client.REGISTRY.register(toolboxsio.metrics.Collector(sio))``. Counters are
those of one process: with several workers each is a target of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as _Collector

from .server import AsyncServer

__all__ = ["BOUNDS", "Collector"]

#: Seconds: the buckets of ``toolboxsio_event_seconds``.
BOUNDS = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

_PATHS = ("direct", "asgi", "polling", "upstream")


class Collector(_Collector):
    """What a :class:`toolboxsio.AsyncServer` counts.

    ``toolboxsio_event_seconds`` (a histogram, by ``namespace`` and ``event``: from reading an event
    to its answer), ``toolboxsio_event_failures_total``, ``toolboxsio_sessions`` (by ``path``),
    ``toolboxsio_accelerated`` (by ``what``: 1 when events or emits go through C) and, with an
    ``AsyncRedisManager``, ``toolboxsio_redis_*``. May collect on any thread.
    """

    def __init__(self, sio: AsyncServer) -> None:
        self._sio = sio

    def describe(self) -> Iterator[Metric]:
        """Return nothing: all is told by :meth:`collect`."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        seconds = HistogramMetricFamily(
            "toolboxsio_event_seconds",
            "From reading an event to its answer",
            labels=("namespace", "event"),
        )
        failures = CounterMetricFamily(
            "toolboxsio_event_failures",
            "Events whose handler has raised",
            labels=("namespace", "event"),
        )
        for ns, event, count, failed, total, _, _, _, up_to in self._sio.event_counts(BOUNDS):
            buckets = [(str(bound), n) for bound, n in zip(BOUNDS, up_to, strict=True)]
            seconds.add_metric((ns, event), [*buckets, ("+Inf", count)], total)
            failures.add_metric((ns, event), failed)
        yield seconds
        yield failures
        status = self._sio.status()
        acceleration = status["acceleration"]
        sessions = GaugeMetricFamily(
            "toolboxsio_sessions", "Engine.IO sessions, by the way to them", labels=("path",)
        )
        for path in dict.fromkeys((*_PATHS, *acceleration["paths"])):
            sessions.add_metric((path,), acceleration["paths"].get(path, 0))
        yield sessions
        accelerated = GaugeMetricFamily(
            "toolboxsio_accelerated", "1 when they go through C", labels=("what",)
        )
        for what in ("events", "emits"):
            accelerated.add_metric((what,), not acceleration[what])
        yield accelerated
        if status["redis"] is not None:
            yield from _redis(status["redis"])


def _redis(status: dict[str, object]) -> Iterator[Metric]:
    gauges = {
        "connected": "1 when this process hears the others",
        "last_message_age": "Seconds since Redis was heard last",
        "pending": "Bytes that wait for Redis",
    }
    counters = {
        "dropped": "Messages that were lost",
        "reconnects": "Connections that were made anew",
    }
    for name, text in gauges.items():
        value = status[name]
        if isinstance(value, int | float):
            unit = {"last_message_age": "_seconds", "pending": "_bytes"}.get(name, "")
            yield GaugeMetricFamily(f"toolboxsio_redis_{name}{unit}", text, value=float(value))
    for name, text in counters.items():
        value = status[name]
        if isinstance(value, int | float):
            yield CounterMetricFamily(f"toolboxsio_redis_{name}", text, value=float(value))
