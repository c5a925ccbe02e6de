"""The fusion node: samples in, windows scored, events committed and handed on.

One turn of the loop: take what arrived, give it to the recorder and the engine, score the
windows that became ready, see that the recording and the evidence are on disk, commit scenes,
events and resume points in one transaction, only then ack the samples and hand the events to the
alert node. A crash anywhere repeats work and loses none: what was not committed is sent again,
and what was is not done twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from nodes.alarm_rates import AlarmRates
from nodes.answer_handover import AnswerHandover
from nodes.arrival_turns import ArrivalTurns
from nodes.assembly import build_engine
from nodes.claim import Claim
from nodes.committing import Committing
from nodes.fair_queue import FairQueue
from nodes.full_pictures import FullPictures
from nodes.fusion_report import FusionReport, Shown
from nodes.handing_on import HandingOn
from nodes.health import Health
from nodes.inhibition import Inhibition
from nodes.keeping_up import KeepingUp
from nodes.kept_data import kinds
from nodes.links import event_sender, fusion_key, sample_receiver
from nodes.live_view import LiveView
from nodes.places import answer_store, evidence_folder, fusion_store, score_history
from nodes.recorder import Recorder
from nodes.restoring import STANDING, restore
from nodes.retention import kept_by_fusion
from nodes.score_minutes import ScoreMinutes
from nodes.small_streams import kept_streams
from nodes.sync_watching import SyncWatching
from nodes.withholding import Withholding
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, fusion_began
from pipeline.core.clock import Clock
from pipeline.core.event import HEALTH_PREFIX
from pipeline.core.retention import Sweeper
from pipeline.core.sample import StreamInfo
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.full_frames import fuller
from pipeline.store import FusionStore
from pipeline.transport.memory import keep_large_blocks
from pipeline.transport.receiver import Receiver

log = structlog.get_logger(__name__)


class _Closable(Protocol):
    def close(self) -> None: ...


_Thing = TypeVar("_Thing", bound=_Closable)

SECOND_NS = 1_000_000_000
CLIPS_S = 2.0
"""Longest wait for clips under way when the node ends, after what draining gave them, seconds."""


class FusionNode:
    """The fusion node of a deployment.

    Args:
        deployment: The deployment.
        clock: Node time; site time, as this is the node that all others follow.
        name: Name of the process.
        reachable: As a worker of a cluster, which has a part of the scenes in the store: where
            capture nodes reach what it listens on, for the directory. None: it is no worker.
        elsewhere: As a worker, where its scenes are to be fused instead, see `Claim`.
    """

    def __init__(
        self,
        deployment: Deployment,
        clock: Clock,
        *,
        name: str = "fusion",
        reachable: Callable[[str], str] | None = None,
        elsewhere: Callable[[FusionStore], str] = lambda _store: "",
    ) -> None:
        self.name = name
        self._reachable, self._elsewhere = reachable, elsewhere
        self._deployment = deployment
        self._clock = clock
        self._began = False
        self._pause = threading.Event()
        self._report: FusionReport | None = None
        self._closers: list[_Closable] = []
        self._retention = Sweeper(())

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health and metrics are reported to."""
        self._report = FusionReport(health, registry, lambda: self._retention)

    def start(self) -> None:
        """Load models, and begin unless another fusion node has the scenes (`nodes.claim`)."""
        keep_large_blocks()
        folder, limit_mb = evidence_folder(self._deployment), self._deployment.fusion.evidence_mb
        better = partial(fuller, kept_streams(self._deployment))
        files = EvidenceFiles(
            folder, limit_mb=limit_mb, sealing=True, fuller=better, patience_s=CLIPS_S
        )
        self._files = self._kept(files)
        self._pictures = self._kept(FullPictures(self._deployment, self._files))
        self._assembly = build_engine(self._deployment, writer=self._pictures.writer)
        self._engine = self._assembly.engine
        if self._assembly.ahead is not None:
            self._kept(self._assembly.ahead)
        self._store: FusionStore = self._kept(fusion_store(self._deployment))
        if self._reachable is not None:
            self._store.limit_to(self._deployment.scenes)
        self._answers = self._kept(answer_store(self._deployment))
        elsewhere = partial(self._elsewhere, self._store)
        self._claim = Claim(self._deployment, self._store, self._clock, elsewhere)
        if self._claim.look():
            self._begin()

    def step(self, timeout_s: float) -> bool:
        """One turn of the loop; see the module."""
        if not self._claim.look():
            self._stand_by(timeout_s)
            return True
        if not self._began:
            self._begin()
        self._turn(self._turns.take(self._wait_s(timeout_s)))
        self._handing_on.step(0.0)
        self._retention.look(self._clock.now_ns())
        if self._report is not None:
            self._report.look(self._clock.now_ns(), self._shown)
        return True

    def drain(self, timeout_s: float) -> None:
        """Take what is already here, commit it, and give the events time to be taken.

        Of a backlog it is what a quarter of the time allows; the rest is sent again.
        """
        if not self._began:
            return
        began_ns = self._clock.now_ns()
        until_ns = began_ns + round(timeout_s * SECOND_NS)
        self._turn(self._turns.take(0.0))
        while self._turns.waiting and self._clock.now_ns() < (3 * began_ns + until_ns) // 4:
            self._turn(self._turns.take(0.0, poll=False))
        self._pictures.close()
        self._files.finished(timeout_s / 2)
        self._committing.commit({}, (), self._engine.newly_released(), force=True)
        self._handing_on.hurry()
        while self._clock.now_ns() < until_ns and not self._handing_on.idle:
            self._handing_on.step(0.05)
        self._claim.release()

    def close(self) -> None:
        """Let go of everything, last opened first; clips have `CLIPS_S`, or wait for a start."""
        while self._closers:
            self._closers.pop().close()

    def _begin(self) -> None:
        """Take up where the last fusion node of these scenes stopped, and listen."""
        self._began = True
        restore(self._deployment, self._assembly, self._store, self._clock.now_ns())
        self._files.work_off(self._store.scenes)
        budgets = self._assembly.budgets
        self._retention = Sweeper(kinds(kept_by_fusion(self._deployment, self._store)))
        alarms = {scene: self._deployment.scenes[scene].alarm for scene in budgets}
        self._rates = AlarmRates(alarms, self._store, self._answers)
        if self._report is not None:
            self._report.begin(self._store.events(limit=STANDING))
        self._recorder = self._kept(Recorder(self._deployment))
        self._minutes = self._kept(ScoreMinutes(score_history(self._deployment), self._clock))
        thresholds = {scene: budget.threshold for scene, budget in budgets.items()}
        self._live = self._kept(LiveView(self._deployment, thresholds))
        self._syncs = SyncWatching(self._deployment, self._engine.health.sync.watches)
        self._handing_on = self._begin_handing_on(thresholds)
        self._receiver: Receiver = self._kept(
            sample_receiver(self._deployment, self._clock, self._resume_points)
        )
        self._committing = Committing(
            self._store, self._files, self._recorder, self._receiver, self._handing_on, self._clock
        )
        load = self._load = KeepingUp(self._deployment, self._engine, self._clock)
        weights = {name: len(scenes) for name, scenes in load.flows.scenes.items()}
        queue = FairQueue(load.flows.of_node, weights, load.flows.streams)
        self._turns = ArrivalTurns(self._receiver, self._clock, queue, load.cost)
        self._shown = Shown(
            engine=self._engine,
            receiver=self._receiver,
            recorder=self._recorder,
            files=self._files,
            pictures=self._pictures,
            syncs=self._syncs,
            load=load,
            handing_on=self._handing_on,
        )
        now_ns = self._clock.now_ns()
        self._say(fusion_began(now_ns), *load.standing(now_ns))
        log.info("listening", address=self._receiver.address)
        if self._reachable is not None:
            self._claim.publish(self._place)

    def _place(self) -> tuple[str, str]:
        """Where capture nodes reach this worker of a cluster, and the key it has there."""
        address = self._receiver.address
        at = self._reachable(address) if self._reachable is not None else address
        return at, fusion_key(self._deployment)

    def _stand_by(self, timeout_s: float) -> None:
        if self._report is not None:
            self._report.stand_by(self._claim.waits_for)
        self._pause.wait(timeout_s)

    def _turn(self, arrivals: Sequence[Arrival]) -> None:
        self._load.begin()
        if self._assembly.ahead is not None:
            self._assembly.ahead.begin(arrivals)
        now_ns = self._clock.now_ns()
        for arrival in arrivals:
            self._recorder.write(arrival)
            self._committing.follow(arrival)
            self._syncs.take(arrival)
            self._live.take(arrival)
            self._engine.take(arrival)
            now_ns = self._load.arrived(arrival, now_ns)
        self._engine.advance(self._turns.until_ns())
        outcome = self._engine.collect()
        for event in outcome.events:
            self._recorder.event(event, now_ns)
        decided = self._load.decide(self._turns.lags_ns)
        states = outcome.states | decided
        self._committing.commit(states, outcome.events, self._engine.newly_released())
        self._say(*self._load.said(decided, self._turns.last_ns))
        self._pictures.look(self._receiver, now_ns)
        self._recorder.look(now_ns)
        self._syncs.look(now_ns)
        self._rates.take(outcome.events)
        self._rates.look(now_ns)
        self._minutes.take(outcome.scores)
        self._live.show(outcome.windows, outcome.scores)
        if self._report is not None:
            self._report.turn(outcome, now_ns, self._engine, self._rates)
        self._load.end(outcome)

    def _say(self, *said: Arrival) -> None:
        """Tell the recording and the engine what no node sent."""
        for one in said:
            self._recorder.write(one)
            self._engine.take(one)

    def _begin_handing_on(self, thresholds: Mapping[str, float]) -> HandingOn:
        handing_on = HandingOn(
            self._store,
            self._kept(event_sender(self._deployment, self._clock)),
            Withholding(self._store, self._answers, self._deployment.feedback),
            AnswerHandover(self._store, self._answers, self._clock),
            Inhibition(self._deployment, thresholds),
            self._clock,
            self._deployment.fusion.inhibition.hold_ns,
        )
        handing_on.restore(self._store.phases(HEALTH_PREFIX))
        return handing_on

    def _resume_points(
        self, node: str, session: str, _streams: Sequence[StreamInfo]
    ) -> dict[str, int]:
        """Next sequence wanted of each stream, for a node that begins or comes back."""
        return {s: n + 1 for s, n in self._store.resume_points(node, session).items()}

    def _wait_s(self, timeout_s: float) -> float:
        deadline_ns = self._engine.next_deadline_ns()
        if deadline_ns is None:
            return timeout_s
        return min(timeout_s, max((deadline_ns - self._clock.now_ns()) / SECOND_NS, 0.0))

    def _kept(self, thing: _Thing) -> _Thing:
        self._closers.append(thing)
        return thing
