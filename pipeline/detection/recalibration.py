"""Slow, bounded recalibration: follow the weather, never an anomaly. No torch.

Commissioning promises how often each detector's score (``-log10 p``) reaches a height. Live,
light and weather and wear widen what a detector says of normal, and false alarms come more
often than the budget allows. So each detector has a *factor* on its score: 1 as commissioned,
less where its normal has become wider. The rules:

*Calm* is what can be learnt from. A window is loud when its merged score, as commissioned or
as corrected, is at or over the alarm's threshold. It is calm when both are below `calm_below`
of the threshold and nothing loud lies within `guard_s` before or after it; so it waits in
quarantine until what follows it is known. What is calm is judged by the commissioned score
too, so nothing that was learnt can widen what will be learnt.

*Learning.* A detector's mean score over calm time (forgotten over `horizon_s` of calm time,
begun with a prior of the promise) is held against its mean over the calm windows of the
held-out normal, picked by the same rules. The ratio of the two scales is the factor wanted.

*Two keys.* A factor moves towards the one wanted only while more alarms are raised than the
budget allows, by the lower end of their interval; while no more are raised than allowed it
moves back to 1; in between it rests. So a quiet time never makes a detector more sensitive
than it was commissioned, and one that keeps to its budget stays as it is. It moves by
`per_hour` of calm time at most.

*Bounds.* No factor leaves ``[1 / most, 1]``, nor does the ratio of the corrected merged score
to the commissioned one. Whatever was learnt, and from whomever, a window that would have been
`most` times the threshold before still reaches the threshold.

Everything is a function of the windows in their order; windows at or before the last one seen
are corrected but not learnt from again.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import structlog

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.alarm_count import AlarmCount, CountState
from pipeline.detection.calibration import Calibration, Verdict
from pipeline.detection.calm import CalmState, Levels, Quarantine, Step, Sum
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.transition import anomaly_score
from pipeline.detection.verdict_row import Level, VerdictRow, with_score

log = structlog.get_logger(__name__)

HOUR_NS = 3_600_000_000_000
PRIOR_SHARE = 0.1
"""Weight of the promise, as a share of the horizon: so much calm time says as much as it."""
MIN_WINDOWS = 100
"""A detector with fewer calm windows in the held-out normal is left as it is."""
LONGEST_SCALE = 20.0
_HALVINGS = 40
_FAR = 500.0  # so many scales to the cut: nothing is cut off
TOLD_STEP = 0.05
"""A factor that moved by this share is logged."""


class Learnt(msgspec.Struct, array_like=True):
    """What was learnt of one detector.

    Attributes:
        weight: Calm windows remembered.
        total: Their scores, added up.
        factor: On its score.
        told: The factor that was logged last.
    """

    weight: float = 0.0
    total: float = 0.0
    factor: float = 1.0
    told: float = 1.0


class RecalibrationState(msgspec.Struct):
    """Everything a `Recalibrator` remembers.

    Attributes:
        last_index: Index of the latest window; None: there was none.
        calm: What waits in quarantine.
        count: Alarms so far.
        learnt: By detector.
        promised: The latest windows by the commissioned calibration.
        corrected: The same by what was learnt.
    """

    last_index: int | None = None
    calm: CalmState = msgspec.field(default_factory=CalmState)
    count: CountState = msgspec.field(default_factory=CountState)
    learnt: dict[str, Learnt] = {}
    promised: list[Level] = []
    corrected: list[Level] = []


@dataclass(frozen=True, slots=True)
class Promise:
    """What calm time is like by the held-out normal, for one detector.

    Attributes:
        mean: Mean score.
        highest: Highest score: higher ones were never calm.
    """

    mean: float
    highest: float


class Recalibrator:
    """Corrects the verdicts on one scene, and learns from the calm ones.

    Args:
        settings: Its rules.
        calibration: What the commissioning promised.
        alarm: Rules of the scene's alarm.
        threshold: Of the alarm, on the merged score.
        hop_ns: Step from one window to the next.
        scene: Name of the scene, for the log.
    """

    def __init__(
        self,
        settings: RecalibrationSettings,
        calibration: Calibration,
        alarm: AlarmSettings,
        threshold: float,
        hop_ns: int,
        scene: str = "",
    ) -> None:
        self._settings = settings
        self._calibration = calibration
        self._alarm = alarm
        self._threshold = threshold
        self._hop_ns = hop_ns
        self._scene = scene
        self._levels = Levels(
            loud=threshold,
            standing=threshold * alarm.clear_ratio,
            calm=threshold * min(settings.calm_below, alarm.clear_ratio),
            guard_ns=round(settings.guard_s * 1e9),
        )
        self._promises = promises(calibration, self._levels)
        self.restore(RecalibrationState())

    @property
    def factors(self) -> dict[str, float]:
        """Factor on each detector's score."""
        return {name: learnt.factor for name, learnt in self._state.learnt.items()}

    def state(self) -> RecalibrationState:
        """Everything remembered; not a copy."""
        return self._state

    def restore(self, state: RecalibrationState) -> None:
        """Go on from `state`, within the bounds of these settings."""
        most = self._settings.most
        for name in self._promises:
            learnt = state.learnt.setdefault(name, Learnt())
            learnt.factor = min(max(learnt.factor, 1 / most), 1.0)
        self._state = state
        self._quarantine = Quarantine(self._levels, state.calm)
        self._count = AlarmCount(self._alarm, self._threshold, self._hop_ns, state.count)
        self._promised = VerdictRow(self._calibration.lasting, state.promised)
        self._told = VerdictRow(self._calibration.lasting, state.corrected)

    def judge(
        self,
        verdict: Verdict,
        index: int,
        end_ns: int,
        doubtful: Collection[str] = (),
        *,
        learning: bool = True,
    ) -> Verdict:
        """The verdict on the next window, corrected by what was learnt before it, with what lasted.

        Args:
            verdict: By the commissioned calibration and what the window itself shows.
            index: Index of the window.
            end_ns: Its end.
            doubtful: Detectors that are not to be learnt from, as they cannot see well.
            learning: Whether to learn from it and to count its alarm; not while windows are left
                out before it, as neither their scores nor their number are those promised.
        """
        promised = self._promised.told(verdict, index)
        corrected = self._bounded(self._told.told(self._corrected(verdict), index), promised)
        self._state.promised, self._state.corrected = self._promised.levels, self._told.levels
        if self._state.last_index is None or index > self._state.last_index:
            self._state.last_index = index
            height = max(anomaly_score(promised.p), anomaly_score(corrected.p))
            if learning:
                self._count.take(end_ns, anomaly_score(corrected.p))
            known = {n: p for n, p in verdict.detectors.items() if learning and n not in doubtful}
            scores = {name: anomaly_score(p) for name, p in known.items()}
            for step in self._quarantine.take(end_ns, height, scores):
                self._learn(step)
        return corrected

    def _bounded(self, corrected: Verdict, promised: Verdict) -> Verdict:
        """No less than the bounds allow."""
        least = anomaly_score(promised.p) / self._settings.most
        if anomaly_score(corrected.p) >= least:
            return corrected
        return with_score(corrected, least)

    def _corrected(self, verdict: Verdict) -> Verdict:
        factors = self.factors
        if all(factors.get(name, 1.0) == 1.0 for name in verdict.detectors):
            return verdict
        detectors = {name: p ** factors.get(name, 1.0) for name, p in verdict.detectors.items()}
        before, most = anomaly_score(verdict.p), self._settings.most
        after = anomaly_score(self._calibration.merge(detectors, verdict.seen))
        height = min(max(after, before / most), before)
        return replace(verdict, p=10.0**-height, detectors=detectors)

    def _learn(self, step: Step) -> None:
        horizon = self._settings.horizon_s * 1e9 / self._hop_ns  # in windows
        for name, found in step.sums.items():
            promise, learnt = self._promises.get(name), self._state.learnt.get(name)
            if promise is None or learnt is None:
                continue
            keep = math.exp(-found.count / horizon)
            learnt.weight = learnt.weight * keep + found.count
            learnt.total = learnt.total * keep + found.total
            wanted = self._wanted(promise, learnt, PRIOR_SHARE * horizon)
            hours = found.count * self._hop_ns / HOUR_NS
            self._move(name, learnt, wanted, math.log1p(self._settings.per_hour) * hours)

    def _wanted(self, promise: Promise, learnt: Learnt, prior: float) -> float:
        """Where a factor is to go: the one that gives calm time the scale that was promised."""
        if self._count.within_budget:
            return 1.0
        if not self._count.over_budget:
            return learnt.factor
        mean = (learnt.total + prior * promise.mean) / (learnt.weight + prior)
        promised = scale_of(promise.mean, promise.highest)
        return promised / scale_of(mean, promise.highest)

    def _move(self, name: str, learnt: Learnt, wanted: float, most_log: float) -> None:
        """Bring a factor nearer to the wanted one, by so much at most (in logarithms)."""
        most = self._settings.most
        change = math.log(wanted / learnt.factor)
        factor = learnt.factor * math.exp(min(max(change, -most_log), most_log))
        learnt.factor = min(max(factor, 1 / most), 1.0)
        if abs(math.log(learnt.factor / learnt.told)) >= math.log1p(TOLD_STEP):
            log.info(
                "recalibrated",
                scene=self._scene,
                detector=name,
                before=round(learnt.told, 3),
                after=round(learnt.factor, 3),
            )
            learnt.told = learnt.factor


