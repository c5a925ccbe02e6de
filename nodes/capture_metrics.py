"""What a capture node counts, as metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Enum, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nodes.time_metrics import ClockMetrics, StampMetrics
from pipeline.core.ledger import Ledger, missing
from pipeline.sources.runner import SourceState, SourceStatus
from pipeline.transport.clock_sync import ClockEstimate
from pipeline.transport.sender_session import LinkState
from pipeline.transport.sender_status import SenderStatus


class CaptureMetrics:
    """Metrics of one capture node.

    Args:
        registry: Where they are registered.
        ledger: The node's loss ledger, read whenever somebody asks.

    Attributes:
        clock: Metrics of the clock offset.
        stamps: Metrics of the streams' stamps.
    """

    def __init__(self, registry: CollectorRegistry, ledger: Ledger) -> None:
        registry.register(LedgerCollector(ledger))
        self.clock = ClockMetrics(registry)
        self.stamps = StampMetrics(registry)
        self._connected = Gauge(
            "fusewatch_link_connected", "Whether the fusion node answers", registry=registry
        )
        self._spool = Gauge(
            "fusewatch_spool",
            "Since the start: torn and damaged parts found, samples written, sent late, files "
            "let go, failures of the disk",
            ["what"],
            registry=registry,
        )
        self._full = Gauge(
            "fusewatch_full_pictures",
            "Of streams that are sent small, since the start: pictures kept, fallen out by age and "
            "by room, not sent, asked for, given; held: now",
            ["what"],
            registry=registry,
        )
        self._restarts = Gauge(
            "fusewatch_source_restarts",
            "Times a reader was replaced",
            ["source"],
            registry=registry,
        )
        self._stalls = Gauge(
            "fusewatch_source_stalls", "Replaced for silence", ["source"], registry=registry
        )
        self._state = Enum(
            "fusewatch_source_state",
            "State of a source",
            ["source"],
            states=[state.value for state in SourceState],
            registry=registry,
        )

    def source(self, status: SourceStatus) -> None:
        """A source changed its state."""
        self._restarts.labels(status.name).set(status.restarts)
        self._stalls.labels(status.name).set(status.stalls)
        self._state.labels(status.name).state(status.state.value)

    def link(self, status: SenderStatus, estimate: ClockEstimate | None) -> None:
        """Note the state of the link and of the clock."""
        self._connected.set(1 if status.state is LinkState.READY else 0)
        self.clock.look(estimate, status.counters)
        for name, count in status.counters.items():
            if name.startswith("spool_"):
                self._spool.labels(name.removeprefix("spool_")).set(count)
            if name.startswith("full_"):
                self._full.labels(name.removeprefix("full_")).set(count)

    def full(self, counters: Mapping[str, int]) -> None:
        """Note what is kept of full pictures."""
        for name, count in counters.items():
            self._full.labels(name).set(count)


class LedgerCollector(Collector):
    """The loss ledger as metrics, read when asked for.

    Args:
        ledger: The ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Counters per stream; ``unexplained`` is anything but 0 only by a bug."""
        accounts = self._ledger.snapshot()
        captured = CounterMetricFamily("fusewatch_captured", "Samples", labels=["stream"])
        delivered = CounterMetricFamily("fusewatch_delivered", "Acked", labels=["stream"])
        dropped = CounterMetricFamily("fusewatch_dropped", "Lost", labels=["stream", "reason"])
        spooled = GaugeMetricFamily("fusewatch_spooled", "Waiting", labels=["stream"])
        unexplained = GaugeMetricFamily("fusewatch_unexplained", "A bug", labels=["stream"])
        wrong = missing(accounts)
        for stream, account in accounts.items():
            captured.add_metric([stream], account.captured)
            delivered.add_metric([stream], account.delivered)
            spooled.add_metric([stream], account.spooled)
            unexplained.add_metric([stream], wrong.get(stream, 0))
            for reason, count in account.dropped.items():
                dropped.add_metric([stream, reason], count)
        yield from (captured, delivered, dropped, spooled, unexplained)
