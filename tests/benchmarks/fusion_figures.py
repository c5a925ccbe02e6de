"""What the detection benchmark measures of one variant of the detector at one site.

Levels (AUROC per kind, VUS-PR) are judged over the fresh normal and the part with anomalies
together. Alarms are those of the real alarm at the threshold that the model's own calibration
sets for a budget; found and late are told on the part with anomalies, false alarms on the
fresh normal, and beside them those between the anomalies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.core.sample import Modality
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning import commission
from pipeline.training.comparison import rows
from pipeline.training.evaluation_result import Row
from pipeline.training.event_metrics import RaisedAlarm, alarms_of, match_alarms
from pipeline.training.judging import curve_over
from pipeline.training.labels import Label
from pipeline.training.levels import levels_of
from pipeline.training.metrics import Floats
from pipeline.training.watched import watch
from tests.benchmarks.synthetic_sites import EVERY, HOP_NS, SCENE, START_NS, Part, Recorded

BUDGETS = ("6/hour", "2/hour", "2/day")  # of GOALS, and what a deployment has by default
_CURVE_POINTS = 60

Parts = dict[Part, Recorded]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to learn and to watch a site.

    Attributes:
        settings: Of the detector.
        having: Modalities that the scene has at all.
        missing: Those that were learnt and do not arrive any more.
        learn_s: Learn only so many seconds, those just before the normal that is judged.
    """

    settings: DetectorSettings = field(default_factory=DetectorSettings)
    having: frozenset[Modality] = EVERY
    missing: frozenset[Modality] = frozenset()
    learn_s: float | None = None

    @property
    def lesson(self) -> tuple[object, ...]:
        """What its model depends on: variants of one lesson share a model."""
        return self.settings, self.having, self.learn_s


@dataclass(frozen=True, slots=True)
class Learnt:
    """A commissioned model and the CPU seconds that it took."""

    model: SceneModel
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """Alarms at the threshold of one budget.

    Attributes:
        budget: As ``COUNT/PERIOD``.
        thresholds: On ``-log10 p``, one a site.
        found: Labels with the alarm that found each.
        false: False alarms on the fresh normal.
        normal_s: Length of it, seconds.
        beside: False alarms between the anomalies.
        beside_s: Time between them, seconds.
    """

    budget: str
    thresholds: tuple[float, ...]
    found: tuple[tuple[Label, RaisedAlarm | None], ...]
    false: int
    normal_s: float
    beside: int
    beside_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A variant at one site, or at several taken together.

    Attributes:
        variant: Its name.
        site: Name of the site.
        rows: Merged score first, then detectors alone and baselines.
        alarms: One per budget, see `BUDGETS`.
        commission_cpu_s: CPU time of learning, seconds, features included.
        window_cpu_ms: CPU time of scoring a window by itself, milliseconds.
    """

    variant: str
    site: str
    rows: tuple[Row, ...]
    alarms: tuple[Alarms, ...]
    commission_cpu_s: float
    window_cpu_ms: float


def learn(variant: Variant, parts: Parts) -> Learnt:
    """Commission a site as a variant wants it."""
    windows = parts[Part.TRAIN].windows(variant.having, last_s=variant.learn_s)
    began = time.process_time()
    model, _ = commission(SCENE, windows, variant.settings)
    return Learnt(model, time.process_time() - began)


def judge(name: str, variant: Variant, site: str, parts: Parts, learnt: Learnt) -> Outcome:
    """Score what follows the normal that was learnt, and judge it by the labels."""
    scorer = Scorer({SCENE: learnt.model}, "cpu")
    scores: dict[Part, list[WindowScore]] = {}
    levels: list[dict[str, float]] = []
    spent = 0.0
    for part in (Part.NORMAL, Part.WRONG):
        scores[part] = []
        for window in parts[part].windows(variant.having, variant.missing):
            began = time.process_time()
            scores[part] += scorer.score([window])
            spent += time.process_time() - began
            levels.append(levels_of(window))
    count = sum(map(len, scores.values()))
    labels = parts[Part.WRONG].labels
    rules = [AlarmSettings(budget=budget) for budget in BUDGETS]
    return Outcome(
        variant=name,
        site=site,
        rows=tuple(_rows(scores, labels, levels, rules[0])),
        alarms=tuple(
            _alarms(scores, labels, rule, scorer.budget(SCENE, rule).threshold) for rule in rules
        ),
        commission_cpu_s=learnt.cpu_s,
        window_cpu_ms=spent / count * 1e3,
    )


def _rows(
    scores: dict[Part, list[WindowScore]],
    labels: Sequence[Label],
    levels: Sequence[dict[str, float]],
    rules: AlarmSettings,
) -> list[Row]:
    watched = watch([*scores[Part.NORMAL], *scores[Part.WRONG]], labels, HOP_NS, START_NS)
    normal_s = watched.normal_s()
    curve = curve_over(watched, watched.scores, rules, normal_s, _CURVE_POINTS)
    names = sorted({name for one in levels for name in one})
    plain: dict[str, Floats] = {n: np.array([one.get(n, np.nan) for one in levels]) for n in names}
    return rows(watched, rules, normal_s, plain, curve)


def _alarms(
    scores: dict[Part, list[WindowScore]],
    labels: Sequence[Label],
    rules: AlarmSettings,
    threshold: float,
) -> Alarms:
    watched = watch(scores[Part.WRONG], labels, HOP_NS, START_NS)
    raised = alarms_of(watched.scores, rules, threshold, HOP_NS, START_NS)
    match = match_alarms(watched.labels, raised, rules.clear_after_s)
    false = alarms_of(scores[Part.NORMAL], rules, threshold, HOP_NS, START_NS)
    return Alarms(
        budget=rules.budget,
        thresholds=(threshold,),
        found=match.found,
        false=len(false),
        normal_s=len(scores[Part.NORMAL]) * HOP_NS / 1e9,
        beside=len(match.false),
        beside_s=watched.normal_s(),
    )


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """One variant over several sites: levels and costs as means, alarms counted together."""
    first = outcomes[0]
    return Outcome(
        variant=first.variant,
        site=f"mean of {len(outcomes)} sites",
        rows=tuple(_mean_row([o.rows[i] for o in outcomes]) for i in range(len(first.rows))),
        alarms=tuple(_pooled([o.alarms[i] for o in outcomes]) for i in range(len(first.alarms))),
        commission_cpu_s=_mean(o.commission_cpu_s for o in outcomes),
        window_cpu_ms=_mean(o.window_cpu_ms for o in outcomes),
    )


def _mean_row(same: Sequence[Row]) -> Row:
    def over(value: Callable[[Row], float]) -> float:
        return _mean(map(value, same))

    return Row(
        name=same[0].name,
        role=same[0].role,
        auroc=over(lambda row: row.auroc),
        auprc=over(lambda row: row.auprc),
        vus_pr=over(lambda row: row.vus_pr),
        kinds={kind: _mean(row.kinds[kind] for row in same) for kind in same[0].kinds},
        found={rate: _mean(row.found[rate] for row in same) for rate in same[0].found},
    )


def _pooled(same: Sequence[Alarms]) -> Alarms:
    return Alarms(
        budget=same[0].budget,
        thresholds=tuple(t for one in same for t in one.thresholds),
        found=tuple(pair for one in same for pair in one.found),
        false=sum(one.false for one in same),
        normal_s=sum(one.normal_s for one in same),
        beside=sum(one.beside for one in same),
        beside_s=sum(one.beside_s for one in same),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
