"""Metrics for operators: figures only, nothing of anyone's words, no key, no person."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.admin.monitoring import Lookout
from core.asks.service import Asking
from core.pool.pool import Pool


class _Now(Collector):
    """Read at each scrape; what is in the database as the lookout saw it last."""

    def __init__(self, asking: Asking, pool: Pool, lookout: Lookout) -> None:
        self._asking, self._pool, self._lookout = asking, pool, lookout

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
        yield from self._seen()

    def _seen(self) -> Iterable[Metric]:
        figures, down = self._lookout.figures, set(self._pool.down())
        left = GaugeMetricFamily(
            "creditbot_keys_left_nanodollars", "What keys can still cost", labels=["supplier"]
        )
        fails = GaugeMetricFamily(
            "creditbot_supplier_down", "1 while a supplier isn't asked", labels=["supplier"]
        )
        for supplier, amount in figures.headroom.items():
            left.add_metric([supplier], amount.units)
            fails.add_metric([supplier], int(supplier in down))
        keys = GaugeMetricFamily("creditbot_keys", "Keys by state", labels=["supplier", "state"])
        for (supplier, state), number in figures.keys.items():
            keys.add_metric([supplier, state], number)
        waits = GaugeMetricFamily("creditbot_waiting", "What waits to be done", labels=["what"])
        for what, number in (
            ("webhooks", figures.webhooks),
            ("notices", figures.notices),
            ("payouts", figures.payouts),
        ):
            waits.add_metric([what], number)
        yield from (left, fails, keys, waits)


def registry(asking: Asking, pool: Pool, lookout: Lookout) -> CollectorRegistry:
    """A registry of this service alone."""
    made = CollectorRegistry()
    made.register(_Now(asking, pool, lookout))
    return made
