"""What the fusion node counts, as metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nodes.alarm_rates import SceneRates
from nodes.equipment_metrics import EquipmentMetrics
from nodes.handing_on import Outcome as Handed
from nodes.load_metrics import LoadMetrics
from pipeline.core.event import Event, Phase
from pipeline.detection.engine import Engine
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.outcome import Outcome
from pipeline.detection.scoring_state import SceneScoring
from pipeline.detection.transition import anomaly_score
from pipeline.transport.receiver import Receiver

AGES_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class FusionMetrics:
    """Metrics of the fusion node.

    Args:
        registry: Where they are registered.

    Attributes:
        equipment: Metrics of streams, clocks and recordings as such.
        load: Metrics of whether the node keeps up.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.equipment = EquipmentMetrics(registry)
        self.load = LoadMetrics(registry)
        self._registry = registry
        self._windows = Counter(
            "fusewatch_windows", "Windows cut", ["scene", "complete"], registry=registry
        )
        self._events = Counter(
            "fusewatch_events", "Phases of events", ["scene", "phase"], registry=registry
        )
        self._standing = Gauge(
            "fusewatch_events_standing",
            "Events that are not cleared, of the scene or of its equipment",
            ["scene", "kind"],
            registry=registry,
        )
        self._held = Gauge(
            "fusewatch_events_held",
            "Events not handed on yet, as they follow or may follow from another",
            ["scene"],
            registry=registry,
        )
        self._inhibited = Gauge(
            "fusewatch_events_inhibited",
            "Events held at first, sent after all, withheld to their end, since the start",
            ["scene", "outcome"],
            registry=registry,
        )
        self._scenes_held: set[str] = set()
        self._stand: dict[tuple[str, str], set[str]] = {}
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
        self._raised = self._by_period(
            "fusewatch_alarms_raised", "Alarms raised in the period up to now, but real ones"
        )
        self._budgeted = self._by_period(
            "fusewatch_alarms_budgeted", "False alarms allowed in the time watched of the period"
        )
        self._ratio = self._by_period("fusewatch_alarm_budget_ratio", "Raised over budgeted")
        self._ratio_low = self._by_period(
            "fusewatch_alarm_budget_ratio_low", "Lower end of its 90 % interval"
        )
        self._ratio_high = self._by_period(
            "fusewatch_alarm_budget_ratio_high", "Upper end of its 90 % interval"
        )
        self._spent = Gauge(
            "fusewatch_alarm_budget_spent",
            "Alarms raised in the last one of the budget's own periods, but real ones",
            ["scene"],
            registry=registry,
        )
        self._factor = Gauge(
            "fusewatch_recalibration_factor",
            "On a detector's score; 1 as commissioned",
            ["scene", "detector"],
            registry=registry,
        )

    def scoring(self, scene: str, live: SceneScoring, found: SceneRates | None) -> None:
        """Say how far a scene's scores are corrected, and what its alarms cost so far."""
        if live.recalibrator is not None:
            for detector, factor in live.recalibrator.factors.items():
                self._factor.labels(scene, detector).set(factor)
        if found is not None:
            self._spent.labels(scene).set(found.spent.spent)
        for rate in found.rates if found is not None else ():
            self._raised.labels(scene, rate.period).set(rate.raised)
            self._budgeted.labels(scene, rate.period).set(rate.budgeted)
            self._ratio.labels(scene, rate.period).set(rate.ratio)
            self._ratio_low.labels(scene, rate.period).set(rate.low)
            self._ratio_high.labels(scene, rate.period).set(rate.high)

    def turn(self, outcome: Outcome, now_ns: int) -> None:
        """Count what came of one turn of the loop."""
        for window in outcome.windows:
            self._windows.labels(window.scene, str(window.complete).lower()).inc()
            for stream, count in window.late.items():
                self._late.labels(stream).inc(count)
            for stream in window.slices:
                self._degraded.labels(window.scene, stream).set(0)
        self.load.left_out(outcome.left_out)
        for score in outcome.scores:
            self._score.labels(score.scene).set(anomaly_score(score.p))
            self._age.labels(score.scene).observe((now_ns - score.end_ns) / 1e9)
            for stream in score.degraded:
                self._degraded.labels(score.scene, stream).set(1)
        for event in outcome.events:
            self._events.labels(event.scene, event.phase.value).inc()
        self.standing(outcome.events)

    def standing(self, events: Iterable[Event]) -> None:
        """Follow which events stand."""
        for event in events:
            kind = (event.scene, "health" if event.health else "alarm")
            stand = self._stand.setdefault(kind, set())
            if event.phase is Phase.CLEARED:
                stand.discard(event.id)
            else:
                stand.add(event.id)
            self._standing.labels(*kind).set(len(stand))

    def held(self, now: Mapping[str, int], ever: Mapping[tuple[str, Handed], int]) -> None:
        """Say which events are held for a cause, by scene, and what came of those that were."""
        self._scenes_held.update(now)
        for scene in self._scenes_held:
            self._held.labels(scene).set(now.get(scene, 0))
        for (scene, outcome), count in ever.items():
            self._inhibited.labels(scene, outcome.value).set(count)

    def look(self, receiver: Receiver, engine: Engine, files: EvidenceFiles) -> None:
        """Read what others count."""
        self._set(self._refused, receiver.counters)
        self._set(self._corrupt, engine.corrupt)
        for labels, count in engine.discarded().items():
            self._discarded.labels(*labels).set(count)
        for status in receiver.nodes():
            self._heard.labels(status.node).set(0 if status.lost else 1)
        self.equipment.evidence(files.left_out, files.failed)
        self.equipment.unseen(engine.health.sight.unseen())
        self.equipment.books(engine.health.ledger.books)

    def _by_period(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["scene", "period"], registry=self._registry)

    @staticmethod
    def _set(gauge: Gauge, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            gauge.labels(name).set(count)
