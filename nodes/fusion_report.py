"""What a fusion node says of itself: whether it is ready, and in metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from nodes.alarm_rates import AlarmRates
from nodes.full_pictures import FullPictures
from nodes.fusion_metrics import FusionMetrics
from nodes.handing_on import HandingOn
from nodes.health import Health
from nodes.keeping_up import KeepingUp
from nodes.recorder import Recorder
from nodes.retention_metrics import RetentionMetrics
from nodes.sync_watching import SyncWatching
from pipeline.core.event import Event
from pipeline.core.retention import Sweeper
from pipeline.detection.engine import Engine
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.outcome import Outcome
from pipeline.transport.receiver import Receiver

REPORT_NS = 250_000_000


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts of a fusion node of which something is said."""

    engine: Engine
    receiver: Receiver
    recorder: Recorder
    files: EvidenceFiles
    pictures: FullPictures
    syncs: SyncWatching
    load: KeepingUp
    handing_on: HandingOn


class FusionReport:
    """See the module.

    Args:
        health: Told whether the node is ready.
        registry: Where its metrics are.
        retention: Removes what is old; another one once the node has begun.
    """

    def __init__(
        self, health: Health, registry: CollectorRegistry, retention: Callable[[], Sweeper]
    ) -> None:
        self._health = health
        self._metrics = FusionMetrics(registry)
        registry.register(RetentionMetrics(retention))
        self._reported_ns = -REPORT_NS

    def stand_by(self, waits_for: str) -> None:
        """Another fusion node has the scenes."""
        self._health.ready("scenes", False, waits_for)

    def begin(self, events: Sequence[Event]) -> None:
        """The node begins; events of an earlier run may stand."""
        self._metrics.standing(events)

    def turn(self, outcome: Outcome, now_ns: int, engine: Engine, rates: AlarmRates) -> None:
        """A turn is over."""
        self._metrics.turn(outcome, now_ns)
        for scene, live in engine.live({one.scene for one in outcome.scores}).items():
            self._metrics.scoring(scene, live, rates.of(scene, live.watched))

    def look(self, now_ns: int, of: Shown) -> None:
        """Say how everything is: now and then, as it costs as much as there are scenes."""
        if 0 <= now_ns - self._reported_ns < REPORT_NS:
            return
        self._reported_ns = now_ns
        self._health.ready("scenes", True)
        lost = [n.node for n in of.receiver.nodes() if n.lost]
        self._health.ready("capture nodes", not lost, ", ".join(lost))
        self._health.ready("models", not of.engine.unfit, "; ".join(of.engine.unfit.values()))
        self._metrics.look(of.receiver, of.engine, of.files)
        equipment = self._metrics.equipment
        equipment.fetched(of.pictures.counters)
        equipment.recording(of.recorder.lost, of.recorder.removed)
        equipment.syncs(of.syncs.watches)
        equipment.unseen(of.engine.health.sight.unseen())
        equipment.books(of.engine.health.ledger.books)
        self._metrics.load.look(of.load)
        self._metrics.held(of.handing_on.held, of.handing_on.counts)
