"""What a listening link refused, as a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class RefusedMetrics(Collector):
    """Messages and connections that a link refused.

    Args:
        counters: What it counted so far, by reason.
    """

    def __init__(self, counters: Callable[[], Mapping[str, int]]) -> None:
        self._counters = counters

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metric of now."""
        refused = GaugeMetricFamily("fusewatch_refused_messages", "By reason", labels=["reason"])
        for reason, count in self._counters().items():
            refused.add_metric([reason], count)
        yield refused
