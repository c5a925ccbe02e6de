"""What the fusion node counts, as metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.detection.engine import Engine, Outcome
from pipeline.detection.transition import anomaly_score
from pipeline.transport.receiver import Receiver

AGES_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class FusionMetrics:
    """Metrics of the fusion node.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._windows = Counter(
            "fusewatch_windows", "Windows cut", ["scene", "complete"], registry=registry
        )
        self._events = Counter(
            "fusewatch_events", "Phases of events", ["scene", "phase"], registry=registry
        )
        self._score = Gauge(
            "fusewatch_anomaly_score", "-log10 p of the last window", ["scene"], registry=registry
        )
        self._degraded = Gauge(
            "fusewatch_stream_degraded",
            "1 while a stream sees less than in its normal (dark, frozen, clipped, ...)",
            ["scene", "stream"],
            registry=registry,
        )
        self._age = Histogram(
            "fusewatch_window_age_seconds",
            "From the end of a window to its score",
            ["scene"],
            buckets=AGES_S,
            registry=registry,
        )
        self._late = Counter(
            "fusewatch_late_samples", "Came behind the watermark", ["stream"], registry=registry
        )
        self._corrupt = Gauge(
            "fusewatch_corrupt_samples", "Could not be decoded", ["stream"], registry=registry
        )
        self._discarded = Gauge(
            "fusewatch_discarded_samples",
            "In no window, by reason",
            ["scene", "stream", "reason"],
            registry=registry,
        )
        self._refused = Gauge(
            "fusewatch_refused_messages", "By reason", ["reason"], registry=registry
        )
        self._heard = Gauge(
            "fusewatch_node_connected",
            "Whether a capture node is heard",
            ["node"],
            registry=registry,
        )

    def turn(self, outcome: Outcome, now_ns: int) -> None:
        """Count what came of one turn of the loop."""
        for window in outcome.windows:
            self._windows.labels(window.scene, str(window.complete).lower()).inc()
            for stream, count in window.late.items():
                self._late.labels(stream).inc(count)
            for stream in window.slices:
                self._degraded.labels(window.scene, stream).set(0)
        for score in outcome.scores:
            self._score.labels(score.scene).set(anomaly_score(score.p))
            self._age.labels(score.scene).observe((now_ns - score.end_ns) / 1e9)
            for stream in score.degraded:
                self._degraded.labels(score.scene, stream).set(1)
        for event in outcome.events:
            self._events.labels(event.scene, event.phase.value).inc()

    def look(self, receiver: Receiver, engine: Engine) -> None:
        """Read what others count."""
        self._set(self._refused, receiver.counters)
        self._set(self._corrupt, engine.corrupt)
        for labels, count in engine.discarded().items():
            self._discarded.labels(*labels).set(count)
        for status in receiver.nodes():
            self._heard.labels(status.node).set(0 if status.lost else 1)

    @staticmethod
    def _set(gauge: Gauge, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            gauge.labels(name).set(count)
