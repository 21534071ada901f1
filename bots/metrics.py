"""Metrics for operators: figures only, nothing of anyone's words, no key, no person."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.asking import Asking
from core.pool import Pool


class _Now(Collector):
    """Read at each scrape."""

    def __init__(self, asking: Asking, pool: Pool) -> None:
        self._asking, self._pool = asking, pool

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "creditbot_asks_running", "Asks that run in this process", self._asking.running
        )
        yield GaugeMetricFamily(
            "creditbot_models_servable", "Models that keys can serve", len(self._pool.servable())
        )
        ended = CounterMetricFamily(
            "creditbot_asks_ended", "Asks that ended, by how", labels=["outcome"]
        )
        for outcome, number in self._asking.ended.items():
            ended.add_metric([outcome], number)
        yield ended


def registry(asking: Asking, pool: Pool) -> CollectorRegistry:
    """A registry of this service alone."""
    made = CollectorRegistry()
    made.register(_Now(asking, pool))
    return made
