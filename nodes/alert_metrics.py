"""What the alert node counts, in OpenMetrics' words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nodes.alert_routing import AlertRouting
from nodes.holding import Holding
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import Delivery, OutboxStore

_COUNTERS = {
    "delivered": "Deliveries that a sink took.",
    "retried": "Tries that failed and were put off.",
    "dead": "Deliveries that were moved aside.",
}
_GAUGES = {
    "pending": "Deliveries that wait.",
    "dead": "Deliveries moved aside and not revived.",
}


class AlertMetrics(Collector):
    """Reads the counts of a running alert node whenever they are asked for.

    Args:
        store: The outbox.
        delivery: Its workers.
        intake: Events taken in, by what became of them (``accepted``, ``repeated``, ...).
        routing: Knows what went to which sink.
        holding: Knows what was held and what was called off.
        clock: Node time.
    """

    def __init__(
        self,
        store: OutboxStore,
        delivery: OutboxDelivery[Delivery],
        intake: Callable[[], Mapping[str, int]],
        routing: AlertRouting,
        holding: Holding,
        clock: Clock,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._intake = intake
        self._routing = routing
        self._holding = holding
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Every metric, now."""
        events = CounterMetricFamily(
            "fusewatch_alert_events", "Events that came in.", labels=["outcome"]
        )
        for outcome, count in self._intake().items():
            events.add_metric([outcome], count)
        yield events
        not_sent = CounterMetricFamily(
            "fusewatch_alert_not_sent", "Phases kept from a sink.", labels=["sink", "reason"]
        )
        for counts in (self._routing.not_sent, self._holding.called_off):
            for labels, count in counts.items():
                not_sent.add_metric(list(labels), count)
        yield not_sent
        held = CounterMetricFamily(
            "fusewatch_alert_held", "What was held for later.", labels=["sink", "reason"]
        )
        for labels, count in self._holding.held.items():
            held.add_metric(list(labels), count)
        yield held
        yield from self._of_workers()
        yield from self._of_store()

    def _of_workers(self) -> Iterator[Metric]:
        counts = self._delivery.counts()
        for name, meaning in _COUNTERS.items():
            counter = CounterMetricFamily(f"fusewatch_sink_{name}", meaning, labels=["sink"])
            for sink, found in counts.items():
                counter.add_metric([sink], found[name])
            yield counter
        up = GaugeMetricFamily(
            "fusewatch_sink_up", "Whether the sink's last try went well.", labels=["sink"]
        )
        failures = GaugeMetricFamily(
            "fusewatch_sink_failures", "Failures in a row up to the last try.", labels=["sink"]
        )
        for sink, count in self._delivery.failures().items():
            up.add_metric([sink], float(not count))
            failures.add_metric([sink], count)
        yield from (up, failures)

    def _of_store(self) -> Iterator[Metric]:
        try:
            counts, oldest_ns = self._store.counts(), self._store.oldest_ns()
            holds = self._store.holds.counts()
        except StoreError:
            return  # the readiness check says so
        for state, meaning in _GAUGES.items():
            gauge = GaugeMetricFamily(f"fusewatch_outbox_{state}", meaning, labels=["sink"])
            for sink, found in counts.items():
                gauge.add_metric([sink], found[state])
            yield gauge
        held = GaugeMetricFamily(
            "fusewatch_outbox_held", "Deliveries that are held.", labels=["sink", "reason"]
        )
        for labels, count in holds.items():
            held.add_metric(list(labels), count)
        yield held
        age = GaugeMetricFamily(
            "fusewatch_outbox_oldest_seconds",
            "Since the oldest phase that waits ended; 0: none waits.",
            labels=["sink"],
        )
        for sink in counts:
            since_ns = self._clock.now_ns() - oldest_ns.get(sink, self._clock.now_ns())
            age.add_metric([sink], max(0.0, since_ns / 1e9))
        yield age
