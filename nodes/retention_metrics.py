"""What was removed because it is kept no longer, as a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.core.retention import Sweeper, Why


class RetentionMetrics(Collector):
    """Reads a sweeper's counts whenever they are asked for.

    Args:
        sweeper: Gives the sweeper; a node makes it when it starts.
    """

    def __init__(self, sweeper: Callable[[], Sweeper]) -> None:
        self._sweeper = sweeper

    def collect(self) -> Iterator[Metric]:
        """The one metric, now."""
        removed = CounterMetricFamily(
            "fusewatch_retention_removed",
            "Items removed, by kind and reason",
            labels=["kind", "reason"],
        )
        sweeper = self._sweeper()
        for kind in sweeper.kinds:
            for why in Why:
                count = sweeper.removed[kind.name, why]
                removed.add_metric([kind.name, why.value], count)
        yield removed