def promises(calibration: Calibration, levels: Levels) -> dict[str, Promise]:
    """What calm time is like by the held-out normal, per detector that says enough there."""
    held, heights = calibration.held_by_detector(), calibration.held_scores
    quarantine = Quarantine(levels)
    sums = {name: Sum() for name in held}
    for row, end_ns in enumerate(calibration.held_end_ns.tolist()):
        seen = {n: float(x[row]) for n, x in held.items() if not math.isnan(x[row])}
        for step in quarantine.take(end_ns, float(heights[row]), seen):
            for name, found in step.sums.items():
                sums[name].add(found.count, found.total)
    calm = heights < levels.calm
    return {
        name: Promise(sums[name].mean, float(np.nanmax(scores[calm])))
        for name, scores in held.items()
        if sums[name].count >= MIN_WINDOWS and sums[name].mean > 0
    }


def scale_of(mean: float, highest: float) -> float:
    """Scale of an exponential that is cut off at `highest` and then has this mean.

    A mean of half of `highest` or more has no such scale: the longest that is looked for.
    Solved by halving, as the mean of what is left below a cut grows with the scale.
    """
    low, high = 0.0, LONGEST_SCALE * highest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = highest / middle
        below = middle - (highest / math.expm1(over) if over < _FAR else 0.0)
        low, high = (middle, high) if below < mean else (low, middle)
    return (low + high) / 2
